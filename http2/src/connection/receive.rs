//! What arrives: each frame's effect, by its type.

use super::{Connection, Preface, Role};
use crate::closed::Ending;
use crate::goaway::{self, PeerGoAway, Shutdown};
use crate::header_assembly::HeaderAssembly;
use crate::settings::DEFAULT_TABLE_SIZE;
use crate::state::{Expected, State};
use crate::streams::{Stream, StreamKey};
use crate::timer::Timer;
use crate::validation::{Grammar, Message};
use crate::violation::{self, Cost, Violation};
use crate::window::DEFAULT_WINDOW;
use crate::{Event, HeadersKind, Initiator, bdp, keepalive};
use bytes::Bytes;
use lariat_frame::hpack::{HeaderList, Indexing};
use lariat_frame::{ErrorCode, Frame, FrameError, Scope, SettingEntries, StreamId, WriteBuf, encode, kind};
use std::sync::Arc;

/// What a frame led to.
type Outcome<'a> = Result<Option<Event<'a>>, Violation>;

/// The place of unknown types in [`Stats::frames_received`](crate::Stats::frames_received).
const UNKNOWN_KIND: usize = 10;

/// The largest window of a stream that the estimate of the path leads to, in octets.
const MAX_ADAPTIVE_STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// What is kept of a GOAWAY's debug data, in octets: enough for any sensible text.
const MAX_DEBUG: usize = 1024;

impl Connection {
    #[inline]
    pub(super) fn handle_frame<'a>(&mut self, frame: Frame<'a>, out: &mut WriteBuf) -> Option<Event<'a>> {
        if let Some(probe) = &mut self.probe {
            probe.handle_frame(self.now);
        }
        if self.assembly.is_some() || self.preface != Preface::Complete {
            return self.handle_frame_out_of_turn(frame, out);
        }
        match frame {
            Frame::Data { stream, payload, padding, end_stream } => {
                self.count_frame(kind::DATA);
                match self.handle_data(stream, payload, padding, end_stream, out) {
                    Ok(event) => event,
                    Err(violation) => self.punish(violation, stream, out),
                }
            }
            Frame::Headers { stream, fragment, end_stream, end_headers: true, .. } => {
                self.count_frame(kind::HEADERS);
                match self.handle_header_block(stream, fragment, end_stream, out) {
                    Ok(event) => event,
                    Err(violation) => self.punish(violation, stream, out),
                }
            }
            frame => self.handle_rarer_frame(frame, out),
        }
    }

    /// A frame where only some may come: within a header block CONTINUATION, at the beginning SETTINGS.
    #[cold]
    fn handle_frame_out_of_turn<'a>(&mut self, frame: Frame<'a>, out: &mut WriteBuf) -> Option<Event<'a>> {
        if self.assembly.is_some() && !matches!(frame, Frame::Continuation { .. }) {
            self.fail(violation::BLOCK_INTERRUPTED, out);
            return None;
        }
        if self.preface != Preface::Complete && !matches!(frame, Frame::Settings { ack: false, .. }) {
            self.fail(violation::NO_SETTINGS_FIRST, out);
            return None;
        }
        self.handle_rarer_frame(frame, out)
    }

    /// Any frame but DATA and whole HEADERS: out of the way of those two.
    #[inline(never)]
    fn handle_rarer_frame<'a>(&mut self, frame: Frame<'a>, out: &mut WriteBuf) -> Option<Event<'a>> {
        let (kind, stream, outcome) = match frame {
            Frame::Data { .. } => return None,
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
    fn count_frame(&mut self, kind: u8) {
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
        if !self.resets.take(self.now) {
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
    fn glitch<'a>(&mut self) -> Outcome<'a> {
        self.stats.glitches += 1;
        if self.glitches.take(self.now) { Ok(None) } else { Err(violation::GLITCHES) }
    }

    /// Whether a stream was never opened.
    #[inline]
    fn is_idle(&self, id: StreamId) -> bool {
        !id.is_client_initiated() || self.closed.is_idle(id)
    }

    // DATA

    #[inline]
    fn handle_data<'a>(
        &mut self,
        id: StreamId,
        payload: &'a [u8],
        padding: u32,
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        let padding = padding as usize;
        let octets = payload.len() + padding;
        self.stats.data_octets_received += octets as u64;
        // The connection's credit is taken and given back whatever becomes of the stream, so that neither a slow reader
        // nor a stream that was reset holds up the others.
        match self.receive_window.pass(self.receive_window_size, octets) {
            None => return Err(violation::CONNECTION_WINDOW_OVERRUN),
            Some(0) => {}
            Some(increment) => encode::window_update(out.tail(), StreamId::ZERO, increment),
        }
        if !payload.is_empty() {
            self.empty_data_run = 0;
        } else if !end_stream {
            self.count_empty_data()?;
        }
        let Some(key) = self.streams.find(id) else {
            return self.handle_data_without_stream(id);
        };
        let (initial_window, announced_window) = (self.local.initial_window, self.local.announced_window);
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if !stream.state.can_receive() {
            return Err(violation::HALF_CLOSED);
        }
        stream.expected.check_data()?;
        if !stream.receive.receive(initial_window, octets) {
            return Err(violation::STREAM_WINDOW_OVERRUN);
        }
        if let Some(left) = &mut stream.content_left {
            match left.checked_sub(payload.len() as u64) {
                Some(rest) if rest == 0 || !end_stream => *left = rest,
                _ => return Err(violation::CONTENT_LENGTH_MISMATCH),
            }
        }
        let token = stream.token;
        if padding > 0
            && !end_stream
            && let Some(increment) = stream.receive.consume(initial_window, announced_window, padding)
        {
            encode::window_update(out.tail(), id, increment);
        }
        self.estimate_path(octets, out);
        if end_stream {
            self.end_remote(key, out);
        } else if payload.is_empty() {
            return Ok(None);
        }
        Ok(Some(Event::Data { stream: key, token, payload, end_stream }))
    }

    /// DATA that carries nothing, not even the end.
    #[cold]
    fn count_empty_data(&mut self) -> Result<(), Violation> {
        self.empty_data_run += 1;
        if self.empty_data_run > self.config.limits.empty_data_run {
            return Err(violation::EMPTY_DATA_RUN);
        }
        self.glitch().map(drop)
    }

    /// DATA for a stream that isn't open.
    #[cold]
    fn handle_data_without_stream<'a>(&mut self, id: StreamId) -> Outcome<'a> {
        if self.is_idle(id) {
            return Err(violation::DATA_ON_IDLE);
        }
        match self.closed.ending(id) {
            Ending::ResetLocally => Ok(None),
            Ending::ResetRemotely => Err(violation::AFTER_RESET),
            Ending::Skipped | Ending::Ended => Err(violation::ENDED),
        }
    }

    #[inline]
    fn estimate_path(&mut self, octets: usize, out: &mut WriteBuf) {
        if let Some(bdp) = &mut self.bdp
            && bdp.handle_data(self.now, octets)
        {
            // Some count a PING as less of a nuisance when something else comes with it; so does grpc-go.
            if let Some(increment) = self.receive_window.announce(self.receive_window_size) {
                encode::window_update(out.tail(), StreamId::ZERO, increment);
            }
            encode::ping(out.tail(), false, bdp::PING);
        }
    }

    /// The path holds `estimate` octets: the windows should, too.
    fn grow_windows(&mut self, estimate: u32, out: &mut WriteBuf) {
        if let Some(increment) =
            estimate.checked_sub(self.receive_window_size).filter(|&increment| increment > 0)
        {
            self.receive_window_size = estimate;
            encode::window_update(out.tail(), StreamId::ZERO, increment);
        }
        let stream_window = estimate.min(MAX_ADAPTIVE_STREAM_WINDOW);
        if stream_window > self.local.initial_window {
            self.local.raise_initial_window(stream_window, out);
            if !self.timers.is_set(Timer::SettingsAck) {
                self.await_settings_ack();
            }
        }
    }

    /// The peer has ended its part of a stream.
    #[inline]
    fn end_remote(&mut self, key: StreamKey, out: &mut WriteBuf) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.stats.streams_ended += 1;
        stream.state = stream.state.end_remote();
        if self.role == Role::Client {
            self.count_answer();
        }
        let Some(stream) = self.streams.get(key) else { return };
        match (self.role, stream.state) {
            (_, State::Closed) => {
                self.remove(key, Ending::Ended);
            }
            (Role::Client, _) => {
                // The response is complete: nobody needs the rest of the request, as the server has said or is about
                // to.
                self.write_reset(key.id(), ErrorCode::NO_ERROR, out);
                self.remove(key, Ending::ResetLocally);
            }
            (Role::Server, _) => {}
        }
    }

    // HEADERS and CONTINUATION

    /// HEADERS that CONTINUATION frames must follow.
    fn begin_header_block<'a>(&mut self, id: StreamId, fragment: &[u8], end_stream: bool) -> Outcome<'a> {
        let assembly = HeaderAssembly::new(id, fragment, end_stream);
        if assembly.block().len() > self.config.limits.header_block_octets {
            return Err(violation::HEADER_BLOCK_OCTETS);
        }
        self.assembly = Some(assembly);
        self.timers.set(Timer::HeaderBlock, self.now + self.config.limits.header_block_timeout);
        Ok(None)
    }

    fn handle_continuation<'a>(
        &mut self,
        id: StreamId,
        fragment: &[u8],
        end_headers: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        let Some(mut assembly) = self.assembly.take() else {
            return Err(violation::CONTINUATION_UNASKED);
        };
        if assembly.stream != id {
            return Err(violation::BLOCK_INTERRUPTED);
        }
        assembly.append(fragment, &self.config.limits)?;
        if !end_headers {
            self.assembly = Some(assembly);
            return Ok(None);
        }
        self.timers.clear(Timer::HeaderBlock);
        self.handle_header_block(id, assembly.block(), assembly.end_stream, out)
    }

    /// A header block is complete. Whatever becomes of it, it must be decoded: it may change the dynamic table.
    #[inline]
    fn handle_header_block<'a>(
        &mut self,
        id: StreamId,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        if block.len() > self.config.limits.header_block_octets {
            return Err(violation::HEADER_BLOCK_OCTETS);
        }
        if self.is_idle(id) {
            return match self.role {
                Role::Server if id.is_client_initiated() => self.handle_request(id, block, end_stream, out),
                Role::Server => Err(violation::EVEN_STREAM),
                Role::Client => Err(violation::HEADERS_UNASKED),
            };
        }
        if let Some(key) = self.streams.find(id) {
            return self.handle_later_headers(key, block, end_stream, out);
        }
        match self.closed.ending(id) {
            Ending::Skipped => Err(violation::STREAM_SKIPPED),
            Ending::Ended => Err(violation::ENDED),
            Ending::ResetRemotely => self.decoder.skip(block).and(Err(violation::AFTER_RESET)),
            Ending::ResetLocally => self.decoder.skip(block).map(|()| None),
        }
    }

    /// HEADERS that open a stream.
    #[inline]
    fn handle_request<'a>(
        &mut self,
        id: StreamId,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        if let Shutdown::Final { .. } = self.shutdown {
            // The client sent this before it read the GOAWAY that says it won't be dealt with (RFC 9113 §6.8).
            self.closed.open(id);
            self.closed.note(id, Ending::ResetLocally);
            return self.decoder.skip(block).map(|()| None);
        }
        let decoded = self.decoder.decode(block, Grammar::Request)?;
        self.stats.header_blocks_recognised += u64::from(decoded.recognised);
        self.closed.open(id);
        let message = match decoded.verdict {
            Ok(message) => message,
            Err(violation::HEADER_LIST_TOO_LARGE) => return self.refuse_header_list(id, end_stream, out),
            Err(violation) => return Err(violation),
        };
        if end_stream && message.content_length.is_some_and(|length| length > 0) {
            return Err(violation::CONTENT_LENGTH_MISMATCH);
        }
        let slots = self.streams.len() + self.held_slots;
        if self.config.max_concurrent_streams.is_some_and(|max| slots >= max as usize) {
            self.stats.streams_refused += 1;
            return Err(violation::REFUSED);
        }
        let mut stream = Stream::new(id, Expected::Content);
        stream.content_left = message.content_length;
        if end_stream {
            stream.state = stream.state.end_remote();
            self.stats.streams_ended += 1;
        }
        self.stats.streams_opened += 1;
        let key = self.streams.insert(stream);
        Ok(Some(Event::Headers {
            stream: key,
            token: 0,
            kind: message.kind,
            headers: decoded.headers,
            end_stream,
        }))
    }

    /// Answers a request whose header list is too large, so that a person can see what is wrong.
    #[cold]
    fn refuse_header_list<'a>(&mut self, id: StreamId, end_stream: bool, out: &mut WriteBuf) -> Outcome<'a> {
        if !self.resets.take(self.now) {
            return Err(violation::RESETS);
        }
        let answer = self.config.header_list_too_large.get_or_insert_with(|| {
            let mut answer = HeaderList::new();
            answer.push(b":status", b"431", Indexing::Index);
            Arc::new(answer)
        });
        let answer = Arc::clone(answer);
        self.write_headers(id, (&answer).into(), true, out);
        if !end_stream {
            self.reply_reset(id, ErrorCode::NO_ERROR, out);
            self.closed.note(id, Ending::ResetLocally);
        }
        Ok(None)
    }

    /// HEADERS on an open stream: a response's head, or trailers.
    fn handle_later_headers<'a>(
        &mut self,
        key: StreamKey,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        let grammar = match stream.expected {
            Expected::Head => Grammar::Response,
            Expected::Content => Grammar::Trailers,
        };
        let decoded = self.decoder.decode(block, grammar)?;
        self.stats.header_blocks_recognised += u64::from(decoded.recognised);
        if !stream.state.can_receive() {
            return Err(violation::HALF_CLOSED);
        }
        let message = decoded.verdict?;
        check_order(stream, message, end_stream)?;
        let token = stream.token;
        if end_stream {
            self.end_remote(key, out);
        }
        Ok(Some(Event::Headers {
            stream: key,
            token,
            kind: message.kind,
            headers: decoded.headers,
            end_stream,
        }))
    }

    // Other frames of streams

    fn handle_window_update<'a>(&mut self, id: StreamId, increment: u32) -> Outcome<'a> {
        if id.is_zero() {
            let fits = self.send_window.give(DEFAULT_WINDOW, increment);
            return if fits { Ok(None) } else { Err(violation::CONNECTION_WINDOW_OVERFLOW) };
        }
        if self.is_idle(id) {
            return Err(violation::WINDOW_UPDATE_ON_IDLE);
        }
        let Some(key) = self.streams.find(id) else { return self.glitch() };
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if !stream.send.give(self.peer.initial_window, increment) {
            return Err(violation::STREAM_WINDOW_OVERFLOW);
        }
        let credit = stream.send.credit();
        if !stream.queue.is_empty() {
            self.scheduler.join(&mut self.streams, key);
        }
        self.streams.note_credit(credit);
        Ok(None)
    }

    fn handle_rst_stream<'a>(&mut self, id: StreamId, code: ErrorCode) -> Outcome<'a> {
        if self.is_idle(id) {
            return Err(violation::RST_STREAM_ON_IDLE);
        }
        let Some(key) = self.streams.find(id) else { return self.glitch() };
        self.stats.resets_received += 1;
        if self.role == Role::Server && !self.resets.take(self.now) {
            return Err(violation::RESETS);
        }
        let token = self.remove(key, Ending::ResetRemotely);
        Ok(token.map(|token| Event::Reset {
            stream: key,
            token,
            code,
            by: Initiator::Remote,
            unprocessed: code == ErrorCode::REFUSED_STREAM,
        }))
    }

    // Frames of the connection

    fn handle_settings<'a>(&mut self, entries: SettingEntries<'_>, out: &mut WriteBuf) -> Outcome<'a> {
        if entries.len() > self.config.limits.settings_entries {
            return Err(violation::SETTINGS_ENTRIES);
        }
        let window_before = self.peer.initial_window;
        let streams_before = self.peer.max_concurrent_streams;
        self.peer.apply(entries, self.role, &mut self.encoder)?;
        let window = self.peer.initial_window;
        if window > window_before {
            if !self.streams.windows_fit(window) {
                return Err(violation::INITIAL_WINDOW_SIZE_OVERFLOW);
            }
            self.windows_grown = true;
        }
        encode::settings_ack(out.tail());
        self.count_reply();
        if self.streams.len() >= streams_before {
            self.announce_streams();
        }
        if self.preface == Preface::Complete {
            return Ok(None);
        }
        self.preface = Preface::Complete;
        self.timers.clear(Timer::Preface);
        self.await_settings_ack();
        Ok(Some(Event::Ready))
    }

    fn handle_settings_ack<'a>(&mut self) -> Outcome<'a> {
        if !self.local.acknowledge() {
            return self.glitch();
        }
        if !self.local.is_acknowledged() {
            self.await_settings_ack();
            return Ok(None);
        }
        self.timers.clear(Timer::SettingsAck);
        if self.config.header_table_size < DEFAULT_TABLE_SIZE {
            self.decoder.set_max_table_size(self.config.header_table_size);
        }
        Ok(None)
    }

    fn handle_ping<'a>(&mut self, payload: [u8; 8], out: &mut WriteBuf) -> Outcome<'a> {
        if self.role == Role::Server && !self.strikes.handle_ping(self.now, !self.streams.is_empty()) {
            return Err(violation::PINGS);
        }
        encode::ping(out.tail(), true, payload);
        self.count_reply();
        Ok(None)
    }

    fn handle_ping_ack<'a>(&mut self, payload: [u8; 8], out: &mut WriteBuf) -> Outcome<'a> {
        match payload {
            bdp::PING => {
                if let Some(estimate) = self.bdp.as_mut().and_then(|bdp| bdp.handle_answer(self.now)) {
                    self.grow_windows(estimate, out);
                }
            }
            goaway::PING => self.send_final_goaway(out),
            // A sign of life, as any frame.
            keepalive::PING if self.probe.is_some() => {}
            _ => return self.glitch(),
        }
        Ok(None)
    }

    fn handle_goaway<'a>(&mut self, last_stream: StreamId, code: ErrorCode, debug: &[u8]) -> Outcome<'a> {
        if self.role == Role::Client {
            if !last_stream.is_zero() && !last_stream.is_client_initiated() {
                return Err(violation::GOAWAY_ID);
            }
            if self.peer_goaway.as_ref().is_some_and(|earlier| last_stream > earlier.last_stream) {
                return Err(violation::GOAWAY_GREW);
            }
        }
        let debug = Bytes::copy_from_slice(debug.get(..MAX_DEBUG).unwrap_or(debug));
        self.peer_goaway = Some(PeerGoAway { last_stream, code, debug: debug.clone() });
        if self.role == Role::Client {
            self.drop_unprocessed(last_stream);
        }
        self.finish_if_drained();
        Ok(Some(Event::GoAway { last_stream, code, debug }))
    }

    /// The server hasn't done anything with streams after `last_stream`, and won't (RFC 9113 §6.8).
    fn drop_unprocessed(&mut self, last_stream: StreamId) {
        for key in self.streams.keys() {
            if key.id() > last_stream {
                self.queue_reset(key, ErrorCode::REFUSED_STREAM, Initiator::Remote, true);
                self.remove(key, Ending::ResetLocally);
            }
        }
    }
}

/// Whether HEADERS may come now on an open stream; what they say of the content is noted.
fn check_order(stream: &mut Stream, message: Message, end_stream: bool) -> Result<(), Violation> {
    match message.kind {
        HeadersKind::Informational if end_stream => Err(violation::INTERIM_END),
        HeadersKind::Informational => Ok(()),
        HeadersKind::Trailers if !end_stream => Err(violation::TRAILERS_WITHOUT_END),
        HeadersKind::Trailers => match stream.content_left {
            None | Some(0) => Ok(()),
            Some(_) => Err(violation::CONTENT_LENGTH_MISMATCH),
        },
        HeadersKind::Request | HeadersKind::Response => {
            stream.expected = Expected::Content;
            if !stream.is_head_request && !message.is_bodiless {
                stream.content_left = message.content_length;
            }
            match stream.content_left {
                Some(1..) if end_stream => Err(violation::CONTENT_LENGTH_MISMATCH),
                _ => Ok(()),
            }
        }
    }
}
