//! `Schedule`: which attempts a call makes, and when. Pure: time and randomness are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::pushback::Pushback;
use super::token_bucket::TokenBucket;
use crate::client::backoff::LONGEST_WAIT;
use crate::client::service_config::{AttemptPolicy, HedgingPolicy, RetryPolicy};
use crate::rpc::Code;

/// An attempt of a call, by how many were started before it.
pub(crate) type Attempt = u32;

/// What is to be done for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start(Attempt),
    /// End this attempt: nobody wants its outcome.
    Cancel(Attempt),
    /// From now on this attempt is the call: nothing will be sent again.
    Commit(Attempt),
    /// No attempt is left or will be made: the failure told last is the call's.
    GiveUp,
}

/// How an attempt ended before its response had begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) pushback: Pushback,
}

/// What the end of an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the end of the call.
    Final,
    /// Another attempt decides. Its failure matters only if none is left ([`Action::GiveUp`]).
    Open,
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Schedule {
    policy: Option<AttemptPolicy>,
    max_attempts: u32,
    started: u32,
    live: Vec<Attempt>,
    /// When the next attempt starts.
    next: Option<Instant>,
    /// Failures since the first or since the server last said how long to wait.
    failures: u32,
    /// Nothing more can be kept to be sent again: the next attempt is the last.
    full: bool,
    committed: bool,
    /// Why no attempt followed one that could have been mended.
    stopped: Option<&'static str>,
    actions: VecDeque<Action>,
}

impl Schedule {
    /// A call with this policy, and at most `cap` attempts.
    pub(crate) fn new(policy: Option<AttemptPolicy>, cap: u32) -> Self {
        let max_attempts = policy.as_ref().map_or(1, |policy| max_attempts(policy).min(cap).max(1));
        Schedule {
            policy,
            max_attempts,
            started: 0,
            live: Vec::new(),
            next: None,
            failures: 0,
            full: false,
            committed: false,
            stopped: None,
            actions: VecDeque::new(),
        }
    }

    /// Begins with the first attempt.
    pub(crate) fn start(&mut self, now: Instant, bucket: Option<&mut TokenBucket>) {
        self.start_next(now, bucket);
    }

    /// What is to be done, one by one.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// How many attempts were started.
    pub(crate) fn started(&self) -> u32 {
        self.started
    }

    /// Why no attempt followed the last one, if one could have.
    pub(crate) fn stopped(&self) -> Option<&'static str> {
        self.stopped
    }

    /// Whether no attempt is under way.
    pub(crate) fn is_between_attempts(&self) -> bool {
        self.live.is_empty()
    }

    /// Ends all attempts.
    pub(crate) fn cancel(&mut self) {
        self.end();
    }

    /// Whether one attempt has become the call.
    pub(crate) fn is_committed(&self) -> bool {
        self.committed
    }

    /// It is time for the next attempt.
    pub(crate) fn handle_timeout(&mut self, now: Instant, bucket: Option<&mut TokenBucket>) {
        if self.next.is_some_and(|next| next <= now) {
            self.next = None;
            self.start_next(now, bucket);
        }
    }

    /// The response of an attempt has begun. False if another is the call by now.
    pub(crate) fn handle_headers(&mut self, attempt: Attempt) -> bool {
        if !self.live.contains(&attempt) {
            return false;
        }
        self.commit(attempt);
        true
    }

    /// More is to be sent than can be kept to be sent again.
    pub(crate) fn handle_full(&mut self) {
        self.full = true;
        if let Some(first) = self.live.first().copied() {
            self.commit(first);
        }
    }

    /// An attempt ended well. [`Verdict::Open`] if another is the call by now.
    pub(crate) fn handle_success(&mut self, attempt: Attempt, bucket: Option<&mut TokenBucket>) -> Verdict {
        if !self.handle_headers(attempt) {
            return Verdict::Open;
        }
        if let Some(bucket) = bucket {
            bucket.succeed();
        }
        self.live.clear();
        Verdict::Final
    }

    /// An attempt failed. `random` is in `0.0..1.0`.
    pub(crate) fn handle_failure(
        &mut self,
        now: Instant,
        attempt: Attempt,
        failure: Failure,
        bucket: Option<&mut TokenBucket>,
        random: f64,
    ) -> Verdict {
        let Some(index) = self.live.iter().position(|live| *live == attempt) else {
            return Verdict::Open;
        };
        self.live.remove(index);
        match self.policy.clone() {
            Some(policy) if self.committed && self.full => {
                if is_mendable(&policy, failure.code) && self.started < self.max_attempts {
                    self.stopped = Some("its requests are more than retry_buffer_size keeps for another");
                }
                Verdict::Final
            }
            _ if self.committed => Verdict::Final,
            None => self.end(),
            Some(AttemptPolicy::Retry(policy)) => self.retry(now, &policy, failure, bucket, random),
            Some(AttemptPolicy::Hedging(policy)) => self.hedge(now, &policy, failure, bucket),
        }
    }

    fn retry(
        &mut self,
        now: Instant,
        policy: &RetryPolicy,
        failure: Failure,
        bucket: Option<&mut TokenBucket>,
        random: f64,
    ) -> Verdict {
        let is_retryable = policy.retryable_status_codes.contains(failure.code);
        if !self.may_go_on(is_retryable, failure.pushback, bucket) {
            return self.end();
        }
        let wait = match failure.pushback {
            Pushback::After(wait) => {
                self.failures = 0;
                wait
            }
            _ => {
                self.failures += 1;
                backoff(policy, self.failures, random)
            }
        };
        self.next = Some(now + wait.min(LONGEST_WAIT));
        Verdict::Open
    }

    fn hedge(
        &mut self,
        now: Instant,
        policy: &HedgingPolicy,
        failure: Failure,
        mut bucket: Option<&mut TokenBucket>,
    ) -> Verdict {
        let is_non_fatal = policy.non_fatal_status_codes.contains(failure.code);
        let goes_on = self.may_go_on(is_non_fatal, failure.pushback, bucket.as_deref_mut());
        if !is_non_fatal {
            return self.end();
        }
        match failure.pushback {
            _ if !goes_on => self.stop(),
            Pushback::After(wait) => self.next = Some(now + wait.min(LONGEST_WAIT)),
            _ => self.start_next(now, bucket),
        }
        if self.live.is_empty() && self.next.is_none() { self.end() } else { Verdict::Open }
    }

    /// Counts a failure, and says whether attempts may follow it.
    fn may_go_on(&mut self, is_mendable: bool, pushback: Pushback, bucket: Option<&mut TokenBucket>) -> bool {
        let is_allowed = match bucket {
            Some(bucket) => {
                if is_mendable || pushback == Pushback::Never {
                    bucket.fail();
                }
                bucket.allows()
            }
            None => true,
        };
        if !is_mendable || self.started >= self.max_attempts {
            return false;
        }
        self.stopped = match pushback {
            Pushback::Never => Some("the server asked for no more"),
            _ if !is_allowed => Some("more are throttled, since many have failed"),
            _ => None,
        };
        self.stopped.is_none()
    }

    /// Starts an attempt; when hedging, also says when the one behind it comes.
    fn start_next(&mut self, now: Instant, bucket: Option<&mut TokenBucket>) {
        let hedging_delay = match &self.policy {
            Some(AttemptPolicy::Hedging(policy)) => Some(policy.hedging_delay),
            _ => None,
        };
        let may_hedge = bucket.is_none_or(|bucket| bucket.allows());
        loop {
            // A retry was allowed when its back-off began. A hedged attempt is another load on the server.
            if self.started > 0 && hedging_delay.is_some() && !may_hedge {
                self.stop();
                self.stopped = Some("more are throttled, since many have failed");
                if self.live.is_empty() {
                    self.end();
                    self.actions.push_back(Action::GiveUp);
                }
                return;
            }
            let attempt = self.started;
            self.started += 1;
            self.live.push(attempt);
            self.actions.push_back(Action::Start(attempt));
            if self.full {
                return self.commit(attempt);
            }
            match hedging_delay {
                Some(delay) if self.started < self.max_attempts => {
                    if !delay.is_zero() {
                        self.next = Some(now + delay.min(LONGEST_WAIT));
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Starts no more attempts, whatever becomes of those that run.
    fn stop(&mut self) {
        self.next = None;
        self.max_attempts = self.started;
    }

    fn commit(&mut self, attempt: Attempt) {
        if !std::mem::replace(&mut self.committed, true) {
            self.next = None;
            self.actions.push_back(Action::Commit(attempt));
            self.cancel_all_but(Some(attempt));
        }
    }

    /// The call is over; what still runs is cancelled.
    fn end(&mut self) -> Verdict {
        self.next = None;
        self.committed = true;
        self.cancel_all_but(None);
        Verdict::Final
    }

    fn cancel_all_but(&mut self, winner: Option<Attempt>) {
        for attempt in self.live.extract_if(.., |attempt| Some(*attempt) != winner) {
            self.actions.push_back(Action::Cancel(attempt));
        }
    }
}

fn max_attempts(policy: &AttemptPolicy) -> u32 {
    match policy {
        AttemptPolicy::Retry(policy) => policy.max_attempts,
        AttemptPolicy::Hedging(policy) => policy.max_attempts,
    }
}

fn is_mendable(policy: &AttemptPolicy, code: Code) -> bool {
    match policy {
        AttemptPolicy::Retry(policy) => policy.retryable_status_codes.contains(code),
        AttemptPolicy::Hedging(policy) => policy.non_fatal_status_codes.contains(code),
    }
}

/// The wait before the attempt that follows `failures` in a row: exponential, with a fifth of jitter either way.
fn backoff(policy: &RetryPolicy, failures: u32, random: f64) -> Duration {
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = policy.initial_backoff.as_secs_f64() * policy.backoff_multiplier.powi(exponent);
    // `min` also takes the maximum in place of what is no number.
    let seconds = grown.min(policy.max_backoff.as_secs_f64()) * (0.8 + 0.4 * random);
    Duration::try_from_secs_f64(seconds).unwrap_or(policy.max_backoff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::service_config::{Codes, RetryThrottling};

    const MS: Duration = Duration::from_millis(1);

    /// A call in made-up time, whose attempts are as they are told.
    struct Scene {
        schedule: Schedule,
        bucket: Option<TokenBucket>,
        now: Instant,
        random: f64,
    }

    impl Scene {
        fn new(policy: AttemptPolicy) -> Self {
            let schedule = Schedule::new(Some(policy), 5);
            let mut scene = Scene { schedule, bucket: None, now: Instant::now(), random: 0.5 };
            scene.schedule.start(scene.now, None);
            scene
        }

        fn retry(max_attempts: u32) -> Self {
            Scene::new(AttemptPolicy::Retry(RetryPolicy {
                max_attempts,
                initial_backoff: 100 * MS,
                max_backoff: 300 * MS,
                backoff_multiplier: 2.0,
                retryable_status_codes: Codes::from_iter([Code::Unavailable]),
            }))
        }

        fn hedging(max_attempts: u32, hedging_delay: Duration) -> Self {
            Scene::new(AttemptPolicy::Hedging(HedgingPolicy {
                max_attempts,
                hedging_delay,
                non_fatal_status_codes: Codes::from_iter([Code::Unavailable]),
            }))
        }

        fn throttled(mut self, max_tokens: u32) -> Self {
            let throttling = RetryThrottling { max_tokens, token_ratio_thousandths: 1_000 };
            self.bucket = Some(TokenBucket::new(throttling));
            self
        }

        fn actions(&mut self) -> Vec<Action> {
            std::iter::from_fn(|| self.schedule.poll_action()).collect()
        }

        fn fail(&mut self, attempt: Attempt, code: Code, pushback: Pushback) -> Verdict {
            let failure = Failure { code, pushback };
            self.schedule.handle_failure(self.now, attempt, failure, self.bucket.as_mut(), self.random)
        }

        fn unavailable(&mut self, attempt: Attempt) -> Verdict {
            self.fail(attempt, Code::Unavailable, Pushback::None)
        }

        fn succeed(&mut self, attempt: Attempt) -> Verdict {
            self.schedule.handle_success(attempt, self.bucket.as_mut())
        }

        /// How long the next attempt waits.
        fn wait(&self) -> Option<Duration> {
            self.schedule.poll_timeout().map(|next| next - self.now)
        }

        /// Lets the time come for the next attempt.
        fn pass(&mut self) -> Vec<Action> {
            self.now = self.schedule.poll_timeout().expect("an attempt that is to come");
            self.schedule.handle_timeout(self.now, self.bucket.as_mut());
            self.actions()
        }
    }

    use Action::{Cancel, Commit, GiveUp, Start};

    #[test]
    fn a_retryable_failure_is_tried_again_up_to_the_most_attempts() {
        let mut scene = Scene::retry(3);
        assert_eq!(scene.actions(), [Start(0)]);
        assert_eq!(scene.unavailable(0), Verdict::Open);
        assert_eq!(scene.pass(), [Start(1)]);
        assert_eq!(scene.unavailable(1), Verdict::Open);
        assert_eq!(scene.pass(), [Start(2)]);
        assert_eq!(scene.unavailable(2), Verdict::Final);
        assert_eq!((scene.actions(), scene.wait()), (vec![], None));
    }

    #[test]
    fn the_channels_cap_is_below_the_policys_number() {
        let mut scene = Scene::retry(50);
        for attempt in 0..4 {
            assert_eq!(scene.unavailable(attempt), Verdict::Open);
            scene.pass();
        }
        assert_eq!(scene.unavailable(4), Verdict::Final);
    }

    #[test]
    fn back_off_grows_by_the_multiplier_to_the_maximum_with_a_fifth_of_jitter() {
        for (random, factor) in [(0.0, 0.8), (0.5, 1.0), (0.999_999, 1.2)] {
            let mut scene = Scene::retry(5);
            scene.random = random;
            for (attempt, millis) in [(0, 100.0), (1, 200.0), (2, 300.0), (3, 300.0)] {
                scene.unavailable(attempt);
                let wait = scene.wait().unwrap().as_secs_f64() * 1000.0;
                assert!((wait - millis * factor).abs() < 0.01, "{wait} for {millis} times {factor}");
                scene.pass();
            }
        }
    }

    #[test]
    fn another_failure_is_final() {
        assert_eq!(Scene::retry(3).fail(0, Code::Internal, Pushback::None), Verdict::Final);
        let after = Pushback::After(MS);
        assert_eq!(
            Scene::retry(3).fail(0, Code::Internal, after),
            Verdict::Final,
            "pushback is no permission"
        );
    }

    #[test]
    fn pushback_sets_the_wait_and_starts_the_back_off_anew() {
        let mut scene = Scene::retry(5);
        scene.unavailable(0);
        scene.pass();
        scene.fail(1, Code::Unavailable, Pushback::After(7 * MS));
        assert_eq!(scene.wait(), Some(7 * MS));
        scene.pass();
        scene.unavailable(2);
        assert_eq!(scene.wait(), Some(100 * MS));
    }

    #[test]
    fn pushback_can_forbid_another_attempt() {
        let mut scene = Scene::retry(5);
        assert_eq!(scene.fail(0, Code::Unavailable, Pushback::Never), Verdict::Final);
        assert_eq!(scene.wait(), None);
    }

    #[test]
    fn the_head_of_a_response_commits() {
        let mut scene = Scene::retry(3);
        scene.actions();
        assert!(scene.schedule.handle_headers(0));
        assert_eq!(scene.actions(), [Commit(0)]);
        assert_eq!(scene.unavailable(0), Verdict::Final);
    }

    #[test]
    fn a_full_buffer_commits_to_the_attempt_that_runs() {
        let mut scene = Scene::retry(3);
        scene.actions();
        scene.schedule.handle_full();
        assert_eq!(scene.actions(), [Commit(0)]);
        assert_eq!(scene.unavailable(0), Verdict::Final);
    }

    #[test]
    fn a_buffer_that_is_full_between_attempts_makes_the_next_the_last() {
        let mut scene = Scene::retry(3);
        scene.unavailable(0);
        scene.actions();
        scene.schedule.handle_full();
        assert_eq!(scene.actions(), []);
        assert_eq!(scene.pass(), [Start(1), Commit(1)]);
        assert_eq!(scene.unavailable(1), Verdict::Final);
    }

    #[test]
    fn failures_of_many_calls_stop_further_attempts() {
        let mut scene = Scene::retry(5).throttled(4);
        assert_eq!(scene.unavailable(0), Verdict::Open, "three of four tokens are left");
        scene.pass();
        assert_eq!(scene.unavailable(1), Verdict::Final, "two of four are not more than half");
        let mut next = Scene::retry(5);
        next.bucket = scene.bucket.take();
        assert_eq!(next.succeed(0), Verdict::Final);
        assert!(next.bucket.unwrap().allows(), "a success gave one back");
    }

    #[test]
    fn only_failures_that_another_attempt_could_mend_take_tokens() {
        let mut scene = Scene::retry(5).throttled(2);
        scene.fail(0, Code::Internal, Pushback::None);
        assert!(scene.bucket.as_ref().unwrap().allows());
        let mut scene = Scene::retry(5).throttled(2);
        scene.fail(0, Code::Internal, Pushback::Never);
        assert!(!scene.bucket.unwrap().allows(), "a server that wants no attempts is overloaded");
    }

    #[test]
    fn hedged_attempts_start_after_the_delay_each() {
        let mut scene = Scene::hedging(3, 10 * MS);
        assert_eq!(scene.actions(), [Start(0)]);
        assert_eq!(scene.wait(), Some(10 * MS));
        assert_eq!(scene.pass(), [Start(1)]);
        assert_eq!(scene.pass(), [Start(2)]);
        assert_eq!(scene.wait(), None);
    }

    #[test]
    fn without_a_delay_all_start_at_once() {
        assert_eq!(Scene::hedging(3, Duration::ZERO).actions(), [Start(0), Start(1), Start(2)]);
    }

    #[test]
    fn the_first_response_wins_and_the_others_are_cancelled() {
        let mut scene = Scene::hedging(3, Duration::ZERO);
        scene.actions();
        assert!(scene.schedule.handle_headers(1));
        assert_eq!(scene.actions(), [Commit(1), Cancel(0), Cancel(2)]);
        assert!(!scene.schedule.handle_headers(2), "too late");
        assert_eq!(scene.succeed(0), Verdict::Open);
        assert_eq!(scene.succeed(1), Verdict::Final);
    }

    #[test]
    fn a_non_fatal_failure_brings_the_next_attempt_at_once() {
        let mut scene = Scene::hedging(3, 10 * MS);
        scene.actions();
        scene.now += 2 * MS;
        assert_eq!(scene.unavailable(0), Verdict::Open);
        assert_eq!(scene.actions(), [Start(1)]);
        assert_eq!(scene.wait(), Some(10 * MS), "and the one behind it follows that one");
        assert_eq!(scene.unavailable(1), Verdict::Open);
        assert_eq!(scene.actions(), [Start(2)]);
        assert_eq!(scene.unavailable(2), Verdict::Final);
    }

    #[test]
    fn a_non_fatal_failure_is_final_only_when_no_other_attempt_is_left() {
        let mut scene = Scene::hedging(2, Duration::ZERO);
        scene.actions();
        assert_eq!(scene.unavailable(1), Verdict::Open);
        assert_eq!(scene.unavailable(0), Verdict::Final);
    }

    #[test]
    fn a_fatal_failure_ends_all_attempts() {
        let mut scene = Scene::hedging(4, 10 * MS);
        scene.pass();
        assert_eq!(scene.fail(1, Code::PermissionDenied, Pushback::None), Verdict::Final);
        assert_eq!((scene.actions(), scene.wait()), (vec![Cancel(0)], None));
    }

    #[test]
    fn pushback_delays_the_next_hedged_attempt_or_stops_them() {
        let mut scene = Scene::hedging(4, 10 * MS);
        scene.actions();
        assert_eq!(scene.fail(0, Code::Unavailable, Pushback::After(70 * MS)), Verdict::Open);
        assert_eq!(scene.wait(), Some(70 * MS));
        assert_eq!(scene.pass(), [Start(1)]);
        assert_eq!(scene.pass(), [Start(2)]);
        assert_eq!(scene.fail(1, Code::Unavailable, Pushback::Never), Verdict::Open, "another still runs");
        assert_eq!(scene.wait(), None);
        assert_eq!(scene.unavailable(2), Verdict::Final, "and was the last");
    }

    #[test]
    fn throttling_stops_hedging_but_not_what_runs() {
        let mut scene = Scene::hedging(4, 10 * MS).throttled(2);
        scene.actions();
        scene.bucket.as_mut().unwrap().fail();
        assert_eq!(scene.pass(), []);
        assert_eq!(scene.wait(), None);
        assert_eq!(scene.succeed(0), Verdict::Final);
    }

    #[test]
    fn a_delayed_attempt_that_throttling_forbids_gives_the_call_up() {
        let mut scene = Scene::hedging(4, 10 * MS).throttled(4);
        scene.actions();
        assert_eq!(scene.fail(0, Code::Unavailable, Pushback::After(70 * MS)), Verdict::Open);
        scene.bucket.as_mut().unwrap().fail();
        assert_eq!(scene.pass(), [GiveUp]);
    }

    #[test]
    fn a_full_buffer_ends_hedging_with_the_oldest_attempt() {
        let mut scene = Scene::hedging(3, Duration::ZERO);
        scene.actions();
        scene.schedule.handle_full();
        assert_eq!(scene.actions(), [Commit(0), Cancel(1), Cancel(2)]);
    }

    #[test]
    fn a_call_without_a_policy_has_one_attempt() {
        let mut schedule = Schedule::new(None, 5);
        let now = Instant::now();
        schedule.start(now, None);
        assert_eq!(schedule.poll_action(), Some(Start(0)));
        let failure = Failure { code: Code::Unavailable, pushback: Pushback::None };
        assert_eq!(schedule.handle_failure(now, 0, failure, None, 0.5), Verdict::Final);
    }
}
