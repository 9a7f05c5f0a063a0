//! The unary method of the measured service on pajamax, which has no streaming.
//!
//! `pajamax-server --port P`. The messages and the service's dispatch are written by hand, since the published code
//! generator is of an older version than the published engine.

use std::net::SocketAddr;

use pajamax::error::Error;
use pajamax::{Config, PajamaxService, local_build_response};
use prost::Message;

#[derive(Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

struct Greeter;

impl PajamaxService for Greeter {
    fn route(&self, path: &[u8]) -> Option<usize> {
        (path == b"/helloworld.Greeter/SayHello").then_some(0)
    }

    fn handle(&self, _method: usize, request: &[u8], stream: u32) -> Result<(), Error> {
        let HelloRequest { name } = HelloRequest::decode(request)?;
        local_build_response(stream, Ok(HelloReply { message: format!("Hello {name}") }))
    }

    fn is_dispatch_mode(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let port: u16 = option("--port").ok_or("usage: pajamax-server --port P")?.parse()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    println!("listening on {address}");
    Config::new().max_concurrent_connections(2000).add_service(Greeter).serve(address)?;
    Ok(())
}
