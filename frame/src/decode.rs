//! [`decode`]: one frame from the front of the octets received.
//!
//! Every rule of RFC 9113 that a single frame can break by its size or stream identifier is checked here, in
//! one place.

use crate::error::{FrameError, Scope};
use crate::head::{FRAME_HEADER_LEN, Head, flag, kind};
use crate::setting::{ENTRY_LEN, SettingEntries};
use crate::{ErrorCode, Frame, Priority, StreamId};

/// Takes one frame from the front of `input`: the frame, and how many octets it takes up.
///
/// `Ok(None)` means that the frame isn't complete yet; nothing is consumed. `max_frame_size` is this side's
/// SETTINGS_MAX_FRAME_SIZE in octets; a frame over it is reported as soon as its header is there.
///
/// # Errors
///
/// The frame breaks a rule; [`FrameError::scope`] says whether the connection can go on after skipping it.
#[inline]
pub fn decode(input: &[u8], max_frame_size: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((header, rest)) = input.split_first_chunk::<FRAME_HEADER_LEN>() else {
        return Ok(None);
    };
    let head = Head::decode(header);
    if head.len > max_frame_size as usize {
        // RFC 9113 §4.2 would let some of these cost their stream only, but then the payload had to be waited
        // for.
        return Err(size_error("the frame is longer than SETTINGS_MAX_FRAME_SIZE", "RFC 9113 §4.2"));
    }
    let Some(payload) = rest.get(..head.len) else {
        return Ok(None);
    };
    let frame = match head.kind {
        kind::DATA => data(head, payload)?,
        kind::HEADERS => headers(head, payload)?,
        kind::PRIORITY => priority(head, payload)?,
        kind::RST_STREAM => rst_stream(head, payload)?,
        kind::SETTINGS => settings(head, payload)?,
        kind::PUSH_PROMISE => push_promise(head, payload)?,
        kind::PING => ping(head, payload)?,
        kind::GOAWAY => go_away(head, payload)?,
        kind::WINDOW_UPDATE => window_update(head, payload)?,
        kind::CONTINUATION => continuation(head, payload)?,
        kind => Frame::Unknown { kind, stream: head.stream, payload },
    };
    Ok(Some((frame, FRAME_HEADER_LEN + head.len)))
}

/// A frame of the kind that nearly all are: DATA without padding, or HEADERS with the whole header block, without
/// padding and without priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainFrame<'a> {
    /// Whether it is HEADERS; otherwise it is DATA.
    pub is_headers: bool,
    /// The stream, never zero.
    pub stream: StreamId,
    /// The header block or the content.
    pub payload: &'a [u8],
    /// The sender sends nothing more on this stream.
    pub end_stream: bool,
}

/// What [`decode`] would make of the front of `input`, if that is a [`PlainFrame`], in a fraction of the time; and what
/// follows it. `None` means that `decode` has to look.
#[inline]
pub fn decode_plain(input: &[u8], max_frame_size: u32) -> Option<(PlainFrame<'_>, &[u8])> {
    let (&[l2, l1, l0, kind, flags, s3, s2, s1, s0], rest) = input.split_first_chunk::<FRAME_HEADER_LEN>()?;
    let is_headers = match (kind, flags & !flag::END_STREAM) {
        (kind::DATA, 0) => false,
        (kind::HEADERS, flag::END_HEADERS) => true,
        _ => return None,
    };
    // As one load.
    let len = u32::from_be_bytes([l2, l1, l0, kind]) >> 8;
    let stream = StreamId::new(u32::from_be_bytes([s3, s2, s1, s0]));
    if len > max_frame_size || stream.is_zero() {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(len as usize)?;
    Some((PlainFrame { is_headers, stream, payload, end_stream: flags & flag::END_STREAM != 0 }, rest))
}

#[inline]
fn data(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.1";
    on_stream(head, "DATA on stream 0", SECTION)?;
    let content = if head.has(flag::PADDED) {
        let Some((&pad, rest)) = payload.split_first() else {
            return Err(stream_error(
                head,
                ErrorCode::FRAME_SIZE_ERROR,
                "padded DATA without a pad length",
                SECTION,
            ));
        };
        without_padding(rest, pad, "DATA with more padding than payload", SECTION)?
    } else {
        payload
    };
    Ok(Frame::Data {
        stream: head.stream,
        payload: content,
        padding: (payload.len() - content.len()) as u32,
        end_stream: head.has(flag::END_STREAM),
    })
}

#[inline]
fn headers(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.2";
    on_stream(head, "HEADERS on stream 0", SECTION)?;
    let (mut rest, pad) = pad_length(head, payload, "padded HEADERS without a pad length", SECTION)?;
    let mut priority = None;
    if head.has(flag::PRIORITY) {
        let Some((octets, after)) = rest.split_first_chunk() else {
            return Err(size_error("HEADERS too short for its priority fields", SECTION));
        };
        priority = Some(Priority::decode(octets));
        rest = after;
    }
    Ok(Frame::Headers {
        stream: head.stream,
        fragment: without_padding(rest, pad, "HEADERS with more padding than payload", SECTION)?,
        priority,
        end_stream: head.has(flag::END_STREAM),
        end_headers: head.has(flag::END_HEADERS),
    })
}

fn priority(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.3";
    on_stream(head, "PRIORITY on stream 0", SECTION)?;
    let Ok(octets) = payload.try_into() else {
        let rule = "PRIORITY that isn't 5 octets long";
        return Err(stream_error(head, ErrorCode::FRAME_SIZE_ERROR, rule, SECTION));
    };
    Ok(Frame::Priority { stream: head.stream, priority: Priority::decode(octets) })
}

fn rst_stream(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.4";
    on_stream(head, "RST_STREAM on stream 0", SECTION)?;
    let Ok(code) = payload.try_into() else {
        return Err(size_error("RST_STREAM that isn't 4 octets long", SECTION));
    };
    Ok(Frame::RstStream { stream: head.stream, code: ErrorCode(u32::from_be_bytes(code)) })
}

fn settings(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.5";
    on_connection(head, "SETTINGS on a stream", SECTION)?;
    let ack = head.has(flag::ACK);
    if ack && !payload.is_empty() {
        return Err(size_error("SETTINGS that acknowledges and has entries", SECTION));
    }
    if !payload.len().is_multiple_of(ENTRY_LEN) {
        return Err(size_error("SETTINGS whose length isn't a multiple of 6", SECTION));
    }
    Ok(Frame::Settings { ack, entries: SettingEntries::new(payload) })
}

fn push_promise(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.6";
    on_stream(head, "PUSH_PROMISE on stream 0", SECTION)?;
    let (rest, pad) = pad_length(head, payload, "padded PUSH_PROMISE without a pad length", SECTION)?;
    let Some((&promised, rest)) = rest.split_first_chunk() else {
        return Err(size_error("PUSH_PROMISE too short for the promised stream", SECTION));
    };
    Ok(Frame::PushPromise {
        stream: head.stream,
        promised: StreamId::new(u32::from_be_bytes(promised)),
        fragment: without_padding(rest, pad, "PUSH_PROMISE with more padding than payload", SECTION)?,
        end_headers: head.has(flag::END_HEADERS),
    })
}

fn ping(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.7";
    on_connection(head, "PING on a stream", SECTION)?;
    let Ok(payload) = payload.try_into() else {
        return Err(size_error("PING that isn't 8 octets long", SECTION));
    };
    Ok(Frame::Ping { ack: head.has(flag::ACK), payload })
}

fn go_away(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.8";
    on_connection(head, "GOAWAY on a stream", SECTION)?;
    let Some((&[s3, s2, s1, s0, c3, c2, c1, c0], debug)) = payload.split_first_chunk() else {
        return Err(size_error("GOAWAY shorter than 8 octets", SECTION));
    };
    Ok(Frame::GoAway {
        last_stream: StreamId::new(u32::from_be_bytes([s3, s2, s1, s0])),
        code: ErrorCode(u32::from_be_bytes([c3, c2, c1, c0])),
        debug,
    })
}

fn window_update(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    const SECTION: &str = "RFC 9113 §6.9";
    /// The bits of the increment; the top one is reserved.
    const INCREMENT: u32 = 0x7fff_ffff;
    let Ok(increment) = payload.try_into() else {
        return Err(size_error("WINDOW_UPDATE that isn't 4 octets long", SECTION));
    };
    let increment = u32::from_be_bytes(increment) & INCREMENT;
    if increment == 0 {
        let rule = "WINDOW_UPDATE by 0";
        return Err(if head.stream.is_zero() {
            protocol_error(rule, SECTION)
        } else {
            stream_error(head, ErrorCode::PROTOCOL_ERROR, rule, SECTION)
        });
    }
    Ok(Frame::WindowUpdate { stream: head.stream, increment })
}

fn continuation(head: Head, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    on_stream(head, "CONTINUATION on stream 0", "RFC 9113 §6.10")?;
    Ok(Frame::Continuation {
        stream: head.stream,
        fragment: payload,
        end_headers: head.has(flag::END_HEADERS),
    })
}

#[inline]
fn on_stream(head: Head, rule: &'static str, section: &'static str) -> Result<(), FrameError> {
    if head.stream.is_zero() { Err(protocol_error(rule, section)) } else { Ok(()) }
}

#[inline]
fn on_connection(head: Head, rule: &'static str, section: &'static str) -> Result<(), FrameError> {
    if head.stream.is_zero() { Ok(()) } else { Err(protocol_error(rule, section)) }
}

/// Splits the pad length off a frame with a header block, if it has one. Too short a frame costs the
/// connection then, because the block is lost to the decoder (RFC 9113 §4.2).
#[inline]
fn pad_length<'a>(
    head: Head,
    payload: &'a [u8],
    rule: &'static str,
    section: &'static str,
) -> Result<(&'a [u8], u8), FrameError> {
    if !head.has(flag::PADDED) {
        return Ok((payload, 0));
    }
    match payload.split_first() {
        Some((&pad, rest)) => Ok((rest, pad)),
        None => Err(size_error(rule, section)),
    }
}

#[inline]
fn without_padding<'a>(
    rest: &'a [u8],
    pad: u8,
    rule: &'static str,
    section: &'static str,
) -> Result<&'a [u8], FrameError> {
    let content = rest.len().checked_sub(pad.into()).and_then(|len| rest.get(..len));
    content.ok_or_else(|| protocol_error(rule, section))
}

#[cold]
#[inline(never)]
fn protocol_error(rule: &'static str, section: &'static str) -> FrameError {
    FrameError { scope: Scope::Connection, code: ErrorCode::PROTOCOL_ERROR, rule, section, consumed: 0 }
}

#[cold]
#[inline(never)]
fn size_error(rule: &'static str, section: &'static str) -> FrameError {
    FrameError { scope: Scope::Connection, code: ErrorCode::FRAME_SIZE_ERROR, rule, section, consumed: 0 }
}

/// An error for which the stream pays alone; only called once the whole frame is in the input.
#[cold]
#[inline(never)]
fn stream_error(head: Head, code: ErrorCode, rule: &'static str, section: &'static str) -> FrameError {
    FrameError {
        scope: Scope::Stream(head.stream),
        code,
        rule,
        section,
        consumed: FRAME_HEADER_LEN + head.len,
    }
}
