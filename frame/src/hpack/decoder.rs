//! [`Decoder`]: header blocks into header lists.

use super::dynamic_table::{DynamicTable, Name};
use super::header_list::FIELD_OVERHEAD;
use super::pair::Pair;
use super::{Error, HeaderList, Indexing, integer, representation, static_table, string};
use std::fmt;

/// Decodes the header blocks of one direction of a connection, in the order they come in.
pub struct Decoder {
    table: DynamicTable,
    /// The largest table that the peer may ask for: this side's SETTINGS_HEADER_TABLE_SIZE.
    max_table_size: usize,
    /// The next block has to begin with a size update to this size or a smaller one.
    required_update: Option<usize>,
    /// Where Huffman-coded strings are decoded.
    scratch: Vec<u8>,
}

impl Decoder {
    /// How many size updates a block may begin with: the smallest size since the last block, and the final
    /// one (RFC 7541 §4.2).
    const MAX_SIZE_UPDATES: usize = 2;

    /// What stays allocated for the next block's strings, in octets.
    const SCRATCH_KEPT: usize = 512;

    /// A decoder with an empty table of `max_table_size` octets. Until the peer has acknowledged another
    /// SETTINGS_HEADER_TABLE_SIZE that is [`DEFAULT_TABLE_SIZE`](super::DEFAULT_TABLE_SIZE).
    pub fn new(max_table_size: usize) -> Self {
        Decoder {
            table: DynamicTable::new(max_table_size),
            max_table_size,
            required_update: None,
            scratch: Vec::new(),
        }
    }

    /// Applies this side's SETTINGS_HEADER_TABLE_SIZE, in octets, once the peer has acknowledged it. If the
    /// table is larger, the next block has to begin with a size update (RFC 7541 §4.2).
    pub fn set_max_table_size(&mut self, max_table_size: usize) {
        self.max_table_size = max_table_size;
        let smallest = self.required_update.unwrap_or(self.table.max_size());
        if max_table_size < smallest {
            self.required_update = Some(max_table_size);
            self.table.touch();
        }
    }

    /// Gives back all memory but what the table needs. Worth a call when a connection goes quiet.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.scratch = Vec::new();
    }

    /// Decodes one whole header block and appends its fields to `list`.
    ///
    /// Fields beyond the list's limit are counted and go through the dynamic table as they must, but aren't
    /// stored; see [`HeaderList::is_truncated`].
    ///
    /// # Errors
    ///
    /// The block is malformed. The decoder is of no use any more: the connection has to end with
    /// COMPRESSION_ERROR.
    pub fn decode(&mut self, block: &[u8], list: &mut HeaderList) -> Result<(), Error> {
        let mut input = self.size_updates(block)?;
        while let Some((&first, rest)) = input.split_first() {
            input = rest;
            if first & representation::INDEXED != 0 {
                let index = integer::decode(first, representation::INDEXED_PREFIX, &mut input)?;
                let pair = self.entry(index)?;
                list.push_pair(pair.octets, pair.name_len, Indexing::Index);
            } else if first & representation::INCREMENTAL != 0 {
                self.literal(first, representation::INCREMENTAL_PREFIX, Indexing::Index, &mut input, list)?;
            } else if first & representation::SIZE_UPDATE != 0 {
                return Err(Error {
                    rule: "table size update after a field, or a third one",
                    section: "RFC 7541 §4.2",
                });
            } else {
                let never = first & representation::NEVER_INDEXED != 0;
                let indexing = if never { Indexing::Never } else { Indexing::Skip };
                self.literal(first, representation::LITERAL_PREFIX, indexing, &mut input, list)?;
            }
        }
        self.scratch.clear();
        self.scratch.shrink_to(Self::SCRATCH_KEPT);
        Ok(())
    }

    /// A number that changes whenever the dynamic table does (insertion, eviction, change of size). A block
    /// that didn't change it decodes to the same fields as long as it stays the same.
    #[inline]
    pub fn revision(&self) -> u64 {
        self.table.revision()
    }

    /// The size of the dynamic table in octets: names, values and 32 for each entry (RFC 7541 §4.1).
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Applies the size updates at the beginning of a block and returns what follows.
    #[inline]
    fn size_updates<'a>(&mut self, mut input: &'a [u8]) -> Result<&'a [u8], Error> {
        for _ in 0..Self::MAX_SIZE_UPDATES {
            let Some((&first, rest)) = input.split_first() else {
                break;
            };
            if first & representation::SIZE_UPDATE_MASK != representation::SIZE_UPDATE {
                break;
            }
            input = rest;
            let size = integer::decode(first, representation::SIZE_UPDATE_PREFIX, &mut input)?;
            if size > self.max_table_size {
                return Err(Error {
                    rule: "table size update above SETTINGS_HEADER_TABLE_SIZE",
                    section: "RFC 7541 §6.3",
                });
            }
            if self.required_update.is_some_and(|required| size <= required) {
                self.required_update = None;
            }
            self.table.resize(size);
        }
        if self.required_update.is_some() {
            return Err(Error {
                rule: "no table size update after SETTINGS_HEADER_TABLE_SIZE was lowered",
                section: "RFC 7541 §4.2",
            });
        }
        Ok(input)
    }

    #[inline]
    fn entry(&self, index: usize) -> Result<Pair<'_>, Error> {
        let pair = match index.checked_sub(static_table::LEN + 1) {
            None => static_table::get(index),
            Some(index) => self.table.get(index),
        };
        pair.ok_or(Error { rule: "index without an entry in either table", section: "RFC 7541 §2.3.3" })
    }

    fn literal(
        &mut self,
        first: u8,
        prefix_bits: u32,
        indexing: Indexing,
        input: &mut &[u8],
        list: &mut HeaderList,
    ) -> Result<(), Error> {
        let index = integer::decode(first, prefix_bits, input)?;
        // More than this nobody keeps, neither the list nor the table.
        let limit = list.room().max(self.table.max_size());
        self.scratch.clear();
        let literal_name = match index {
            0 => Some(string::decode(input, limit, &mut self.scratch)?),
            _ => None,
        };
        let value = string::decode(input, limit, &mut self.scratch)?;
        let name = match literal_name {
            Some(text) => text.octets(&self.scratch),
            None => self.entry(index)?.name(),
        };
        let len = literal_name.map_or(name.len(), string::Text::len) + value.len();
        let value = value.octets(&self.scratch);
        if name.len() + value.len() < len {
            list.count(len);
        } else {
            list.push(name, value, indexing);
        }
        if indexing != Indexing::Index {
            return Ok(());
        }
        if len + FIELD_OVERHEAD > self.table.max_size() {
            self.table.evict_all();
        } else {
            let name = match index.checked_sub(static_table::LEN + 1) {
                Some(index) => Name::At(index),
                None => Name::Octets(literal_name.map_or_else(
                    || static_table::get(index).map(Pair::name).unwrap_or_default(),
                    |text| text.octets(&self.scratch),
                )),
            };
            self.table.insert(name, value);
        }
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    /// Shows sizes only: the table may hold what shouldn't be in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("table_size", &self.table.size())
            .field("max_table_size", &self.max_table_size)
            .finish()
    }
}
