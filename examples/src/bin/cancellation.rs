//! A client that cancels a call, and a server that learns of it.
//!
//! The usual way to cancel a call is to drop it. A token does it from elsewhere, and for several calls at once.

use std::error::Error;
use std::process::ExitCode;

use lariat::{CancellationToken, Channel, Inbound, Outbound, Request, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example =
    Example { name: "cancellation", about: "Cancels a conversation in the middle.", client_flags: &[] };

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho)), call)
}

struct MyEcho;

impl Echo for MyEcho {
    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        // This future is dropped when the call is cancelled, and all that it owns with it.
        let mut conversation = Conversation { finished: false };
        while let Some(request) = inbound.message().await? {
            outbound.send(EchoResponse { message: request.message }).await?;
        }
        conversation.finished = true;
        Ok(())
    }
}

struct Conversation {
    finished: bool,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if !self.finished {
            println!("server: the client has cancelled the conversation");
        }
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let token = CancellationToken::new();
    let request = Request::new(()).with_cancellation(token.clone());
    let (requests, mut responses) = echo.bidirectional_streaming_echo(request);
    for message in ["hello", "world"] {
        requests.send(EchoRequest { message: message.to_owned() }).wait()?;
        let response = responses.message().wait()?.ok_or("the server has hung up")?;
        println!("client: {}", response.message);
    }

    println!("client: cancelling");
    token.cancel();
    let status = responses.message().wait().err().ok_or("the call went on")?;
    println!("client: {status}");
    Ok(())
}
