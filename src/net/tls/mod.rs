//! TLS by rustls, between a socket and its session.
//!
//! A [`TlsStream`] belongs to one connection and does no input or output: the connection reads ciphertext into the
//! memory that all connections of its loop share, has it decrypted, and hands the plaintext to the session. What is to
//! be sent is encrypted into that memory as well, right before it is written. rustls' unbuffered interface makes this
//! possible: it keeps no buffers of its own, so an idle connection holds its keys and nothing else, and the loop reads
//! as much at once as it does without TLS, where the buffered interface would read 4 KiB.

mod failure;
mod host;
mod info;
mod stream;

pub(crate) use host::host_of;
pub use info::{TlsInfo, TlsVersion};
pub(crate) use stream::{FailureHook, TlsStream};

/// The application protocol of gRPC (RFC 9113 §3.1, gRPC's `PROTOCOL-HTTP2.md`).
pub(crate) const ALPN: &[u8] = b"h2";
