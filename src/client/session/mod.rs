//! One connection of a client: carries calls, and tells the control plane what becomes of it.

mod open;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{Config, Connection, ConnectionError, Event, HeadersKind};
use slab::Slab;

use self::open::{Headers, Open, Reset};
use super::connection_handle::{Command, ConnectionHandle};
use super::control::{Control, Input};
use super::stream_pool::PooledConnection;
use super::subchannel::{ConnectionEvent, ConnectionId};
use crate::call::Link;
use crate::call::stats::ConnectionBegin;
use crate::net::{Address, CloseReason, LazyTimer, Note, Peer, RestTimer, Session, SessionState, Turn};
use crate::rpc::{KnownResponse, Status};

/// The slot of the connection's own timer.
const CONNECTION_SLOT: u32 = u32::MAX;
/// The slot by which commands are announced.
const INBOX_SLOT: u32 = u32::MAX - 1;
/// The slot of the deadline for the peer's first SETTINGS.
const READY_SLOT: u32 = u32::MAX - 2;
/// The slot of the timer for giving memory back.
const REST_SLOT: u32 = u32::MAX - 3;
/// The slot of calls that wait for a free stream: they may have expired or been dropped.
const WAITING_SLOT: u32 = u32::MAX - 4;
/// How much of a status line of HTTP/1 goes into an error.
const MAX_STATUS_LINE: usize = 100;

/// How an alert of TLS 1.0 to 1.3 begins (RFC 8446 §5.1). As HTTP/2 it would be a frame larger than any allowed.
const TLS_ALERT: [u8; 2] = [21, 3];

/// The glue of one connection that the client made.
pub(super) struct ClientSession {
    id: ConnectionId,
    address: Address,
    config: Arc<Config>,
    connect_deadline: Instant,
    control: Arc<Control>,
    handle: Arc<ConnectionHandle>,
    /// Where calls come from if the subchannel may have several connections.
    pooled: Option<Arc<PooledConnection>>,
    open: Option<Open>,
    /// Commands that came before it was.
    early: Vec<Command>,
    /// Nobody needs the connection that is being made.
    is_given_up: bool,
    /// The control plane knows that the connection is lost, or will not be told.
    lost: bool,
    /// The server answered with a TLS alert.
    speaks_tls: bool,
}

impl ClientSession {
    pub(super) fn new(
        id: ConnectionId,
        address: Address,
        config: Arc<Config>,
        connect_deadline: Instant,
        control: Arc<Control>,
        handle: Arc<ConnectionHandle>,
        pooled: Option<Arc<PooledConnection>>,
    ) -> Self {
        ClientSession {
            id,
            address,
            config,
            connect_deadline,
            control,
            handle,
            pooled,
            open: None,
            early: Vec::new(),
            is_given_up: false,
            lost: false,
            speaks_tls: false,
        }
    }

    /// Tells the control plane once that the connection takes no more calls.
    fn report_lost(&mut self, reason: String) {
        if !std::mem::replace(&mut self.lost, true) {
            self.control.connection_event(self.id, ConnectionEvent::Lost { reason });
        }
    }

    fn handle_commands(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf) {
        let Some(open) = &mut self.open else { return self.handle_early_commands() };
        let mut commands = std::mem::take(&mut open.commands);
        self.handle.inbox.take(&mut commands);
        for command in commands.drain(..) {
            self.handle_command(turn, out, command);
        }
        if let Some(open) = &mut self.open {
            open.commands = commands;
        }
    }

    /// While the connection is being made it can be given up, and the rest waits.
    fn handle_early_commands(&mut self) {
        let mut commands = VecDeque::new();
        self.handle.inbox.take(&mut commands);
        for command in commands {
            match command {
                Command::Drain | Command::Close(_) => (self.lost, self.is_given_up) = (true, true),
                Command::TellIdle(_) if self.early.is_empty() => {}
                other => self.early.push(other),
            }
        }
    }

    fn handle_command(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, command: Command) {
        let Some(open) = &mut self.open else { return };
        match command {
            Command::Open(mut call) if call.permit.is_none() && self.pooled.is_some() => {
                call.permit = self.pooled.as_ref().map(PooledConnection::count);
                self.handle_command(turn, out, Command::Open(call));
            }
            // Those that wait already come first.
            Command::Open(call) if !open.waiting.is_empty() && !open.http2.is_draining() => {
                open.wait(turn, call);
            }
            Command::Open(call) => {
                if let Some(call) = open.open_call(turn, out, call) {
                    if !open.http2.is_draining() && !open.http2.is_closed() {
                        // Its stream identifiers are used up: another connection has to take over.
                        open.http2.shutdown(turn.now, "no more stream identifiers", out);
                        self.report_lost("the connection's stream identifiers are used up".to_owned());
                    }
                    self.control.take_back(call);
                }
            }
            Command::Pool(pooled) => {
                for (_, active) in &mut open.calls {
                    active.call.permit.get_or_insert_with(|| pooled.count());
                }
                let returned = std::mem::take(&mut open.waiting);
                self.pooled = Some(pooled);
                self.tell_pool();
                returned.into_iter().for_each(|call| self.control.take_back(call));
            }
            Command::TellIdle(notice) => open.idle_notice = Some(notice),
            Command::Drain => {
                self.lost = true;
                let returned = std::mem::take(&mut open.waiting);
                open.http2.shutdown(turn.now, "the channel needs the connection no more", out);
                returned.into_iter().for_each(|call| self.control.take_back(call));
            }
            Command::Close(status) => {
                self.lost = true;
                open.end_all(turn, &status);
                open.http2.close(ErrorCode::NO_ERROR, "client transport shutdown", out);
            }
        }
    }

    fn handle_event(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, event: Event<'_>) {
        let Some(open) = &mut self.open else { return };
        match event {
            Event::Ready => {
                if let Some(timer) = open.ready_timer.take() {
                    turn.cancel_timer(timer);
                }
                self.tell_pool();
                self.control.connection_event(self.id, ConnectionEvent::Ready);
            }
            Event::Headers { stream, token, kind, headers, repeated, end_stream } => {
                if kind != HeadersKind::Informational && open.is_current(token, stream) {
                    let headers = Headers { list: headers, repeated, end_stream };
                    open.handle_headers(turn, out, token as usize, headers);
                }
            }
            Event::Data { stream, token, payload, end_stream } => {
                if open.is_current(token, stream) {
                    open.handle_data(turn, out, token as usize, payload, end_stream);
                }
            }
            Event::Reset { stream, token, code, by, unprocessed } => {
                if !open.is_current(token, stream) {
                    return;
                }
                let lost = open
                    .http2
                    .close_reason()
                    .map(|error| format!("{}: closing transport due to: {error}", self.address));
                let reset = Reset { code, by, unprocessed, lost };
                if let Some(call) = open.handle_reset(turn, token as usize, reset) {
                    self.control.take_back(call);
                }
            }
            Event::Writable { stream, token } => {
                if open.is_current(token, stream) {
                    open.move_streams(out, token as usize);
                }
            }
            Event::GoAway { code, debug, .. } => {
                let returned = std::mem::take(&mut open.waiting);
                self.report_lost(format!(
                    "the server sent GOAWAY with {code}, debug data: \"{}\"",
                    debug.escape_ascii()
                ));
                returned.into_iter().for_each(|call| self.control.take_back(call));
            }
            Event::StreamsAvailable => {
                while open.http2.can_open()
                    && let Some(call) = open.waiting.pop_front()
                {
                    if let Some(call) = open.open_call(turn, out, call) {
                        self.control.take_back(call);
                    }
                }
            }
            Event::Closed => {
                // What is still to be written may take a while; calls must not wait for that, nor come here.
                let returned = std::mem::take(&mut open.waiting);
                if let Some(time) = self.config.keepalive.time
                    && open.http2.close_reason().is_some_and(ConnectionError::is_too_many_pings)
                {
                    self.control.tell(Input::Keepalive(time.saturating_mul(2)));
                }
                let loss = self.loss(&CloseReason::Finished);
                self.report_lost(loss);
                returned.into_iter().for_each(|call| self.control.take_back(call));
            }
        }
    }

    /// Tells the pool, if there is one, how many streams the server allows. Not before that has said it: till then the
    /// connection takes no calls.
    fn tell_pool(&mut self) {
        let (Some(pooled), Some(open)) = (&self.pooled, &mut self.open) else { return };
        let limit = open.http2.max_concurrent_streams();
        if open.ready_timer.is_none() && open.pool_limit != Some(limit) {
            open.pool_limit = Some(limit);
            pooled.set_limit(limit);
        }
    }

    fn loss(&self, reason: &CloseReason) -> String {
        if self.speaks_tls {
            return "the server answered with a TLS alert: it expects TLS on this port, and the channel is plaintext"
                .to_owned();
        }
        let http2 = self.open.as_ref().map(|open| &open.http2);
        if let Some(error) = http2.and_then(Connection::close_reason) {
            return format!("closing transport due to: {error}");
        }
        let mut text = match reason {
            CloseReason::ConnectFailed(error) => error.to_string(),
            CloseReason::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                "the server closed the connection".to_owned()
            }
            CloseReason::Io(error) => format!("the connection failed: {error}"),
            CloseReason::Finished => "the connection was closed".to_owned(),
            CloseReason::EngineStopped => "the engine that ran the connection was stopped".to_owned(),
        };
        if let Some(goaway) = http2.and_then(Connection::peer_goaway) {
            let debug = goaway.debug.escape_ascii();
            text.push_str(&format!(
                ", received prior goaway: code: {}, debug data: \"{debug}\"",
                goaway.code
            ));
        }
        text
    }
}

impl Session for ClientSession {
    fn handle_start(&mut self, turn: &mut Turn<'_>) {
        self.handle.inbox.open(Note { token: turn.token, slot: INBOX_SLOT });
    }

    fn handle_open(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, peer: Peer) {
        let note = Note { token: turn.token, slot: INBOX_SLOT };
        let seed = self.control.next_seed();
        // It is set once.
        let _ = self.handle.security.set(peer.security_level());
        let begin = ConnectionBegin { is_client: true, peer: &peer };
        let watched = self.control.stats().and_then(|handlers| handlers.begin_connection(&begin));
        self.open = Some(Open {
            http2: Connection::client(Arc::clone(&self.config), turn.now, seed, out),
            peer,
            link: Link { handle: turn.handle.clone(), note },
            calls: Slab::new(),
            bound: 0,
            waiting: VecDeque::new(),
            waiting_timer: LazyTimer::new(WAITING_SLOT),
            commands: VecDeque::new(),
            fields: HeaderList::new(),
            known: KnownResponse::default(),
            pool_limit: None,
            timer: LazyTimer::new(CONNECTION_SLOT),
            ready_timer: Some(turn.set_timer(self.connect_deadline, READY_SLOT)),
            rest_timer: RestTimer::new(REST_SLOT),
            idle_notice: None,
            _watched: watched,
        });
        for command in std::mem::take(&mut self.early) {
            self.handle_command(turn, out, command);
        }
    }

    fn handle_input(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, input: &[u8]) -> usize {
        if let Some(open) = &mut self.open
            && open.ready_timer.is_some()
            && input.starts_with(b"HTTP/1.")
        {
            // As a frame it would be one that is too long, which tells nobody what is wrong.
            let line = input.split(|octet| *octet == b'\r').next().unwrap_or_default();
            let line = line[..line.len().min(MAX_STATUS_LINE)].escape_ascii();
            open.http2.close(ErrorCode::PROTOCOL_ERROR, "HTTP/2 expected", out);
            self.report_lost(format!("the server speaks HTTP/1 where HTTP/2 is expected: \"{line}\""));
            return input.len();
        }
        let is_unheard = self.open.as_ref().is_some_and(|open| open.ready_timer.is_some());
        self.speaks_tls |= is_unheard && input.starts_with(&TLS_ALERT);
        let mut rest = input;
        loop {
            let Some(open) = &mut self.open else { return input.len() };
            let Some(event) = open.http2.handle_input(turn.now, &mut rest, out) else {
                return input.len() - rest.len();
            };
            self.handle_event(turn, out, event);
        }
    }

    fn handle_wake(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32) {
        if slot == INBOX_SLOT {
            self.handle_commands(turn, out);
        } else if let Some(open) = &mut self.open {
            if slot == WAITING_SLOT {
                return open.sweep(turn);
            }
            open.handle_call_wake(turn, out, slot as usize);
        }
    }

    fn handle_timer(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32) {
        let Some(open) = &mut self.open else { return };
        match slot {
            CONNECTION_SLOT => {
                open.timer.fired();
                open.http2.handle_timeout(turn.now, out);
            }
            READY_SLOT => {
                open.ready_timer = None;
                open.http2.close(ErrorCode::SETTINGS_TIMEOUT, "no SETTINGS before the connect deadline", out);
                self.report_lost("the server sent no SETTINGS before the connect deadline".to_owned());
            }
            REST_SLOT => open.rest(out),
            WAITING_SLOT => {
                open.waiting_timer.fired();
                open.sweep(turn);
            }
            _ => open.handle_deadline(turn, out, slot as usize, &self.address),
        }
    }

    fn finish_turn(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf) {
        while let Some(event) = self.open.as_mut().and_then(|open| open.http2.poll_event()) {
            self.handle_event(turn, out, event);
        }
        self.tell_pool();
        let Some(open) = &mut self.open else { return };
        open.http2.poll_output(turn.now, out);
        if let Some(next) = open.http2.poll_timeout() {
            open.timer.arm(turn, next);
        }
        if open.calls.capacity() > 0 {
            open.rest_timer.arm(turn, open.http2.stats().streams_opened);
        }
        match open.calls.len() == open.bound {
            true if self.handle.idle_since().is_none() => self.handle.activity.idle(turn.now),
            false => self.handle.activity.busy(),
            true => {}
        }
        if open.idle_notice.is_some() && open.calls.len() == open.bound && open.waiting.is_empty() {
            open.idle_notice = None;
        }
    }

    fn handle_flushed(&mut self) -> bool {
        self.open.as_mut().is_some_and(|open| {
            open.http2.handle_flushed();
            open.http2.has_output() || open.http2.is_closed()
        })
    }

    fn handle_eof(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf) {
        if let Some(open) = &mut self.open {
            open.http2.handle_eof(turn.now);
            open.mark_unsent(out);
            // A server that reads on must not get what will be sent again.
            out.clear();
        }
    }

    fn handle_closed(&mut self, turn: &mut Turn<'_>, out: &WriteBuf, reason: CloseReason) {
        let loss = self.loss(&reason);
        let (mut waiting, mut idle_notice) = (VecDeque::new(), None);
        if let Some(mut open) = self.open.take() {
            let status = Status::unavailable(format!("{}: {loss}", self.address));
            open.mark_unsent(out);
            open.end_all(turn, &status);
            (waiting, idle_notice) = (open.waiting, open.idle_notice);
            open.rest_timer.cancel(turn);
            for timer in [&mut open.timer, &mut open.waiting_timer] {
                timer.cancel(turn);
            }
            if let Some(timer) = open.ready_timer {
                turn.cancel_timer(timer);
            }
        }
        if self.handle.idle_since().is_none() {
            self.handle.activity.idle(turn.now);
        }
        self.report_lost(loss);
        waiting.into_iter().for_each(|call| self.control.take_back(call));
        let early = std::mem::take(&mut self.early);
        for command in early.into_iter().chain(self.handle.inbox.close()) {
            match command {
                Command::Open(call) => self.control.take_back(call),
                Command::TellIdle(notice) => idle_notice = Some(notice),
                Command::Pool(_) | Command::Drain | Command::Close(_) => {}
            }
        }
        // Only now that the calls are with the control plane.
        drop(idle_notice);
    }

    fn state(&self) -> SessionState {
        match &self.open {
            Some(open) if open.http2.is_closed() => SessionState::Finished,
            Some(open) if !open.http2.wants_input() => SessionState::WriteOnly,
            None if self.is_given_up => SessionState::Finished,
            _ => SessionState::Open,
        }
    }

    fn user_timeout(&self) -> Option<Duration> {
        self.config.keepalive.time.map(|_| self.config.keepalive.timeout)
    }

    #[cfg(test)]
    fn audit(&self) -> Option<crate::net::Audit> {
        let open = self.open.as_ref()?;
        let windows = open.http2.flow_control();
        Some(crate::net::Audit {
            calls: open.calls.len(),
            streams: open.http2.active_streams(),
            queued: open.http2.queued(),
            send_window: windows.send,
            receive_window: windows.receive,
        })
    }
}
