//! Hedging by the service config: when an answer is slow to come, the same request is sent once more, and whichever
//! answer comes first counts. The other attempt is cancelled.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lariat::{Channel, Request, Response, Status, Wait, sleep};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "hedging",
    about: "Calls a server that is sometimes slow, more than once where that helps.",
    client_flags: &[],
};

const SERVICE_CONFIG: &str = r#"{
    "methodConfig": [{
        "name": [{"service": "grpc.examples.echo.Echo", "method": "UnaryEcho"}],
        "hedgingPolicy": {
            "maxAttempts": 3,
            "hedgingDelay": "0.05s",
            "nonFatalStatusCodes": ["UNAVAILABLE"]
        }
    }]
}"#;

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho::default())), call)
}

/// Is slow with its first request.
#[derive(Default)]
struct MyEcho {
    count: AtomicUsize,
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            let _cancelled = Cancelled;
            sleep(SLOW).await;
        }
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }
}

/// Dropped with the handler's future.
struct Cancelled;

impl Drop for Cancelled {
    fn drop(&mut self) {
        println!("server: the slow attempt was cancelled");
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::builder(address).plaintext().default_service_config(SERVICE_CONFIG).build()?;
    let echo = EchoClient::new(channel);
    let started = Instant::now();
    let response = echo.unary_echo(EchoRequest { message: "whoever is first".to_owned() }).wait()?;
    let fast = started.elapsed() < SLOW;
    println!("client: {}, {}", response.message().message, if fast { "in time" } else { "late" });
    Ok(())
}
