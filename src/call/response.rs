//! A response: its message, its initial metadata and its trailers.

use crate::rpc::Metadata;

/// A response with its metadata.
#[derive(Clone, Debug, Default)]
pub struct Response<T> {
    message: T,
    metadata: Metadata,
    trailers: Metadata,
}

impl<T> Response<T> {
    /// A response without metadata.
    pub fn new(message: T) -> Self {
        Response { message, metadata: Metadata::new(), trailers: Metadata::new() }
    }

    pub(crate) fn from_parts(message: T, metadata: Metadata, trailers: Metadata) -> Self {
        Response { message, metadata, trailers }
    }

    pub(crate) fn into_parts(self) -> (T, Metadata, Metadata) {
        (self.message, self.metadata, self.trailers)
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

    /// Another message with the same metadata.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Response<U> {
        Response { message: change(self.message), metadata: self.metadata, trailers: self.trailers }
    }
}
