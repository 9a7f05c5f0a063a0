//! [`FrameError`]: how an arriving frame broke RFC 9113, and what it costs the peer.

use crate::{ErrorCode, StreamId};
use std::fmt;

/// How far the damage of an error goes (RFC 9113 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The connection can't go on: GOAWAY, then close.
    Connection,
    /// Only this stream ends, by RST_STREAM.
    Stream(StreamId),
}

/// A frame that the peer must not have sent.
///
/// RST_STREAM must never be sent for an idle stream (RFC 9113 §5.1): whoever keeps the states turns an error
/// with [`Scope::Stream`] on an idle stream into one of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// What has to end.
    pub scope: Scope,
    /// The code to send in RST_STREAM or GOAWAY.
    pub code: ErrorCode,
    /// What the peer did, in words fit for a log or a GOAWAY.
    pub rule: &'static str,
    /// Where the rule stands, such as `RFC 9113 §6.7`.
    pub section: &'static str,
    /// For [`Scope::Stream`]: the octets of the whole offending frame, all of them in the input, to skip.
    /// Otherwise 0.
    pub consumed: usize,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Connection => write!(f, "peer error {}: {} ({})", self.code, self.rule, self.section),
            Scope::Stream(id) => {
                write!(f, "peer error {} on stream {id}: {} ({})", self.code, self.rule, self.section)
            }
        }
    }
}

impl std::error::Error for FrameError {}
