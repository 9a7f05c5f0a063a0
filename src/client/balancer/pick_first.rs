//! `pick_first`: one connection, to the first address that accepts it (gRFCs A61, A62 and A113).

use super::{
    BadResolution, Balancer, BalancerBuilder, Controller, PolicyConfig, Registry, Update, publish_failure,
    queueing,
};
use crate::client::attributes::Attributes;
use crate::client::connectivity::ConnectivityState;
use crate::client::endpoint::Endpoint;
use crate::client::picker::{Always, Pick};
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{Health, SubchannelEvent, SubchannelId, SubchannelState};
use crate::net::Address;
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one attempt has before the next address is tried beside it (RFC 8305 §5, "happy eyeballs").
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Makes [`PickFirst`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickFirstBuilder;

/// What `pick_first` can be configured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PickFirstConfig {
    /// `shuffleAddressList`: the endpoints are tried in random order (gRFC A62), so that many clients spread over them.
    /// Those of more [weight](crate::client::endpoint::Weight) come first more often (gRFC A113).
    pub shuffle_address_list: bool,
    /// For parents: a connection counts as ready only while its backend is healthy
    /// ([`Controller::watch_health`]). Not in the service config.
    pub health_aware: bool,
    /// For parents: it begins IDLE rather than to connect when it is given its first addresses. Not in the service
    /// config.
    pub lazy: bool,
}

impl BalancerBuilder for PickFirstBuilder {
    fn name(&self) -> &str {
        "pick_first"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(PickFirst::default())
    }

    fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
        let shuffle = config.field("shuffleAddressList")?;
        Ok(PolicyConfig::new(PickFirstConfig {
            shuffle_address_list: shuffle.map_or(Ok(false), |shuffle| shuffle.boolean())?,
            ..PickFirstConfig::default()
        }))
    }

    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::new(PickFirstConfig::default())
    }
}

/// Tries the addresses in order, IPv6 and IPv4 by turns, and keeps the first connection that becomes ready.
///
/// When that connection ends the policy is idle until a call comes, and then starts over with the first address. When
/// every address has failed, calls fail with the last error while each address is tried again at its own back-off;
/// that goes on until one of them is ready.
#[derive(Debug, Default)]
pub struct PickFirst {
    config: PickFirstConfig,
    /// In the order they are tried; no address twice.
    candidates: Vec<Candidate>,
    phase: Phase,
    /// Every address failed, and none has been ready since: TRANSIENT_FAILURE stays published (gRFC A62).
    failing: bool,
    /// The latest failed attempt: its address and what went wrong.
    last_error: Option<Arc<str>>,
}

#[derive(Debug)]
struct Candidate {
    address: Address,
    /// Those of its endpoint.
    attributes: Attributes,
    subchannel: Option<SubchannelId>,
    state: SubchannelState,
    /// It has failed in the pass under way, though its back-off may have passed since.
    failed: bool,
}

#[derive(Debug, Default)]
enum Phase {
    /// No addresses yet.
    #[default]
    Unresolved,
    /// Waits for a call before it connects.
    Idle,
    /// Goes through the addresses. The latest attempt is to the one at `cursor`; at `next_attempt` the following one is
    /// tried too.
    Pass { cursor: usize, next_attempt: Option<Instant> },
    /// All have failed, and so many times since the resolver was asked last.
    Exhausted { failures: usize },
    /// Connected through this subchannel.
    Ready(SubchannelId),
}

impl Balancer for PickFirst {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        self.config = update.config.get().copied().unwrap_or_default();
        let mut endpoints = update.endpoints;
        if self.config.shuffle_address_list {
            shuffle(&mut endpoints, controller);
        }
        let addresses = order(endpoints);
        if addresses.is_empty() {
            self.replace_candidates(addresses, controller);
            self.phase = Phase::Unresolved;
            let why = "the resolver found no address";
            publish_failure(controller, why);
            return Err(BadResolution::new(why));
        }
        let any_new = self.replace_candidates(addresses, controller);
        match self.phase {
            Phase::Idle => {}
            Phase::Ready(selected) if self.position(selected).is_some() => {}
            Phase::Exhausted { .. } if !any_new => {}
            Phase::Pass { .. } | Phase::Exhausted { .. } | Phase::Ready(_) => self.start_pass(controller),
            Phase::Unresolved => {
                self.failing = false;
                match self.config.lazy {
                    true => self.turn_idle(controller),
                    false => self.start_pass(controller),
                }
            }
        }
        Ok(())
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if let Phase::Unresolved = self.phase {
            publish_failure(controller, &format!("name resolution failed: {error}"));
        }
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        let state = match event {
            SubchannelEvent::State(state) => state,
            SubchannelEvent::Health(health) => return self.handle_health(id, &health, controller),
            SubchannelEvent::Load(_) => return,
        };
        let Some(position) = self.position(id) else { return };
        let Some(candidate) = self.candidates.get_mut(position) else {
            return;
        };
        candidate.state = state;
        let was_selected = matches!(self.phase, Phase::Ready(selected) if selected == id);
        match &candidate.state {
            SubchannelState::Ready => self.select(id, controller),
            SubchannelState::TransientFailure(error) => {
                candidate.failed = true;
                self.last_error = Some(Arc::clone(error));
                match was_selected {
                    true => self.lost_with_another_attempt(controller),
                    false => self.attempt_failed(position, controller),
                }
            }
            SubchannelState::Idle => self.turned_idle(position, id, controller),
            SubchannelState::Connecting if was_selected => self.lost_with_another_attempt(controller),
            SubchannelState::Connecting => {}
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        if let Phase::Idle = self.phase {
            self.start_pass(controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pass { next_attempt, .. } => next_attempt,
            _ => None,
        }
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        if let Phase::Pass { cursor, next_attempt: Some(_) } = self.phase {
            self.advance(cursor + 1, controller);
        }
    }
}

impl PickFirst {
    fn position(&self, id: SubchannelId) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.subchannel == Some(id))
    }

    /// Takes the new addresses with what is known of those that stay. Whether there is one that was not there before.
    fn replace_candidates(
        &mut self,
        addresses: Vec<(Address, Attributes)>,
        controller: &mut dyn Controller,
    ) -> bool {
        let mut old = mem::take(&mut self.candidates);
        let mut any_new = false;
        for (address, attributes) in addresses {
            let known = old.iter().position(|candidate| candidate.address == address);
            any_new |= known.is_none();
            self.candidates.push(match known {
                Some(position) => old.swap_remove(position),
                None => Candidate {
                    address,
                    attributes,
                    subchannel: None,
                    state: SubchannelState::Idle,
                    failed: false,
                },
            });
        }
        for id in old.into_iter().filter_map(|candidate| candidate.subchannel) {
            controller.remove(id);
        }
        any_new
    }

    /// Goes through the addresses from the first.
    fn start_pass(&mut self, controller: &mut dyn Controller) {
        if !self.failing {
            controller.publish(ConnectivityState::Connecting, queueing());
        }
        for candidate in &mut self.candidates {
            candidate.failed = matches!(candidate.state, SubchannelState::TransientFailure(_));
        }
        self.advance(0, controller);
    }

    /// Goes on with the pass at this position: to the next address that has not failed yet.
    fn advance(&mut self, mut from: usize, controller: &mut dyn Controller) {
        let next = |from: usize, all: &[Candidate]| (from..all.len()).find(|&i| !all[i].failed);
        while let Some(cursor) = next(from, &self.candidates) {
            let candidate = &mut self.candidates[cursor];
            candidate.connect(controller);
            match (&candidate.state, candidate.subchannel) {
                // Another balancer has it, and is further with it.
                (SubchannelState::Ready, Some(id)) => return self.select(id, controller),
                (SubchannelState::TransientFailure(error), _) => {
                    candidate.failed = true;
                    self.last_error = Some(Arc::clone(error));
                    from = cursor + 1;
                }
                _ => {
                    let is_last = cursor + 1 == self.candidates.len();
                    let next_attempt = (!is_last).then(|| controller.now() + CONNECTION_ATTEMPT_DELAY);
                    self.phase = Phase::Pass { cursor, next_attempt };
                    return;
                }
            }
        }
        self.phase = Phase::Pass { cursor: self.candidates.len(), next_attempt: None };
        self.finish_pass(controller);
    }

    /// An attempt failed, in whatever phase.
    fn attempt_failed(&mut self, position: usize, controller: &mut dyn Controller) {
        match &mut self.phase {
            Phase::Pass { cursor, .. } if *cursor == position => self.advance(position + 1, controller),
            Phase::Pass { .. } => self.finish_pass(controller),
            Phase::Exhausted { failures } => {
                *failures += 1;
                // Once a round, as the addresses themselves may be out of date.
                if *failures >= self.candidates.len() {
                    *failures = 0;
                    controller.request_resolution();
                }
                self.publish_last_error(controller);
            }
            Phase::Unresolved | Phase::Idle | Phase::Ready(_) => {}
        }
    }

    /// Ends the pass if every address has failed in it.
    fn finish_pass(&mut self, controller: &mut dyn Controller) {
        if !self.candidates.iter().all(|candidate| candidate.failed) {
            return;
        }
        self.phase = Phase::Exhausted { failures: 0 };
        self.failing = true;
        self.publish_last_error(controller);
        controller.request_resolution();
        for candidate in &mut self.candidates {
            candidate.connect(controller);
        }
        let ready = self.candidates.iter().find(|candidate| candidate.state == SubchannelState::Ready);
        if let Some(id) = ready.and_then(|candidate| candidate.subchannel) {
            self.select(id, controller);
        }
    }

    /// A connection is ready: it is the one, and all other attempts end.
    fn select(&mut self, id: SubchannelId, controller: &mut dyn Controller) {
        for candidate in &mut self.candidates {
            if candidate.subchannel == Some(id) {
                continue;
            }
            candidate.state = SubchannelState::Idle;
            if let Some(other) = candidate.subchannel.take() {
                controller.remove(other);
            }
        }
        if let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.subchannel == Some(id))
        {
            candidate.state = SubchannelState::Ready;
        }
        self.phase = Phase::Ready(id);
        self.failing = false;
        self.last_error = None;
        let health = if self.config.health_aware { controller.watch_health(id) } else { Health::Serving };
        publish_ready(id, &health, controller);
    }

    fn handle_health(&mut self, id: SubchannelId, health: &Health, controller: &mut dyn Controller) {
        match self.phase {
            Phase::Ready(selected) if selected == id && self.config.health_aware => {
                publish_ready(id, health, controller);
            }
            _ => {}
        }
    }

    fn turn_idle(&mut self, controller: &mut dyn Controller) {
        self.phase = Phase::Idle;
        controller.publish(ConnectivityState::Idle, queueing());
    }

    /// The back-off of a failed subchannel has passed, or the connection in use has ended.
    fn turned_idle(&mut self, position: usize, id: SubchannelId, controller: &mut dyn Controller) {
        match self.phase {
            Phase::Ready(selected) if selected == id => {
                self.turn_idle(controller);
                controller.request_resolution();
            }
            Phase::Exhausted { .. } => {
                if let Some(candidate) = self.candidates.get_mut(position) {
                    candidate.connect(controller);
                    if candidate.state == SubchannelState::Ready {
                        self.select(id, controller);
                    }
                }
            }
            // In a pass each address has one attempt; the next begins when all have failed.
            Phase::Pass { .. } | Phase::Unresolved | Phase::Idle | Phase::Ready(_) => {}
        }
    }

    /// The connection in use has ended while a further one of its subchannel was being made or had failed (gRFC A105).
    fn lost_with_another_attempt(&mut self, controller: &mut dyn Controller) {
        controller.request_resolution();
        self.start_pass(controller);
    }

    fn publish_last_error(&self, controller: &mut dyn Controller) {
        let error = self.last_error.as_deref().unwrap_or("none reported");
        publish_failure(controller, &format!("connections to all backends failing; last error: {error}"));
    }
}

impl Candidate {
    /// Starts an attempt if there is none under way or backing off, and takes note of where that leads.
    fn connect(&mut self, controller: &mut dyn Controller) {
        if self.state == SubchannelState::Idle {
            let create = || controller.create_subchannel(self.address.clone(), &self.attributes);
            let id = *self.subchannel.get_or_insert_with(create);
            controller.connect(id);
            // Not always Connecting: it may be another balancer's as well.
            self.state = controller.state(id);
        }
    }
}

/// There is a connection: how ready it is depends on its backend's health.
fn publish_ready(id: SubchannelId, health: &Health, controller: &mut dyn Controller) {
    match health {
        Health::Serving => {
            controller.publish(ConnectivityState::Ready, Arc::new(Always(Pick::to(id))));
        }
        Health::Unknown => controller.publish(ConnectivityState::Connecting, queueing()),
        Health::NotServing(why) => publish_failure(controller, &format!("the backend is not healthy: {why}")),
    }
}

/// Random order, in which an endpoint comes before another in proportion to their weights: by the keys of Efraimidis
/// and Spirakis, u^(1/w).
fn shuffle(endpoints: &mut [Endpoint], controller: &mut dyn Controller) {
    endpoints.sort_by_cached_key(|endpoint| {
        let uniform = (controller.random() >> 11) as f64 / (1u64 << 53) as f64;
        let key = uniform.powf(1.0 / f64::from(endpoint.weight()));
        // The largest first; of numbers that are not negative the bits sort as they do.
        std::cmp::Reverse(key.to_bits())
    });
}

/// All addresses once, in the order to try them: as the resolver gave them, but families by turns, so that one family
/// without a working route delays the connection by one attempt and not by many (RFC 8305 §4).
fn order(endpoints: Vec<Endpoint>) -> Vec<(Address, Attributes)> {
    let mut seen = HashSet::new();
    let mut families: Vec<(Family, Vec<(Address, Attributes)>)> = Vec::new();
    for Endpoint { addresses, attributes } in endpoints {
        for address in addresses.into_iter().filter(|address| seen.insert(address.clone())) {
            let family = Family::of(&address);
            let member = (address, attributes.clone());
            match families.iter_mut().find(|(other, _)| *other == family) {
                Some((_, members)) => members.push(member),
                None => families.push((family, vec![member])),
            }
        }
    }
    let mut turns: Vec<_> = families.into_iter().map(|(_, members)| members.into_iter()).collect();
    let mut ordered = Vec::with_capacity(seen.len());
    while ordered.len() < seen.len() {
        ordered.extend(turns.iter_mut().filter_map(Iterator::next));
    }
    ordered
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Local,
}

impl Family {
    fn of(address: &Address) -> Family {
        match address {
            Address::Tcp(address) if address.is_ipv4() => Family::V4,
            Address::Tcp(_) => Family::V6,
            Address::Unix(_) | Address::UnixAbstract(_) => Family::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn resolution(addresses: &[&str]) -> Update {
        update(addresses, PolicyConfig::default())
    }

    /// A balancer that has just been given these addresses.
    fn resolved(addresses: &[&str]) -> (PickFirst, Fake) {
        let (mut balancer, mut fake) = (PickFirst::default(), Fake::new());
        balancer.handle_resolution(resolution(addresses), &mut fake).unwrap();
        (balancer, fake)
    }

    fn report(balancer: &mut PickFirst, fake: &mut Fake, address: &str, state: SubchannelState) {
        fake.report(balancer, address, state);
    }

    fn fail(balancer: &mut PickFirst, fake: &mut Fake, address: &str) {
        fake.fail(balancer, address);
    }

    /// A balancer that is connected to the first of these addresses.
    fn connected(addresses: &[&str]) -> (PickFirst, Fake) {
        let (mut balancer, mut fake) = resolved(addresses);
        report(&mut balancer, &mut fake, addresses[0], SubchannelState::Ready);
        fake.log.clear();
        (balancer, fake)
    }

    #[test]
    fn the_first_address_is_tried_first_and_calls_wait() {
        let (_, mut fake) = resolved(&[A, B]);
        fake.did(&["CONNECTING", &format!("connect {A}")]);
        assert!(matches!(fake.pick(), Pick::Queue));
    }

    #[test]
    fn the_first_address_that_is_ready_gets_all_calls() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        report(&mut balancer, &mut fake, A, SubchannelState::Ready);
        fake.did(&["CONNECTING", &format!("connect {A}"), "READY"]);
        let id = fake.id(A);
        assert!(matches!(fake.pick(), Pick::Send(route) if route.subchannel() == id));
        assert_eq!(balancer.poll_timeout(), None);
    }

    #[test]
    fn a_failed_address_is_followed_by_the_next_at_once() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fake.log.clear();
        fail(&mut balancer, &mut fake, A);
        fake.did(&[&format!("connect {B}")]);
        assert!(matches!(fake.pick(), Pick::Queue));
        report(&mut balancer, &mut fake, B, SubchannelState::Ready);
        fake.did(&[&format!("remove {A}"), "READY"]);
    }

    #[test]
    fn a_slow_address_is_joined_by_the_next_after_a_quarter_second_and_the_first_ready_wins() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        fake.log.clear();
        assert_eq!(balancer.poll_timeout(), Some(fake.now + Duration::from_millis(250)));
        fake.now += Duration::from_millis(250);
        balancer.handle_timeout(&mut fake);
        fake.did(&[&format!("connect {B}")]);
        report(&mut balancer, &mut fake, A, SubchannelState::Ready);
        fake.did(&[&format!("remove {B}"), "READY"]);
        assert_eq!(balancer.poll_timeout(), None);
    }

    #[test]
    fn there_is_no_timer_once_the_last_address_is_being_tried() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        balancer.handle_timeout(&mut fake);
        assert_eq!(balancer.poll_timeout(), None);
        let (balancer, _) = resolved(&[A]);
        assert_eq!(balancer.poll_timeout(), None);
    }

    #[test]
    fn the_failure_of_an_earlier_attempt_does_not_hurry_the_next() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        balancer.handle_timeout(&mut fake);
        fake.log.clear();
        fail(&mut balancer, &mut fake, A);
        fake.did(&[]);
        assert!(balancer.poll_timeout().is_some());
    }

    #[test]
    fn calls_fail_with_the_last_error_once_every_address_has_failed() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fail(&mut balancer, &mut fake, A);
        fake.log.clear();
        fail(&mut balancer, &mut fake, B);
        fake.did(&["TRANSIENT_FAILURE", "resolve"]);
        assert_eq!(
            fake.failure(),
            "dns:///test: connections to all backends failing; last error: 10.0.0.2:80: refused"
        );
    }

    #[test]
    fn a_pending_attempt_keeps_calls_waiting_when_the_others_have_failed() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        balancer.handle_timeout(&mut fake);
        fail(&mut balancer, &mut fake, B);
        assert!(matches!(fake.pick(), Pick::Queue));
        fail(&mut balancer, &mut fake, A);
        assert!(fake.failure().ends_with("10.0.0.1:80: refused"));
    }

    #[test]
    fn after_all_failed_each_address_is_tried_again_when_its_back_off_has_passed() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fail(&mut balancer, &mut fake, A);
        fail(&mut balancer, &mut fake, B);
        fake.log.clear();
        report(&mut balancer, &mut fake, A, SubchannelState::Idle);
        fake.did(&[&format!("connect {A}")]);
        report(&mut balancer, &mut fake, B, SubchannelState::Idle);
        fake.did(&[&format!("connect {B}")]);
    }

    #[test]
    fn a_back_off_that_passes_during_the_pass_waits_for_its_end() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fail(&mut balancer, &mut fake, A);
        fake.log.clear();
        report(&mut balancer, &mut fake, A, SubchannelState::Idle);
        fake.did(&[]);
        fail(&mut balancer, &mut fake, B);
        fake.did(&["TRANSIENT_FAILURE", "resolve", &format!("connect {A}")]);
    }

    #[test]
    fn failure_is_sticky_until_a_connection_is_ready() {
        let (mut balancer, mut fake) = resolved(&[A]);
        fail(&mut balancer, &mut fake, A);
        report(&mut balancer, &mut fake, A, SubchannelState::Idle);
        fake.failure();
        // Not even a new address makes calls wait again.
        fake.log.clear();
        balancer.handle_resolution(resolution(&[A, B]), &mut fake).unwrap();
        fake.failure();
        report(&mut balancer, &mut fake, A, SubchannelState::Ready);
        assert!(fake.pick().subchannel().is_some());
    }

    #[test]
    fn the_resolver_is_asked_again_once_a_round_of_failures() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fail(&mut balancer, &mut fake, A);
        fail(&mut balancer, &mut fake, B);
        for address in [A, B] {
            report(&mut balancer, &mut fake, address, SubchannelState::Idle);
        }
        fake.log.clear();
        fail(&mut balancer, &mut fake, A);
        fake.did(&["TRANSIENT_FAILURE"]);
        assert!(fake.failure().ends_with("10.0.0.1:80: refused"));
        fail(&mut balancer, &mut fake, B);
        fake.did(&["resolve", "TRANSIENT_FAILURE"]);
    }

    #[test]
    fn the_same_addresses_again_disturb_nothing() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fail(&mut balancer, &mut fake, A);
        fail(&mut balancer, &mut fake, B);
        fake.log.clear();
        balancer.handle_resolution(resolution(&[B, A]), &mut fake).unwrap();
        fake.did(&[]);

        let (mut balancer, mut fake) = connected(&[A, B]);
        balancer.handle_resolution(resolution(&[B, A]), &mut fake).unwrap();
        fake.did(&[]);
    }

    #[test]
    fn a_lost_connection_makes_it_idle_and_the_next_call_starts_over() {
        let (mut balancer, mut fake) = connected(&[A, B]);
        report(&mut balancer, &mut fake, A, SubchannelState::Idle);
        fake.did(&["IDLE", "resolve"]);
        assert!(matches!(fake.pick(), Pick::Queue));
        balancer.handle_resolution(resolution(&[B, A]), &mut fake).unwrap();
        fake.did(&[]);
        balancer.exit_idle(&mut fake);
        fake.did(&["CONNECTING", &format!("connect {B}")]);
        balancer.exit_idle(&mut fake);
        fake.did(&[]);
    }

    #[test]
    fn a_connection_whose_address_is_gone_is_given_up_for_the_new_ones() {
        let (mut balancer, mut fake) = connected(&[A]);
        balancer.handle_resolution(resolution(&[B]), &mut fake).unwrap();
        fake.did(&[&format!("remove {A}"), "CONNECTING", &format!("connect {B}")]);
    }

    #[test]
    fn an_attempt_goes_on_when_new_addresses_come_and_still_has_its_address() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fake.log.clear();
        balancer.handle_resolution(resolution(&[C, A]), &mut fake).unwrap();
        fake.did(&["CONNECTING", &format!("connect {C}")]);
        balancer.handle_timeout(&mut fake);
        fake.did(&[]);
        report(&mut balancer, &mut fake, A, SubchannelState::Ready);
        fake.did(&[&format!("remove {C}"), "READY"]);
    }

    #[test]
    fn an_address_under_way_that_is_gone_is_aborted() {
        let (mut balancer, mut fake) = resolved(&[A]);
        fake.log.clear();
        balancer.handle_resolution(resolution(&[B]), &mut fake).unwrap();
        fake.did(&[&format!("remove {A}"), "CONNECTING", &format!("connect {B}")]);
        // News of it, should any come, changes nothing.
        let news = SubchannelState::TransientFailure("late".into());
        balancer.handle_subchannel(fake.id(A), SubchannelEvent::State(news), &mut fake);
        fake.did(&[]);
    }

    #[test]
    fn a_new_address_is_tried_at_once_while_the_old_ones_back_off() {
        let (mut balancer, mut fake) = resolved(&[A]);
        fail(&mut balancer, &mut fake, A);
        fake.log.clear();
        balancer.handle_resolution(resolution(&[A, B]), &mut fake).unwrap();
        fake.did(&[&format!("connect {B}")]);
        fail(&mut balancer, &mut fake, B);
        fake.did(&["TRANSIENT_FAILURE", "resolve"]);
    }

    #[test]
    fn a_resolution_without_addresses_is_refused_and_fails_calls() {
        let (mut balancer, mut fake) = connected(&[A]);
        assert!(balancer.handle_resolution(resolution(&[]), &mut fake).is_err());
        fake.did(&[&format!("remove {A}"), "TRANSIENT_FAILURE"]);
        assert_eq!(fake.failure(), "dns:///test: the resolver found no address");
        // That is no failure to connect, so that calls wait as soon as there are addresses.
        balancer.handle_resolution(resolution(&[B]), &mut fake).unwrap();
        fake.did(&["CONNECTING", &format!("connect {B}")]);
    }

    #[test]
    fn a_resolver_error_fails_calls_only_while_no_address_is_known() {
        let (mut balancer, mut fake) = (PickFirst::default(), Fake::new());
        balancer.handle_resolver_error(&ResolveError::new("no such host"), &mut fake);
        fake.did(&["TRANSIENT_FAILURE"]);
        assert_eq!(fake.failure(), "dns:///test: name resolution failed: no such host");
        balancer.handle_resolution(resolution(&[A]), &mut fake).unwrap();
        fake.did(&["CONNECTING", &format!("connect {A}")]);
        balancer.handle_resolver_error(&ResolveError::new("no such host"), &mut fake);
        fake.did(&[]);
    }

    #[test]
    fn families_take_turns_beginning_with_that_of_the_first_address() {
        let ordered = |addresses: &[&str]| -> Vec<String> {
            order(endpoints(addresses)).iter().map(|(address, _)| address.to_string()).collect()
        };
        assert_eq!(
            ordered(&["[::1]:1", "[::2]:1", "[::3]:1", A, B]),
            ["[::1]:1", A, "[::2]:1", B, "[::3]:1"]
        );
        assert_eq!(ordered(&[A, B, "[::1]:1"]), [A, "[::1]:1", B]);
        assert_eq!(ordered(&[A, A, B, A]), [A, B]);
        assert_eq!(ordered(&["/run/x", A]), ["unix:/run/x", A]);
    }

    #[test]
    fn the_addresses_of_all_endpoints_are_used() {
        let endpoint =
            |addresses: &[&str]| Endpoint::new(addresses.iter().map(|text| address(text)).collect());
        let endpoints = vec![endpoint(&[A, "[::1]:1"]), endpoint(&[B])];
        let ordered: Vec<Address> = order(endpoints).into_iter().map(|(address, _)| address).collect();
        assert_eq!(ordered, [address(A), address("[::1]:1"), address(B)]);
    }

    fn configured(config: PickFirstConfig) -> Update {
        update(&[A, B, C], PolicyConfig::new(config))
    }

    #[test]
    fn a_lazy_one_waits_for_a_call_before_it_connects() {
        let (mut balancer, mut fake) = (PickFirst::default(), Fake::new());
        let config = PickFirstConfig { lazy: true, ..PickFirstConfig::default() };
        balancer.handle_resolution(configured(config), &mut fake).unwrap();
        fake.did(&["IDLE"]);
        balancer.exit_idle(&mut fake);
        fake.did(&["CONNECTING", &format!("connect {A}")]);
    }

    #[test]
    fn shuffling_puts_every_endpoint_first_about_equally_often() {
        let config = PickFirstConfig { shuffle_address_list: true, ..PickFirstConfig::default() };
        let mut firsts = std::collections::BTreeMap::<String, u32>::new();
        let mut fake = Fake::new();
        for _ in 0..3000 {
            let mut balancer = PickFirst::default();
            balancer.handle_resolution(configured(config), &mut fake).unwrap();
            *firsts.entry(balancer.candidates[0].address.to_string()).or_default() += 1;
        }
        // Six standard deviations of a binomial with p = 1/3.
        assert!(firsts.len() == 3 && firsts.values().all(|count| count.abs_diff(1000) < 155), "{firsts:?}");
    }

    #[test]
    fn shuffling_favours_weight_in_proportion() {
        let mut fake = Fake::new();
        let mut heavy_first = 0u32;
        for _ in 0..3000 {
            let mut both = endpoints(&[A, B]);
            both[1] = both[1].clone().with_attribute(crate::client::endpoint::Weight(3));
            shuffle(&mut both, &mut fake);
            heavy_first += u32::from(both[0].addresses == [address(B)]);
        }
        // Three quarters; six standard deviations.
        assert!(heavy_first.abs_diff(2250) < 143, "{heavy_first}");
    }

    #[test]
    fn the_health_of_the_backend_counts_only_if_the_parent_wants_it() {
        let sick = Health::NotServing("10.0.0.1:80: NOT_SERVING".into());
        for health_aware in [false, true] {
            let (mut balancer, mut fake) = (PickFirst::default(), Fake::new());
            fake.health = Health::Unknown;
            let config = PickFirstConfig { health_aware, ..PickFirstConfig::default() };
            balancer.handle_resolution(configured(config), &mut fake).unwrap();
            fake.ready(&mut balancer, A);
            assert_eq!(matches!(fake.pick(), Pick::Queue), health_aware);
            let id = fake.id(A);
            balancer.handle_subchannel(id, SubchannelEvent::Health(sick.clone()), &mut fake);
            assert_eq!(matches!(fake.pick(), Pick::Fail(_)), health_aware);
            balancer.handle_subchannel(id, SubchannelEvent::Health(Health::Serving), &mut fake);
            assert_eq!(fake.picked(), A);
        }
    }

    #[test]
    fn a_subchannel_that_another_balancer_has_connected_is_used_at_once() {
        let (_first, mut fake) = connected(&[A]);
        let mut second = PickFirst::default();
        second.handle_resolution(resolution(&[A, B]), &mut fake).unwrap();
        fake.did(&["CONNECTING", "READY"]);
        assert_eq!(fake.picked(), A);
        // It stays as long as one of them has it.
        second.handle_resolution(resolution(&[B]), &mut fake).unwrap();
        fake.did(&["CONNECTING", &format!("connect {B}")]);
        assert_eq!(fake.in_use(), [A, B]);
    }

    #[test]
    fn a_subchannel_that_backs_off_for_another_balancer_counts_as_failed() {
        let (mut first, mut fake) = resolved(&[A]);
        fake.fail(&mut first, A);
        fake.log.clear();
        let mut second = PickFirst::default();
        second.handle_resolution(resolution(&[A, B]), &mut fake).unwrap();
        fake.did(&["CONNECTING", &format!("connect {B}")]);
        fake.fail(&mut second, B);
        assert!(fake.failure().ends_with("10.0.0.2:80: refused"));
    }
}
