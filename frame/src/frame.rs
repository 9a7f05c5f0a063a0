//! [`Frame`]: one HTTP/2 frame, borrowing from the octets it came in.

use crate::{ErrorCode, SettingEntries, StreamId};

/// A frame (RFC 9113 §6). Flags that its type doesn't define are ignored, as are the reserved bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Octets of a message body (§6.1).
    Data {
        /// Never zero.
        stream: StreamId,
        /// The content without padding.
        payload: &'a [u8],
        /// Octets that flow control counts besides the payload: the pad-length octet and the padding. At most
        /// 256.
        padding: u32,
        /// The sender sends nothing more on this stream.
        end_stream: bool,
    },
    /// Opens a stream, or carries its response, interim responses or trailers (§6.2).
    Headers {
        /// Never zero.
        stream: StreamId,
        /// The header block, or its first part unless `end_headers`.
        fragment: &'a [u8],
        /// The deprecated priority fields, where present.
        priority: Option<Priority>,
        /// The sender sends nothing more on this stream after the header block.
        end_stream: bool,
        /// No CONTINUATION follows.
        end_headers: bool,
    },
    /// The deprecated stream priority (§6.3).
    Priority {
        /// Never zero; the stream may be in any state.
        stream: StreamId,
        /// What it asks for.
        priority: Priority,
    },
    /// Ends one stream at once (§6.4).
    RstStream {
        /// Never zero.
        stream: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// Parameters of the sender's side, or the acknowledgement of ours (§6.5).
    Settings {
        /// Whether this acknowledges; then there are no entries.
        ack: bool,
        /// The parameters in their order, not judged yet.
        entries: SettingEntries<'a>,
    },
    /// Announces a stream that a server opens (§6.6).
    PushPromise {
        /// The stream it is sent on; never zero.
        stream: StreamId,
        /// The stream that is promised, not judged yet.
        promised: StreamId,
        /// The header block of the promised request, or its first part unless `end_headers`.
        fragment: &'a [u8],
        /// No CONTINUATION follows.
        end_headers: bool,
    },
    /// Measures a round trip, or answers (§6.7).
    Ping {
        /// Whether this answers.
        ack: bool,
        /// Eight opaque octets, the same in question and answer.
        payload: [u8; 8],
    },
    /// The sender accepts no further streams (§6.8).
    GoAway {
        /// The highest stream that the sender may have acted on.
        last_stream: StreamId,
        /// Why.
        code: ErrorCode,
        /// Opaque octets for diagnosis; text by habit, of any length up to the frame's.
        debug: &'a [u8],
    },
    /// Credit for DATA (§6.9).
    WindowUpdate {
        /// Zero for the connection's window.
        stream: StreamId,
        /// Octets, 1 to 2^31-1.
        increment: u32,
    },
    /// The next part of a header block (§6.10).
    Continuation {
        /// Never zero.
        stream: StreamId,
        /// The part.
        fragment: &'a [u8],
        /// The block is complete.
        end_headers: bool,
    },
    /// A frame of a type that RFC 9113 doesn't define; it is to be ignored (§5.5).
    Unknown {
        /// Its type.
        kind: u8,
        /// Its stream, zero or not.
        stream: StreamId,
        /// All of its payload.
        payload: &'a [u8],
    },
}

/// The deprecated priority of a stream (RFC 9113 §5.3.2); parsed to check its size, otherwise of no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The stream it depends on.
    pub dependency: StreamId,
    /// Whether it depends alone.
    pub exclusive: bool,
    /// The weight less one, as on the wire.
    pub weight: u8,
}

impl Priority {
    /// Octets on the wire.
    pub(crate) const LEN: usize = 5;

    const EXCLUSIVE: u32 = 0x8000_0000;

    pub(crate) const fn decode(octets: &[u8; Priority::LEN]) -> Priority {
        let [d3, d2, d1, d0, weight] = *octets;
        let dependency = u32::from_be_bytes([d3, d2, d1, d0]);
        Priority {
            dependency: StreamId::new(dependency),
            exclusive: dependency & Self::EXCLUSIVE != 0,
            weight,
        }
    }

    pub(crate) const fn encode(self) -> [u8; Priority::LEN] {
        let exclusive = if self.exclusive { Self::EXCLUSIVE } else { 0 };
        let [d3, d2, d1, d0] = (self.dependency.get() | exclusive).to_be_bytes();
        [d3, d2, d1, d0, self.weight]
    }
}
