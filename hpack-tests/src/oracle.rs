//! [`Oracle`]: another implementation's opinion.

use crate::Fields;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The decoder of the `hpack` crate. It has no limits of its own and panics on some malformed blocks, which
/// counts as an error here. Its static table has one wrong name, see [`Oracle::MISNAMED`].
pub struct Oracle {
    decoder: hpack::Decoder<'static>,
}

impl Oracle {
    /// The name at index 15 of the static table, where the oracle has `accept-` instead. [`Oracle::decode`]
    /// corrects it, but an entry with the wrong name takes up less of the oracle's dynamic table, so that
    /// what is evicted afterwards may differ: don't ask it about blocks that refer to this name.
    pub const MISNAMED: &[u8] = b"accept-charset";

    /// An oracle with an empty table of 4,096 octets.
    #[allow(clippy::new_without_default, reason = "a connection's state has no default")]
    pub fn new() -> Self {
        Oracle { decoder: hpack::Decoder::new() }
    }

    /// Decodes a block.
    ///
    /// # Errors
    ///
    /// In words, if the block is malformed; the oracle is of no use afterwards.
    pub fn decode(&mut self, block: &[u8]) -> Result<Fields, String> {
        match catch_unwind(AssertUnwindSafe(|| self.decoder.decode(block))) {
            Ok(Ok(mut fields)) => {
                for (name, _) in fields.iter_mut().filter(|(name, _)| name == b"accept-") {
                    name.extend_from_slice(b"charset");
                }
                Ok(fields)
            }
            Ok(Err(error)) => Err(format!("the oracle refuses the block: {error:?}")),
            Err(_) => Err("the oracle panics on the block".to_owned()),
        }
    }
}
