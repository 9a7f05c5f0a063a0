//! A server and a client that meet at a name in Linux's abstract socket namespace: no port, no file, nothing to clean
//! up.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lariat::{Channel, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

const EXAMPLE: Example = Example {
    name: "unix_abstract",
    about: "Calls over an abstract Unix socket, such as --addr unix-abstract:name.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            // The process's number lets several run at once.
            let address = format!("unix-abstract:lariat-example-{}", std::process::id());
            let server = serve(&address)?;
            call(&address)?;
            server.graceful_stop(Duration::from_secs(5)).wait();
            println!("server stopped");
            Ok(())
        }
        Role::Server { address, .. } => {
            serve(&address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => call(&address),
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

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    // The same text serves as what a server listens on and as a client's target.
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let response =
        echo.unary_echo(EchoRequest { message: "this is examples/unix_abstract".to_owned() }).wait()?;
    println!("echo: {}", response.message().message);
    Ok(())
}
