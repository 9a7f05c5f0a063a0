//! [`Probe`]: asks a silent peer whether it is still there (gRFC A8, A9).

use crate::timer::{LONGEST, later};
use crate::{Keepalive, Role};
use std::time::{Duration, Instant};

/// The debug text with which gRPC servers end a connection on which too many PINGs came.
pub(crate) const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

/// The payload of the PINGs sent here, the one of grpc-go.
pub(crate) const PING: [u8; 8] = [0; 8];

/// What to do when the probe's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Come back then.
    Wait(Instant),
    /// Send a PING and come back then.
    Ask(Instant),
    /// There is nothing to keep alive: come back when a stream is opened.
    Sleep,
    /// The peer is gone.
    Dead,
}

/// Watches for silence. Any frame is a sign of life, not only the PING's answer.
#[derive(Debug)]
pub(crate) struct Probe {
    role: Role,
    heard: Instant,
    /// When the PING that waits for a sign of life was sent.
    asked: Option<Instant>,
    /// PINGs that were sent and not answered.
    unanswered: u32,
    dormant: bool,
}

impl Probe {
    /// `None` if keepalive is off.
    pub(crate) fn new(config: &Keepalive, role: Role, now: Instant) -> Option<Self> {
        let is_on = config.time.is_some();
        is_on.then_some(Probe { role, heard: now, asked: None, unanswered: 0, dormant: false })
    }

    /// When to look whether the peer is still silent.
    pub(crate) fn next_look(&self, config: &Keepalive) -> Instant {
        // A time of zero would send PINGs without end.
        let time = config.time.unwrap_or(LONGEST).max(Duration::from_millis(1));
        later(self.heard, time)
    }

    /// A frame came.
    #[inline]
    pub(crate) fn handle_frame(&mut self, now: Instant) {
        self.heard = now;
    }

    /// An answer to a PING came; whether one was sent that had none. As a sign of life it counts like any frame.
    pub(crate) fn handle_answer(&mut self) -> bool {
        let is_expected = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        is_expected
    }

    /// A stream was opened; when to come back, if a PING must be sent now because the silence lasted through a time
    /// without streams.
    #[inline]
    pub(crate) fn handle_stream(&mut self, config: &Keepalive, now: Instant) -> Option<Instant> {
        std::mem::take(&mut self.dormant).then(|| self.ask(config, now))
    }

    /// The time given last has come.
    pub(crate) fn handle_timeout(&mut self, config: &Keepalive, now: Instant, has_streams: bool) -> Verdict {
        if let Some(asked) = self.asked.filter(|&asked| self.heard < asked) {
            let deadline = later(asked, config.timeout);
            return if now >= deadline { Verdict::Dead } else { Verdict::Wait(deadline) };
        }
        self.asked = None;
        let next_look = self.next_look(config);
        if now < next_look {
            Verdict::Wait(next_look)
        } else if has_streams || config.permit_without_stream || self.role == Role::Server {
            Verdict::Ask(self.ask(config, now))
        } else {
            self.dormant = true;
            Verdict::Sleep
        }
    }

    fn ask(&mut self, config: &Keepalive, now: Instant) -> Instant {
        self.asked = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        later(now, config.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);
    const TIMEOUT: Duration = Duration::from_secs(3);

    const CONFIG: Keepalive = Keepalive { time: Some(TIME), timeout: TIMEOUT, permit_without_stream: false };

    fn probe(now: Instant) -> Probe {
        Probe::new(&CONFIG, Role::Client, now).unwrap()
    }

    #[test]
    fn a_peer_that_stays_silent_is_asked_and_then_given_up() {
        let start = Instant::now();
        let mut probe = probe(start);
        assert_eq!(probe.next_look(&CONFIG), start + TIME);
        assert_eq!(probe.handle_timeout(&CONFIG, start + TIME, true), Verdict::Ask(start + TIME + TIMEOUT));
        assert_eq!(probe.handle_timeout(&CONFIG, start + TIME + TIMEOUT, true), Verdict::Dead);
    }

    #[test]
    fn any_frame_is_a_sign_of_life() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut probe = probe(start);
        probe.handle_frame(start + second);
        assert_eq!(probe.handle_timeout(&CONFIG, start + TIME, true), Verdict::Wait(start + second + TIME));
        let asked = start + second + TIME;
        assert_eq!(probe.handle_timeout(&CONFIG, asked, true), Verdict::Ask(asked + TIMEOUT));
        probe.handle_frame(asked + second);
        assert_eq!(
            probe.handle_timeout(&CONFIG, asked + TIMEOUT, true),
            Verdict::Wait(asked + second + TIME)
        );
    }

    #[test]
    fn without_streams_it_sleeps_and_asks_at_the_first_one() {
        let start = Instant::now();
        let mut probe = probe(start);
        assert_eq!(probe.handle_timeout(&CONFIG, start + TIME, false), Verdict::Sleep);
        let later = start + 10 * TIME;
        assert_eq!(probe.handle_stream(&CONFIG, later), Some(later + TIMEOUT));
        assert_eq!(probe.handle_stream(&CONFIG, later), None);
        assert_eq!(probe.handle_timeout(&CONFIG, later + TIMEOUT, true), Verdict::Dead);
    }

    #[test]
    fn without_streams_it_asks_if_that_is_permitted() {
        let start = Instant::now();
        let config = Keepalive { permit_without_stream: true, ..CONFIG };
        let mut probe = probe(start);
        assert!(matches!(probe.handle_timeout(&config, start + TIME, false), Verdict::Ask(_)));
    }
}
