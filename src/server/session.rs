//! One connection of a server: makes calls of HTTP/2 events and runs their handlers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{Connection, Event, HeaderBlock, HeadersKind, Initiator, StreamKey};

use super::calls::{Call, Calls, Head};
use super::invocation::{CallCompression, Invocation, Start, Started};
use super::responder::Responder;
use super::shared::Shared;
use super::shutdown::Phase;
use super::stats::Counted;
use super::watch::Watched;
use crate::call::stats::{ConnectionBegin, WatchedConnection};
use crate::call::{CallContext, CompressedMessage, Link, MethodKind, large_messages};
use crate::net::{
    CloseReason, LazyTimer, Note, Peer, PeerAddress, RestTimer, Security, Session, SessionFactory,
    SessionState, Turn,
};
use crate::rpc::compression::IDENTITY;
use crate::rpc::{
    Cardinality, Message, Metadata, PREFIX_LEN, Payload, Quoted, Rejection, RequestHead, Status,
};

/// The slot of the connection's own timer.
const CONNECTION_SLOT: u32 = u32::MAX;
/// The slot by which the server tells its sessions that it stops.
const SERVER_SLOT: u32 = u32::MAX - 1;
/// The slot of the timer for giving memory back.
const REST_SLOT: u32 = u32::MAX - 2;
/// How long after its deadline a call is reset. The client ends it by a timer of its own, with DEADLINE_EXCEEDED; a
/// reset that overtook that timer would tell some clients CANCELLED instead.
const DEADLINE_SLACK: Duration = Duration::from_millis(10);
/// Header lists whose route is remembered. Clients send few distinct ones that repeat to the octet.
const CACHED_ROUTES: usize = 16;
/// Calls at once whose memory, once freed, the system should have back.
const MANY: usize = 64;
/// Runs kept for the next calls, besides one in the place of each call.
const KEPT: usize = 64;

/// Makes the sessions of a listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    shared: Arc<Shared>,
}

impl Acceptor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.sessions.listen();
        Acceptor { shared }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.sessions.unlisten();
    }
}

impl SessionFactory for Acceptor {
    fn accept(&self, peer: &PeerAddress) -> Option<(Box<dyn Session>, Security)> {
        let security = self.shared.credentials.secure(peer).ok();
        let id =
            security.as_ref().and_then(|_| self.shared.sessions.admit(self.shared.options.max_connections));
        self.shared.counters.count(|stats| match id {
            Some(_) => stats.connections_accepted += 1,
            None => stats.connections_refused += 1,
        });
        Some((Box::new(ServerSession::new(Arc::clone(&self.shared), id?)), security?))
    }

    fn handle_accept_error(&self, _error: &io::Error) {
        self.shared.counters.count(|stats| stats.accepts_failed += 1);
    }
}

/// The glue of one accepted connection.
pub(super) struct ServerSession {
    shared: Arc<Shared>,
    id: u64,
    /// Made when the connection is secured.
    open: Option<Open>,
    /// The server was stopped before that.
    ended: bool,
}

struct Open {
    shared: Arc<Shared>,
    http2: Connection,
    peer: Peer,
    /// Where the call that starts is reached; its slot changes from call to call.
    link: Link,
    calls: Calls,
    routes: Vec<KnownRoute>,
    next_route: usize,
    idle_runs: Vec<(u32, Box<dyn Invocation>)>,
    timer: LazyTimer,
    /// For giving memory back.
    rest_timer: RestTimer,
    /// What the server's statistics have of this connection already.
    counted: Counted,
    /// Who wants to know of the connection.
    _watched: Option<WatchedConnection>,
}

/// The head of a request, as it arrives.
struct Request {
    key: StreamKey,
    headers: Arc<HeaderList>,
    /// The same list came before.
    repeated: bool,
    end_stream: bool,
}

/// A list of headers that comes again and again.
struct KnownRoute {
    headers: Arc<HeaderList>,
    says: HeadSays,
}

/// What the head of a request says.
#[derive(Clone, Copy)]
struct HeadSays {
    route: u32,
    kind: MethodKind,
    timeout: Option<Duration>,
    compression: CallCompression,
}

impl Call {
    #[inline]
    fn responder<'a>(
        &'a mut self,
        http2: &'a mut Connection,
        shared: &'a Shared,
        out: &'a mut WriteBuf,
    ) -> Responder<'a> {
        Responder {
            http2,
            out,
            shared,
            key: self.key,
            route: self.route,
            compression: self.compression,
            ended: None,
            watched: &mut self.watched,
        }
    }
}

impl ServerSession {
    fn new(shared: Arc<Shared>, id: u64) -> Self {
        ServerSession { shared, id, open: None, ended: false }
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        self.open = None;
        self.shared.sessions.remove(self.id);
    }
}

impl Session for ServerSession {
    fn handle_start(&mut self, turn: &mut Turn<'_>) {
        self.ended = self.shared.sessions.open(self.id, server_link(turn)) != Phase::Serving;
    }

    fn handle_open(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, peer: Peer) {
        let link = server_link(turn);
        let phase = self.shared.sessions.phase();
        let seed = self.shared.seed.wrapping_add(self.id);
        let http2 = Connection::server(Arc::clone(&self.shared.http2), turn.now, seed, out);
        let begin = ConnectionBegin { is_client: false, peer: &peer };
        let watched = self.shared.stats.as_ref().and_then(|handlers| handlers.begin_connection(&begin));
        let mut open = Open {
            shared: Arc::clone(&self.shared),
            http2,
            peer,
            link,
            calls: Calls::default(),
            routes: Vec::new(),
            next_route: 0,
            idle_runs: Vec::new(),
            timer: LazyTimer::new(CONNECTION_SLOT),
            rest_timer: RestTimer::new(REST_SLOT),
            counted: Counted::default(),
            _watched: watched,
        };
        open.enter_phase(turn, out, phase);
        self.open = Some(open);
    }

    fn handle_input(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, input: &[u8]) -> usize {
        let Some(open) = &mut self.open else { return input.len() };
        let mut rest = input;
        loop {
            match open.http2.handle_input(turn.now, &mut rest, out) {
                Some(Event::Headers {
                    stream,
                    kind: HeadersKind::Request,
                    headers,
                    repeated,
                    end_stream,
                    ..
                }) => {
                    let request = Request { key: stream, headers, repeated, end_stream };
                    open.begin_call(turn, out, request, &mut rest);
                }
                Some(Event::Data { stream, token, payload, end_stream }) => {
                    open.handle_data(turn, out, stream, token, payload, end_stream);
                }
                Some(event) => open.handle_event(turn, out, event),
                None => break,
            }
            if !open.http2.wants_input() {
                break;
            }
        }
        input.len() - rest.len()
    }

    fn handle_wake(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32) {
        let Some(open) = &mut self.open else {
            self.ended |= slot == SERVER_SLOT;
            return;
        };
        if slot == SERVER_SLOT {
            let phase = open.shared.sessions.phase();
            open.enter_phase(turn, out, phase);
        } else {
            open.poll_call(turn, out, slot);
        }
    }

    fn handle_timer(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, slot: u32) {
        let Some(open) = &mut self.open else { return };
        if slot == CONNECTION_SLOT {
            open.timer.fired();
            open.http2.handle_timeout(turn.now, out);
        } else if slot == REST_SLOT {
            open.rest(out);
        } else if let Some(call) = open.calls.get_mut(slot) {
            call.timer = None;
            let key = call.key;
            open.cancel_call(turn, slot, Status::deadline_exceeded("the deadline of the call has passed"));
            open.http2.reset(key, ErrorCode::CANCEL, out);
        }
    }

    fn finish_turn(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf) {
        let Some(open) = &mut self.open else { return };
        while let Some(event) = open.http2.poll_event() {
            open.handle_event(turn, out, event);
        }
        open.http2.poll_output(turn.now, out);
        if let Some(next) = open.http2.poll_timeout() {
            open.timer.arm(turn, next);
        }
        if open.calls.has_memory() {
            open.rest_timer.arm(turn, open.http2.stats().streams_opened);
        }
    }

    fn calls_begun(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.http2.stats().streams_opened)
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

    fn handle_closed(&mut self, turn: &mut Turn<'_>, _out: &WriteBuf, reason: CloseReason) {
        if let Some(mut open) = self.open.take() {
            open.count();
            let rule = open.http2.close_reason().map_or(lost(&reason), |reason| reason.rule);
            self.shared.counters.count(|stats| *stats.connections_ended.entry(rule).or_default() += 1);
            for index in open.calls.indices() {
                open.cancel_call(turn, index, connection_lost());
            }
            open.free_calls();
            open.timer.cancel(turn);
            open.rest_timer.cancel(turn);
        } else if matches!(reason, CloseReason::ConnectFailed(_)) {
            let ended = "the handshake failed";
            self.shared.counters.count(|stats| *stats.connections_ended.entry(ended).or_default() += 1);
        }
    }

    fn state(&self) -> SessionState {
        match &self.open {
            Some(open) if open.http2.is_closed() => SessionState::Finished,
            Some(open) if !open.http2.wants_input() => SessionState::WriteOnly,
            None if self.ended => SessionState::Finished,
            _ => SessionState::Open,
        }
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
    fn handle_event(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, event: Event<'_>) {
        match event {
            Event::Headers { stream, token, end_stream, .. } => {
                if end_stream && self.is_current(token, stream) {
                    self.handle_end_stream(turn, out, token);
                }
            }
            Event::Reset { stream, token, code, by, .. } => {
                if let Some(call) = self.calls.get_mut(token).filter(|call| call.key == stream) {
                    let rule = match by {
                        Initiator::Remote => None,
                        Initiator::Library(rule) => Some(rule),
                    };
                    let closed =
                        self.http2.close_reason().is_some_and(|reason| reason.by == Initiator::Remote);
                    let status = match closed {
                        true => connection_lost(),
                        false => call.grammar.handle_reset(code, rule, false),
                    };
                    self.cancel_call(turn, token, status);
                }
            }
            Event::Writable { stream, token } => {
                if self.is_current(token, stream) {
                    self.move_streams(turn, out, token);
                }
            }
            // Input alone brings it.
            Event::Data { .. } => {}
            Event::Ready | Event::GoAway { .. } | Event::StreamsAvailable | Event::Closed => {}
        }
    }

    fn is_current(&mut self, token: u32, stream: StreamKey) -> bool {
        self.calls.get_mut(token).is_some_and(|call| call.key == stream)
    }

    /// A request has begun, and `rest` follows its head in the input; what it takes of that is cut off.
    fn begin_call(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, request: Request, rest: &mut &[u8]) {
        let Request { key, headers, repeated, end_stream } = request;
        let known = self.routes.iter().find(|known| Arc::ptr_eq(&known.headers, &headers));
        let HeadSays { route, kind, timeout, compression } = match known {
            Some(known) => known.says,
            None => match self.find_route(&headers, repeated) {
                Ok(found) => found,
                Err(rejection) => {
                    return self.reject(out, key, rejection, &headers);
                }
            },
        };
        let streaming = kind.has_streaming_request();
        let requests = if streaming { Cardinality::Many } else { Cardinality::One };
        let deadline = timeout.and_then(|timeout| turn.now.checked_add(timeout));
        let watched = self.shared.stats.as_ref().and_then(|handlers| {
            let compression = compression.request.map(|id| self.shared.encodings.name(id));
            Watched::begin(handlers, &headers, kind, compression, &self.peer)
        });
        let head = Head { key, route, requests, compression, headers, deadline, watched };
        let index = self.calls.begin(head, self.shared.options.max_receive_message_size);
        if streaming {
            let none = Message { compressed: false, payload: Payload::Borrowed(&[]) };
            self.start_run(turn, out, index, none);
        } else if let Some(content) = self.http2.take_content(key, rest, out) {
            // What most requests are: all of it is here.
            return self.handle_one(turn, out, index, content, true);
        } else {
            self.await_events(turn, index);
        }
        if end_stream && self.is_current(index, key) {
            self.handle_end_stream(turn, out, index);
        }
    }

    /// A call goes on when something comes: events find it, and its deadline.
    fn await_events(&mut self, turn: &mut Turn<'_>, index: u32) {
        let Some(call) = self.calls.get_mut(index) else { return };
        self.http2.set_token(call.key, index);
        if let Some(deadline) = call.deadline
            && call.timer.is_none()
        {
            call.timer = Some(turn.set_timer(deadline + DEADLINE_SLACK, index));
        }
    }

    /// Answers a request that is no call.
    #[cold]
    fn reject(
        &mut self,
        out: &mut WriteBuf,
        key: StreamKey,
        rejection: Rejection,
        headers: &Arc<HeaderList>,
    ) {
        self.shared.counters.count(|stats| stats.requests_rejected += 1);
        if let Some(handlers) = &self.shared.stats
            && let Ok(head) = RequestHead::parse(headers)
        {
            let compression = head.encoding.and_then(|name| std::str::from_utf8(name).ok());
            let watched =
                Watched::begin(handlers, headers, MethodKind::BidiStreaming, compression, &self.peer);
            if let Some(watched) = watched {
                watched.tell_trailers_sent(Err(&rejection.status));
            }
        }
        let mut fields = HeaderList::new();
        rejection.write_to(&mut fields);
        let head = HeaderBlock::from(&fields);
        let sent = match rejection.text {
            None => self.http2.send_headers(key, head, true, out),
            Some(text) => {
                self.http2.linger(key);
                let sent = self.http2.send_headers(key, head, false, out);
                sent.and_then(|()| self.http2.send_data(key, text.into(), true, out))
            }
        };
        if sent.is_err() {
            // The answer is larger than the client takes. If the stream is gone instead, there is nothing to reset.
            self.http2.reset(key, ErrorCode::INTERNAL_ERROR, out);
        }
    }

    /// Reads the head of a request and finds its handler.
    fn find_route(&mut self, headers: &Arc<HeaderList>, repeated: bool) -> Result<HeadSays, Rejection> {
        let head = RequestHead::parse(headers)?;
        let compression = self.compression(&head)?;
        let Some(route) = self.shared.router.find(head.path) else {
            let has_service = self.shared.router.has_service(head.service());
            let (service, method) = (Quoted(head.service().as_bytes()), Quoted(head.method().as_bytes()));
            return Err(Rejection::from(match has_service {
                true => Status::unimplemented(format!("unknown method {method} for service {service}")),
                false => Status::unimplemented(format!("unknown service {service}")),
            }));
        };
        let kind = self.shared.router.route(route).handler.kind();
        let says = HeadSays { route, kind, timeout: head.timeout, compression };
        // A list that came again will do so once more.
        if repeated {
            let known = KnownRoute { headers: Arc::clone(headers), says };
            match self.routes.get_mut(self.next_route) {
                Some(place) => *place = known,
                None => {
                    if self.routes.capacity() == 0 {
                        // Many connections see one method.
                        self.routes.reserve_exact(1);
                    }
                    self.routes.push(known);
                }
            }
            self.next_route = (self.next_route + 1) % CACHED_ROUTES;
        }
        Ok(says)
    }

    /// What the head of a request says of compression.
    fn compression(&self, head: &RequestHead<'_>) -> Result<CallCompression, Rejection> {
        let encodings = &self.shared.encodings;
        let request = match head.encoding {
            None => None,
            Some(name) => {
                let supported = encodings.accepted();
                head.check_encoding(if supported.is_empty() { IDENTITY } else { supported })?;
                encodings.find_accepted(name)
            }
        };
        let accepted = encodings.accepted_by(head.accept_encoding);
        let response = match encodings.default() {
            None => request,
            Some(chosen) => chosen.filter(|id| accepted.contains(*id)),
        };
        Ok(CallCompression { request, accepted, response })
    }

    fn handle_data(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        key: StreamKey,
        index: u32,
        payload: &[u8],
        end_stream: bool,
    ) {
        let Some(call) = self.calls.get_mut(index).filter(|call| call.key == key) else { return };
        let Some(inbound) = &call.inbound else {
            return self.handle_one(turn, out, index, payload, end_stream);
        };
        let mut rest = payload;
        loop {
            let delivered = match call.grammar.handle_data(&mut rest) {
                Ok(Some(message)) => {
                    large_messages::remember(turn, &message.payload);
                    let compressed_length = message.payload.len();
                    let octets = compressed_length + PREFIX_LEN;
                    if let Some(watched) = &mut call.watched {
                        let length = (!message.compressed).then_some(compressed_length);
                        watched.tell_message_arrived(length, compressed_length);
                    }
                    match call.compression.request.filter(|_| message.compressed) {
                        None => inbound.handle_message(message.payload, octets),
                        Some(encoding) => {
                            let message = CompressedMessage {
                                octets: message.payload.into_bytes(),
                                encodings: Arc::clone(&self.shared.encodings),
                                encoding,
                                limit: self.shared.options.max_receive_message_size,
                            };
                            inbound.handle_compressed(message, octets).map(drop)
                        }
                    }
                }
                Ok(None) => break,
                Err(status) => Err(status),
            };
            if let Err(status) = delivered {
                return self.fail_call(turn, out, index, &status);
            }
        }
        if end_stream {
            return self.handle_end_stream(turn, out, index);
        }
        if inbound.is_abandoned() {
            self.http2.release(call.key, inbound.take_consumed(), out);
        }
        let expected = call.grammar.expected();
        if expected > 0 {
            large_messages::lend(turn, call.grammar.deframer());
            self.http2.expect(call.key, expected, out);
        }
    }

    fn handle_end_stream(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: u32) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let Some(inbound) = &call.inbound else {
            return self.handle_one(turn, out, index, &[], true);
        };
        match call.grammar.handle_end() {
            Ok(()) => inbound.handle_end(Ok(Metadata::new())),
            Err(status) => self.fail_call(turn, out, index, &status),
        }
    }

    /// Content has come of a request that is one message.
    #[inline(always)]
    fn handle_one(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: u32,
        payload: &[u8],
        end_stream: bool,
    ) {
        let Some(call) = self.calls.get_mut(index) else { return };
        match call.grammar.take_only(payload, end_stream) {
            // The handler starts on the octets where they were read.
            Some(only) => {
                let message = Message { compressed: false, payload: Payload::Borrowed(only) };
                self.start_run(turn, out, index, message);
            }
            None => self.handle_piece(turn, out, index, payload, end_stream),
        }
    }

    /// [`handle_one`](Self::handle_one) for a piece of the message, one that was compressed, or what is no message.
    fn handle_piece(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: u32,
        payload: &[u8],
        end_stream: bool,
    ) {
        let Some(call) = self.calls.get_mut(index) else { return };
        match call.grammar.handle_one(payload, end_stream) {
            // The whole request is here.
            Ok(Some(message)) => {
                large_messages::remember(turn, &message.payload);
                self.start_run(turn, out, index, message);
            }
            // One message is bounded by its limit, so what arrived of it can be credited at once. Or the request was
            // complete before, and its handler runs.
            Ok(None) => {
                large_messages::lend(turn, call.grammar.deframer());
                self.http2.release(call.key, payload.len(), out);
            }
            Err(status) => self.fail_call(turn, out, index, &status),
        }
    }

    /// Starts the handler, which polls it once.
    fn start_run(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: u32, message: Message<'_>) {
        self.link.note.slot = index;
        let Some(place) = self.calls.place(index) else { return };
        let call = &mut place.call;
        let Some(headers) = call.headers.take() else { return };
        let was_compressed = message.compressed;
        let mut payload = message.payload;
        let compressed_length = payload.len();
        if was_compressed {
            payload = match self.shared.decompress(call.compression.request, &payload) {
                Ok(payload) => payload,
                Err(status) => return self.fail_call(turn, out, index, &status),
            };
        }
        if let Some(watched) = &mut call.watched
            && !self.shared.router.route(call.route).handler.kind().has_streaming_request()
        {
            watched.tell_message_arrived(Some(payload.len()), compressed_length);
        }
        let (route, deadline) = (call.route, call.deadline);
        let received = place.receive(&self.peer, &self.shared.encodings, deadline);
        let call = &mut place.call;
        let mut run = match place.idle_run.take_if(|(id, _)| *id == route) {
            Some((_, run)) => run,
            None => idle_run(&mut self.idle_runs, route)
                .unwrap_or_else(|| self.shared.router.route(route).handler.invocation()),
        };
        let start = Start {
            context: CallContext { metadata: Metadata::received(headers), received, was_compressed },
            message: payload,
            link: &self.link,
            shared: &self.shared,
            compression: call.compression,
        };
        let waker = place.waker.get_or_insert_with(|| waker(&self.link));
        let mut cx = Context::from_waker(waker);
        let mut started = Started::default();
        let mut responder = call.responder(&mut self.http2, &self.shared, out);
        let polled =
            catch_unwind(AssertUnwindSafe(|| run.start(start, &mut started, &mut cx, &mut responder)));
        let polled = polled.unwrap_or_else(|_| Err(panicked()));
        let ended = responder.ended.take();
        if let (Ok(Poll::Ready(())), None) = (&polled, &ended)
            && let Started { inbound: None, outbound: None } = started
        {
            // What most calls are: done at once, and nobody has to be told.
            if let Some(other) = place.idle_run.replace((route, run)) {
                keep(&mut self.idle_runs, other);
            }
            if let Some(timer) = call.timer {
                turn.cancel_timer(timer);
            }
            return self.calls.end(index);
        }
        (call.inbound, call.outbound) = (started.inbound, started.outbound);
        if let (Some(outbound), Some(_)) = (&call.outbound, &call.watched) {
            outbound.note_sizes();
        }
        match polled {
            Ok(poll) => {
                if poll.is_pending() || ended.is_some() {
                    self.await_events(turn, index);
                }
                self.handle_polled(turn, out, index, run, poll, ended);
            }
            Err(status) => self.fail_call(turn, out, index, &status),
        }
    }

    /// Polls the handler of a call, if it still runs, and moves what its streams hold.
    fn poll_call(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: u32) {
        let Some(place) = self.calls.place(index) else { return };
        let call = &mut place.call;
        let (Some(mut run), Some(waker)) = (call.run.take(), &place.waker) else {
            return self.move_streams(turn, out, index);
        };
        let mut cx = Context::from_waker(waker);
        let mut responder = call.responder(&mut self.http2, &self.shared, out);
        let polled = catch_unwind(AssertUnwindSafe(|| run.poll(&mut cx, &mut responder)));
        let ended = responder.ended.take();
        match polled {
            Ok(poll) => self.handle_polled(turn, out, index, run, poll, ended),
            Err(_) => self.fail_call(turn, out, index, &panicked()),
        }
    }

    /// A handler was polled. If it is done, `ended` is how its response ended, if that is a stream.
    fn handle_polled(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: u32,
        run: Box<dyn Invocation>,
        poll: Poll<()>,
        ended: Option<Result<(), Status>>,
    ) {
        let Some(place) = self.calls.place(index) else { return };
        let call = &mut place.call;
        match poll {
            Poll::Pending => {
                call.run = Some(run);
                self.move_streams(turn, out, index);
            }
            Poll::Ready(()) => {
                if let Some(other) = place.idle_run.replace((call.route, run)) {
                    keep(&mut self.idle_runs, other);
                }
                match ended {
                    // A streaming response: its trailers follow its messages.
                    Some(result) => {
                        call.ended = Some(result);
                        self.move_streams(turn, out, index);
                    }
                    None => self.end_call(turn, index),
                }
            }
        }
    }

    /// Moves messages between the handler's streams and the connection, and ends the call when all is sent.
    fn move_streams(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: u32) {
        let Some(call) = self.calls.get_mut(index) else { return };
        if let Some(inbound) = &call.inbound {
            let consumed = inbound.take_consumed();
            if consumed > 0 {
                self.http2.release(call.key, consumed, out);
            }
        }
        let Some(outbound) = call.outbound.clone() else { return };
        let mut responder = call.responder(&mut self.http2, &self.shared, out);
        if let Some(headers) = outbound.take_headers()
            && !responder.send_head(&headers, outbound.encoding())
        {
            let status = Status::internal("the response headers are larger than the client accepts");
            return self.cancel_call(turn, index, status);
        }
        let is_drained = outbound.pump(responder.http2, responder.key, false, responder.out).is_drained;
        if let Some(watched) = responder.watched {
            outbound.take_sizes().into_iter().for_each(|size| watched.tell_message_sent(size));
        }
        if !is_drained {
            return;
        }
        let Some(result) = call.ended.take() else { return };
        let mut responder = call.responder(&mut self.http2, &self.shared, out);
        let result = outbound.outcome(result);
        match (outbound.headers_sent(), &result) {
            (false, Err(status)) => responder.fail(status),
            (false, Ok(_)) => {
                responder.send_head(&Metadata::new(), None);
                responder.send_trailers(result.as_ref());
            }
            (true, _) => responder.send_trailers(result.as_ref()),
        }
        self.end_call(turn, index);
    }

    /// Ends a call by an error of the library: whatever its handler does is dropped.
    fn fail_call(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: u32, status: &Status) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let headers_sent = call.outbound.as_ref().is_some_and(|outbound| outbound.headers_sent());
        let mut responder = call.responder(&mut self.http2, &self.shared, out);
        match headers_sent {
            true => responder.send_trailers(Err(status)),
            false => responder.fail(status),
        }
        self.cancel_call(turn, index, status.clone());
    }

    /// Drops a call's handler and tells whoever holds its streams why.
    fn cancel_call(&mut self, turn: &mut Turn<'_>, index: u32, status: Status) {
        let Some(place) = self.calls.place(index) else { return };
        place.cancel();
        let call = &mut place.call;
        if let Some(inbound) = &call.inbound {
            inbound.handle_end(Err(status.clone()));
        }
        if let Some(watched) = call.watched.take() {
            watched.end(&status);
        }
        if let Some(outbound) = &call.outbound {
            outbound.close(status);
        }
        if let Some(mut run) = call.run.take() {
            // A panic while the handler's values are dropped ends that call like any other.
            if catch_unwind(AssertUnwindSafe(|| run.clear())).is_ok() {
                keep(&mut self.idle_runs, (call.route, run));
            }
        }
        self.end_call(turn, index);
    }

    fn end_call(&mut self, turn: &mut Turn<'_>, index: u32) {
        let Some(call) = self.calls.get_mut(index) else { return };
        if let Some(timer) = call.timer {
            turn.cancel_timer(timer);
        }
        if let Some(inbound) = &call.inbound {
            inbound.handle_end(Ok(Metadata::new()));
        }
        if let Some(outbound) = &call.outbound {
            outbound.close(Status::internal("the call has ended: its handler has returned"));
        }
        self.calls.end(index);
    }

    fn enter_phase(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, phase: Phase) {
        match phase {
            Phase::Serving => {}
            Phase::Draining => self.http2.shutdown(turn.now, "graceful_stop", out),
            Phase::Stopped => self.http2.close(ErrorCode::NO_ERROR, "the server was stopped", out),
        }
    }

    /// Adds what the connection has counted to the server's statistics.
    fn count(&mut self) {
        let counted = Counted::from(self.http2.stats());
        if counted != self.counted {
            self.shared.counters.add(counted, self.counted);
            self.counted = counted;
        }
    }

    /// After a while without calls a connection gives back the memory that calls needed.
    fn rest(&mut self, out: &mut WriteBuf) {
        self.count();
        if self.rest_timer.fired(self.http2.stats().streams_opened) && self.calls.is_empty() {
            self.http2.shrink();
            out.shrink();
            self.free_calls();
            self.routes = Vec::new();
            self.next_route = 0;
        }
    }

    /// Frees the memory of the calls, of which none is under way.
    fn free_calls(&mut self) {
        if self.calls.places() >= MANY {
            self.link.handle.freed();
        }
        self.calls = Calls::default();
        self.idle_runs = Vec::new();
    }
}

/// Why a connection ended on which HTTP/2 did not.
fn lost(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::EngineStopped => "the engine was stopped",
        CloseReason::Finished | CloseReason::ConnectFailed(_) | CloseReason::Io(_) => {
            "the connection was lost"
        }
    }
}

/// What calls end with that were open when the client closed the connection, or when it failed.
fn connection_lost() -> Status {
    Status::cancelled("the client's connection was lost")
}

/// Where the server tells the session that it stops.
fn server_link(turn: &Turn<'_>) -> Link {
    Link { handle: turn.handle.clone(), note: Note { token: turn.token, slot: SERVER_SLOT } }
}

/// A run of the handler of this route, if one is kept.
fn idle_run(kept: &mut Vec<(u32, Box<dyn Invocation>)>, route: u32) -> Option<Box<dyn Invocation>> {
    let at = kept.iter().rposition(|(id, _)| *id == route)?;
    Some(kept.swap_remove(at).1)
}

#[cold]
fn keep<T>(kept: &mut Vec<T>, value: T) {
    if kept.len() < KEPT {
        kept.push(value);
    }
}

fn panicked() -> Status {
    Status::internal("the handler panicked")
}

fn waker(link: &Link) -> Waker {
    Waker::from(Arc::new(CallWaker { link: link.clone() }))
}

/// Wakes one call of a session. Spurious wake-ups, when the slot has another call by then, are harmless.
struct CallWaker {
    link: Link,
}

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        self.link.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.link.notify();
    }
}
