//! [`Policy`]: a load balancing policy with its configuration, as a service config chooses it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::{
    Balancer, BalancerBuilder, LeastRequestBuilder, OutlierDetectionBuilder, PickFirstBuilder,
    PriorityBuilder, RandomSubsettingBuilder, RingHashBuilder, RoundRobinBuilder, WeightedRoundRobinBuilder,
    WeightedTargetBuilder,
};
use crate::client::service_config::{ConfigError, Json};

/// A policy's configuration, of a type that the policy knows.
#[derive(Clone)]
pub struct PolicyConfig(Arc<dyn Any + Send + Sync>);

impl PolicyConfig {
    /// A configuration that balancers get back by its type.
    pub fn new<T: Any + Send + Sync>(config: T) -> Self {
        PolicyConfig(Arc::new(config))
    }

    /// The configuration, if it is of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl Default for PolicyConfig {
    /// That of a policy which has none.
    fn default() -> Self {
        PolicyConfig::new(())
    }
}

impl fmt::Debug for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolicyConfig")
    }
}

/// A policy and its configuration.
#[derive(Clone)]
pub struct Policy {
    builder: Arc<dyn BalancerBuilder>,
    config: PolicyConfig,
}

impl Policy {
    /// The policy of this builder with this configuration.
    pub fn new(builder: Arc<dyn BalancerBuilder>, config: PolicyConfig) -> Self {
        Policy { builder, config }
    }

    /// The policy of this builder as it is when nothing is configured.
    pub fn without_config(builder: &Arc<dyn BalancerBuilder>) -> Self {
        Policy { builder: Arc::clone(builder), config: builder.default_config() }
    }

    /// The name of the policy, as in `pick_first`.
    pub fn name(&self) -> &str {
        self.builder.name()
    }

    /// What the policy is configured with.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// A balancer that knows of no backend yet.
    pub fn build(&self) -> Box<dyn Balancer> {
        self.builder.build()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.name())
    }
}

/// The load balancing policies a channel may use, by name. The default has those of this module.
#[derive(Clone)]
pub struct Registry(Vec<Arc<dyn BalancerBuilder>>);

impl Default for Registry {
    fn default() -> Self {
        Registry(vec![
            Arc::new(PickFirstBuilder),
            Arc::new(RoundRobinBuilder),
            Arc::new(WeightedRoundRobinBuilder),
            Arc::new(LeastRequestBuilder),
            Arc::new(RingHashBuilder),
            Arc::new(RandomSubsettingBuilder),
            Arc::new(WeightedTargetBuilder),
            Arc::new(PriorityBuilder),
            Arc::new(OutlierDetectionBuilder),
        ])
    }
}

impl Registry {
    /// Adds a policy; an earlier one of the same name is replaced.
    pub fn register(&mut self, builder: impl BalancerBuilder + 'static) {
        self.0.retain(|other| other.name() != builder.name());
        self.0.push(Arc::new(builder));
    }

    /// The builder of this policy.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn BalancerBuilder>> {
        self.0.iter().find(|builder| builder.name() == name)
    }

    /// Of a list such as `[{"round_robin": {}}, {"pick_first": {}}]` the first policy that is registered, with its
    /// configuration. This is how a service config chooses a policy, and how a policy chooses its children's.
    pub fn choose(&self, list: &Json<'_>) -> Result<Policy, ConfigError> {
        for item in list.items()? {
            let [(name, config)] = &item.fields()?[..] else {
                return Err(item.must_be("an object with one field: the policy's name"));
            };
            if let Some(builder) = self.get(name) {
                let config = builder.parse_config(config, self)?;
                return Ok(Policy { builder: Arc::clone(builder), config });
            }
        }
        Err(list.must_be(format!("a list with at least one of {}", self.names())))
    }

    /// The names, for messages.
    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|builder| builder.name()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.names())
    }
}
