//! A load balancing policy of one's own, chosen and configured by the service config: every third call goes to the
//! second server, the others to the first.
//!
//! The policy itself keeps no connections. An `EndpointBalancer` has a `pick_first` child for each server, and the
//! policy decides which child is asked.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use lariat::client::ConnectivityState;
use lariat::client::balancer::{
    Balancer, BalancerBuilder, Controller, EndpointBalancer, EndpointPolicy, EndpointSharding, PolicyConfig,
    Registry, Shard,
};
use lariat::client::picker::{Pick, PickInfo, Picker, Rotation};
use lariat::client::resolver::{Manual, Resolution};
use lariat::client::service_config::{ConfigError, Json};
use lariat::{Address, Channel, Wait};
use lariat_examples::echo::{EchoClient, EchoRequest};
use lariat_examples::{Example, NamedEcho, Role};

const EXAMPLE: Example = Example {
    name: "custom_load_balancer",
    about: "Sends every third call to the second of the servers at --addr ADDRESS,ADDRESS.",
    client_flags: &[],
};

const SERVICE_CONFIG: &str = r#"{"loadBalancingConfig": [{"custom_round_robin": {"chooseSecond": 3}}]}"#;

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

fn call(addresses: Resolution) -> Result<(), Box<dyn Error>> {
    let backends = Manual::new("example");
    backends.update(addresses);
    let channel = Channel::builder("example:///lb.example.grpc.io")
        .resolver(backends)
        .balancer(CustomRoundRobin)
        .default_service_config(SERVICE_CONFIG)
        .plaintext()
        .build()?;
    let echo = EchoClient::new(channel);
    let answer = || -> Result<String, Box<dyn Error>> {
        Ok(echo.unary_echo(EchoRequest { message: "hello".to_owned() }).wait()?.into_message().message)
    };
    for _ in 0..9 {
        println!("{}", answer()?);
    }
    Ok(())
}

struct CustomRoundRobin;

/// `{"chooseSecond": 3}`: one call of so many goes to the second server.
struct CustomRoundRobinConfig {
    choose_second: usize,
}

impl BalancerBuilder for CustomRoundRobin {
    fn name(&self) -> &str {
        "custom_round_robin"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(EndpointBalancer::new(CustomRoundRobinPolicy { choose_second: 1 }))
    }

    fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
        let choose_second = config.required("chooseSecond", "a whole number of at least 1")?;
        let choose_second = choose_second.whole(1..=1_000_000)? as usize;
        Ok(PolicyConfig::new(CustomRoundRobinConfig { choose_second }))
    }

    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::new(CustomRoundRobinConfig { choose_second: 3 })
    }
}

struct CustomRoundRobinPolicy {
    choose_second: usize,
}

impl EndpointPolicy for CustomRoundRobinPolicy {
    /// Calls wait until both servers are there.
    fn publish(&mut self, servers: &EndpointSharding, controller: &mut dyn Controller) {
        let (mut state, mut pickers) = (servers.state(), servers.best_pickers());
        if state == ConnectivityState::Ready && pickers.len() < 2 {
            (state, pickers) = (ConnectivityState::Connecting, Vec::new());
        }
        let (choose_second, turns) = (self.choose_second, Rotation::new(0));
        controller.publish(state, Arc::new(CustomRoundRobinPicker { pickers, choose_second, turns }));
    }

    fn handle_resolution(&mut self, config: &PolicyConfig, _: &[Shard]) {
        if let Some(config) = config.get::<CustomRoundRobinConfig>() {
            self.choose_second = config.choose_second;
        }
    }
}

#[derive(Debug)]
struct CustomRoundRobinPicker {
    pickers: Vec<Arc<dyn Picker>>,
    choose_second: usize,
    turns: Rotation,
}

impl Picker for CustomRoundRobinPicker {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let second = self.turns.next(self.choose_second) == self.choose_second - 1;
        let picker = self.pickers.get(usize::from(second)).or(self.pickers.first());
        picker.map_or(Pick::Queue, |picker| picker.pick(info))
    }
}
