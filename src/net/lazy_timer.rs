//! A session's timer for a time that moves with nearly everything that happens, mostly away.

use std::time::{Duration, Instant};

use super::session::Turn;
use super::timers::TimerId;

/// Fires no later than the earliest time asked for since it last fired. A later time costs a comparison: when the timer
/// fires, its owner looks at what is due and asks for the next time.
#[derive(Debug)]
pub(crate) struct LazyTimer {
    slot: u32,
    armed: Option<(Instant, TimerId)>,
}

impl LazyTimer {
    /// A timer that has `handle_timer(slot)` called.
    pub(crate) const fn new(slot: u32) -> Self {
        LazyTimer { slot, armed: None }
    }

    /// Sees to it that the timer fires at `time` or before.
    #[inline]
    pub(crate) fn arm(&mut self, turn: &mut Turn<'_>, time: Instant) {
        if self.armed.is_none_or(|(armed, _)| time < armed) {
            self.set(turn, time);
        }
    }

    #[cold]
    fn set(&mut self, turn: &mut Turn<'_>, time: Instant) {
        self.cancel(turn);
        self.armed = Some((time, turn.set_timer(time, self.slot)));
    }

    /// Sees to it that the timer fires once `time` has passed or before.
    #[inline]
    pub(crate) fn arm_in(&mut self, turn: &mut Turn<'_>, time: Duration) {
        if self.armed.is_none() {
            self.arm(turn, turn.now + time);
        }
    }

    /// `handle_timer` was called for it.
    pub(crate) fn fired(&mut self) {
        self.armed = None;
    }

    pub(crate) fn cancel(&mut self, turn: &mut Turn<'_>) {
        if let Some((_, timer)) = self.armed.take() {
            turn.cancel_timer(timer);
        }
    }
}
