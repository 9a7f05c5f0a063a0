//! Deadlines, also across servers.
//!
//! The server calls itself on behalf of its clients: the message `[propagate me]x` is sent on as `x` after a while,
//! within the call that brought it. So the deadline that the first client set holds for all of the way, and is known at
//! each step.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lariat::{Channel, Code, Inbound, Incoming, Outbound, Request, Response, Server, Status, Wait, sleep};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role};

const EXAMPLE: Example = Example {
    name: "deadline",
    about: "Lets calls run out of time, also those that a server makes on behalf of others.",
    client_flags: &[],
};

/// How long the client waits for each call.
const TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the server waits before it sends something on: once is in time, twice is not.
const BEFORE_PROPAGATION: Duration = Duration::from_millis(600);
/// How long the server takes for the message `delay`.
const DELAY: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let server = serve("127.0.0.1:0")?;
            call(&server.local_address().to_string())?;
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
    let itself = Arc::new(OnceLock::new());
    let echo = MyEcho { itself: Arc::clone(&itself) };
    let server = Server::builder().plaintext().add_service(EchoServer::new(echo)).bind(address)?;
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build()?;
    // The address is known only now; calls that come earlier wait for nobody and are told so.
    let _ = itself.set(EchoClient::new(channel));
    println!("listening on {}", server.local_address());
    Ok(server)
}

struct MyEcho {
    /// A client of this very server.
    itself: Arc<OnceLock<EchoClient>>,
}

impl MyEcho {
    /// The answer to a message that came with an incoming call.
    async fn answer(&self, message: String, incoming: &impl Incoming) -> Result<EchoResponse, Status> {
        if let Some(rest) = message.strip_prefix("[propagate me]") {
            sleep(BEFORE_PROPAGATION).await;
            let further = Request::new(EchoRequest { message: rest.to_owned() }).within(incoming);
            let itself = self.itself.get().ok_or_else(|| Status::unavailable("the server is starting"))?;
            return Ok(itself.unary_echo(further).await?.into_message());
        }
        if message == "delay" {
            sleep(DELAY).await;
        }
        Ok(EchoResponse { message })
    }
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let message = request.message().message.clone();
        self.answer(message, &request).await.map(Response::new)
    }

    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        while let Some(request) = inbound.message().await? {
            outbound.send(self.answer(request.message, &inbound).await?).await?;
        }
        Ok(())
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let late = Code::DeadlineExceeded;

    let unary = |message: &str| {
        let request = EchoRequest { message: message.to_owned() };
        echo.unary_echo(Request::new(request).with_timeout(TIMEOUT)).wait().map(drop)
    };
    compare("1. a call that is answered at once", Code::Ok, unary("world"));
    compare("2. a call that takes too long", late, unary("delay"));
    compare("3. a call that is sent on once", Code::Ok, unary("[propagate me]world"));
    compare("4. a call that is sent on twice", late, unary("[propagate me][propagate me]world"));

    let stream = |message: &str| {
        let (requests, mut responses) =
            echo.bidirectional_streaming_echo(Request::new(()).with_timeout(TIMEOUT));
        requests.send(EchoRequest { message: message.to_owned() }).wait()?;
        requests.finish();
        while responses.message().wait()?.is_some() {}
        Ok(())
    };
    compare("5. a stream that is sent on once", Code::Ok, stream("[propagate me]world"));
    compare("6. a stream that is sent on twice", late, stream("[propagate me][propagate me]world"));
    Ok(())
}

fn compare(what: &str, wanted: Code, got: Result<(), Status>) {
    let got = got.map_or_else(|status| status.code(), |()| Code::Ok);
    println!("{what}: wanted {wanted}, got {got}");
}
