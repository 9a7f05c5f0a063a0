//! DATA that arrives, flow control of it, and the end of the peer's part of a stream.

use super::receive::Outcome;
use super::{Connection, Role};
use crate::closed::Ending;
use crate::state::State;
use crate::streams::StreamKey;
use crate::timer::Timer;
use crate::violation::{self, Violation};
use crate::{Event, bdp};
use lariat_frame::{ErrorCode, StreamId, WriteBuf, decode_plain, encode, kind};

/// The largest window of a stream that the estimate of the path leads to, in octets.
const MAX_ADAPTIVE_STREAM_WINDOW: u32 = 4 * 1024 * 1024;

impl Connection {
    #[inline(always)]
    pub(super) fn handle_data<'a>(
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
        self.estimate_path(octets, out);
        if !payload.is_empty() {
            self.empty_data_run = 0;
        } else if !end_stream {
            self.count_empty_data()?;
        }
        let Some((key, stream)) = self.streams.find_mut(id) else {
            return self.judge_data_without_stream(id).map(|()| None);
        };
        if !stream.state.can_receive() {
            return Err(violation::HALF_CLOSED);
        }
        stream.expected.check_data()?;
        if !stream.receive.receive(self.local.initial_window, octets) {
            return Err(violation::STREAM_WINDOW_OVERRUN);
        }
        if let Some(left) = &mut stream.content_left {
            match left.checked_sub(payload.len() as u64) {
                Some(rest) if rest == 0 || !end_stream => *left = rest,
                _ => return Err(violation::CONTENT_LENGTH_MISMATCH),
            }
        }
        let token = stream.token;
        if end_stream {
            stream.state = stream.state.end_remote();
            let state = stream.state;
            if self.role == Role::Server && state == State::HalfClosedRemote {
                // The end of most requests.
                self.stats.streams_ended += 1;
            } else {
                self.finish_remote(key, state, out);
            }
        } else {
            if padding > 0
                && let Some(increment) =
                    stream.receive.consume(self.local.initial_window, self.local.announced_window, padding)
            {
                encode::window_update(out.tail(), id, increment);
            }
            if payload.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Event::Data { stream: key, token, payload, end_stream }))
    }

    /// Server: takes the whole content of a request whose head was the last event, if the frame at the front of `input`
    /// is all of it: DATA that ends the stream. The frame is cut off `input` then.
    ///
    /// This spares the way by an event what has arrived together, as most requests do. `None` means that nothing has
    /// changed and [`handle_input`](Connection::handle_input) has to look.
    #[inline]
    pub fn take_content<'a>(
        &mut self,
        key: StreamKey,
        input: &mut &'a [u8],
        out: &mut WriteBuf,
    ) -> Option<&'a [u8]> {
        // Some clients send the heads of many requests before their content: then HEADERS follow.
        const KIND: usize = 3;
        if input.get(KIND) != Some(&kind::DATA) {
            return None;
        }
        let (frame, rest) = decode_plain(input, self.local.max_frame_size)?;
        let stream = self.streams.get_mut(key)?;
        let octets = frame.payload.len();
        let is_content = frame.end_stream && frame.stream == key.id() && octets > 0;
        let is_awaited = self.role == Role::Server && stream.state == State::Open;
        // What breaks a rule is not judged here.
        if !is_content
            || !is_awaited
            || self.close_reason.is_some()
            || stream.content_left.is_some_and(|left| left != octets as u64)
            || self.receive_window.available(self.receive_window_size) < octets as i64
            || !stream.receive.receive(self.local.initial_window, octets)
        {
            return None;
        }
        stream.state = stream.state.end_remote();
        self.stats.streams_ended += 1;
        self.stats.data_octets_received += octets as u64;
        self.count_frame(kind::DATA);
        self.empty_data_run = 0;
        if let Some(increment @ 1..) = self.receive_window.pass(self.receive_window_size, octets) {
            encode::window_update(out.tail(), StreamId::ZERO, increment);
        }
        self.estimate_path(octets, out);
        *input = rest;
        Some(frame.payload)
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
    fn judge_data_without_stream(&self, id: StreamId) -> Result<(), Violation> {
        if self.is_idle(id) {
            return Err(violation::DATA_ON_IDLE);
        }
        match self.closed.ending(id) {
            Ending::ResetLocally => Ok(()),
            Ending::ResetRemotely => Err(violation::AFTER_RESET),
            Ending::Skipped | Ending::Ended => Err(violation::ENDED),
        }
    }

    #[inline(always)]
    fn estimate_path(&mut self, octets: usize, out: &mut WriteBuf) {
        if let Some(bdp) = &mut self.bdp
            && bdp.handle_data(self.now, octets)
        {
            self.ping_for_estimate(out);
        }
    }

    #[cold]
    fn ping_for_estimate(&mut self, out: &mut WriteBuf) {
        // Some count a PING as less of a nuisance when something else comes with it; so does grpc-go.
        if let Some(increment) = self.receive_window.announce(self.receive_window_size) {
            encode::window_update(out.tail(), StreamId::ZERO, increment);
        }
        encode::ping(out.tail(), false, bdp::PING);
    }

    /// The path holds `estimate` octets: the windows should, too.
    pub(super) fn grow_windows(&mut self, estimate: u32, out: &mut WriteBuf) {
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

    /// The peer has ended its part of a stream, which is in this state now.
    #[inline]
    pub(super) fn finish_remote(&mut self, key: StreamKey, state: State, out: &mut WriteBuf) {
        self.stats.streams_ended += 1;
        if self.role == Role::Client {
            self.count_answer();
        }
        match (self.role, state) {
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
}
