//! `Open`: a connection that is open, and the calls on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{Connection, HeaderBlock, Initiator, OpenError, StreamKey};
use slab::Slab;

use super::WAITING_SLOT;
use crate::call::stats::{CallEvent, MessageSize, WatchedConnection};
use crate::call::{Carrier, Chosen, CompressedMessage, EncodingId, Link, large_messages};
use crate::client::authorization;
use crate::client::connection_handle::Command;
use crate::client::control::IdleNotice;
use crate::client::pending::{Body, PendingCall, Traffic};
use crate::net::{Address, LazyTimer, Note, Peer, RestTimer, TimerId, Turn, clock};
use crate::rpc::{
    Cardinality, ClientCall, HeadersOutcome, KnownResponse, Message, Metadata, PREFIX_LEN, Status, Violation,
    request_head,
};

/// Messages up to this size are copied into the output; larger ones are chained.
const CHAINED: usize = 8 * 1024;

/// An open connection with its calls.
pub(super) struct Open {
    pub(super) http2: Connection,
    pub(super) peer: Peer,
    pub(super) link: Link,
    pub(super) calls: Slab<ActiveCall>,
    /// How many of the calls are the channel's own.
    pub(super) bound: usize,
    /// Calls beyond the peer's limit of concurrent streams. When the connection has ended, also those of which nothing
    /// was sent.
    pub(super) waiting: VecDeque<PendingCall>,
    /// The earliest deadline of those.
    pub(super) waiting_timer: LazyTimer,
    pub(super) commands: VecDeque<Command>,
    /// The fields of one request that differ from call to call.
    pub(super) fields: HeaderList,
    pub(super) known: KnownResponse,
    /// How many streams the pool believes there are, if there is one.
    pub(super) pool_limit: Option<usize>,
    pub(super) timer: LazyTimer,
    pub(super) ready_timer: Option<TimerId>,
    /// For giving memory back.
    pub(super) rest_timer: RestTimer,
    /// Held until there are no calls.
    pub(super) idle_notice: Option<Arc<IdleNotice>>,
    /// Who wants to know of the connection.
    pub(super) _watched: Option<WatchedConnection>,
}

/// A header block of a response.
pub(super) struct Headers {
    pub(super) list: Arc<HeaderList>,
    pub(super) repeated: bool,
    pub(super) end_stream: bool,
}

/// How a stream ended other than by the grammar of calls.
pub(super) struct Reset {
    pub(super) code: ErrorCode,
    pub(super) by: Initiator,
    pub(super) unprocessed: bool,
    /// The whole connection ended, for this reason.
    pub(super) lost: Option<String>,
}

pub(super) struct ActiveCall {
    key: StreamKey,
    pub(super) call: PendingCall,
    grammar: ClientCall,
    pub(super) deadline: Option<TimerId>,
    /// The response has begun, so that the call cannot be sent again.
    committed: bool,
    /// Where the request's header block ends in the connection's output.
    head_end: u64,
    /// The connection ended before that was written.
    unsent: bool,
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

impl Open {
    /// Opens a stream for the call. Gives the call back if this connection can take no more.
    pub(super) fn open_call(
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
        let head_end = out.end();
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
            head_end,
            unsent: false,
            encoding: None,
            traffic,
        });
        None
    }

    /// Keeps a call until a stream is free, its deadline passes or its caller drops it.
    pub(super) fn wait(&mut self, turn: &mut Turn<'_>, call: PendingCall) {
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
    pub(super) fn sweep(&mut self, turn: &mut Turn<'_>) {
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

    pub(super) fn is_current(&self, token: u32, stream: StreamKey) -> bool {
        self.calls.get(token as usize).is_some_and(|active| active.key == stream)
    }

    pub(super) fn handle_headers(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: usize,
        headers: Headers,
    ) {
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

    pub(super) fn handle_data(
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
    pub(super) fn handle_reset(
        &mut self,
        turn: &mut Turn<'_>,
        index: usize,
        reset: Reset,
    ) -> Option<PendingCall> {
        if let Some(call) = self.give_back(turn, index, reset.unprocessed) {
            return Some(call);
        }
        let active = &mut self.calls[index];
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

    pub(super) fn handle_deadline(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut WriteBuf,
        index: usize,
        server: &Address,
    ) {
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
    pub(super) fn handle_call_wake(&mut self, turn: &mut Turn<'_>, out: &mut WriteBuf, index: usize) {
        let Some(active) = self.calls.get(index) else { return };
        if active.call.receiver.is_abandoned() {
            let key = active.key;
            self.end_call(turn, index, Err(Status::cancelled("the call was dropped")));
            self.http2.reset(key, ErrorCode::CANCEL, out);
            return;
        }
        self.move_streams(out, index);
    }

    pub(super) fn move_streams(&mut self, out: &mut WriteBuf, index: usize) {
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
        let active = self.take(turn, index);
        active.call.end_after(result, active.traffic);
    }

    /// Takes a call out of all books.
    fn take(&mut self, turn: &mut Turn<'_>, index: usize) -> ActiveCall {
        let active = self.calls.remove(index);
        self.bound -= usize::from(active.call.is_bound);
        if let Some(timer) = active.deadline {
            turn.cancel_timer(timer);
        }
        active
    }

    /// A call that may be sent again: nothing of it was sent, or no server has processed it, for the first time.
    fn give_back(&mut self, turn: &mut Turn<'_>, index: usize, unprocessed: bool) -> Option<PendingCall> {
        let active = &self.calls[index];
        let again = (active.unsent || unprocessed && !active.call.refused_before)
            && !active.committed
            && active.call.body.can_be_sent_again();
        if !again {
            return None;
        }
        let mut active = self.take(turn, index);
        active.call.refused_before |= !active.unsent;
        active.call.begin_again();
        Some(active.call)
    }

    /// The connection has ended, with this left to be written.
    pub(super) fn mark_unsent(&mut self, out: &WriteBuf) {
        for (_, active) in &mut self.calls {
            active.unsent |= active.head_end > out.passed();
        }
    }

    /// Ends all calls, but for those of which nothing was sent: they wait for another connection.
    pub(super) fn end_all(&mut self, turn: &mut Turn<'_>, status: &Status) {
        for index in 0..self.calls.capacity() {
            if self.calls.contains(index) {
                match self.give_back(turn, index, false) {
                    Some(call) => self.waiting.push_back(call),
                    None => self.end_call(turn, index, Err(status.clone())),
                }
            }
        }
    }

    /// After a while without calls a connection gives back the memory that calls needed.
    pub(super) fn rest(&mut self, out: &mut WriteBuf) {
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
