//! Calls that wait for a server which is not there yet, and calls that do not.

use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use lariat::{Channel, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

const EXAMPLE: Example =
    Example { name: "wait_for_ready", about: "Calls a server that is not there yet.", client_flags: &[] };

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            // A port that is free, and will be the server's.
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let calls = Calls::new(&address)?;
            calls.without_a_server();
            let call = calls.patient();
            let server = serve(&address)?;
            report("a patient call, when the server has come", call.wait());
            server.graceful_stop(Duration::from_secs(5)).wait();
            println!("server stopped");
            Ok(())
        }
        Role::Server { address, .. } => {
            serve(&address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => {
            let calls = Calls::new(&address)?;
            calls.without_a_server();
            report("a patient call", calls.patient().wait());
            Ok(())
        }
    })
}

fn serve(address: &str) -> Result<Server, Box<dyn Error>> {
    let server = Server::builder().plaintext().add_service(EchoServer::new(MyEcho)).bind(address)?;
    println!("listening on {}", server.local_address());
    Ok(server)
}

struct MyEcho;

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }
}

struct Calls {
    echo: EchoClient,
}

impl Calls {
    fn new(address: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Calls { echo: EchoClient::new(Channel::builder(address).plaintext().build()?) })
    }

    fn call(&self, wait_for_ready: bool, timeout: Duration) -> lariat::UnaryCall<EchoResponse> {
        let request = EchoRequest { message: "hi".to_owned() };
        let request = Request::new(request).with_wait_for_ready(wait_for_ready).with_timeout(timeout);
        self.echo.unary_echo(request)
    }

    fn without_a_server(&self) {
        let long = Duration::from_secs(30);
        report("a call that does not wait", self.call(false, long).wait());
        let short = Duration::from_millis(300);
        report("a call that waits, but not for long", self.call(true, short).wait());
    }

    fn patient(&self) -> lariat::UnaryCall<EchoResponse> {
        self.call(true, Duration::from_secs(30))
    }
}

fn report(what: &str, result: Result<Response<EchoResponse>, Status>) {
    match result {
        Ok(response) => println!("{what}: {}", response.message().message),
        Err(status) => println!("{what}: {}", status.code()),
    }
}
