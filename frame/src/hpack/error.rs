//! [`Error`]: how a header block broke RFC 7541.

use std::fmt;

/// A header block that can't be decoded. The two sides' tables differ from here on, so this always ends the
/// connection with [`COMPRESSION_ERROR`](crate::ErrorCode::COMPRESSION_ERROR) (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the peer did, in words fit for a log or a GOAWAY.
    pub rule: &'static str,
    /// Where the rule stands, such as `RFC 7541 §5.1`.
    pub section: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer sent a malformed header block: {} ({})", self.rule, self.section)
    }
}

impl std::error::Error for Error {}
