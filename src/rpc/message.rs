//! `Message`: the length-prefixed message (PROTOCOL-HTTP2.md, "Length-Prefixed-Message") and its writing.
//!
//! One octet says whether the payload is compressed, four give its length, big-endian; the payload follows. How
//! messages are cut into DATA frames means nothing.

use bytes::Bytes;

use super::codec::Codec;
use super::status::Status;

/// Octets in front of a payload: the flag and the length.
pub(crate) const PREFIX_LEN: usize = 5;

/// The size of the largest message that a server accepts and a client receives unless told otherwise: 4 MiB, as in
/// every gRPC library. It bounds what one call can make its receiver hold.
pub(crate) const DEFAULT_MAX_RECEIVE_SIZE: usize = 4 * 1024 * 1024;

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Whether the payload is compressed, with the algorithm that `grpc-encoding` names.
    pub compressed: bool,
    /// The octets of the message.
    pub payload: Payload<'a>,
}

/// The octets of a message: borrowed from the input if they arrived in one piece, else assembled.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Octets that still lie where they were read.
    Borrowed(&'a [u8]),
    /// Octets of their own.
    Owned(Bytes),
}

impl Message<'_> {
    /// The same message, independent of the input; copies what is borrowed.
    pub(crate) fn into_owned(self) -> Message<'static> {
        Message { compressed: self.compressed, payload: Payload::Owned(self.payload.into_bytes()) }
    }
}

impl Payload<'_> {
    /// How many octets there are.
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Whether there are none; an empty message is a valid one.
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// The octets, copied if they are borrowed.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Payload::Borrowed(octets) => Bytes::copy_from_slice(octets),
            Payload::Owned(octets) => octets,
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Payload::Borrowed(octets) => octets,
            Payload::Owned(octets) => octets,
        }
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Payload<'_> {}

/// What stands in front of an uncompressed payload of this length.
#[inline]
pub(crate) fn message_prefix(len: u32) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = len.to_be_bytes();
    [0, a, b, c, d]
}

/// What stands in front of a compressed payload of this length.
pub(super) fn compressed_prefix(len: u32) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = len.to_be_bytes();
    [1, a, b, c, d]
}

/// Checks the length of a payload that is to be sent against the caller's limit, and against the four octets that the
/// prefix has for it. The error is RESOURCE_EXHAUSTED.
#[inline]
pub(crate) fn check_send_len(len: usize, limit: usize) -> Result<u32, Status> {
    match u32::try_from(len) {
        Ok(prefix) if len <= limit => Ok(prefix),
        _ => Err(too_large_to_send(len, limit)),
    }
}

#[cold]
fn too_large_to_send(len: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "trying to send message larger than max ({len} vs. {}); max_send_message_size sets the limit, or a \
         client's service config by maxRequestMessageBytes",
        limit.min(u32::MAX as usize)
    ))
}

/// Appends a message with its prefix. A payload longer than `limit` is RESOURCE_EXHAUSTED and leaves `out` as it was.
pub(crate) fn frame_message<C: Codec<T>, T>(
    message: &T,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let start = out.len();
    let announced = check_send_len(C::encoded_len(message), limit)?;
    out.reserve(PREFIX_LEN + announced as usize);
    out.extend_from_slice(&message_prefix(announced));
    C::encode(message, out);
    // The length on the wire has to be right even if a codec has counted wrongly.
    let written = out.len() - start - PREFIX_LEN;
    if written != announced as usize {
        out.truncate(start);
        return Err(Status::internal(format!(
            "the codec wrote {written} octets of a message after it had announced {announced}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::super::codec::Raw;
    use super::*;

    struct Liar;

    impl Codec<u8> for Liar {
        const SUBTYPE: &'static str = "liar";

        fn encoded_len(_: &u8) -> usize {
            3
        }

        fn encode(message: &u8, out: &mut Vec<u8>) {
            out.push(*message);
        }

        fn decode(_: Payload<'_>) -> Result<u8, Status> {
            Ok(0)
        }
    }

    #[test]
    fn a_message_is_a_flag_a_length_and_a_payload() {
        let mut out = b"before".to_vec();
        frame_message::<Raw, Bytes>(&Bytes::from_static(b"abc"), 3, &mut out).unwrap();
        assert_eq!(out, b"before\0\0\0\0\x03abc");
        assert_eq!(message_prefix(0x0102_0304), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_message_over_the_limit_is_not_written() {
        let mut out = Vec::new();
        let status = frame_message::<Raw, Bytes>(&Bytes::from_static(b"abcd"), 3, &mut out).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().starts_with("trying to send message larger than max (4 vs. 3)"), "{status}");
        assert!(out.is_empty());
    }

    #[test]
    fn a_length_that_does_not_fit_the_prefix_is_refused_without_a_limit() {
        assert!(check_send_len(u32::MAX as usize, usize::MAX).is_ok());
        assert!(check_send_len(u32::MAX as usize + 1, usize::MAX).is_err());
    }

    #[test]
    fn a_codec_that_counts_wrongly_cannot_break_the_framing() {
        let mut out = b"before".to_vec();
        let status = frame_message::<Liar, u8>(&7, 100, &mut out).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(out, b"before");
    }
}
