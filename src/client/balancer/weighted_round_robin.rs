//! `weighted_round_robin`: calls by turns, more of them to backends that report less load for each (gRFC A58).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    BadResolution, Balancer, BalancerBuilder, Controller, EndpointSharding, PolicyConfig, Reconnect,
    Registry, Shard, Update,
};
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::{CallEnd, CallObserver, Gauge, Pick, PickInfo, Picker, Rotation};
use crate::client::resolver::ResolveError;
use crate::client::service_config::{ConfigError, Json};
use crate::client::subchannel::{SubchannelEvent, SubchannelId};
use crate::net::Address;
use crate::rpc::LoadReport;

/// Shorter `weightUpdatePeriod`s are taken for this, as the gRFC has it.
const SHORTEST_UPDATE_PERIOD: Duration = Duration::from_millis(100);

/// Makes [`WeightedRoundRobin`] balancers.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRoundRobinBuilder;

/// What `weighted_round_robin` can be configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedRoundRobinConfig {
    /// `enableOobLoadReport`: backends report their load beside calls rather than with each. Default: no.
    pub enable_oob_load_report: bool,
    /// `oobReportingPeriod`: how often they do. Default: 10 s.
    pub oob_reporting_period: Duration,
    /// `blackoutPeriod`: how long reports are not believed after the first. Default: 10 s.
    pub blackout_period: Duration,
    /// `weightExpirationPeriod`: how long the latest report counts. Default: 3 min.
    pub weight_expiration_period: Duration,
    /// `weightUpdatePeriod`: how often weights are computed; at least 100 ms. Default: 1 s.
    pub weight_update_period: Duration,
    /// `errorUtilizationPenalty`: what the rate of errors adds to the utilization. Default: 1.0.
    pub error_utilization_penalty: f64,
    /// `metricNamesForComputingUtilization`: the largest of these is the utilization, of which there are
    /// `application_utilization`, `cpu_utilization`, `mem_utilization`, `named_metrics.` and `utilization.`, the last
    /// two with the name of a metric behind. Without them, and where a report has none of them, it is the application's
    /// utilization, or else that of the CPU (gRFC A114). Default: none.
    pub metric_names_for_computing_utilization: Arc<[String]>,
}

impl Default for WeightedRoundRobinConfig {
    fn default() -> Self {
        WeightedRoundRobinConfig {
            enable_oob_load_report: false,
            oob_reporting_period: Duration::from_secs(10),
            blackout_period: Duration::from_secs(10),
            weight_expiration_period: Duration::from_secs(180),
            weight_update_period: Duration::from_secs(1),
            error_utilization_penalty: 1.0,
            metric_names_for_computing_utilization: Arc::default(),
        }
    }
}

impl WeightedRoundRobinConfig {
    /// How often backends are to report their load beside calls, if they are.
    fn load_interval(&self) -> Option<Duration> {
        self.enable_oob_load_report.then_some(self.oob_reporting_period)
    }
}

impl BalancerBuilder for WeightedRoundRobinBuilder {
    fn name(&self) -> &str {
        "weighted_round_robin"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(WeightedRoundRobin::default())
    }

    fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
        let default = WeightedRoundRobinConfig::default();
        let duration = |name: &str, default: Duration| {
            config.field(name)?.map_or(Ok(default), |duration| duration.duration())
        };
        let oob = config.field("enableOobLoadReport")?;
        let penalty = config.field("errorUtilizationPenalty")?;
        let mut metric_names = Vec::new();
        if let Some(names) = config.field("metricNamesForComputingUtilization")? {
            for name in names.items()? {
                metric_names.push(name.string()?.to_owned());
            }
        }
        Ok(PolicyConfig::new(WeightedRoundRobinConfig {
            enable_oob_load_report: oob.map_or(Ok(false), |oob| oob.boolean())?,
            oob_reporting_period: duration("oobReportingPeriod", default.oob_reporting_period)?,
            blackout_period: duration("blackoutPeriod", default.blackout_period)?,
            weight_expiration_period: duration("weightExpirationPeriod", default.weight_expiration_period)?,
            weight_update_period: duration("weightUpdatePeriod", default.weight_update_period)?
                .max(SHORTEST_UPDATE_PERIOD),
            error_utilization_penalty: penalty.map_or(Ok(1.0), |penalty| penalty.number())?,
            metric_names_for_computing_utilization: metric_names.into(),
        }))
    }

    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::new(WeightedRoundRobinConfig::default())
    }
}

/// Keeps a connection to every endpoint, and gives each its share of calls by the weight that its load reports make.
/// Endpoints without a weight get the mean of the others; with less than two weights all get the same.
#[derive(Debug)]
pub struct WeightedRoundRobin {
    endpoints: EndpointSharding,
    config: WeightedRoundRobinConfig,
    weights: HashMap<Vec<Address>, Weighing>,
    /// When weights are computed next.
    next_update: Option<Instant>,
    /// Those in use, for the endpoints that are ready.
    shares: Vec<u16>,
}

/// The weight of one endpoint.
#[derive(Debug, Default)]
struct Weighing {
    reported: Arc<Reported>,
    weight: f64,
    /// When the latest report came, and the first since the endpoint was connected or its weight expired; to the
    /// precision of the update period.
    last: Option<Instant>,
    first: Option<Instant>,
    was_ready: bool,
}

/// Takes load reports from calls.
#[derive(Debug, Default)]
struct Reported {
    weight: Gauge,
    formula: Formula,
}

/// How a report makes a weight.
#[derive(Clone, Debug, Default, PartialEq)]
struct Formula {
    error_penalty: f64,
    metric_names: Arc<[String]>,
}

impl Reported {
    fn take(&self, report: &LoadReport) {
        if let Some(weight) = self.formula.weigh(report) {
            self.weight.set(weight);
        }
    }
}

impl CallObserver for Reported {
    fn handle_end(&self, end: &CallEnd<'_>) {
        if let Some(report) = end.load_report() {
            self.take(&report);
        }
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        WeightedRoundRobin {
            endpoints: EndpointSharding::new(Reconnect::Always),
            config: WeightedRoundRobinConfig::default(),
            weights: HashMap::new(),
            next_update: None,
            shares: Vec::new(),
        }
    }
}

impl Formula {
    /// The weight that a report gives its backend: calls per second for the utilization they cause. `None` if the
    /// report does not say.
    fn weigh(&self, report: &LoadReport) -> Option<f64> {
        let (qps, utilization) = (report.rps_fractional, self.utilization(report));
        if !(qps > 0.0 && utilization > 0.0) {
            return None;
        }
        let errors = if report.eps > 0.0 { report.eps / qps * self.error_penalty } else { 0.0 };
        Some(qps / (utilization + errors)).filter(|weight| weight.is_finite())
    }

    fn utilization(&self, report: &LoadReport) -> f64 {
        let named = self.metric_names.iter().filter_map(|name| metric(report, name));
        // What is not a number is not above zero, either.
        let largest = named.filter(|value| *value > 0.0).fold(0.0, f64::max);
        [largest, report.application_utilization]
            .into_iter()
            .find(|value| *value > 0.0)
            .unwrap_or(report.cpu_utilization)
    }
}

/// The metric of this name, if the report has it.
fn metric(report: &LoadReport, name: &str) -> Option<f64> {
    match name.split_once('.') {
        Some(("named_metrics", key)) => report.named_metrics.get(key).copied(),
        Some(("utilization", key)) => report.utilization.get(key).copied(),
        Some(_) => None,
        None => match name {
            "application_utilization" => Some(report.application_utilization),
            "cpu_utilization" => Some(report.cpu_utilization),
            "mem_utilization" => Some(report.mem_utilization),
            _ => None,
        },
    }
}

impl Weighing {
    /// The weight now, or zero if there is none that counts.
    fn update(&mut self, now: Instant, config: &WeightedRoundRobinConfig) -> f64 {
        if let Some(weight) = self.reported.weight.take() {
            self.weight = weight;
            self.last = Some(now);
            self.first.get_or_insert(now);
        }
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        if now.saturating_duration_since(last) >= config.weight_expiration_period {
            self.first = None;
            return 0.0;
        }
        if now.saturating_duration_since(first) < config.blackout_period {
            return 0.0;
        }
        self.weight
    }
}

impl WeightedRoundRobin {
    /// Computes the weights, and publishes a picker with them: if they have changed, or `anew` for other reasons.
    fn publish(&mut self, anew: bool, controller: &mut dyn Controller) {
        let state = self.endpoints.state();
        let now = controller.now();
        let mut ready = Vec::new();
        let mut weights = Vec::new();
        for shard in self.endpoints.shards() {
            let weighing = self.weights.entry(shard.key().to_vec()).or_default();
            let is_ready = shard.state() == ConnectivityState::Ready;
            if is_ready && !weighing.was_ready {
                // What it reported before it was lost is not what it is now.
                weighing.first = None;
                weighing.reported.weight.take();
                watch_load(shard, self.config.load_interval(), controller);
            }
            weighing.was_ready = is_ready;
            if is_ready {
                weights.push(weighing.update(now, &self.config));
                let reported = (!self.config.enable_oob_load_report).then(|| Arc::clone(&weighing.reported));
                ready.push(Ready { picker: Arc::clone(shard.picker()), reported });
            }
        }
        let shares = shares(&weights);
        let changed = std::mem::replace(&mut self.shares, shares) != self.shares;
        if !anew && !changed {
            return;
        }
        if state != ConnectivityState::Ready {
            return controller.publish(state, self.endpoints.waiting_picker());
        }
        let turns = Rotation::new(controller.random());
        controller.publish(state, Arc::new(Strides { ready, shares: self.shares.clone(), turns }));
    }
}

impl Balancer for WeightedRoundRobin {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let new = update.config.get().cloned().unwrap_or_default();
        let old = std::mem::replace(&mut self.config, new);
        let result = self.endpoints.handle_resolution(update, controller);
        let shards = self.endpoints.shards();
        if self.config.load_interval() != old.load_interval() {
            shards.iter().for_each(|shard| watch_load(shard, self.config.load_interval(), controller));
        }
        self.weights.retain(|key, _| shards.iter().any(|shard| shard.key() == key));
        let formula = Formula {
            error_penalty: self.config.error_utilization_penalty,
            metric_names: Arc::clone(&self.config.metric_names_for_computing_utilization),
        };
        for shard in shards {
            let weighing = self.weights.entry(shard.key().to_vec()).or_default();
            if weighing.reported.formula != formula {
                weighing.reported = Arc::new(Reported { formula: formula.clone(), ..Reported::default() });
            }
        }
        self.next_update = Some(controller.now() + self.config.weight_update_period);
        self.publish(true, controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        self.endpoints.handle_resolver_error(error, controller);
        self.publish(true, controller);
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if let SubchannelEvent::Load(report) = &event {
            if !self.config.enable_oob_load_report {
                return;
            }
            for shard in self.endpoints.shards().iter().filter(|shard| shard.owns(id)) {
                if let Some(weighing) = self.weights.get(shard.key()) {
                    weighing.reported.take(report);
                }
            }
            return;
        }
        if self.endpoints.handle_subchannel(id, event, controller) {
            self.publish(true, controller);
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        if self.endpoints.exit_idle(controller) {
            self.publish(true, controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.next_update.filter(|_| self.endpoints.state() == ConnectivityState::Ready);
        self.endpoints.poll_timeout().into_iter().chain(own).min()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        let changed = self.endpoints.handle_timeout(controller);
        let due = self.next_update.is_some_and(|time| time <= controller.now());
        if due {
            self.next_update = Some(controller.now() + self.config.weight_update_period);
        }
        if changed || due {
            self.publish(changed, controller);
        }
    }
}

/// Has the endpoint's backend report its load this often, or not at all.
fn watch_load(shard: &Shard, interval: Option<Duration>, controller: &mut dyn Controller) {
    shard.subchannels().iter().for_each(|id| controller.watch_load(*id, interval));
}

/// Each weight as a share of the largest, which is [`u16::MAX`]. Empty if there is nothing to weigh.
fn shares(weights: &[f64]) -> Vec<u16> {
    let known: Vec<f64> = weights.iter().copied().filter(|weight| *weight > 0.0).collect();
    if known.len() < 2 {
        return Vec::new();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let largest = known.iter().copied().fold(0.0, f64::max);
    let share = |weight: f64| (weight / largest * f64::from(u16::MAX)).round().max(1.0) as u16;
    weights.iter().map(|weight| share(if *weight > 0.0 { *weight } else { mean })).collect()
}

/// Asks pickers by turns, each as often as its share says: the static stride scheduler of the gRFC. In every round
/// each picker advances by its share, and is asked whenever that takes it past a multiple of the largest.
#[derive(Debug)]
struct Strides {
    ready: Vec<Ready>,
    /// Empty: all are equal.
    shares: Vec<u16>,
    turns: Rotation,
}

#[derive(Debug)]
struct Ready {
    picker: Arc<dyn Picker>,
    /// Takes the reports of its calls, if they are to carry any.
    reported: Option<Arc<Reported>>,
}

impl Strides {
    fn next(&self) -> usize {
        const LARGEST: u64 = u16::MAX as u64;
        let count = self.ready.len();
        if self.shares.len() != count {
            return self.turns.next(count);
        }
        // The picker of the largest share is never passed over, so this ends within a round.
        loop {
            let turn = self.turns.next_turn();
            let (round, place) = ((turn / count) as u64, turn % count);
            let share = u64::from(self.shares[place]);
            // Every other begins half a stride later, so that equal shares do not go in step.
            let offset = if place % 2 == 1 { LARGEST / 2 } else { 0 };
            let advanced = (share.wrapping_mul(round) + offset) % LARGEST;
            if advanced >= LARGEST - share {
                return place;
            }
        }
    }
}

impl Picker for Strides {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        if self.ready.is_empty() {
            return Pick::Queue;
        }
        let Some(Ready { picker, reported }) = self.ready.get(self.next()) else { return Pick::Queue };
        let pick = picker.pick(info);
        match reported {
            Some(reported) => pick.observed_by(Arc::clone(reported) as _),
            None => pick,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::rpc::{Code, Metadata};

    fn connected(config: WeightedRoundRobinConfig) -> (WeightedRoundRobin, Fake) {
        let (mut balancer, mut fake) = (WeightedRoundRobin::default(), Fake::new());
        balancer.handle_resolution(update(&[A, B, C], PolicyConfig::new(config)), &mut fake).unwrap();
        [A, B, C].iter().for_each(|address| fake.ready(&mut balancer, address));
        (balancer, fake)
    }

    fn report(qps: f64, utilization: f64) -> LoadReport {
        LoadReport { rps_fractional: qps, application_utilization: utilization, ..LoadReport::default() }
    }

    /// A call to each backend.
    fn calls(fake: &Fake) -> [Arc<dyn CallObserver>; 3] {
        [A, B, C].map(|address| {
            loop {
                let (id, observer) = observed(fake.pick());
                if fake.address(id) == *address {
                    return observer;
                }
            }
        })
    }

    /// The calls end with reports of these utilizations.
    fn end(calls: [Arc<dyn CallObserver>; 3], utilizations: [f64; 3]) {
        for (call, utilization) in calls.iter().zip(utilizations) {
            let mut trailers = Metadata::new();
            report(100.0, utilization).add_to_trailers(&mut trailers);
            call.handle_end(&CallEnd::new(Code::Ok, Some(&trailers)));
        }
    }

    /// Every backend reports this utilization with a call of its own.
    fn report_all(fake: &Fake, utilizations: [f64; 3]) {
        end(calls(fake), utilizations);
    }

    fn counts(fake: &Fake, picks: usize) -> [usize; 3] {
        let picked: Vec<String> = (0..picks).map(|_| fake.picked()).collect();
        [A, B, C].map(|address| picked.iter().filter(|picked| **picked == *address).count())
    }

    #[test]
    fn without_reports_calls_go_round() {
        let (_balancer, fake) = connected(WeightedRoundRobinConfig::default());
        assert_eq!(counts(&fake, 300), [100, 100, 100]);
    }

    #[test]
    fn calls_are_in_proportion_to_weights_once_the_blackout_is_over() {
        let (mut balancer, mut fake) = connected(WeightedRoundRobinConfig::default());
        report_all(&fake, [0.2, 0.4, 0.8]);
        fake.pass(&mut balancer, Duration::from_secs(10));
        assert_eq!(
            counts(&fake, 300),
            [100, 100, 100],
            "the first report came with the first update, after a second"
        );
        fake.pass(&mut balancer, Duration::from_secs(1));
        let counts = counts(&fake, 700);
        for (count, expected) in counts.iter().zip([400, 200, 100usize]) {
            assert!(count.abs_diff(expected) <= 2, "{counts:?}");
        }
    }

    #[test]
    fn weights_expire() {
        let (mut balancer, mut fake) = connected(WeightedRoundRobinConfig::default());
        report_all(&fake, [0.2, 0.4, 0.8]);
        fake.pass(&mut balancer, Duration::from_secs(11));
        assert_ne!(counts(&fake, 300), [100, 100, 100]);
        fake.pass(&mut balancer, Duration::from_secs(180));
        assert_eq!(counts(&fake, 300), [100, 100, 100]);
    }

    #[test]
    fn what_a_backend_reported_before_its_connection_was_lost_does_not_count() {
        let config = WeightedRoundRobinConfig {
            blackout_period: Duration::ZERO,
            ..WeightedRoundRobinConfig::default()
        };
        let (mut balancer, mut fake) = connected(config);
        let calls = calls(&fake);
        [A, B, C].iter().for_each(|address| fake.idle(&mut balancer, address));
        end(calls, [0.2, 0.4, 0.8]);
        [A, B, C].iter().for_each(|address| fake.ready(&mut balancer, address));
        fake.pass(&mut balancer, Duration::from_secs(1));
        assert_eq!(counts(&fake, 300), [100, 100, 100]);
        report_all(&fake, [0.2, 0.4, 0.8]);
        fake.pass(&mut balancer, Duration::from_secs(1));
        assert_ne!(counts(&fake, 300), [100, 100, 100]);
    }

    #[test]
    fn a_backend_without_a_weight_gets_the_mean_of_the_others() {
        assert_eq!(shares(&[1.0, 0.0, 3.0]), [21845, 43690, 65535]);
        assert_eq!(shares(&[1.0, 0.0, 0.0]), [0u16; 0]);
        assert_eq!(shares(&[1e-9, 1.0]), [1, 65535]);
    }

    #[test]
    fn errors_make_a_backend_lighter_and_what_says_nothing_is_ignored() {
        let formula = Formula { error_penalty: 1.0, ..Formula::default() };
        assert_eq!(formula.weigh(&report(100.0, 0.5)), Some(200.0));
        let failing = LoadReport { eps: 50.0, ..report(100.0, 0.5) };
        assert_eq!(formula.weigh(&failing), Some(100.0));
        assert_eq!(Formula::default().weigh(&failing), Some(200.0));
        let by_cpu = LoadReport { cpu_utilization: 0.25, ..report(100.0, 0.0) };
        assert_eq!(formula.weigh(&by_cpu), Some(400.0));
        assert_eq!(formula.weigh(&report(0.0, 0.5)), None);
        assert_eq!(formula.weigh(&report(100.0, f64::NAN)), None);
    }

    #[test]
    fn the_largest_of_the_named_metrics_is_the_utilization() {
        let by = |names: &[&str], report: &LoadReport| {
            let metric_names = names.iter().map(|name| (*name).to_owned()).collect();
            Formula { error_penalty: 1.0, metric_names }.weigh(report)
        };
        let report = LoadReport {
            cpu_utilization: 0.1,
            mem_utilization: 0.2,
            utilization: [("disk.0".to_owned(), 0.25)].into(),
            named_metrics: [
                ("queue".to_owned(), 0.5),
                ("nan".to_owned(), f64::NAN),
                ("less".to_owned(), -1.0),
            ]
            .into(),
            ..report(100.0, 0.4)
        };
        for (names, weight) in [
            (&["mem_utilization"][..], 500.0),
            (&["mem_utilization", "named_metrics.queue", "cpu_utilization"], 200.0),
            (&["named_metrics.nan", "utilization.disk.0", "named_metrics.less"], 400.0),
            (&["application_utilization"], 250.0),
            // None of them is there: it is what the application says.
            (&["named_metrics.nan", "named_metrics.other", "request_cost.queue", "queue", "eps"], 250.0),
            (&[], 250.0),
        ] {
            assert_eq!(by(names, &report), Some(weight), "{names:?}");
        }
        let config = choose(
            r#"[{"weighted_round_robin": {"metricNamesForComputingUtilization": ["mem_utilization"]}}]"#,
        );
        let (mut balancer, mut fake) = (WeightedRoundRobin::default(), Fake::new());
        balancer.handle_resolution(update(&[A], config.unwrap().config().clone()), &mut fake).unwrap();
        assert!(
            balancer.weights.values().all(|weighing| weighing.reported.formula.weigh(&report) == Some(500.0))
        );
    }

    #[test]
    fn out_of_band_reports_are_asked_for_and_count() {
        let config = WeightedRoundRobinConfig {
            enable_oob_load_report: true,
            blackout_period: Duration::ZERO,
            ..WeightedRoundRobinConfig::default()
        };
        let (mut balancer, mut fake) = connected(config);
        assert!(fake.log.contains(&format!("load of {B} every 10s")));
        assert!(!is_observed(&fake.pick()));
        for (address, utilization) in [(A, 0.2), (B, 0.4), (C, 0.4)] {
            let event = SubchannelEvent::Load(Arc::new(report(100.0, utilization)));
            balancer.handle_subchannel(fake.id(address), event, &mut fake);
        }
        fake.pass(&mut balancer, Duration::from_secs(1));
        let counts = counts(&fake, 400);
        assert!(counts[0].abs_diff(200) <= 2 && counts[1].abs_diff(100) <= 2, "{counts:?}");
    }

    #[test]
    fn out_of_band_reports_follow_the_config() {
        let config = |enable_oob_load_report, seconds| {
            update(
                &[A],
                PolicyConfig::new(WeightedRoundRobinConfig {
                    enable_oob_load_report,
                    oob_reporting_period: Duration::from_secs(seconds),
                    ..WeightedRoundRobinConfig::default()
                }),
            )
        };
        let (mut balancer, mut fake) = (WeightedRoundRobin::default(), Fake::new());
        balancer.handle_resolution(config(false, 10), &mut fake).unwrap();
        fake.ready(&mut balancer, A);
        fake.log.clear();
        balancer.handle_resolution(config(true, 10), &mut fake).unwrap();
        fake.did(&[&format!("load of {A} every 10s"), "READY"]);
        balancer.handle_resolution(config(true, 60), &mut fake).unwrap();
        fake.did(&[&format!("load of {A} every 60s"), "READY"]);
        balancer.handle_resolution(config(true, 60), &mut fake).unwrap();
        fake.did(&["READY"]);
        balancer.handle_resolution(config(false, 60), &mut fake).unwrap();
        fake.did(&[&format!("no load of {A}"), "READY"]);
        // A report that was on its way counts no more: calls bring them now.
        let event = SubchannelEvent::Load(Arc::new(report(100.0, 0.5)));
        balancer.handle_subchannel(fake.id(A), event, &mut fake);
        assert!(balancer.weights.values().all(|weighing| weighing.reported.weight.take().is_none()));
        assert!(is_observed(&fake.pick()));
    }

    #[test]
    fn the_config_is_checked() {
        let parse = |config: &str| choose(&format!(r#"[{{"weighted_round_robin": {config}}}]"#));
        let config =
            |text: &str| parse(text).unwrap().config().get::<WeightedRoundRobinConfig>().unwrap().clone();
        assert_eq!(config("{}"), WeightedRoundRobinConfig::default());
        assert_eq!(config(r#"{"weightUpdatePeriod": "0.01s"}"#).weight_update_period, SHORTEST_UPDATE_PERIOD);
        let error = parse(r#"{"errorUtilizationPenalty": -1}"#).unwrap_err().to_string();
        assert!(error.contains("errorUtilizationPenalty: found -1"), "{error}");
    }
}
