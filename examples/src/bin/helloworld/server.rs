//! The server.

use std::error::Error;
use std::time::Duration;

use lariat::{Engine, Inbound, Metadata, Outbound, Request, Response, Server, Status};

use crate::helloworld::{Greeter, GreeterServer, HelloReply, HelloRequest};

/// Starts a server that greets. It runs until the returned value is dropped.
pub(crate) fn start(address: &str, threads: Option<usize>) -> Result<Server, Box<dyn Error>> {
    let mut server = Server::builder().plaintext().add_service(GreeterServer::new(MyGreeter));
    if let Some(threads) = threads {
        server = server.engine(&Engine::builder().threads(threads).build()?);
    }
    Ok(server.bind(address)?)
}

struct MyGreeter;

impl Greeter for MyGreeter {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let mut response = Response::new(greet(&request.message().name).await?);
        *response.metadata_mut() = echo_headers(request.metadata())?;
        *response.trailers_mut() = echo_trailers(request.metadata())?;
        Ok(response)
    }

    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        outbound.set_trailers(echo_trailers(request.metadata())?);
        outbound.send_headers(echo_headers(request.metadata())?)?;
        let greeting = greet(&request.message().name).await?.message;
        for addition in ["", ", again", ", and once more"] {
            outbound.send(HelloReply { message: format!("{greeting}{addition}") }).await?;
        }
        Ok(())
    }

    async fn say_hello_bidi_stream(
        &self,
        mut inbound: Inbound<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        outbound.set_trailers(echo_trailers(inbound.metadata())?);
        outbound.send_headers(echo_headers(inbound.metadata())?)?;
        while let Some(request) = inbound.message().await? {
            outbound.send(greet(&request.name).await?).await?;
        }
        Ok(())
    }
}

/// Greets, unless there is nobody to greet. The name `delay:500` is greeted half a second later: try it with
/// `--timeout`.
async fn greet(name: &str) -> Result<HelloReply, Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument("request missing required field: name"));
    }
    if let Some(delay) = name.strip_prefix("delay:") {
        let milliseconds = delay.parse().map_err(|error| {
            Status::invalid_argument(format!("delay: needs milliseconds, not {delay:?}: {error}"))
        })?;
        lariat::sleep(Duration::from_millis(milliseconds)).await;
    }
    Ok(HelloReply { message: format!("Hello {name}") })
}

/// The response headers: what the request has as `x-echo`, and as `x-echo-bin` in binary.
fn echo_headers(request: &Metadata) -> Result<Metadata, Status> {
    let mut headers = Metadata::new();
    for text in request.get_all("x-echo") {
        headers.append("x-echo", text).map_err(refused)?;
    }
    for octets in request.get_all_bin("x-echo-bin") {
        headers.append_bin("x-echo-bin", &octets).map_err(refused)?;
    }
    Ok(headers)
}

/// The response trailers: once more what the request has as `x-echo`.
fn echo_trailers(request: &Metadata) -> Result<Metadata, Status> {
    let mut trailers = Metadata::new();
    for text in request.get_all("x-echo") {
        trailers.append("x-echo-trailer", text).map_err(refused)?;
    }
    Ok(trailers)
}

fn refused(error: impl Error) -> Status {
    Status::internal(error.to_string())
}
