//! Frames that steer: WINDOW_UPDATE, RST_STREAM, SETTINGS, PING, GOAWAY.

use super::receive::Outcome;
use super::{Connection, Preface, Role};
use crate::bdp::{self, BdpEstimator};
use crate::closed::Ending;
use crate::goaway::{self, PeerGoAway, Shutdown};
use crate::keepalive::{self, Probe};
use crate::settings::DEFAULT_TABLE_SIZE;
use crate::timer::Timer;
use crate::violation;
use crate::window::DEFAULT_WINDOW;
use crate::{Event, Initiator};
use bytes::Bytes;
use lariat_frame::{ErrorCode, SettingEntries, StreamId, WriteBuf, encode, kind};

/// What is kept of a GOAWAY's debug data, in octets: enough for any sensible text.
const MAX_DEBUG: usize = 1024;

impl Connection {
    pub(super) fn handle_window_update<'a>(&mut self, id: StreamId, increment: u32) -> Outcome<'a> {
        if self.has_too_many_window_updates() {
            self.glitch()?;
        }
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

    /// Whether more WINDOW_UPDATE frames came than the DATA that was sent and the streams there were can explain: two
    /// for each, one for the stream and one for the connection.
    fn has_too_many_window_updates(&self) -> bool {
        let received = self.stats.frames_received[usize::from(kind::WINDOW_UPDATE)];
        received > 2 * (self.stats.data_frames_sent + self.stats.streams_opened)
    }

    pub(super) fn handle_rst_stream<'a>(&mut self, id: StreamId, code: ErrorCode) -> Outcome<'a> {
        if self.is_idle(id) {
            return Err(violation::RST_STREAM_ON_IDLE);
        }
        let Some(key) = self.streams.find(id) else { return self.glitch() };
        self.stats.resets_received += 1;
        if self.role == Role::Server && !self.resets.take(self.config.limits.resets, self.now) {
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

    pub(super) fn handle_settings<'a>(
        &mut self,
        entries: SettingEntries<'_>,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
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
            // One more now and then is for the better.
            return self.glitch();
        }
        self.preface = Preface::Complete;
        self.timers.clear(Timer::Preface);
        self.await_settings_ack();
        Ok(Some(Event::Ready))
    }

    pub(super) fn handle_settings_ack<'a>(&mut self) -> Outcome<'a> {
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

    pub(super) fn handle_ping<'a>(&mut self, payload: [u8; 8], out: &mut WriteBuf) -> Outcome<'a> {
        if self.role == Role::Server
            && !self.strikes.handle_ping(&self.config, self.now, !self.streams.is_empty())
        {
            return Err(violation::PINGS);
        }
        encode::ping(out.tail(), true, payload);
        self.count_reply();
        Ok(None)
    }

    pub(super) fn handle_ping_ack<'a>(&mut self, payload: [u8; 8], out: &mut WriteBuf) -> Outcome<'a> {
        match payload {
            bdp::PING if self.bdp.as_ref().is_some_and(BdpEstimator::is_sampling) => {
                if let Some(estimate) = self.bdp.as_mut().and_then(|bdp| bdp.handle_answer(self.now)) {
                    self.grow_windows(estimate, out);
                }
            }
            goaway::PING if matches!(self.shutdown, Shutdown::Announced { .. }) => {
                self.send_final_goaway(out)
            }
            // A sign of life, as any frame.
            keepalive::PING if self.probe.as_mut().is_some_and(Probe::handle_answer) => {}
            _ => return self.glitch(),
        }
        Ok(None)
    }

    pub(super) fn handle_goaway<'a>(
        &mut self,
        last_stream: StreamId,
        code: ErrorCode,
        debug: &[u8],
    ) -> Outcome<'a> {
        if self.role == Role::Client {
            if !last_stream.is_zero() && !last_stream.is_client_initiated() {
                return Err(violation::GOAWAY_ID);
            }
            if self.peer_goaway.as_ref().is_some_and(|earlier| last_stream > earlier.last_stream) {
                return Err(violation::GOAWAY_GREW);
            }
        }
        if self.peer_goaway.is_some() {
            // A server sends two. Whoever goes on is told so.
            self.glitch()?;
        }
        let debug = Bytes::copy_from_slice(debug.get(..MAX_DEBUG).unwrap_or(debug));
        self.peer_goaway = Some(Box::new(PeerGoAway { last_stream, code, debug: debug.clone() }));
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
