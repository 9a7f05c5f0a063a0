//! Errors: how a handler makes them, with details that programs can read, and how a client handles them.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use lariat::codec::{Codec, Payload, Prost};
use lariat::{Channel, Code, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

/// What `build.rs` generated from `proto/error_details.proto`.
pub mod google {
    /// The messages of error details.
    pub mod rpc {
        lariat::include_proto!("google.rpc");
    }
}

use google::rpc::quota_failure::Violation;
use google::rpc::{Detail, QuotaFailure};

const EXAMPLE: Example =
    Example { name: "errors", about: "Makes errors, and handles them.", client_flags: &[] };

/// What names the type of a detail.
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho::default())), call)
}

/// Echoes each message once.
#[derive(Default)]
struct MyEcho {
    seen: Mutex<HashMap<String, u32>>,
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let message = request.into_message().message;
        if message.is_empty() {
            return Err(Status::invalid_argument("request missing required field: message"));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.entry(message.clone()).or_default();
        *count += 1;
        if *count > 1 {
            return Err(limit_exceeded(&message));
        }
        Ok(Response::new(EchoResponse { message }))
    }
}

/// An error whose details say which limit it was.
fn limit_exceeded(message: &str) -> Status {
    let text = "Request limit exceeded.";
    let failure = QuotaFailure {
        violations: vec![Violation {
            subject: format!("message:{message}"),
            description: "Limit one echo for each message".to_owned(),
        }],
    };
    let details = google::rpc::Status {
        code: Code::ResourceExhausted as i32,
        message: text.to_owned(),
        details: vec![Detail { type_url: QUOTA_FAILURE.to_owned(), value: encode(&failure) }],
    };
    Status::resource_exhausted(text).with_details(encode(&details))
}

fn encode<T>(message: &T) -> Vec<u8>
where
    Prost: Codec<T>,
{
    let mut octets = Vec::new();
    Prost::encode(message, &mut octets);
    octets
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    for message in ["hello", "", "hello"] {
        println!("echo of {message:?}:");
        match echo.unary_echo(EchoRequest { message: message.to_owned() }).wait() {
            Ok(response) => println!("  {}", response.message().message),
            Err(status) => handle(&status)?,
        }
    }
    Ok(())
}

/// The code says what can be done about an error, the details what it was about, the message is for people.
fn handle(status: &Status) -> Result<(), Status> {
    match status.code() {
        Code::InvalidArgument => println!("  the request was wrong: {}", status.message()),
        Code::ResourceExhausted => println!("  a limit was met: {}", status.message()),
        code => println!("  unexpected {code}: {}", status.message()),
    }
    let details: google::rpc::Status = Prost::decode(Payload::Borrowed(status.details()))?;
    for detail in details.details.iter().filter(|detail| detail.type_url == QUOTA_FAILURE) {
        let failure: QuotaFailure = Prost::decode(Payload::Borrowed(&detail.value))?;
        for violation in failure.violations {
            println!("  quota of {}: {}", violation.subject, violation.description);
        }
    }
    Ok(())
}
