//! [`HeaderAssembly`]: a header block that comes in several frames (RFC 9113 §4.3, §6.10).

use crate::Limits;
use crate::violation::{self, Violation};
use lariat_frame::StreamId;

/// A header block of which the END_HEADERS flag hasn't come yet. Until then no other frame may come.
#[derive(Debug)]
pub(crate) struct HeaderAssembly {
    pub(crate) stream: StreamId,
    pub(crate) end_stream: bool,
    block: Vec<u8>,
    continuations: u32,
}

impl HeaderAssembly {
    pub(crate) fn new(stream: StreamId, fragment: &[u8], end_stream: bool) -> Self {
        HeaderAssembly { stream, end_stream, block: fragment.to_vec(), continuations: 0 }
    }

    /// Appends the content of a CONTINUATION frame.
    pub(crate) fn append(&mut self, fragment: &[u8], limits: &Limits) -> Result<(), Violation> {
        self.continuations += 1;
        if self.continuations > limits.continuations {
            return Err(violation::CONTINUATIONS);
        }
        if self.block.len() + fragment.len() > limits.header_block_octets {
            return Err(violation::HEADER_BLOCK_OCTETS);
        }
        self.block.extend_from_slice(fragment);
        Ok(())
    }

    /// The block so far.
    pub(crate) fn block(&self) -> &[u8] {
        &self.block
    }
}
