//! Frames appended to a `Vec<u8>`, one function for each type.
//!
//! Nothing is checked that a correct caller can't get wrong by itself: identifiers, windows and sizes are the
//! caller's, except that header blocks are split to the peer's frame size here.

use crate::head::{FRAME_HEADER_LEN, Head, flag, kind};
use crate::{ErrorCode, Frame, Priority, StreamId};

/// Any frame header at all; `len` octets of payload are the caller's to append. The other functions of this
/// module build on it; by itself it serves extension frames, and tests that break rules.
#[inline]
pub fn frame_header(out: &mut Vec<u8>, len: usize, kind: u8, flags: u8, stream: StreamId) {
    out.extend_from_slice(&Head { len, kind, flags, stream }.encode());
}

/// The header of a DATA frame; the caller appends the `len` octets of payload, or chains them.
#[inline]
pub fn data_header(out: &mut Vec<u8>, stream: StreamId, len: usize, end_stream: bool) {
    frame_header(out, len, kind::DATA, if end_stream { flag::END_STREAM } else { 0 }, stream);
}

/// A DATA frame whole, with a pad-length octet and `padding` octets of zero at its end.
pub fn data_padded(out: &mut Vec<u8>, stream: StreamId, payload: &[u8], padding: u8, end_stream: bool) {
    let flags = flag::PADDED | if end_stream { flag::END_STREAM } else { 0 };
    frame_header(out, 1 + payload.len() + usize::from(padding), kind::DATA, flags, stream);
    out.push(padding);
    out.extend_from_slice(payload);
    out.resize(out.len() + usize::from(padding), 0);
}

/// A header block as HEADERS, and CONTINUATION frames as needed: no payload is longer than `max_frame_size`,
/// the peer's SETTINGS_MAX_FRAME_SIZE (RFC 9113 §4.3).
#[inline]
pub fn headers(out: &mut Vec<u8>, stream: StreamId, block: &[u8], max_frame_size: u32, end_stream: bool) {
    if block.len() > max_frame_size as usize {
        return headers_with(out, stream, max_frame_size, end_stream, |out| out.extend_from_slice(block));
    }
    let flags = flag::END_HEADERS | if end_stream { flag::END_STREAM } else { 0 };
    frame_header(out, block.len(), kind::HEADERS, flags, stream);
    out.extend_from_slice(block);
}

/// A HEADERS frame with a whole header block, made once to be sent on many streams.
pub struct HeadersFrame {
    /// The frame, the header of a DATA frame, and zeros up to [`SHORT`](Self::SHORT) octets.
    octets: Vec<u8>,
    block_len: usize,
}

impl HeadersFrame {
    /// A short frame is copied as so many octets: a copy of fixed size needs no call.
    const SHORT: usize = 32;

    /// A frame with this block, which must fit one frame.
    pub fn new(block: &[u8]) -> Self {
        let len = 2 * FRAME_HEADER_LEN + block.len();
        let mut octets = Vec::with_capacity(len.max(Self::SHORT));
        frame_header(&mut octets, block.len(), kind::HEADERS, flag::END_HEADERS, StreamId::ZERO);
        octets.extend_from_slice(block);
        frame_header(&mut octets, 0, kind::DATA, 0, StreamId::ZERO);
        octets.resize(len.max(Self::SHORT), 0);
        HeadersFrame { octets, block_len: block.len() }
    }

    /// The header block.
    #[inline]
    pub fn block(&self) -> &[u8] {
        self.octets.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + self.block_len).unwrap_or_default()
    }

    /// Appends the first `len` octets.
    #[inline(always)]
    fn append(&self, out: &mut Vec<u8>, len: usize) {
        match self.octets.first_chunk::<{ Self::SHORT }>() {
            Some(octets) if len <= Self::SHORT => {
                let end = out.len() + len;
                out.extend_from_slice(octets);
                out.truncate(end);
            }
            _ => out.extend_from_slice(self.octets.get(..len).unwrap_or_default()),
        }
    }

    /// Appends the frame, on this stream.
    #[inline(always)]
    pub fn write(&self, out: &mut Vec<u8>, stream: StreamId, end_stream: bool) {
        let start = out.len();
        self.append(out, FRAME_HEADER_LEN + self.block_len);
        if let Some([_, _, _, _, flags, id @ ..]) =
            out.get_mut(start..).and_then(|frame| frame.first_chunk_mut::<FRAME_HEADER_LEN>())
        {
            *flags = flag::END_HEADERS | if end_stream { flag::END_STREAM } else { 0 };
            *id = stream.get().to_be_bytes();
        }
    }

    /// Appends the frame and behind it the header of a DATA frame, neither of which ends the stream; the caller appends
    /// the `len` octets of payload.
    #[inline(always)]
    pub fn write_before_data(&self, out: &mut Vec<u8>, stream: StreamId, len: usize) {
        let start = out.len();
        self.append(out, FRAME_HEADER_LEN + self.block_len + FRAME_HEADER_LEN);
        let frames = out.get_mut(start..).unwrap_or_default();
        if let Some([_, _, _, _, _, id @ ..]) = frames.first_chunk_mut::<FRAME_HEADER_LEN>() {
            *id = stream.get().to_be_bytes();
        }
        if let Some(header) = frames.last_chunk_mut::<FRAME_HEADER_LEN>() {
            *header = Head { len, kind: kind::DATA, flags: 0, stream }.encode();
        }
    }
}

/// As [`headers`], with the block written in place by `fill`, which must only append. The block usually fits
/// one frame and is then never copied.
#[inline]
pub fn headers_with(
    out: &mut Vec<u8>,
    stream: StreamId,
    max_frame_size: u32,
    end_stream: bool,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let flags = if end_stream { flag::END_STREAM } else { 0 };
    let head = Head { len: 0, kind: kind::HEADERS, flags, stream };
    block_in_place(out, head, 0, max_frame_size, fill);
}

/// A HEADERS frame with the deprecated priority fields and with padding, in one frame. `padding` of `None`
/// leaves out the pad-length octet, too.
pub fn headers_with_priority(
    out: &mut Vec<u8>,
    stream: StreamId,
    block: &[u8],
    priority: Priority,
    padding: Option<u8>,
    end_stream: bool,
) {
    let pad = padding.map_or(0, |octets| 1 + usize::from(octets));
    let mut flags = flag::END_HEADERS | flag::PRIORITY;
    if padding.is_some() {
        flags |= flag::PADDED;
    }
    if end_stream {
        flags |= flag::END_STREAM;
    }
    frame_header(out, pad + Priority::LEN + block.len(), kind::HEADERS, flags, stream);
    out.extend(padding);
    out.extend_from_slice(&priority.encode());
    out.extend_from_slice(block);
    out.resize(out.len() + usize::from(padding.unwrap_or(0)), 0);
}

/// A PRIORITY frame.
pub fn priority(out: &mut Vec<u8>, stream: StreamId, priority: Priority) {
    frame_header(out, Priority::LEN, kind::PRIORITY, 0, stream);
    out.extend_from_slice(&priority.encode());
}

/// An RST_STREAM frame.
pub fn rst_stream(out: &mut Vec<u8>, stream: StreamId, code: ErrorCode) {
    frame_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// A SETTINGS frame of `(identifier, value)` entries; see [`crate::setting`].
pub fn settings(out: &mut Vec<u8>, entries: &[(u16, u32)]) {
    frame_header(out, crate::setting::ENTRY_LEN * entries.len(), kind::SETTINGS, 0, StreamId::ZERO);
    for (id, value) in entries {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The acknowledgement of the peer's SETTINGS.
pub fn settings_ack(out: &mut Vec<u8>) {
    frame_header(out, 0, kind::SETTINGS, flag::ACK, StreamId::ZERO);
}

/// A PUSH_PROMISE, and CONTINUATION frames as needed.
pub fn push_promise(
    out: &mut Vec<u8>,
    stream: StreamId,
    promised: StreamId,
    block: &[u8],
    max_frame_size: u32,
) {
    let head = Head { len: 0, kind: kind::PUSH_PROMISE, flags: 0, stream };
    block_in_place(out, head, 4, max_frame_size, |out| {
        out.extend_from_slice(&promised.get().to_be_bytes());
        out.extend_from_slice(block);
    });
}

/// A PING, or the answer to one with the same payload.
pub fn ping(out: &mut Vec<u8>, ack: bool, payload: [u8; 8]) {
    frame_header(out, payload.len(), kind::PING, if ack { flag::ACK } else { 0 }, StreamId::ZERO);
    out.extend_from_slice(&payload);
}

/// A GOAWAY with octets for diagnosis; `debug` should be short, the peer's frame size applies.
pub fn goaway(out: &mut Vec<u8>, last_stream: StreamId, code: ErrorCode, debug: &[u8]) {
    frame_header(out, 8 + debug.len(), kind::GOAWAY, 0, StreamId::ZERO);
    out.extend_from_slice(&last_stream.get().to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(debug);
}

/// A WINDOW_UPDATE by `increment` octets, 1 to 2^31-1; stream 0 for the connection.
#[inline]
pub fn window_update(out: &mut Vec<u8>, stream: StreamId, increment: u32) {
    debug_assert!(increment > 0 && increment < 1 << 31);
    frame_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// One CONTINUATION frame. [`headers`] makes them by itself; this is for those who split blocks their own
/// way.
pub fn continuation(out: &mut Vec<u8>, stream: StreamId, fragment: &[u8], end_headers: bool) {
    frame_header(out, fragment.len(), kind::CONTINUATION, end_headers_flag(end_headers), stream);
    out.extend_from_slice(fragment);
}

/// Any decoded frame again, without its padding. Header blocks aren't split: the frame had a size that was
/// accepted.
pub fn frame(out: &mut Vec<u8>, frame: &Frame<'_>) {
    match *frame {
        Frame::Data { stream, payload, end_stream, .. } => {
            data_header(out, stream, payload.len(), end_stream);
            out.extend_from_slice(payload);
        }
        Frame::Headers { stream, fragment, priority, end_stream, end_headers } => {
            let mut flags = end_headers_flag(end_headers);
            if end_stream {
                flags |= flag::END_STREAM;
            }
            let fields = priority.map(Priority::encode);
            if fields.is_some() {
                flags |= flag::PRIORITY;
            }
            let fields = fields.as_ref().map_or(&[][..], |fields| fields);
            frame_header(out, fields.len() + fragment.len(), kind::HEADERS, flags, stream);
            out.extend_from_slice(fields);
            out.extend_from_slice(fragment);
        }
        Frame::Priority { stream, priority: fields } => priority(out, stream, fields),
        Frame::RstStream { stream, code } => rst_stream(out, stream, code),
        Frame::Settings { ack: true, .. } => settings_ack(out),
        Frame::Settings { ack: false, ref entries } => settings(out, &entries.clone().collect::<Vec<_>>()),
        Frame::PushPromise { stream, promised, fragment, end_headers } => {
            frame_header(out, 4 + fragment.len(), kind::PUSH_PROMISE, end_headers_flag(end_headers), stream);
            out.extend_from_slice(&promised.get().to_be_bytes());
            out.extend_from_slice(fragment);
        }
        Frame::Ping { ack, payload } => ping(out, ack, payload),
        Frame::GoAway { last_stream, code, debug } => goaway(out, last_stream, code, debug),
        Frame::WindowUpdate { stream, increment } => window_update(out, stream, increment),
        Frame::Continuation { stream, fragment, end_headers } => {
            continuation(out, stream, fragment, end_headers);
        }
        Frame::Unknown { kind, stream, payload } => {
            frame_header(out, payload.len(), kind, 0, stream);
            out.extend_from_slice(payload);
        }
    }
}

const fn end_headers_flag(end_headers: bool) -> u8 {
    if end_headers { flag::END_HEADERS } else { 0 }
}

/// Writes `head` and what `fill` appends as one frame with END_HEADERS, patching the length afterwards; what
/// is longer than `max_frame_size` is split into CONTINUATION frames. The first `fixed` octets that `fill`
/// writes stand before the header block and stay in the first frame, as any frame size allows.
#[inline]
fn block_in_place(
    out: &mut Vec<u8>,
    head: Head,
    fixed: usize,
    max_frame_size: u32,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_LEN]);
    fill(out);
    let len = out.len().saturating_sub(start + FRAME_HEADER_LEN);
    // A frame that holds nothing of the block would never get it across.
    let max = (max_frame_size as usize).max(fixed + 1);
    let first = if len <= max {
        Head { len, flags: head.flags | flag::END_HEADERS, ..head }
    } else {
        split(out, start + FRAME_HEADER_LEN + max, head.stream, max);
        Head { len: max, ..head }
    };
    if let Some(header) = out.get_mut(start..start + FRAME_HEADER_LEN) {
        header.copy_from_slice(&first.encode());
    }
}

/// Turns the octets of `out` from `at` on into CONTINUATION frames of at most `max` octets each.
#[cold]
fn split(out: &mut Vec<u8>, at: usize, stream: StreamId, max: usize) {
    let rest = out.split_off(at);
    let mut fragments = rest.chunks(max).peekable();
    while let Some(fragment) = fragments.next() {
        continuation(out, stream, fragment, fragments.peek().is_none());
    }
}
