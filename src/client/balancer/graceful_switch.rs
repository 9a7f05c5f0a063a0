//! [`GracefulSwitch`]: from one policy to another without calls that fail or wait in between.

use std::time::Instant;

use super::{BadResolution, Balancer, Child, Controller, Policy, Update};
use crate::client::connectivity::ConnectivityState;
use crate::client::resolver::ResolveError;
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// Holds one policy, and while that is being replaced the next one too. Calls go by the old policy until the new one
/// has a picker of its own, that is, has left CONNECTING; or until the old one has lost its connections.
///
/// Its configuration is a [`Policy`]. A policy of the same name is configured anew rather than replaced.
#[derive(Debug, Default)]
pub struct GracefulSwitch {
    current: Option<Named>,
    /// Replaces `current` when it is of use.
    next: Option<Named>,
}

#[derive(Debug)]
struct Named {
    name: String,
    child: Child,
}

impl GracefulSwitch {
    /// Neither policy yet.
    pub fn new() -> Self {
        GracefulSwitch::default()
    }

    /// Whether no policy was asked for yet.
    pub fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    /// The policy that was asked for last.
    fn latest(&mut self) -> Option<&mut Named> {
        self.next.as_mut().or(self.current.as_mut())
    }

    /// Switches if it is time, and publishes if that, or the current policy, made a difference.
    fn settle(&mut self, changed: bool, controller: &mut dyn Controller) {
        let next_is_of_use = |next: &Named| next.child.state() != ConnectivityState::Connecting;
        let old_is_of_use =
            self.current.as_ref().is_some_and(|current| current.child.state() == ConnectivityState::Ready);
        let switch = self.next.as_ref().is_some_and(|next| !old_is_of_use || next_is_of_use(next));
        if switch && let Some(old) = std::mem::replace(&mut self.current, self.next.take()) {
            old.child.remove(controller);
        }
        if let Some(current) = self.current.as_ref().filter(|_| switch || changed) {
            controller.publish(current.child.state(), current.child.picker().clone());
        }
    }

    /// Calls both policies; `call` says whether it changed what its policy publishes.
    fn each(
        &mut self,
        controller: &mut dyn Controller,
        mut call: impl FnMut(&mut Child, &mut dyn Controller) -> bool,
    ) {
        let changed = self.current.as_mut().is_some_and(|current| call(&mut current.child, controller));
        if let Some(next) = &mut self.next {
            call(&mut next.child, controller);
        }
        self.settle(changed, controller);
    }
}

impl Balancer for GracefulSwitch {
    fn handle_resolution(
        &mut self,
        mut update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let Some(policy) = update.config.get::<Policy>().cloned() else {
            return Err(BadResolution::new("no load balancing policy was chosen"));
        };
        update.config = policy.config().clone();
        if self.latest().is_none_or(|latest| latest.name != policy.name()) {
            let named = Named { name: policy.name().to_owned(), child: Child::new(policy.build()) };
            // One that was on its way is overtaken.
            let place = if self.current.is_some() { &mut self.next } else { &mut self.current };
            if let Some(overtaken) = place.replace(named) {
                overtaken.child.remove(controller);
            }
        }
        let result = match self.latest() {
            Some(latest) => latest.child.handle_resolution(update, controller),
            None => Ok(()),
        };
        let changed =
            self.next.is_none() && self.current.as_ref().is_some_and(|current| current.child.changed());
        self.settle(changed, controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
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
        self.current.iter().chain(&self.next).filter_map(|named| named.child.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        self.each(controller, |child, controller| child.handle_timeout(controller));
    }
}

#[cfg(test)]
mod tests {
    use super::super::PolicyConfig;
    use super::super::testing::*;
    use super::*;
    use crate::client::picker::Pick;
    use std::time::Duration;

    /// These backends for the policy of this name.
    fn with(policy: &str, addresses: &[&str]) -> Update {
        update(addresses, PolicyConfig::new(choose(&format!(r#"[{{"{policy}": {{}}}}]"#)).unwrap()))
    }

    /// A switch whose pick_first is connected to A.
    fn connected() -> (GracefulSwitch, Fake) {
        let (mut switch, mut fake) = (GracefulSwitch::new(), Fake::new());
        switch.handle_resolution(with("pick_first", &[A, B]), &mut fake).unwrap();
        fake.ready(&mut switch, A);
        fake.log.clear();
        (switch, fake)
    }

    #[test]
    fn the_old_policy_serves_calls_until_the_new_one_can() {
        let (mut switch, mut fake) = connected();
        // A new address, so that the new policy is not ready at once.
        switch.handle_resolution(with("round_robin", &[C]), &mut fake).unwrap();
        fake.did(&[&format!("connect {C}")]);
        assert_eq!(fake.picked(), A);
        fake.ready(&mut switch, C);
        fake.did(&[&format!("remove {A}"), "READY"]);
        assert_eq!(fake.picked(), C);
    }

    #[test]
    fn a_connection_that_both_policies_want_is_kept() {
        let (mut switch, mut fake) = connected();
        switch.handle_resolution(with("round_robin", &[A]), &mut fake).unwrap();
        fake.did(&["READY"]);
        assert_eq!(fake.picked(), A);
        assert_eq!(fake.in_use(), [A]);
    }

    #[test]
    fn the_new_policy_takes_over_when_the_old_one_has_lost_its_connection() {
        let (mut switch, mut fake) = connected();
        switch.handle_resolution(with("round_robin", &[C]), &mut fake).unwrap();
        fake.log.clear();
        fake.idle(&mut switch, A);
        fake.did(&["resolve", &format!("remove {A}"), "CONNECTING"]);
        assert!(matches!(fake.pick(), Pick::Queue));
    }

    #[test]
    fn the_new_policy_takes_over_even_if_it_fails() {
        let (mut switch, mut fake) = connected();
        switch.handle_resolution(with("round_robin", &[C]), &mut fake).unwrap();
        fake.fail(&mut switch, C);
        assert!(fake.failure().contains("10.0.0.3:80: refused"));
        assert_eq!(fake.in_use(), [C]);
    }

    #[test]
    fn a_policy_that_is_asked_for_again_is_the_same_and_one_on_its_way_is_overtaken() {
        let (mut switch, mut fake) = connected();
        switch.handle_resolution(with("pick_first", &[B, A]), &mut fake).unwrap();
        fake.did(&[]);
        switch.handle_resolution(with("round_robin", &[C]), &mut fake).unwrap();
        switch.handle_resolution(with("pick_first", &[B]), &mut fake).unwrap();
        fake.did(&[&format!("connect {C}"), &format!("remove {C}"), &format!("connect {B}")]);
        assert_eq!(fake.picked(), A);
        fake.ready(&mut switch, B);
        assert_eq!((fake.picked(), fake.in_use()), (B.to_owned(), vec![B.to_owned()]));
    }

    #[test]
    fn the_timers_of_both_policies_are_served() {
        let (mut switch, mut fake) = (GracefulSwitch::new(), Fake::new());
        assert!(switch.is_empty());
        switch.handle_resolution(with("pick_first", &[A, B]), &mut fake).unwrap();
        assert!(!switch.is_empty());
        fake.log.clear();
        fake.pass(&mut switch, Duration::from_millis(250));
        fake.did(&[&format!("connect {B}")]);
    }

    #[test]
    fn without_a_policy_there_is_an_error() {
        let (mut switch, mut fake) = (GracefulSwitch::new(), Fake::new());
        assert!(switch.handle_resolution(update(&[A], PolicyConfig::default()), &mut fake).is_err());
    }
}
