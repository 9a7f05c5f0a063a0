//! The core in made-up time, with its actions as text.

mod any_order;
mod balancers;
mod connecting;
mod idleness;
mod resolution;
mod scaling;
mod service_config;
mod watches;

use super::*;
use crate::client::picker::{PickInfo, Picker};
use crate::net::Address;
use crate::rpc::{Code, Metadata};
use std::time::Duration;

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";

const ROUND_ROBIN: &str =
    r#"{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}]}]}"#;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs a core in made-up time and keeps its actions as text.
struct Driver {
    core: Core,
    now: Instant,
    log: Vec<String>,
    /// The attempts in the order they were started.
    attempts: Vec<(ConnectionId, String, Instant)>,
    picker: Arc<dyn Picker>,
    configs: CallConfigs,
}

impl Driver {
    fn new() -> Self {
        Driver::with(Config::new("dns:///test"))
    }

    fn with(config: Config) -> Self {
        let now = Instant::now();
        let core = Core::new(config, 1);
        let picker = Arc::new(Always(Pick::Queue));
        let configs = CallConfigs::None;
        let mut driver = Driver { core, now, log: Vec::new(), attempts: Vec::new(), picker, configs };
        driver.drain();
        driver.did(&["IDLE"]);
        driver
    }

    fn drain(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.log.push(match action {
                Action::Resolve => "resolve".into(),
                Action::StopResolver => "stop resolver".into(),
                Action::StartConnect { id, address, deadline } => {
                    self.attempts.push((id, address.to_string(), deadline));
                    format!("connect {address}")
                }
                Action::Disconnect { id } => format!("disconnect {}", self.address(id)),
                Action::Watch { id, request } => format!("watch {request:?} of {}", self.address(id)),
                Action::StopHealthWatch { id } => {
                    format!("stop the health watch of {}", self.address(id))
                }
                Action::StopLoadWatch { id } => format!("stop the load watch of {}", self.address(id)),
                Action::Configure(configs, _) => {
                    self.configs = configs;
                    continue;
                }
                Action::Publish { state, picker } => {
                    self.picker = picker;
                    assert_eq!(state, self.core.state());
                    state.to_string()
                }
            });
        }
    }

    fn address(&self, id: ConnectionId) -> String {
        self.attempts.iter().find(|(other, ..)| *other == id).unwrap().1.clone()
    }

    /// The latest attempt to this address.
    fn id(&self, address: &str) -> ConnectionId {
        self.attempts.iter().rfind(|(_, other, _)| other == address).unwrap().0
    }

    #[track_caller]
    fn did(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), expected);
    }

    fn demand(&mut self) {
        self.core.handle_demand(self.now);
        self.drain();
    }

    fn resolved(&mut self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| Address::Tcp(text.parse().unwrap()));
        self.core.handle_resolution(self.now, Ok(addresses.collect()));
        self.drain();
    }

    fn resolved_with(&mut self, addresses: &[&str], service_config: Result<&str, ResolveError>) {
        let addresses = addresses.iter().map(|text| Address::Tcp(text.parse().unwrap()));
        let mut resolution: Resolution = addresses.collect();
        resolution.service_config = Some(service_config.map(str::to_owned));
        self.core.handle_resolution(self.now, Ok(resolution));
        self.drain();
    }

    fn resolver_failed(&mut self, error: &str) {
        self.core.handle_resolution(self.now, Err(ResolveError::new(error)));
        self.drain();
    }

    fn report(&mut self, id: ConnectionId, event: ConnectionEvent) {
        self.core.handle_connection(self.now, id, event);
        self.drain();
    }

    fn ready(&mut self, address: &str) {
        self.report(self.id(address), ConnectionEvent::Ready);
    }

    fn lost(&mut self, address: &str) {
        self.report(self.id(address), ConnectionEvent::Lost { reason: "connection refused".into() });
    }

    fn active(&mut self, calls: usize) {
        self.core.handle_activity(self.now, calls);
        self.drain();
    }

    /// Lets time pass with every timer served when it is due.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            match self.core.poll_timeout().filter(|time| *time <= end) {
                Some(time) => self.now = self.now.max(time),
                None => {
                    self.now = end;
                    return;
                }
            }
            let before = self.core.poll_timeout();
            self.core.handle_timeout(self.now);
            let first = self.log.len();
            self.drain();
            assert!(
                self.log.len() > first || self.core.poll_timeout() != before,
                "a timer was due that did nothing"
            );
        }
        panic!("the timers do not come to rest");
    }

    fn pick(&self) -> Pick {
        self.picker.pick(&PickInfo::new("/s/m", &Metadata::default()))
    }

    #[track_caller]
    fn failure(&self) -> String {
        match self.pick() {
            Pick::Fail(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                status.message().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    /// A channel connected to A, which B can replace.
    fn connected() -> Self {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A, B]);
        driver.ready(A);
        driver.log.clear();
        driver
    }
}
