//! The errors: why a connection ended, and why a command was refused.

use bytes::Bytes;
use lariat_frame::ErrorCode;
use std::fmt;

/// Whose decision ended a stream or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The peer's: it sent RST_STREAM or GOAWAY, or closed its side.
    Remote,
    /// This side's, because of this rule: the peer broke it, a limit was reached, or the application closed.
    Library(&'static str),
}

/// Why a connection is closed.
///
/// With the code NO_ERROR it ended in an orderly way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code that was sent in GOAWAY, or received in one.
    pub code: ErrorCode,
    /// Who ended it.
    pub by: Initiator,
    /// What happened: the rule that was broken, the limit that was hit, or the event.
    pub rule: &'static str,
    /// Where the rule stands, such as `RFC 9113 §6.7`; empty when there is no such place.
    pub section: &'static str,
    /// The debug data of the GOAWAY that was sent or received; text by habit.
    pub debug: Bytes,
}

impl ConnectionError {
    /// Whether the peer, a gRPC server, said that it is sent too many PINGs: keepalive time is to be doubled before the
    /// next connection (gRFC A8).
    pub fn is_too_many_pings(&self) -> bool {
        self.by == Initiator::Remote
            && self.code == ErrorCode::ENHANCE_YOUR_CALM
            && self.debug.as_ref() == crate::keepalive::TOO_MANY_PINGS
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        if !self.section.is_empty() {
            write!(f, " ({})", self.section)?;
        }
        match self.by {
            Initiator::Remote if self.code == ErrorCode::NO_ERROR && self.debug.is_empty() => Ok(()),
            Initiator::Remote => {
                write!(
                    f,
                    ", received goaway: code: {}, debug data: \"{}\"",
                    self.code,
                    self.debug.escape_ascii()
                )
            }
            Initiator::Library(_) => write!(f, ", closed by this side with {}", self.code),
        }
    }
}

impl std::error::Error for ConnectionError {}

/// Why [`Connection::open`](crate::Connection::open) opened no stream. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// GOAWAY was received or sent: use another connection.
    Draining,
    /// The server's SETTINGS_MAX_CONCURRENT_STREAMS is reached: wait for [`Event::StreamsAvailable`](crate::Event).
    StreamLimit,
    /// The connection is closed; `close_reason` says why.
    Closed,
    /// The peer doesn't accept header lists of this size (RFC 9113 §6.5.2).
    HeaderListTooLarge {
        /// Octets of the list, 32 for each field included.
        size: usize,
        /// What the peer accepts.
        limit: usize,
    },
    /// Three quarters of the stream identifiers are used up: use another connection, so that this one can finish its
    /// streams in peace (RFC 9113 §5.1.1).
    IdsExhausted,
    /// A server opens no streams.
    NotClient,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Draining => f.write_str("the connection is shutting down"),
            OpenError::StreamLimit => f.write_str("the peer's limit of concurrent streams is reached"),
            OpenError::Closed => f.write_str("the connection is closed"),
            OpenError::HeaderListTooLarge { size, limit } => {
                write!(f, "the header list is larger than the peer accepts ({size} vs. {limit} octets)")
            }
            OpenError::IdsExhausted => f.write_str("the connection's stream identifiers are used up"),
            OpenError::NotClient => f.write_str("a server can't open streams"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a command on a stream had no effect. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The stream is gone: it was reset, or both sides have ended it.
    Gone,
    /// This side has ended the stream already.
    Ended,
    /// A server's response must start with a header list.
    HeadMissing,
    /// A second header list, trailers, must end the stream (RFC 9113 §8.1).
    TrailersWithoutEnd,
    /// The peer doesn't accept header lists of this size (RFC 9113 §6.5.2).
    HeaderListTooLarge {
        /// Octets of the list, 32 for each field included.
        size: usize,
        /// What the peer accepts.
        limit: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Gone => f.write_str("the stream is gone"),
            SendError::Ended => f.write_str("the stream was ended by this side already"),
            SendError::HeadMissing => f.write_str("DATA before the response's header list"),
            SendError::TrailersWithoutEnd => f.write_str("trailers that don't end the stream"),
            SendError::HeaderListTooLarge { size, limit } => {
                write!(f, "the header list is larger than the peer accepts ({size} vs. {limit} octets)")
            }
        }
    }
}

impl std::error::Error for SendError {}
