//! Interceptors on both sides: logging, and authentication by a token.
//!
//! The client has two: one that gives each call a token unless it has one, and outside of it one that says what passes.
//! The server has one that lets nobody in without the token. A real service would do this over TLS only.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lariat::codec::Prost;
use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next, on_request};
use lariat::{Channel, Inbound, Metadata, Outbound, Request, Response, Status, Wait};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const TOKEN: &str = "Bearer some-secret-token";

const EXAMPLE: Example = Example {
    name: "interceptor",
    about: "Logs calls and checks who calls, in interceptors.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run_pair(
        |server| server.plaintext().add_service(EchoServer::new(MyEcho)).interceptor(on_request(check_token)),
        call,
    )
}

/// The server's interceptor, which only looks at how each call begins: a function is enough.
fn check_token(request: &mut Request<()>) -> Result<(), Status> {
    match request.metadata().get("authorization") {
        Some(TOKEN) => Ok(()),
        Some(_) => Err(Status::unauthenticated("invalid token")),
        None => Err(Status::invalid_argument("missing metadata: authorization")),
    }
}

/// The client's: a call that brings a token of its own keeps it.
fn add_token(request: &mut Request<()>) -> Result<(), Status> {
    if !request.metadata().contains_key("authorization") {
        request.metadata_mut().insert("authorization", TOKEN)?;
    }
    Ok(())
}

/// Says what passes. A time could be taken in front of `next` and looked at behind it.
struct Log;

impl Interceptor for Log {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let asked = request.message().decode::<Prost, EchoRequest>()?.message;
        let result = next.unary(request).await;
        match &result {
            Ok(response) => {
                let answered = response.message().decode::<Prost, EchoResponse>()?.message;
                println!("log: {}: {asked:?} -> {answered:?}", next.path());
            }
            Err(status) => println!("log: {}: {asked:?} -> {status}", next.path()),
        }
        result
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        let counters = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = Arc::clone(counter);
            move |message| {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(message)
            }
        };
        let messages = messages.map_requests(count(&counters[0])).map_responses(count(&counters[1]));
        let result = next.stream(request, messages).await;
        let [sent, received] = counters.map(|counter| counter.load(Ordering::Relaxed));
        let outcome = result.as_ref().map_or_else(|status| status.to_string(), |_| "OK".to_owned());
        println!("log: {}: {sent} sent, {received} received, {outcome}", next.path());
        result
    }
}

struct MyEcho;

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }

    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        while let Some(request) = inbound.message().await? {
            outbound.send(EchoResponse { message: request.message }).await?;
        }
        Ok(())
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let channel =
        Channel::builder(address).plaintext().interceptor(Log).interceptor(on_request(add_token)).build()?;
    let echo = EchoClient::new(channel);
    let hello = || EchoRequest { message: "hello world".to_owned() };

    let response = echo.unary_echo(hello()).wait()?;
    println!("unary: {}", response.message().message);

    let (requests, mut responses) = echo.bidirectional_streaming_echo(());
    for _ in 0..3 {
        requests.send(hello()).wait()?;
    }
    requests.finish();
    while let Some(response) = responses.message().wait()? {
        println!("streamed: {}", response.message);
    }

    let mut request = Request::new(hello());
    request.metadata_mut().insert("authorization", "Bearer another")?;
    let status = echo.unary_echo(request).wait().err().ok_or("a wrong token was let in")?;
    println!("with another token: {status}");
    Ok(())
}
