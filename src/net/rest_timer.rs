//! When a connection gives back the memory that its calls needed.

use std::time::Duration;

use super::lazy_timer::LazyTimer;
use super::session::Turn;

/// How long a connection keeps the memory of its calls for the next ones, at least.
const REST_AFTER: Duration = Duration::from_secs(1);
/// The same for a connection that has had few calls so far. Thousands of them may be opened at a time, and most make a
/// call or two to begin with: what one gives back at once serves the next.
const REST_SOON: Duration = Duration::from_millis(10);
/// How many calls are few.
const FEW: u64 = 4;

/// Finds the moments in which no call has begun for a while.
#[derive(Debug)]
pub(crate) struct RestTimer {
    timer: LazyTimer,
    /// The calls that had begun when it last fired.
    begun: u64,
}

impl RestTimer {
    /// A timer that has `handle_timer(slot)` called.
    pub(crate) const fn new(slot: u32) -> Self {
        RestTimer { timer: LazyTimer::new(slot), begun: 0 }
    }

    /// Sees to it that the timer fires, if it is not set already. `begun` is how many calls there were so far.
    #[inline]
    pub(crate) fn arm(&mut self, turn: &mut Turn<'_>, begun: u64) {
        self.timer.arm_in(turn, if begun < FEW { REST_SOON } else { REST_AFTER });
    }

    /// `handle_timer` was called for it. Whether no call has begun since it fired the time before.
    pub(crate) fn fired(&mut self, begun: u64) -> bool {
        self.timer.fired();
        std::mem::replace(&mut self.begun, begun) == begun
    }

    pub(crate) fn cancel(&mut self, turn: &mut Turn<'_>) {
        self.timer.cancel(turn);
    }
}
