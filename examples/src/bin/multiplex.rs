//! Two services of one server, called by two clients that share one channel, and so one connection.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use helloworld::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use lariat::{Channel, Inbound, Outbound, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

/// What `build.rs` generated from `proto/helloworld.proto`.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

const EXAMPLE: Example = Example {
    name: "multiplex",
    about: "Calls two services of one server over one connection.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let server = serve("127.0.0.1:0")?;
            call(&server.local_address().to_string())?;
            println!("connections accepted: {}", server.stats().connections_accepted);
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
    let server = Server::builder()
        .plaintext()
        .add_service(GreeterServer::new(MyGreeter))
        .add_service(EchoServer::new(MyEcho))
        .bind(address)?;
    println!("listening on {}", server.local_address());
    Ok(server)
}

struct MyGreeter;

impl Greeter for MyGreeter {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.into_message().name) }))
    }

    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        outbound.send(HelloReply { message: format!("Hello {}", request.into_message().name) }).await
    }

    async fn say_hello_bidi_stream(
        &self,
        mut inbound: Inbound<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        while let Some(request) = inbound.message().await? {
            outbound.send(HelloReply { message: format!("Hello {}", request.name) }).await?;
        }
        Ok(())
    }
}

struct MyEcho;

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::builder(address).plaintext().build()?;
    let greeter = GreeterClient::new(channel.clone());
    let echo = EchoClient::new(channel);
    // Neither waits for the other.
    let greeting = greeter.say_hello(HelloRequest { name: "multiplex".to_owned() });
    let echoed = echo.unary_echo(EchoRequest { message: "this is examples/multiplex".to_owned() });
    println!("greeting: {}", greeting.wait()?.message().message);
    println!("echo: {}", echoed.wait()?.message().message);
    Ok(())
}
