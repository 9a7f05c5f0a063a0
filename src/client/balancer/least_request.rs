//! `least_request_experimental`: calls go to the backend with the fewest calls under way of a few (gRFC A48).

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    Balancer, BalancerBuilder, Controller, EndpointBalancer, EndpointPolicy, EndpointSharding, PolicyConfig,
    Registry, Shard,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::{CallEnd, CallObserver, Dice, InFlight, Pick, PickInfo, Picker};
use crate::client::service_config::{ConfigError, Json};
use crate::net::Address;

/// Larger values of `choiceCount` are taken for this, as the gRFC has it.
const MOST_CHOICES: u64 = 10;

/// Makes [`LeastRequest`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequestBuilder;

/// What `least_request_experimental` can be configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastRequestConfig {
    /// `choiceCount`: how many backends are compared, each of them drawn at random; from 2 to 10. Default: 2.
    pub choice_count: u32,
}

impl BalancerBuilder for LeastRequestBuilder {
    fn name(&self) -> &str {
        "least_request_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(EndpointBalancer::new(LeastRequest::default()))
    }

    fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
        let count = config.field("choiceCount")?.map_or(Ok(2), |count| count.whole(2..=u64::MAX))?;
        Ok(PolicyConfig::new(LeastRequestConfig { choice_count: count.min(MOST_CHOICES) as u32 }))
    }

    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::new(LeastRequestConfig { choice_count: 2 })
    }
}

/// Keeps a connection to every endpoint, counts the calls that are under way on each, and compares some at random.
#[derive(Debug)]
pub struct LeastRequest {
    in_flight: HashMap<Vec<Address>, Arc<InFlight>>,
    choice_count: u32,
}

impl Default for LeastRequest {
    fn default() -> Self {
        LeastRequest { in_flight: HashMap::new(), choice_count: 2 }
    }
}

impl EndpointPolicy for LeastRequest {
    fn publish(&mut self, endpoints: &EndpointSharding, controller: &mut dyn Controller) {
        let state = endpoints.state();
        if state != ConnectivityState::Ready {
            return controller.publish(state, endpoints.waiting_picker());
        }
        let ready = endpoints.shards().iter().filter(|shard| shard.state() == state);
        let choices = ready.map(|shard| {
            let in_flight = self.in_flight.entry(shard.key().to_vec()).or_default();
            (Arc::clone(shard.picker()), Arc::clone(in_flight))
        });
        let picker = Least {
            choices: choices.collect(),
            choice_count: self.choice_count,
            dice: Dice::new(controller.random()),
        };
        controller.publish(state, Arc::new(picker));
    }

    fn handle_resolution(&mut self, config: &PolicyConfig, endpoints: &[Shard]) {
        if let Some(config) = config.get::<LeastRequestConfig>() {
            self.choice_count = config.choice_count;
        }
        self.in_flight.retain(|key, _| endpoints.iter().any(|shard| shard.key() == key));
    }
}

#[derive(Debug)]
struct Least {
    choices: Vec<(Arc<dyn Picker>, Arc<InFlight>)>,
    choice_count: u32,
    dice: Dice,
}

impl Picker for Least {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let draw = |_| self.choices.get(self.dice.below(self.choices.len() as u64) as usize);
        let drawn = (0..self.choice_count).filter_map(draw);
        let Some((picker, in_flight)) = drawn.min_by_key(|(_, in_flight)| in_flight.count()) else {
            return Pick::Queue;
        };
        in_flight.begin();
        match picker.pick(info) {
            pick if pick.subchannel().is_some() => pick.observed_by(Arc::clone(in_flight) as _),
            other => {
                in_flight.handle_end(&CallEnd::UNSENT);
                other
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn connected(choice_count: u32) -> (EndpointBalancer<LeastRequest>, Fake) {
        let (mut balancer, mut fake) = (EndpointBalancer::new(LeastRequest::default()), Fake::new());
        let config = PolicyConfig::new(LeastRequestConfig { choice_count });
        balancer.handle_resolution(update(&[A, B, C], config), &mut fake).unwrap();
        [A, B, C].iter().for_each(|address| fake.ready(&mut balancer, address));
        (balancer, fake)
    }

    #[test]
    fn calls_that_do_not_end_are_spread_almost_evenly() {
        let (balancer, fake) = connected(10);
        let _under_way: Vec<_> = (0..300).map(|_| observed(fake.pick())).collect();
        // With ten draws of three the fewest are missed once in 57 picks, and one call is all the difference they make.
        let counts: Vec<usize> =
            balancer.policy.in_flight.values().map(|in_flight| in_flight.count()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 300);
        assert!(counts.iter().all(|count| count.abs_diff(100) <= 5), "{counts:?}");
    }

    #[test]
    fn a_backend_whose_calls_end_gets_more() {
        let (_balancer, fake) = connected(2);
        let mut counts = HashMap::<String, u32>::new();
        let mut under_way = Vec::new();
        for _ in 0..900 {
            let (id, observer) = observed(fake.pick());
            let address = fake.address(id);
            *counts.entry(address.clone()).or_default() += 1;
            match address == A {
                true => observer.handle_end(&CallEnd::UNSENT),
                false => under_way.push(observer),
            }
        }
        // It is drawn in five picks of nine, and then has the fewest; 500 expected, with a deviation of 15.
        assert!(counts[A].abs_diff(500) < 90, "{counts:?}");
    }

    #[test]
    fn counts_survive_a_new_picker() {
        let (mut balancer, mut fake) = connected(10);
        let under_way: Vec<_> = (0..30).map(|_| observed(fake.pick())).collect();
        fake.idle(&mut balancer, C);
        let total = |balancer: &EndpointBalancer<LeastRequest>| {
            balancer.policy.in_flight.values().map(|calls| calls.count()).sum::<usize>()
        };
        assert_eq!(total(&balancer), 30);
        under_way.iter().for_each(|(_, observer)| observer.handle_end(&CallEnd::UNSENT));
        assert_eq!(total(&balancer), 0);
    }

    #[test]
    fn the_config_is_checked() {
        let parse = |config: &str| choose(&format!(r#"[{{"least_request_experimental": {config}}}]"#));
        let count =
            |config| parse(config).unwrap().config().get::<LeastRequestConfig>().unwrap().choice_count;
        assert_eq!(
            [count("{}"), count(r#"{"choiceCount": 3}"#), count(r#"{"choiceCount": 99}"#)],
            [2, 3, 10]
        );
        let error = parse(r#"{"choiceCount": 1}"#).unwrap_err().to_string();
        assert!(error.ends_with("choiceCount: found 1; it must be a whole number of at least 2"), "{error}");
    }
}
