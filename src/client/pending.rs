//! A call as its caller made it, and on its way to a connection.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::stats::{Begin, CallEvent, CallStats, MessageSize, StatsHandlers};
use crate::call::{
    CallOptions, Carrier, Chosen, CompressedMessage, Compression, MethodKind, OutboundStream, RareOptions,
    Receiver, SharedCallCredentials,
};
use crate::net::{Peer, SecurityLevel, clock};
use crate::rpc::compression::IDENTITY;
use crate::rpc::{
    Cardinality, Code, DEFAULT_MAX_RECEIVE_SIZE, Metadata, PREFIX_LEN, Payload, Status, check_send_len,
};

use super::call_config::{CallConfig, CallConfigs};
use super::method::Method;
use super::picker::{Additions, CallEnd, CallObserver, PickInfo, Route};
use super::service_config::{AttemptPolicy, MethodConfig};
use super::stream_pool::StreamPermit;

/// What was asked for, and who waits for the answer: one allocation for all that a call is. Connections read it; what
/// changes on the way is in the [`PendingCall`].
pub(super) struct Call<R: ?Sized = dyn Receiver> {
    pub(super) method: Method,
    /// The content subtype of the call's codec.
    pub(super) subtype: &'static str,
    pub(super) metadata: Metadata,
    /// These three are what the caller and the channel want; with the call's config they make the terms of the
    /// [`PendingCall`].
    pub(super) deadline: Option<Instant>,
    pub(super) wait_for_ready: Option<bool>,
    pub(super) max_receive_message_size: Option<usize>,
    pub(super) responses: Cardinality,
    /// What shows the server who makes the call: the caller's credentials, and the channel's.
    pub(super) credentials: Option<SharedCallCredentials>,
    /// What compresses the request's messages.
    pub(super) encoding: Chosen,
    pub(super) rare: Option<Box<RareOptions>>,
    pub(super) body: Body,
    pub(super) receiver: R,
}

/// A call is its own receiver, for whoever does not know that of which type it is.
impl<R: Receiver + ?Sized> Receiver for Call<R> {
    fn attach(&self, carrier: Carrier) -> bool {
        self.receiver.attach(carrier)
    }

    fn handle_peer(&self, peer: &Peer) {
        self.receiver.handle_peer(peer);
    }

    fn handle_headers(&self, headers: Metadata) {
        self.receiver.handle_headers(headers);
    }

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.receiver.handle_message(payload, octets)
    }

    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        self.receiver.handle_compressed(message, octets)
    }

    fn handle_inflated(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.receiver.handle_inflated(payload, octets)
    }

    fn handle_drop(&self) {
        self.receiver.handle_drop();
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        self.receiver.handle_end(result);
    }

    fn cancel(&self, status: Status) {
        self.receiver.cancel(status);
    }

    fn take_consumed(&self) -> usize {
        self.receiver.take_consumed()
    }

    fn is_abandoned(&self) -> bool {
        self.receiver.is_abandoned()
    }
}

/// What a client sends behind the head. A clone shares it.
#[derive(Clone)]
pub(super) enum Body {
    /// One message, framed, and how many octets it has when it is not compressed. It may be sent again.
    Message(Bytes, usize),
    Stream(Arc<OutboundStream>),
}

impl Body {
    /// Whether another connection can send all of it; if so, it is as if none had begun to. Of a stream that is so as
    /// long as what was sent is kept.
    pub(super) fn can_be_sent_again(&self) -> bool {
        match self {
            Body::Message(..) => true,
            Body::Stream(outbound) => outbound.rewind(),
        }
    }
}

/// A call that was started and has not ended. However it ends, the receiver is told: if nobody else did, by the drop.
pub(super) struct PendingCall {
    call: Arc<Call>,
    pub(super) deadline: Option<Instant>,
    pub(super) max_receive_message_size: usize,
    pub(super) wait_for_ready: bool,
    /// It means something on one connection only: a watch of its backend.
    pub(super) is_bound: bool,
    /// The config has been applied.
    configured: bool,
    /// A server said once that it did not process the call, so that it was sent again.
    pub(super) refused_before: bool,
    /// What call credentials add to the attempt, once they were asked.
    pub(super) added: Option<Box<Metadata>>,
    /// What a connection has to protect that from.
    pub(super) required_security: SecurityLevel,
    /// The receiver knows the outcome.
    told: bool,
    /// What a config selector decided.
    config: Option<Box<CallConfig>>,
    /// Whom the picker wants to be told of the end.
    observer: Option<Arc<dyn CallObserver>>,
    /// What the picker adds to the head.
    picked: Option<Box<Additions>>,
    /// A stream of a connection in a pool, from when the call is sent there.
    pub(super) permit: Option<StreamPermit>,
    /// Attempts by policy that were made before this one.
    previous_attempts: u32,
    /// This is the attempt once more, since no server had processed it.
    is_transparent_retry: bool,
    /// Those who may want to know of the attempt were asked.
    begun: bool,
    /// Who wants to.
    stats: Option<Box<AttemptStats>>,
}

/// The octets of messages that went to the connection, and that came from it.
#[derive(Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// Who is told what becomes of an attempt.
struct AttemptStats {
    stats: Box<dyn CallStats>,
    /// It waits for a connection.
    is_delayed: bool,
}

impl<R: ?Sized> Call<R> {
    /// The choice of compression, for the same call once more.
    pub(super) fn compression(&self) -> Compression {
        let name = self.encoding.map(|id| self.method.encodings().name(id).to_owned());
        Compression {
            algorithm: Some(name.map_or(Cow::Borrowed(IDENTITY), Cow::Owned)),
            leaves_message: false,
        }
    }

    pub(super) fn kind(&self) -> MethodKind {
        match (&self.body, self.responses) {
            (Body::Message(..), Cardinality::One) => MethodKind::Unary,
            (Body::Message(..), Cardinality::Many) => MethodKind::ServerStreaming,
            (Body::Stream(_), Cardinality::One) => MethodKind::ClientStreaming,
            (Body::Stream(_), Cardinality::Many) => MethodKind::BidiStreaming,
        }
    }
}

impl PendingCall {
    pub(super) fn new(call: Arc<Call>) -> Self {
        PendingCall {
            deadline: call.deadline,
            max_receive_message_size: call.max_receive_message_size.unwrap_or(DEFAULT_MAX_RECEIVE_SIZE),
            wait_for_ready: call.wait_for_ready.unwrap_or(false),
            is_bound: false,
            configured: false,
            refused_before: false,
            added: None,
            required_security: SecurityLevel::None,
            told: false,
            config: None,
            observer: None,
            picked: None,
            permit: None,
            previous_attempts: 0,
            is_transparent_retry: false,
            begun: false,
            stats: None,
            call,
        }
    }

    /// A call that is the channel's own and for one certain connection.
    pub(super) fn bound(call: Arc<Call>) -> Self {
        let mut pending = PendingCall::new(call);
        pending.is_bound = true;
        pending
    }

    /// What the caller and the channel chose, for another call in the place of this one, as an interceptor makes it.
    /// Every option is named, for none that comes to be to be forgotten here.
    pub(super) fn wishes(&self) -> CallOptions {
        let call = &self.call;
        let own = call.rare.as_deref();
        let rare = RareOptions {
            max_receive_message_size: call.max_receive_message_size,
            max_send_message_size: own.and_then(|own| own.max_send_message_size),
            credentials: call.credentials.clone(),
            compression: call.compression(),
            // The method knows it.
            authority: None,
            retry_buffer_size: own.and_then(|own| own.retry_buffer_size),
            // The other call's end is not this one's.
            hooks: Vec::new(),
        };
        CallOptions {
            // However often an interceptor goes on, the call has one deadline.
            timeout: None,
            deadline: call.deadline,
            sets_deadline: call.deadline.is_some(),
            wait_for_ready: call.wait_for_ready,
            // With this call the other one is dropped.
            cancellation: None,
            rare: Some(Box::new(rare)),
        }
    }

    /// Whether the call has its config.
    pub(super) fn is_configured(&self) -> bool {
        self.configured
    }

    /// Gives the call its config, and returns how it is sent more than once. With an error the call cannot be sent.
    pub(super) fn configure(&mut self, configs: &CallConfigs) -> Result<Option<AttemptPolicy>, Status> {
        self.configured = true;
        match configs {
            CallConfigs::None => Ok(None),
            CallConfigs::Service(config) => match config.method(self.method.path()) {
                Some(config) => self.apply(config),
                None => Ok(None),
            },
            CallConfigs::Selector(selector) => {
                let config = selector.select(self.method.path(), &self.metadata)?;
                let applied = config.method.as_ref().map_or(Ok(None), |method| self.apply(method));
                self.config = Some(Box::new(config));
                applied
            }
        }
    }

    fn apply(&mut self, config: &MethodConfig) -> Result<Option<AttemptPolicy>, Status> {
        if let Some(timeout) = config.timeout {
            let deadline = clock::now().checked_add(timeout);
            self.deadline = self.deadline.into_iter().chain(deadline).min();
        }
        if let (Some(wait), None) = (config.wait_for_ready, self.call.wait_for_ready) {
            self.wait_for_ready = wait;
        }
        if let Some(limit) = config.max_response_message_bytes {
            self.max_receive_message_size =
                self.call.max_receive_message_size.map_or(limit, |own| own.min(limit));
        }
        match (config.max_request_message_bytes, &self.body) {
            (None, _) => {}
            (Some(limit), Body::Message(message, _)) => {
                check_send_len(message.len().saturating_sub(PREFIX_LEN), limit)?;
            }
            (Some(limit), Body::Stream(outbound)) => outbound.limit_message_size(limit),
        }
        Ok(config.attempts.clone())
    }

    /// What a picker may look at.
    pub(super) fn pick_info(&self) -> PickInfo<'_> {
        let mut info = PickInfo::new(self.method.path(), &self.metadata);
        if let Some(config) = &self.config {
            (info.attributes, info.request_hash) = (&config.attributes, config.request_hash);
        }
        info
    }

    /// The call is sent where a picker said.
    pub(super) fn take_route(&mut self, route: Route) {
        (self.observer, self.picked) = route.into_parts();
    }

    /// The metadata that the picker adds.
    pub(super) fn picked_metadata(&self) -> Option<&Metadata> {
        self.picked.as_ref().map(|picked| &picked.metadata)
    }

    /// The `:authority` that the picker chose, if it comes before the one that the call has.
    pub(super) fn picked_authority(&self) -> Option<&str> {
        let chosen = self.picked.as_ref()?.authority.as_deref()?;
        (self.method.own_authority().is_none() && chosen != self.method.authority()).then_some(chosen)
    }

    /// The call was not sent where the picker said, or not processed there.
    pub(super) fn was_not_sent(&mut self) {
        self.permit = None;
        if let Some(observer) = self.observer.take() {
            observer.handle_end(&CallEnd::UNSENT);
        }
    }

    /// Asks once who wants to know of the attempt.
    pub(super) fn begin(&mut self, handlers: &StatsHandlers) {
        if !std::mem::replace(&mut self.begun, true) {
            let stats = handlers.begin(&Begin {
                is_client: true,
                path: self.method.path(),
                kind: self.kind(),
                wait_for_ready: self.wait_for_ready,
                previous_attempts: self.previous_attempts,
                is_transparent_retry: self.is_transparent_retry,
            });
            self.stats = stats.map(|stats| Box::new(AttemptStats { stats, is_delayed: false }));
        }
    }

    /// No server has processed the attempt; it will be made once more.
    pub(super) fn begin_again(&mut self) {
        self.is_transparent_retry = true;
        self.begun = false;
        if let Some(mut watched) = self.stats.take() {
            let status = Status::unavailable("the server did not process the attempt");
            watched.stats.handle(&CallEvent::End { status: Err(&status) });
        }
    }

    /// Tells whoever wants to know.
    pub(super) fn tell(&mut self, event: &CallEvent<'_>) {
        if let Some(watched) = &mut self.stats {
            watched.stats.handle(event);
        }
    }

    /// The attempt has to wait for a connection.
    pub(super) fn delay(&mut self) {
        if let Some(watched) = &mut self.stats {
            watched.is_delayed = true;
        }
    }

    /// There is a connection for the attempt.
    pub(super) fn tell_picked(&mut self) {
        if let Some(watched) = &mut self.stats
            && std::mem::take(&mut watched.is_delayed)
        {
            watched.stats.handle(&CallEvent::DelayedPickComplete);
        }
    }

    /// The head of the request is with the connection.
    pub(super) fn tell_head_sent(&mut self, peer: &Peer) {
        let PendingCall { call, stats: Some(watched), .. } = self else { return };
        let compression = call.encoding.map(|id| call.method.encodings().name(id));
        watched.stats.handle(&CallEvent::OutHeader { metadata: &call.metadata, compression, peer });
        match &call.body {
            Body::Message(message, length) => {
                let size = MessageSize::new(Some(*length), message.len().saturating_sub(PREFIX_LEN));
                watched.stats.handle(&CallEvent::OutPayload { size });
            }
            Body::Stream(outbound) => outbound.note_sizes(),
        }
    }

    /// The head of the response is there, whose messages this compresses.
    pub(super) fn tell_head_arrived(&mut self, metadata: &Metadata, encoding: Chosen, peer: &Peer) {
        let PendingCall { call, stats: Some(watched), .. } = self else { return };
        let compression = encoding.map(|id| call.method.encodings().name(id));
        watched.stats.handle(&CallEvent::InHeader { metadata, compression, peer });
    }

    /// Messages of a stream may be with the connection.
    pub(super) fn tell_messages_sent(&mut self) {
        let PendingCall { call, stats: Some(watched), .. } = self else { return };
        if let Body::Stream(outbound) = &call.body {
            for size in outbound.take_sizes() {
                watched.stats.handle(&CallEvent::OutPayload { size });
            }
        }
    }

    /// An attempt of this call, with as many before it.
    pub(super) fn attempt(&self, call: Arc<Call>, previous: u32, is_hedged: bool) -> PendingCall {
        // Of attempts that follow each other only the first may be sent again because its server did not process it:
        // the others are that already.
        let refused_before = previous > 0 && !is_hedged;
        PendingCall {
            call,
            deadline: self.deadline,
            max_receive_message_size: self.max_receive_message_size,
            wait_for_ready: self.wait_for_ready,
            is_bound: false,
            configured: true,
            refused_before,
            added: None,
            required_security: SecurityLevel::None,
            told: false,
            config: self.config.clone(),
            observer: None,
            picked: None,
            permit: None,
            previous_attempts: previous,
            is_transparent_retry: false,
            begun: false,
            stats: None,
        }
    }

    /// Tells the receiver the outcome: the trailers of a call that ended well, or its status.
    pub(super) fn end(self, result: Result<Metadata, Status>) {
        self.end_after(result, Traffic::default());
    }

    /// The same for a call that was with a connection.
    pub(super) fn end_after(mut self, result: Result<Metadata, Status>, traffic: Traffic) {
        self.conclude(result, traffic);
    }

    /// Ends the call without success.
    pub(super) fn fail(self, status: Status) {
        self.end(Err(status));
    }

    /// The user's side of the call.
    pub(super) fn receiver(&self) -> Arc<dyn Receiver> {
        Arc::new(Arc::clone(&self.call))
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn conclude(&mut self, result: Result<Metadata, Status>, traffic: Traffic) {
        self.told = true;
        // Before the user learns of it, whose next call it may serve.
        self.permit = None;
        if let Some(mut watched) = self.stats.take() {
            watched.stats.handle(&CallEvent::End { status: result.as_ref().map(|_| ()) });
        }
        if let Some(observer) = self.observer.take() {
            let (code, trailers) = match &result {
                Ok(trailers) => (Code::Ok, trailers),
                Err(status) => (status.code(), status.metadata()),
            };
            let Traffic { sent, received } = traffic;
            let trailers = Some(trailers);
            observer.handle_end(&CallEnd {
                code: Some(code),
                trailers,
                octets_sent: sent,
                octets_received: received,
            });
        }
        if let Body::Stream(outbound) = &self.body {
            outbound.close(match &result {
                Ok(_) => Status::unknown("the server has ended the call with OK and reads no more messages"),
                Err(status) => status.clone(),
            });
        }
        if let Some(rare) = &self.rare {
            rare.finish(result.as_ref().map(|_| ()));
        }
        self.receiver.handle_end(result);
    }
}

impl Deref for PendingCall {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // Nearly every call was told its outcome by now; only the others need a status.
        if !self.told {
            let status = Status::unavailable("the engine that carried the call was stopped");
            self.conclude(Err(status), Traffic::default());
        }
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("method", &self.method).finish_non_exhaustive()
    }
}
