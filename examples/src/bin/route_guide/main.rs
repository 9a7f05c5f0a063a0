//! All four kinds of rpcs: a server that knows what there is to see, and a client that travels.
//!
//! `server.rs` and `client.rs` hold the example; this file runs them.

mod client;
mod features;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lariat::Wait;
use lariat_examples::{Example, Role};

/// What `build.rs` generated from `proto/route_guide.proto`.
pub mod routeguide {
    lariat::include_proto!("routeguide");
}

const EXAMPLE: Example = Example {
    name: "route_guide",
    about: "Travels and looks around, with one call of each kind: unary, server, client and bidirectional streaming.",
    client_flags: &[],
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
        Role::Client { address, .. } => client::travel(&address),
    })
}

fn both() -> Result<(), Box<dyn Error>> {
    let server = server::start("127.0.0.1:0", None)?;
    let address = server.local_address().to_string();
    println!("listening on {address}");

    client::travel(&address)?;

    server.graceful_stop(Duration::from_secs(5)).wait();
    println!("server stopped");
    Ok(())
}
