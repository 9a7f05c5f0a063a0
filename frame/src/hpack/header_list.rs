//! [`HeaderList`]: an ordered list of header fields in one compact buffer.

use super::{Field, Indexing};
use std::fmt;

/// What each field adds to a list's or table's size besides its octets (RFC 7541 §4.1, RFC 9113 §6.5.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// An ordered list of header fields, received or to be sent. All octets stand in one buffer.
///
/// A list may have a limit for its [`size`](HeaderList::size); fields that would pass it are counted but not
/// stored, so that a peer can't make it grow at will.
#[derive(Clone)]
pub struct HeaderList {
    octets: Vec<u8>,
    entries: Vec<Entry>,
    size: usize,
    limit: usize,
}

/// Where one field stands in the octets: the name from `name` to `value`, the value from there to `end`.
#[derive(Clone, Copy)]
struct Entry {
    name: u32,
    value: u32,
    end: u32,
    indexing: Indexing,
}

impl HeaderList {
    /// Fields are addressed with 32 bits; SETTINGS_MAX_HEADER_LIST_SIZE can't ask for more either.
    const MAX_LIMIT: usize = u32::MAX as usize;

    /// An empty list without a limit (but what 32 bits can address), without an allocation.
    pub const fn new() -> Self {
        HeaderList { octets: Vec::new(), entries: Vec::new(), size: 0, limit: Self::MAX_LIMIT }
    }

    /// An empty list that stores at most `octets`, counted as [`size`](HeaderList::size) does.
    pub fn with_limit(octets: usize) -> Self {
        HeaderList { limit: octets.min(Self::MAX_LIMIT), ..HeaderList::new() }
    }

    /// Appends a field.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        if self.count(name.len() + value.len()) {
            let start = self.octets.len();
            self.octets.extend_from_slice(name);
            self.octets.extend_from_slice(value);
            self.add_entry(start, name.len(), indexing);
        }
    }

    /// Appends a field whose name and value stand together in `octets`.
    #[inline]
    pub(crate) fn push_pair(&mut self, octets: &[u8], name_len: usize, indexing: Indexing) {
        if self.count(octets.len()) {
            let start = self.octets.len();
            self.octets.extend_from_slice(octets);
            self.add_entry(start, name_len, indexing);
        }
    }

    /// Counts a field of `len` octets; says whether it may be stored.
    #[inline]
    pub(crate) fn count(&mut self, len: usize) -> bool {
        self.size = self.size.saturating_add(len + FIELD_OVERHEAD);
        self.size <= self.limit
    }

    #[inline]
    fn add_entry(&mut self, start: usize, name_len: usize, indexing: Indexing) {
        // The limit keeps all of these within 32 bits.
        self.entries.push(Entry {
            name: start as u32,
            value: (start + name_len) as u32,
            end: self.octets.len() as u32,
            indexing,
        });
    }

    /// The fields in their order.
    #[inline]
    pub fn iter(&self) -> Fields<'_> {
        Fields { octets: &self.octets, entries: self.entries.iter() }
    }

    /// The value of the first field of that name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// The values of all fields of that name, in their order.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// How many fields are stored.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no field is stored.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Octets of names and values and 32 more for each field, as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC
    /// 9113 §6.5.2). Fields that passed the limit and aren't stored count, too.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Octets that fields may still add to the size.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.size)
    }

    /// Whether fields were left out because of the limit.
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.size > self.limit
    }

    /// Removes all fields; the memory and the limit stay.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.entries.clear();
        self.size = 0;
    }
}

impl Default for HeaderList {
    fn default() -> Self {
        HeaderList::new()
    }
}

impl PartialEq for HeaderList {
    /// Whether both hold the same fields in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for HeaderList {}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a HeaderList {
    type Item = Field<'a>;
    type IntoIter = Fields<'a>;

    #[inline]
    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

impl<'a> Extend<Field<'a>> for HeaderList {
    fn extend<I: IntoIterator<Item = Field<'a>>>(&mut self, fields: I) {
        for field in fields {
            self.push(field.name, field.value, field.indexing);
        }
    }
}

impl<'a> FromIterator<Field<'a>> for HeaderList {
    fn from_iter<I: IntoIterator<Item = Field<'a>>>(fields: I) -> Self {
        let mut list = HeaderList::new();
        list.extend(fields);
        list
    }
}

/// The fields of a [`HeaderList`] in their order.
#[derive(Clone)]
pub struct Fields<'a> {
    octets: &'a [u8],
    entries: std::slice::Iter<'a, Entry>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let entry = self.entries.next()?;
        Some(Field {
            name: self.octets.get(entry.name as usize..entry.value as usize).unwrap_or_default(),
            value: self.octets.get(entry.value as usize..entry.end as usize).unwrap_or_default(),
            indexing: entry.indexing,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}
