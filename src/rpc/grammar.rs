//! Which parts of a call may follow which, for either side (PROTOCOL-HTTP2.md, "Outline").
//!
//! A client sends `Request-Headers *Message END_STREAM` and a server answers `Response-Headers *Message Trailers` or
//! `Trailers-Only`; methods whose side does not stream have exactly one message. [`ServerCall`] reads the former,
//! [`ClientCall`] the latter. Both are fed with the events of one HTTP/2 stream and hold nothing while a message lies
//! in one DATA frame.

mod client_call;
mod server_call;

pub(crate) use client_call::{ClientCall, HeadersOutcome, KnownResponse, Violation};
pub(crate) use server_call::ServerCall;

/// How many messages one side of a call sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cardinality {
    /// Exactly one.
    One,
    /// Any number: the method streams in this direction.
    Many,
}
