//! One socket on a loop with its session: reads, feeds, writes, and closes without losing the farewell.

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use lariat_frame::WriteBuf;

use super::clock;
use super::peer::{Peer, PeerAddress, SecurityLevel};
use super::security::Security;
#[cfg(test)]
use super::session::Audit;
use super::session::{CloseReason, Ring, Session, SessionState, Turn};
use super::socket::{Socket, SocketOptions};
use super::stats::Counters;
use super::timers::TimerId;
use super::tls::TlsStream;

/// Octets read from one connection before the others get their turn.
const READ_BUDGET: usize = 512 * 1024;
/// Calls of one connection after which it is not read on before the others have had their turn: as many as may run at
/// once by default. What one read of the buffer has brought is dealt with first.
const CALLS_PER_TURN: u64 = 256;
/// Octets written by one connection before the others get their turn, and its own requests that arrived meanwhile: a
/// tenth of a millisecond of a bulk transfer, which no small call beside it should wait for much longer.
const WRITE_BUDGET: usize = 256 * 1024;
/// Slices given to one `writev`: enough for many chained payloads, far below the kernel's 1,024.
const MAX_SLICES: usize = 64;
/// How long a closed connection goes on reading what the peer still sends. Closing a socket with unread octets makes
/// the kernel send RST, which may overtake the GOAWAY that says why. And how long, before that, the kernel may take
/// nothing of what is left to be written: a peer that reads, however slowly, makes room for some of it.
const LINGER: Duration = Duration::from_secs(1);

/// Memory that all connections of a loop share.
pub(super) struct Buffers {
    /// What sockets are read into, and what is encrypted for them.
    pub(super) octets: Vec<u8>,
    /// Plaintext: what was decrypted, and what is to be encrypted and does not lie together. Empty until a connection
    /// with TLS needs it.
    pub(super) plain: Vec<u8>,
}

/// A socket and what is on its way through it.
pub(super) struct Connection {
    socket: Socket,
    /// Between the socket and the session, if the connection is secured by TLS.
    tls: Option<Box<TlsStream>>,
    /// What the connection protects its octets from without TLS.
    level: SecurityLevel,
    /// While the handshake is under way.
    peer: Option<Box<PeerAddress>>,
    phase: Phase,
    /// `None` once the session was told that the connection is closed.
    session: Option<Box<dyn Session>>,
    /// What arrived and was not consumed: the front of an incomplete frame.
    input: Vec<u8>,
    out: WriteBuf,
    /// The kernel may have more to read; cleared by a short read.
    readable: bool,
    /// The kernel said that the peer has ended its side. No edge comes for that again, so reading goes on to the end.
    read_closed: bool,
    /// The kernel took all of the last write.
    writable: bool,
    /// Calls begun by the peer when it last had to wait for the others' turn.
    calls_begun: u64,
    /// The loop's own timer: the deadline of connect and handshake, of the next progress of the last octets, or the end
    /// of lingering.
    pub(super) timer: Option<TimerId>,
    /// In the loop's list of connections to finish this turn.
    pub(super) touched: bool,
    /// In the loop's list of connections to drive again although no event came.
    pub(super) queued_again: bool,
}

/// What became possible at a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) readable: bool,
    /// The peer has ended its side, or the connection has failed.
    pub(crate) read_closed: bool,
    pub(crate) writable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// The session has not begun: TLS comes first.
    Handshaking,
    Open,
    /// The session is gone and the write side is shut down; input is discarded until the peer closes.
    Lingering,
    Closed,
}

/// What the loop does with the connection after driving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until an event comes.
    Wait,
    /// The budget is used up: drive it again after the others.
    Again,
    /// At this time [`time_out`](Connection::time_out) decides.
    LingerUntil(Instant),
    Close,
}

impl Connection {
    pub(super) fn connecting(socket: Socket, session: Box<dyn Session>, security: Security) -> Self {
        let (tls, level) = match security {
            Security::None(level) => (None, level),
            Security::Tls(stream) => (Some(stream), SecurityLevel::PrivacyAndIntegrity),
        };
        Connection {
            socket,
            tls,
            level,
            peer: None,
            phase: Phase::Connecting,
            session: Some(session),
            input: Vec::new(),
            out: WriteBuf::new(),
            readable: false,
            read_closed: false,
            writable: false,
            calls_begun: 0,
            timer: None,
            touched: false,
            queued_again: false,
        }
    }

    /// For a socket that is connected already.
    pub(super) fn accepted(socket: Socket, session: Box<dyn Session>, security: Security) -> Self {
        // A fresh connection often has its first octets waiting.
        Connection { readable: true, ..Self::connecting(socket, session, security) }
    }

    #[cfg(test)]
    pub(super) fn audit(&self) -> Option<Audit> {
        self.session.as_ref().and_then(|session| session.audit())
    }

    /// Sets the socket's options and registers it.
    pub(super) fn register(
        &mut self,
        options: &SocketOptions,
        registry: &mio::Registry,
        token: mio::Token,
    ) -> io::Result<()> {
        self.socket.configure(options);
        self.socket.register(registry, token)
    }

    /// The connection is on its loop.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        if let Some(session) = &mut self.session {
            session.handle_start(turn);
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// The socket is connected: the session begins, or the handshake before it.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>, peer: PeerAddress) -> Next {
        self.writable = true;
        let Some(tls) = &mut self.tls else {
            let peer = Peer::new(peer, self.socket.local_address(), self.level);
            self.open(turn, peer);
            return Next::Wait;
        };
        self.phase = Phase::Handshaking;
        self.peer = Some(Box::new(peer));
        if let Some(timeout) = tls.handshake_timeout() {
            let deadline = clock::later(turn.now, timeout);
            self.timer = Some(turn.timers.set(deadline, Ring::Connection(turn.token)));
        }
        match tls.start() {
            Ok(()) => Next::Wait,
            Err(error) => self.break_off(turn, error),
        }
    }

    fn open(&mut self, turn: &mut Turn<'_>, peer: Peer) {
        self.phase = Phase::Open;
        if let Some(timer) = self.timer.take() {
            turn.timers.cancel(timer);
        }
        if let Some(session) = &mut self.session {
            session.handle_open(turn, &mut self.out, peer);
        }
    }

    /// Whether the connect has ended, and how.
    pub(super) fn connected(&self) -> io::Result<Option<PeerAddress>> {
        self.socket.connected()
    }

    pub(super) fn set_ready(&mut self, edge: Edge) {
        self.readable |= edge.readable;
        self.read_closed |= edge.read_closed;
        self.writable |= edge.writable;
    }

    pub(super) fn handle_wake(&mut self, turn: &mut Turn<'_>, slot: u32) -> Next {
        if let Some(session) = self.woken_session() {
            session.0.handle_wake(turn, session.1, slot);
            // While the socket is being connected, no turn is finished that would see it.
            if self.phase == Phase::Connecting
                && self.session.as_ref().is_some_and(|session| session.state() == SessionState::Finished)
            {
                return self.fail(turn, CloseReason::Finished);
            }
        }
        Next::Wait
    }

    pub(super) fn handle_timer(&mut self, turn: &mut Turn<'_>, slot: u32) {
        if let Some(session) = self.woken_session() {
            session.0.handle_timer(turn, session.1, slot);
        }
    }

    fn woken_session(&mut self) -> Option<(&mut Box<dyn Session>, &mut WriteBuf)> {
        match self.phase {
            Phase::Connecting | Phase::Handshaking | Phase::Open => {
                self.session.as_mut().map(|session| (session, &mut self.out))
            }
            _ => None,
        }
    }

    /// Reads what the kernel has, as far as the budget and the session allow, and feeds it to the session.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        let buffer = &mut buffers.octets[..];
        if self.phase == Phase::Lingering {
            return self.discard(turn, buffer);
        }
        if self.tls.is_some() {
            return self.read_tls(turn, buffers);
        }
        let mut budget = READ_BUDGET;
        while self.readable {
            let Some(session) = &mut self.session else { return Next::Wait };
            if session.state() != SessionState::Open {
                return Next::Wait;
            }
            let kept = self.input.len();
            if kept >= buffer.len() {
                // The session would have refused so large a frame; without this the read below had no room.
                return self.fail(turn, CloseReason::Io(ErrorKind::InvalidData.into()));
            }
            let room = buffer.len() - kept;
            turn.counters.reads.add(1);
            match self.socket.read(&mut buffer[kept..]) {
                Ok(0) => {
                    self.readable = false;
                    session.handle_eof(turn, &mut self.out);
                    if session.state() == SessionState::Open {
                        return self.fail(turn, CloseReason::Io(ErrorKind::UnexpectedEof.into()));
                    }
                }
                Ok(count) => {
                    turn.counters.octets_read.add(count as u64);
                    // A short read means that the socket is drained: the next octets raise an edge of their own.
                    self.readable = count == room || self.read_closed;
                    if kept > 0 {
                        buffer[..kept].copy_from_slice(&self.input);
                    }
                    let filled = &buffer[..kept + count];
                    let consumed = session.handle_input(turn, &mut self.out, filled);
                    keep(&mut self.input, &filled[consumed..]);
                    budget = budget.saturating_sub(count);
                    // Only who fills the buffer is asked: whoever sends less has had its turn.
                    if self.readable && self.must_wait(budget) {
                        return Next::Again;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.fail(turn, CloseReason::Io(error)),
            }
        }
        Next::Wait
    }

    /// Whether the others have their turn before more is read.
    fn must_wait(&mut self, budget: usize) -> bool {
        let begun = self.session.as_ref().map_or(0, |session| session.calls_begun());
        let waits = budget == 0 || begun - self.calls_begun >= CALLS_PER_TURN;
        if waits {
            self.calls_begun = begun;
        }
        waits
    }

    /// [`read`](Self::read) for a connection with TLS.
    fn read_tls(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        let mut budget = READ_BUDGET;
        while self.readable {
            let (Some(session), Some(tls)) = (&mut self.session, &mut self.tls) else { return Next::Wait };
            if session.state() != SessionState::Open {
                return Next::Wait;
            }
            if tls.peer_has_closed() {
                return self.end_input(turn);
            }
            let kept = tls.kept().len();
            let Some(room) = buffers.octets.get_mut(kept..).filter(|room| !room.is_empty()) else {
                // No record and no handshake message that rustls accepts is that large.
                return self.break_off(turn, ErrorKind::InvalidData.into());
            };
            let size = room.len();
            turn.counters.reads.add(1);
            match self.socket.read(room) {
                Ok(0) => return self.cut_off(turn),
                Ok(count) => {
                    turn.counters.octets_read.add(count as u64);
                    self.readable = count == size || self.read_closed;
                    buffers.octets[..kept].copy_from_slice(tls.kept());
                    if let Err(error) = self.decrypt(turn, kept + count, buffers) {
                        return self.break_off(turn, error);
                    }
                    budget = budget.saturating_sub(count);
                    if self.readable && self.must_wait(budget) {
                        return Next::Again;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.break_off(turn, error),
            }
        }
        Next::Wait
    }

    /// Decrypts what was read, and feeds it to the session behind what that had left.
    fn decrypt(&mut self, turn: &mut Turn<'_>, filled: usize, buffers: &mut Buffers) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let plain = &mut buffers.plain;
        plain.clear();
        plain.extend_from_slice(&self.input);
        let result = tls.decrypt(&mut buffers.octets[..filled], plain);
        if self.phase == Phase::Handshaking && tls.is_established() {
            // On an error of what follows the handshake, that error is the one to tell.
            let local = self.socket.local_address();
            match self.peer.clone().map(|address| tls.peer(*address, local)) {
                Some(Ok(peer)) => {
                    self.peer = None;
                    self.open(turn, peer);
                }
                Some(Err(error)) => return Err(result.err().unwrap_or(error)),
                None => {}
            }
        }
        if plain.len() > self.input.len()
            && let Some(session) = &mut self.session
        {
            let consumed = session.handle_input(turn, &mut self.out, plain);
            keep(&mut self.input, &plain[consumed..]);
        }
        if self.tls.as_ref().is_some_and(|tls| tls.peer_has_closed()) {
            // No edge need come any more.
            self.readable = true;
        }
        result
    }

    /// The peer has ended its side.
    fn end_input(&mut self, turn: &mut Turn<'_>) -> Next {
        self.readable = false;
        if self.phase == Phase::Handshaking {
            return self.cut_off(turn);
        }
        let Some(session) = &mut self.session else { return Next::Wait };
        session.handle_eof(turn, &mut self.out);
        if session.state() == SessionState::Open {
            return self.fail(turn, CloseReason::Io(ErrorKind::UnexpectedEof.into()));
        }
        Next::Wait
    }

    /// The octets ended. Without a close_notify alert before, anybody may have cut them off (RFC 8446 §6.1).
    fn cut_off(&mut self, turn: &mut Turn<'_>) -> Next {
        let text = match self.phase {
            Phase::Handshaking => {
                "the TLS handshake failed: the peer closed the connection; perhaps it does not speak TLS on this port"
            }
            _ if self.tls.as_ref().is_some_and(|tls| tls.peer_has_closed()) => return self.end_input(turn),
            _ => "the connection was cut off: its octets ended without TLS's close_notify",
        };
        self.break_off(turn, io::Error::new(ErrorKind::ConnectionAborted, text))
    }

    /// TLS has failed: the peer is told as far as the socket takes it, and the session is told why.
    fn break_off(&mut self, turn: &mut Turn<'_>, error: io::Error) -> Next {
        let handshaking = self.phase == Phase::Handshaking;
        if let Some(tls) = &mut self.tls {
            if let Some(peer) = self.peer.take() {
                tls.report_failure(&peer, &error);
            }
            // If this write fails the peer learns nothing; there is no other way to tell it.
            let _ = self.socket.write(tls.pending());
        }
        self.part(turn, if handshaking { CloseReason::ConnectFailed(error) } else { CloseReason::Io(error) })
    }

    /// The loop's timer has fired: connect or handshake take too long, the last octets make no progress, or the peer
    /// does not close.
    pub(super) fn time_out(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        self.timer = None;
        let text = match self.phase {
            Phase::Open => return self.look_for_room(turn, buffers),
            Phase::Handshaking => "the TLS handshake did not end before its deadline",
            Phase::Connecting | Phase::Lingering | Phase::Closed => {
                "the peer did not answer before the connect deadline"
            }
        };
        let error = io::Error::new(ErrorKind::TimedOut, text);
        if let (Some(tls), Some(peer)) = (&self.tls, self.peer.take()) {
            tls.report_failure(&peer, &error);
        }
        self.fail(turn, CloseReason::ConnectFailed(error))
    }

    /// Feeds what was kept back while the session refused input.
    fn resume_input(&mut self, turn: &mut Turn<'_>) {
        let Some(session) = &mut self.session else { return };
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let consumed = session.handle_input(turn, &mut self.out, &input);
            keep(&mut self.input, &input[consumed..]);
        }
    }

    /// Collects the session's output and writes it: one system call, unless there is more than one call takes.
    pub(super) fn finish_turn(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        if self.phase == Phase::Handshaking {
            return self.finish_handshake_turn(turn, buffers);
        }
        let mut budget = WRITE_BUDGET;
        loop {
            let Some(session) = &mut self.session else {
                return if self.phase == Phase::Closed { Next::Close } else { Next::Wait };
            };
            // If so, only the flush lets the session read on.
            let waits =
                (self.readable || !self.input.is_empty()) && session.state() == SessionState::WriteOnly;
            session.finish_turn(turn, &mut self.out);
            if !self.has_output() {
                if self.session.as_ref().is_none_or(|session| session.state() != SessionState::Finished) {
                    return Next::Wait;
                }
                if !self.tls.as_mut().is_some_and(|tls| tls.close()) {
                    return self.part(turn, CloseReason::Finished);
                }
            }
            if !self.writable {
                return self.await_room(turn, false);
            }
            match self.write(buffers, turn.counters) {
                Ok(written) => {
                    budget = budget.saturating_sub(written);
                    if !self.writable {
                        return self.await_room(turn, true);
                    }
                }
                Err(error) => return self.fail(turn, CloseReason::Io(error)),
            }
            if !self.has_output() {
                let Some(session) = &mut self.session else { return Next::Wait };
                let has_more = session.handle_flushed();
                if waits && session.state() == SessionState::Open {
                    self.resume_input(turn);
                    if self.readable {
                        return Next::Again;
                    }
                } else if !has_more {
                    return Next::Wait;
                }
            }
            if budget == 0 {
                return Next::Again;
            }
        }
    }

    /// Writes what the handshake has to say.
    fn finish_handshake_turn(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        if self.session.as_ref().is_some_and(|session| session.state() == SessionState::Finished) {
            return self.part(turn, CloseReason::Finished);
        }
        match self.write(buffers, turn.counters) {
            Ok(_) => Next::Wait,
            Err(error) => self.break_off(turn, error),
        }
    }

    fn has_output(&self) -> bool {
        !self.out.is_empty() || self.tls.as_ref().is_some_and(|tls| !tls.pending().is_empty())
    }

    /// The kernel takes no more. A session that is done waits for that only so long: the peer may never read.
    fn await_room(&mut self, turn: &mut Turn<'_>, has_written: bool) -> Next {
        let finished = self.session.as_ref().is_some_and(|session| session.state() == SessionState::Finished);
        if finished && (has_written || self.timer.is_none()) {
            return Next::LingerUntil(turn.now + LINGER);
        }
        Next::Wait
    }

    /// The last octets have waited for room without an edge. The kernel raises one only when a good part of its buffer
    /// is free, which takes a slow path longer; asked, it takes as much as the peer has made room for.
    fn look_for_room(&mut self, turn: &mut Turn<'_>, buffers: &mut Buffers) -> Next {
        self.writable = true;
        let before = turn.counters.octets_written.get();
        match self.write(buffers, turn.counters) {
            // The end of the turn sees to the rest.
            Ok(_) if turn.counters.octets_written.get() > before || !self.has_output() => Next::Wait,
            Ok(_) => {
                let text = "the peer took nothing more of the last octets of a connection that had ended";
                self.fail(turn, CloseReason::Io(io::Error::new(ErrorKind::TimedOut, text)))
            }
            Err(error) => self.fail(turn, CloseReason::Io(error)),
        }
    }

    /// Writes until nothing is left or the kernel takes no more. Returns how much of the output that was.
    fn write(&mut self, buffers: &mut Buffers, counters: &Counters) -> io::Result<usize> {
        if self.tls.is_some() {
            return self.write_tls(buffers, counters);
        }
        let mut written = 0;
        while !self.out.is_empty() {
            counters.writes.add(1);
            let (offered, result) = match self.out.contiguous() {
                Some(octets) => (octets.len(), self.socket.write(octets)),
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let count = self.out.chunks(&mut slices);
                    let offered = slices[..count].iter().map(|slice| slice.len()).sum();
                    (offered, self.socket.write_vectored(&slices[..count]))
                }
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.out.advance(taken);
                    written += taken;
                    counters.octets_written.add(taken as u64);
                    if taken < offered {
                        // The socket's buffer is full: room in it raises an edge.
                        self.writable = false;
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// [`write`](Self::write) for a connection with TLS.
    fn write_tls(&mut self, buffers: &mut Buffers, counters: &Counters) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let mut written = 0;
        while self.writable {
            let is_pending = !tls.pending().is_empty();
            let ciphertext = if is_pending {
                tls.pending()
            } else if self.out.is_empty() {
                break;
            } else {
                let octets = self.out.len();
                let filled = tls.encrypt(&mut self.out, &mut buffers.plain, &mut buffers.octets)?;
                written += octets - self.out.len();
                &buffers.octets[..filled]
            };
            let length = ciphertext.len();
            counters.writes.add(1);
            let (taken, interrupted) = match self.socket.write(ciphertext) {
                Ok(taken) => (taken, false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (0, false),
                Err(error) if error.kind() == ErrorKind::Interrupted => (0, true),
                Err(error) => return Err(error),
            };
            counters.octets_written.add(taken as u64);
            // If it is full, room in the socket's buffer raises an edge.
            self.writable = taken == length || interrupted;
            if is_pending {
                tls.advance(taken);
            } else {
                tls.keep_pending(&buffers.octets[taken..length]);
            }
        }
        Ok(written)
    }

    /// The session is done and everything is written, or TLS has failed: tell the peer that nothing more comes, and
    /// wait for it to close.
    fn part(&mut self, turn: &mut Turn<'_>, reason: CloseReason) -> Next {
        self.close_session(turn, reason);
        self.phase = Phase::Lingering;
        self.input = Vec::new();
        if self.socket.shutdown_write().is_err() {
            self.phase = Phase::Closed;
            return Next::Close;
        }
        self.readable = true;
        Next::LingerUntil(turn.now + LINGER)
    }

    /// The connection failed: the session is told and the socket can be closed.
    pub(super) fn fail(&mut self, turn: &mut Turn<'_>, reason: CloseReason) -> Next {
        self.close_session(turn, reason);
        self.phase = Phase::Closed;
        Next::Close
    }

    fn close_session(&mut self, turn: &mut Turn<'_>, reason: CloseReason) {
        if let Some(mut session) = self.session.take() {
            session.handle_closed(turn, &self.out, reason);
        }
    }

    fn discard(&mut self, turn: &mut Turn<'_>, buffer: &mut [u8]) -> Next {
        let mut budget = READ_BUDGET;
        while budget > 0 {
            turn.counters.reads.add(1);
            match self.socket.read(buffer) {
                Ok(0) => return Next::Close,
                Ok(count) => {
                    turn.counters.octets_read.add(count as u64);
                    budget = budget.saturating_sub(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        Next::Again
    }
}

/// Replaces what is kept by `rest`; an idle connection keeps no memory.
fn keep(input: &mut Vec<u8>, rest: &[u8]) {
    if rest.is_empty() {
        if input.capacity() > 0 {
            *input = Vec::new();
        }
    } else {
        input.clear();
        input.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::Address;
    use super::super::large_messages::LargeMessages;
    use super::super::mailbox::Token;
    use super::super::session::Audit;
    use super::super::simulation::{Network, Weather};
    use super::super::timers::Timers;
    use super::super::{EventLoop, LoopOptions};
    use super::*;

    /// Takes every octet as so many calls.
    struct Calls {
        per_octet: u64,
        begun: u64,
    }

    impl Session for Calls {
        fn handle_open(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf, _: Peer) {}
        fn handle_input(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf, input: &[u8]) -> usize {
            self.begun += self.per_octet * input.len() as u64;
            input.len()
        }
        fn handle_wake(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf, _: u32) {}
        fn handle_timer(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf, _: u32) {}
        fn finish_turn(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf) {}
        fn handle_flushed(&mut self) -> bool {
            false
        }
        fn handle_eof(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf) {}
        fn handle_closed(&mut self, _: &mut Turn<'_>, _: &WriteBuf, _: CloseReason) {}
        fn state(&self) -> SessionState {
            SessionState::Open
        }
        fn calls_begun(&self) -> u64 {
            self.begun
        }
        fn audit(&self) -> Option<Audit> {
            None
        }
    }

    /// What reading a connection leads to on which 1,000 octets wait, with a buffer of a tenth of that.
    fn read(per_octet: u64) -> Next {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[0; 1_000]).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let socket = Socket::Tcp(mio::net::TcpStream::from_std(accepted));
        let mut connection = Connection::accepted(
            socket,
            Box::new(Calls { per_octet, begun: 0 }),
            Security::None(SecurityLevel::None),
        );
        let (_, handle) = EventLoop::new(LoopOptions::default()).unwrap();
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let token = Token { index: 0, generation: 0 };
        connection.phase = Phase::Open;
        let counters = handle.counters();
        let large_messages = &mut LargeMessages::default();
        let mut turn = Turn { now, token, handle: &handle, timers: &mut timers, counters, large_messages };
        connection.read(&mut turn, &mut Buffers { octets: vec![0; 100], plain: Vec::new() })
    }

    #[test]
    fn an_end_that_comes_with_the_connect_is_not_missed() {
        let network = Network::new(1, Weather::CALM, Vec::new());
        let _entered = network.enter();
        let address = Address::parse_listen("127.0.0.1:1").unwrap();
        let listener = network.listen(&address);
        let (mut event_loop, handle) = EventLoop::new(LoopOptions::default()).unwrap();
        let session = Box::new(Calls { per_octet: 0, begun: 0 });
        let deadline = network.now() + LINGER;
        handle.connect(address, deadline, session, Security::None(SecurityLevel::None));
        event_loop.step();
        assert_eq!(event_loop.census()[0], 1);
        let (mut server, _) = listener.accept().unwrap();
        server.write(b"the last octets").unwrap();
        drop(server);
        // Time passes, and the loop is told of all at once.
        network.advance(network.now() + Duration::from_millis(1));
        network.run_for(&mut [&mut event_loop], Duration::from_millis(1));
        assert_eq!(event_loop.census(), [0; 4]);
    }

    #[test]
    fn a_connection_that_begins_many_calls_waits_for_the_others_turn() {
        assert_eq!(read(CALLS_PER_TURN / 100 + 1), Next::Again);
        assert_eq!(read(0), Next::Wait);
    }
}
