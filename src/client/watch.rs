//! A stream that should be open as long as its connection is: a watch of the backend's health (gRFC A17), or of its
//! load (gRFC A51).

use super::backoff::{Backoff, BackoffConfig};
use super::random::Xorshift;
use std::time::Instant;

/// When the stream is opened: at once, after a back-off when it ended, and never again once the backend says that it
/// does not know such streams.
#[derive(Debug)]
pub(crate) struct Watch {
    phase: Phase,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody wants it, or there is no connection.
    Off,
    Open,
    BackingOff(Instant),
    /// The backend does not implement the service.
    Unavailable,
}

impl Watch {
    pub(crate) fn new(backoff: BackoffConfig) -> Self {
        Watch { phase: Phase::Off, backoff: Backoff::new(backoff) }
    }

    /// Wants the stream. Whether to open it now.
    pub(crate) fn start(&mut self) -> bool {
        let starts = self.phase == Phase::Off;
        if starts {
            self.phase = Phase::Open;
        }
        starts
    }

    /// Wants the stream no more, or has lost the connection. Whether it was open.
    pub(crate) fn stop(&mut self) -> bool {
        self.backoff.reset();
        std::mem::replace(&mut self.phase, Phase::Off) == Phase::Open
    }

    /// Whether what a stream tells is still of interest.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The stream told something: when it ends, the waits begin anew with the shortest.
    pub(crate) fn handle_message(&mut self) {
        self.backoff.reset();
    }

    /// The stream ended.
    pub(crate) fn handle_end(&mut self, now: Instant, is_unimplemented: bool, random: &mut Xorshift) {
        self.phase = match is_unimplemented {
            true => Phase::Unavailable,
            false => Phase::BackingOff(now + self.backoff.next_delay(random)),
        };
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::BackingOff(until) => Some(until),
            _ => None,
        }
    }

    /// Whether to open the stream now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|until| until <= now);
        if due {
            self.phase = Phase::Open;
        }
        due
    }
}
