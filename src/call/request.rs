//! A request: its message, its metadata, and what a client wants of the call or a handler knows of it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::{
    CallCredentials, CancellationToken, Encodings, RareOptions, SendCompression, SharedCallCredentials,
};
use crate::net::Peer;
use crate::rpc::{Metadata, Status};

/// A request with its metadata.
///
/// A client may add a timeout and other options of the call; a handler finds who called and when the client gives up.
#[derive(Clone, Debug)]
pub struct Request<T> {
    message: T,
    metadata: Metadata,
    options: CallOptions,
    received: Option<Arc<Received>>,
    was_compressed: bool,
}

/// What a client may choose for one call. A handler's request has it, too, and is moved a few times: what few calls
/// choose is behind a pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) wait_for_ready: Option<bool>,
    /// Beside the timeout: the earlier of the two holds.
    pub(crate) deadline: Option<Instant>,
    /// The caller set the deadline, so that the channel's timeout does not hold. That of a call within which this one
    /// is made holds beside it.
    pub(crate) sets_deadline: bool,
    pub(crate) cancellation: Option<CancellationToken>,
    pub(crate) rare: Option<Box<RareOptions>>,
}

/// What a handler was called with: a [`Request`] or an [`Inbound`](super::Inbound).
pub trait Incoming {
    /// When the client gives the call up.
    fn deadline(&self) -> Option<Instant>;
    /// The token that tells of the call's cancellation.
    fn cancellation(&self) -> Option<&CancellationToken>;
}

impl<T> Incoming for Request<T> {
    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn cancellation(&self) -> Option<&CancellationToken> {
        self.cancellation()
    }
}

/// What a handler knows of its call besides what the client sent. The calls of a connection use the same one after the
/// other.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) peer: Peer,
    pub(crate) deadline: Option<Instant>,
    /// Made for the first who asks.
    cancellation: OnceLock<CancellationToken>,
    /// What the server can compress by.
    encodings: Arc<Encodings>,
}

impl Received {
    pub(crate) fn new(peer: Peer, deadline: Option<Instant>, encodings: Arc<Encodings>) -> Self {
        Received { peer, deadline, cancellation: OnceLock::new(), encodings }
    }

    pub(crate) fn cancellation(&self) -> &CancellationToken {
        self.cancellation.get_or_init(CancellationToken::new)
    }

    /// Becomes the next call's. False if somebody holds the token of the last.
    pub(crate) fn restart(&mut self, deadline: Option<Instant>) -> bool {
        self.deadline = deadline;
        self.cancellation.get_mut().is_none_or(CancellationToken::is_unused)
    }
}

/// What a server knows of a call besides its messages.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) metadata: Metadata,
    pub(crate) received: Arc<Received>,
    /// The one request message arrived compressed.
    pub(crate) was_compressed: bool,
}

impl<T> Request<T> {
    /// A request without metadata and with the channel's options.
    pub fn new(message: T) -> Self {
        Request::from_parts(message, Metadata::new(), CallOptions::default())
    }

    pub(crate) fn received(message: T, context: CallContext) -> Self {
        let CallContext { metadata, received, was_compressed } = context;
        let (options, received) = (CallOptions::default(), Some(received));
        Request { message, metadata, options, received, was_compressed }
    }

    pub(crate) fn from_parts(message: T, metadata: Metadata, options: CallOptions) -> Self {
        Request { message, metadata, options, received: None, was_compressed: false }
    }

    pub(crate) fn into_parts(self) -> (T, Metadata, CallOptions) {
        (self.message, self.metadata, self.options)
    }

    /// The message, and the rest.
    pub(crate) fn split(self) -> (Request<()>, T) {
        let Request { message, metadata, options, received, was_compressed } = self;
        (Request { message: (), metadata, options, received, was_compressed }, message)
    }

    /// What a handler's stream knows of its call.
    pub(crate) fn into_context(self) -> Option<CallContext> {
        let Request { metadata, received, was_compressed, .. } = self;
        Some(CallContext { metadata, received: received?, was_compressed })
    }

    /// The algorithms among which a handler of this request may choose.
    pub(crate) fn choices(&self) -> Option<SendCompression> {
        let encodings = Arc::clone(&self.received.as_ref()?.encodings);
        let accepted = encodings.accepted_by(self.metadata.accept_encoding());
        Some(SendCompression { encodings, accepted, chosen: None })
    }

    /// The message.
    pub fn message(&self) -> &T {
        &self.message
    }

    /// The message, to change it.
    pub fn message_mut(&mut self) -> &mut T {
        &mut self.message
    }

    /// The message alone.
    pub fn into_message(self) -> T {
        self.message
    }

    /// The client's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The client's metadata, to change it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Another message with the same metadata and options.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Request<U> {
        let Request { message, metadata, options, received, was_compressed } = self;
        Request { message: change(message), metadata, options, received, was_compressed }
    }

    /// On a client: the call ends with DEADLINE_EXCEEDED when it has not ended after this time. The server is told.
    /// Default: the channel's timeout, unless there is a [deadline](Request::set_deadline).
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.options.timeout = Some(timeout);
    }

    /// [`set_timeout`](Request::set_timeout), for chaining.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.set_timeout(timeout);
        self
    }

    /// On a client: the call ends with DEADLINE_EXCEEDED at this time. If there is a timeout, too, the earlier holds.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.options.deadline = Some(deadline);
        self.options.sets_deadline = true;
    }

    /// [`set_deadline`](Request::set_deadline), for chaining.
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.set_deadline(deadline);
        self
    }

    /// On a client: the call ends with CANCELLED when this token is cancelled. Without one, a call is cancelled by
    /// dropping it.
    pub fn with_cancellation(mut self, token: CancellationToken) -> Self {
        self.options.cancellation = Some(token);
        self
    }

    /// On a client: the call is made on behalf of one that a handler serves. It ends when that does: at its deadline at
    /// the latest, of which the server is told, and with its cancellation.
    ///
    /// ```
    /// # use lariat::{Request, Response, Status, UnaryCall};
    /// # fn other_service(_: Request<String>) -> UnaryCall<String> { unimplemented!() }
    /// async fn handler(request: Request<String>) -> Result<Response<String>, Status> {
    ///     let further = Request::new(request.message().clone()).within(&request);
    ///     other_service(further).await
    /// }
    /// ```
    pub fn within(mut self, incoming: &impl Incoming) -> Self {
        let deadlines = [self.options.deadline, incoming.deadline()];
        self.options.deadline = deadlines.into_iter().flatten().min();
        self.options.cancellation = incoming.cancellation().cloned();
        self
    }

    /// On a client: whether the call waits for a connection when connecting fails, up to its deadline, rather than to
    /// fail with UNAVAILABLE. Default: it does not.
    pub fn with_wait_for_ready(mut self, wait: bool) -> Self {
        self.options.wait_for_ready = Some(wait);
        self
    }

    /// On a client: the largest response message the call accepts, in octets. Default: the channel's.
    pub fn with_max_receive_message_size(mut self, octets: usize) -> Self {
        self.rare().max_receive_message_size = Some(octets);
        self
    }

    /// On a client: the largest request message the call sends, in octets. Default: the channel's.
    pub fn with_max_send_message_size(mut self, octets: usize) -> Self {
        self.rare().max_send_message_size = Some(octets);
        self
    }

    /// On a client: shows the server by these who makes the call, beside the channel's call credentials. They go over
    /// connections alone that are as secure as they require.
    pub fn with_call_credentials(mut self, credentials: impl CallCredentials) -> Self {
        self.rare().credentials = Some(SharedCallCredentials(Arc::new(credentials)));
        self
    }

    /// On a client: the `:authority` of the call in place of the channel's, for servers that are several in one. Over
    /// TLS the call ends with UNAVAILABLE if the server's certificate is not for that name as well (gRFC A81); where
    /// nothing is authenticated, any name goes. Call credentials are made out to it.
    pub fn with_authority(mut self, authority: impl Into<String>) -> Self {
        self.rare().authority = Some(authority.into());
        self
    }

    /// On a client: how many octets of the call's requests are kept to be sent again. Default: the channel's
    /// [`retry_buffer_size`](crate::client::ChannelBuilder::retry_buffer_size).
    pub fn with_retry_buffer_size(mut self, octets: usize) -> Self {
        self.rare().retry_buffer_size = Some(octets);
        self
    }

    /// On a client: has a closure told once how the call ended, however it does: with success, a status, a deadline, by
    /// cancellation or by being dropped. It is told before the call's user is, of the call as the user sees it, not of
    /// its attempts. With several closures, in order. Each call made of a clone of the request tells them for itself.
    ///
    /// They run on the call's loop, and must not block.
    ///
    /// ```
    /// # use lariat::Request;
    /// let request = Request::new("hello").on_finish(|result| match result {
    ///     Ok(()) => println!("it went well"),
    ///     Err(status) => println!("it failed: {status}"),
    /// });
    /// # let _ = request;
    /// ```
    pub fn on_finish(mut self, hook: impl Fn(Result<(), &Status>) + Send + Sync + 'static) -> Self {
        self.rare().on_finish(hook);
        self
    }

    fn rare(&mut self) -> &mut RareOptions {
        self.options.rare.get_or_insert_default()
    }

    /// In a handler: who calls.
    pub fn peer(&self) -> Option<&Peer> {
        self.received.as_ref().map(|received| &received.peer)
    }

    /// When the client gives the call up. In a handler: its future is dropped then. On a client: the deadline that was
    /// set; in an interceptor also the one that the timeout makes.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.received {
            Some(received) => received.deadline,
            None => self.options.deadline,
        }
    }

    /// On a client: the algorithm that compresses the request's messages, such as `gzip`; `identity` for none. Default:
    /// the channel's. One that the channel does not know ends the call with INTERNAL.
    pub fn with_compression(mut self, algorithm: impl Into<Cow<'static, str>>) -> Self {
        self.rare().compression.algorithm = Some(algorithm.into());
        self
    }

    /// On a client: sends this one message as it is in a call that is compressed otherwise, because it would not become
    /// smaller or mixes a secret with what an attacker chose.
    pub fn with_uncompressed_message(mut self) -> Self {
        self.rare().compression.leaves_message = true;
        self
    }

    /// On a client, for interceptors: the algorithm that was chosen by
    /// [`with_compression`](Request::with_compression), or the channel's default.
    pub fn compression(&self) -> Option<&str> {
        self.options.rare.as_ref()?.compression.algorithm.as_deref()
    }

    /// In a handler: whether the message arrived compressed.
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    /// In a handler: the algorithms that the client accepts beside `identity`.
    pub fn accepted_compression(&self) -> impl Iterator<Item = &str> {
        self.metadata.accepted_encodings()
    }

    /// In a handler: the token that tells work outside the handler's future of the call's cancellation.
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.received.as_ref().map(|received| received.cancellation())
    }
}

/// What the methods of a client accept: a message, or a [`Request`] with metadata and options.
pub trait IntoRequest<T> {
    /// The request.
    fn into_request(self) -> Request<T>;
}

impl<T> IntoRequest<T> for T {
    fn into_request(self) -> Request<T> {
        Request::new(self)
    }
}

impl<T> IntoRequest<T> for Request<T> {
    fn into_request(self) -> Request<T> {
        self
    }
}
