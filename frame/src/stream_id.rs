//! [`StreamId`]: the number of a stream within its connection.

use std::fmt;

/// The identifier of a stream: 31 bits, zero for the connection as a whole (RFC 9113 §5.1.1).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The connection itself.
    pub const ZERO: StreamId = StreamId(0);
    /// The largest identifier; in a GOAWAY it says "no stream is refused yet" (RFC 9113 §6.8).
    pub const MAX: StreamId = StreamId(Self::MASK);

    const MASK: u32 = 0x7fff_ffff;

    /// The identifier in the lower 31 bits of `id`; the reserved top bit is ignored (RFC 9113 §4.1).
    #[inline]
    pub const fn new(id: u32) -> Self {
        StreamId(id & Self::MASK)
    }

    /// The identifier as a number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether this means the connection and not a stream.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether a client opens the streams of this number: the odd ones (RFC 9113 §5.1.1).
    #[inline]
    pub const fn is_client_initiated(self) -> bool {
        self.0 & 1 == 1
    }
}

impl From<StreamId> for u32 {
    #[inline]
    fn from(id: StreamId) -> u32 {
        id.0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_bit_is_ignored() {
        assert_eq!(StreamId::new(0x8000_0003), StreamId::new(3));
        assert_eq!(StreamId::new(u32::MAX), StreamId::MAX);
    }

    #[test]
    fn odd_streams_belong_to_the_client() {
        assert!(StreamId::new(1).is_client_initiated());
        assert!(!StreamId::new(2).is_client_initiated());
        assert!(StreamId::ZERO.is_zero() && !StreamId::ZERO.is_client_initiated());
    }
}
