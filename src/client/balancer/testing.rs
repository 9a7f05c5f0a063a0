//! A controller for tests: it records what a balancer does, in made-up time.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Balancer, Controller, Policy, PolicyConfig, Registry, Update};
use crate::client::attributes::Attributes;
use crate::client::connectivity::ConnectivityState;
use crate::client::endpoint::Endpoint;
use crate::client::picker::{CallObserver, Pick, PickInfo, Picker};
use crate::client::random::Xorshift;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{Health, SubchannelEvent, SubchannelId, SubchannelState};
use crate::net::Address;
use crate::rpc::{Code, Metadata};

pub(super) const A: &str = "10.0.0.1:80";
pub(super) const B: &str = "10.0.0.2:80";
pub(super) const C: &str = "10.0.0.3:80";

/// Plays the channel's core.
pub(super) struct Fake {
    pub(super) now: Instant,
    pub(super) log: Vec<String>,
    pub(super) state: Option<ConnectivityState>,
    pub(super) picker: Option<Arc<dyn Picker>>,
    /// What `watch_health` answers.
    pub(super) health: Health,
    subchannels: Vec<Entry>,
    random: Xorshift,
}

struct Entry {
    id: SubchannelId,
    address: Address,
    attributes: Attributes,
    state: SubchannelState,
    load_interval: Option<Duration>,
    users: usize,
}

impl Fake {
    pub(super) fn new() -> Self {
        Fake {
            now: Instant::now(),
            log: Vec::new(),
            state: None,
            picker: None,
            health: Health::Serving,
            subchannels: Vec::new(),
            random: Xorshift::new(1),
        }
    }

    pub(super) fn address(&self, id: SubchannelId) -> String {
        self.entry(id).address.to_string()
    }

    fn entry(&self, id: SubchannelId) -> &Entry {
        self.subchannels.iter().find(|entry| entry.id == id).unwrap()
    }

    /// The latest subchannel for this address.
    pub(super) fn id(&self, address: &str) -> SubchannelId {
        self.subchannels.iter().rfind(|entry| entry.address.to_string() == address).unwrap().id
    }

    /// The addresses of all subchannels that somebody has.
    pub(super) fn in_use(&self) -> Vec<String> {
        let used = self.subchannels.iter().filter(|entry| entry.users > 0);
        used.map(|entry| entry.address.to_string()).collect()
    }

    /// The addresses of all subchannels with an attempt under way.
    pub(super) fn connecting(&self) -> Vec<String> {
        let connecting = |entry: &&Entry| entry.users > 0 && entry.state == SubchannelState::Connecting;
        self.subchannels.iter().filter(connecting).map(|entry| entry.address.to_string()).collect()
    }

    #[track_caller]
    pub(super) fn did(&mut self, expected: &[&str]) {
        assert_eq!(mem::take(&mut self.log), expected);
    }

    pub(super) fn pick(&self) -> Pick {
        self.pick_with(&Metadata::default())
    }

    pub(super) fn pick_with(&self, metadata: &Metadata) -> Pick {
        self.picker.as_ref().unwrap().pick(&PickInfo::new("/s/m", metadata))
    }

    /// Makes a call as the channel does: one that waits, or whose picker asks for it, has the balancer connect.
    pub(super) fn call(&mut self, balancer: &mut dyn Balancer, metadata: &Metadata) -> Pick {
        let pick = self.pick_with(metadata);
        let demand = match &pick {
            Pick::Queue => true,
            Pick::Send(route) => route.asks_to_connect(),
            Pick::Fail(_) | Pick::Drop(_) => false,
        };
        if demand {
            balancer.exit_idle(self);
        }
        pick
    }

    /// The address that a pick leads to.
    #[track_caller]
    pub(super) fn picked(&self) -> String {
        let pick = self.pick();
        self.address(pick.subchannel().unwrap_or_else(|| panic!("{pick:?}")))
    }

    /// The text of the status that calls fail with.
    #[track_caller]
    pub(super) fn failure(&self) -> String {
        match self.pick() {
            Pick::Fail(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                status.message().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Tells the balancer that the latest subchannel for this address has this state, which must be possible.
    #[track_caller]
    pub(super) fn report(&mut self, balancer: &mut dyn Balancer, address: &str, state: SubchannelState) {
        use SubchannelState::{Connecting, Idle, Ready, TransientFailure};
        let id = self.id(address);
        let entry = self.subchannels.iter_mut().find(|entry| entry.id == id).unwrap();
        assert!(entry.users > 0, "{address} was given up");
        assert!(
            matches!(
                (&entry.state, &state),
                (Connecting, Ready | TransientFailure(_)) | (Ready | TransientFailure(_), Idle)
            ),
            "{address} does not go from {:?} to {state:?}",
            entry.state
        );
        entry.state = state.clone();
        entry.load_interval = None;
        balancer.handle_subchannel(id, SubchannelEvent::State(state), self);
    }

    #[track_caller]
    pub(super) fn ready(&mut self, balancer: &mut dyn Balancer, address: &str) {
        self.report(balancer, address, SubchannelState::Ready);
    }

    #[track_caller]
    pub(super) fn fail(&mut self, balancer: &mut dyn Balancer, address: &str) {
        let error = format!("{address}: refused").into();
        self.report(balancer, address, SubchannelState::TransientFailure(error));
    }

    #[track_caller]
    pub(super) fn idle(&mut self, balancer: &mut dyn Balancer, address: &str) {
        self.report(balancer, address, SubchannelState::Idle);
    }

    /// Lets time pass, with the balancer's timer served when it is due.
    pub(super) fn pass(&mut self, balancer: &mut dyn Balancer, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            let Some(time) = balancer.poll_timeout().filter(|time| *time <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(time);
            balancer.handle_timeout(self);
        }
        panic!("the timers do not come to rest");
    }
}

impl Controller for Fake {
    fn now(&self) -> Instant {
        self.now
    }
    fn target(&self) -> &str {
        "dns:///test"
    }
    fn random(&mut self) -> u64 {
        self.random.next_u64()
    }
    fn create_subchannel(&mut self, address: Address, attributes: &Attributes) -> SubchannelId {
        let is_same = |entry: &&mut Entry| {
            entry.users > 0 && entry.address == address && entry.attributes == *attributes
        };
        if let Some(entry) = self.subchannels.iter_mut().find(is_same) {
            entry.users += 1;
            return entry.id;
        }
        let id = SubchannelId::new(self.subchannels.len(), 0);
        let (attributes, state) = (attributes.clone(), SubchannelState::Idle);
        let entry = Entry { id, address, attributes, state, load_interval: None, users: 1 };
        self.subchannels.push(entry);
        id
    }
    fn state(&self, id: SubchannelId) -> SubchannelState {
        self.entry(id).state.clone()
    }
    fn connect(&mut self, id: SubchannelId) {
        let address = self.address(id);
        if let Some(entry) = self.subchannels.iter_mut().find(|entry| entry.id == id)
            && entry.state == SubchannelState::Idle
        {
            entry.state = SubchannelState::Connecting;
            self.log.push(format!("connect {address}"));
        }
    }
    fn remove(&mut self, id: SubchannelId) {
        let address = self.address(id);
        if let Some(entry) = self.subchannels.iter_mut().find(|entry| entry.id == id) {
            entry.users =
                entry.users.checked_sub(1).expect("a subchannel is removed as often as it was created");
            if entry.users == 0 {
                self.log.push(format!("remove {address}"));
            }
        }
    }
    fn watch_health(&mut self, _: SubchannelId) -> Health {
        self.health.clone()
    }
    fn watch_load(&mut self, id: SubchannelId, interval: Option<Duration>) {
        let entry = self.subchannels.iter_mut().find(|entry| entry.id == id).unwrap();
        if entry.state == SubchannelState::Ready && entry.load_interval != interval {
            entry.load_interval = interval;
            self.log.push(match interval {
                Some(interval) => format!("load of {} every {interval:?}", entry.address),
                None => format!("no load of {}", entry.address),
            });
        }
    }
    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.log.push(state.to_string());
        self.state = Some(state);
        self.picker = Some(picker);
    }
    fn request_resolution(&mut self) {
        self.log.push("resolve".into());
    }
}

/// The subchannel of a pick, and who is told of its end.
#[track_caller]
pub(super) fn observed(pick: Pick) -> (SubchannelId, Arc<dyn CallObserver>) {
    match &pick {
        Pick::Send(route) => {
            (route.subchannel(), Arc::clone(route.observer().expect("the call is observed")))
        }
        other => panic!("{other:?}"),
    }
}

/// Whether a pick leads somewhere and somebody is told of its end.
#[track_caller]
pub(super) fn is_observed(pick: &Pick) -> bool {
    match pick {
        Pick::Send(route) => route.observer().is_some(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn address(text: &str) -> Address {
    text.parse().map_or_else(|_| Address::Unix(text.into()), Address::Tcp)
}

/// Endpoints with one address each.
pub(super) fn endpoints(addresses: &[&str]) -> Vec<Endpoint> {
    addresses.iter().map(|text| Endpoint::from(address(text))).collect()
}

/// These endpoints, for a policy with this configuration.
pub(super) fn update(addresses: &[&str], config: PolicyConfig) -> Update {
    Update::new(endpoints(addresses), Attributes::default(), config)
}

/// The policy that a list such as `[{"round_robin": {}}]` chooses.
pub(super) fn choose(list: &str) -> Result<Policy, ConfigError> {
    let value = serde_json::from_str(list).unwrap();
    Registry::default().choose(&Json::document(&value))
}
