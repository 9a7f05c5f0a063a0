//! When the resolver is asked: at once, not too often, and again after failures.

use crate::client::backoff::{Backoff, BackoffConfig};
use crate::client::random::Xorshift;
use std::time::{Duration, Instant};

/// The schedule of one resolver, from its start to its end.
#[derive(Debug)]
pub(crate) struct Schedule {
    min_interval: Duration,
    /// So long after an answer the resolver is asked again though nobody wants it.
    refresh_interval: Option<Duration>,
    timeout: Duration,
    backoff: Backoff,
    /// Somebody wants fresh knowledge, and has not been given it.
    wanted: bool,
    /// The resolver is not asked before this time.
    not_before: Option<Instant>,
    /// The resolver has been asked; from this time on its answer is not waited for.
    answer_due: Option<Instant>,
    /// There has been an answer that was not an error.
    resolved: bool,
    /// There has been an error, and no other answer since.
    failing: bool,
    refresh_at: Option<Instant>,
}

impl Schedule {
    /// A schedule that wants the first resolution at once.
    pub(crate) fn new(
        min_interval: Duration,
        refresh_interval: Option<Duration>,
        timeout: Duration,
        backoff: BackoffConfig,
    ) -> Self {
        Schedule {
            min_interval,
            refresh_interval: refresh_interval.map(|interval| interval.max(min_interval)),
            timeout,
            backoff: Backoff::new(backoff),
            wanted: true,
            not_before: None,
            answer_due: None,
            resolved: false,
            failing: false,
            refresh_at: None,
        }
    }

    /// Asks for fresh knowledge, as soon as the rules allow.
    pub(crate) fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether to ask the resolver now; if so, it counts as asked.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.wanted && self.answer_due.is_none() && self.not_before.is_none_or(|t| t <= now);
        if due {
            self.wanted = false;
            self.answer_due = Some(now + self.timeout);
        }
        due
    }

    /// The resolver gave an answer that could be used.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.answer_due = None;
        self.resolved = true;
        self.failing = false;
        self.backoff.reset();
        self.not_before = Some(now + self.min_interval);
        self.refresh_at = self.refresh_interval.map(|interval| now + interval);
    }

    /// The resolver gave an error, or an answer without use: it is asked again after a back-off.
    pub(crate) fn failed(&mut self, now: Instant, random: &mut Xorshift) {
        self.answer_due = None;
        self.wanted = true;
        self.failing = true;
        self.not_before = Some(now + self.backoff.next_delay(random));
    }

    /// Whether calls have an error of the resolver to report.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Lifts the wait after a failure. The least interval between successful resolutions stands.
    pub(crate) fn reset_backoff(&mut self) {
        if self.backoff.is_growing() {
            self.backoff.reset();
            self.not_before = None;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.answer_due {
            Some(due) => Some(due),
            None if self.wanted => self.not_before,
            None => self.refresh_at,
        }
    }

    /// Stops waiting for an answer that is overdue. True if the channel still knows nothing, so that its calls should
    /// hear of it; otherwise it goes on with what it knows.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.answer_due.is_none() && self.refresh_at.is_some_and(|time| time <= now) {
            self.refresh_at = None;
            self.wanted = true;
        }
        let overdue = self.answer_due.is_some_and(|due| due <= now);
        if overdue {
            self.answer_due = None;
            // A resolver that pushes its answers may have nothing new to say.
            self.refresh_at = self.refresh_interval.map(|interval| now + interval);
        }
        overdue && !self.resolved
    }
}
