//! `ring_hash_experimental`: calls with the same hash go to the same backend (gRFCs A42 and A76).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use xxhash_rust::xxh64::xxh64;

use super::{
    BadResolution, Balancer, BalancerBuilder, Controller, EndpointSharding, PolicyConfig, Reconnect,
    Registry, Shard, Update, failing,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::{Dice, Flag, Pick, PickInfo, Picker};
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// Larger rings than this cannot be configured.
const LARGEST_RING: u64 = 8 << 20;
/// Larger rings than this are not made, whatever is configured: each channel pays for its own.
const RING_CAP: u64 = 4096;

/// Makes [`RingHash`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingHashBuilder;

/// What `ring_hash_experimental` can be configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingHashConfig {
    /// `minRingSize`: the least number of entries. Default: 1024.
    pub min_ring_size: u64,
    /// `maxRingSize`: the greatest number of entries. Default, and at most: 4096.
    pub max_ring_size: u64,
    /// `requestHashHeader`: the metadata whose values are hashed where the resolution's call config has no hash.
    /// Without it, and for calls that lack it, the hash is random.
    pub request_hash_header: Option<Arc<str>>,
}

impl Default for RingHashConfig {
    fn default() -> Self {
        RingHashConfig { min_ring_size: 1024, max_ring_size: RING_CAP, request_hash_header: None }
    }
}

impl BalancerBuilder for RingHashBuilder {
    fn name(&self) -> &str {
        "ring_hash_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(RingHash::default())
    }

    fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
        let default = RingHashConfig::default();
        let size = |name: &str, default: u64| match config.field(name)? {
            Some(size) => size.whole(1..=LARGEST_RING),
            None => Ok(default),
        };
        let max_ring_size = size("maxRingSize", default.max_ring_size)?;
        let min_ring_size = size("minRingSize", default.min_ring_size.min(max_ring_size))?;
        if let Some(min) = config.field("minRingSize")?.filter(|_| min_ring_size > max_ring_size) {
            return Err(min.must_be(format!("at most the maxRingSize, {max_ring_size}")));
        }
        let header = config.field("requestHashHeader")?;
        let request_hash_header = match header {
            Some(header) => {
                let name = header.string()?;
                if name.is_empty() || name.ends_with("-bin") || name.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(
                        header.must_be("the name of metadata in lower case that does not end in -bin")
                    );
                }
                Some(name.into())
            }
            None => None,
        };
        Ok(PolicyConfig::new(RingHashConfig {
            min_ring_size: min_ring_size.min(RING_CAP),
            max_ring_size: max_ring_size.min(RING_CAP),
            request_hash_header,
        }))
    }

    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::new(RingHashConfig::default())
    }
}

/// Places each endpoint on a ring as often as its [weight](crate::client::endpoint::Weight) says. A call goes to the
/// first endpoint at or behind its hash; endpoints are connected when they are first needed.
#[derive(Debug)]
pub struct RingHash {
    endpoints: EndpointSharding,
    config: RingHashConfig,
    ring: Arc<[Entry]>,
    /// By the endpoint's place: a call wants it connected.
    wanted: Arc<[Flag]>,
}

/// A place on the ring: the hash up to which calls belong to the endpoint of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u64,
    endpoint: usize,
}

impl Default for RingHash {
    fn default() -> Self {
        RingHash {
            endpoints: EndpointSharding::new(Reconnect::OnDemand),
            config: RingHashConfig::default(),
            ring: Arc::new([]),
            wanted: Arc::new([]),
        }
    }
}

impl RingHash {
    fn publish(&mut self, controller: &mut dyn Controller) {
        let shards = self.endpoints.shards();
        if shards.is_empty() {
            return controller.publish(ConnectivityState::TransientFailure, self.endpoints.waiting_picker());
        }
        let state = state_of(shards);
        // While it fails no calls come that would have endpoints connected.
        let stuck = matches!(state, ConnectivityState::TransientFailure | ConnectivityState::Connecting)
            && shards.iter().any(|shard| shard.state() == ConnectivityState::TransientFailure)
            && shards.iter().all(|shard| shard.state() != ConnectivityState::Connecting);
        let idle = shards.iter().position(|shard| shard.state() == ConnectivityState::Idle);
        if let Some(idle) = idle.filter(|_| stuck) {
            self.endpoints.connect(idle, controller);
        }
        let endpoints =
            self.endpoints.shards().iter().map(|shard| (shard.state(), Arc::clone(shard.picker())));
        let picker = OnRing {
            endpoints: endpoints.collect(),
            ring: Arc::clone(&self.ring),
            wanted: Arc::clone(&self.wanted),
            header: self.config.request_hash_header.clone(),
            dice: Dice::new(controller.random()),
            failure: failing(controller, "connections to all backends of the ring failing"),
        };
        controller.publish(state, Arc::new(picker));
    }
}

/// The state of the whole: one endpoint that fails is no reason to fail all, since its calls go to the next.
fn state_of(shards: &[Shard]) -> ConnectivityState {
    use ConnectivityState::{Connecting, Idle, Ready, TransientFailure};
    let count = |state| shards.iter().filter(|shard| shard.state() == state).count();
    match (count(Ready), count(TransientFailure), count(Connecting), count(Idle)) {
        (1.., ..) => Ready,
        (_, 2.., ..) => TransientFailure,
        (_, _, 1.., _) => Connecting,
        (_, 1, _, _) if shards.len() > 1 => Connecting,
        (_, _, _, 1..) => Idle,
        _ => TransientFailure,
    }
}

/// The ring, sorted by hash.
fn build_ring(shards: &[Shard], config: &RingHashConfig) -> Vec<Entry> {
    let weights: Vec<f64> = shards.iter().map(|shard| f64::from(shard.endpoint().weight())).collect();
    let sum: f64 = weights.iter().sum();
    let least = weights.iter().copied().fold(f64::INFINITY, f64::min) / sum;
    // The lightest has a whole number of entries, unless that makes the ring too large.
    let scale = ((least * config.min_ring_size as f64).ceil() / least).min(config.max_ring_size as f64);
    let mut ring = Vec::with_capacity(scale.ceil() as usize);
    let mut target = 0.0;
    for (endpoint, (shard, weight)) in shards.iter().zip(&weights).enumerate() {
        let name = shard.endpoint().addresses.first().map(|address| address.to_string()).unwrap_or_default();
        target += scale * weight / sum;
        let mut copy = 0;
        while (ring.len() as f64) < target {
            ring.push(Entry { hash: xxh64(format!("{name}_{copy}").as_bytes(), 0), endpoint });
            copy += 1;
        }
    }
    ring.sort_unstable();
    ring
}

impl Balancer for RingHash {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        self.config = update.config.get().cloned().unwrap_or_default();
        let result = self.endpoints.handle_resolution(update, controller);
        let shards = self.endpoints.shards();
        self.ring = build_ring(shards, &self.config).into();
        self.wanted = shards.iter().map(|_| Flag::default()).collect();
        self.publish(controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        self.endpoints.handle_resolver_error(error, controller);
        self.publish(controller);
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if self.endpoints.handle_subchannel(id, event, controller) {
            self.publish(controller);
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        let mut changed = false;
        let mut any_wanted = false;
        for (place, wanted) in self.wanted.iter().enumerate() {
            if wanted.take() {
                any_wanted = true;
                changed |= self.endpoints.connect(place, controller);
            }
        }
        // The user asked for a connection, to whatever backend.
        let is_idle = self.endpoints.shards().iter().all(|shard| shard.state() == ConnectivityState::Idle);
        if !any_wanted && is_idle {
            changed |= self.endpoints.connect(0, controller);
        }
        if changed {
            self.publish(controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoints.poll_timeout()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        if self.endpoints.handle_timeout(controller) {
            self.publish(controller);
        }
    }
}

#[derive(Debug)]
struct OnRing {
    endpoints: Vec<(ConnectivityState, Arc<dyn Picker>)>,
    ring: Arc<[Entry]>,
    wanted: Arc<[Flag]>,
    header: Option<Arc<str>>,
    dice: Dice,
    failure: Arc<dyn Picker>,
}

impl OnRing {
    /// The call's hash, if it has one.
    fn hash(&self, info: &PickInfo<'_>) -> Option<u64> {
        if info.request_hash.is_some() {
            return info.request_hash;
        }
        let name = self.header.as_deref()?;
        let mut values = info.metadata.get_all(name);
        let first = values.next()?;
        match values.next() {
            None => Some(xxh64(first.as_bytes(), 0)),
            Some(second) => {
                let rest = [first, second].into_iter().chain(values);
                Some(xxh64(rest.collect::<Vec<_>>().join(",").as_bytes(), 0))
            }
        }
    }

    /// Every endpoint once, in the order of the ring from this hash on.
    fn from(&self, hash: u64) -> impl Iterator<Item = (usize, &(ConnectivityState, Arc<dyn Picker>))> {
        let start = self.ring.partition_point(|entry| entry.hash < hash);
        let (before, behind) = self.ring.split_at(start);
        let mut seen = HashSet::new();
        let places = behind.iter().chain(before).map(|entry| entry.endpoint);
        let once = places.filter(move |place| seen.insert(*place));
        once.filter_map(|place| Some((place, self.endpoints.get(place)?)))
    }

    fn want(&self, place: usize) {
        if let Some(wanted) = self.wanted.get(place) {
            wanted.set();
        }
    }

    /// For a call that any backend will do for: the first that is ready; if none is, one is connected.
    fn pick_any(&self, info: &PickInfo<'_>) -> Pick {
        let hash = self.dice.next_u64();
        // One at a time, so that a burst of calls does not connect them all.
        let connecting = self.endpoints.iter().any(|(state, _)| *state == ConnectivityState::Connecting);
        let mut idle = None;
        for (place, (state, picker)) in self.from(hash) {
            match state {
                ConnectivityState::Ready => {
                    idle.into_iter().for_each(|place| self.want(place));
                    return picker.pick(info);
                }
                ConnectivityState::Idle if !connecting && idle.is_none() => idle = Some(place),
                _ => {}
            }
        }
        match idle {
            Some(place) => {
                self.want(place);
                Pick::Queue
            }
            None if connecting => Pick::Queue,
            None => self.fail(hash, info),
        }
    }

    fn fail(&self, hash: u64, info: &PickInfo<'_>) -> Pick {
        let first = self.from(hash).next();
        first.map_or_else(|| self.failure.pick(info), |(_, (_, picker))| picker.pick(info))
    }
}

impl Picker for OnRing {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let Some(hash) = self.hash(info) else { return self.pick_any(info) };
        // Nearly always the first is ready, for which nothing need be remembered.
        let start = self.ring.partition_point(|entry| entry.hash < hash);
        let entry = self.ring.get(start).or(self.ring.first());
        if let Some((ConnectivityState::Ready, picker)) =
            entry.and_then(|entry| self.endpoints.get(entry.endpoint))
        {
            return picker.pick(info);
        }
        for (place, (state, picker)) in self.from(hash) {
            match state {
                ConnectivityState::Ready => return picker.pick(info),
                ConnectivityState::Idle => {
                    self.want(place);
                    return Pick::Queue;
                }
                ConnectivityState::Connecting => return Pick::Queue,
                ConnectivityState::TransientFailure | ConnectivityState::Shutdown => {}
            }
        }
        self.fail(hash, info)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::client::endpoint::Weight;
    use crate::rpc::Metadata;

    fn resolved(addresses: &[&str]) -> (RingHash, Fake) {
        let (mut balancer, mut fake) = (RingHash::default(), Fake::new());
        let config = RingHashConfig { request_hash_header: Some("user".into()), ..RingHashConfig::default() };
        balancer.handle_resolution(update(addresses, PolicyConfig::new(config)), &mut fake).unwrap();
        (balancer, fake)
    }

    fn of(user: &str) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("user", user).unwrap();
        metadata
    }

    /// A call of this user, with what it wants connected.
    fn call(balancer: &mut RingHash, fake: &mut Fake, user: &str) -> Pick {
        let pick = fake.pick_with(&of(user));
        balancer.exit_idle(fake);
        pick
    }

    #[test]
    fn it_is_idle_and_connects_what_calls_need() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        assert_eq!(fake.state, Some(ConnectivityState::Idle));
        fake.log.clear();
        assert!(matches!(call(&mut balancer, &mut fake, "x"), Pick::Queue));
        assert_eq!(fake.in_use().len(), 1);
        assert!(matches!(call(&mut balancer, &mut fake, "x"), Pick::Queue));
        assert_eq!(fake.in_use().len(), 1);
        let address = fake.in_use().remove(0);
        fake.ready(&mut balancer, &address);
        let pick = call(&mut balancer, &mut fake, "x");
        assert_eq!(fake.address(pick.subchannel().unwrap()), address);
        assert_eq!(fake.in_use().len(), 1);
    }

    /// All connected.
    fn connected(addresses: &[&str]) -> (RingHash, Fake) {
        let (mut balancer, mut fake) = resolved(addresses);
        for place in 0..addresses.len() {
            balancer.endpoints.connect(place, &mut fake);
        }
        addresses.iter().for_each(|address| fake.ready(&mut balancer, address));
        (balancer, fake)
    }

    fn goes_to(fake: &Fake, user: &str) -> String {
        fake.address(fake.pick_with(&of(user)).subchannel().unwrap())
    }

    #[test]
    fn a_hash_always_leads_to_the_same_backend_and_few_move_when_one_leaves() {
        let (mut balancer, mut fake) = connected(&[A, B, C]);
        let users: Vec<String> = (0..1000).map(|n| format!("user {n}")).collect();
        let before: Vec<String> = users.iter().map(|user| goes_to(&fake, user)).collect();
        for address in [A, B, C] {
            let share = before.iter().filter(|other| **other == *address).count();
            // A third each, give or take what a ring of 1,024 entries leaves to chance.
            assert!((250..420).contains(&share), "{address}: {share}");
        }
        let config = RingHashConfig { request_hash_header: Some("user".into()), ..RingHashConfig::default() };
        balancer.handle_resolution(update(&[A, B], PolicyConfig::new(config)), &mut fake).unwrap();
        let moved = users.iter().zip(&before).filter(|(user, before)| goes_to(&fake, user) != **before);
        // Those of the one that left; and some more, since the others' entries become denser.
        let others = moved.clone().filter(|(_, before)| **before != *C).count();
        assert!(others < 200 && moved.count() < 520, "{others}");
    }

    #[test]
    fn several_values_of_the_header_count_together_and_the_call_config_s_hash_comes_first() {
        let (_balancer, fake) = connected(&[A, B, C]);
        let mut metadata = of("a");
        metadata.append("user", "b").unwrap();
        let mut info = PickInfo::new("/s/m", &metadata);
        let id = |info: &PickInfo<'_>| fake.picker.as_ref().unwrap().pick(info).subchannel().unwrap();
        assert_eq!(fake.address(id(&info)), goes_to(&fake, "a,b"));
        info.request_hash = Some(xxh64(b"other", 0));
        assert_eq!(fake.address(id(&info)), goes_to(&fake, "other"));
    }

    #[test]
    fn calls_without_a_hash_go_anywhere() {
        let (_balancer, fake) = connected(&[A, B, C]);
        let addresses: HashSet<String> = (0..200).map(|_| fake.picked()).collect();
        assert_eq!(addresses.len(), 3);
    }

    #[test]
    fn calls_without_a_hash_connect_one_backend_at_a_time() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        for _ in 0..10 {
            assert!(matches!(fake.pick(), Pick::Queue));
            balancer.exit_idle(&mut fake);
        }
        assert_eq!(fake.in_use().len(), 1);
    }

    #[test]
    fn a_backend_that_fails_is_passed_over_and_two_that_fail_fail_the_whole() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        call(&mut balancer, &mut fake, "x");
        let first = fake.in_use().remove(0);
        fake.fail(&mut balancer, &first);
        assert_eq!(fake.state, Some(ConnectivityState::Connecting));
        // The other is connected without waiting for a call.
        let second = fake.in_use().into_iter().find(|address| *address != first).unwrap();
        fake.ready(&mut balancer, &second);
        assert_eq!(goes_to(&fake, "x"), second);
        fake.idle(&mut balancer, &second);
        call(&mut balancer, &mut fake, "x");
        fake.fail(&mut balancer, &second);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("refused"));
    }

    #[test]
    fn entries_are_in_proportion_to_weight_and_within_the_sizes() {
        let (mut balancer, mut fake) = (RingHash::default(), Fake::new());
        let mut update = update(&[A, B], PolicyConfig::new(RingHashConfig::default()));
        update.endpoints[1] = update.endpoints[1].clone().with_attribute(Weight(3));
        balancer.handle_resolution(update, &mut fake).unwrap();
        let of_b = balancer.ring.iter().filter(|entry| entry.endpoint == 1).count();
        assert_eq!((balancer.ring.len(), of_b), (1024, 768));
        assert!(balancer.ring.is_sorted());
    }

    #[test]
    fn the_config_is_checked() {
        let parse = |config: &str| choose(&format!(r#"[{{"ring_hash_experimental": {config}}}]"#));
        let config = |text: &str| parse(text).unwrap().config().get::<RingHashConfig>().unwrap().clone();
        assert_eq!(config("{}"), RingHashConfig::default());
        assert_eq!(config(r#"{"minRingSize": 100000, "maxRingSize": 200000}"#).min_ring_size, 4096);
        assert_eq!(config(r#"{"maxRingSize": 10}"#).min_ring_size, 10);
        for (config, part) in [
            (r#"{"minRingSize": 0}"#, "minRingSize: found 0"),
            (r#"{"maxRingSize": 8388609}"#, "maxRingSize: found 8388609"),
            (
                r#"{"minRingSize": 20, "maxRingSize": 10}"#,
                "minRingSize: found 20; it must be at most the maxRingSize",
            ),
            (r#"{"requestHashHeader": "a-bin"}"#, "requestHashHeader: found \"a-bin\""),
        ] {
            let error = parse(config).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
