//! Servers that are reached by IPv4 or by IPv6: an endpoint has an address of each, and a channel uses the one that
//! works.
//!
//! Of the three servers one listens for IPv4 alone, one for IPv6 alone, and one for both. `round_robin` counts
//! endpoints, not addresses, so that each gets a third of the calls.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use lariat::client::endpoint::Endpoint;
use lariat::client::resolver::{Resolution, ResolutionSender, Resolver, ResolverBuilder, Work};
use lariat::client::{Target, TargetError};
use lariat::{Address, Channel, Server, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "dualstack",
    about: "Spreads calls over servers with an IPv4 address, an IPv6 address or both, at --addr PORT,PORT,..",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let servers = [
                NamedEcho::serve("IPv4", "127.0.0.1:0")?,
                NamedEcho::serve("IPv6", "[::1]:0")?,
                NamedEcho::serve("both", "[::]:0")?,
            ];
            call(servers.iter().map(port).collect())
        }
        Role::Server { address, .. } => {
            NamedEcho::serve(&address, &address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => {
            let ports: Result<_, _> = address.split(',').map(str::parse).collect();
            call(ports?)
        }
    })
}

fn port(server: &Server) -> u16 {
    match server.local_address() {
        Address::Tcp(address) => address.port(),
        _ => 0,
    }
}

fn call(ports: Vec<u16>) -> Result<(), Box<dyn Error>> {
    let servers = ports.len();
    let channel = Channel::builder("example:///dualstack")
        .resolver(Ports(ports))
        .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
        .plaintext()
        .build()?;
    let echo = EchoClient::new(channel);
    let round = || -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
        let mut answers = BTreeMap::new();
        for _ in 0..10 * servers {
            let response = echo.unary_echo(EchoRequest { message: "hello".to_owned() }).wait()?;
            *answers.entry(response.into_message().message).or_default() += 1;
        }
        Ok(answers)
    };
    // The first calls go to whichever server is connected first.
    while round()?.values().any(|count| *count != 10) {}
    for (answer, count) in round()? {
        println!("{count} times {answer}");
    }
    Ok(())
}

/// Resolves every name of the scheme `example` to these ports of this machine.
#[derive(Clone)]
struct Ports(Vec<u16>);

impl ResolverBuilder for Ports {
    fn scheme(&self) -> &str {
        "example"
    }

    fn build(&self, _: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        Ok(Box::new(self.clone()))
    }
}

impl Resolver for Ports {
    fn resolve(&mut self) -> Work {
        let endpoint = |port: &u16| {
            let loopback = [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)];
            Endpoint::new(loopback.map(|ip| Address::Tcp(SocketAddr::new(ip, *port))).into())
        };
        Work::Ready(Ok(Resolution::new(self.0.iter().map(endpoint).collect())))
    }
}
