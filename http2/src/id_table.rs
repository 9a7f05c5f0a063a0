//! [`IdTable`]: from a stream's identifier to the place of its record.

use crate::random::mix;

/// A hash table with linear probing, at most half full. The multiplier of the hash comes from the connection's seed, so
/// that a peer can't choose identifiers that collide.
#[derive(Debug)]
pub(crate) struct IdTable {
    /// A power of two of them, or none at all.
    slots: Vec<Slot>,
    len: usize,
    multiplier: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Zero, which no stream has, when the slot is free.
    id: u32,
    place: u32,
}

const FREE: Slot = Slot { id: 0, place: 0 };

impl IdTable {
    const MIN_SLOTS: usize = 8;

    pub(crate) fn new(seed: u64) -> Self {
        IdTable { slots: Vec::new(), len: 0, multiplier: mix(seed) | 1 }
    }

    /// The place noted for `id`.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<u32> {
        let slot = self.slots.get(self.find(id))?;
        (slot.id == id).then_some(slot.place)
    }

    /// Notes the place of `id`, which isn't in the table and isn't zero.
    #[inline]
    pub(crate) fn insert(&mut self, id: u32, place: u32) {
        if self.slots.len() <= 2 * self.len {
            self.resize((2 * self.slots.len()).max(Self::MIN_SLOTS));
        }
        let at = self.find(id);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { id, place };
            self.len += 1;
        }
    }

    /// Forgets `id`.
    #[inline]
    pub(crate) fn remove(&mut self, id: u32) {
        let mut hole = self.find(id);
        if self.slots.get(hole).is_none_or(|slot| slot.id != id) {
            return;
        }
        self.len -= 1;
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some(&slot) = self.slots.get(at).filter(|slot| slot.id != FREE.id) else { break };
            // What follows moves into the hole unless it would come to stand before its own first place.
            let distance = at.wrapping_sub(self.first(slot.id)) & mask;
            if distance >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = FREE;
    }

    /// Gives back the memory that more entries have needed.
    pub(crate) fn shrink(&mut self) {
        let wanted =
            if self.len == 0 { 0 } else { (2 * self.len + 1).next_power_of_two().max(Self::MIN_SLOTS) };
        if wanted < self.slots.len() {
            self.resize(wanted);
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE; slots]);
        for slot in old.into_iter().filter(|slot| slot.id != FREE.id) {
            let at = self.find(slot.id);
            self.slots[at] = slot;
        }
    }

    /// The slot of `id`, or the free one where it belongs. There always is a free one, unless there is none at all.
    #[inline]
    fn find(&self, id: u32) -> usize {
        let mut at = self.first(id);
        while let Some(slot) = self.slots.get(at)
            && slot.id != id
            && slot.id != FREE.id
        {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// The slot where the search for `id` begins: the upper bits of a product.
    #[inline]
    fn first(&self, id: u32) -> usize {
        let product = u64::from(id).wrapping_mul(self.multiplier);
        (product >> 32) as usize & self.slots.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_table_holds_what_a_map_would() {
        for seed in 0..8 {
            let mut table = IdTable::new(seed);
            let mut map = HashMap::new();
            for step in 0..2_000 {
                let chance = mix(seed * 10_000 + step);
                let id = (chance as u32 % 200) * 2 + 1;
                match chance >> 32 & 3 {
                    0 | 1 if !map.contains_key(&id) => {
                        table.insert(id, step as u32);
                        map.insert(id, step as u32);
                    }
                    2 if chance >> 40 & 31 == 0 => table.shrink(),
                    _ => {
                        table.remove(id);
                        map.remove(&id);
                    }
                }
                assert_eq!(table.len, map.len());
                for id in (1..400).step_by(2) {
                    assert_eq!(table.get(id), map.get(&id).copied());
                }
            }
        }
    }

    #[test]
    fn an_empty_table_holds_no_memory() {
        let mut table = IdTable::new(1);
        assert_eq!(table.get(1), None);
        table.remove(1);
        (0..100).for_each(|n| table.insert(2 * n + 1, n));
        (0..100).for_each(|n| table.remove(2 * n + 1));
        table.shrink();
        assert_eq!(table.slots.capacity(), 0);
    }
}
