//! `Codec`: how a message becomes octets and back.

use bytes::Bytes;

use super::status::Status;

pub use super::message::Payload;

/// Turns messages of type `T` into octets and back. A codec has no state; it is chosen by type.
pub trait Codec<T>: Send + Sync + 'static {
    /// What stands behind the `+` of `application/grpc+..`; empty for the short form.
    const SUBTYPE: &'static str;

    /// How many octets [`encode`](Codec::encode) will append. It must be exact.
    fn encoded_len(message: &T) -> usize;

    /// Appends the octets of the message.
    fn encode(message: &T, out: &mut Vec<u8>);

    /// The message that these octets are; INTERNAL if they are none.
    fn decode(payload: Payload<'_>) -> Result<T, Status>;
}

/// Protobuf by `prost`.
#[derive(Clone, Copy, Debug)]
pub struct Prost;

impl<T: prost::Message + Default> Codec<T> for Prost {
    const SUBTYPE: &'static str = "";

    #[inline]
    fn encoded_len(message: &T) -> usize {
        message.encoded_len()
    }

    #[inline]
    fn encode(message: &T, out: &mut Vec<u8>) {
        // `Message::encode` would measure the message once more, only to know that a `Vec` has room.
        message.encode_raw(out);
    }

    #[inline]
    fn decode(payload: Payload<'_>) -> Result<T, Status> {
        let message = match payload {
            Payload::Borrowed(octets) => T::decode(octets),
            // Fields of type `Bytes` share this memory.
            Payload::Owned(octets) => T::decode(octets),
        };
        message.map_err(Status::from)
    }
}

/// No codec: the message is its octets. For proxies and generic handlers.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    const SUBTYPE: &'static str = "";

    fn encoded_len(message: &Bytes) -> usize {
        message.len()
    }

    fn encode(message: &Bytes, out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    fn decode(payload: Payload<'_>) -> Result<Bytes, Status> {
        Ok(payload.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::*;

    #[test]
    fn protobuf_comes_back_from_borrowed_and_from_owned_octets() {
        // `String` is prost's own message for google.protobuf.StringValue.
        let message = "world".to_owned();
        let mut octets = Vec::new();
        Prost::encode(&message, &mut octets);
        assert_eq!(octets, b"\x0a\x05world");
        assert_eq!(<Prost as Codec<String>>::encoded_len(&message), octets.len());
        assert_eq!(<Prost as Codec<String>>::decode(Payload::Borrowed(&octets)).unwrap(), "world");
        assert_eq!(<Prost as Codec<String>>::decode(Payload::Owned(octets.into())).unwrap(), "world");
    }

    #[test]
    fn octets_that_are_no_protobuf_are_internal() {
        let status = <Prost as Codec<String>>::decode(Payload::Borrowed(b"\x0a\x05wor")).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn groups_nested_without_end_are_internal_and_no_overflow_of_the_stack() {
        let nested = vec![0x13; 100_000];
        let status = <Prost as Codec<String>>::decode(Payload::Borrowed(&nested)).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        // Not UTF-8, and a varint of eleven octets.
        for octets in [&b"\x0a\x02\xff\xfe"[..], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
            assert!(<Prost as Codec<String>>::decode(Payload::Borrowed(octets)).is_err());
        }
    }

    #[test]
    fn raw_octets_are_not_copied_when_owned() {
        let octets = Bytes::from(b"abc".to_vec());
        let decoded = <Raw as Codec<Bytes>>::decode(Payload::Owned(octets.clone())).unwrap();
        assert_eq!(decoded.as_ptr(), octets.as_ptr());
    }
}
