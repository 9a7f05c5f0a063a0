//! [`PingStrikes`]: whether a client sends too many PINGs (gRFC A8).

use crate::Config;
use std::time::{Duration, Instant};

/// The shortest time between PINGs of a client without streams that isn't permitted to send them.
const MIN_TIME_WITHOUT_STREAM: Duration = Duration::from_secs(2 * 60 * 60);

/// Counts PINGs that come too early.
#[derive(Debug, Default)]
pub(crate) struct PingStrikes {
    strikes: u32,
    last_ping: Option<Instant>,
    /// HEADERS or DATA were sent since the last PING.
    forgiven: bool,
}

impl PingStrikes {
    /// How much earlier than allowed a PING may come, at most: clients' timers and networks aren't exact. A twentieth
    /// of the time, and not more than this.
    const MAX_TOLERANCE: Duration = Duration::from_secs(1);

    /// HEADERS or DATA are sent: the client may well want to know about its round trip.
    #[inline]
    pub(crate) fn forgive(&mut self) {
        self.forgiven = true;
    }

    /// A PING came; `false` if it is one too many.
    pub(crate) fn handle_ping(&mut self, config: &Config, now: Instant, has_streams: bool) -> bool {
        let Config { enforcement, limits, .. } = config;
        let last = self.last_ping.replace(now);
        if std::mem::take(&mut self.forgiven) {
            self.strikes = 0;
            return true;
        }
        let min_time = if has_streams || enforcement.permit_without_stream {
            enforcement.min_time
        } else {
            MIN_TIME_WITHOUT_STREAM
        };
        let tolerated = min_time - (min_time / 20).min(Self::MAX_TOLERANCE);
        if last.is_some_and(|last| now.saturating_duration_since(last) < tolerated) {
            self.strikes += 1;
        }
        self.strikes <= limits.ping_strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Enforcement;

    fn config(permit_without_stream: bool) -> Config {
        let enforcement = Enforcement { min_time: Duration::from_secs(10), permit_without_stream };
        Config { enforcement, ..Config::default() }
    }

    #[test]
    fn the_third_early_ping_is_one_too_many() {
        let now = Instant::now();
        let (config, mut strikes) = (config(false), PingStrikes::default());
        let verdicts: Vec<bool> = (0..4).map(|_| strikes.handle_ping(&config, now, true)).collect();
        assert_eq!(verdicts, [true, true, true, false]);
    }

    #[test]
    fn what_is_sent_begins_the_count_anew() {
        let now = Instant::now();
        let (config, mut strikes) = (config(false), PingStrikes::default());
        for _ in 0..3 {
            assert!((0..3).all(|_| strikes.handle_ping(&config, now, true)));
            strikes.forgive();
        }
    }

    #[test]
    fn what_is_sent_forgives_and_a_little_too_early_is_early_enough() {
        let mut now = Instant::now();
        let (config, mut strikes) = (config(false), PingStrikes::default());
        for _ in 0..10 {
            strikes.forgive();
            assert!(strikes.handle_ping(&config, now, true));
            now += Duration::from_millis(9_600);
            assert!(strikes.handle_ping(&config, now, true));
        }
    }

    #[test]
    fn without_streams_pings_must_be_rare_unless_permitted() {
        let later = |start: Instant, count: u32| start + count * Duration::from_secs(60);
        let start = Instant::now();
        let (mut strict, mut permissive) = (PingStrikes::default(), PingStrikes::default());
        let (strictly, permissively) = (config(false), config(true));
        assert!(!(0..4).all(|count| strict.handle_ping(&strictly, later(start, count), false)));
        assert!((0..4).all(|count| permissive.handle_ping(&permissively, later(start, count), false)));
    }
}
