//! A response: its message, its initial metadata and its trailers.

use std::borrow::Cow;

use super::Compression;
use crate::net::Peer;
use crate::rpc::Metadata;

/// A response with its metadata.
#[derive(Clone, Debug, Default)]
pub struct Response<T> {
    message: T,
    metadata: Metadata,
    trailers: Metadata,
    /// What few handlers choose.
    compression: Option<Box<Compression>>,
    was_compressed: bool,
    /// On a client.
    peer: Option<Peer>,
}

impl<T> Response<T> {
    /// A response without metadata.
    pub fn new(message: T) -> Self {
        Response::from_parts(message, Metadata::new(), Metadata::new())
    }

    pub(crate) fn from_parts(message: T, metadata: Metadata, trailers: Metadata) -> Self {
        Response { message, metadata, trailers, compression: None, was_compressed: false, peer: None }
    }

    pub(crate) fn into_parts(self) -> (T, Metadata, Metadata) {
        (self.message, self.metadata, self.trailers)
    }

    pub(crate) fn take_compression(&mut self) -> Option<Box<Compression>> {
        self.compression.take()
    }

    pub(crate) fn take_leaves_message(&mut self) -> bool {
        self.compression.as_mut().is_some_and(|choice| std::mem::take(&mut choice.leaves_message))
    }

    pub(crate) fn set_was_compressed(&mut self, was_compressed: bool) {
        self.was_compressed = was_compressed;
    }

    pub(crate) fn set_peer(&mut self, peer: Option<Peer>) {
        self.peer = peer;
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

    /// The server's initial metadata, which precede the message.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The initial metadata, to change them.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The server's trailers, which follow the message.
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// The trailers, to change them.
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        &mut self.trailers
    }

    /// In a handler: the algorithm that compresses the message, such as `gzip`; `identity` for none. Default: the
    /// server's, which is the request's own unless it was set. If the client does not accept it, the message is sent as
    /// it is; one that the server does not know ends the call with INTERNAL.
    pub fn with_compression(mut self, algorithm: impl Into<Cow<'static, str>>) -> Self {
        self.compression.get_or_insert_default().algorithm = Some(algorithm.into());
        self
    }

    /// In a handler: sends this one message as it is in a call that is compressed otherwise.
    pub fn with_uncompressed_message(mut self) -> Self {
        self.compression.get_or_insert_default().leaves_message = true;
        self
    }

    /// On a server, for interceptors: the algorithm that was chosen by
    /// [`with_compression`](Response::with_compression).
    pub fn compression(&self) -> Option<&str> {
        self.compression.as_ref()?.algorithm.as_deref()
    }

    /// On a client: whether the message arrived compressed.
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    /// On a client: who has answered.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Another message with the same metadata.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Response<U> {
        let Response { message, metadata, trailers, compression, was_compressed, peer } = self;
        Response { message: change(message), metadata, trailers, compression, was_compressed, peer }
    }
}
