//! How streams and the connection end.

use super::{Connection, Role};
use crate::closed::Ending;
use crate::goaway::{self, Shutdown};
use crate::scheduler::Scheduler;
use crate::streams::{Linger, StreamKey};
use crate::timer::{Timer, Timers};
use crate::violation::Violation;
use crate::{ConnectionError, Event, Initiator};
use bytes::Bytes;
use lariat_frame::{ErrorCode, StreamId, WriteBuf, encode};
use std::time::Instant;

/// How many glitches one stream makes up for that was answered or that the application has reset, see
/// [`Limits::glitches`](crate::Limits::glitches): what may still be on its way for it when it has ended.
const GLITCHES_PER_STREAM: u32 = 4;

impl Connection {
    /// Takes a stream out of all books; its token.
    pub(super) fn remove(&mut self, key: StreamKey, ending: Ending) -> Option<u32> {
        let was_full = self.role == Role::Client && self.streams.len() == self.peer.max_concurrent_streams;
        if self.queued > 0 {
            self.drop_queued(key);
        }
        let token = self.streams.remove(key)?;
        if ending != Ending::Ended {
            self.closed.note(key.id(), ending);
        }
        if was_full {
            self.announce_streams();
        }
        if self.streams.is_empty() {
            self.idle_since = None;
            if self.is_draining() {
                self.finish_if_drained();
            }
        }
        Some(token)
    }

    /// Nothing more of what a stream has queued is sent.
    fn drop_queued(&mut self, key: StreamKey) {
        let queued = self.streams.get(key).map_or(0, |stream| stream.queue.octets());
        if queued > 0 {
            self.queued -= queued;
            self.scheduler.leave(&mut self.streams, key);
        }
    }

    /// Tells that streams can be opened again, if they can.
    pub(super) fn announce_streams(&mut self) {
        if !self.available_queued && self.can_open() {
            self.available_queued = true;
            self.events.push_back(Event::StreamsAvailable);
        }
    }

    /// Tells the end of an open stream; before it is removed, as the connection's own end may follow from that.
    pub(super) fn queue_reset(&mut self, key: StreamKey, code: ErrorCode, by: Initiator, unprocessed: bool) {
        if let Some(stream) = self.streams.get(key) {
            self.events.push_back(Event::Reset { stream: key, token: stream.token, code, by, unprocessed });
        }
    }

    /// A stream was answered: what the peer did otherwise weighs less.
    #[inline]
    pub(super) fn count_answer(&mut self) {
        self.resets.earn(1);
        self.expect_late_frames();
    }

    /// A stream has ended for this side, and the peer may not know yet.
    #[inline]
    pub(super) fn expect_late_frames(&mut self) {
        self.glitches.earn(GLITCHES_PER_STREAM);
    }

    // The end of the connection

    /// Begins a graceful shutdown; it ends with [`Event::Closed`] when the last stream has ended. `debug` is the text
    /// that GOAWAY carries.
    ///
    /// A server announces that it will accept no more streams, and says a round trip later which is the last (RFC 9113
    /// §6.8). A client sends one GOAWAY and opens no more streams.
    pub fn shutdown(&mut self, now: Instant, debug: &'static str, out: &mut WriteBuf) {
        self.now = now;
        self.begin_shutdown(debug, out);
    }

    pub(super) fn begin_shutdown(&mut self, debug: &'static str, out: &mut WriteBuf) {
        if self.shutdown != Shutdown::None || self.is_closed() {
            return;
        }
        match self.role {
            Role::Server => {
                encode::goaway(out.tail(), StreamId::MAX, ErrorCode::NO_ERROR, debug.as_bytes());
                encode::ping(out.tail(), false, goaway::PING);
                self.shutdown = Shutdown::Announced { debug };
                self.set_timer(Timer::Drain, goaway::PING_TIMEOUT);
            }
            Role::Client => {
                encode::goaway(out.tail(), StreamId::ZERO, ErrorCode::NO_ERROR, debug.as_bytes());
                self.shutdown = Shutdown::Final { last_stream: StreamId::ZERO, debug };
                self.finish_if_drained();
            }
        }
    }

    /// The second step of a server's shutdown.
    pub(super) fn send_final_goaway(&mut self, out: &mut WriteBuf) {
        if let Shutdown::Announced { debug } = self.shutdown {
            self.timers.clear(Timer::Drain);
            let last_stream = self.closed.highest();
            encode::goaway(out.tail(), last_stream, ErrorCode::NO_ERROR, debug.as_bytes());
            self.shutdown = Shutdown::Final { last_stream, debug };
            for key in self.streams.keys() {
                if self.streams.get(key).is_some_and(|stream| stream.linger >= Linger::Waiting) {
                    self.end_lingering(key, out);
                }
            }
            self.finish_if_drained();
        }
    }

    /// Closes a connection that is shutting down once its last stream is gone.
    pub(super) fn finish_if_drained(&mut self) {
        if !self.streams.is_empty() || self.is_closed() {
            return;
        }
        if self.role == Role::Client
            && let Some(goaway) = &self.peer_goaway
        {
            let (code, debug) = (goaway.code, goaway.debug.clone());
            self.terminate(ConnectionError {
                code,
                by: Initiator::Remote,
                rule: "the peer shut the connection down",
                section: "RFC 9113 §6.8",
                debug,
            });
        } else if let Shutdown::Final { debug, .. } = self.shutdown {
            self.terminate(ConnectionError {
                code: ErrorCode::NO_ERROR,
                by: Initiator::Library(debug),
                rule: debug,
                section: "RFC 9113 §6.8",
                debug: Bytes::from_static(debug.as_bytes()),
            });
        }
    }

    /// Closes the connection now: GOAWAY with this code and text, and every open stream ends.
    pub fn close(&mut self, code: ErrorCode, debug: &str, out: &mut WriteBuf) {
        const RULE: &str = "the application closed the connection";
        if self.is_closed() {
            return;
        }
        encode::goaway(out.tail(), self.last_stream(), code, debug.as_bytes());
        self.terminate(ConnectionError {
            code,
            by: Initiator::Library(RULE),
            rule: RULE,
            section: "",
            debug: Bytes::copy_from_slice(debug.as_bytes()),
        });
    }

    /// The peer has closed its side: nothing more will come.
    pub fn handle_eof(&mut self, now: Instant) {
        self.now = now;
        if self.is_closed() {
            return;
        }
        let (code, debug) = match &self.peer_goaway {
            Some(goaway) => (goaway.code, goaway.debug.clone()),
            None => (ErrorCode::NO_ERROR, Bytes::new()),
        };
        self.terminate(ConnectionError {
            code,
            by: Initiator::Remote,
            rule: "the peer closed the connection",
            section: "",
            debug,
        });
    }

    /// Ends the connection for a fault of the peer, with a GOAWAY that says which.
    #[cold]
    pub(super) fn fail(&mut self, violation: Violation, out: &mut WriteBuf) {
        if self.is_closed() {
            return;
        }
        let Violation { code, rule, section, .. } = violation;
        encode::goaway(out.tail(), self.last_stream(), code, rule.as_bytes());
        self.terminate(ConnectionError {
            code,
            by: Initiator::Library(rule),
            rule,
            section,
            debug: Bytes::from_static(rule.as_bytes()),
        });
    }

    /// The last stream of the peer that this side has dealt with.
    fn last_stream(&self) -> StreamId {
        match (self.role, self.shutdown) {
            (Role::Client, _) => StreamId::ZERO,
            (Role::Server, Shutdown::Final { last_stream, .. }) => last_stream,
            (Role::Server, _) => self.closed.highest(),
        }
    }

    /// Ends everything.
    fn terminate(&mut self, reason: ConnectionError) {
        let (code, by) = (reason.code, reason.by);
        self.close_reason = Some(Box::new(reason));
        for key in self.streams.keys() {
            self.queue_reset(key, code, by, false);
            self.streams.remove(key);
        }
        self.scheduler = Scheduler::default();
        self.queued = 0;
        self.assembly = None;
        self.timers = Timers::default();
        self.events.push_back(Event::Closed);
    }
}
