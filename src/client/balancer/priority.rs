//! `priority_experimental`: calls go to the first of several children that is of use (gRFCs A56 and A115).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::hierarchy::part_for;
use super::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, Policy, PolicyConfig, Registry, Update,
    publish_failure,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// How long a child may take to connect before the next is tried.
const FAILOVER: Duration = Duration::from_secs(10);

/// Makes [`Priority`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityBuilder;

/// The children in the order of their priorities.
#[derive(Clone, Debug, Default)]
pub struct PriorityConfig(
    /// Of each its name and policy.
    pub Vec<(String, Policy)>,
);

impl BalancerBuilder for PriorityBuilder {
    fn name(&self) -> &str {
        "priority_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(Priority::default())
    }

    fn parse_config(&self, config: &Json<'_>, policies: &Registry) -> Result<PolicyConfig, ConfigError> {
        let mut children = HashMap::new();
        for (name, child) in config.required("children", "an object with a config for each name")?.fields()? {
            children.insert(name, policies.choose(&child.required("config", "a list of policies")?)?);
        }
        let mut priorities = Vec::new();
        for name in config.required("priorities", "a list of names of children")?.items()? {
            let Some(policy) = children.remove(name.string()?) else {
                return Err(name.must_be("the name of a child, and each only once"));
            };
            priorities.push((name.string()?.to_owned(), policy));
        }
        Ok(PolicyConfig::new(PriorityConfig(priorities)))
    }
}

/// Holds the children down to the one in use. The next is made when all before it fail, or take ten seconds to connect;
/// those behind one that is ready are given up.
#[derive(Debug, Default)]
pub struct Priority {
    update: Update,
    priorities: Vec<(String, Policy)>,
    /// As many as were needed so far, in the order of their priorities.
    children: Vec<Prioritized>,
}

#[derive(Debug)]
struct Prioritized {
    name: String,
    policy: String,
    child: Child,
    /// While it has neither connected nor failed: when the next is tried.
    failover: Option<Instant>,
}

impl Prioritized {
    fn is_of_use(&self) -> bool {
        match self.child.state() {
            ConnectivityState::Ready | ConnectivityState::Idle => true,
            ConnectivityState::Connecting => self.failover.is_some(),
            ConnectivityState::TransientFailure | ConnectivityState::Shutdown => false,
        }
    }

    /// Keeps the timer in step with the state.
    fn note_state(&mut self, now: Instant) {
        match self.child.state() {
            ConnectivityState::Ready | ConnectivityState::Idle => self.failover = Some(now + FAILOVER),
            ConnectivityState::TransientFailure | ConnectivityState::Shutdown => self.failover = None,
            ConnectivityState::Connecting => {}
        }
    }

    /// The timer, as long as it means something.
    fn poll_failover(&self) -> Option<Instant> {
        self.failover.filter(|_| self.child.state() == ConnectivityState::Connecting)
    }
}

impl Priority {
    /// Chooses the child to use, makes those that are needed for that, and publishes what it has.
    fn choose(&mut self, controller: &mut dyn Controller) {
        let mut place = 0;
        let chosen = loop {
            if place == self.children.len() && !self.make_next(controller) {
                // None is of use: one that still connects is worth waiting for, else the last says what is wrong.
                let connecting = |child: &Prioritized| child.child.state() == ConnectivityState::Connecting;
                break self.children.iter().position(connecting).or(place.checked_sub(1));
            }
            if self.children.get(place).is_some_and(Prioritized::is_of_use) {
                break Some(place);
            }
            place += 1;
        };
        let Some(chosen) = chosen else {
            return publish_failure(controller, "there is no priority");
        };
        if self.children.get(chosen).is_some_and(|chosen| chosen.child.state() == ConnectivityState::Ready) {
            self.children.drain(chosen + 1..).for_each(|lower| lower.child.remove(controller));
        }
        if let Some(Prioritized { child, .. }) = self.children.get(chosen) {
            controller.publish(child.state(), child.picker().clone());
        }
    }

    /// Makes the child of the next priority, if there is one.
    fn make_next(&mut self, controller: &mut dyn Controller) -> bool {
        let Some((name, policy)) = self.priorities.get(self.children.len()) else { return false };
        let mut child = Child::new(policy.build());
        // Its error is in its picker, and the resolver cannot know better.
        let _ = child.handle_resolution(part_for(name, &self.update, policy.config().clone()), controller);
        let failover = Some(controller.now() + FAILOVER);
        let (name, policy) = (name.clone(), policy.name().to_owned());
        let mut prioritized = Prioritized { name, policy, child, failover };
        prioritized.note_state(controller.now());
        self.children.push(prioritized);
        true
    }

    /// Calls every child; `call` says whether it has published.
    fn each(
        &mut self,
        controller: &mut dyn Controller,
        mut call: impl FnMut(&mut Child, &mut dyn Controller) -> bool,
    ) {
        let mut changed = false;
        for prioritized in &mut self.children {
            if call(&mut prioritized.child, controller) {
                prioritized.note_state(controller.now());
                changed = true;
            }
        }
        if changed {
            self.choose(controller);
        }
    }
}

impl Balancer for Priority {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let Some(PriorityConfig(priorities)) = update.config.get().cloned() else {
            return Err(BadResolution::new("priority_experimental needs a configuration"));
        };
        (self.update, self.priorities) = (update, priorities);
        let mut old = std::mem::take(&mut self.children);
        let mut result = Ok(());
        // The first of the new priorities that were in use go on; from the first new one on all are made when needed.
        for (name, policy) in &self.priorities {
            let same = |child: &Prioritized| child.name == *name && child.policy == policy.name();
            let Some(place) = old.iter().position(same) else { break };
            let mut kept = old.remove(place);
            let part = part_for(name, &self.update, policy.config().clone());
            result = kept.child.handle_resolution(part, controller).and(result);
            kept.note_state(controller.now());
            self.children.push(kept);
        }
        self.choose(controller);
        // Only now, so that a child that was made anew finds their connections.
        old.into_iter().for_each(|gone| gone.child.remove(controller));
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.children.is_empty() {
            return publish_failure(controller, &format!("name resolution failed: {error}"));
        }
        self.each(controller, |child, controller| child.handle_resolver_error(error, controller));
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        self.each(controller, |child, controller| child.handle_subchannel(id, event.clone(), controller));
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        self.each(controller, |child, controller| child.exit_idle(controller));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timers =
            self.children.iter().flat_map(|child| [child.child.poll_timeout(), child.poll_failover()]);
        timers.flatten().min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        let now = controller.now();
        self.each(controller, |child, controller| child.handle_timeout(controller));
        let mut passed = false;
        for child in &mut self.children {
            if child.poll_failover().is_some_and(|time| time <= now) {
                child.failover = None;
                passed = true;
            }
        }
        if passed {
            self.choose(controller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hierarchy;
    use super::super::testing::*;
    use super::*;
    use crate::client::picker::Pick;

    /// Three priorities with an endpoint each, for these addresses.
    fn with(priorities: &[&str]) -> Update {
        let names = format!("{priorities:?}");
        let children: Vec<String> = priorities
            .iter()
            .map(|name| format!(r#""{name}": {{"config": [{{"round_robin": {{}}}}]}}"#))
            .collect();
        let config = format!(r#"{{"children": {{{}}}, "priorities": {names}}}"#, children.join(","));
        let policy = choose(&format!(r#"[{{"priority_experimental": {config}}}]"#)).unwrap();
        let mut update = update(&[], policy.config().clone());
        update.endpoints = [(A, "a"), (B, "b"), (C, "c")]
            .map(|(address, name)| {
                endpoints(&[address]).remove(0).with_attribute(Hierarchy(vec![name.to_owned()]))
            })
            .into();
        update
    }

    fn resolved() -> (Priority, Fake) {
        let (mut balancer, mut fake) = (Priority::default(), Fake::new());
        balancer.handle_resolution(with(&["a", "b", "c"]), &mut fake).unwrap();
        (balancer, fake)
    }

    #[test]
    fn only_the_first_priority_is_connected_while_it_is_of_use() {
        let (mut balancer, mut fake) = resolved();
        assert_eq!(fake.in_use(), [A]);
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.ready(&mut balancer, A);
        assert_eq!((fake.picked(), fake.in_use()), (A.to_owned(), vec![A.to_owned()]));
        assert_eq!(balancer.poll_timeout(), None);
    }

    #[test]
    fn a_priority_that_fails_is_followed_by_the_next_and_returns() {
        let (mut balancer, mut fake) = resolved();
        fake.fail(&mut balancer, A);
        fake.ready(&mut balancer, B);
        assert_eq!((fake.picked(), fake.in_use()), (B.to_owned(), vec![A.to_owned(), B.to_owned()]));
        fake.idle(&mut balancer, A);
        fake.ready(&mut balancer, A);
        assert_eq!((fake.picked(), fake.in_use()), (A.to_owned(), vec![A.to_owned()]));
    }

    #[test]
    fn a_priority_has_ten_seconds_to_connect() {
        let (mut balancer, mut fake) = resolved();
        fake.pass(&mut balancer, Duration::from_millis(9_999));
        assert_eq!(fake.in_use(), [A]);
        fake.pass(&mut balancer, Duration::from_millis(1));
        assert_eq!(fake.in_use(), [A, B]);
        fake.ready(&mut balancer, B);
        assert_eq!(fake.picked(), B);
        // It is still welcome.
        fake.ready(&mut balancer, A);
        assert_eq!((fake.picked(), fake.in_use()), (A.to_owned(), vec![A.to_owned()]));
    }

    #[test]
    fn when_all_fail_the_last_says_why() {
        let (mut balancer, mut fake) = resolved();
        [A, B, C].iter().for_each(|address| fake.fail(&mut balancer, address));
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("10.0.0.3:80: refused"), "{}", fake.failure());
    }

    #[test]
    fn a_priority_that_loses_its_connection_has_ten_seconds_to_get_it_back() {
        let (mut balancer, mut fake) = resolved();
        fake.ready(&mut balancer, A);
        fake.idle(&mut balancer, A);
        assert!(matches!(fake.pick(), Pick::Queue));
        assert_eq!(fake.in_use(), [A]);
        fake.pass(&mut balancer, FAILOVER);
        assert_eq!(fake.in_use(), [A, B]);
    }

    #[test]
    fn new_priorities_keep_the_connections_of_those_that_stay() {
        let (mut balancer, mut fake) = resolved();
        fake.ready(&mut balancer, A);
        fake.log.clear();
        balancer.handle_resolution(with(&["a", "c"]), &mut fake).unwrap();
        fake.did(&["READY"]);
        balancer.handle_resolution(with(&["c", "a"]), &mut fake).unwrap();
        assert_eq!(fake.in_use(), [C]);
        assert!(balancer.handle_resolution(with(&[]), &mut fake).is_ok());
        assert_eq!(fake.failure(), "dns:///test: there is no priority");
        assert!(fake.in_use().is_empty());
    }

    #[test]
    fn the_config_is_checked() {
        let error = |config: &str| {
            choose(&format!(r#"[{{"priority_experimental": {config}}}]"#)).unwrap_err().to_string()
        };
        let unknown = error(r#"{"children": {}, "priorities": ["a"]}"#);
        assert!(unknown.contains("priorities[0]: found \"a\"; it must be the name of a child"), "{unknown}");
        assert!(
            error(r#"{"children": {"a": {}}, "priorities": []}"#)
                .contains("children.a.config: found nothing")
        );
    }
}
