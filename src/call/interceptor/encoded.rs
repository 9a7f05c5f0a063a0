//! A message whose type an interceptor does not know.

use bytes::Bytes;

use crate::rpc::{Codec, Payload, Status};

/// A message as its octets. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedMessage {
    octets: Bytes,
}

/// The codec of messages that are their octets already.
pub(crate) struct Octets;

impl EncodedMessage {
    /// A message of these octets.
    pub fn from_bytes(octets: impl Into<Bytes>) -> Self {
        EncodedMessage { octets: octets.into() }
    }

    /// Encodes a message.
    pub fn new<C: Codec<T>, T>(message: &T) -> Self {
        let mut octets = Vec::with_capacity(C::encoded_len(message));
        C::encode(message, &mut octets);
        EncodedMessage { octets: octets.into() }
    }

    /// The message that these octets are, as in `message.decode::<lariat::codec::Prost, HelloRequest>()`.
    ///
    /// # Errors
    ///
    /// INTERNAL if they are none of this type.
    pub fn decode<C: Codec<T>, T>(&self) -> Result<T, Status> {
        C::decode(Payload::Owned(self.octets.clone()))
    }

    /// Puts another message in place of this one.
    pub fn set<C: Codec<T>, T>(&mut self, message: &T) {
        *self = EncodedMessage::new::<C, T>(message);
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
        Ok(EncodedMessage { octets: payload.into_bytes() })
    }
}
