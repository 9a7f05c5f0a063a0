//! The channel: what a client holds of a service somewhere.

mod builder;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

pub use self::builder::ChannelBuilder;
use super::authorization;
use super::connectivity::ConnectivityState;
use super::control::{Control, Hold, Input};
use super::interception::{self, Wire};
use super::method::Method;
use super::pending::{Body, Call, PendingCall};
use super::unary::{UnaryCall, UnaryReceiver};
use crate::call::interceptor::{AS_IT_IS, Chain, EncodedMessage, Octets};
use crate::call::{
    Accepted, CallCredentials, CallOptions, Chosen, Encodings, Inbound, Outbound, Place, Receiver, Request,
    SendCompression,
};
use crate::engine::Engine;
use crate::net::clock;
use crate::rpc::{Cardinality, Codec, Metadata, PREFIX_LEN, Status, check_send_len, message_prefix};

/// A gRPC channel: connections to wherever a target resolves to, made when calls need them. Cheap to clone; all clones
/// share the connections. When the last clone is gone and its calls have ended, the connections are closed.
#[derive(Clone, Debug)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    control: Hold,
    target: String,
    scheme: &'static str,
    /// What shows the server who makes the calls.
    call_credentials: Option<Arc<dyn CallCredentials>>,
    authority: Arc<str>,
    user_agent: Arc<str>,
    defaults: Defaults,
    encodings: Arc<Encodings>,
    /// `None` if there are none, which is all that calls without interceptors need to know.
    interceptors: Option<Arc<Chain>>,
    engine: Engine,
}

impl Channel {
    /// A builder for a channel to a target such as `dns:///localhost:50051`, `127.0.0.1:50051`, `unix:/path`,
    /// `unix-abstract:name` or `passthrough:///127.0.0.1:50051`. A target without a scheme is a DNS name.
    pub fn builder(target: impl Into<String>) -> ChannelBuilder {
        ChannelBuilder::new(target.into())
    }

    /// The target the channel was built for.
    pub fn target(&self) -> &str {
        &self.shared.target
    }

    /// Whether the channel has a connection, is making one, or failed to.
    pub fn state(&self) -> ConnectivityState {
        self.shared.control.state()
    }

    /// Waits until the state is another than `known`, and returns it.
    pub fn state_change(&self, known: ConnectivityState) -> StateChange {
        StateChange { control: Arc::clone(&self.shared.control), known, place: None }
    }

    /// Starts to connect if the channel is idle, rather than with the first call.
    pub fn connect(&self) {
        self.shared.control.tell(Input::Connect);
    }

    /// Tries at once what waits for a back-off after a failed connect.
    pub fn reset_connect_backoff(&self) {
        self.shared.control.tell(Input::ResetBackoff);
    }

    /// Ends the channel for all its clones: calls end with CANCELLED, connections are closed.
    pub fn close(&self) {
        self.shared.control.tell(Input::Close);
    }

    /// A method to call, by its path `/package.Service/Method`.
    pub fn method(&self, path: impl Into<String>) -> Method {
        let Shared { scheme, authority, user_agent, encodings, .. } = &*self.shared;
        Method::new(path.into(), scheme, authority.clone(), user_agent.clone(), encodings.clone())
    }

    /// Calls a method with one request and one response.
    pub fn unary<C, Req, Resp>(&self, method: &Method, request: Request<Req>) -> UnaryCall<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let (message, metadata, options) = request.into_parts();
        let (body, status) = self.frame::<C, Req>(&message, &options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::One);
        UnaryCall::new(self.start(head, body, UnaryReceiver::new::<C>(), status))
    }

    /// Calls a method with one request and a stream of responses.
    pub fn server_streaming<C, Req, Resp>(&self, method: &Method, request: Request<Req>) -> Inbound<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let inbound = Inbound::new::<C>(None, None);
        let (message, metadata, options) = request.into_parts();
        let (body, status) = self.frame::<C, Req>(&message, &options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::Many);
        self.start(head, body, Arc::clone(inbound.stream()), status);
        inbound
    }

    /// Calls a method with a stream of requests and one response. The request here carries the metadata and options.
    pub fn client_streaming<C, Req, Resp>(
        &self,
        method: &Method,
        request: Request<()>,
    ) -> (Outbound<Req>, UnaryCall<Resp>)
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<C, Req>(&options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::One);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        let call = UnaryCall::new(self.start(head, body, UnaryReceiver::new::<C>(), Ok(())));
        (outbound, call)
    }

    /// Calls a method with a stream each way. The request here carries the metadata and options.
    pub fn bidi_streaming<C, Req, Resp>(
        &self,
        method: &Method,
        request: Request<()>,
    ) -> (Outbound<Req>, Inbound<Resp>)
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<C, Req>(&options, self.is_wire());
        let inbound = Inbound::new::<C>(None, None);
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::Many);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        self.start(head, body, Arc::clone(inbound.stream()), Ok(()));
        (outbound, inbound)
    }

    fn max_send_message_size(&self, options: &CallOptions) -> usize {
        let chosen = options.rare.as_ref().and_then(|rare| rare.max_send_message_size);
        chosen.or(self.shared.defaults.max_send_message_size).unwrap_or(usize::MAX)
    }

    /// Whether what a user sends goes to a connection, not to interceptors, which see messages as they are.
    fn is_wire(&self) -> bool {
        self.shared.interceptors.is_none()
    }

    /// What compresses the messages of a request.
    fn encoding(&self, options: &CallOptions) -> Result<Chosen, Status> {
        let encodings = &self.shared.encodings;
        match options.rare.as_ref().and_then(|rare| rare.compression.algorithm.as_ref()) {
            None => Ok(encodings.default().flatten()),
            Some(name) => encodings.choose_or_fail(name),
        }
    }

    fn outbound<C: Codec<T>, T>(&self, options: &CallOptions, is_wire: bool) -> Outbound<T> {
        let outbound = Outbound::new::<C>(None, self.max_send_message_size(options));
        if !is_wire {
            return outbound.relayed(None);
        }
        let outbound = outbound.repeatable(self.shared.control.retry_buffer(options.rare.as_deref()));
        match self.encoding(options) {
            Ok(Some(id)) => outbound.compressed(SendCompression {
                encodings: Arc::clone(&self.shared.encodings),
                accepted: Accepted::default(),
                chosen: Some(id),
            }),
            // What is wrong with the choice is told when the call starts.
            _ => outbound,
        }
    }

    /// The message as it is sent. If it cannot be, the body is empty and the status says why.
    fn frame<C: Codec<T>, T>(
        &self,
        message: &T,
        options: &CallOptions,
        is_wire: bool,
    ) -> (Body, Result<(), Status>) {
        let size = C::encoded_len(message);
        let leaves_message = options.rare.as_ref().is_some_and(|rare| rare.compression.leaves_message);
        if is_wire
            && size > 0
            && !leaves_message
            && let Ok(Some(id)) = self.encoding(options)
        {
            let mut encoded = Vec::with_capacity(size);
            C::encode(message, &mut encoded);
            return match self.shared.encodings.frame(id, &encoded, self.max_send_message_size(options)) {
                Ok(framed) => (Body::Message(framed.into(), size), Ok(())),
                Err(status) => (Body::Message(Bytes::new(), size), Err(status)),
            };
        }
        match check_send_len(size, self.max_send_message_size(options)) {
            Ok(length) => {
                // Exactly as large as needed: only then does it become `Bytes` without another allocation.
                let mut buffer = Vec::with_capacity(size + PREFIX_LEN);
                buffer.extend_from_slice(&message_prefix(length));
                if !is_wire && leaves_message {
                    buffer[0] = AS_IT_IS;
                }
                C::encode(message, &mut buffer);
                (Body::Message(buffer.into(), size), Ok(()))
            }
            Err(status) => (Body::Message(Bytes::new(), size), Err(status)),
        }
    }

    /// Starts a call, or ends it at once if its request could not be made.
    fn start<R: Receiver + 'static>(
        &self,
        head: CallHead<'_>,
        body: Body,
        receiver: R,
        request: Result<(), Status>,
    ) -> Arc<Call<R>> {
        let CallHead { method, subtype, metadata, options, responses, is_intercepted } = head;
        let (encoding, request) = match self.encoding(&options) {
            Ok(encoding) => (encoding, request),
            Err(status) => (None, Err(status)),
        };
        let interceptors = self.shared.interceptors.as_ref().filter(|_| !is_intercepted);
        // Behind interceptors there is another call, to which the channel's are added.
        let rare = options.rare.as_deref();
        let chosen = rare.and_then(|rare| rare.credentials.clone());
        let credentials = match interceptors {
            None => authorization::combine(self.shared.call_credentials.as_ref(), chosen),
            Some(_) => chosen,
        };
        let defaults = &self.shared.defaults;
        // A call that an interceptor makes has the deadline of the one that it was given.
        let is_default = !is_intercepted && !options.sets_deadline;
        let timeout = options.timeout.or(defaults.timeout.filter(|_| is_default));
        let timeout = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        let (method, request) = match rare.and_then(|rare| rare.authority.as_deref()) {
            None => (method.clone(), request),
            Some(authority) => {
                (method.with_authority(authority), request.and(authorization::check_authority(authority)))
            }
        };
        let call = Arc::new(Call {
            method,
            subtype,
            metadata,
            deadline: [timeout, options.deadline].into_iter().flatten().min(),
            wait_for_ready: options.wait_for_ready.or(defaults.wait_for_ready),
            max_receive_message_size: rare
                .and_then(|rare| rare.max_receive_message_size)
                .or(defaults.max_receive_message_size),
            responses,
            credentials,
            encoding,
            rare: options.rare,
            body,
            receiver,
        });
        let pending = PendingCall::new(call.clone());
        if let Some(token) = options.cancellation {
            token.register(&(call.clone() as Arc<dyn Receiver>));
        }
        match (request, interceptors) {
            (Err(status), _) => pending.fail(status),
            (Ok(()), Some(chain)) => {
                let wire = Wire::new(self.clone(), &pending);
                interception::start(&self.shared.engine.choose_loop(), Arc::clone(chain), wire, pending);
            }
            (Ok(()), None) => self.shared.control.start(pending),
        }
        call
    }

    /// Makes a call with one request over the wire, behind the interceptors.
    pub(super) fn send_one<R: Receiver + 'static>(
        &self,
        wire: &Wire,
        request: Request<EncodedMessage>,
        receiver: R,
    ) -> Arc<Call<R>> {
        let (message, metadata, mut options) = request.into_parts();
        if !message.is_compressible() {
            options.rare.get_or_insert_default().compression.leaves_message = true;
        }
        let (body, status) = self.frame::<Octets, _>(&message, &options, true);
        self.start(wire.head(metadata, options), body, receiver, status)
    }

    /// Makes a call with a stream of requests over the wire, behind the interceptors.
    pub(super) fn send_stream<R: Receiver + 'static>(
        &self,
        wire: &Wire,
        request: Request<()>,
        receiver: R,
    ) -> Outbound<EncodedMessage> {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<Octets, _>(&options, true);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        self.start(wire.head(metadata, options), body, receiver, Ok(()));
        outbound
    }
}

/// What holds for a call that chooses nothing else.
#[derive(Debug, Default)]
struct Defaults {
    timeout: Option<Duration>,
    wait_for_ready: Option<bool>,
    max_receive_message_size: Option<usize>,
    max_send_message_size: Option<usize>,
}

/// A call before its channel's defaults and its streams are added.
struct CallHead<'a> {
    method: &'a Method,
    subtype: &'static str,
    metadata: Metadata,
    options: CallOptions,
    responses: Cardinality,
    /// The interceptors have seen the call.
    is_intercepted: bool,
}

impl<'a> CallHead<'a> {
    fn new<C: Codec<T>, T>(
        method: &'a Method,
        metadata: Metadata,
        options: CallOptions,
        responses: Cardinality,
    ) -> Self {
        CallHead { method, subtype: C::SUBTYPE, metadata, options, responses, is_intercepted: false }
    }
}

impl Wire {
    fn head(&self, metadata: Metadata, options: CallOptions) -> CallHead<'_> {
        let (method, subtype, responses) = (&self.method, self.subtype, self.responses);
        CallHead { method, subtype, metadata, options, responses, is_intercepted: true }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).field("state", &self.control.state()).finish()
    }
}

/// The future of [`Channel::state_change`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct StateChange {
    control: Arc<Control>,
    known: ConnectivityState,
    place: Place,
}

impl Future for StateChange {
    type Output = ConnectivityState;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectivityState> {
        let StateChange { control, known, place } = &mut *self;
        match control.poll_state(*known, place, cx.waker()) {
            Some(state) => Poll::Ready(state),
            None => Poll::Pending,
        }
    }
}

impl Drop for StateChange {
    fn drop(&mut self) {
        self.control.leave_state(self.place);
    }
}
