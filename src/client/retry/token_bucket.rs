//! `retryThrottling`: how the failures of a channel's calls stop further attempts before they add to an overload.

use crate::client::service_config::RetryThrottling;

/// Tokens are counted in thousandths, to which `tokenRatio` is exact (gRFC A6).
const THOUSANDTHS: u32 = 1000;

/// The tokens of one channel. Failures take one each, successes give a fraction back; attempts beyond the first are
/// made only while more than half are there.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: u32,
    max: u32,
    ratio: u32,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(throttling: RetryThrottling) -> Self {
        let max = throttling.max_tokens.saturating_mul(THOUSANDTHS);
        TokenBucket { tokens: max, max, ratio: throttling.token_ratio_thousandths }
    }

    /// A call ended well.
    pub(crate) fn succeed(&mut self) {
        self.tokens = self.tokens.saturating_add(self.ratio).min(self.max);
    }

    /// An attempt failed in a way that another attempt could mend, or the server asked for no more attempts.
    pub(super) fn fail(&mut self) {
        self.tokens = self.tokens.saturating_sub(THOUSANDTHS);
    }

    pub(super) fn allows(&self) -> bool {
        self.tokens > self.max / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(max_tokens: u32, token_ratio_thousandths: u32) -> TokenBucket {
        TokenBucket::new(RetryThrottling { max_tokens, token_ratio_thousandths })
    }

    #[test]
    fn attempts_stop_at_half_of_the_tokens_and_return_with_successes() {
        let mut bucket = bucket(10, 500);
        for _ in 0..4 {
            bucket.fail();
            assert!(bucket.allows());
        }
        bucket.fail();
        assert!(!bucket.allows(), "five of ten are not more than half");
        bucket.succeed();
        assert!(bucket.allows());
    }

    #[test]
    fn the_bucket_neither_overflows_nor_goes_into_debt() {
        let mut bucket = bucket(2, 100);
        bucket.succeed();
        bucket.fail();
        assert!(!bucket.allows(), "it was full before the success");
        (0..10).for_each(|_| bucket.fail());
        (0..10).for_each(|_| bucket.succeed());
        assert!(!bucket.allows(), "ten tenths are half of two");
        bucket.succeed();
        assert!(bucket.allows());
    }
}
