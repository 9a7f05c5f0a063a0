//! [`Event`]: what a connection tells its owner.

use crate::{Initiator, StreamKey};
use bytes::Bytes;
use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, StreamId};
use std::sync::Arc;

/// Which of a stream's header lists arrived (RFC 9113 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersKind {
    /// A request; it opens the stream.
    Request,
    /// An interim response, 1xx; another one follows.
    Informational,
    /// The final response's head.
    Response,
    /// What comes after the content; the stream's end.
    Trailers,
}

/// Something that happened on a connection. Borrows only the input it came from.
///
/// An event with `end_stream`, and [`Event::Reset`], may be the stream's last sign: when both sides have ended it, its
/// key is of no effect from then on.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The peer's first SETTINGS arrived: it speaks HTTP/2.
    Ready,
    /// A header list, complete and valid (RFC 9113 §8.2, §8.3).
    Headers {
        /// The stream.
        stream: StreamKey,
        /// What [`set_token`](crate::Connection::set_token) said; 0 before.
        token: u32,
        /// Which one it is.
        kind: HeadersKind,
        /// The fields. A list that was seen before is the same `Arc` again.
        headers: Arc<HeaderList>,
        /// The list is kept and was handed out before: what was learned from it is worth remembering.
        repeated: bool,
        /// The peer sends nothing more on this stream.
        end_stream: bool,
    },
    /// A part of the content. Give its credit back with [`release`](crate::Connection::release).
    Data {
        /// The stream.
        stream: StreamKey,
        /// What [`set_token`](crate::Connection::set_token) said; 0 before.
        token: u32,
        /// The octets, without padding; empty only with `end_stream`.
        payload: &'a [u8],
        /// The peer sends nothing more on this stream.
        end_stream: bool,
    },
    /// The stream ended early and is gone; what was queued on it is dropped.
    ///
    /// When the connection itself has failed, [`close_reason`](crate::Connection::close_reason) is there already.
    Reset {
        /// The stream.
        stream: StreamKey,
        /// What [`set_token`](crate::Connection::set_token) said; 0 before.
        token: u32,
        /// Why: the code received or sent.
        code: ErrorCode,
        /// Who ended it.
        by: Initiator,
        /// The peer is known to have done nothing with the stream (REFUSED_STREAM, or beyond the last stream of its
        /// GOAWAY): the request may be sent again elsewhere (RFC 9113 §8.7).
        unprocessed: bool,
    },
    /// Half of the stream's send quota is free again, after [`capacity`](crate::Connection::capacity) was 0.
    Writable {
        /// The stream.
        stream: StreamKey,
        /// What [`set_token`](crate::Connection::set_token) said; 0 before.
        token: u32,
    },
    /// The peer shuts the connection down: no stream can be opened any more, those up to `last_stream` go on.
    GoAway {
        /// The last stream that the peer deals with.
        last_stream: StreamId,
        /// Why.
        code: ErrorCode,
        /// Text for diagnosis by habit.
        debug: Bytes,
    },
    /// Client: the peer's limit of concurrent streams was reached, and now another one may be opened.
    StreamsAvailable,
    /// The connection is closed: flush the output, half-close, read until the peer closes, too. Every stream that was
    /// open has had its [`Event::Reset`] before.
    Closed,
}
