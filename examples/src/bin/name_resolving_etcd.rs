//! Servers that register in etcd, and a channel that follows: it sees servers come and go while it is in use.
//!
//! Needs an etcd, at 127.0.0.1:2379 or where the variable `ETCD` says (`host:port`, several with commas).

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;

use lariat::etcd::{Entry, Etcd, Registration};
use lariat::{Channel, Request, Server, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "name_resolving_etcd",
    about: "Registers servers in etcd and finds them. The client's --addr is the name: see ETCD for where etcd is.",
    client_flags: &[],
};

/// The name of the servers.
const NAME: &str = "examples/echo";

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => both(),
        Role::Server { address, .. } => {
            let (server, _registration) = serve(&address, &address)?;
            server.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => {
            let response = connect(&address)?.unary_echo(hello()).wait()?;
            println!("{}", response.message().message);
            Ok(())
        }
    })
}

fn etcd() -> Etcd {
    Etcd::new(members().split(',')).plaintext()
}

fn members() -> String {
    std::env::var("ETCD").unwrap_or_else(|_| "127.0.0.1:2379".to_owned())
}

fn both() -> Result<(), Box<dyn Error>> {
    let (_a, registration_a) = serve("a", "127.0.0.1:0")?;
    let echo = connect(NAME)?;
    wait_for(&echo, &["a"])?;

    let (b, registration_b) = serve("b", "127.0.0.1:0")?;
    wait_for(&echo, &["a", "b"])?;

    // First the entry, then the server: no call fails.
    registration_b.deregister().wait()?;
    wait_for(&echo, &["a"])?;
    drop(b);
    registration_a.deregister().wait()?;
    Ok(())
}

/// A server, and its entry in etcd as long as the second value is kept.
fn serve(name: &str, address: &str) -> Result<(Server, Registration), Box<dyn Error>> {
    let server = NamedEcho::serve(name, address)?;
    let registration = etcd().register(NAME, Entry::new(server.local_address().to_string()))?;
    // It tries until it succeeds, however long there is no etcd.
    println!("{name}: registering in the etcd at {}", members());
    registration.registered().wait();
    println!("{name}: registered");
    Ok((server, registration))
}

fn connect(name: &str) -> Result<EchoClient, Box<dyn Error>> {
    let channel = Channel::builder(format!("etcd:///{name}"))
        .resolver(etcd())
        .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
        .plaintext()
        .build()?;
    Ok(EchoClient::new(channel))
}

fn hello() -> Request<EchoRequest> {
    Request::new(EchoRequest { message: "hello".to_owned() }).with_wait_for_ready(true)
}

/// Calls until these servers answer and no other.
fn wait_for(echo: &EchoClient, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let expected: BTreeSet<String> = names.iter().map(|name| format!("hello (from {name})")).collect();
    let mut answers = BTreeSet::new();
    while answers != expected {
        answers.clear();
        for _ in 0..10 {
            answers.insert(echo.unary_echo(hello()).wait()?.into_message().message);
        }
    }
    println!("client: answers come from {}", names.join(" and "));
    Ok(())
}
