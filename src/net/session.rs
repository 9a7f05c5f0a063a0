//! What a loop drives: sessions, which have a socket, and tasks, which have none.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat_frame::WriteBuf;

use super::alarm::Alarm;
use super::large_messages::{FORGET_AFTER, LargeMessages};
use super::mailbox::{LoopHandle, Note, Token};
use super::peer::Peer;
use super::stats::Counters;
use super::timers::{TimerId, Timers};

/// What a session or task is given with each input: the time, the timers, and its own address on the loop.
pub(crate) struct Turn<'a> {
    /// Taken once a turn.
    pub(crate) now: Instant,
    pub(crate) token: Token,
    pub(crate) handle: &'a LoopHandle,
    pub(super) timers: &'a mut Timers<Ring>,
    pub(super) counters: &'a Counters,
    pub(super) large_messages: &'a mut LargeMessages,
}

/// What a timer does when it fires.
#[derive(Debug)]
pub(super) enum Ring {
    /// `handle_timer` of the session or task.
    Session(Note),
    /// The loop's own: a connect or handshake that takes too long, or a closed socket that lingers.
    Connection(Token),
    /// The loop's own: a listener may accept again.
    Listener(Token),
    /// The loop's own: a burst is over, whose memory the system may have back.
    BurstOver,
    /// The loop's own: its tables become smaller after that.
    TablesMove,
    /// A sleeping future.
    Sleep(Arc<Alarm>),
    /// The loop's own: large messages may be forgotten.
    LargeMessages,
}

impl Turn<'_> {
    /// Has `handle_timer(slot)` called at `deadline`.
    pub(crate) fn set_timer(&mut self, deadline: Instant, slot: u32) -> TimerId {
        self.timers.set(deadline, Ring::Session(Note { token: self.token, slot }))
    }

    pub(crate) fn cancel_timer(&mut self, timer: TimerId) {
        self.timers.cancel(timer);
    }

    /// Remembers a message that was received, if it is a large one, so that its memory can serve the next one.
    pub(crate) fn remember(&mut self, message: &Bytes) {
        if self.large_messages.remember(message) {
            self.timers.set(self.now + FORGET_AFTER, Ring::LargeMessages);
        }
    }

    /// An empty buffer with room for a message of so many octets, if a large one before it has left one.
    pub(crate) fn take_buffer(&mut self, size: usize) -> Option<Vec<u8>> {
        self.large_messages.take(size)
    }
}

/// The glue of one connection: octets in, octets out. All calls come from the loop's one thread.
///
/// After any batch of the `handle_*` calls the loop calls [`Session::finish_turn`] once and then writes `out`.
pub(crate) trait Session: Send {
    /// The socket is on its loop, and is connected or being connected. Called once, before anything else.
    fn handle_start(&mut self, _turn: &mut Turn<'_>) {}
    /// The socket is connected, and secured if it is to be. Called once, before any octets.
    fn handle_open(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, peer: Peer);
    /// Octets arrived. Returns how many were consumed; the rest is shown again, in front of what arrives next.
    fn handle_input(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, input: &[u8]) -> usize;
    /// Somebody called [`LoopHandle::wake`] for this slot.
    fn handle_wake(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32);
    /// A timer set for this slot has fired.
    fn handle_timer(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32);
    /// Moves what is ready to be sent into `out`.
    fn finish_turn(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf);
    /// Everything in `out` has gone to the kernel. Whether [`finish_turn`](Session::finish_turn) has more to do now:
    /// to write, or to see that the session is finished.
    fn handle_flushed(&mut self) -> bool;
    /// The peer sends no more.
    fn handle_eof(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf);
    /// The connection is over, or never came to be. `out` has what was not written. Called once; the session is dropped
    /// afterwards.
    fn handle_closed(&mut self, turn: &mut Turn<'_>, out: &WriteBuf, reason: CloseReason);
    /// What the loop should do with the socket now.
    fn state(&self) -> SessionState;
    /// Calls that were begun by the peer so far: they are work, however few octets asked for it.
    fn calls_begun(&self) -> u64 {
        0
    }
    /// A time after which the kernel is to give up a peer that acknowledges nothing, asked for once before connecting.
    fn user_timeout(&self) -> Option<Duration> {
        None
    }
    /// What the session holds, while it is open.
    #[cfg(test)]
    fn audit(&self) -> Option<Audit>;
}

/// What a session holds, for tests that look for what was left behind.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) calls: usize,
    pub(crate) streams: usize,
    /// Octets of DATA that wait for credit.
    pub(crate) queued: usize,
    pub(crate) send_window: i64,
    pub(crate) receive_window: i64,
}

/// What a session wants of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionState {
    Open,
    /// Write what is in `out`, but read no more until it is gone.
    WriteOnly,
    /// Write what is in `out`, then close.
    Finished,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// The session said [`SessionState::Finished`].
    Finished,
    /// The connect or the handshake failed, or took too long ([`io::ErrorKind::TimedOut`]).
    ConnectFailed(io::Error),
    /// Reading or writing failed.
    Io(io::Error),
    /// The engine shuts down.
    EngineStopped,
}

/// Work on a loop without a socket of its own.
pub(crate) trait Task: Send {
    /// The task is on its loop. Called once, before anything else.
    fn handle_start(&mut self, turn: &mut Turn<'_>);
    /// Somebody called [`LoopHandle::wake`] for this slot.
    fn handle_wake(&mut self, turn: &mut Turn<'_>, slot: u32);
    /// A timer set for this slot has fired.
    fn handle_timer(&mut self, turn: &mut Turn<'_>, slot: u32);
    /// Whether the loop may drop the task.
    fn is_finished(&self) -> bool;
}
