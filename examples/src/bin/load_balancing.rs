//! Two servers behind one name: by default a channel stays with the first that answers, and with `round_robin` in its
//! service config it takes them by turns.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use lariat::client::resolver::{ResolutionSender, Resolver, ResolverBuilder, Work};
use lariat::client::{Target, TargetError};
use lariat::{Address, Channel, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "load_balancing",
    about: "Spreads calls over the servers at --addr ADDRESS,ADDRESS.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let servers = [NamedEcho::serve("a", "127.0.0.1:0")?, NamedEcho::serve("b", "127.0.0.1:0")?];
            call(servers.iter().map(|server| server.local_address().clone()).collect())
        }
        Role::Server { address, .. } => {
            NamedEcho::serve(&address, &address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => {
            let addresses: Result<_, _> = address.split(',').map(Address::parse_listen).collect();
            call(addresses?)
        }
    })
}

fn call(addresses: Vec<Address>) -> Result<(), Box<dyn Error>> {
    let names = Names { addresses };
    println!("with pick_first:");
    let channel =
        Channel::builder("example:///lb.example.grpc.io").resolver(names.clone()).plaintext().build()?;
    print(&make_calls(&channel, 10)?);

    println!("with round_robin:");
    let channel = Channel::builder("example:///lb.example.grpc.io")
        .resolver(names.clone())
        .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
        .plaintext()
        .build()?;
    // The first calls go to whichever server is connected first.
    while make_calls(&channel, names.addresses.len())?.len() < names.addresses.len() {}
    print(&make_calls(&channel, 10)?);
    Ok(())
}

/// How often each answer came.
fn make_calls(channel: &Channel, count: usize) -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
    let echo = EchoClient::new(channel.clone());
    let mut answers = BTreeMap::<String, usize>::new();
    for _ in 0..count {
        let response = echo.unary_echo(EchoRequest { message: "hello".to_owned() }).wait()?;
        *answers.entry(response.into_message().message).or_default() += 1;
    }
    Ok(answers)
}

fn print(answers: &BTreeMap<String, usize>) {
    answers.iter().for_each(|(answer, count)| println!("{count} times {answer}"));
}

/// Resolves every name of the scheme `example` to the same servers.
#[derive(Clone)]
struct Names {
    addresses: Vec<Address>,
}

impl ResolverBuilder for Names {
    fn scheme(&self) -> &str {
        "example"
    }

    fn build(&self, _: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        Ok(Box::new(self.clone()))
    }
}

impl Resolver for Names {
    fn resolve(&mut self) -> Work {
        Work::Ready(Ok(self.addresses.iter().cloned().collect()))
    }
}
