//! [`Shutdown`] and [`PeerGoAway`]: how far the end of a connection has come on either side (RFC 9113 §6.8).

use bytes::Bytes;
use lariat_frame::{ErrorCode, StreamId};
use std::time::Duration;

/// The payload of the PING behind a server's first GOAWAY, the one of grpc-go.
pub(crate) const PING: [u8; 8] = [1, 6, 1, 8, 0, 3, 3, 9];

/// How long a server waits for that PING's answer before it sends the second GOAWAY anyway.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How far this side's graceful shutdown has come.
///
/// A server can't know which streams are on their way when it decides to stop. So it first says that it will, with the
/// highest identifier there is, and a PING; when the answer comes the client has read that, all streams it had opened
/// are here, and a second GOAWAY names the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Not begun.
    None,
    /// The first GOAWAY is out; streams are still accepted.
    Announced { debug: &'static str },
    /// The last GOAWAY is out: no stream after `last_stream` is dealt with.
    Final { last_stream: StreamId, debug: &'static str },
}

/// A GOAWAY of the peer: the last one if there were several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerGoAway {
    /// The last stream that the peer deals with.
    pub last_stream: StreamId,
    /// Why.
    pub code: ErrorCode,
    /// Text for diagnosis by habit.
    pub debug: Bytes,
}
