//! `outlier_detection_experimental`: backends that fail more than the others get no calls for a while (gRFC A50).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, GracefulSwitch, Policy, PolicyConfig,
    Registry, Update,
};
use crate::client::attributes::Attributes;
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::{Pick, PickInfo, Picker, Tally};
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{Health, SubchannelEvent, SubchannelId, SubchannelState};
use crate::net::Address;

/// Makes [`OutlierDetection`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutlierDetectionBuilder;

/// What `outlier_detection_experimental` is configured with.
#[derive(Clone, Debug)]
pub struct OutlierDetectionConfig {
    /// `interval`: how often backends are compared. Default: 10 s.
    pub interval: Duration,
    /// `baseEjectionTime`: how long a backend is ejected, times the number of its ejections. Default: 30 s.
    pub base_ejection_time: Duration,
    /// `maxEjectionTime`: at most this long, or the base if that is longer. Default: 300 s.
    pub max_ejection_time: Duration,
    /// `maxEjectionPercent`: no more are ejected when this share is. Default: 10.
    pub max_ejection_percent: u32,
    /// `successRateEjection`: ejects those whose rate of success is far below the mean.
    pub success_rate: Option<SuccessRate>,
    /// `failurePercentageEjection`: ejects those that fail more than a certain share of calls.
    pub failure_percentage: Option<FailurePercentage>,
    /// `childPolicy`: who balances over what is left.
    pub child: Policy,
}

/// Ejection by comparison with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// `stdevFactor`: how many thousandths of a standard deviation below the mean are too many. Default: 1900.
    pub stdev_factor: u32,
    /// `enforcementPercentage`: with which probability a backend that should be ejected is. Default: 100.
    pub enforcement_percentage: u32,
    /// `minimumHosts`: how many backends must have enough calls. Default: 5.
    pub minimum_hosts: u32,
    /// `requestVolume`: how many calls in an interval are enough. Default: 100.
    pub request_volume: u32,
}

/// Ejection by a fixed share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// `threshold`: which share of failed calls is still allowed, in percent. Default: 85.
    pub threshold: u32,
    /// `enforcementPercentage`: with which probability a backend that should be ejected is. Default: 100.
    pub enforcement_percentage: u32,
    /// `minimumHosts`: how many backends must have enough calls. Default: 5.
    pub minimum_hosts: u32,
    /// `requestVolume`: how many calls in an interval are enough. Default: 50.
    pub request_volume: u32,
}

impl OutlierDetectionConfig {
    /// Whether there is anything to compare backends by.
    fn has_rule(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}

impl BalancerBuilder for OutlierDetectionBuilder {
    fn name(&self) -> &str {
        "outlier_detection_experimental"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(OutlierDetection::default())
    }

    fn parse_config(&self, config: &Json<'_>, policies: &Registry) -> Result<PolicyConfig, ConfigError> {
        let duration = |name: &str, default: u64| match config.field(name)? {
            Some(duration) => duration.duration(),
            None => Ok(Duration::from_secs(default)),
        };
        let success_rate = match config.field("successRateEjection")? {
            Some(json) => Some(SuccessRate {
                stdev_factor: number(&json, "stdevFactor", 1900, u32::MAX)?,
                enforcement_percentage: number(&json, "enforcementPercentage", 100, 100)?,
                minimum_hosts: number(&json, "minimumHosts", 5, u32::MAX)?,
                request_volume: number(&json, "requestVolume", 100, u32::MAX)?,
            }),
            None => None,
        };
        let failure_percentage = match config.field("failurePercentageEjection")? {
            Some(json) => Some(FailurePercentage {
                threshold: number(&json, "threshold", 85, 100)?,
                enforcement_percentage: number(&json, "enforcementPercentage", 100, 100)?,
                minimum_hosts: number(&json, "minimumHosts", 5, u32::MAX)?,
                request_volume: number(&json, "requestVolume", 50, u32::MAX)?,
            }),
            None => None,
        };
        let interval = match config.field("interval")? {
            Some(interval) => interval.positive_duration()?,
            None => Duration::from_secs(10),
        };
        Ok(PolicyConfig::new(OutlierDetectionConfig {
            interval,
            base_ejection_time: duration("baseEjectionTime", 30)?,
            max_ejection_time: duration("maxEjectionTime", 300)?,
            max_ejection_percent: number(config, "maxEjectionPercent", 10, 100)?,
            success_rate,
            failure_percentage,
            child: policies.choose(&config.required("childPolicy", "a list of policies")?)?,
        }))
    }
}

fn number(json: &Json<'_>, name: &str, default: u32, most: u32) -> Result<u32, ConfigError> {
    json.field(name)?.map_or(Ok(default), |number| number.whole(0..=most.into()).map(|number| number as u32))
}

/// Counts how the calls to each endpoint end, compares the endpoints once an interval, and tells the child that those
/// far behind are not healthy. Policies that spread calls over endpoints heed that; `pick_first` alone does not.
#[derive(Debug)]
pub struct OutlierDetection {
    config: Option<OutlierDetectionConfig>,
    child: Child,
    watch: Watch,
    /// When the interval under way began. `None` while there is no rule by which to compare.
    interval_start: Option<Instant>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        OutlierDetection {
            config: None,
            child: Child::new(Box::new(GracefulSwitch::new())),
            watch: Watch::default(),
            interval_start: None,
        }
    }
}

/// What is known of endpoints and of the child's subchannels.
#[derive(Debug, Default)]
struct Watch {
    endpoints: Vec<Watched>,
    subchannels: HashMap<SubchannelId, Subchannel>,
}

#[derive(Debug, Default)]
struct Watched {
    addresses: Vec<Address>,
    tally: Arc<Tally>,
    /// How often it was ejected, less the intervals that it was not.
    multiplier: u32,
    ejected_at: Option<Instant>,
}

#[derive(Debug)]
struct Subchannel {
    /// The endpoint's place, if it has one.
    endpoint: Option<usize>,
    address: Address,
    /// What its own health would be.
    health: Health,
    users: usize,
}

impl Watch {
    fn place_of(&self, address: &Address) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| endpoint.addresses.contains(address))
    }

    fn is_ejected(&self, subchannel: &Subchannel) -> bool {
        subchannel
            .endpoint
            .and_then(|place| self.endpoints.get(place))
            .is_some_and(|e| e.ejected_at.is_some())
    }

    /// The health that the child is told.
    fn health(&self, id: SubchannelId) -> Health {
        match self.subchannels.get(&id) {
            Some(subchannel) if self.is_ejected(subchannel) => {
                Health::NotServing(format!("{}: ejected as an outlier", subchannel.address).into())
            }
            Some(subchannel) => subchannel.health.clone(),
            None => Health::Serving,
        }
    }

    fn ejected(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.ejected_at.is_some()).count()
    }

    /// The subchannels of endpoints that are ejected.
    fn ejected_subchannels(&self) -> HashSet<SubchannelId> {
        let ejected = self.subchannels.iter().filter(|(_, subchannel)| self.is_ejected(subchannel));
        ejected.map(|(id, _)| *id).collect()
    }

    /// Takes back all, as if none had ever been ejected.
    fn forget(&mut self) {
        for endpoint in &mut self.endpoints {
            (endpoint.ejected_at, endpoint.multiplier) = (None, 0);
        }
    }

    /// Ejects an endpoint, if the dice and the share of those ejected allow it.
    fn eject(
        &mut self,
        place: usize,
        percentage: u32,
        config: &OutlierDetectionConfig,
        controller: &mut dyn Controller,
    ) {
        let ejected_percent = self.ejected() * 100 / self.endpoints.len().max(1);
        if ejected_percent >= config.max_ejection_percent as usize {
            return;
        }
        let now = controller.now();
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.ejected_at.is_none() && controller.random() % 100 < u64::from(percentage) {
            endpoint.ejected_at = Some(now);
            endpoint.multiplier += 1;
        }
    }

    /// Ejects those whose rate of success is too far below the mean.
    fn by_success_rate(
        &mut self,
        tallies: &[(u64, u64)],
        rule: &SuccessRate,
        config: &OutlierDetectionConfig,
        controller: &mut dyn Controller,
    ) {
        let enough = |&(_, (successes, failures)): &(usize, (u64, u64))| {
            successes + failures >= u64::from(rule.request_volume.max(1))
        };
        let counted = tallies.iter().copied().enumerate().filter(enough);
        let rates: Vec<(usize, f64)> =
            counted.map(|(place, (s, f))| (place, s as f64 / (s + f) as f64)).collect();
        if rates.is_empty() || rates.len() < rule.minimum_hosts as usize {
            return;
        }
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / rates.len() as f64;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / rates.len() as f64;
        let least = mean - variance.sqrt() * f64::from(rule.stdev_factor) / 1000.0;
        for (place, _) in rates.into_iter().filter(|(_, rate)| *rate < least) {
            self.eject(place, rule.enforcement_percentage, config, controller);
        }
    }

    /// Ejects those that failed too many of their calls.
    fn by_failure_percentage(
        &mut self,
        tallies: &[(u64, u64)],
        rule: &FailurePercentage,
        config: &OutlierDetectionConfig,
        controller: &mut dyn Controller,
    ) {
        let enough = |&(_, (successes, failures)): &(usize, (u64, u64))| {
            successes + failures >= u64::from(rule.request_volume.max(1))
        };
        let counted: Vec<(usize, (u64, u64))> = tallies.iter().copied().enumerate().filter(enough).collect();
        if counted.len() < rule.minimum_hosts as usize {
            return;
        }
        for (place, (successes, failures)) in counted {
            if failures * 100 > u64::from(rule.threshold) * (successes + failures) {
                self.eject(place, rule.enforcement_percentage, config, controller);
            }
        }
    }

    /// Takes back those that have been ejected for long enough; lets the others' past fade.
    fn forgive(&mut self, now: Instant, config: &OutlierDetectionConfig) {
        let longest = config.base_ejection_time.max(config.max_ejection_time);
        for endpoint in &mut self.endpoints {
            match endpoint.ejected_at {
                Some(time) => {
                    let term = config.base_ejection_time.saturating_mul(endpoint.multiplier).min(longest);
                    if now.saturating_duration_since(time) >= term {
                        endpoint.ejected_at = None;
                    }
                }
                None => endpoint.multiplier = endpoint.multiplier.saturating_sub(1),
            }
        }
    }
}

impl OutlierDetection {
    /// Calls the child, which sees ejection as a matter of health.
    fn call<T>(
        &mut self,
        controller: &mut dyn Controller,
        call: impl FnOnce(&mut Child, &mut dyn Controller) -> T,
    ) -> T {
        call(&mut self.child, &mut Between { parent: controller, watch: &mut self.watch })
    }

    fn publish(&self, controller: &mut dyn Controller) {
        let child = &self.child;
        let counts = self.config.as_ref().is_some_and(OutlierDetectionConfig::has_rule);
        if !counts || child.state() != ConnectivityState::Ready {
            return controller.publish(child.state(), child.picker().clone());
        }
        let endpoints = &self.watch.endpoints;
        let tally = |(id, subchannel): (&SubchannelId, &Subchannel)| {
            Some((*id, Arc::clone(&endpoints.get(subchannel.endpoint?)?.tally)))
        };
        let known: Vec<(SubchannelId, Arc<Tally>)> =
            self.watch.subchannels.iter().filter_map(tally).collect();
        let places = known.iter().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        let mut tallies = vec![None; places];
        for (id, tally) in known {
            tallies[id.index()] = Some((id, tally));
        }
        controller.publish(child.state(), Arc::new(Counting { child: child.picker().clone(), tallies }));
    }

    /// Compares the endpoints, and tells the child of those whose health that changes.
    fn finish_interval(&mut self, controller: &mut dyn Controller) {
        let Some(config) = self.config.clone() else { return };
        let before = self.watch.ejected_subchannels();
        let tallies: Vec<(u64, u64)> =
            self.watch.endpoints.iter().map(|endpoint| endpoint.tally.take()).collect();
        if let Some(rule) = &config.success_rate {
            self.watch.by_success_rate(&tallies, rule, &config, controller);
        }
        if let Some(rule) = &config.failure_percentage {
            self.watch.by_failure_percentage(&tallies, rule, &config, controller);
        }
        self.watch.forgive(controller.now(), &config);
        if self.tell_child(&before, controller) {
            self.publish(controller);
        }
    }

    /// Tells the child which of its subchannels were not ejected before and are now, or the other way round. Whether it
    /// has published.
    fn tell_child(&mut self, before: &HashSet<SubchannelId>, controller: &mut dyn Controller) -> bool {
        let mut changed = false;
        for id in before.symmetric_difference(&self.watch.ejected_subchannels()).copied() {
            let event = SubchannelEvent::Health(self.watch.health(id));
            changed |=
                self.call(controller, |child, controller| child.handle_subchannel(id, event, controller));
        }
        changed
    }

    /// When the interval under way ends.
    fn interval_end(&self) -> Option<Instant> {
        Some(self.interval_start? + self.config.as_ref()?.interval)
    }
}

impl Balancer for OutlierDetection {
    fn handle_resolution(
        &mut self,
        mut update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let Some(config) = update.config.get::<OutlierDetectionConfig>().cloned() else {
            return Err(BadResolution::new("outlier_detection_experimental needs a configuration"));
        };
        let before = self.watch.ejected_subchannels();
        let mut old = std::mem::take(&mut self.watch.endpoints);
        for endpoint in &update.endpoints {
            let mut addresses = endpoint.addresses.clone();
            addresses.sort_unstable();
            let known = old.iter().position(|other| other.addresses == addresses);
            let watched = known.map(|place| old.swap_remove(place)).unwrap_or_default();
            self.watch.endpoints.push(Watched { addresses, ..watched });
        }
        let places: HashMap<SubchannelId, Option<usize>> =
            self.watch.subchannels.iter().map(|(id, s)| (*id, self.watch.place_of(&s.address))).collect();
        for (id, place) in places {
            if let Some(subchannel) = self.watch.subchannels.get_mut(&id) {
                subchannel.endpoint = place;
            }
        }
        update.config = PolicyConfig::new(config.child.clone());
        match (config.has_rule(), self.interval_start) {
            (true, Some(_)) => {}
            (true, None) => {
                self.interval_start = Some(controller.now());
                for endpoint in &self.watch.endpoints {
                    endpoint.tally.take();
                }
            }
            (false, _) => {
                self.interval_start = None;
                self.watch.forget();
            }
        }
        self.config = Some(config);
        let result = self.call(controller, |child, controller| child.handle_resolution(update, controller));
        self.tell_child(&before, controller);
        self.publish(controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.config.is_none() {
            return super::publish_failure(controller, &format!("name resolution failed: {error}"));
        }
        if self.call(controller, |child, controller| child.handle_resolver_error(error, controller)) {
            self.publish(controller);
        }
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if !self.child.owns(id) {
            return;
        }
        let event = match event {
            SubchannelEvent::Health(health) => {
                if let Some(subchannel) = self.watch.subchannels.get_mut(&id) {
                    subchannel.health = health;
                }
                SubchannelEvent::Health(self.watch.health(id))
            }
            other => other,
        };
        if self.call(controller, |child, controller| child.handle_subchannel(id, event, controller)) {
            self.publish(controller);
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        if self.call(controller, |child, controller| child.exit_idle(controller)) {
            self.publish(controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.child.poll_timeout().into_iter().chain(self.interval_end()).min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        if self.call(controller, |child, controller| child.handle_timeout(controller)) {
            self.publish(controller);
        }
        if self.interval_end().is_some_and(|time| time <= controller.now()) {
            self.interval_start = Some(controller.now());
            self.finish_interval(controller);
        }
    }
}

/// The controller of the child: that of the parent, except that ejection counts as a matter of health.
struct Between<'a> {
    parent: &'a mut dyn Controller,
    watch: &'a mut Watch,
}

impl Controller for Between<'_> {
    fn now(&self) -> Instant {
        self.parent.now()
    }

    fn target(&self) -> &str {
        self.parent.target()
    }

    fn random(&mut self) -> u64 {
        self.parent.random()
    }

    fn create_subchannel(&mut self, address: Address, attributes: &Attributes) -> SubchannelId {
        let id = self.parent.create_subchannel(address.clone(), attributes);
        let endpoint = self.watch.place_of(&address);
        let new = || Subchannel { endpoint, address, health: Health::Serving, users: 0 };
        self.watch.subchannels.entry(id).or_insert_with(new).users += 1;
        id
    }

    fn state(&self, id: SubchannelId) -> SubchannelState {
        self.parent.state(id)
    }

    fn connect(&mut self, id: SubchannelId) {
        self.parent.connect(id);
    }

    fn remove(&mut self, id: SubchannelId) {
        if let Some(subchannel) = self.watch.subchannels.get_mut(&id) {
            subchannel.users -= 1;
            if subchannel.users == 0 {
                self.watch.subchannels.remove(&id);
            }
        }
        self.parent.remove(id);
    }

    fn watch_health(&mut self, id: SubchannelId) -> Health {
        let health = self.parent.watch_health(id);
        if let Some(subchannel) = self.watch.subchannels.get_mut(&id) {
            subchannel.health = health;
        }
        self.watch.health(id)
    }

    fn watch_load(&mut self, id: SubchannelId, interval: Option<Duration>) {
        self.parent.watch_load(id, interval);
    }

    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.parent.publish(state, picker);
    }

    fn request_resolution(&mut self) {
        self.parent.request_resolution();
    }
}

/// Counts how the child's picks end.
#[derive(Debug)]
struct Counting {
    child: Arc<dyn Picker>,
    /// By [`SubchannelId::index`].
    tallies: Vec<Option<(SubchannelId, Arc<Tally>)>>,
}

impl Counting {
    fn tally(&self, id: SubchannelId) -> Option<&Arc<Tally>> {
        let (owner, tally) = self.tallies.get(id.index())?.as_ref()?;
        (*owner == id).then_some(tally)
    }
}

impl Picker for Counting {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let pick = self.child.pick(info);
        match pick.subchannel().and_then(|id| self.tally(id)) {
            Some(tally) => pick.observed_by(Arc::clone(tally) as _),
            None => pick,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::client::picker::CallEnd;
    use crate::rpc::Code;

    const SIX: [&str; 6] =
        ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"];

    /// Six backends over which `round_robin` balances.
    fn six(config: &str) -> Update {
        let text = format!(
            r#"[{{"outlier_detection_experimental": {{{config}, "childPolicy": [{{"round_robin": {{}}}}]}}}}]"#
        );
        update(&SIX, choose(&text).unwrap().config().clone())
    }

    fn connected(config: &str) -> (OutlierDetection, Fake) {
        let (mut balancer, mut fake) = (OutlierDetection::default(), Fake::new());
        balancer.handle_resolution(six(config), &mut fake).unwrap();
        SIX.iter().for_each(|address| fake.ready(&mut balancer, address));
        (balancer, fake)
    }

    /// So many calls, of which those to the addresses fail.
    fn calls(fake: &Fake, count: usize, failing: &[&str]) {
        for _ in 0..count {
            let (id, observer) = observed(fake.pick());
            let fails = failing.contains(&fake.address(id).as_str());
            let code = if fails { Code::Unavailable } else { Code::Ok };
            observer.handle_end(&CallEnd::new(code, None));
        }
    }

    fn in_use(fake: &Fake) -> HashSet<String> {
        (0..60).map(|_| fake.picked()).collect()
    }

    const BY_FAILURES: &str = r#""failurePercentageEjection": {"threshold": 50, "requestVolume": 10},
        "maxEjectionPercent": 50"#;

    #[test]
    fn a_backend_that_fails_too_many_calls_is_ejected_and_taken_back() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        assert!(in_use(&fake).contains(A));
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 5);
        assert!(!in_use(&fake).contains(A));
        // Thirty seconds, and comparisons once in ten.
        fake.pass(&mut balancer, Duration::from_secs(20));
        assert!(!in_use(&fake).contains(A));
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert!(in_use(&fake).contains(A));
    }

    #[test]
    fn a_second_ejection_is_twice_as_long() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(40));
        assert!(in_use(&fake).contains(A));
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(60));
        assert!(!in_use(&fake).contains(A));
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert!(in_use(&fake).contains(A));
    }

    #[test]
    fn no_more_than_the_allowed_share_is_ejected() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &SIX);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 3);
    }

    #[test]
    fn few_calls_or_few_backends_prove_nothing() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 54, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 6);
        let hosts =
            r#""failurePercentageEjection": {"threshold": 50, "requestVolume": 10, "minimumHosts": 7}"#;
        let (mut balancer, mut fake) = connected(hosts);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 6);
    }

    #[test]
    fn a_backend_far_below_the_mean_rate_of_success_is_ejected() {
        let (mut balancer, mut fake) = connected(r#""successRateEjection": {"requestVolume": 10}"#);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert!(!in_use(&fake).contains(A));
        // When all fail alike nobody is an outlier.
        let (mut balancer, mut fake) = connected(r#""successRateEjection": {"requestVolume": 10}"#);
        calls(&fake, 120, &SIX);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 6);
    }

    #[test]
    fn enforcement_is_by_chance() {
        let never = r#""failurePercentageEjection":
            {"threshold": 50, "requestVolume": 10, "enforcementPercentage": 0}"#;
        let (mut balancer, mut fake) = connected(never);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(in_use(&fake).len(), 6);
    }

    #[test]
    fn without_a_rule_nothing_is_counted() {
        let (_balancer, fake) = connected(r#""interval": "1s""#);
        assert!(!is_observed(&fake.pick()));
    }

    #[test]
    fn a_child_of_another_policy_takes_over_when_it_can_serve() {
        let (mut balancer, mut fake) = (OutlierDetection::default(), Fake::new());
        let with = |policy: &str, address: &str| {
            let config = format!(r#"{{"childPolicy": [{{"{policy}": {{}}}}]}}"#);
            let policy = choose(&format!(r#"[{{"outlier_detection_experimental": {config}}}]"#));
            update(&[address], policy.unwrap().config().clone())
        };
        balancer.handle_resolution(with("round_robin", SIX[0]), &mut fake).unwrap();
        fake.ready(&mut balancer, SIX[0]);
        balancer.handle_resolution(with("pick_first", SIX[1]), &mut fake).unwrap();
        assert_eq!(fake.picked(), SIX[0]);
        fake.ready(&mut balancer, SIX[1]);
        assert_eq!((fake.picked(), fake.in_use()), (SIX[1].to_owned(), vec![SIX[1].to_owned()]));
    }

    #[test]
    fn an_endpoint_keeps_its_past_over_a_resolution() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        balancer.handle_resolution(six(BY_FAILURES), &mut fake).unwrap();
        assert!(!in_use(&fake).contains(A));
    }

    #[test]
    fn when_the_last_rule_is_gone_nothing_is_ejected_or_remembered() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert!(!in_use(&fake).contains(A));
        balancer.handle_resolution(six(r#""interval": "10s""#), &mut fake).unwrap();
        assert!(in_use(&fake).contains(A));
        assert_eq!(balancer.poll_timeout(), None);
        // Ejected anew it is for the first time, which is thirty seconds.
        balancer.handle_resolution(six(BY_FAILURES), &mut fake).unwrap();
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(30));
        assert!(!in_use(&fake).contains(A));
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert!(in_use(&fake).contains(A));
    }

    #[test]
    fn another_interval_counts_from_when_the_one_under_way_began() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(4));
        let longer = format!(r#"{BY_FAILURES}, "interval": "20s""#);
        balancer.handle_resolution(six(&longer), &mut fake).unwrap();
        fake.pass(&mut balancer, Duration::from_millis(15_999));
        assert!(in_use(&fake).contains(A));
        let shorter = format!(r#"{BY_FAILURES}, "interval": "5s""#);
        balancer.handle_resolution(six(&shorter), &mut fake).unwrap();
        fake.pass(&mut balancer, Duration::ZERO);
        assert!(!in_use(&fake).contains(A));
    }

    #[test]
    fn a_backend_whose_endpoint_changes_is_not_ejected_any_more() {
        let (mut balancer, mut fake) = connected(BY_FAILURES);
        calls(&fake, 120, &[A]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        let mut changed = six(BY_FAILURES);
        changed.endpoints[0].addresses.push(address("10.0.1.1:80"));
        balancer.handle_resolution(changed, &mut fake).unwrap();
        assert!(in_use(&fake).contains(A));
    }

    #[test]
    fn the_config_is_checked() {
        let error = |config: &str| {
            choose(&format!(r#"[{{"outlier_detection_experimental": {config}}}]"#)).unwrap_err().to_string()
        };
        assert!(error("{}").contains("childPolicy: found nothing"));
        assert!(error(r#"{"maxEjectionPercent": 101}"#).contains("maxEjectionPercent: found 101"));
        assert!(error(r#"{"interval": "0s"}"#).contains("interval: found \"0s\""));
        let rule = error(r#"{"failurePercentageEjection": {"threshold": 101}}"#);
        assert!(rule.contains("failurePercentageEjection.threshold: found 101"), "{rule}");
    }
}
