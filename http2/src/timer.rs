//! [`Timers`]: the deadlines of one connection.

use std::time::{Duration, Instant};

/// The longest time that is told from never: a hundred years. Anything longer could be too much for an [`Instant`].
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The instant so much later, whatever the application has chosen for `time`.
#[inline]
pub(crate) fn later(instant: Instant, time: Duration) -> Instant {
    instant + time.min(LONGEST)
}

/// What a deadline is for. Of several that have passed, the first in this list is dealt with first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The peer's preface must be complete.
    Preface,
    /// The peer must have acknowledged SETTINGS.
    SettingsAck,
    /// The header block that has begun must be complete.
    HeaderBlock,
    /// The frame that has begun must be complete.
    Frame,
    /// Look whether the peer is silent.
    Keepalive,
    /// Look whether the connection is idle.
    Idle,
    /// The connection is old enough.
    Age,
    /// The streams of a connection that is too old have had their time.
    Grace,
    /// The second GOAWAY goes out even without the PING's answer.
    Drain,
    /// Look for streams whose queued DATA makes no progress.
    Stalled,
    /// Look for streams whose requests don't end although they were answered.
    Linger,
    /// The peer must have read some of the replies it caused.
    UnreadReplies,
}

/// The deadlines that are set, at most one for each [`Timer`].
///
/// Timers that watch for silence aren't moved at each sign of life: when one fires, its owner looks when the last sign
/// was, and sets it anew. So the earliest deadline rarely changes.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// In no order: there rarely are more than two.
    deadlines: Vec<(Timer, Instant)>,
    next: Option<Instant>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        match self.deadlines.iter_mut().find(|(set, _)| *set == timer) {
            Some((_, deadline)) => *deadline = at,
            None => self.deadlines.push((timer, at)),
        }
        self.find_next();
    }

    /// Removes a deadline.
    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.deadlines.retain(|(set, _)| *set != timer);
            self.find_next();
        }
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines.iter().any(|(set, _)| *set == timer)
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Removes one deadline that has passed and says which.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Timer> {
        if self.next? > now {
            return None;
        }
        let expired = self.deadlines.iter().filter(|(_, deadline)| *deadline <= now);
        let timer = expired.map(|(timer, _)| *timer).min()?;
        self.clear(timer);
        Some(timer)
    }

    /// Gives memory back that more deadlines have needed.
    pub(crate) fn shrink(&mut self) {
        self.deadlines.shrink_to_fit();
    }

    fn find_next(&mut self) {
        self.next = self.deadlines.iter().map(|(_, deadline)| *deadline).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_time_is_no_overflow() {
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > later(now, Duration::from_secs(1_000_000_000)));
    }

    #[test]
    fn deadlines_expire_once_and_the_earliest_is_known() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut timers = Timers::default();
        timers.set(Timer::Keepalive, after(30));
        timers.set(Timer::Preface, after(10));
        timers.set(Timer::Idle, after(20));
        assert_eq!(timers.next(), Some(after(10)));
        timers.clear(Timer::Preface);
        assert_eq!(timers.next(), Some(after(20)));
        assert_eq!(timers.pop_expired(after(19)), None);
        assert_eq!(timers.pop_expired(after(30)), Some(Timer::Keepalive));
        assert_eq!(timers.pop_expired(after(30)), Some(Timer::Idle));
        assert_eq!(timers.pop_expired(after(30)), None);
        assert_eq!(timers.next(), None);
    }
}
