//! The first example: a server that greets people, and a client that asks it to.
//!
//! `server.rs` and `client.rs` are all there is to it; this file runs them.

mod client;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lariat::Wait;
use lariat_examples::{Example, Flag, Role};

/// What `build.rs` generated from `proto/helloworld.proto`.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

const EXAMPLE: Example = Example {
    name: "helloworld",
    about: "Says hello: in one reply, in a stream of replies, and in a conversation.",
    client_flags: &[
        Flag { name: "--name", value: "NAME", about: "whom to greet (default: world)" },
        Flag { name: "--echo", value: "TEXT", about: "metadata to send, which the server sends back" },
        Flag { name: "--timeout", value: "MS", about: "how long each call may take, in milliseconds" },
    ],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => both(),
        Role::Server { address, threads } => {
            let server = server::start(&address, threads)?;
            println!("listening on {}", server.local_address());
            server.stopped().wait();
            Ok(())
        }
        Role::Client { address, options } => {
            let visitor = client::Visitor {
                name: options.get("--name")?.unwrap_or_else(|| "world".to_owned()),
                echo: options.get("--echo")?,
                timeout: options.get("--timeout")?.map(Duration::from_millis),
            };
            visitor.visit(&address)
        }
    })
}

fn both() -> Result<(), Box<dyn Error>> {
    let server = server::start("127.0.0.1:0", None)?;
    let address = server.local_address().to_string();
    println!("listening on {address}");

    let visitor = client::Visitor { name: "world".to_owned(), echo: None, timeout: None };
    visitor.visit(&address)?;

    server.graceful_stop(Duration::from_secs(5)).wait();
    println!("server stopped");
    Ok(())
}
