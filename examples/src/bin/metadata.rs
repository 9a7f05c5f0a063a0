//! Metadata in both directions, in each of the four kinds of calls.
//!
//! The client sends a `timestamp` with each request. The server sends it back among the headers, which come before the
//! first message, and among the trailers, which come behind the last.

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use lariat::{Channel, Inbound, Metadata, Outbound, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "metadata",
    about: "Sends metadata with requests and responses of all kinds of calls.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho)), call)
}

struct MyEcho;

/// The headers and trailers that answer this metadata.
fn answer(metadata: &Metadata) -> Result<(Metadata, Metadata), Status> {
    let timestamp = metadata.get("timestamp").ok_or_else(|| Status::invalid_argument("no timestamp"))?;
    let (mut headers, mut trailers) = (Metadata::new(), Metadata::new());
    headers.insert("location", "MTV")?;
    headers.insert("timestamp", timestamp)?;
    trailers.insert("timestamp", timestamp)?;
    Ok((headers, trailers))
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let (headers, trailers) = answer(request.metadata())?;
        let mut response = Response::new(EchoResponse { message: request.into_message().message });
        *response.metadata_mut() = headers;
        *response.trailers_mut() = trailers;
        Ok(response)
    }

    async fn server_streaming_echo(
        &self,
        request: Request<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        let (headers, trailers) = answer(request.metadata())?;
        outbound.set_trailers(trailers);
        // Now, rather than with the first message.
        outbound.send_headers(headers)?;
        for _ in 0..3 {
            outbound.send(EchoResponse { message: request.message().message.clone() }).await?;
        }
        Ok(())
    }

    async fn client_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        let (headers, trailers) = answer(inbound.metadata())?;
        let mut last = String::new();
        while let Some(request) = inbound.message().await? {
            last = request.message;
        }
        let mut response = Response::new(EchoResponse { message: last });
        *response.metadata_mut() = headers;
        *response.trailers_mut() = trailers;
        Ok(response)
    }

    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        let (headers, trailers) = answer(inbound.metadata())?;
        outbound.set_trailers(trailers);
        outbound.send_headers(headers)?;
        while let Some(request) = inbound.message().await? {
            outbound.send(EchoResponse { message: request.message }).await?;
        }
        Ok(())
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis().to_string();
    let message = || EchoRequest { message: "this is examples/metadata".to_owned() };
    let mut metadata = Metadata::new();
    metadata.insert("timestamp", &sent)?;

    println!("unary:");
    let mut request = Request::new(message());
    *request.metadata_mut() = metadata.clone();
    let response = echo.unary_echo(request).wait()?;
    print_headers(response.metadata(), &sent);
    println!("  message: {}", response.message().message);
    print_trailers(response.trailers(), &sent);

    println!("server streaming:");
    let mut request = Request::new(message());
    *request.metadata_mut() = metadata.clone();
    let mut responses = echo.server_streaming_echo(request);
    print_headers(responses.headers().wait()?, &sent);
    print_messages(&mut responses)?;
    print_trailers(responses.trailers(), &sent);

    println!("client streaming:");
    let mut request = Request::new(());
    *request.metadata_mut() = metadata.clone();
    let (requests, response) = echo.client_streaming_echo(request);
    for _ in 0..3 {
        requests.send(message()).wait()?;
    }
    requests.finish();
    let response = response.wait()?;
    print_headers(response.metadata(), &sent);
    println!("  message: {}", response.message().message);
    print_trailers(response.trailers(), &sent);

    println!("bidirectional streaming:");
    let mut request = Request::new(());
    *request.metadata_mut() = metadata;
    let (requests, mut responses) = echo.bidirectional_streaming_echo(request);
    print_headers(responses.headers().wait()?, &sent);
    for _ in 0..3 {
        requests.send(message()).wait()?;
    }
    requests.finish();
    print_messages(&mut responses)?;
    print_trailers(responses.trailers(), &sent);
    Ok(())
}

fn print_messages(responses: &mut Inbound<EchoResponse>) -> Result<(), Status> {
    while let Some(response) = responses.message().wait()? {
        println!("  message: {}", response.message);
    }
    Ok(())
}

fn print_headers(headers: &Metadata, sent: &str) {
    let location = headers.get("location").unwrap_or("none");
    println!("  headers: location {location}, {}", timestamp(headers, sent));
}

fn print_trailers(trailers: &Metadata, sent: &str) {
    println!("  trailers: {}", timestamp(trailers, sent));
}

fn timestamp(metadata: &Metadata, sent: &str) -> &'static str {
    match metadata.get("timestamp") {
        Some(timestamp) if timestamp == sent => "the timestamp that was sent",
        Some(_) => "another timestamp",
        None => "no timestamp",
    }
}
