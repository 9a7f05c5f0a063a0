//! [`Lookup`]: where a field stands in an encoder's dynamic table.

use std::collections::VecDeque;

/// Finds entries of a dynamic table by their hash, in buckets whose chains run from newer to older entries. A
/// chain needs no care when an entry is evicted: older ones are gone then, too, so the chain just ends there.
#[derive(Default)]
pub(super) struct Lookup {
    /// The newest entry of each bucket: first those for whole fields, then those for names. Empty while there
    /// are so few entries that they are looked through one by one.
    heads: Vec<u32>,
    /// For each entry of the table, the newest first.
    links: VecDeque<Link>,
    /// How many entries were ever inserted; the newest has this number. It may wrap.
    inserted: u32,
}

/// The hashes of an entry, and the entries inserted before it in the same buckets.
#[derive(Clone, Copy)]
struct Link {
    hash: FieldHash,
    older: [u32; KINDS],
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Field = 0,
    Name = 1,
}

/// The kinds of keys.
const KINDS: usize = 2;

/// The most entries that do without buckets: those of a server that sends no metadata of its own.
const FEW: usize = 8;

/// Buckets for each kind. A table of 4,096 octets holds 128 entries at most and usually a dozen.
const BUCKETS: usize = 32;

/// The hashes of a field: of both name and value, and of the name.
#[derive(Clone, Copy)]
pub(super) struct FieldHash([u32; KINDS]);

impl FieldHash {
    #[inline]
    pub(super) fn new(name: &[u8], value: &[u8]) -> Self {
        let of_name = mix(0, name);
        // The upper half is where a product's bits are mixed best.
        FieldHash([(mix(of_name, value) >> 32) as u32, (of_name >> 32) as u32])
    }
}

/// Mixes `octets` into a hash, eight at a time. Not proof against collisions by intent; they only cost the
/// one who sends such fields some comparisons.
#[inline]
fn mix(seed: u64, octets: &[u8]) -> u64 {
    // 2^64 divided by the golden ratio: an odd number with well-spread bits.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let hash = step(seed, octets.len() as u64);
    let Some(last) = octets.last_chunk::<8>() else {
        let word = octets.iter().fold(0, |word, &octet| (word << 8) | u64::from(octet));
        return step(hash, word);
    };
    // The last eight octets stand for those that make no whole word, whatever else they overlap.
    let (words, _) = octets.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    step(hash, u64::from_le_bytes(*last))
}

impl Lookup {
    /// The index of the newest entry with that hash for which `is_match` holds.
    #[inline]
    pub(super) fn find(&self, key: Key, hash: FieldHash, is_match: impl Fn(usize) -> bool) -> Option<usize> {
        let kind = key as usize;
        if self.heads.is_empty() {
            let mut links = self.links.iter().enumerate();
            return links.find_map(|(index, link)| {
                (link.hash.0[kind] == hash.0[kind] && is_match(index)).then_some(index)
            });
        }
        let mut number = *self.heads.get(bucket(kind, hash))?;
        let mut least = 0;
        loop {
            let index = self.inserted.wrapping_sub(number) as usize;
            // Numbers of entries long gone may wrap into the range of living ones: a chain that turns back
            // has ended.
            let link = self.links.get(index).filter(|_| index >= least)?;
            if link.hash.0[kind] == hash.0[kind] && is_match(index) {
                return Some(index);
            }
            number = link.older[kind];
            least = index + 1;
        }
    }

    /// Notes that an entry was inserted at the front, after which the table has `len` entries.
    pub(super) fn insert(&mut self, hash: FieldHash, len: usize) {
        self.inserted = self.inserted.wrapping_add(1);
        let older = chain(&mut self.heads, hash, self.inserted);
        self.links.push_front(Link { hash, older });
        self.links.truncate(len);
        if self.heads.is_empty() && self.links.len() > FEW {
            self.heads.resize(KINDS * BUCKETS, 0);
            for (index, link) in self.links.iter_mut().enumerate().rev() {
                link.older = chain(&mut self.heads, link.hash, self.inserted.wrapping_sub(index as u32));
            }
        }
    }

    /// Gives memory back that more entries have needed.
    pub(super) fn shrink(&mut self) {
        self.links.shrink_to_fit();
        if self.links.len() <= FEW {
            self.heads = Vec::new();
        }
    }

    /// Notes that the table has only `len` entries any more.
    pub(super) fn truncate(&mut self, len: usize) {
        self.links.truncate(len);
    }
}

/// Puts an entry in front of its buckets, if there are any; those that stood there before.
fn chain(heads: &mut [u32], hash: FieldHash, number: u32) -> [u32; KINDS] {
    let mut older = [0; KINDS];
    for (kind, older) in older.iter_mut().enumerate() {
        if let Some(head) = heads.get_mut(bucket(kind, hash)) {
            *older = std::mem::replace(head, number);
        }
    }
    older
}

/// The place of a hash's bucket among the heads.
#[inline]
const fn bucket(kind: usize, hash: FieldHash) -> usize {
    kind * BUCKETS + hash.0[kind] as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_match_is_found_by_field_and_by_name() {
        let mut lookup = Lookup::default();
        lookup.insert(FieldHash::new(b"name", b"1"), 1);
        lookup.insert(FieldHash::new(b"name", b"2"), 2);
        lookup.insert(FieldHash::new(b"other", b"1"), 3);
        assert_eq!(lookup.find(Key::Field, FieldHash::new(b"name", b"1"), |_| true), Some(2));
        assert_eq!(lookup.find(Key::Field, FieldHash::new(b"name", b"3"), |_| true), None);
        assert_eq!(lookup.find(Key::Name, FieldHash::new(b"name", b"3"), |_| true), Some(1));
    }

    #[test]
    fn few_entries_and_many_are_found_alike_and_buckets_come_and_go_with_the_many() {
        let mut lookup = Lookup::default();
        let hash = |number: usize| FieldHash::new(b"name", number.to_string().as_bytes());
        for round in 0..3 {
            for number in 0..3 * FEW {
                lookup.insert(hash(number), number + 1);
                assert_eq!(lookup.heads.is_empty(), number < FEW);
                for earlier in 0..=number {
                    assert_eq!(lookup.find(Key::Field, hash(earlier), |_| true), Some(number - earlier));
                }
            }
            lookup.truncate(round);
            lookup.shrink();
        }
    }

    #[test]
    fn evicted_entries_are_not_found() {
        let mut lookup = Lookup::default();
        let hash = FieldHash::new(b"name", b"value");
        lookup.insert(hash, 1);
        lookup.truncate(0);
        assert_eq!(lookup.find(Key::Field, hash, |_| true), None);
        for _ in 0..1000 {
            lookup.insert(FieldHash::new(b"x", b"y"), 2);
        }
        assert_eq!(lookup.find(Key::Field, hash, |_| true), None);
    }

    #[test]
    fn entries_of_equal_hash_are_told_apart_by_comparing() {
        let mut lookup = Lookup::default();
        let hash = FieldHash::new(b"a", b"b");
        for len in 1..=3 {
            lookup.insert(hash, len);
        }
        assert_eq!(lookup.find(Key::Field, hash, |index| index == 2), Some(2));
        assert_eq!(lookup.find(Key::Field, hash, |_| false), None);
    }

    #[test]
    fn numbers_that_wrap_do_no_harm() {
        let mut lookup = Lookup { inserted: u32::MAX - 2, ..Lookup::default() };
        let hash = FieldHash::new(b"a", b"b");
        for _ in 0..6 {
            lookup.insert(hash, 4);
        }
        assert_eq!(lookup.find(Key::Field, hash, |index| index == 3), Some(3));
        assert_eq!(lookup.find(Key::Field, hash, |_| false), None);
    }

    #[test]
    fn fields_that_only_divide_their_octets_differently_have_other_hashes() {
        let hash = |name: &[u8], value: &[u8]| FieldHash::new(name, value).0[0];
        assert_ne!(hash(b"ab", b"c"), hash(b"a", b"bc"));
        assert_ne!(hash(b"", b"a"), hash(b"a", b""));
        assert_ne!(hash(b"a", b"\0"), hash(b"a", b"\0\0"));
    }
}
