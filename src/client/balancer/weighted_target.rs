//! `weighted_target_experimental`: each call goes to one of several children, at random by their weights (gRFC A28).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::hierarchy::part_for;
use super::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, GracefulSwitch, Policy, PolicyConfig,
    Registry, Update, publish_failure, queueing,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::{Dice, Pick, PickInfo, Picker};
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// Makes [`WeightedTarget`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedTargetBuilder;

/// The children by their names.
#[derive(Clone, Debug, Default)]
pub struct WeightedTargetConfig(
    /// `targets`: of each its weight, which is at least 1, and its `childPolicy`.
    pub BTreeMap<String, (u32, Policy)>,
);

impl BalancerBuilder for WeightedTargetBuilder {
    fn name(&self) -> &str {
        "weighted_target_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(WeightedTarget::default())
    }

    fn parse_config(&self, config: &Json<'_>, policies: &Registry) -> Result<PolicyConfig, ConfigError> {
        const WANTED: &str = "an object with a weight and a childPolicy for each name";
        let targets = config.required("targets", WANTED)?;
        let mut parsed = BTreeMap::new();
        for (name, target) in targets.fields()? {
            let weight =
                target.required("weight", "a whole number of at least 1")?.whole(1..=u32::MAX.into())?;
            let policy = policies.choose(&target.required("childPolicy", "a list of policies")?)?;
            parsed.insert(name.to_owned(), (weight as u32, policy));
        }
        match parsed.is_empty() {
            true => Err(targets.must_be(WANTED)),
            false => Ok(PolicyConfig::new(WeightedTargetConfig(parsed))),
        }
    }
}

/// Holds a child for each target. Of those that are ready each gets its share of calls.
#[derive(Debug, Default)]
pub struct WeightedTarget {
    targets: BTreeMap<String, Target>,
}

#[derive(Debug)]
struct Target {
    weight: u32,
    child: Child,
    /// What counts of what the child published.
    state: ConnectivityState,
    picker: Arc<dyn Picker>,
}

impl Target {
    fn new() -> Self {
        let child = Child::new(Box::new(GracefulSwitch::new()));
        let (state, picker) = (child.state(), Arc::clone(child.picker()));
        Target { weight: 1, child, state, picker }
    }

    /// Takes what the child has published, except that a child which fails goes on to until it is ready. One that is
    /// idle is connected: it gets no call that would do so while others are ready.
    fn take_published(&mut self, controller: &mut dyn Controller) {
        if self.child.state() == ConnectivityState::Idle {
            self.child.exit_idle(controller);
        }
        let was_failing = self.state == ConnectivityState::TransientFailure;
        if !was_failing
            || matches!(self.child.state(), ConnectivityState::Ready | ConnectivityState::TransientFailure)
        {
            (self.state, self.picker) = (self.child.state(), Arc::clone(self.child.picker()));
        }
    }
}

impl WeightedTarget {
    fn publish(&self, controller: &mut dyn Controller) {
        let state = ConnectivityState::aggregate(self.targets.values().map(|target| target.state));
        match state {
            ConnectivityState::Ready | ConnectivityState::TransientFailure => {
                let best = self.targets.values().filter(|target| target.state == state);
                let pickers = best.map(|target| (target.weight, Arc::clone(&target.picker)));
                let picker = Weighted::new(pickers, controller.random());
                controller.publish(state, Arc::new(picker));
            }
            _ => controller.publish(state, queueing()),
        }
    }

    /// Calls every child, and publishes if one has; `call` says so.
    fn each(
        &mut self,
        controller: &mut dyn Controller,
        mut call: impl FnMut(&mut Child, &mut dyn Controller) -> bool,
    ) {
        let mut changed = false;
        for target in self.targets.values_mut() {
            if call(&mut target.child, controller) {
                target.take_published(controller);
                changed = true;
            }
        }
        if changed {
            self.publish(controller);
        }
    }
}

impl Balancer for WeightedTarget {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let Some(WeightedTargetConfig(targets)) = update.config.get() else {
            return Err(BadResolution::new("weighted_target_experimental needs a configuration"));
        };
        let mut old = std::mem::take(&mut self.targets);
        let mut result = Ok(());
        for (name, (weight, policy)) in targets {
            let mut target = old.remove(name).unwrap_or_else(Target::new);
            target.weight = *weight;
            let part = part_for(name, &update, PolicyConfig::new(policy.clone()));
            result = target.child.handle_resolution(part, controller).and(result);
            target.take_published(controller);
            self.targets.insert(name.clone(), target);
        }
        old.into_values().for_each(|target| target.child.remove(controller));
        self.publish(controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.targets.is_empty() {
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
        self.targets.values().filter_map(|target| target.child.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        self.each(controller, |child, controller| child.handle_timeout(controller));
    }
}

/// Asks one of several pickers, at random by their weights.
#[derive(Debug)]
struct Weighted {
    /// Each with the sum of the weights up to it.
    pickers: Vec<(u64, Arc<dyn Picker>)>,
    dice: Dice,
}

impl Weighted {
    fn new(pickers: impl Iterator<Item = (u32, Arc<dyn Picker>)>, seed: u64) -> Self {
        let mut sum = 0;
        let pickers = pickers.map(|(weight, picker)| {
            sum += u64::from(weight);
            (sum, picker)
        });
        Weighted { pickers: pickers.collect(), dice: Dice::new(seed) }
    }
}

impl Picker for Weighted {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let total = self.pickers.last().map_or(0, |(sum, _)| *sum);
        let drawn = self.dice.below(total);
        let place = self.pickers.partition_point(|(sum, _)| *sum <= drawn);
        self.pickers.get(place).map_or(Pick::Queue, |(_, picker)| picker.pick(info))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hierarchy;
    use super::super::testing::*;
    use super::*;

    /// Of each endpoint its address and the target it is for.
    fn with(targets: &str, of: &[(&str, &str)]) -> Update {
        let policy =
            choose(&format!(r#"[{{"weighted_target_experimental": {{"targets": {targets}}}}}]"#)).unwrap();
        let mut update = update(&[], policy.config().clone());
        update.endpoints = of
            .iter()
            .map(|(address, target)| {
                endpoints(&[address]).remove(0).with_attribute(Hierarchy(vec![(*target).to_owned()]))
            })
            .collect();
        update
    }

    const TARGETS: &str = r#"{
        "one": {"weight": 1, "childPolicy": [{"round_robin": {}}]},
        "three": {"weight": 3, "childPolicy": [{"pick_first": {}}]}
    }"#;

    #[test]
    fn calls_are_shared_by_weight_among_the_children_that_are_ready() {
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        balancer
            .handle_resolution(with(TARGETS, &[(A, "one"), (B, "three"), (C, "nobody")]), &mut fake)
            .unwrap();
        assert_eq!(fake.in_use(), [A, B]);
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.ready(&mut balancer, A);
        assert!((0..100).all(|_| fake.picked() == A));
        fake.ready(&mut balancer, B);
        let of_b = (0..4000u32).filter(|_| fake.picked() == B).count();
        // 3000 expected, with a deviation of 27.
        assert!(of_b.abs_diff(3000) < 165, "{of_b}");
    }

    #[test]
    fn calls_fail_only_when_every_child_does() {
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        balancer.handle_resolution(with(TARGETS, &[(A, "one"), (B, "three")]), &mut fake).unwrap();
        fake.fail(&mut balancer, A);
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.fail(&mut balancer, B);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("refused"));
    }

    #[test]
    fn a_child_that_turns_idle_is_connected_again_while_another_serves_calls() {
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        balancer.handle_resolution(with(TARGETS, &[(A, "one"), (B, "three")]), &mut fake).unwrap();
        [A, B].iter().for_each(|address| fake.ready(&mut balancer, address));
        fake.idle(&mut balancer, B);
        assert!((0..100).all(|_| fake.picked() == A));
        fake.ready(&mut balancer, B);
        assert!((0..100).any(|_| fake.picked() == B));
    }

    #[test]
    fn a_child_that_fails_does_so_until_it_is_ready() {
        let ring = r#"{"one": {"weight": 1, "childPolicy": [{"ring_hash_experimental": {}}]}}"#;
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        let of = [(A, "one"), (B, "one")];
        balancer.handle_resolution(with(ring, &of), &mut fake).unwrap();
        for _ in of {
            let connecting = fake.connecting().remove(0);
            fake.fail(&mut balancer, &connecting);
        }
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        // Of the child itself this is CONNECTING: one backend is new, and one that fails is no reason to.
        balancer.handle_resolution(with(ring, &[(A, "one"), (C, "one")]), &mut fake).unwrap();
        assert_eq!(fake.connecting(), [C]);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("refused"));
        fake.ready(&mut balancer, C);
        assert_eq!(fake.picked(), C);
    }

    #[test]
    fn a_child_of_another_policy_takes_over_when_it_can_serve() {
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        let one =
            |policy: &str| format!(r#"{{"one": {{"weight": 1, "childPolicy": [{{"{policy}": {{}}}}]}}}}"#);
        balancer.handle_resolution(with(&one("round_robin"), &[(A, "one")]), &mut fake).unwrap();
        fake.ready(&mut balancer, A);
        balancer.handle_resolution(with(&one("pick_first"), &[(B, "one")]), &mut fake).unwrap();
        assert_eq!(fake.picked(), A);
        fake.ready(&mut balancer, B);
        assert_eq!((fake.picked(), fake.in_use()), (B.to_owned(), vec![B.to_owned()]));
    }

    #[test]
    fn a_target_that_is_gone_gives_its_connections_up() {
        let (mut balancer, mut fake) = (WeightedTarget::default(), Fake::new());
        balancer.handle_resolution(with(TARGETS, &[(A, "one"), (B, "three")]), &mut fake).unwrap();
        fake.ready(&mut balancer, A);
        fake.ready(&mut balancer, B);
        let one = r#"{"one": {"weight": 1, "childPolicy": [{"round_robin": {}}]}}"#;
        balancer.handle_resolution(with(one, &[(A, "one")]), &mut fake).unwrap();
        assert_eq!(fake.in_use(), [A]);
        assert_eq!(fake.picked(), A);
    }

    #[test]
    fn the_config_is_checked() {
        let error = |targets: &str| {
            let list = format!(r#"[{{"weighted_target_experimental": {targets}}}]"#);
            choose(&list).unwrap_err().to_string()
        };
        assert!(error("{}").contains("targets: found nothing"));
        assert!(
            error(r#"{"targets": {"a": {"weight": 0, "childPolicy": []}}}"#)
                .contains("targets.a.weight: found 0")
        );
        assert!(
            error(r#"{"targets": {"a": {"weight": 1, "childPolicy": []}}}"#)
                .contains("targets.a.childPolicy")
        );
    }
}
