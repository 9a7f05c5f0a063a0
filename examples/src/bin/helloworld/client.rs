//! The client.

use std::error::Error;
use std::time::Duration;

use lariat::{Channel, Metadata, Request, Wait};

use crate::helloworld::{GreeterClient, HelloRequest};

/// Somebody who wants to be greeted.
pub(crate) struct Visitor {
    pub(crate) name: String,
    /// Metadata for the server to send back.
    pub(crate) echo: Option<String>,
    /// How long each call may take.
    pub(crate) timeout: Option<Duration>,
}

impl Visitor {
    /// Calls each method of the greeter at `address`. This is a plain thread, so it waits for what comes with
    /// `wait()`; inside of an async function it would be `await`.
    pub(crate) fn visit(&self, address: &str) -> Result<(), Box<dyn Error>> {
        let channel = Channel::builder(address).plaintext().build()?;
        let greeter = GreeterClient::new(channel);

        // One request, one reply.
        let response = greeter.say_hello(self.request(self.hello())?).wait()?;
        println!("greeting: {}", response.message().message);
        self.print_echo(response.metadata(), response.trailers());

        // One request, many replies.
        let mut replies = greeter.say_hello_stream_reply(self.request(self.hello())?);
        while let Some(reply) = replies.message().wait()? {
            println!("streamed: {}", reply.message);
        }

        // Many requests, many replies.
        let (requests, mut replies) = greeter.say_hello_bidi_stream(self.request(())?);
        for _ in 0..3 {
            requests.send(self.hello()).wait()?;
            if let Some(reply) = replies.message().wait()? {
                println!("conversation: {}", reply.message);
            }
        }
        requests.finish();
        while replies.message().wait()?.is_some() {}
        Ok(())
    }

    fn hello(&self) -> HelloRequest {
        HelloRequest { name: self.name.clone() }
    }

    /// A request with what was chosen on the command line. Where there is nothing to choose, a client's
    /// methods take the bare message as well.
    fn request<T>(&self, message: T) -> Result<Request<T>, Box<dyn Error>> {
        let mut request = Request::new(message);
        if let Some(echo) = &self.echo {
            request.metadata_mut().insert("x-echo", echo)?;
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }

    fn print_echo(&self, headers: &Metadata, trailers: &Metadata) {
        if self.echo.is_some() {
            println!("header x-echo: {}", headers.get("x-echo").unwrap_or("none"));
            println!("trailer x-echo-trailer: {}", trailers.get("x-echo-trailer").unwrap_or("none"));
        }
    }
}
