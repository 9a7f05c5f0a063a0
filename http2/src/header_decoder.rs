//! [`HeaderDecoder`]: header blocks to header lists, with a memory for blocks seen before.

use crate::validation::{Grammar, Message, validate};
use crate::violation::{self, Violation};
use lariat_frame::hpack::{Decoder, HeaderList};
use std::sync::Arc;

/// Decodes and validates the header blocks of one connection.
///
/// A block that leaves the dynamic table as it is means the same again as long as the table stays so. Peers send the
/// same few of them over and over, so the last ones are kept with what they mean. A block with literals is kept when it
/// comes for the second time: most literals are there because they differ from call to call.
#[derive(Debug)]
pub(crate) struct HeaderDecoder {
    decoder: Decoder,
    limit: u32,
    hard_limit: u32,
    seen: Vec<Seen>,
    /// The state of the dynamic table that `seen` is true for.
    revision: u64,
    /// The place in `seen` to be used next when it is full.
    oldest: u8,
    /// Hashes of the last blocks with literals.
    literal: [u64; Self::LITERAL],
    next_literal: u8,
    /// The list given out last that isn't in `seen`: its memory is used again if nobody holds it any more.
    spare: Option<Arc<HeaderList>>,
}

#[derive(Debug)]
struct Seen {
    block: Vec<u8>,
    grammar: Grammar,
    headers: Arc<HeaderList>,
    message: Message,
}

/// What a header block was read as.
pub(crate) struct Read {
    pub(crate) headers: Arc<HeaderList>,
    /// What the list says, or why the stream must end.
    pub(crate) verdict: Result<Message, Violation>,
    /// The block was kept from another time.
    pub(crate) repeated: bool,
}

impl HeaderDecoder {
    /// Blocks kept. Calls of one method take one (server) or two (client).
    const MAX_SEEN: usize = 8;
    /// The longest block kept, in octets. Indexed fields take one or two each; some encoders never index paths.
    const MAX_SEEN_LEN: usize = 256;
    /// Blocks with literals that are recognised when they come again.
    const LITERAL: usize = 4;
    /// The largest list whose memory is kept for the next one. A connection may be idle for long.
    const MAX_SPARE: usize = 2048;

    /// `limit` and `limit * factor` bound the size of lists as [`Limits`](crate::Limits) says.
    pub(crate) fn new(table_size: u32, limit: u32, factor: u32) -> Self {
        HeaderDecoder {
            decoder: Decoder::new(table_size as usize),
            limit,
            hard_limit: limit.saturating_mul(factor),
            seen: Vec::new(),
            revision: 0,
            oldest: 0,
            literal: [0; Self::LITERAL],
            next_literal: 0,
            spare: None,
        }
    }

    /// The peer knows this side's SETTINGS_HEADER_TABLE_SIZE from now on.
    pub(crate) fn set_max_table_size(&mut self, size: u32) {
        self.decoder.set_max_table_size(size as usize);
        // The next block may have to begin with a size update; none of those kept does.
        self.seen.clear();
    }

    /// Reads a whole block. An error is one of the connection.
    #[inline(always)]
    pub(crate) fn read(&mut self, block: &[u8], grammar: Grammar) -> Result<Read, Violation> {
        match self.seen.iter().find(|seen| seen.block == block && seen.grammar == grammar) {
            Some(seen) => {
                let headers = Arc::clone(&seen.headers);
                Ok(Read { headers, verdict: Ok(seen.message), repeated: true })
            }
            None => self.decode(block, grammar),
        }
    }

    /// Gives back all memory but what decoding the next block depends on.
    pub(crate) fn shrink(&mut self) {
        self.decoder.shrink();
        self.seen = Vec::new();
        self.oldest = 0;
        self.spare = None;
    }

    /// Decodes a block of which nothing is wanted but its effect on the dynamic table.
    pub(crate) fn skip(&mut self, block: &[u8]) -> Result<(), Violation> {
        let list = self.decode_list(block)?;
        self.reuse(list);
        Ok(())
    }

    /// [`read`](Self::read) of a block that isn't kept.
    #[cold]
    fn decode(&mut self, block: &[u8], grammar: Grammar) -> Result<Read, Violation> {
        let revision = self.revision;
        let headers = self.decode_list(block)?;
        let is_steady = revision == self.revision;
        let verdict = if headers.is_truncated() {
            Err(violation::HEADER_LIST_TOO_LARGE)
        } else {
            validate(&headers, grammar)
        };
        match verdict {
            Ok(message) if is_steady && block.len() <= Self::MAX_SEEN_LEN && self.will_repeat(block) => {
                self.keep(Seen { block: block.to_vec(), grammar, headers: Arc::clone(&headers), message });
            }
            _ => self.reuse(Arc::clone(&headers)),
        }
        Ok(Read { headers, verdict, repeated: false })
    }

    fn decode_list(&mut self, block: &[u8]) -> Result<Arc<HeaderList>, Violation> {
        let mut headers = match self.spare.take() {
            Some(spare) if Arc::strong_count(&spare) == 1 => spare,
            _ => Arc::new(HeaderList::with_limit(self.limit as usize)),
        };
        let list = Arc::make_mut(&mut headers);
        list.clear();
        self.decoder.decode(block, list)?;
        if list.size() > self.hard_limit as usize {
            return Err(violation::HEADER_LIST_FACTOR);
        }
        if self.decoder.revision() != self.revision {
            self.revision = self.decoder.revision();
            self.seen.clear();
        }
        Ok(headers)
    }

    /// Whether a block is likely to come again.
    fn will_repeat(&mut self, block: &[u8]) -> bool {
        if is_all_indexed(block) {
            return true;
        }
        let hash = hash(block);
        if self.literal.contains(&hash) {
            return true;
        }
        self.literal[usize::from(self.next_literal)] = hash;
        self.next_literal = (self.next_literal + 1) % Self::LITERAL as u8;
        false
    }

    /// Remembers a list whose memory may be used again.
    fn reuse(&mut self, list: Arc<HeaderList>) {
        if list.size() <= Self::MAX_SPARE {
            self.spare = Some(list);
        }
    }

    fn keep(&mut self, seen: Seen) {
        if self.seen.len() < Self::MAX_SEEN {
            if self.seen.capacity() == 0 {
                // Many connections see one method.
                self.seen.reserve_exact(1);
            }
            self.seen.push(seen);
        } else if let Some(place) = self.seen.get_mut(usize::from(self.oldest)) {
            *place = seen;
            self.oldest = (self.oldest + 1) % Self::MAX_SEEN as u8;
        }
    }
}

/// A quick hash. Equal hashes of unequal blocks do no harm: what is kept is compared whole.
fn hash(block: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(23);
    let mut words = block.chunks_exact(8);
    let hash = words.by_ref().fold(block.len() as u64, |hash, word| {
        mix(hash, word.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)))
    });
    words.remainder().iter().fold(hash, |hash, &octet| mix(hash, u64::from(octet)))
}

/// Whether a valid block has indexed fields only (RFC 7541 §6.1): the top bit of each field's first octet is set.
fn is_all_indexed(block: &[u8]) -> bool {
    const INDEXED: u8 = 0x80;
    const LONG_INDEX: u8 = 0xff;
    let mut octets = block.iter();
    while let Some(&first) = octets.next() {
        if first & INDEXED == 0 {
            return false;
        }
        if first == LONG_INDEX {
            octets.by_ref().find(|&&octet| octet & INDEXED == 0);
        }
    }
    true
}
