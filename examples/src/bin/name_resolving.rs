//! Where a target leads: `passthrough` takes an address as it is, and a resolver of one's own knows names that nobody
//! else does.

use std::error::Error;
use std::process::ExitCode;

use lariat::client::resolver::{ResolutionSender, ResolveError, Resolver, ResolverBuilder, Work};
use lariat::client::{Target, TargetError};
use lariat::{Address, Channel, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "name_resolving",
    about: "Reaches one server by its address and by a name.",
    client_flags: &[],
};

/// The name that the resolver here knows.
const NAME: &str = "resolver.example.grpc.io";

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let server = NamedEcho::serve("a", "127.0.0.1:0")?;
            call(&server.local_address().to_string())
        }
        Role::Server { address, .. } => {
            NamedEcho::serve(&address, &address)?.stopped().wait();
            Ok(())
        }
        Role::Client { address, .. } => call(&address),
    })
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    println!("by its address:");
    make_calls(&Channel::builder(format!("passthrough:///{address}")).plaintext().build()?)?;

    println!("by a name:");
    let names = Names { name: NAME, address: Address::parse_listen(address)? };
    let channel =
        Channel::builder(format!("example:///{NAME}")).resolver(names.clone()).plaintext().build()?;
    make_calls(&channel)?;

    println!("by a name that is not known:");
    let channel = Channel::builder("example:///nobody").resolver(names).plaintext().build()?;
    let result = EchoClient::new(channel).unary_echo(EchoRequest { message: "hello".to_owned() }).wait();
    println!("{}", result.err().ok_or("somebody has answered")?);
    Ok(())
}

fn make_calls(channel: &Channel) -> Result<(), Box<dyn Error>> {
    let echo = EchoClient::new(channel.clone());
    for _ in 0..10 {
        let response = echo.unary_echo(EchoRequest { message: "hello".to_owned() }).wait()?;
        println!("{}", response.message().message);
    }
    Ok(())
}

/// A resolver for the scheme `example`, which knows one name.
#[derive(Clone)]
struct Names {
    name: &'static str,
    address: Address,
}

impl ResolverBuilder for Names {
    fn scheme(&self) -> &str {
        "example"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        Ok(Box::new(Lookup { names: self.clone(), name: target.endpoint().to_owned() }))
    }
}

/// What answers a channel's questions for one name.
struct Lookup {
    names: Names,
    name: String,
}

impl Resolver for Lookup {
    fn resolve(&mut self) -> Work {
        let Names { name, address } = &self.names;
        Work::Ready(match self.name == *name {
            true => Ok([address.clone()].into_iter().collect()),
            false => Err(ResolveError::new(format!("there is no \"{}\" in the examples", self.name))),
        })
    }
}
