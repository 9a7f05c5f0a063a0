//! `priority_experimental`: calls go to the first of several children that is of use (gRFCs A56 and A115).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::hierarchy::part_for;
use super::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, GracefulSwitch, Policy, PolicyConfig,
    Registry, Update, publish_failure,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// How long a child may take to connect before the next is tried.
const FAILOVER: Duration = Duration::from_secs(10);
/// How long a child is kept for which there is no need, in case the one before it fails again.
const RETENTION: Duration = Duration::from_secs(15 * 60);

/// Makes [`Priority`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityBuilder;

/// The children in the order of their priorities.
#[derive(Clone, Debug, Default)]
pub struct PriorityConfig(
    /// No two of the same name.
    pub Vec<PriorityChild>,
);

/// What one child of `priority_experimental` is.
#[derive(Clone, Debug)]
pub struct PriorityChild {
    /// By which it is the same in the next configuration, and by which [`Hierarchy`](super::Hierarchy) gives it its
    /// endpoints.
    pub name: String,
    /// `config`: its policy.
    pub policy: Policy,
    /// `ignoreReresolutionRequests`: what it asks of the resolver is not passed on. Default: no.
    pub ignore_reresolution_requests: bool,
}

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
            let policy = policies.choose(&child.required("config", "a list of policies")?)?;
            let ignores = child.field("ignoreReresolutionRequests")?;
            children.insert(name, (policy, ignores.map_or(Ok(false), |ignores| ignores.boolean())?));
        }
        let mut priorities = Vec::new();
        for name in config.required("priorities", "a list of names of children")?.items()? {
            let Some((policy, ignore_reresolution_requests)) = children.remove(name.string()?) else {
                return Err(name.must_be("the name of a child, and each only once"));
            };
            let name = name.string()?.to_owned();
            priorities.push(PriorityChild { name, policy, ignore_reresolution_requests });
        }
        Ok(PolicyConfig::new(PriorityConfig(priorities)))
    }
}

/// Makes children down to the one in use: the next when all before it fail, or take ten seconds to connect. Those
/// behind one that is of use again are kept for a while, with their connections.
#[derive(Debug, Default)]
pub struct Priority {
    update: Update,
    levels: Vec<Level>,
    /// The place of the level whose picker is published.
    current: Option<usize>,
}

#[derive(Debug)]
struct Level {
    config: PriorityChild,
    /// Made when it is first needed.
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    child: Child,
    patience: Patience,
    /// When it is given up, unless it is needed before.
    retires: Option<Instant>,
}

/// How long a child that connects keeps the next from being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// For all of its time, from when it begins to connect: it has been ready or idle.
    Whole,
    /// It connects, until then.
    Until(Instant),
    /// Not until it has been ready or idle: it failed, or took too long.
    Over,
}

impl Level {
    /// The child, made if there is none.
    fn activate(&mut self, update: &Update, controller: &mut dyn Controller) -> &mut Active {
        let Level { config, active } = self;
        let active = active.get_or_insert_with(|| {
            let mut active = Active {
                child: Child::new(Box::new(GracefulSwitch::new())),
                patience: Patience::Whole,
                retires: None,
            };
            // Its error is in its picker, and the resolver cannot know better.
            let _ = active.handle_resolution(config, update, controller);
            active
        });
        active.retires = None;
        active
    }

    /// Gives the child up if it is not needed for long enough.
    fn deactivate(&mut self, now: Instant) {
        if let Some(active) = &mut self.active {
            active.retires.get_or_insert(now + RETENTION);
        }
    }
}

impl Active {
    fn handle_resolution(
        &mut self,
        config: &PriorityChild,
        update: &Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        self.child.ignore_resolution_requests(config.ignore_reresolution_requests);
        let policy = PolicyConfig::new(config.policy.clone());
        let result = self.child.handle_resolution(part_for(&config.name, update, policy), controller);
        self.note_state(controller.now());
        result
    }

    /// Keeps the patience in step with the state.
    fn note_state(&mut self, now: Instant) {
        self.patience = match (self.child.state(), self.patience) {
            (ConnectivityState::Ready | ConnectivityState::Idle, _) => Patience::Whole,
            (ConnectivityState::Connecting, Patience::Whole) => Patience::Until(now + FAILOVER),
            (ConnectivityState::Connecting, other) => other,
            (ConnectivityState::TransientFailure | ConnectivityState::Shutdown, _) => Patience::Over,
        };
    }

    /// It serves calls, or would if there were one.
    fn is_useful(&self) -> bool {
        matches!(self.child.state(), ConnectivityState::Ready | ConnectivityState::Idle)
    }

    /// When its patience ends.
    fn failover(&self) -> Option<Instant> {
        match self.patience {
            Patience::Until(time) => Some(time),
            Patience::Whole | Patience::Over => None,
        }
    }
}

impl Priority {
    /// Chooses the level to use, and makes the children that are needed for that. Publishes if there is something new:
    /// another level, or `changed`, which is to say that the one in use has something new.
    fn choose(&mut self, changed: bool, controller: &mut dyn Controller) {
        let Some(chosen) = self.first_of_use(controller) else {
            return publish_failure(controller, "there is no priority");
        };
        let is_new = self.current.replace(chosen) != Some(chosen);
        if let Some(Active { child, .. }) = self.levels.get(chosen).and_then(|level| level.active.as_ref())
            && (changed || is_new)
        {
            controller.publish(child.state(), child.picker().clone());
        }
    }

    /// The place of the level to use. `None` if there is none.
    fn first_of_use(&mut self, controller: &mut dyn Controller) -> Option<usize> {
        for place in 0..self.levels.len() {
            let active = self.levels[place].activate(&self.update, controller);
            if active.is_useful() {
                self.levels[place + 1..].iter_mut().for_each(|level| level.deactivate(controller.now()));
                return Some(place);
            }
            if active.failover().is_some() {
                return Some(place);
            }
        }
        // One that still connects is worth waiting for, else the last says what is wrong.
        let mut active = self.levels.iter().map(|level| level.active.as_ref());
        let is_connecting = |active: Option<&Active>| {
            active.is_some_and(|a| a.child.state() == ConnectivityState::Connecting)
        };
        active.position(is_connecting).or(self.levels.len().checked_sub(1))
    }

    /// Calls every child; `call` says whether it has published.
    fn each(
        &mut self,
        controller: &mut dyn Controller,
        mut call: impl FnMut(&mut Child, &mut dyn Controller) -> bool,
    ) {
        let (mut any_changed, mut current_changed) = (false, false);
        for (place, level) in self.levels.iter_mut().enumerate() {
            if let Some(active) = &mut level.active
                && call(&mut active.child, controller)
            {
                active.note_state(controller.now());
                any_changed = true;
                current_changed |= self.current == Some(place);
            }
        }
        if any_changed {
            self.choose(current_changed, controller);
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
        self.update = update;
        let mut old = std::mem::take(&mut self.levels);
        let mut result = Ok(());
        for config in priorities {
            let known = old.iter_mut().find(|level| level.config.name == config.name);
            let mut active = known.and_then(|level| level.active.take());
            if let Some(active) = &mut active {
                result = active.handle_resolution(&config, &self.update, controller).and(result);
            }
            self.levels.push(Level { config, active });
        }
        self.current = None;
        self.choose(true, controller);
        // Only now, so that a child that was made anew finds their connections.
        old.into_iter().filter_map(|level| level.active).for_each(|gone| gone.child.remove(controller));
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.levels.is_empty() {
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
        let current = self.current.and_then(|place| self.levels.get_mut(place));
        if let Some(active) = current.and_then(|level| level.active.as_mut())
            && active.child.exit_idle(controller)
        {
            active.note_state(controller.now());
            self.choose(true, controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let active = self.levels.iter().filter_map(|level| level.active.as_ref());
        active.flat_map(|a| [a.child.poll_timeout(), a.failover(), a.retires]).flatten().min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        let now = controller.now();
        let is_due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        self.each(controller, |child, controller| child.handle_timeout(controller));
        let mut failover = false;
        for active in self.levels.iter_mut().filter_map(|level| level.active.as_mut()) {
            if is_due(active.failover()) {
                active.patience = Patience::Over;
                failover = true;
            }
        }
        if failover {
            self.choose(false, controller);
        }
        for level in &mut self.levels {
            if let Some(retired) = level.active.take_if(|active| is_due(active.retires)) {
                retired.child.remove(controller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hierarchy;
    use super::super::testing::*;
    use super::*;
    use crate::client::picker::Pick;

    /// These priorities, the children of which have this besides their policy; and of each endpoint its address and the
    /// child it is for.
    fn with_endpoints(priorities: &[&str], besides: &str, of: &[(&str, &str)]) -> Update {
        let names = format!("{priorities:?}");
        let children: Vec<String> = priorities
            .iter()
            .map(|name| format!(r#""{name}": {{"config": [{{"round_robin": {{}}}}]{besides}}}"#))
            .collect();
        let config = format!(r#"{{"children": {{{}}}, "priorities": {names}}}"#, children.join(","));
        let policy = choose(&format!(r#"[{{"priority_experimental": {config}}}]"#)).unwrap();
        let mut update = update(&[], policy.config().clone());
        let endpoint = |(address, name): &(&str, &str)| {
            endpoints(&[address]).remove(0).with_attribute(Hierarchy(vec![(*name).to_owned()]))
        };
        update.endpoints = of.iter().map(endpoint).collect();
        update
    }

    /// Priorities of which each has an endpoint of its own.
    fn with(priorities: &[&str]) -> Update {
        with_endpoints(priorities, "", &[(A, "a"), (B, "b"), (C, "c")])
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
        assert_eq!(fake.picked(), A);
    }

    #[test]
    fn a_priority_that_is_not_needed_any_more_is_kept_for_fifteen_minutes() {
        let (mut balancer, mut fake) = resolved();
        fake.fail(&mut balancer, A);
        fake.ready(&mut balancer, B);
        fake.idle(&mut balancer, A);
        fake.ready(&mut balancer, A);
        fake.pass(&mut balancer, RETENTION - Duration::from_millis(1));
        // Needed once more, it is there at once, and its time begins anew.
        fake.idle(&mut balancer, A);
        fake.fail(&mut balancer, A);
        assert_eq!(fake.picked(), B);
        fake.idle(&mut balancer, A);
        fake.ready(&mut balancer, A);
        fake.pass(&mut balancer, RETENTION - Duration::from_millis(1));
        assert_eq!(fake.in_use(), [A, B]);
        fake.pass(&mut balancer, Duration::from_millis(1));
        assert_eq!((fake.picked(), fake.in_use()), (A.to_owned(), vec![A.to_owned()]));
        assert_eq!(balancer.poll_timeout(), None);
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
        assert_eq!(fake.picked(), A);
    }

    #[test]
    fn when_all_fail_the_last_says_why() {
        let (mut balancer, mut fake) = resolved();
        [A, B, C].iter().for_each(|address| fake.fail(&mut balancer, address));
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("10.0.0.3:80: refused"), "{}", fake.failure());
    }

    #[test]
    fn a_priority_that_loses_its_connection_has_ten_seconds_from_then_to_get_it_back() {
        let (mut balancer, mut fake) = resolved();
        fake.ready(&mut balancer, A);
        fake.pass(&mut balancer, Duration::from_secs(60));
        fake.idle(&mut balancer, A);
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.pass(&mut balancer, FAILOVER - Duration::from_millis(1));
        assert_eq!(fake.in_use(), [A]);
        fake.pass(&mut balancer, Duration::from_millis(1));
        assert_eq!(fake.in_use(), [A, B]);
    }

    #[test]
    fn new_priorities_keep_the_connections_of_those_that_stay() {
        let (mut balancer, mut fake) = resolved();
        fake.ready(&mut balancer, A);
        fake.log.clear();
        balancer.handle_resolution(with(&["a", "c"]), &mut fake).unwrap();
        fake.did(&["READY"]);
        // One that is put in front has its ten seconds, for which the other is kept.
        balancer.handle_resolution(with(&["c", "a"]), &mut fake).unwrap();
        assert!(matches!(fake.pick(), Pick::Queue));
        assert_eq!(fake.in_use(), [A, C]);
        fake.pass(&mut balancer, FAILOVER);
        assert_eq!(fake.picked(), A);
        fake.ready(&mut balancer, C);
        assert_eq!((fake.picked(), fake.in_use()), (C.to_owned(), vec![A.to_owned(), C.to_owned()]));
        // One that is gone is given up at once.
        balancer.handle_resolution(with(&["c"]), &mut fake).unwrap();
        assert_eq!((fake.picked(), fake.in_use()), (C.to_owned(), vec![C.to_owned()]));
        assert!(balancer.handle_resolution(with(&[]), &mut fake).is_ok());
        assert_eq!(fake.failure(), "dns:///test: there is no priority");
        assert!(fake.in_use().is_empty());
    }

    #[test]
    fn a_priority_of_another_name_shares_the_connections_of_the_one_that_is_gone() {
        let (mut balancer, mut fake) = resolved();
        fake.ready(&mut balancer, A);
        fake.log.clear();
        balancer.handle_resolution(with_endpoints(&["z"], "", &[(A, "z")]), &mut fake).unwrap();
        fake.did(&["READY"]);
        assert_eq!(fake.picked(), A);
    }

    #[test]
    fn only_the_priority_in_use_is_asked_to_connect() {
        let lazy = |names: &str| {
            let child = r#"{"config": [{"ring_hash_experimental": {}}]}"#;
            let children = format!(r#"{{"a": {child}, "b": {child}}}"#);
            let text = format!(
                r#"[{{"priority_experimental": {{"children": {children}, "priorities": {names}}}}}]"#
            );
            let mut update = with(&[]);
            update.config = choose(&text).unwrap().config().clone();
            update
        };
        let (mut balancer, mut fake) = (Priority::default(), Fake::new());
        balancer.handle_resolution(lazy(r#"["b", "a"]"#), &mut fake).unwrap();
        balancer.handle_resolution(lazy(r#"["a", "b"]"#), &mut fake).unwrap();
        balancer.exit_idle(&mut fake);
        assert_eq!(fake.in_use(), [A]);
    }

    #[test]
    fn a_child_may_be_kept_from_asking_the_resolver() {
        for (besides, asks) in [("", true), (r#", "ignoreReresolutionRequests": true"#, false)] {
            let (mut balancer, mut fake) = (Priority::default(), Fake::new());
            balancer.handle_resolution(with_endpoints(&["a"], besides, &[(A, "a")]), &mut fake).unwrap();
            fake.ready(&mut balancer, A);
            fake.idle(&mut balancer, A);
            assert_eq!(fake.log.contains(&"resolve".to_owned()), asks);
        }
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
