//! Compression: a call asks for gzip, and the server answers with what it was asked in.
//!
//! Both sides know gzip by default and use it when asked. One call asks here; `ChannelBuilder::compression` asks for
//! all of a channel.

use std::error::Error;
use std::process::ExitCode;

use lariat::{Channel, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "compression",
    about: "Compresses the messages of one call and not those of another.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho)), call)
}

struct MyEcho;

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let how = how(request.was_compressed());
        let message = request.into_message().message;
        println!("UnaryEcho called with message \"{message}\", {how}");
        Ok(Response::new(EchoResponse { message }))
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let client = EchoClient::new(Channel::builder(address).plaintext().build()?);
    for algorithm in ["gzip", "identity"] {
        let request = Request::new(EchoRequest { message: "compress".to_owned() });
        let response = client.unary_echo(request.with_compression(algorithm)).wait()?;
        let how = how(response.was_compressed());
        println!("UnaryEcho call returned \"{}\", {how}", response.message().message);
    }
    Ok(())
}

fn how(was_compressed: bool) -> &'static str {
    if was_compressed { "compressed" } else { "as it is" }
}
