//! The nine octets in front of every frame, and the numbers in them (RFC 9113 §4.1).

use crate::StreamId;

/// Octets of a frame header.
pub const FRAME_HEADER_LEN: usize = 9;

/// The largest payload that a peer may send before it was told otherwise, in octets (RFC 9113 §4.2).
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// The largest value that SETTINGS_MAX_FRAME_SIZE can have: what the 24 bits of the length can say (RFC 9113
/// §6.5.2).
pub const MAX_MAX_FRAME_SIZE: u32 = 16_777_215;

/// The frame types of RFC 9113 §6.
#[allow(missing_docs, reason = "each is the frame of that name")]
pub mod kind {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// The flags of RFC 9113 §6. One bit means different things on different frame types.
pub mod flag {
    /// SETTINGS and PING: this answers one.
    pub const ACK: u8 = 0x1;
    /// DATA and HEADERS: the sender sends nothing more on this stream.
    pub const END_STREAM: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE and CONTINUATION: the header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS and PUSH_PROMISE: a pad length stands in front and padding at the end.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: the deprecated priority fields stand in front of the block.
    pub const PRIORITY: u8 = 0x20;
}

/// A frame header taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) len: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: StreamId,
}

impl Head {
    #[inline]
    pub(crate) const fn decode(octets: &[u8; FRAME_HEADER_LEN]) -> Head {
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = *octets;
        Head {
            len: u32::from_be_bytes([0, l2, l1, l0]) as usize,
            kind,
            flags,
            stream: StreamId::new(u32::from_be_bytes([s3, s2, s1, s0])),
        }
    }

    #[inline]
    pub(crate) const fn encode(self) -> [u8; FRAME_HEADER_LEN] {
        debug_assert!(self.len <= MAX_MAX_FRAME_SIZE as usize);
        let [_, l2, l1, l0] = (self.len as u32).to_be_bytes();
        let [s3, s2, s1, s0] = self.stream.get().to_be_bytes();
        [l2, l1, l0, self.kind, self.flags, s3, s2, s1, s0]
    }

    #[inline]
    pub(crate) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
