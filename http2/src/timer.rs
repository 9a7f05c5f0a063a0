//! [`Timers`]: the deadlines of one connection.

use std::time::{Duration, Instant};

/// The longest time that is told from never: a hundred years. Anything longer could be too much for an [`Instant`].
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The instant so much later, whatever the application has chosen for `time`.
#[inline]
pub(crate) fn later(instant: Instant, time: Duration) -> Instant {
    instant + time.min(LONGEST)
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Timer {
    const ALL: [Timer; 12] = [
        Timer::Preface,
        Timer::SettingsAck,
        Timer::HeaderBlock,
        Timer::Frame,
        Timer::Keepalive,
        Timer::Idle,
        Timer::Age,
        Timer::Grace,
        Timer::Drain,
        Timer::Stalled,
        Timer::Linger,
        Timer::UnreadReplies,
    ];
}

/// The deadlines that are set, at most one for each [`Timer`].
///
/// Timers that watch for silence aren't moved at each sign of life: when one fires, its owner looks when the last sign
/// was, and sets it anew. So the earliest deadline rarely changes.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
    next: Option<Instant>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.replace(timer, Some(at));
    }

    /// Removes a deadline.
    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.replace(timer, None);
        }
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
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
        let timer = Timer::ALL
            .into_iter()
            .find(|&timer| self.deadlines[timer as usize].is_some_and(|deadline| deadline <= now))?;
        self.replace(timer, None);
        Some(timer)
    }

    fn replace(&mut self, timer: Timer, at: Option<Instant>) {
        self.deadlines[timer as usize] = at;
        self.next = self.deadlines.iter().flatten().min().copied();
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
    fn all_is_in_the_order_of_the_indices() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
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
