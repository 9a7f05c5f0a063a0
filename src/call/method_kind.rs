//! The four kinds of methods.

/// Whether a method's request and response are one message or a stream of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One message each way.
    Unary,
    /// A stream of requests, one response.
    ClientStreaming,
    /// One request, a stream of responses.
    ServerStreaming,
    /// A stream each way.
    BidiStreaming,
}

impl MethodKind {
    /// Whether the client sends any number of messages.
    pub fn has_streaming_request(self) -> bool {
        matches!(self, MethodKind::ClientStreaming | MethodKind::BidiStreaming)
    }

    /// Whether the server sends any number of messages.
    pub fn has_streaming_response(self) -> bool {
        matches!(self, MethodKind::ServerStreaming | MethodKind::BidiStreaming)
    }
}
