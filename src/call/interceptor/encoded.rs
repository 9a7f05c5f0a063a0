//! A message whose type an interceptor does not know.

use bytes::Bytes;

use crate::rpc::{Codec, PREFIX_LEN, Payload, Status};

/// A message as its octets, which are never compressed ones here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EncodedMessage {
    octets: Bytes,
    was_compressed: bool,
    stays_uncompressed: bool,
}

/// Two are equal if their octets are.
impl PartialEq for EncodedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for EncodedMessage {}

/// The flag of a message that is to be left as it is, on its way from a user to the interceptors: there it has a prefix
/// as on the wire, which knows the flags 0 and 1 alone.
pub(crate) const AS_IT_IS: u8 = 2;

/// The codec of messages that are their octets already.
pub(crate) struct Octets;

impl EncodedMessage {
    /// A message of these octets.
    pub fn from_bytes(octets: impl Into<Bytes>) -> Self {
        EncodedMessage { octets: octets.into(), was_compressed: false, stays_uncompressed: false }
    }

    /// A message that a user has sent to interceptors.
    pub(crate) fn from_framed(framed: Bytes) -> Self {
        let is_compressible = framed.first() != Some(&AS_IT_IS);
        let octets = framed.slice(PREFIX_LEN.min(framed.len())..);
        EncodedMessage::from_bytes(octets).compressible(is_compressible)
    }

    /// Encodes a message.
    pub fn new<C: Codec<T>, T>(message: &T) -> Self {
        let mut octets = Vec::with_capacity(C::encoded_len(message));
        C::encode(message, &mut octets);
        EncodedMessage::from_bytes(octets)
    }

    /// The message that these octets are, as in `message.decode::<lariat::codec::Prost, HelloRequest>()`.
    ///
    /// # Errors
    ///
    /// INTERNAL if they are none of this type.
    pub fn decode<C: Codec<T>, T>(&self) -> Result<T, Status> {
        C::decode(Payload::Owned(self.octets.clone()))
    }

    /// Puts another message in place of this one. What is known of its compression stays.
    pub fn set<C: Codec<T>, T>(&mut self, message: &T) {
        self.octets = EncodedMessage::new::<C, T>(message).octets;
    }

    /// Whether the message arrived compressed.
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    /// Whether the message will be compressed, provided that its call is. Whoever sends it may have said that it is to
    /// be left as it is, by `with_uncompressed_message` or `send_uncompressed`.
    pub fn is_compressible(&self) -> bool {
        !self.stays_uncompressed
    }

    /// Says whether the message is to be compressed, provided that its call is.
    pub fn set_compressible(&mut self, is_compressible: bool) {
        self.stays_uncompressed = !is_compressible;
    }

    /// The same message, of which it is known how it arrived.
    pub(crate) fn arrived(mut self, was_compressed: bool) -> Self {
        self.was_compressed = was_compressed;
        self
    }

    /// The same message, to be compressed or not.
    pub(crate) fn compressible(mut self, is_compressible: bool) -> Self {
        self.set_compressible(is_compressible);
        self
    }

    /// How many octets there are.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there are none; an empty message is a valid one.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The octets.
    pub fn as_bytes(&self) -> &Bytes {
        &self.octets
    }

    /// The octets alone.
    pub fn into_bytes(self) -> Bytes {
        self.octets
    }
}

impl Codec<EncodedMessage> for Octets {
    const SUBTYPE: &'static str = "";

    fn encoded_len(message: &EncodedMessage) -> usize {
        message.len()
    }

    fn encode(message: &EncodedMessage, out: &mut Vec<u8>) {
        out.extend_from_slice(&message.octets);
    }

    fn decode(payload: Payload<'_>) -> Result<EncodedMessage, Status> {
        Ok(EncodedMessage::from_bytes(payload.into_bytes()))
    }
}
