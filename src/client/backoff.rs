//! How long to wait before the next attempt: exponential back-off with jitter (gRPC's connection back-off protocol).

use super::random::Xorshift;
use std::time::Duration;

/// What longer configured times are cut to: as good as never, and any clock reading plus this is still a clock reading.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How back-off grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffConfig {
    /// The wait after the first failure, without jitter, as in grpc-go.
    pub base_delay: Duration,
    /// What each further wait is multiplied by.
    pub multiplier: f64,
    /// The share by which a wait is lengthened or shortened at random, so that clients of a failed server do not all
    /// return in the same moment.
    pub jitter: f64,
    /// The longest wait, before jitter.
    pub max_delay: Duration,
}

impl Default for BackoffConfig {
    /// The figures every gRPC implementation uses: 1 s, times 1.6, plus or minus a fifth, at most 120 s.
    fn default() -> Self {
        BackoffConfig {
            base_delay: Duration::from_secs(1),
            multiplier: 1.6,
            jitter: 0.2,
            max_delay: Duration::from_secs(120),
        }
    }
}

/// The back-off of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    /// The next wait in seconds, before jitter; `None` while nothing has failed since the last reset.
    next: Option<f64>,
}

impl Backoff {
    /// A back-off that starts at the base delay.
    pub(crate) fn new(config: BackoffConfig) -> Self {
        Backoff { config, next: None }
    }

    /// The wait that follows the next failure; each call grows the one after.
    pub(crate) fn next_delay(&mut self, random: &mut Xorshift) -> Duration {
        let max = self.config.max_delay.as_secs_f64();
        let (delay, jitter) = match self.next {
            None => (self.config.base_delay.as_secs_f64(), 0.0),
            Some(delay) => (delay, self.config.jitter * (2.0 * random.next_f64() - 1.0)),
        };
        let delay = delay.min(max);
        self.next = Some((delay * self.config.multiplier).min(max));
        // A configuration without sense (a jitter that is no number, say) gives no wait instead of a panic.
        Duration::try_from_secs_f64((delay * (1.0 + jitter)).clamp(0.0, LONGEST_WAIT.as_secs_f64()))
            .unwrap_or_default()
    }

    /// Whether something has failed since the last reset.
    pub(crate) fn is_growing(&self) -> bool {
        self.next.is_some()
    }

    /// Starts again from the base delay: the attempt succeeded, or the user asked for it.
    pub(crate) fn reset(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wait_is_exactly_the_base_delay() {
        for seed in 0..20 {
            let mut backoff = Backoff::new(BackoffConfig::default());
            assert_eq!(backoff.next_delay(&mut Xorshift::new(seed)), Duration::from_secs(1));
        }
    }

    #[test]
    fn waits_grow_by_the_multiplier_up_to_the_maximum_within_the_jitter() {
        for seed in 1..50 {
            let mut random = Xorshift::new(seed);
            let mut backoff = Backoff::new(BackoffConfig::default());
            let mut exact = 1.0f64;
            backoff.next_delay(&mut random);
            for _ in 0..20 {
                exact = (exact * 1.6).min(120.0);
                let delay = backoff.next_delay(&mut random).as_secs_f64();
                assert!((exact * 0.8..=exact * 1.2).contains(&delay), "{delay} for {exact}");
            }
            assert_eq!(exact, 120.0);
        }
    }

    #[test]
    fn jitter_differs_between_seeds() {
        let delays: std::collections::HashSet<Duration> = (1..50)
            .map(|seed| {
                let (mut random, mut backoff) = (Xorshift::new(seed), Backoff::new(BackoffConfig::default()));
                backoff.next_delay(&mut random);
                backoff.next_delay(&mut random)
            })
            .collect();
        assert!(delays.len() > 40);
    }

    #[test]
    fn a_reset_returns_to_the_base_delay() {
        let mut random = Xorshift::new(1);
        let mut backoff = Backoff::new(BackoffConfig::default());
        for _ in 0..5 {
            backoff.next_delay(&mut random);
        }
        backoff.reset();
        assert_eq!(backoff.next_delay(&mut random), Duration::from_secs(1));
    }

    #[test]
    fn a_base_above_the_maximum_is_cut_and_a_senseless_configuration_does_not_panic() {
        let mut random = Xorshift::new(1);
        let config = BackoffConfig { base_delay: Duration::from_secs(500), ..BackoffConfig::default() };
        assert_eq!(Backoff::new(config).next_delay(&mut random), Duration::from_secs(120));
        let config = BackoffConfig { multiplier: f64::NAN, jitter: -9.0, ..BackoffConfig::default() };
        let mut backoff = Backoff::new(config);
        for _ in 0..10 {
            backoff.next_delay(&mut random);
        }
    }
}
