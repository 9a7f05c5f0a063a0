//! One socket on a loop with its session: reads, feeds, writes, and closes without losing the farewell.

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use lariat_frame::WriteBuf;

#[cfg(test)]
use super::session::Audit;
use super::session::{CloseReason, Session, SessionState, Turn};
use super::socket::{Peer, Socket, SocketOptions};
use super::stats::LoopStats;
use super::timers::TimerId;

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
/// the kernel send RST, which may overtake the GOAWAY that says why.
const LINGER: Duration = Duration::from_secs(1);

/// A socket and what is on its way through it.
pub(super) struct Connection {
    socket: Socket,
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
    /// The loop's own timer: the connect deadline, or the end of lingering.
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
    /// Close it at this time unless the peer does first.
    LingerUntil(Instant),
    Close,
}

impl Connection {
    pub(super) fn connecting(socket: Socket, session: Box<dyn Session>) -> Self {
        Connection {
            socket,
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
    pub(super) fn accepted(socket: Socket, session: Box<dyn Session>) -> Self {
        // A fresh connection often has its first octets waiting and always has room to write.
        Connection { phase: Phase::Open, readable: true, writable: true, ..Self::connecting(socket, session) }
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

    pub(super) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// The connection is up: the session begins.
    pub(super) fn open(&mut self, turn: &mut Turn<'_>, peer: Peer) {
        self.phase = Phase::Open;
        self.writable = true;
        if let Some(session) = &mut self.session {
            session.handle_open(turn, &mut self.out, peer);
        }
    }

    /// Whether the connect has ended, and how.
    pub(super) fn connected(&self) -> io::Result<Option<Peer>> {
        self.socket.connected()
    }

    pub(super) fn set_ready(&mut self, edge: Edge) {
        self.readable |= edge.readable;
        self.read_closed |= edge.read_closed;
        self.writable |= edge.writable;
    }

    pub(super) fn handle_wake(&mut self, turn: &mut Turn<'_>, slot: u32) {
        if let Some(session) = self.open_session() {
            session.0.handle_wake(turn, session.1, slot);
        }
    }

    pub(super) fn handle_timer(&mut self, turn: &mut Turn<'_>, slot: u32) {
        if let Some(session) = self.open_session() {
            session.0.handle_timer(turn, session.1, slot);
        }
    }

    fn open_session(&mut self) -> Option<(&mut Box<dyn Session>, &mut WriteBuf)> {
        match self.phase {
            Phase::Open => self.session.as_mut().map(|session| (session, &mut self.out)),
            _ => None,
        }
    }

    /// Reads what the kernel has, as far as the budget and the session allow, and feeds it to the session.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>, buffer: &mut [u8]) -> Next {
        if self.phase == Phase::Lingering {
            return self.discard(turn, buffer);
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
            turn.stats.reads += 1;
            match self.socket.read(&mut buffer[kept..]) {
                Ok(0) => {
                    self.readable = false;
                    session.handle_eof(turn, &mut self.out);
                    if session.state() == SessionState::Open {
                        return self.fail(turn, CloseReason::Io(ErrorKind::UnexpectedEof.into()));
                    }
                }
                Ok(count) => {
                    turn.stats.octets_read += count as u64;
                    // A short read means that the socket is drained: the next octets raise an edge of their own.
                    self.readable = count == room || self.read_closed;
                    buffer[..kept].copy_from_slice(&self.input);
                    let filled = &buffer[..kept + count];
                    let consumed = session.handle_input(turn, &mut self.out, filled);
                    keep(&mut self.input, &filled[consumed..]);
                    budget = budget.saturating_sub(count);
                    // Only who fills the buffer is asked: whoever sends less has had its turn.
                    if self.readable {
                        let begun = session.calls_begun();
                        if budget == 0 || begun - self.calls_begun >= CALLS_PER_TURN {
                            self.calls_begun = begun;
                            return Next::Again;
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.fail(turn, CloseReason::Io(error)),
            }
        }
        Next::Wait
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
    pub(super) fn finish_turn(&mut self, turn: &mut Turn<'_>) -> Next {
        let mut budget = WRITE_BUDGET;
        loop {
            let Some(session) = &mut self.session else {
                return if self.phase == Phase::Closed { Next::Close } else { Next::Wait };
            };
            let was = session.state();
            session.finish_turn(turn, &mut self.out);
            if self.out.is_empty() {
                if session.state() == SessionState::Finished {
                    return self.finish(turn);
                }
                return Next::Wait;
            }
            if !self.writable {
                return self.await_room(turn);
            }
            let octets = self.out.len();
            match self.write(turn.stats) {
                Ok(written) => {
                    budget = budget.saturating_sub(written);
                    if written < octets && !self.writable {
                        return self.await_room(turn);
                    }
                }
                Err(error) => return self.fail(turn, CloseReason::Io(error)),
            }
            if self.out.is_empty() {
                let Some(session) = &mut self.session else { return Next::Wait };
                session.handle_flushed();
                if was == SessionState::WriteOnly && session.state() == SessionState::Open {
                    self.resume_input(turn);
                    if self.readable {
                        return Next::Again;
                    }
                }
            }
            if budget == 0 {
                return Next::Again;
            }
        }
    }

    /// The kernel takes no more. A session that is done waits for that only so long: the peer may never read.
    fn await_room(&mut self, turn: &mut Turn<'_>) -> Next {
        let finished = self.session.as_ref().is_some_and(|session| session.state() == SessionState::Finished);
        if finished && self.timer.is_none() {
            return Next::LingerUntil(turn.now + LINGER);
        }
        Next::Wait
    }

    fn write(&mut self, stats: &mut LoopStats) -> io::Result<usize> {
        let mut written = 0;
        while !self.out.is_empty() {
            stats.writes += 1;
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
                    stats.octets_written += taken as u64;
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

    /// The session is done and everything is written: say so to the peer, and wait for it to close.
    fn finish(&mut self, turn: &mut Turn<'_>) -> Next {
        self.close_session(turn, CloseReason::Finished);
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
            session.handle_closed(turn, reason);
        }
    }

    fn discard(&mut self, turn: &mut Turn<'_>, buffer: &mut [u8]) -> Next {
        let mut budget = READ_BUDGET;
        while budget > 0 {
            turn.stats.reads += 1;
            match self.socket.read(buffer) {
                Ok(0) => return Next::Close,
                Ok(count) => {
                    turn.stats.octets_read += count as u64;
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

    use super::super::EventLoop;
    use super::super::mailbox::Token;
    use super::super::session::Audit;
    use super::super::timers::Timers;
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
        fn handle_flushed(&mut self) {}
        fn handle_eof(&mut self, _: &mut Turn<'_>, _: &mut WriteBuf) {}
        fn handle_closed(&mut self, _: &mut Turn<'_>, _: CloseReason) {}
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
        let mut connection = Connection::accepted(socket, Box::new(Calls { per_octet, begun: 0 }));
        let (_, handle) = EventLoop::new(Default::default()).unwrap();
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let token = Token { index: 0, generation: 0 };
        connection.phase = Phase::Open;
        let mut stats = LoopStats::default();
        let mut turn = Turn { now, token, handle: &handle, timers: &mut timers, stats: &mut stats };
        connection.read(&mut turn, &mut [0; 100])
    }

    #[test]
    fn a_connection_that_begins_many_calls_waits_for_the_others_turn() {
        assert_eq!(read(CALLS_PER_TURN / 100 + 1), Next::Again);
        assert_eq!(read(0), Next::Wait);
    }
}
