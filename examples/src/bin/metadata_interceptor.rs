//! An interceptor that changes metadata for handlers and clients.
//!
//! The server's interceptor adds `key1` to what a handler sees, and `seen-by` to what the client gets, in calls of any
//! kind. Neither the handlers nor the client know of it.

use std::error::Error;
use std::process::ExitCode;

use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next};
use lariat::{Channel, Inbound, Metadata, Outbound, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "metadata_interceptor",
    about: "Changes metadata on a server's way in and out.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run_pair(
        |server| server.plaintext().add_service(EchoServer::new(MyEcho)).interceptor(AddMetadata),
        call,
    )
}

struct AddMetadata;

impl Interceptor for AddMetadata {
    async fn unary(
        &self,
        mut request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        request.metadata_mut().append("key1", "value1")?;
        let mut response = next.unary(request).await?;
        response.metadata_mut().insert("seen-by", "the interceptor")?;
        response.trailers_mut().insert("ended-with", "the interceptor")?;
        Ok(response)
    }

    async fn stream(
        &self,
        mut request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        request.metadata_mut().append("key1", "value1")?;
        let messages = messages.map_headers(|mut headers| {
            headers.insert("seen-by", "the interceptor")?;
            Ok(headers)
        });
        let mut trailers = next.stream(request, messages).await?;
        trailers.insert("ended-with", "the interceptor")?;
        Ok(trailers)
    }
}

struct MyEcho;

fn key1(metadata: &Metadata) -> String {
    format!("key1 from metadata: {}", metadata.get("key1").unwrap_or("none"))
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let message = format!("{} ({})", request.message().message, key1(request.metadata()));
        Ok(Response::new(EchoResponse { message }))
    }

    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        let key1 = key1(inbound.metadata());
        while let Some(request) = inbound.message().await? {
            outbound.send(EchoResponse { message: format!("{} ({key1})", request.message) }).await?;
        }
        Ok(())
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let hello = || EchoRequest { message: "hello world".to_owned() };

    let response = echo.unary_echo(hello()).wait()?;
    println!("unary: {}", response.message().message);
    print_seen(response.metadata(), response.trailers());

    let (requests, mut responses) = echo.bidirectional_streaming_echo(());
    for _ in 0..2 {
        requests.send(hello()).wait()?;
    }
    requests.finish();
    while let Some(response) = responses.message().wait()? {
        println!("streamed: {}", response.message);
    }
    let headers = responses.headers().wait()?.clone();
    print_seen(&headers, responses.trailers());
    Ok(())
}

fn print_seen(headers: &Metadata, trailers: &Metadata) {
    let [seen, ended] = [headers.get("seen-by"), trailers.get("ended-with")];
    println!("  seen by {}, ended with {}", seen.unwrap_or("nobody"), ended.unwrap_or("nobody"));
}
