//! How connections are kept alive, and how they end.
//!
//! A server closes connections that nobody uses and those that are old, and pings clients that have fallen silent to
//! find out whether they are still there. Clients may ping, too, no more often than the server allows.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use lariat::client::ConnectivityState;
use lariat::server::ServerBuilder;
use lariat::{Channel, Inbound, Outbound, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

const EXAMPLE: Example = Example {
    name: "keepalive",
    about: "Lets connections end for being idle, old or dead. With times as in production: see server and client.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            idle()?;
            old()?;
            dead()
        }
        Role::Server { address, .. } => {
            let server = Server::builder()
                .keepalive(Duration::from_secs(5), Duration::from_secs(1))
                .keepalive_enforcement(Duration::from_secs(5), true)
                .max_connection_idle(Duration::from_secs(15))
                .max_connection_age(Duration::from_secs(30), Some(Duration::from_secs(5)));
            serve(server, &address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => {
            let channel = connect(&address)?;
            echo(&channel)?;
            let mut state = channel.state();
            loop {
                println!("the channel is {state}");
                state = channel.state_change(state).wait();
            }
        }
    })
}

fn serve(server: ServerBuilder, address: &str) -> Result<Server, Box<dyn Error>> {
    let server = server.plaintext().add_service(EchoServer::new(MyEcho)).bind(address)?;
    println!("listening on {}", server.local_address());
    Ok(server)
}

fn connect(address: &str) -> Result<Channel, Box<dyn Error>> {
    // Pings after ten quiet seconds, also when no call is under way: the server must allow that.
    let channel = Channel::builder(address)
        .keepalive(Duration::from_secs(10), Duration::from_secs(1), true)
        .plaintext();
    Ok(channel.build()?)
}

fn echo(channel: &Channel) -> Result<(), Status> {
    let echo = EchoClient::new(channel.clone());
    let response = echo.unary_echo(EchoRequest { message: "keepalive demo".to_owned() }).wait()?;
    println!("echo: {}", response.message().message);
    Ok(())
}

/// Why the server's connections have ended, when they have.
fn report(server: Server) {
    server.graceful_stop(Duration::from_secs(5)).wait();
    for (reason, count) in server.stats().connections_ended {
        println!("connections ended: {count}, {reason}");
    }
}

/// A connection without calls is closed; the next call makes a new one.
fn idle() -> Result<(), Box<dyn Error>> {
    println!("a connection that nobody uses:");
    let server = serve(Server::builder().max_connection_idle(Duration::from_millis(300)), "127.0.0.1:0")?;
    let channel = connect(&server.local_address().to_string())?;
    echo(&channel)?;
    channel.state_change(ConnectivityState::Ready).wait();
    println!("the channel is {}", channel.state());
    echo(&channel)?;
    println!("connections made: {}", server.stats().connections_accepted);
    Ok(())
}

/// An old connection gets no new calls, and those that it has may finish within the grace.
fn old() -> Result<(), Box<dyn Error>> {
    println!("an old connection:");
    let (age, grace) = (Duration::from_millis(300), Duration::from_millis(300));
    let server = serve(Server::builder().max_connection_age(age, Some(grace)), "127.0.0.1:0")?;
    let channel = connect(&server.local_address().to_string())?;
    let echo = EchoClient::new(channel);
    let (_requests, mut responses) = echo.bidirectional_streaming_echo(Request::new(()));
    responses.headers().wait()?;
    match responses.message().wait() {
        Err(status) => println!("a stream that lasts longer: {}", status.code()),
        Ok(_) => return Err("the stream has ended by itself".into()),
    }
    report(server);
    Ok(())
}

/// A client that does not answer a ping is given up. This one speaks as much HTTP/2 as is needed to be let in.
fn dead() -> Result<(), Box<dyn Error>> {
    println!("a client that has fallen silent:");
    let keepalive = Server::builder().keepalive(Duration::from_secs(1), Duration::from_millis(300));
    let server = serve(keepalive, "127.0.0.1:0")?;
    let mut client = TcpStream::connect(server.local_address().to_string())?;
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    client.write_all(&EMPTY_SETTINGS)?;
    let mut received = Vec::new();
    // Until the server has hung up.
    client.read_to_end(&mut received)?;
    drop(client);
    report(server);
    Ok(())
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
        outbound.send_headers(lariat::Metadata::new())?;
        while let Some(request) = inbound.message().await? {
            outbound.send(EchoResponse { message: request.message }).await?;
        }
        Ok(())
    }
}
