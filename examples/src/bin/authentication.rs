//! Calls that carry a token, over TLS so that nobody else learns it, and a server whose interceptor checks it.
//!
//! The token belongs to the channel: no call has to think of it. A channel without encryption would not send it.

use std::error::Error;
use std::process::ExitCode;

use lariat::credentials::{BearerToken, ChannelCredentials, ClientTls, ServerTls};
use lariat::interceptor::on_request;
use lariat::{Channel, Inbound, Outbound, Request, Response, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, certificates};

const TOKEN: &str = "some-secret-token";

const EXAMPLE: Example = Example {
    name: "authentication",
    about: "Gives each call a token over TLS, and lets in who has the right one.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run_pair(
        |server| {
            let server = server.tls(ServerTls::new(certificates::server()));
            server.add_service(EchoServer::new(MyEcho)).interceptor(on_request(check_token))
        },
        call,
    )
}

/// Looks at how each call begins, of whatever kind it is.
fn check_token(request: &mut Request<()>) -> Result<(), Status> {
    let authorization = request
        .metadata()
        .get("authorization")
        .ok_or_else(|| Status::invalid_argument("missing metadata"))?;
    match authorization.strip_prefix("Bearer ") {
        Some(TOKEN) => Ok(()),
        _ => Err(Status::unauthenticated("invalid token")),
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
    let tls = ClientTls::new().roots(certificates::server_authority()).server_name(certificates::SERVER_NAME);
    let credentials = ChannelCredentials::tls(tls);
    let hello = || EchoRequest { message: "hello world".to_owned() };

    let with_token = credentials.clone().with_call_credentials(BearerToken::new(TOKEN));
    let echo = EchoClient::new(Channel::builder(address).credentials(with_token).build()?);
    println!("UnaryEcho: {}", echo.unary_echo(hello()).wait()?.message().message);
    let (requests, mut responses) = echo.bidirectional_streaming_echo(());
    requests.send(hello()).wait()?;
    requests.finish();
    while let Some(response) = responses.message().wait()? {
        println!("BidirectionalStreamingEcho: {}", response.message);
    }

    let with_another = credentials.clone().with_call_credentials(BearerToken::new("another-token"));
    let echo = EchoClient::new(Channel::builder(address).credentials(with_another).build()?);
    let status = echo.unary_echo(hello()).wait().err().ok_or("a wrong token was let in")?;
    println!("with another token: {status}");

    let echo = EchoClient::new(Channel::builder(address).credentials(credentials).build()?);
    let status = echo.unary_echo(hello()).wait().err().ok_or("a call without a token was let in")?;
    println!("without a token: {status}");

    // In plaintext anybody on the way could take the token, so that there is no such channel.
    let plaintext = ChannelCredentials::plaintext().with_call_credentials(BearerToken::new(TOKEN));
    let channel = Channel::builder(address).credentials(plaintext).build();
    println!("in plaintext: {}", channel.err().ok_or("the token would go out in plaintext")?);
    Ok(())
}
