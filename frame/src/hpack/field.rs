//! [`Field`]: a header field, and how it may be compressed.

use std::fmt;

/// What an encoder may do with a field (RFC 7541 §6.2), and what was done with a received one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// Kept in the dynamic table: for what repeats on a connection.
    #[default]
    Index,
    /// Not kept: for what differs from call to call, which would only push out what repeats.
    Skip,
    /// Never kept, by nobody on the way: for secrets, which could be guessed through a shared table (RFC 7541
    /// §7.1.3).
    Never,
}

/// A header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// In lower case on the wire.
    pub name: &'a [u8],
    /// Any octets as far as HPACK is concerned.
    pub value: &'a [u8],
    /// How it may be, or was, compressed.
    pub indexing: Indexing,
}

/// Shows name and value; the value of a field that is never to be indexed is a secret and is left out.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.indexing {
            Indexing::Never => write!(f, "{}: <redacted>", self.name.escape_ascii()),
            _ => write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii()),
        }
    }
}
