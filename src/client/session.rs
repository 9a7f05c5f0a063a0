//! One connection of a client: carries calls, and tells the control plane what becomes of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{
    Config, Connection, ConnectionError, Event, HeaderBlock, HeadersKind, Initiator, OpenError, StreamKey,
};
use slab::Slab;

use super::authorization;
use super::control::{Control, Hold, IdleNotice, Input};
use super::pending::{Body, PendingCall, Traffic};
use super::stream_pool::PooledConnection;
use super::subchannel::{ConnectionEvent, ConnectionId};
use crate::call::stats::{CallEvent, ConnectionBegin, MessageSize, WatchedConnection};
use crate::call::{Carrier, Chosen, CompressedMessage, EncodingId, Link, large_messages};
use crate::net::{
    Address, CloseReason, Inbox, LazyTimer, Note, Peer, RestTimer, SecurityLevel, Session, SessionState,
    TimerId, Turn, clock,
};
use crate::rpc::{
    Cardinality, ClientCall, HeadersOutcome, KnownResponse, Message, Metadata, PREFIX_LEN, Status, Violation,
    request_head,
};

/// The slot of the connection's own timer.
const CONNECTION_SLOT: u32 = u32::MAX;
/// The slot by which commands are announced.
const INBOX_SLOT: u32 = u32::MAX - 1;
/// The slot of the deadline for the peer's first SETTINGS.
const READY_SLOT: u32 = u32::MAX - 2;
/// Messages up to this size are copied into the output; larger ones are chained.
const CHAINED: usize = 8 * 1024;
/// The slot of the timer for giving memory back.
const REST_SLOT: u32 = u32::MAX - 3;
/// The slot of calls that wait for a free stream: they may have expired or been dropped.
const WAITING_SLOT: u32 = u32::MAX - 4;
/// How much of a status line of HTTP/1 goes into an error.
const MAX_STATUS_LINE: usize = 100;

/// How an alert of TLS 1.0 to 1.3 begins (RFC 8446 §5.1). As HTTP/2 it would be a frame larger than any allowed.
const TLS_ALERT: [u8; 2] = [21, 3];

/// What the channel asks of a connection.
#[derive(Debug)]
pub(super) enum Command {
    Open(PendingCall),
    /// The subchannel may have further connections from now on.
    Pool(Arc<PooledConnection>),
    /// Let go of this once there are no calls.
    TellIdle(Arc<IdleNotice>),
    /// No new calls; close when those under way are done.
    Drain,
    /// Close now; calls under way end with this status.
    Close(Status),
}

/// A connection as the channel knows it.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    pub(super) inbox: Inbox<Command>,
    activity: Activity,
    /// What it protects from, once it is there.
    security: OnceLock<SecurityLevel>,
}

/// Whether there are calls somewhere, readable from any thread: 0 while there are, else since when there are none.
#[derive(Debug)]
pub(super) struct Activity {
    epoch: Instant,
    idle_since: AtomicU64,
}

impl ConnectionHandle {
    pub(super) fn new(inbox: Inbox<Command>, now: Instant) -> Self {
        ConnectionHandle { inbox, activity: Activity::new(now), security: OnceLock::new() }
    }

    /// Sends a call, when its call credentials have said what to add, if it has any. Gives it back if the connection is
    /// closed, or gives it to the control plane if that is found out later.
    pub(super) fn open(
        self: &Arc<Self>,
        call: PendingCall,
        control: impl FnOnce() -> Option<Hold>,
    ) -> Result<(), PendingCall> {
        if call.credentials.is_some() {
            let (this, control) = (Arc::clone(self), control());
            authorization::authorize(self.inbox.handle(), self.security.get().copied(), call, move |call| {
                if let Err(call) = this.send(call) {
                    match control {
                        Some(control) => control.take_back(call),
                        None => call.fail(Status::cancelled("the channel is closed")),
                    }
                }
            });
            return Ok(());
        }
        self.send(call)
    }

    fn send(&self, call: PendingCall) -> Result<(), PendingCall> {
        match self.inbox.send(Command::Open(call)) {
            Err(Command::Open(call)) => Err(call),
            _ => Ok(()),
        }
    }

    /// Since when the connection has had no call; `None` while it has some.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.activity.idle_since()
    }
}

impl Activity {
    /// None so far.
    pub(super) fn new(now: Instant) -> Self {
        Activity { epoch: now, idle_since: AtomicU64::new(1) }
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.idle_since.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.epoch + Duration::from_nanos(nanos)),
        }
    }

    fn busy(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn idle(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        self.idle_since.store(nanos.max(1), Ordering::Relaxed);
    }
}

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

struct Open {
    http2: Connection,
    peer: Peer,
    link: Link,
    calls: Slab<ActiveCall>,
    /// How many of the calls are the channel's own.
    bound: usize,
    /// Calls beyond the peer's limit of concurrent streams.
    waiting: VecDeque<PendingCall>,
    /// The earliest deadline of those.
    waiting_timer: LazyTimer,
    commands: VecDeque<Command>,
    /// The fields of one request that differ from call to call.
    fields: HeaderList,
    known: KnownResponse,
    /// How many streams the pool believes there are, if there is one.
    pool_limit: Option<usize>,
    timer: LazyTimer,
    ready_timer: Option<TimerId>,
    /// For giving memory back.
    rest_timer: RestTimer,
    /// Held until there are no calls.
    idle_notice: Option<Arc<IdleNotice>>,
    /// Who wants to know of the connection.
    _watched: Option<WatchedConnection>,
}

/// A header block of a response.
struct Headers {
    list: Arc<HeaderList>,
    repeated: bool,
    end_stream: bool,
}

/// How a stream ended other than by the grammar of calls.
struct Reset {
    code: ErrorCode,
    by: Initiator,
    unprocessed: bool,
    /// The whole connection ended, for this reason.
    lost: Option<String>,
}

struct ActiveCall {
    key: StreamKey,
    call: PendingCall,
    grammar: ClientCall,
    deadline: Option<TimerId>,
    /// The response has begun, so that the call cannot be sent again.
    committed: bool,
    /// What compresses the response's messages.
    encoding: Chosen,
    traffic: Traffic,
}

impl ActiveCall {
    /// Reads what compresses the response.
    fn take_encoding(&mut self, head: &HeaderList) {
        let Some(name) = head.get(b"grpc-encoding") else { return };
        self.encoding = self.call.method.encodings().find_accepted(name);
        match self.encoding {
            Some(_) => self.grammar.accept_compressed(),
            None => self.grammar.refuse_encoding(name),
        }
    }

    fn deliver_compressed(
        &self,
        message: Message<'_>,
        encoding: EncodingId,
        octets: usize,
    ) -> Result<Option<usize>, Status> {
        let message = CompressedMessage {
            octets: message.payload.into_bytes(),
            encodings: Arc::clone(self.call.method.encodings()),
            encoding,
            limit: self.call.max_receive_message_size,
        };
        self.call.receiver.handle_compressed(message, octets)
    }
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
        let mut consumed = 0;
        loop {
            let Some(open) = &mut self.open else { return input.len() };
            let (count, event) = open.http2.handle_input(turn.now, &input[consumed..], out);
            consumed += count;
            let Some(event) = event else { return consumed };
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

    fn handle_eof(&mut self, turn: &mut Turn<'_>, _out: &mut WriteBuf) {
        if let Some(open) = &mut self.open {
            open.http2.handle_eof(turn.now);
        }
    }

    fn handle_closed(&mut self, turn: &mut Turn<'_>, reason: CloseReason) {
        let loss = self.loss(&reason);
        let (mut waiting, mut idle_notice) = (VecDeque::new(), None);
        if let Some(mut open) = self.open.take() {
            let status = Status::unavailable(format!("{}: {loss}", self.address));
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

impl Open {
    /// Opens a stream for the call. Gives the call back if this connection can take no more.
    fn open_call(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        mut call: PendingCall,
    ) -> Option<PendingCall> {
        let index = self.calls.vacant_key();
        let carrier = Carrier::Session(self.link_to(index as u32), Some(self.peer.clone()));
        if !call.receiver.attach(carrier) {
            call.fail(Status::cancelled("the call was dropped"));
            return None;
        }
        self.fields.clear();
        if let Some(deadline) = call.deadline {
            let Some(left) = deadline.checked_duration_since(turn.now).filter(|left| !left.is_zero()) else {
                call.fail(Status::deadline_exceeded("the deadline passed before the call was sent"));
                return None;
            };
            request_head::push_timeout(left, &mut self.fields);
        }
        let picked = call.picked_authority().map(|authority| call.method.with_authority(authority));
        let method = picked.as_ref().unwrap_or(&call.method);
        if let Some(authority) = method.own_authority() {
            let vouched = self.peer.vouch_for(authority).map_err(Status::unavailable);
            if let Err(status) = authorization::check_authority(authority).and(vouched) {
                call.fail(status);
                return None;
            }
        }
        if let Some(added) = &call.added {
            if call.required_security > self.peer.security_level() {
                let status = authorization::insecure(call.required_security, self.peer.security_level());
                call.fail(status);
                return None;
            }
            added.write_to(&mut self.fields);
        }
        if let Some(id) = call.encoding {
            request_head::push_encoding(call.method.encodings().name(id), &mut self.fields);
        }
        call.metadata.write_to(&mut self.fields);
        if let Some(metadata) = call.picked_metadata() {
            metadata.write_to(&mut self.fields);
        }
        let head = method.head(call.subtype);
        let fields = Some(&self.fields).filter(|fields| !fields.is_empty());
        let block = HeaderBlock { template: Some(&head), fields };
        let key = match self.http2.open(turn.now, block, false, out) {
            Ok(key) => key,
            Err(OpenError::StreamLimit) => {
                self.wait(turn, call);
                return None;
            }
            Err(OpenError::HeaderListTooLarge { size, limit }) => {
                call.fail(Status::internal(format!(
                    "header list size to send violates the maximum size ({limit} bytes) set by server: {size} bytes"
                )));
                return None;
            }
            Err(OpenError::Draining | OpenError::Closed | OpenError::IdsExhausted | OpenError::NotClient) => {
                return Some(call);
            }
        };
        self.http2.set_token(key, index as u32);
        call.tell_head_sent(&self.peer);
        let sent = match &call.body {
            Body::Message(message, _) => {
                let in_place = message.len() <= CHAINED
                    && self.http2.send_data_in_place(key, message.len(), true, out, &mut |out| {
                        out.extend_from_slice(message);
                    });
                if !in_place {
                    // An error means that the stream is gone, of which there is an event.
                    let _ = self.http2.send_data(key, message.clone(), true, out);
                }
                message.len() as u64
            }
            Body::Stream(outbound) => {
                outbound.attach(self.link_to(index as u32).into());
                outbound.pump(&mut self.http2, key, true, out).octets
            }
        };
        call.tell_messages_sent();
        let grammar = ClientCall::new(call.responses, call.max_receive_message_size);
        let deadline = call.deadline.map(|deadline| turn.set_timer(deadline, index as u32));
        self.bound += usize::from(call.is_bound);
        let traffic = Traffic { sent, received: 0 };
        self.calls.insert(ActiveCall {
            key,
            call,
            grammar,
            deadline,
            committed: false,
            encoding: None,
            traffic,
        });
        None
    }

    /// Keeps a call until a stream is free, its deadline passes or its caller drops it.
    fn wait(&mut self, turn: &mut Turn<'_>, call: PendingCall) {
        // The user may have dropped the call before it could tell this session.
        if !call.receiver.attach(self.link_to(WAITING_SLOT).into()) {
            return call.fail(Status::cancelled("the call was dropped"));
        }
        self.expect_deadline(turn, call.deadline);
        self.waiting.push_back(call);
    }

    fn expect_deadline(&mut self, turn: &mut Turn<'_>, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.waiting_timer.arm(turn, deadline);
        }
    }

    /// Ends calls that wait for a free stream and whose time is over or whose caller is gone.
    fn sweep(&mut self, turn: &mut Turn<'_>) {
        for call in std::mem::take(&mut self.waiting) {
            if call.receiver.is_abandoned() {
                call.fail(Status::cancelled("the call was dropped"));
            } else if call.has_expired(turn.now) {
                call.fail(Status::deadline_exceeded(
                    "the deadline passed while the server ran as many calls as it allows at once",
                ));
            } else {
                self.waiting.push_back(call);
            }
        }
        let next = self.waiting.iter().filter_map(|call| call.deadline).min();
        self.expect_deadline(turn, next);
    }

    fn link_to(&self, slot: u32) -> Link {
        let note = Note { token: self.link.note.token, slot };
        Link { handle: self.link.handle.clone(), note }
    }

    fn is_current(&self, token: u32, stream: StreamKey) -> bool {
        self.calls.get(token as usize).is_some_and(|active| active.key == stream)
    }

    fn handle_headers(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: usize, headers: Headers) {
        let Headers { list, repeated, end_stream } = headers;
        let active = &mut self.calls[index];
        if !std::mem::replace(&mut active.committed, true)
            && let Body::Stream(outbound) = &active.call.body
        {
            outbound.forget();
        }
        let outcome = match repeated {
            true => active.grammar.handle_repeated_headers(&list, end_stream, &mut self.known),
            false => active.grammar.handle_headers(&list, end_stream),
        };
        match outcome {
            Ok(HeadersOutcome::Nothing) => {}
            Ok(HeadersOutcome::Initial { has_encoding }) => {
                if has_encoding {
                    active.take_encoding(&list);
                }
                let metadata = Metadata::received(list);
                active.call.tell_head_arrived(&metadata, active.encoding, &self.peer);
                active.call.receiver.handle_headers(metadata);
            }
            Ok(HeadersOutcome::Closed { result, .. }) => {
                let result = result.map(|()| Metadata::received(list));
                let metadata = result.as_ref().unwrap_or_else(|status| status.metadata());
                active.call.tell(&CallEvent::InTrailer { metadata });
                self.end_call(turn, index, result);
            }
            Err(violation) => self.violate(turn, out, index, violation),
        }
    }

    fn handle_data(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: usize,
        payload: &[u8],
        end_stream: bool,
    ) {
        let mut rest = payload;
        let active = &mut self.calls[index];
        active.traffic.received += payload.len() as u64;
        loop {
            match active.grammar.handle_data(&mut rest) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    large_messages::remember(turn, &message.payload);
                    let compressed_length = message.payload.len();
                    let octets = compressed_length + PREFIX_LEN;
                    let delivered = match active.encoding.filter(|_| message.compressed) {
                        None => {
                            let receiver = &active.call.receiver;
                            receiver.handle_message(message.payload, octets).map(|()| Some(compressed_length))
                        }
                        Some(encoding) => active.deliver_compressed(message, encoding, octets),
                    };
                    match delivered {
                        Ok(length) => {
                            let size = MessageSize::new(length, compressed_length);
                            active.call.tell(&CallEvent::InPayload { size });
                        }
                        Err(status) => {
                            let code = ErrorCode::CANCEL;
                            return self.violate(turn, out, index, Violation { status, code });
                        }
                    }
                }
                Err(violation) => return self.violate(turn, out, index, violation),
            }
        }
        if end_stream {
            let status = active.grammar.handle_end();
            return self.end_call(turn, index, Err(status));
        }
        let (key, expected) = (active.key, active.grammar.expected());
        if expected > 0 {
            large_messages::lend(turn, active.grammar.deframer());
            match active.call.responses {
                // One message is bounded by its limit, so what arrived of it can be credited at once. When it is
                // whole, nothing more comes that needs credit.
                Cardinality::One => self.http2.release(key, payload.len(), out),
                Cardinality::Many => self.http2.expect(key, expected, out),
            }
        }
    }

    /// The stream is gone. Gives the call back if it may be sent again.
    fn handle_reset(&mut self, turn: &mut Turn<'_>, index: usize, reset: Reset) -> Option<PendingCall> {
        let active = &mut self.calls[index];
        let again = reset.unprocessed
            && !active.committed
            && !active.call.refused_before
            && active.call.body.can_be_sent_again();
        if again {
            let mut active = self.calls.remove(index);
            self.bound -= usize::from(active.call.is_bound);
            if let Some(timer) = active.deadline {
                turn.cancel_timer(timer);
            }
            active.call.begin_again();
            return Some(active.call);
        }
        let rule = match reset.by {
            Initiator::Remote => None,
            Initiator::Library(rule) => Some(rule),
        };
        // The turn may have begun before the deadline and read the reset that the server sent behind it.
        let late = active.call.has_expired(clock::now());
        let status = match reset.lost {
            Some(loss) if !late => Status::unavailable(loss),
            _ => active.grammar.handle_reset(reset.code, rule, late),
        };
        self.end_call(turn, index, Err(status));
        None
    }

    fn handle_deadline(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: usize, server: &Address) {
        let Some(active) = self.calls.get_mut(index) else { return };
        active.deadline = None;
        let key = active.key;
        let progress = match active.committed {
            true => "whose response had begun",
            false => "which had not answered",
        };
        let status = format!("the deadline passed while the call was with {server}, {progress}");
        self.end_call(turn, index, Err(Status::deadline_exceeded(status)));
        self.http2.reset(key, ErrorCode::CANCEL, out);
    }

    /// The user's side of a call has something: messages, octets consumed, or the wish to end it.
    fn handle_call_wake(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: usize) {
        let Some(active) = self.calls.get(index) else { return };
        if active.call.receiver.is_abandoned() {
            let key = active.key;
            self.end_call(turn, index, Err(Status::cancelled("the call was dropped")));
            self.http2.reset(key, ErrorCode::CANCEL, out);
            return;
        }
        self.move_streams(out, index);
    }

    fn move_streams(&mut self, out: &mut WriteBuf, index: usize) {
        let Some(active) = self.calls.get_mut(index) else { return };
        if let Body::Stream(outbound) = &active.call.body {
            active.traffic.sent += outbound.pump(&mut self.http2, active.key, true, out).octets;
            active.call.tell_messages_sent();
        }
        let consumed = active.call.receiver.take_consumed();
        if consumed > 0 {
            self.http2.release(active.key, consumed, out);
        }
    }

    fn violate(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: usize, violation: Violation) {
        let key = self.calls[index].key;
        self.end_call(turn, index, Err(violation.status));
        self.http2.reset(key, violation.code, out);
    }

    fn end_call(&mut self, turn: &mut Turn<'_>, index: usize, result: Result<Metadata, Status>) {
        let active = self.calls.remove(index);
        self.bound -= usize::from(active.call.is_bound);
        if let Some(timer) = active.deadline {
            turn.cancel_timer(timer);
        }
        active.call.end_after(result, active.traffic);
    }

    fn end_all(&mut self, turn: &mut Turn<'_>, status: &Status) {
        for index in 0..self.calls.capacity() {
            if self.calls.contains(index) {
                self.end_call(turn, index, Err(status.clone()));
            }
        }
    }

    /// After a while without calls a connection gives back the memory that calls needed.
    fn rest(&mut self, out: &mut WriteBuf) {
        if self.rest_timer.fired(self.http2.stats().streams_opened) && self.calls.is_empty() {
            self.http2.shrink();
            out.shrink();
            self.calls = Slab::new();
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
            }
            self.commands = VecDeque::new();
            self.known = KnownResponse::default();
        }
    }
}
