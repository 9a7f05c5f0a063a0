//! [`DynamicTable`]: the fields that both sides of one direction remember (RFC 7541 §2.3.2 and §4).

use super::header_list::FIELD_OVERHEAD;
use super::pair::Pair;
use std::collections::VecDeque;

/// A dynamic table. Index 0 is the newest entry.
///
/// The octets of all entries stand in one buffer, the oldest first; evicted ones are dead until the dead
/// outnumber the living, then the buffer is moved together. So an entry costs no allocation, and its octets
/// are moved less than once for each octet inserted.
#[derive(Default)]
pub(super) struct DynamicTable {
    octets: Vec<u8>,
    /// How many octets were dropped from the front of `octets` since the beginning; entries count from there.
    dropped: u64,
    entries: VecDeque<Entry>,
    size: usize,
    max_size: usize,
    revision: u64,
}

/// Where an entry's octets are: from `start`, counted since the beginning of the table.
#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    name_len: u32,
    len: u32,
}

/// The name of an entry to insert.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    /// That of the entry with this index.
    At(usize),
    /// These octets.
    Octets(&'a [u8]),
}

impl DynamicTable {
    pub(super) fn new(max_size: usize) -> Self {
        DynamicTable { max_size, ..DynamicTable::default() }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Pair<'_>> {
        let entry = self.entries.get(index)?;
        let start = self.position(entry);
        let octets = self.octets.get(start..start + entry.len as usize)?;
        Some(Pair { octets, name_len: entry.name_len as usize })
    }

    /// Entries in the table.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Octets of all entries, each counted with 32 more (RFC 7541 §4.1).
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// A number that is another one after each change.
    #[inline]
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Says that what was derived from the table must be derived anew.
    pub(super) fn touch(&mut self) {
        self.revision += 1;
    }

    /// Sets the maximum size, evicting what doesn't fit any more (RFC 7541 §4.3).
    pub(super) fn resize(&mut self, max_size: usize) {
        self.touch();
        self.max_size = max_size;
        self.evict_to(max_size);
        self.drop_dead();
    }

    /// Removes all entries: what inserting one that is larger than the table amounts to (RFC 7541 §4.4).
    pub(super) fn evict_all(&mut self) {
        self.touch();
        self.evict_to(0);
        self.drop_dead();
    }

    /// Inserts an entry at the front, evicting old ones for it; one larger than the table leaves it empty
    /// (RFC 7541 §4.4). A name `At` an index without an entry is empty.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        let (name_len, at) = match name {
            Name::Octets(octets) => (octets.len(), 0),
            Name::At(index) => self
                .entries
                .get(index)
                .map_or((0, 0), |entry| (entry.name_len as usize, self.position(entry))),
        };
        let len = name_len + value.len();
        let Some(room) = self.max_size.checked_sub(len + FIELD_OVERHEAD) else {
            self.evict_all();
            return;
        };
        self.touch();
        // The octets are written first: the entry that lends its name may have to go (RFC 7541 §4.4).
        let start = self.dropped + self.octets.len() as u64;
        match name {
            Name::Octets(octets) => self.octets.extend_from_slice(octets),
            Name::At(_) => self.octets.extend_from_within(at..at + name_len),
        }
        self.octets.extend_from_slice(value);
        self.evict_to(room);
        self.entries.push_front(Entry { start, name_len: name_len as u32, len: len as u32 });
        self.size += len + FIELD_OVERHEAD;
        self.drop_dead();
    }

    /// Gives memory back that more entries have needed.
    pub(super) fn shrink(&mut self) {
        let dead = self.entries.back().map_or(self.octets.len(), |oldest| self.position(oldest));
        self.octets.drain(..dead);
        self.dropped += dead as u64;
        self.octets.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// The place of an entry's octets.
    #[inline]
    fn position(&self, entry: &Entry) -> usize {
        (entry.start - self.dropped) as usize
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.len as usize + FIELD_OVERHEAD;
        }
    }

    /// Moves the living octets together once they are the smaller part.
    fn drop_dead(&mut self) {
        let dead = self.entries.back().map_or(self.octets.len(), |oldest| self.position(oldest));
        if dead > self.octets.len() / 2 {
            self.octets.drain(..dead);
            self.dropped += dead as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(table: &DynamicTable) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..table.len())
            .map(|index| table.get(index).unwrap())
            .map(|pair| (pair.name().to_vec(), pair.value().to_vec()))
            .collect()
    }

    fn field(name: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (name.to_vec(), value.to_vec())
    }

    #[test]
    fn the_newest_entry_has_index_0_and_the_oldest_goes_first() {
        let mut table = DynamicTable::new(2 * (2 + FIELD_OVERHEAD));
        table.insert(Name::Octets(b"a"), b"1");
        table.insert(Name::Octets(b"b"), b"2");
        assert_eq!(fields(&table), [field(b"b", b"2"), field(b"a", b"1")]);
        table.insert(Name::Octets(b"c"), b"3");
        assert_eq!(fields(&table), [field(b"c", b"3"), field(b"b", b"2")]);
        assert_eq!(table.size(), 68);
    }

    #[test]
    fn an_entry_as_large_as_the_table_fits_and_a_larger_one_empties_it() {
        let mut table = DynamicTable::new(40);
        table.insert(Name::Octets(b"name"), b"1234");
        assert_eq!((table.len(), table.size()), (1, 40));
        table.insert(Name::Octets(b"name"), b"12345");
        assert_eq!((table.len(), table.size()), (0, 0));
    }

    #[test]
    fn the_entry_that_lends_its_name_may_be_evicted_by_the_insertion() {
        let mut table = DynamicTable::new(40);
        table.insert(Name::Octets(b"name"), b"1234");
        table.insert(Name::At(0), b"5678");
        assert_eq!(fields(&table), [field(b"name", b"5678")]);
    }

    #[test]
    fn a_smaller_maximum_evicts_and_a_larger_one_brings_nothing_back() {
        let mut table = DynamicTable::new(4096);
        for value in [b"1", b"2", b"3"] {
            table.insert(Name::Octets(b"n"), value);
        }
        table.resize(34);
        assert_eq!(fields(&table), [field(b"n", b"3")]);
        table.resize(0);
        table.resize(4096);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn every_change_changes_the_revision() {
        let mut table = DynamicTable::new(100);
        let mut seen = vec![table.revision()];
        table.insert(Name::Octets(b"a"), b"b");
        seen.push(table.revision());
        table.insert(Name::Octets(&[b'x'; 100]), b"");
        seen.push(table.revision());
        table.resize(50);
        seen.push(table.revision());
        table.evict_all();
        seen.push(table.revision());
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    }

    proptest! {
        /// Against a plain list of owned fields.
        #[test]
        fn it_holds_what_a_simple_table_would(
            max_size in 0_usize..400,
            steps in proptest::collection::vec((0_usize..6, "[a-z]{0,40}", "[a-z]{0,40}", 0_usize..400), 0..200),
        ) {
            let mut table = DynamicTable::new(max_size);
            let mut model: VecDeque<(Vec<u8>, Vec<u8>)> = VecDeque::new();
            let mut max_size = max_size;
            let size = |model: &VecDeque<(Vec<u8>, Vec<u8>)>| -> usize {
                model.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
            };
            for (kind, name, value, number) in steps {
                if kind == 0 {
                    max_size = number;
                    table.resize(max_size);
                } else {
                    let index = number % 10;
                    let name = match model.get(index) {
                        Some((name, _)) if kind < 3 => {
                            let name = name.clone();
                            table.insert(Name::At(index), value.as_bytes());
                            name
                        }
                        _ => {
                            table.insert(Name::Octets(name.as_bytes()), value.as_bytes());
                            name.into_bytes()
                        }
                    };
                    model.push_front((name, value.into_bytes()));
                }
                while size(&model) > max_size {
                    model.pop_back();
                }
                prop_assert_eq!(&fields(&table), model.make_contiguous());
                prop_assert_eq!(table.size(), size(&model));
                prop_assert!(table.octets.len() <= 2 * table.size() + 1);
            }
        }
    }
}
