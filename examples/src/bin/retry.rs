//! Retries by the service config: the call succeeds at the fourth attempt, and its code knows nothing of it.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use lariat::{Channel, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "retry",
    about: "Calls a server that refuses three of four requests.",
    client_flags: &[],
};

/// What makes the channel try again. It could come with the resolution of the target's name as well.
const SERVICE_CONFIG: &str = r#"{
    "methodConfig": [{
        "name": [{"service": "grpc.examples.echo.Echo"}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.01s",
            "maxBackoff": "0.01s",
            "backoffMultiplier": 1.0,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }]
}"#;

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho::default())), call)
}

/// Answers each fourth request.
#[derive(Default)]
struct MyEcho {
    count: AtomicUsize,
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let before = request.metadata().get("grpc-previous-rpc-attempts").unwrap_or("0").to_owned();
        if !count.is_multiple_of(4) {
            println!("server: request {count}, attempts before it: {before}, failed");
            return Err(Status::unavailable("not this time"));
        }
        println!("server: request {count}, attempts before it: {before}, succeeded");
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::builder(address).plaintext().default_service_config(SERVICE_CONFIG).build()?;
    let echo = EchoClient::new(channel);
    let response = echo.unary_echo(EchoRequest { message: "Try and Success".to_owned() }).wait()?;
    println!("client: {}", response.message().message);
    Ok(())
}
