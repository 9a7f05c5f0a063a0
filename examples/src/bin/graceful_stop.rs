//! A server that stops while it is in use: calls under way finish, and new ones are refused.
//!
//! A stream stays open while unary calls are made until one is refused, since the server has stopped. Then the stream
//! ends in its own time, and brings the server's count of the calls that it has answered, which is the client's.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use lariat::{Channel, Inbound, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

const EXAMPLE: Example =
    Example { name: "graceful_stop", about: "Stops a server that is in use.", client_flags: &[] };

/// After so many calls the server stops.
const CALLS: usize = 5;
/// How long calls under way may take from then on.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let (server, enough) = serve("127.0.0.1:0")?;
            let address = server.local_address().to_string();
            let client = thread::spawn(move || call(&address).map_err(|error| error.to_string()));
            stop(&server, &enough)?;
            client.join().map_err(|_| "the client panicked")??;
            Ok(())
        }
        Role::Server { address, .. } => {
            let (server, enough) = serve(&address)?;
            stop(&server, &enough)
        }
        Role::Client { address, .. } => call(&address),
    })
}

fn serve(address: &str) -> Result<(Server, Receiver<()>), Box<dyn Error>> {
    let (sender, enough) = channel();
    let echo = MyEcho { count: AtomicUsize::new(0), enough: sender };
    let server = Server::builder().plaintext().add_service(EchoServer::new(echo)).bind(address)?;
    println!("listening on {}", server.local_address());
    Ok((server, enough))
}

fn stop(server: &Server, enough: &Receiver<()>) -> Result<(), Box<dyn Error>> {
    enough.recv()?;
    // False if calls had to be cut off when the time was over.
    let graceful = server.graceful_stop(LIMIT).wait();
    println!("server: stopped {}", if graceful { "gracefully" } else { "by force" });
    Ok(())
}

struct MyEcho {
    count: AtomicUsize,
    enough: Sender<()>,
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == CALLS {
            // Nobody listens any more when the server is about to end anyhow.
            let _ = self.enough.send(());
        }
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }

    async fn client_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        while inbound.message().await?.is_some() {}
        let message = self.count.load(Ordering::Relaxed).to_string();
        Ok(Response::new(EchoResponse { message }))
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let (requests, response) = echo.client_streaming_echo(Request::new(()));
    let message = |text: &str| EchoRequest { message: text.to_owned() };
    requests.send(message("I was here before")).wait()?;

    let mut count = 0;
    let refused = loop {
        match echo.unary_echo(message("hello")).wait() {
            Ok(_) => count += 1,
            Err(status) => break status,
        }
        thread::sleep(Duration::from_millis(10));
    };
    println!("client: a new call is refused with {}", refused.code());

    requests.send(message("and am still here")).wait()?;
    requests.finish();
    let served: usize = response.wait()?.message().message.parse()?;
    println!("client: calls made: {count}, calls served: {served}");
    if served == count { Ok(()) } else { Err("the server has served other calls than were made".into()) }
}
