//! `random_subsetting_experimental`: of many endpoints only some, which differ from client to client (gRFC A68).

use std::time::Instant;

use xxhash_rust::xxh64::xxh64;

use super::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, GracefulSwitch, Policy, PolicyConfig,
    Registry, Update,
};
use crate::client::endpoint::Endpoint;
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// Makes [`RandomSubsetting`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomSubsettingBuilder;

/// What `random_subsetting_experimental` is configured with.
#[derive(Clone, Debug)]
pub struct RandomSubsettingConfig {
    /// `subsetSize`: how many endpoints are kept; at least 1.
    pub subset_size: usize,
    /// `childPolicy`: what becomes of them.
    pub child: Policy,
}

impl BalancerBuilder for RandomSubsettingBuilder {
    fn name(&self) -> &str {
        "random_subsetting_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(RandomSubsetting::default())
    }

    fn parse_config(&self, config: &Json<'_>, policies: &Registry) -> Result<PolicyConfig, ConfigError> {
        let size =
            config.required("subsetSize", "a whole number of at least 1")?.whole(1..=u32::MAX.into())?;
        let child = policies.choose(&config.required("childPolicy", "a list of policies")?)?;
        Ok(PolicyConfig::new(RandomSubsettingConfig { subset_size: size as usize, child }))
    }
}

/// Keeps the endpoints whose hashes are the smallest, by a seed of its own. So clients choose independently of each
/// other, and when endpoints come or go each client changes no more of its subset than it must.
#[derive(Debug)]
pub struct RandomSubsetting {
    /// Drawn with the first resolution.
    seed: Option<u64>,
    child: Child,
}

impl Default for RandomSubsetting {
    fn default() -> Self {
        RandomSubsetting { seed: None, child: Child::new(Box::new(GracefulSwitch::new())) }
    }
}

impl RandomSubsetting {
    fn publish(&self, controller: &mut dyn Controller) {
        controller.publish(self.child.state(), self.child.picker().clone());
    }
}

impl Balancer for RandomSubsetting {
    fn handle_resolution(
        &mut self,
        mut update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let Some(RandomSubsettingConfig { subset_size, child }) = update.config.get().cloned() else {
            return Err(BadResolution::new("random_subsetting_experimental needs a configuration"));
        };
        let seed = *self.seed.get_or_insert_with(|| controller.random());
        update.endpoints = subset(update.endpoints, subset_size, seed);
        update.config = PolicyConfig::new(child);
        let result = self.child.handle_resolution(update, controller);
        if self.child.changed() {
            self.publish(controller);
        }
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.seed.is_none() {
            return super::publish_failure(controller, &format!("name resolution failed: {error}"));
        }
        if self.child.handle_resolver_error(error, controller) {
            self.publish(controller);
        }
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if self.child.handle_subchannel(id, event, controller) {
            self.publish(controller);
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        if self.child.exit_idle(controller) {
            self.publish(controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.child.poll_timeout()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        if self.child.handle_timeout(controller) {
            self.publish(controller);
        }
    }
}

/// The endpoints with the smallest hashes, in the order of those, so that children that prefer the first do not all
/// prefer the same one. An endpoint is known by its first address.
fn subset(mut endpoints: Vec<Endpoint>, size: usize, seed: u64) -> Vec<Endpoint> {
    if endpoints.len() <= size {
        return endpoints;
    }
    let hash = |endpoint: &Endpoint| {
        let address = endpoint.addresses.first().map(|address| address.to_string()).unwrap_or_default();
        xxh64(address.as_bytes(), seed)
    };
    endpoints.sort_by_cached_key(hash);
    endpoints.truncate(size);
    endpoints
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn hundred() -> Vec<Endpoint> {
        let addresses: Vec<String> = (0..100).map(|n| format!("10.0.0.{n}:80")).collect();
        endpoints(&addresses.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn names(endpoints: &[Endpoint]) -> Vec<String> {
        endpoints.iter().map(|endpoint| endpoint.addresses[0].to_string()).collect()
    }

    #[test]
    fn clients_together_cover_the_endpoints_evenly() {
        let mut counts = std::collections::HashMap::<String, u32>::new();
        for seed in 0..1000 {
            for name in names(&subset(hundred(), 10, seed)) {
                *counts.entry(name).or_default() += 1;
            }
        }
        // 100 of each expected, with a deviation of 9.5.
        assert!(counts.len() == 100 && counts.values().all(|count| count.abs_diff(100) < 57), "{counts:?}");
    }

    #[test]
    fn an_endpoint_that_goes_changes_one_place_of_the_subset() {
        let all = hundred();
        let before = names(&subset(all.clone(), 10, 7));
        let without: Vec<Endpoint> =
            all.iter().filter(|endpoint| endpoint.addresses[0].to_string() != before[0]).cloned().collect();
        let after = names(&subset(without, 10, 7));
        assert_eq!(after.iter().filter(|name| before.contains(name)).count(), 9);
        assert_eq!(names(&subset(all, 200, 7)).len(), 100);
    }

    #[test]
    fn each_endpoint_is_the_first_of_a_subset_about_equally_often() {
        let mut counts = std::collections::HashMap::<String, u32>::new();
        for seed in 0..10_000 {
            *counts.entry(names(&subset(hundred(), 10, seed)).remove(0)).or_default() += 1;
        }
        // 100 of each expected, with a deviation of ten.
        assert!(counts.len() == 100 && counts.values().all(|count| count.abs_diff(100) < 60), "{counts:?}");
    }

    #[test]
    fn the_child_gets_the_subset() {
        let config = r#"{"subsetSize": 2, "childPolicy": [{"round_robin": {}}]}"#;
        let policy = choose(&format!(r#"[{{"random_subsetting_experimental": {config}}}]"#)).unwrap();
        let (mut balancer, mut fake) = (RandomSubsetting::default(), Fake::new());
        balancer.handle_resolution(update(&[A, B, C], policy.config().clone()), &mut fake).unwrap();
        let chosen = fake.in_use();
        assert_eq!(chosen.len(), 2);
        chosen.iter().for_each(|address| fake.ready(&mut balancer, address));
        assert!(chosen.contains(&fake.picked()));
        let error =
            choose(r#"[{"random_subsetting_experimental": {"subsetSize": 0}}]"#).unwrap_err().to_string();
        assert!(error.contains("subsetSize: found 0"), "{error}");
    }
}
