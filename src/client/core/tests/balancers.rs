//! What a balancer may do while it is called.

use super::*;
use crate::client::attributes::Attributes;
use crate::client::balancer::{BadResolution, BalancerBuilder, Policy};

/// Connects everything, to show what a balancer may do within a call.
struct Eager(Vec<SubchannelId>);

impl Eager {
    fn config() -> Config {
        let default_policy = Policy::without_config(&(Arc::new(Eager(Vec::new())) as _));
        Config { default_policy, ..Config::new("dns:///test") }
    }
}

impl BalancerBuilder for Eager {
    fn name(&self) -> &str {
        "eager"
    }
    fn build(&self) -> Box<dyn Balancer> {
        Box::new(Eager(Vec::new()))
    }
}

impl Balancer for Eager {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        for address in update.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses) {
            let id = controller.create_subchannel(address, &Attributes::NONE);
            controller.connect(id);
            controller.connect(id);
            self.0.push(id);
        }
        Ok(())
    }
    fn handle_resolver_error(&mut self, _: &ResolveError, _: &mut dyn Controller) {}
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        match event {
            SubchannelEvent::State(SubchannelState::Idle) => {
                for other in self.0.drain(..).filter(|other| *other != id) {
                    controller.remove(other);
                    controller.remove(other);
                    controller.connect(other);
                }
            }
            _ => controller.connect(id),
        }
    }
    fn exit_idle(&mut self, _: &mut dyn Controller) {}
}

#[test]
fn connecting_takes_effect_once_and_only_on_idle_subchannels() {
    let mut driver = Driver::with(Eager::config());
    driver.demand();
    driver.log.clear();
    driver.resolved(&[A, B]);
    driver.did(&[&format!("connect {A}"), &format!("connect {B}")]);
    driver.lost(A);
    driver.did(&[]);
}

#[test]
fn a_balancer_hears_nothing_of_a_subchannel_it_removed_in_the_same_turn() {
    let mut driver = Driver::with(Eager::config());
    driver.demand();
    driver.resolved(&[A, B]);
    driver.lost(A);
    driver.lost(B);
    driver.log.clear();
    // Both back-offs pass at once; on hearing of the first the balancer removes the second.
    driver.pass(seconds(1));
    driver.did(&[]);
    assert_eq!(driver.core.plane.subchannels.len(), 1);
}
