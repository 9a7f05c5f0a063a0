//! A sender that is held up by a reader who does not read, in both directions.
//!
//! What is sent waits for room in the stream's flow-control window, which only the reader's reading gives back. So
//! neither side holds more of a stream than the window, however fast the other is. Other calls on the same connection
//! go on, which is how each side here tells the other that it may read.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use lariat::{Channel, Inbound, Outbound, Request, Response, Status, Wait, sleep};
use lariat_examples::Example;
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};

const EXAMPLE: Example = Example {
    name: "flow_control",
    about: "Sends until nothing more goes out, since nobody reads, in both directions.",
    client_flags: &[],
};

const MESSAGE_SIZE: usize = 8 * 1024;
/// A sender that has waited for so long is held up.
const HELD_UP: Duration = Duration::from_millis(500);

/// The unary calls by which the two sides agree.
const READ_ON: &str = "read on";
const ARE_YOU_HELD_UP: &str = "tell me when you are held up";

fn main() -> ExitCode {
    EXAMPLE.run_pair(|server| server.plaintext().add_service(EchoServer::new(MyEcho::default())), call)
}

#[derive(Default)]
struct MyEcho {
    may_read: Event,
    is_held_up: Event,
}

impl Echo for MyEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        match &*request.message().message {
            READ_ON => self.may_read.set(),
            _ => self.is_held_up.wait().await,
        }
        Ok(Response::new(EchoResponse { message: request.into_message().message }))
    }

    async fn bidirectional_streaming_echo(
        &self,
        mut inbound: Inbound<EchoRequest>,
        outbound: Outbound<EchoResponse>,
    ) -> Result<(), Status> {
        self.may_read.wait().await;
        let mut received = 0;
        while inbound.message().await?.is_some() {
            received += 1;
        }
        println!("server: has read {received} messages");

        let message = || EchoResponse { message: "x".repeat(MESSAGE_SIZE) };
        let sent = send_until_held_up(&outbound, message, || self.is_held_up.set()).await?;
        println!("server: has sent {sent} messages");
        Ok(())
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(Channel::builder(address).plaintext().build()?);
    let tell = |text: &str| echo.unary_echo(EchoRequest { message: text.to_owned() });
    let (requests, mut responses) = echo.bidirectional_streaming_echo(Request::new(()));

    let message = || EchoRequest { message: "x".repeat(MESSAGE_SIZE) };
    let mut told = None;
    let sent = send_until_held_up(&requests, message, || told = Some(tell(READ_ON))).wait()?;
    println!("client: has sent {sent} messages");
    requests.finish();
    told.ok_or("the client was never held up")?.wait()?;

    tell(ARE_YOU_HELD_UP).wait()?;
    let mut received = 0;
    while responses.message().wait()?.is_some() {
        received += 1;
    }
    println!("client: has read {received} messages");
    println!("client: the stream has ended well");
    Ok(())
}

/// Sends until a message has to wait for a long time, and then that message. Returns how many were sent.
async fn send_until_held_up<T>(
    outbound: &Outbound<T>,
    message: impl Fn() -> T,
    when_held_up: impl FnOnce(),
) -> Result<usize, Status> {
    for count in 1.. {
        let mut send = pin!(outbound.send(message()));
        let mut patience = pin!(sleep(HELD_UP));
        let sent = poll_fn(|cx| match send.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
        });
        match sent.await {
            Some(result) => result?,
            None => {
                println!("message {count} has to wait");
                when_held_up();
                send.await?;
                return Ok(count);
            }
        }
    }
    Ok(0)
}

/// Something that happens once: whether it has, and who waits for it.
#[derive(Default)]
struct Event(Mutex<(bool, Vec<Waker>)>);

impl Event {
    fn set(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
