//! `ring_hash_experimental`: calls with the same hash go to the same backend (gRFCs A42 and A76).

use std::sync::Arc;
use std::time::Instant;

use xxhash_rust::xxh64::xxh64;

use super::{
    BadResolution, Balancer, BalancerBuilder, Controller, EndpointSharding, PolicyConfig, Reconnect,
    Registry, Shard, Update, failing,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::endpoint::{Endpoint, HashKey};
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

/// Places each endpoint on a ring as often as its [weight](crate::client::endpoint::Weight) says, by the hash of its
/// [`HashKey`] or first address. A call goes to the first endpoint at or behind its hash; endpoints are connected when
/// they are first needed.
#[derive(Debug)]
pub struct RingHash {
    endpoints: EndpointSharding,
    config: RingHashConfig,
    ring: Arc<[Entry]>,
    /// Of the picker in use, by the endpoint's place: a call wants it connected. Each picker has its own, so that a
    /// mark that is set already has been, or is about to be, heeded.
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
        self.connect_wanted(controller);
        let shards = self.endpoints.shards();
        if shards.is_empty() {
            return controller.publish(ConnectivityState::TransientFailure, self.endpoints.waiting_picker());
        }
        // While it fails no calls come that would have endpoints connected.
        if matches!(state_of(shards), ConnectivityState::TransientFailure | ConnectivityState::Connecting)
            && shards.iter().all(|shard| shard.state() != ConnectivityState::Connecting)
        {
            self.connect_any(controller);
        }
        let shards = self.endpoints.shards();
        self.wanted = shards.iter().map(|_| Flag::default()).collect();
        let picker = OnRing {
            endpoints: shards.iter().map(|shard| (shard.state(), Arc::clone(shard.picker()))).collect(),
            is_connecting: shards.iter().any(|shard| shard.state() == ConnectivityState::Connecting),
            ring: Arc::clone(&self.ring),
            wanted: Arc::clone(&self.wanted),
            header: self.config.request_hash_header.clone(),
            dice: Dice::new(controller.random()),
            failure: failing(controller, "connections to all backends of the ring failing"),
        };
        controller.publish(state_of(shards), Arc::new(picker));
    }

    /// Connects what calls wanted of the picker in use. Whether there was something, and whether that changed anything.
    fn connect_wanted(&mut self, controller: &mut dyn Controller) -> (bool, bool) {
        let (mut any, mut changed) = (false, false);
        for (place, wanted) in self.wanted.iter().enumerate() {
            if wanted.take() {
                any = true;
                changed |= self.endpoints.connect(place, controller);
            }
        }
        (any, changed)
    }

    /// Connects some endpoint that is idle. Which one is left to chance, so that many clients do not all begin with the
    /// same.
    fn connect_any(&mut self, controller: &mut dyn Controller) -> bool {
        let count = self.endpoints.shards().len();
        let start = controller.random().checked_rem(count as u64).unwrap_or(0) as usize;
        let places = (0..count).map(|offset| (start + offset) % count);
        let is_idle = |place: &usize| self.endpoints.shards()[*place].state() == ConnectivityState::Idle;
        let idle = places.into_iter().find(is_idle);
        idle.is_some_and(|place| self.endpoints.connect(place, controller))
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
        let name = hash_key(shard.endpoint());
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

/// What is hashed for an endpoint: its [`HashKey`], or else its first address.
fn hash_key(endpoint: &Endpoint) -> String {
    match endpoint.attributes.get::<HashKey>() {
        Some(HashKey(key)) if !key.is_empty() => key.to_string(),
        _ => endpoint.addresses.first().map(|address| address.to_string()).unwrap_or_default(),
    }
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
        // The marks are of other places, and the calls that set them ask the next picker again.
        self.wanted = Arc::new([]);
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
        let (any_wanted, mut changed) = self.connect_wanted(controller);
        // The user asked for a connection, to whatever backend.
        if !any_wanted && self.endpoints.state() == ConnectivityState::Idle {
            changed |= self.connect_any(controller);
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
    is_connecting: bool,
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
            None if first.is_empty() => None,
            None => Some(xxh64(first.as_bytes(), 0)),
            Some(second) => {
                let rest = [first, second].into_iter().chain(values);
                Some(xxh64(rest.collect::<Vec<_>>().join(",").as_bytes(), 0))
            }
        }
    }

    /// The endpoints in the order of the ring from this hash on, each as often as it has entries.
    fn from(&self, hash: u64) -> impl Iterator<Item = (usize, &(ConnectivityState, Arc<dyn Picker>))> {
        let start = self.ring.partition_point(|entry| entry.hash < hash);
        let (before, behind) = self.ring.split_at(start);
        let places = behind.iter().chain(before).map(|entry| entry.endpoint);
        places.filter_map(|place| Some((place, self.endpoints.get(place)?)))
    }

    /// Has the endpoint connected. Whether no other call had wanted that of this picker.
    fn want(&self, place: usize) -> bool {
        self.wanted.get(place).is_some_and(Flag::set)
    }

    /// For a call with a hash: the first endpoint that does not fail, for which the call waits.
    fn pick_at(&self, hash: u64, info: &PickInfo<'_>) -> Pick {
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

    /// For a call that any endpoint will do for: the first that is ready. An idle one on the way is connected for later
    /// calls, but not while another is, so that a burst of calls does not connect them all.
    fn pick_any(&self, hash: u64, info: &PickInfo<'_>) -> Pick {
        let mut idle = None;
        for (place, (state, picker)) in self.from(hash) {
            match state {
                ConnectivityState::Ready => {
                    let pick = picker.pick(info);
                    return match idle {
                        Some(place) if self.want(place) => pick.asking_to_connect(),
                        _ => pick,
                    };
                }
                ConnectivityState::Idle if !self.is_connecting && idle.is_none() => idle = Some(place),
                _ => {}
            }
        }
        match idle {
            Some(place) => {
                self.want(place);
                Pick::Queue
            }
            None if self.is_connecting => Pick::Queue,
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
        match self.hash(info) {
            Some(hash) => self.pick_at(hash, info),
            None => self.pick_any(self.dice.next_u64(), info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::client::endpoint::Weight;
    use crate::rpc::Metadata;
    use std::collections::HashSet;

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

    fn call(balancer: &mut RingHash, fake: &mut Fake, user: &str) -> Pick {
        fake.call(balancer, &of(user))
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
    fn calls_without_a_hash_or_with_an_empty_header_go_anywhere() {
        let (_balancer, fake) = connected(&[A, B, C]);
        for metadata in [Metadata::new(), of("")] {
            let picked = |_| fake.address(fake.pick_with(&metadata).subchannel().unwrap());
            assert_eq!((0..200).map(picked).collect::<HashSet<String>>().len(), 3);
        }
    }

    #[test]
    fn an_endpoint_with_a_hash_key_keeps_its_calls_when_its_address_changes() {
        let keyed = |addresses: [&str; 2], keys: [&str; 2]| {
            let config = RingHashConfig { request_hash_header: Some("user".into()), ..Default::default() };
            let mut update = update(&addresses, PolicyConfig::new(config));
            for (endpoint, key) in update.endpoints.iter_mut().zip(keys) {
                *endpoint = endpoint.clone().with_attribute(HashKey(key.into()));
            }
            update
        };
        let (mut balancer, mut fake) = (RingHash::default(), Fake::new());
        balancer.handle_resolution(keyed([A, B], ["one", "two"]), &mut fake).unwrap();
        let ring = Arc::clone(&balancer.ring);
        balancer.handle_resolution(keyed([C, A], ["one", "two"]), &mut fake).unwrap();
        assert_eq!(balancer.ring, ring);
        // An empty key is none.
        balancer.handle_resolution(keyed([A, B], ["", ""]), &mut fake).unwrap();
        assert_eq!(balancer.ring, resolved(&[A, B]).0.ring);
    }

    #[test]
    fn calls_without_a_hash_connect_one_backend_at_a_time_and_come_to_all_of_them() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        let none = Metadata::new();
        for connected in 0..3 {
            let mut picks = (0..30).map(|_| fake.call(&mut balancer, &none));
            assert!(picks.all(|pick| pick.subchannel().is_some() == (connected > 0)));
            assert_eq!(fake.in_use().len(), connected + 1);
            let newest = fake.connecting().remove(0);
            fake.ready(&mut balancer, &newest);
        }
        let picked: Vec<String> = (0..600).map(|_| fake.picked()).collect();
        for address in [A, B, C] {
            let count = picked.iter().filter(|picked| **picked == *address).count();
            // A third each, give or take what a ring of 1,024 entries leaves to chance.
            assert!((150..252).contains(&count), "{address}: {count}");
        }
    }

    #[test]
    fn what_a_picker_asked_for_is_not_forgotten_when_another_takes_its_place() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        assert!(matches!(fake.pick_with(&of("x")), Pick::Queue));
        // Before the channel could hear of the call, there is other news.
        balancer.handle_resolver_error(&ResolveError::new("later"), &mut fake);
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
