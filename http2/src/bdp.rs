//! [`BdpEstimator`]: how much the path holds, so that windows can be as large.
//!
//! The estimate is grpc-go's: octets that arrive between a PING and its answer are a sample of the bandwidth-delay
//! product; when a sample fills the estimate and bandwidth is the best seen, the path may hold more, and the estimate
//! becomes twice the sample. It never shrinks.
//!
//! Unlike there, a sample is begun only when enough has arrived lately to tell anything, so that connections with
//! little traffic carry no PINGs, and after samples that raised nothing only when more has: each PING and each answer
//! may be a packet and a wake-up of its own. And a sample whose PING took longer than the quickest one counts as much
//! less: the difference was spent in queues on the way, most of all in those before a receiver that is the slower side.
//! A larger window would lengthen them and everything that waits behind them, and bring nothing.

use std::time::{Duration, Instant};

/// The payload of the estimator's PINGs, the one of grpc-go.
pub(crate) const PING: [u8; 8] = [2, 4, 16, 16, 9, 14, 7, 7];

/// The largest estimate, and so the largest window of a connection.
pub(crate) const LIMIT: u32 = 16 * 1024 * 1024;

/// Estimates the bandwidth-delay product of what the peer sends.
#[derive(Debug)]
pub(crate) struct BdpEstimator {
    /// Octets.
    estimate: u32,
    /// A sample is under way: its PING was sent at `since`.
    is_sampling: bool,
    /// Octets that arrived in the sample under way, or since `since` if none is.
    arrived: u32,
    /// So many of them begin a sample.
    begins_at: u32,
    since: Instant,
    /// The shortest round-trip time seen, in seconds: what the path takes without queues.
    shortest_round_trip: f64,
    /// Smoothed round-trip time in seconds.
    round_trip: f64,
    samples: u32,
    /// The best bandwidth seen, in octets per second.
    best_bandwidth: f64,
    /// Samples since the estimate was raised, up to `MAX_DOUBLINGS`.
    in_vain: u32,
}

impl BdpEstimator {
    /// Weight of a new round-trip time once there are enough of them.
    const ALPHA: f64 = 0.9;
    /// How much of the estimate a sample must fill to raise it.
    const BETA: f64 = 0.66;
    /// How many round-trip times are averaged before `ALPHA` applies.
    const FIRST_SAMPLES: u32 = 10;
    /// A sample counts what came within about one and a half round trips: the PING waits behind data on its way.
    const SPAN: f64 = 1.5;
    /// The part of the estimate that must have arrived within [`Self::LATELY`] before a sample is begun.
    const BUSY: u32 = 8;
    const LATELY: Duration = Duration::from_secs(1);
    /// How often that part doubles, and the time with it, with samples that raise nothing: up to four times the
    /// estimate.
    const MAX_DOUBLINGS: u32 = 5;
    /// No sample begins: one is under way, or the estimate can't grow.
    const NEVER: u32 = u32::MAX;
    /// Round trips below this can't be told from none.
    const SHORTEST_ROUND_TRIP: f64 = 1e-6;

    /// Begins with the estimate `window`, the initial window of streams.
    pub(crate) fn new(window: u32, now: Instant) -> Self {
        let mut estimator = BdpEstimator {
            estimate: window.clamp(1, LIMIT),
            is_sampling: false,
            arrived: 0,
            begins_at: Self::NEVER,
            since: now,
            shortest_round_trip: f64::INFINITY,
            round_trip: 0.0,
            samples: 0,
            best_bandwidth: 0.0,
            in_vain: 0,
        };
        estimator.await_traffic();
        estimator
    }

    /// Counts `octets` that arrived; whether a sample begins, and the PING is to be sent now.
    #[inline]
    pub(crate) fn handle_data(&mut self, now: Instant, octets: usize) -> bool {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.arrived = self.arrived.saturating_add(octets);
        self.arrived >= self.begins_at && self.begin(now, octets)
    }

    #[cold]
    fn begin(&mut self, now: Instant, octets: u32) -> bool {
        if self.begins_at == Self::NEVER {
            return false;
        }
        let lately = now.saturating_duration_since(self.since) <= Self::LATELY * (1 << self.in_vain);
        self.since = now;
        self.arrived = 0;
        if lately {
            self.is_sampling = true;
            self.arrived = octets;
            self.begins_at = Self::NEVER;
        }
        lately
    }

    /// A sample begins once enough has arrived.
    fn await_traffic(&mut self) {
        self.arrived = 0;
        self.begins_at =
            if self.estimate < LIMIT { (self.estimate / Self::BUSY) << self.in_vain } else { Self::NEVER };
    }

    /// Whether a PING waits for its answer.
    pub(crate) fn is_sampling(&self) -> bool {
        self.is_sampling
    }

    /// The answer to the PING came; the new estimate if it has grown.
    pub(crate) fn handle_answer(&mut self, now: Instant) -> Option<u32> {
        if !std::mem::take(&mut self.is_sampling) {
            return None;
        }
        let grown = self.take_sample(now);
        self.in_vain = if grown.is_some() { 0 } else { Self::MAX_DOUBLINGS.min(self.in_vain + 1) };
        self.await_traffic();
        grown
    }

    fn take_sample(&mut self, now: Instant) -> Option<u32> {
        let sent = std::mem::replace(&mut self.since, now);
        let round_trip = now.saturating_duration_since(sent).as_secs_f64().max(Self::SHORTEST_ROUND_TRIP);
        self.shortest_round_trip = self.shortest_round_trip.min(round_trip);
        self.samples = self.samples.saturating_add(1);
        let weight =
            if self.samples <= Self::FIRST_SAMPLES { 1.0 / f64::from(self.samples) } else { Self::ALPHA };
        self.round_trip += (round_trip - self.round_trip) * weight;
        let bandwidth = f64::from(self.arrived) / (self.round_trip * Self::SPAN);
        let is_best = bandwidth >= self.best_bandwidth;
        self.best_bandwidth = self.best_bandwidth.max(bandwidth);
        let fills = f64::from(self.arrived) >= Self::BETA * f64::from(self.estimate);
        if !(fills && is_best && self.estimate < LIMIT) {
            return None;
        }
        let on_the_path = f64::from(self.arrived) * (self.shortest_round_trip / round_trip);
        let grown = (2.0 * on_the_path).min(f64::from(LIMIT)) as u32;
        let has_grown = grown > self.estimate;
        self.estimate = self.estimate.max(grown);
        has_grown.then_some(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = 64 * 1024;

    #[test]
    fn a_sample_that_fills_the_estimate_doubles_it() {
        let start = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, start);
        assert!(bdp.handle_data(start, 16 * 1024));
        for _ in 0..3 {
            assert!(!bdp.handle_data(start, 16 * 1024));
        }
        assert_eq!(bdp.handle_answer(start + Duration::from_millis(10)), Some(2 * WINDOW));
        assert_eq!(bdp.handle_answer(start + Duration::from_millis(10)), None);
    }

    #[test]
    fn a_small_sample_changes_nothing() {
        let start = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, start);
        assert!(bdp.handle_data(start, 40 * 1024));
        assert_eq!(bdp.handle_answer(start + Duration::from_millis(10)), None);
    }

    #[test]
    fn a_slow_sample_changes_nothing() {
        let start = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, start);
        assert!(bdp.handle_data(start, 60 * 1024));
        let second = start + Duration::from_millis(10);
        assert_eq!(bdp.handle_answer(second), Some(120 * 1024));
        assert!(bdp.handle_data(second, 110 * 1024));
        assert_eq!(bdp.handle_answer(second + Duration::from_secs(1)), None);
    }

    #[test]
    fn what_waited_in_queues_is_no_part_of_the_path() {
        let start = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, start);
        assert!(bdp.handle_data(start, 60 * 1024));
        let second = start + Duration::from_millis(10);
        assert_eq!(bdp.handle_answer(second), Some(120 * 1024));
        // Twice as much, in nearly twice the time.
        assert!(bdp.handle_data(second, 120 * 1024));
        assert_eq!(bdp.handle_answer(second + Duration::from_millis(19)), Some(129_347));
        assert!(bdp.handle_data(second, 129_000));
        assert_eq!(bdp.handle_answer(second + Duration::from_millis(20)), None);
    }

    #[test]
    fn little_traffic_carries_no_pings() {
        let mut now = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, now);
        for _ in 0..1000 {
            now += Duration::from_millis(200);
            assert!(!bdp.handle_data(now, 100));
        }
    }

    #[test]
    fn a_path_that_holds_no_more_is_asked_rarely_until_it_does() {
        let mut now = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, now);
        let mut octets_between = Vec::new();
        for _ in 0..8 {
            let mut octets = 1024;
            while !bdp.handle_data(now, 1024) {
                octets += 1024;
            }
            octets_between.push(octets);
            now += Duration::from_millis(1);
            assert_eq!(bdp.handle_answer(now), None);
        }
        assert_eq!(
            octets_between,
            [1, 2, 4, 8, 16, 32, 32, 32].map(|part| part * WINDOW / BdpEstimator::BUSY)
        );
        while !bdp.handle_data(now, 1024) {}
        bdp.handle_data(now, WINDOW as usize);
        assert!(bdp.handle_answer(now + Duration::from_millis(1)).is_some());
        assert!(bdp.handle_data(now, (WINDOW / 2) as usize), "it may hold still more");
    }

    #[test]
    fn the_estimate_stops_at_its_limit() {
        let mut now = Instant::now();
        let mut bdp = BdpEstimator::new(WINDOW, now);
        while bdp.handle_data(now, LIMIT as usize) {
            now += Duration::from_millis(1);
            assert_eq!(bdp.handle_answer(now), Some(LIMIT));
        }
    }
}
