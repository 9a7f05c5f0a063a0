//! What happens when a time has come: limits of time, keepalive, idleness and age.

use super::{Connection, Role};
use crate::Initiator;
use crate::closed::Ending;
use crate::keepalive::{self, Verdict};
use crate::random::mix;
use crate::streams::{Linger, StreamKey};
use crate::timer::{LONGEST, Timer, later};
use crate::violation::{self, Violation};
use lariat_frame::{ErrorCode, StreamId, WriteBuf, encode};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many times streams are looked at within `stalled_stream_timeout`.
const STALL_LOOKS: u32 = 5;

impl Connection {
    pub(super) fn set_first_timers(&mut self, seed: u64) {
        let config = Arc::clone(&self.config);
        self.set_timer(Timer::Preface, config.limits.preface_timeout);
        if let Some(probe) = &self.probe {
            self.timers.set(Timer::Keepalive, probe.next_look(&config.keepalive));
        }
        if self.role == Role::Client {
            return;
        }
        if let Some(idle) = config.max_connection_idle {
            self.set_timer(Timer::Idle, idle);
        }
        if let Some(age) = config.max_connection_age {
            self.set_timer(Timer::Age, age.min(LONGEST).mul_f64(jitter(seed)));
        }
    }

    /// Sets a deadline so much later than now.
    pub(super) fn set_timer(&mut self, timer: Timer, time: Duration) {
        self.timers.set(timer, later(self.now, time));
    }

    /// Deals with every deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut WriteBuf) {
        self.now = now;
        while let Some(timer) = self.timers.pop_expired(now) {
            match timer {
                Timer::Preface => self.fail(violation::PREFACE_TIMEOUT, out),
                Timer::SettingsAck => self.fail(violation::SETTINGS_TIMEOUT, out),
                Timer::HeaderBlock => self.fail(violation::HEADER_BLOCK_TIMEOUT, out),
                Timer::Frame => self.look_at_partial_frame(out),
                Timer::Keepalive => self.look_for_life(out),
                Timer::Idle => self.look_for_idleness(out),
                Timer::Age => self.reach_age(out),
                Timer::Grace => self.fail(violation::AGE_GRACE, out),
                Timer::Drain => self.send_final_goaway(out),
                Timer::Stalled => self.look_for_stalled_streams(out),
                Timer::Linger => self.look_for_lingering_streams(out),
                Timer::UnreadReplies => self.fail(violation::UNREAD_REPLIES, out),
            }
        }
    }

    // Limits of time

    /// A frame has begun that isn't complete.
    #[inline]
    pub(super) fn watch_partial_frame(&mut self) {
        if self.partial_frame.is_none() {
            self.partial_frame = Some(self.now);
            if !self.timers.is_set(Timer::Frame) {
                self.set_timer(Timer::Frame, self.config.limits.frame_timeout);
            }
        }
    }

    fn look_at_partial_frame(&mut self, out: &mut WriteBuf) {
        // It may be another frame by now, or none.
        let Some(since) = self.partial_frame else { return };
        let deadline = later(since, self.config.limits.frame_timeout);
        if self.now >= deadline {
            self.fail(violation::FRAME_TIMEOUT, out);
        } else {
            self.timers.set(Timer::Frame, deadline);
        }
    }

    /// SETTINGS are on their way, and must be acknowledged.
    pub(super) fn await_settings_ack(&mut self) {
        self.set_timer(Timer::SettingsAck, self.config.limits.settings_ack_timeout);
    }

    /// Counts a reply that the peer has caused.
    #[inline]
    pub(super) fn count_reply(&mut self) {
        self.replies += 1;
        self.hold_input();
        if self.replies == self.config.limits.queued_replies {
            self.set_timer(Timer::UnreadReplies, self.config.limits.unread_replies_timeout);
        }
    }

    pub(super) fn reply_reset(&mut self, id: StreamId, code: ErrorCode, out: &mut WriteBuf) {
        self.write_reset(id, code, out);
        self.count_reply();
    }

    /// Time between two looks for stalled streams.
    pub(super) fn stall_period(&self) -> Duration {
        self.config.limits.stalled_stream_timeout / STALL_LOOKS
    }

    fn look_for_stalled_streams(&mut self, out: &mut WriteBuf) {
        let mut any_queued = false;
        for key in self.streams.keys() {
            let looks = self.streams.get_mut(key).map_or(0, |stream| stream.queue.look());
            any_queued |= looks > 0;
            // The first look may have come right after the DATA was queued.
            if looks > STALL_LOOKS {
                let Violation { code, rule, .. } = violation::STALLED_STREAM;
                self.write_reset(key.id(), code, out);
                self.queue_reset(key, code, Initiator::Library(rule), false);
                self.remove(key, Ending::ResetLocally);
            }
        }
        if any_queued && !self.is_closed() {
            self.set_timer(Timer::Stalled, self.stall_period());
        }
    }

    fn look_for_lingering_streams(&mut self, out: &mut WriteBuf) {
        let mut any_left = false;
        for key in self.streams.keys() {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            match stream.linger {
                Linger::No | Linger::Wanted => {}
                Linger::Waiting => {
                    stream.linger = Linger::Overdue;
                    any_left = true;
                }
                Linger::Overdue => self.end_lingering(key, out),
            }
        }
        if any_left {
            self.set_timer(Timer::Linger, self.config.limits.linger_timeout);
        }
    }

    /// A stream has waited long enough for the end of its request. Nobody has to be told: it was answered.
    pub(super) fn end_lingering(&mut self, key: StreamKey, out: &mut WriteBuf) {
        self.write_reset(key.id(), ErrorCode::NO_ERROR, out);
        self.remove(key, Ending::ResetLocally);
    }

    // Keepalive, idleness, age

    fn look_for_life(&mut self, out: &mut WriteBuf) {
        let has_streams = !self.streams.is_empty();
        let Some(probe) = &mut self.probe else { return };
        match probe.handle_timeout(&self.config.keepalive, self.now, has_streams) {
            Verdict::Wait(until) => self.timers.set(Timer::Keepalive, until),
            Verdict::Ask(deadline) => self.send_keepalive(deadline, out),
            Verdict::Sleep => {}
            Verdict::Dead => self.fail(violation::KEEPALIVE_TIMEOUT, out),
        }
    }

    pub(super) fn send_keepalive(&mut self, deadline: Instant, out: &mut WriteBuf) {
        encode::ping(out.tail(), false, keepalive::PING);
        self.stats.keepalives_sent += 1;
        self.timers.set(Timer::Keepalive, deadline);
    }

    fn look_for_idleness(&mut self, out: &mut WriteBuf) {
        let Some(idle) = self.config.max_connection_idle else { return };
        let since = self.idle_since.filter(|_| self.streams.is_empty()).unwrap_or(self.now);
        let deadline = later(since, idle);
        if self.now >= deadline {
            self.begin_shutdown("max_idle", out);
        } else {
            self.timers.set(Timer::Idle, deadline);
        }
    }

    fn reach_age(&mut self, out: &mut WriteBuf) {
        self.begin_shutdown("max_age", out);
        if let Some(grace) = self.config.max_connection_age_grace
            && !self.is_closed()
        {
            self.set_timer(Timer::Grace, grace);
        }
    }
}

/// A factor within a tenth of 1, the same for the same seed.
fn jitter(seed: u64) -> f64 {
    0.9 + 0.2 * (mix(seed) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jitter_stays_within_a_tenth_and_uses_the_whole_of_it() {
        let factors: Vec<f64> = (0..1000).map(jitter).collect();
        assert!(factors.iter().all(|factor| (0.9..1.1).contains(factor)));
        assert!(factors.iter().any(|&factor| factor < 0.91) && factors.iter().any(|&factor| factor > 1.09));
    }
}
