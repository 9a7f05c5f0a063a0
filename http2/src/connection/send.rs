//! What is sent: commands of the application, and queued DATA as the windows allow.

use super::{Connection, Role};
use crate::closed::Ending;
use crate::state::{Expected, State};
use crate::streams::{Linger, Stream, StreamKey, Streams};
use crate::timer::Timer;
use crate::window::DEFAULT_WINDOW;
use crate::{Event, HeaderBlock, OpenError, SendError};
use bytes::Bytes;
use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, StreamId, WriteBuf, encode};
use std::sync::Arc;
use std::time::Instant;

/// A client opens no stream after this one: three quarters of all identifiers. Those left are enough for what is under
/// way elsewhere when it is noticed.
const LAST_OPENED: u32 = StreamId::MAX.get() / 4 * 3;

/// A response of one message, for [`Connection::send_response_in_place`].
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The head, kept by its owner from response to response.
    pub head: &'a Arc<HeaderList>,
    /// Octets of DATA.
    pub len: usize,
    /// The trailers, kept likewise.
    pub trailers: &'a Arc<HeaderList>,
}

/// Has `fill` append `len` octets.
#[inline]
fn append(tail: &mut Vec<u8>, len: usize, fill: &mut dyn FnMut(&mut Vec<u8>)) {
    let end = tail.len() + len;
    fill(tail);
    debug_assert_eq!(tail.len(), end, "`fill` appends exactly `len` octets");
    // Whatever `fill` did, the frames after this one must stay where the peer looks for them.
    if tail.len() != end {
        tail.resize(end, 0);
    }
}

/// The stream, if this side may still send on it.
#[inline]
fn sending(streams: &mut Streams, key: StreamKey) -> Result<&mut Stream, SendError> {
    let stream = streams.get_mut(key).ok_or(SendError::Gone)?;
    if stream.state.can_send() && !stream.queue.ends() { Ok(stream) } else { Err(SendError::Ended) }
}

impl Connection {
    /// Client: whether [`open`](Connection::open) would be let through now.
    #[inline]
    pub fn can_open(&self) -> bool {
        self.check_open().is_ok()
    }

    fn check_open(&self) -> Result<(), OpenError> {
        if self.role == Role::Server {
            Err(OpenError::NotClient)
        } else if self.is_closed() {
            Err(OpenError::Closed)
        } else if self.is_draining() {
            Err(OpenError::Draining)
        } else if self.next_id > LAST_OPENED {
            Err(OpenError::IdsExhausted)
        } else if self.streams.len() >= self.peer.max_concurrent_streams {
            Err(OpenError::StreamLimit)
        } else {
            Ok(())
        }
    }

    /// Client: opens a stream with the head of a request.
    ///
    /// # Errors
    ///
    /// No stream can be opened, now or any more; see [`OpenError`].
    pub fn open(
        &mut self,
        now: Instant,
        head: HeaderBlock<'_>,
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Result<StreamKey, OpenError> {
        self.now = now;
        self.check_open()?;
        let (size, limit) = (head.size(), self.peer.max_header_list_size);
        if size > limit {
            return Err(OpenError::HeaderListTooLarge { size, limit });
        }
        let id = StreamId::new(self.next_id);
        self.next_id += 2;
        self.closed.open(id);
        let (key, stream) = self.streams.insert(id, Expected::Head);
        stream.head_sent = true;
        stream.is_head_request = head.is_head_request();
        if end_stream {
            stream.state = stream.state.end_local();
        }
        self.stats.streams_opened += 1;
        self.write_headers(id, head, end_stream, out);
        if let Some(deadline) =
            self.probe.as_mut().and_then(|probe| probe.handle_stream(&self.config.keepalive, now))
        {
            self.send_keepalive(deadline, out);
        }
        Ok(key)
    }

    /// Sends a header list: the head of a response, or trailers. Trailers queue up behind DATA that is queued.
    ///
    /// # Errors
    ///
    /// It can't be sent on this stream, see [`SendError`]; nothing has changed.
    pub fn send_headers(
        &mut self,
        key: StreamKey,
        head: HeaderBlock<'_>,
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Result<(), SendError> {
        let limit = self.peer.max_header_list_size;
        let stream = self.sending_stream(key)?;
        if stream.head_sent && !end_stream {
            return Err(SendError::TrailersWithoutEnd);
        }
        let size = head.size();
        if size > limit {
            return Err(SendError::HeaderListTooLarge { size, limit });
        }
        stream.head_sent = true;
        if !stream.queue.is_empty() {
            stream.queue.push_trailers(head);
            return Ok(());
        }
        self.write_headers(key.id(), head, end_stream, out);
        if end_stream {
            self.end_local(key, out);
        }
        Ok(())
    }

    /// Sends DATA: at once as far as both windows allow, nothing is queued before it and the output isn't full; the
    /// rest is queued. It is never refused for its size: a writer that heeds [`capacity`](Connection::capacity) keeps
    /// the queue short.
    ///
    /// # Errors
    ///
    /// It can't be sent on this stream, see [`SendError`]; nothing has changed.
    pub fn send_data(
        &mut self,
        key: StreamKey,
        mut data: Bytes,
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Result<(), SendError> {
        let stream = self.sending_stream(key)?;
        if !stream.head_sent {
            return Err(SendError::HeadMissing);
        }
        if stream.queue.is_empty() {
            if data.is_empty() {
                if end_stream {
                    self.write_data_header(key.id(), 0, true, out);
                    self.end_local(key, out);
                }
                return Ok(());
            }
            while self.scheduler.is_empty() && out.len() < self.config.limits.output_high_water {
                let octets = self.sendable(key).min(data.len());
                if octets == 0 {
                    break;
                }
                let is_last = octets == data.len();
                self.write_data_header(key.id(), octets, end_stream && is_last, out);
                out.put_payload(data.split_to(octets));
                self.take_windows(key, octets);
                if is_last {
                    if end_stream {
                        self.end_local(key, out);
                    }
                    return Ok(());
                }
            }
        }
        self.queue_data(key, data, end_stream);
        Ok(())
    }

    /// Sends `len` octets of DATA that `fill` writes straight into the output, if they can be sent at once: nothing is
    /// queued, they fit one frame and both windows, and the output isn't full. Otherwise returns `false` and does
    /// nothing; [`send_data`](Connection::send_data) then queues.
    ///
    /// `fill` must append exactly `len` octets.
    pub fn send_data_in_place(
        &mut self,
        key: StreamKey,
        len: usize,
        end_stream: bool,
        out: &mut WriteBuf,
        fill: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        if !self.scheduler.is_empty() || out.len() >= self.config.limits.output_high_water {
            return false;
        }
        let can_send =
            self.sending_stream(key).is_ok_and(|stream| stream.head_sent && stream.queue.is_empty());
        if !can_send || len > self.sendable(key) {
            return false;
        }
        self.write_data_header(key.id(), len, end_stream, out);
        append(out.tail(), len, fill);
        self.take_windows(key, len);
        if end_stream {
            self.end_local(key, out);
        }
        true
    }

    /// Sends a whole response of one message: head, DATA of `len` octets that `fill` writes straight into the output,
    /// and trailers. As [`send_data_in_place`](Connection::send_data_in_place), it returns `false` and does nothing if
    /// that can't be done at once.
    pub fn send_response_in_place(
        &mut self,
        key: StreamKey,
        response: Response<'_>,
        out: &mut WriteBuf,
        fill: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let Response { head, len, trailers } = response;
        if !self.scheduler.is_empty()
            || out.len() >= self.config.limits.output_high_water
            || head.size().max(trailers.size()) > self.peer.max_header_list_size
            || len > self.peer.max_frame_size as usize
        {
            return false;
        }
        let initial_window = self.peer.initial_window;
        let Ok(stream) = sending(&mut self.streams, key) else { return false };
        if stream.head_sent
            || (len as i64) > self.send_window.available(DEFAULT_WINDOW)
            || !stream.send.take(initial_window, len)
        {
            return false;
        }
        self.send_window.take(DEFAULT_WINDOW, len);
        stream.state = stream.state.end_local();
        let state = stream.state;
        self.strikes.forgive();
        self.stats.header_blocks_sent += 2;
        self.stats.data_frames_sent += 1;
        self.stats.data_octets_sent += len as u64;
        match self.encoder.remembered_both(head, trailers) {
            Some((head, trailers)) => {
                head.write_before_data(out.tail(), key.id(), len);
                append(out.tail(), len, fill);
                trailers.write(out.tail(), key.id(), true);
            }
            None => {
                self.encode_template(key.id(), head, false, out);
                encode::data_header(out.tail(), key.id(), len, false);
                append(out.tail(), len, fill);
                self.encode_template(key.id(), trailers, true, out);
            }
        }
        self.finish_local(key, state, out);
        true
    }

    /// Octets that may still be queued on a stream before its writer should wait; 0 for a stream that is gone. A stream
    /// with an empty queue can always take some.
    ///
    /// After 0, [`Event::Writable`] comes when half of the quota is free again. (That is why this takes `&mut self`.)
    pub fn capacity(&mut self, key: StreamKey) -> usize {
        let limits = &self.config.limits;
        let Some(stream) = self.streams.get_mut(key) else { return 0 };
        let queued = stream.queue.octets();
        if queued == 0 {
            return limits.stream_send_quota;
        }
        let of_stream = limits.stream_send_quota.saturating_sub(queued);
        let of_connection = limits.connection_send_quota.saturating_sub(self.queued);
        let capacity = of_stream.min(of_connection);
        if capacity == 0 {
            stream.queue.want_capacity();
        }
        capacity
    }

    /// Server: a response that is complete before its request doesn't reset the stream. It stays half-closed (RFC 9113
    /// §5.1), takes up a place of `max_concurrent_streams`, and what still comes is dropped, until the client ends or
    /// resets it or [`linger_timeout`](crate::Limits::linger_timeout) has passed.
    ///
    /// For answers to clients that don't speak gRPC: some drop a response that RST_STREAM follows, whatever its code.
    pub fn linger(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.linger = Linger::Wanted;
        }
    }

    /// Ends a stream at once, with RST_STREAM if the peer doesn't know yet. No event follows.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode, out: &mut WriteBuf) {
        if self.remove(key, Ending::ResetLocally).is_some() {
            self.expect_late_frames();
            self.write_reset(key.id(), code, out);
        }
    }

    /// The application has consumed `octets` of DATA: gives their credit back to the peer once it is worth a
    /// WINDOW_UPDATE.
    #[inline]
    pub fn release(&mut self, key: StreamKey, octets: usize, out: &mut WriteBuf) {
        let (initial_window, announced_window) = (self.local.initial_window, self.local.announced_window);
        if let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.state.can_receive())
            && let Some(increment) = stream.receive.consume(initial_window, announced_window, octets)
        {
            encode::window_update(out.tail(), key.id(), increment);
        }
    }

    /// The application waits for `octets` more before it can consume what it has: makes the window large enough for
    /// them at once, so that a message larger than the window doesn't crawl.
    pub fn expect(&mut self, key: StreamKey, octets: usize, out: &mut WriteBuf) {
        let initial_window = self.local.initial_window;
        if let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.state.can_receive())
            && let Some(increment) = stream.receive.expect(initial_window, octets)
        {
            encode::window_update(out.tail(), key.id(), increment);
        }
    }

    /// Moves queued DATA into `out`: streams take turns, a frame each, as long as windows allow and `out` isn't full.
    /// Call it after each batch of arrivals and commands, and when `out` was written.
    pub fn poll_output(&mut self, now: Instant, out: &mut WriteBuf) {
        self.now = now;
        self.idle_since.get_or_insert(now);
        if std::mem::take(&mut self.windows_grown) {
            for key in self.streams.keys() {
                if self.streams.get(key).is_some_and(|stream| !stream.queue.is_empty()) {
                    self.scheduler.join(&mut self.streams, key);
                }
            }
        }
        while let Some(key) = self.scheduler.first()
            && out.len() < self.config.limits.output_high_water
            && self.send_window.available(DEFAULT_WINDOW) > 0
        {
            self.send_queued(key, out);
        }
        self.note_unsent(out);
    }

    /// One turn of a stream in the scheduler's list.
    fn send_queued(&mut self, key: StreamKey, out: &mut WriteBuf) {
        let sendable = self.sendable(key);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let queue = &mut stream.queue;
        let octets = sendable.min(queue.octets());
        if octets == 0 {
            // Its own window is used up; WINDOW_UPDATE or SETTINGS bring it back.
            self.scheduler.leave(&mut self.streams, key);
            return;
        }
        let is_last = octets == queue.octets();
        let ends = is_last && queue.ends();
        let trailers = if ends { queue.take_trailers() } else { None };
        encode::data_header(out.tail(), key.id(), octets, ends && trailers.is_none());
        queue.move_into(octets, out);
        self.stats.data_frames_sent += 1;
        self.strikes.forgive();
        self.take_windows(key, octets);
        self.queued -= octets;
        if !is_last {
            self.scheduler.rotate(&mut self.streams, key);
            self.tell_writable(key);
            return;
        }
        self.scheduler.leave(&mut self.streams, key);
        if ends {
            if let Some(trailers) = trailers {
                self.write_headers(key.id(), trailers.block(), true, out);
            }
            self.end_local(key, out);
        } else {
            self.tell_writable(key);
        }
    }

    /// Tells the writer of a stream that waits for it that half of the quota is free.
    fn tell_writable(&mut self, key: StreamKey) {
        let limits = &self.config.limits;
        let connection_has_room = self.queued <= limits.connection_send_quota / 2;
        let Some(stream) = self.streams.get_mut(key) else { return };
        let is_granted =
            |queued| queued == 0 || queued <= limits.stream_send_quota / 2 && connection_has_room;
        if stream.queue.take_wish(is_granted) {
            self.events.push_back(Event::Writable { stream: key, token: stream.token });
        }
    }

    fn queue_data(&mut self, key: StreamKey, data: Bytes, end_stream: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.queued += data.len();
        stream.queue.push(data, end_stream);
        self.scheduler.join(&mut self.streams, key);
        if !self.timers.is_set(Timer::Stalled) {
            self.set_timer(Timer::Stalled, self.stall_period());
        }
    }

    /// The stream, if this side may still send on it.
    #[inline]
    fn sending_stream(&mut self, key: StreamKey) -> Result<&mut Stream, SendError> {
        sending(&mut self.streams, key)
    }

    /// Octets of DATA that one frame may carry on a stream now.
    #[inline]
    fn sendable(&self, key: StreamKey) -> usize {
        let Some(stream) = self.streams.get(key) else { return 0 };
        let window =
            stream.send.available(self.peer.initial_window).min(self.send_window.available(DEFAULT_WINDOW));
        usize::try_from(window).unwrap_or(0).min(self.peer.max_frame_size as usize)
    }

    /// Takes the credit for DATA that is sent; there is as much, see [`Self::sendable`].
    #[inline]
    fn take_windows(&mut self, key: StreamKey, octets: usize) {
        self.send_window.take(DEFAULT_WINDOW, octets);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.send.take(self.peer.initial_window, octets);
        }
        self.stats.data_octets_sent += octets as u64;
    }

    #[inline]
    fn write_data_header(&mut self, id: StreamId, octets: usize, end_stream: bool, out: &mut WriteBuf) {
        encode::data_header(out.tail(), id, octets, end_stream);
        self.stats.data_frames_sent += 1;
        self.strikes.forgive();
    }

    #[inline]
    pub(super) fn write_headers(
        &mut self,
        id: StreamId,
        head: HeaderBlock<'_>,
        end_stream: bool,
        out: &mut WriteBuf,
    ) {
        if let (Some(template), None) = (head.template, head.fields) {
            return self.write_template(id, template, end_stream, out);
        }
        self.stats.header_blocks_sent += 1;
        self.strikes.forgive();
        let encoder = &mut self.encoder;
        encode::headers_with(out.tail(), id, self.peer.max_frame_size, end_stream, |block| {
            if let Some(template) = head.template {
                encoder.encode_template(template, block);
            }
            if let Some(fields) = head.fields {
                encoder.encode(fields, block);
            }
        });
    }

    #[inline]
    fn write_template(
        &mut self,
        id: StreamId,
        template: &Arc<HeaderList>,
        end_stream: bool,
        out: &mut WriteBuf,
    ) {
        self.stats.header_blocks_sent += 1;
        self.strikes.forgive();
        match self.encoder.remembered(template) {
            Some(frame) => frame.write(out.tail(), id, end_stream),
            None => self.encode_template(id, template, end_stream, out),
        }
    }

    /// Writes a template, which rarely is remembered.
    #[cold]
    fn encode_template(
        &mut self,
        id: StreamId,
        template: &Arc<HeaderList>,
        end_stream: bool,
        out: &mut WriteBuf,
    ) {
        let encoder = &mut self.encoder;
        encode::headers_with(out.tail(), id, self.peer.max_frame_size, end_stream, |block| {
            encoder.encode_template(template, block);
        });
    }

    pub(super) fn write_reset(&mut self, id: StreamId, code: ErrorCode, out: &mut WriteBuf) {
        encode::rst_stream(out.tail(), id, code);
        self.stats.resets_sent += 1;
    }

    /// This side has ended its part of a stream.
    fn end_local(&mut self, key: StreamKey, out: &mut WriteBuf) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.state = stream.state.end_local();
        let state = stream.state;
        self.finish_local(key, state, out);
    }

    /// This side has ended its part of a stream, which is in this state now.
    #[inline(always)]
    fn finish_local(&mut self, key: StreamKey, state: State, out: &mut WriteBuf) {
        if self.role == Role::Client {
            // A client's stream never closes here: it is gone once the response has ended.
            return;
        }
        self.count_answer();
        if state == State::Closed {
            self.remove(key, Ending::Ended);
        } else {
            self.end_before_request(key, out);
        }
    }

    /// The answer is complete although the request isn't: the client may stop (RFC 9113 §8.1).
    fn end_before_request(&mut self, key: StreamKey, out: &mut WriteBuf) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.linger == Linger::Wanted {
            stream.linger = Linger::Waiting;
            if !self.timers.is_set(Timer::Linger) {
                self.set_timer(Timer::Linger, self.config.limits.linger_timeout);
            }
        } else {
            self.write_reset(key.id(), ErrorCode::NO_ERROR, out);
            self.remove(key, Ending::ResetLocally);
        }
    }
}
