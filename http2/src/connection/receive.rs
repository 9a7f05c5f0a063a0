//! What arrives: each frame goes to where its type is dealt with, and what it breaks is paid for.

use super::{Connection, Preface, Role};
use crate::closed::Ending;
use crate::violation::{self, Cost, Violation};
use crate::{Event, Initiator};
use lariat_frame::{Frame, FrameError, PlainFrame, Priority, Scope, StreamId, WriteBuf, kind};

/// What a frame led to.
pub(super) type Outcome<'a> = Result<Option<Event<'a>>, Violation>;

/// The place of unknown types in [`Stats::frames_received`](crate::Stats::frames_received).
const UNKNOWN_KIND: usize = 10;

impl Connection {
    /// A frame of the kind that nearly all are, at a time when any may come.
    #[inline]
    pub(super) fn handle_plain_frame<'a>(
        &mut self,
        frame: PlainFrame<'a>,
        out: &mut WriteBuf,
    ) -> Option<Event<'a>> {
        if let Some(probe) = &mut self.probe {
            probe.handle_frame(self.now);
        }
        let PlainFrame { is_headers, stream, payload, end_stream } = frame;
        if is_headers {
            self.count_frame(kind::HEADERS);
            match self.handle_header_block(stream, payload, end_stream, out) {
                Ok(event) => event,
                Err(violation) => self.punish(violation, stream, out),
            }
        } else {
            self.count_frame(kind::DATA);
            match self.handle_data(stream, payload, 0, end_stream, out) {
                Ok(event) => event,
                Err(violation) => self.punish(violation, stream, out),
            }
        }
    }

    /// Any frame, at any time.
    #[inline(never)]
    pub(super) fn handle_frame<'a>(&mut self, frame: Frame<'a>, out: &mut WriteBuf) -> Option<Event<'a>> {
        if let Some(probe) = &mut self.probe {
            probe.handle_frame(self.now);
        }
        // Within a header block CONTINUATION, at the beginning SETTINGS.
        if self.assembly.is_some() && !matches!(frame, Frame::Continuation { .. }) {
            self.fail(violation::BLOCK_INTERRUPTED, out);
            return None;
        }
        if self.preface != Preface::Complete && !matches!(frame, Frame::Settings { ack: false, .. }) {
            self.fail(violation::NO_SETTINGS_FIRST, out);
            return None;
        }
        let (kind, stream, outcome) = match frame {
            Frame::Data { stream, payload, padding, end_stream } => {
                (kind::DATA, stream, self.handle_data(stream, payload, padding, end_stream, out))
            }
            Frame::Headers { stream, priority: Some(Priority { dependency, .. }), .. }
                if dependency == stream =>
            {
                (kind::HEADERS, stream, Err(violation::SELF_DEPENDENCY))
            }
            Frame::Headers { stream, fragment, end_stream, end_headers: true, .. } => {
                (kind::HEADERS, stream, self.handle_header_block(stream, fragment, end_stream, out))
            }
            Frame::Headers { stream, fragment, end_stream, .. } => {
                (kind::HEADERS, stream, self.begin_header_block(stream, fragment, end_stream))
            }
            Frame::Continuation { stream, fragment, end_headers } => {
                (kind::CONTINUATION, stream, self.handle_continuation(stream, fragment, end_headers, out))
            }
            Frame::WindowUpdate { stream, increment } => {
                (kind::WINDOW_UPDATE, stream, self.handle_window_update(stream, increment))
            }
            Frame::RstStream { stream, code } => {
                (kind::RST_STREAM, stream, self.handle_rst_stream(stream, code))
            }
            Frame::Settings { ack, entries } => {
                let outcome =
                    if ack { self.handle_settings_ack() } else { self.handle_settings(entries, out) };
                (kind::SETTINGS, StreamId::ZERO, outcome)
            }
            Frame::Ping { ack, payload } => {
                let outcome =
                    if ack { self.handle_ping_ack(payload, out) } else { self.handle_ping(payload, out) };
                (kind::PING, StreamId::ZERO, outcome)
            }
            Frame::GoAway { last_stream, code, debug } => {
                (kind::GOAWAY, StreamId::ZERO, self.handle_goaway(last_stream, code, debug))
            }
            Frame::PushPromise { stream, .. } => {
                let violation = match self.role {
                    Role::Client => violation::PUSH_DISABLED,
                    Role::Server => violation::PUSH_TO_SERVER,
                };
                (kind::PUSH_PROMISE, stream, Err(violation))
            }
            Frame::Priority { stream, priority: Priority { dependency, .. } } if dependency == stream => {
                (kind::PRIORITY, stream, Err(violation::SELF_DEPENDENCY))
            }
            Frame::Priority { stream, .. } => (kind::PRIORITY, stream, self.glitch()),
            Frame::Unknown { kind, stream, .. } => (kind, stream, self.glitch()),
        };
        self.count_frame(kind);
        match outcome {
            Ok(event) => event,
            Err(violation) => self.punish(violation, stream, out),
        }
    }

    #[inline]
    pub(super) fn count_frame(&mut self, kind: u8) {
        let place = usize::from(kind).min(UNKNOWN_KIND);
        if let Some(count) = self.stats.frames_received.get_mut(place) {
            *count += 1;
        }
    }

    #[cold]
    pub(super) fn handle_frame_error<'a>(
        &mut self,
        error: FrameError,
        out: &mut WriteBuf,
    ) -> Option<Event<'a>> {
        match error.scope {
            Scope::Stream(_) if self.assembly.is_some() => self.fail(violation::BLOCK_INTERRUPTED, out),
            Scope::Stream(_) if self.preface != Preface::Complete => {
                self.fail(violation::NO_SETTINGS_FIRST, out)
            }
            Scope::Stream(stream) => return self.punish(error.into(), stream, out),
            Scope::Connection => self.fail(error.into(), out),
        }
        None
    }

    /// Lets the stream or the connection pay for a violation.
    #[cold]
    fn punish<'a>(&mut self, violation: Violation, id: StreamId, out: &mut WriteBuf) -> Option<Event<'a>> {
        // RST_STREAM must not be sent for an idle stream (RFC 9113 §6.4).
        if violation.cost == Cost::Connection || self.is_idle(id) {
            self.fail(violation.of_connection(), out);
            return None;
        }
        let key = self.streams.find(id);
        if key.is_none() && self.closed.ending(id) == Ending::ResetLocally {
            if let Err(violation) = self.glitch() {
                self.fail(violation, out);
            }
            return None;
        }
        if !self.resets.take(self.config.limits.resets, self.now) {
            self.fail(violation::RESETS, out);
            return None;
        }
        self.reply_reset(id, violation.code, out);
        let Some(key) = key else {
            self.closed.note(id, Ending::ResetLocally);
            return None;
        };
        let token = self.remove(key, Ending::ResetLocally)?;
        Some(Event::Reset {
            stream: key,
            token,
            code: violation.code,
            by: Initiator::Library(violation.rule),
            unprocessed: false,
        })
    }

    /// Counts a frame that is pointless but allowed.
    pub(super) fn glitch<'a>(&mut self) -> Outcome<'a> {
        self.stats.glitches += 1;
        if self.glitches.take(self.config.limits.glitches, self.now) {
            Ok(None)
        } else {
            Err(violation::GLITCHES)
        }
    }

    /// Whether a stream was never opened.
    #[inline]
    pub(super) fn is_idle(&self, id: StreamId) -> bool {
        !id.is_client_initiated() || self.closed.is_idle(id)
    }
}
