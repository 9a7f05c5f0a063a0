//! [`Encoder`]: header lists into header blocks.

use super::dynamic_table::{DynamicTable, Name};
use super::header_list::FIELD_OVERHEAD;
use super::lookup::{FieldHash, Key, Lookup};
use super::static_table::{self, Match};
use super::template_cache::TemplateCache;
use super::{DEFAULT_TABLE_SIZE, Field, HeaderList, Indexing, integer, representation, string};
use crate::encode::HeadersFrame;
use std::fmt;
use std::sync::Arc;

/// Encodes the header blocks of one direction of a connection, in the order they go out.
///
/// A block may be made by several calls, one after the other, as long as the table size isn't set between
/// them.
pub struct Encoder {
    table: DynamicTable,
    lookup: Lookup,
    templates: TemplateCache,
    /// Set when the next block has to begin with size updates.
    pending: Option<SizeChange>,
}

/// The maximum table sizes since the last block.
#[derive(Clone, Copy)]
struct SizeChange {
    smallest: usize,
    last: usize,
}

impl Encoder {
    /// An encoder that keeps at most `max_table_size` octets in its table. Other values than
    /// [`DEFAULT_TABLE_SIZE`] are announced in the first block.
    pub fn new(max_table_size: usize) -> Self {
        let mut encoder = Encoder {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE),
            lookup: Lookup::default(),
            templates: TemplateCache::default(),
            pending: None,
        };
        encoder.set_max_table_size(max_table_size);
        encoder
    }

    /// Sets the table's maximum size in octets, at most the peer's SETTINGS_HEADER_TABLE_SIZE. The next block
    /// tells the peer: the smallest size set since the last block, then the final one (RFC 7541 §4.2).
    pub fn set_max_table_size(&mut self, max_table_size: usize) {
        let smallest = match self.pending {
            Some(change) => change.smallest.min(max_table_size),
            None if max_table_size == self.table.max_size() => return,
            None => max_table_size,
        };
        self.pending = Some(SizeChange { smallest, last: max_table_size });
    }

    /// Appends the fields to `out` as a header block, or as the next part of one.
    ///
    /// [`Indexing::Index`] fields enter the dynamic table unless they are larger than it, [`Indexing::Skip`]
    /// ones don't, and [`Indexing::Never`] ones are marked so that nobody on the way keeps them.
    #[inline]
    pub fn encode<'a>(&mut self, fields: impl IntoIterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        if let Some(change) = self.pending.take() {
            self.change_size(change, out);
        }
        for field in fields {
            self.encode_field(field, out);
        }
    }

    /// As [`encode`](Encoder::encode) of the template's fields, to the octet. The octets are remembered, and
    /// copied the next time if the table is still the same. Worth it for lists sent many times that hold
    /// nothing but what repeats.
    #[inline]
    pub fn encode_template(&mut self, template: &Arc<HeaderList>, out: &mut Vec<u8>) {
        if let Some(frame) = self.remembered(template) {
            out.extend_from_slice(frame.block());
            return;
        }
        let before = self.revision();
        let start = out.len();
        self.encode(template.iter(), out);
        // A block that changed the table would be another one the next time.
        if self.revision() == before {
            self.templates.put(template, before, out.get(start..).unwrap_or_default());
        }
    }

    /// The frame of what [`encode_template`](Encoder::encode_template) would append, if it is remembered.
    #[inline(always)]
    pub fn remembered(&mut self, template: &Arc<HeaderList>) -> Option<&HeadersFrame> {
        if self.pending.is_some() {
            return None;
        }
        self.templates.get(template, self.table.revision())
    }

    /// The frames of two templates, as of [`remembered`](Encoder::remembered), if both are among those used most.
    #[inline(always)]
    pub fn remembered_both(
        &self,
        first: &Arc<HeaderList>,
        second: &Arc<HeaderList>,
    ) -> Option<(&HeadersFrame, &HeadersFrame)> {
        if self.pending.is_some() {
            return None;
        }
        let revision = self.table.revision();
        Some((self.templates.get_in_front(first, revision)?, self.templates.get_in_front(second, revision)?))
    }

    /// A number that changes whenever the dynamic table does (insertion, eviction, change of size).
    #[inline]
    pub fn revision(&self) -> u64 {
        self.table.revision()
    }

    /// The size of the dynamic table in octets: names, values and 32 for each entry (RFC 7541 §4.1).
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Gives back all memory but what the table needs. Worth a call when a connection goes quiet.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.lookup.shrink();
        self.templates = TemplateCache::default();
    }

    #[cold]
    fn change_size(&mut self, change: SizeChange, out: &mut Vec<u8>) {
        let SizeChange { smallest, last } = change;
        for size in [smallest, last].into_iter().skip(usize::from(smallest == last)) {
            integer::encode(out, representation::SIZE_UPDATE, representation::SIZE_UPDATE_PREFIX, size);
            self.table.resize(size);
        }
        self.lookup.truncate(self.table.len());
    }

    fn encode_field(&mut self, field: Field<'_>, out: &mut Vec<u8>) {
        let known = static_table::find(field.name, field.value);
        if let Match::Field(index) = known
            && field.indexing != Indexing::Never
        {
            integer::encode(out, representation::INDEXED, representation::INDEXED_PREFIX, index);
            return;
        }
        let hash = FieldHash::new(field.name, field.value);
        if field.indexing == Indexing::Index
            && let Some(index) = self.find_field(field, hash)
        {
            let index = static_table::LEN + 1 + index;
            integer::encode(out, representation::INDEXED, representation::INDEXED_PREFIX, index);
            return;
        }
        let name = match known {
            Match::Field(index) | Match::Name(index) => index,
            Match::Nothing => self.find_name(field, hash).map_or(0, |index| static_table::LEN + 1 + index),
        };
        let size = field.name.len() + field.value.len() + FIELD_OVERHEAD;
        let (pattern, prefix_bits) = match field.indexing {
            Indexing::Index if size <= self.table.max_size() => {
                self.table.insert(Name::Octets(field.name), field.value);
                self.lookup.insert(hash, self.table.len());
                (representation::INCREMENTAL, representation::INCREMENTAL_PREFIX)
            }
            Indexing::Index | Indexing::Skip => (representation::NOT_INDEXED, representation::LITERAL_PREFIX),
            Indexing::Never => (representation::NEVER_INDEXED, representation::LITERAL_PREFIX),
        };
        integer::encode(out, pattern, prefix_bits, name);
        if name == 0 {
            string::encode(field.name, out);
        }
        string::encode(field.value, out);
    }

    #[inline]
    fn find_field(&self, field: Field<'_>, hash: FieldHash) -> Option<usize> {
        self.lookup.find(Key::Field, hash, |index| {
            self.table.get(index).is_some_and(|pair| pair.name() == field.name && pair.value() == field.value)
        })
    }

    #[inline]
    fn find_name(&self, field: Field<'_>, hash: FieldHash) -> Option<usize> {
        self.lookup.find(Key::Name, hash, |index| {
            self.table.get(index).is_some_and(|pair| pair.name() == field.name)
        })
    }
}

impl fmt::Debug for Encoder {
    /// Shows sizes only: the table may hold what shouldn't be in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("table_size", &self.table.size())
            .field("max_table_size", &self.table.max_size())
            .finish()
    }
}
