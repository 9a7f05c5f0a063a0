//! [`TokenBucket`]: counts something against a rate.

use crate::Rate;
use std::time::{Duration, Instant};

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Tokens that are taken one by one, come back with time, and never exceed the burst. Whoever has the bucket knows its
/// rate, which is always the same.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Tokens of the burst that are missing.
    spent: u32,
    /// Up to when the tokens that came back with time are counted in.
    filled: Instant,
}

impl TokenBucket {
    pub(crate) fn new(now: Instant) -> Self {
        TokenBucket { spent: 0, filled: now }
    }

    /// Takes a token; `false` if there is none.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let taken = self.spent < rate.burst;
        self.spent += u32::from(taken);
        taken
    }

    /// Puts tokens back that were earned otherwise than by time.
    #[inline]
    pub(crate) fn earn(&mut self, tokens: u32) {
        // A full bucket, as most are, isn't written to.
        if self.spent > 0 {
            self.spent = self.spent.saturating_sub(tokens);
        }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_nanos();
        let due = elapsed * u128::from(rate.per_second) / SECOND;
        if due == 0 {
            return;
        }
        let due_for = due * SECOND / u128::from(rate.per_second);
        self.earn(u32::try_from(due).unwrap_or(u32::MAX));
        self.filled = if self.spent == 0 {
            // A full bucket takes no more: what came while it was full is no second burst.
            now
        } else {
            // What is less than a token stays to be counted next time.
            self.filled + Duration::from_nanos(u64::try_from(due_for).unwrap_or(u64::MAX))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(bucket: &mut TokenBucket, rate: Rate, now: Instant) -> u32 {
        (0..).take_while(|_| bucket.take(rate, now)).count() as u32
    }

    #[test]
    fn the_burst_is_there_at_once_and_the_rest_comes_with_time() {
        let start = Instant::now();
        let rate = Rate { burst: 5, per_second: 10 };
        let mut bucket = TokenBucket::new(start);
        assert_eq!(drain(&mut bucket, rate, start), 5);
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_millis(99)), 0);
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_millis(250)), 2);
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_millis(300)), 1);
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_secs(3600)), 5);
    }

    #[test]
    fn time_without_takes_adds_nothing_to_the_burst() {
        let start = Instant::now();
        let rate = Rate { burst: 5, per_second: 1 };
        let mut bucket = TokenBucket::new(start);
        let later = start + Duration::from_secs(100);
        assert_eq!(drain(&mut bucket, rate, later), 5);
        assert_eq!(drain(&mut bucket, rate, later + Duration::from_secs(1)), 1);
    }

    #[test]
    fn tokens_come_back_with_time_while_some_are_left() {
        let start = Instant::now();
        let rate = Rate { burst: 5, per_second: 1 };
        let mut bucket = TokenBucket::new(start);
        for _ in 0..3 {
            assert!(bucket.take(rate, start));
        }
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_secs(2)), 4);
    }

    #[test]
    fn earned_tokens_never_pass_the_burst() {
        let start = Instant::now();
        let rate = Rate { burst: 2, per_second: 0 };
        let mut bucket = TokenBucket::new(start);
        bucket.earn(100);
        assert_eq!(drain(&mut bucket, rate, start), 2);
        bucket.earn(1);
        assert_eq!(drain(&mut bucket, rate, start + Duration::from_secs(3600)), 1);
    }
}
