//! Servers that say how they are, and a channel that listens: with `healthCheckConfig` in its service config,
//! `round_robin` sends no call to a server that does not serve.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lariat::client::resolver::Manual;
use lariat::services::{Health, ServingStatus};
use lariat::{Address, Channel, Server, Status, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "health",
    about: "Calls those of the servers at --addr ADDRESS,ADDRESS that say they serve.",
    client_flags: &[],
};

/// The empty name stands for a server as a whole.
const SERVICE_CONFIG: &str =
    r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}"#;

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let health = [Health::new(), Health::new()];
            let servers = [serve("a", "127.0.0.1:0", &health[0])?, serve("b", "127.0.0.1:0", &health[1])?];
            let echo = connect(servers.iter().map(|server| server.local_address().clone()).collect())?;
            show("both serve", &echo, &["a", "b"])?;
            health[0].set("", ServingStatus::NotServing);
            show("a does not", &echo, &["b"])?;
            health[1].set("", ServingStatus::NotServing);
            show("neither does", &echo, &[])?;
            health[0].set("", ServingStatus::Serving);
            show("a does again", &echo, &["a"])
        }
        Role::Server { address, .. } => {
            let health = Health::new();
            let _server = serve(&address, &address, &health)?;
            for status in [ServingStatus::NotServing, ServingStatus::Serving].into_iter().cycle() {
                std::thread::sleep(Duration::from_secs(5));
                health.set("", status);
                println!("{}", status.name());
            }
            Ok(())
        }
        Role::Client { address, .. } => {
            let addresses: Result<_, _> = address.split(',').map(Address::parse_listen).collect();
            let echo = connect(addresses?)?;
            for _ in 0..20 {
                println!("{}", say_hello(&echo).unwrap_or_else(|status| status.to_string()));
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
    })
}

fn serve(name: &str, address: &str, health: &Health) -> Result<Server, Box<dyn Error>> {
    Ok(NamedEcho::serve_beside(Server::builder().add_service(health.clone()), name, address)?)
}

fn connect(addresses: Vec<Address>) -> Result<EchoClient, Box<dyn Error>> {
    let manual = Manual::new("whatever");
    manual.update(addresses.into_iter().collect());
    let channel = Channel::builder("whatever:///unused")
        .resolver(manual)
        .default_service_config(SERVICE_CONFIG)
        .plaintext()
        .build()?;
    Ok(EchoClient::new(channel))
}

fn say_hello(echo: &EchoClient) -> Result<String, Status> {
    Ok(echo.unary_echo(EchoRequest { message: "hello".to_owned() }).wait()?.into_message().message)
}

/// Waits until these servers answer and no other, since the channel learns of changes a moment later.
fn show(title: &str, echo: &EchoClient, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let expected: Vec<String> = names.iter().map(|name| format!("hello (from {name})")).collect();
    let answers = loop {
        let answers = make_calls(echo, 10);
        match answers {
            Ok(counts) if counts.keys().eq(&expected) => break counts,
            Err(status) if expected.is_empty() => {
                println!("{title}: {}", status.code());
                return Ok(());
            }
            Ok(_) | Err(_) => {}
        }
    };
    for (answer, count) in answers {
        println!("{title}: {count} times {answer}");
    }
    Ok(())
}

/// How often each answer came.
fn make_calls(echo: &EchoClient, count: usize) -> Result<BTreeMap<String, usize>, Status> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(say_hello(echo)?).or_default() += 1;
    }
    Ok(answers)
}
