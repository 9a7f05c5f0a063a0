//! A request: its message, its metadata, and what a client wants of the call or a handler knows of it.

use std::time::{Duration, Instant};

use super::CancellationToken;
use crate::net::Peer;
use crate::rpc::Metadata;

/// A request with its metadata.
///
/// A client may add a timeout and other options of the call; a handler finds who called and when the client gives up.
#[derive(Debug)]
pub struct Request<T> {
    message: T,
    metadata: Metadata,
    options: CallOptions,
    received: Option<Received>,
}

/// What a client may choose for one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) wait_for_ready: Option<bool>,
    pub(crate) max_receive_message_size: Option<usize>,
    pub(crate) max_send_message_size: Option<usize>,
}

#[derive(Debug)]
struct Received {
    peer: Peer,
    deadline: Option<Instant>,
    cancellation: CancellationToken,
}

/// What a server knows of a call besides its messages.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) metadata: Metadata,
    pub(crate) peer: Peer,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: CancellationToken,
}

impl<T> Request<T> {
    /// A request without metadata and with the channel's options.
    pub fn new(message: T) -> Self {
        Request { message, metadata: Metadata::new(), options: CallOptions::default(), received: None }
    }

    pub(crate) fn received(message: T, context: CallContext) -> Self {
        let CallContext { metadata, peer, deadline, cancellation } = context;
        let received = Some(Received { peer, deadline, cancellation });
        Request { message, metadata, options: CallOptions::default(), received }
    }

    pub(crate) fn into_parts(self) -> (T, Metadata, CallOptions) {
        (self.message, self.metadata, self.options)
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
        let Request { message, metadata, options, received } = self;
        Request { message: change(message), metadata, options, received }
    }

    /// On a client: the call ends with DEADLINE_EXCEEDED when it has not ended after this time. The server is told.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.options.timeout = Some(timeout);
    }

    /// [`set_timeout`](Request::set_timeout), for chaining.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.set_timeout(timeout);
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
        self.options.max_receive_message_size = Some(octets);
        self
    }

    /// On a client: the largest request message the call sends, in octets. Default: the channel's.
    pub fn with_max_send_message_size(mut self, octets: usize) -> Self {
        self.options.max_send_message_size = Some(octets);
        self
    }

    /// In a handler: who calls.
    pub fn peer(&self) -> Option<&Peer> {
        self.received.as_ref().map(|received| &received.peer)
    }

    /// In a handler: when the client gives the call up. The handler's future is dropped then.
    pub fn deadline(&self) -> Option<Instant> {
        self.received.as_ref().and_then(|received| received.deadline)
    }

    /// In a handler: the token that tells work outside the handler's future of the call's cancellation.
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.received.as_ref().map(|received| &received.cancellation)
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
