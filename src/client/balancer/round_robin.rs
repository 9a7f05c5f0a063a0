//! `round_robin`: calls go to all backends by turns (gRFC A61).

use std::sync::Arc;

use super::{Balancer, BalancerBuilder, Controller, EndpointBalancer, EndpointPolicy, EndpointSharding};
use crate::client::picker::{Pick, PickInfo, Picker, Rotation};

/// Makes [`RoundRobin`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinBuilder;

impl BalancerBuilder for RoundRobinBuilder {
    fn name(&self) -> &str {
        "round_robin"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(EndpointBalancer::new(RoundRobin))
    }
}

/// Keeps a connection to every endpoint and sends calls to those that are ready, one after the other, beginning
/// anywhere. Endpoints whose backends are known not to serve get no calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl EndpointPolicy for RoundRobin {
    fn publish(&mut self, endpoints: &EndpointSharding, controller: &mut dyn Controller) {
        let rotation = Rotation::new(controller.random());
        let picker = ByTurns { pickers: endpoints.best_pickers(), rotation };
        controller.publish(endpoints.state(), Arc::new(picker));
    }
}

/// Asks several pickers by turns.
#[derive(Debug)]
struct ByTurns {
    pickers: Vec<Arc<dyn Picker>>,
    rotation: Rotation,
}

impl Picker for ByTurns {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let picker = self.pickers.get(self.rotation.next(self.pickers.len()));
        picker.map_or(Pick::Queue, |picker| picker.pick(info))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PolicyConfig;
    use super::super::testing::*;
    use super::*;
    use crate::client::connectivity::ConnectivityState;
    use crate::client::resolver::ResolveError;
    use crate::client::subchannel::{Health, SubchannelEvent};
    use std::collections::BTreeMap;

    fn resolved(addresses: &[&str]) -> (EndpointBalancer<RoundRobin>, Fake) {
        let (mut balancer, mut fake) = (EndpointBalancer::new(RoundRobin), Fake::new());
        balancer.handle_resolution(update(addresses, PolicyConfig::default()), &mut fake).unwrap();
        (balancer, fake)
    }

    fn counts(fake: &Fake, picks: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        (0..picks).for_each(|_| *counts.entry(fake.picked()).or_default() += 1);
        counts
    }

    #[test]
    fn every_endpoint_is_connected_and_calls_wait_for_the_first() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        assert_eq!(fake.log[..3], [A, B, C].map(|address| format!("connect {address}")));
        assert_eq!(fake.state, Some(ConnectivityState::Connecting));
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.ready(&mut balancer, B);
        assert_eq!(fake.state, Some(ConnectivityState::Ready));
        assert_eq!(fake.picked(), B);
    }

    #[test]
    fn calls_are_spread_exactly_over_what_is_ready() {
        let (mut balancer, mut fake) = resolved(&[A, B, C]);
        [A, B, C].iter().for_each(|address| fake.ready(&mut balancer, address));
        assert_eq!(counts(&fake, 300), [A, B, C].map(|address| (address.to_owned(), 100)).into());
        fake.idle(&mut balancer, B);
        assert_eq!(counts(&fake, 300), [A, C].map(|address| (address.to_owned(), 150)).into());
    }

    #[test]
    fn an_endpoint_that_loses_its_connection_is_connected_again_at_once() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        [A, B].iter().for_each(|address| fake.ready(&mut balancer, address));
        fake.log.clear();
        fake.idle(&mut balancer, A);
        fake.did(&["resolve", &format!("connect {A}"), "READY"]);
        fake.ready(&mut balancer, A);
        assert_eq!(counts(&fake, 2).len(), 2);
    }

    #[test]
    fn calls_fail_when_every_endpoint_does_and_until_one_is_ready() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fake.fail(&mut balancer, A);
        assert!(matches!(fake.pick(), Pick::Queue));
        fake.fail(&mut balancer, B);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("refused"));
        fake.log.clear();
        fake.idle(&mut balancer, A);
        fake.did(&[&format!("connect {A}")]);
        fake.failure();
        fake.ready(&mut balancer, A);
        assert_eq!(fake.picked(), A);
    }

    #[test]
    fn an_endpoint_with_two_addresses_counts_once() {
        let (mut balancer, mut fake) = (EndpointBalancer::new(RoundRobin), Fake::new());
        let mut two = update(&[A], PolicyConfig::default());
        two.endpoints[0].addresses.push(address(B));
        two.endpoints.extend(endpoints(&[C]));
        balancer.handle_resolution(two, &mut fake).unwrap();
        fake.fail(&mut balancer, A);
        fake.ready(&mut balancer, B);
        fake.ready(&mut balancer, C);
        assert_eq!(counts(&fake, 10), [B, C].map(|address| (address.to_owned(), 5)).into());
    }

    #[test]
    fn endpoints_come_and_go_and_those_that_stay_keep_their_connections() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        [A, B].iter().for_each(|address| fake.ready(&mut balancer, address));
        fake.log.clear();
        balancer.handle_resolution(update(&[C, B], PolicyConfig::default()), &mut fake).unwrap();
        fake.did(&[&format!("connect {C}"), &format!("remove {A}"), "READY"]);
        assert_eq!(counts(&fake, 2), [(B.to_owned(), 2)].into());
        assert!(balancer.handle_resolution(update(&[], PolicyConfig::default()), &mut fake).is_err());
        assert_eq!(fake.failure(), "dns:///test: the resolver found no address");
        assert!(fake.in_use().is_empty());
    }

    #[test]
    fn a_backend_that_does_not_serve_gets_no_calls() {
        let (mut balancer, mut fake) = resolved(&[A, B]);
        fake.ready(&mut balancer, A);
        fake.health = Health::Unknown;
        fake.ready(&mut balancer, B);
        assert_eq!(counts(&fake, 2).len(), 1);
        let b = fake.id(B);
        balancer.handle_subchannel(b, SubchannelEvent::Health(Health::Serving), &mut fake);
        assert_eq!(counts(&fake, 2).len(), 2);
        let sick = |address: &str| {
            SubchannelEvent::Health(Health::NotServing(format!("{address}: NOT_SERVING").into()))
        };
        balancer.handle_subchannel(b, sick(B), &mut fake);
        assert_eq!(counts(&fake, 2), [(A.to_owned(), 2)].into());
        let a = fake.id(A);
        balancer.handle_subchannel(a, sick(A), &mut fake);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert!(fake.failure().contains("NOT_SERVING"), "{}", fake.failure());
    }

    #[test]
    fn a_resolver_error_before_any_endpoint_fails_calls() {
        let (mut balancer, mut fake) = (EndpointBalancer::new(RoundRobin), Fake::new());
        balancer.handle_resolver_error(&ResolveError::new("no such host"), &mut fake);
        assert_eq!(fake.state, Some(ConnectivityState::TransientFailure));
        assert_eq!(fake.failure(), "dns:///test: name resolution failed: no such host");
    }
}
