//! Timers of one loop: a hierarchical wheel, so that setting and cancelling cost the same however many are set.
//!
//! Four levels of 64 slots with ticks of 1 ms, 64 ms, 4 s and 4 min reach 4.6 hours; a later deadline waits in the last
//! level and is filed again when its slot comes round. A timer never fires early, and at most one tick of its
//! level's rounding late: it is filed down to the 1 ms level before it fires.

use std::time::{Duration, Instant};

use slab::Slab;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 4;
const NONE: u32 = u32::MAX;
/// Timers for which there may always be room.
const FEW: usize = 64;

/// A timer that was set; cancelling one that has fired does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    generation: u32,
}

/// The timers of one loop, each carrying a `T` that is handed back when it fires.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    start: Instant,
    /// Ticks (milliseconds since `start`) that have been handled.
    tick: u64,
    entries: Slab<Entry<T>>,
    /// No slot comes round before this tick; cancelled timers may leave it too low.
    earliest: u64,
    /// The time of `earliest`, which is compared in each turn of the loop.
    due: Option<Instant>,
    generation: u32,
    /// Has more memory than it should, which it can give back when there is no timer.
    is_roomy: bool,
    heads: [[u32; SLOTS]; LEVELS],
    /// One bit a slot: which slots of a level hold timers.
    occupied: [u64; LEVELS],
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    generation: u32,
    level: u8,
    slot: u8,
    previous: u32,
    next: u32,
    value: T,
}

impl<T> Timers<T> {
    pub(crate) fn new(start: Instant) -> Self {
        Timers {
            start,
            tick: 0,
            entries: Slab::new(),
            earliest: u64::MAX,
            due: None,
            generation: 0,
            is_roomy: false,
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
        }
    }

    /// How many timers are set.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets a timer that fires at the first [`Timers::expire`] at or after `deadline`.
    pub(crate) fn set(&mut self, deadline: Instant, value: T) -> TimerId {
        let tick = self.tick_at_or_after(deadline).max(self.tick + 1);
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = Entry { tick, generation, level: 0, slot: 0, previous: NONE, next: NONE, value };
        let index = self.entries.insert(entry) as u32;
        self.file(index);
        TimerId { index, generation }
    }

    /// Gives memory back that more timers have needed. All of it, if it must, once there is no timer any more: those
    /// that are set keep their places.
    pub(crate) fn shrink(&mut self) {
        self.entries = std::mem::take(&mut self.entries).into_iter().collect();
        self.is_roomy = self.entries.capacity() > FEW;
    }

    fn remove(&mut self, index: u32) -> Entry<T> {
        let entry = self.entries.remove(index as usize);
        if self.is_roomy && self.entries.is_empty() {
            self.entries = Slab::new();
            self.is_roomy = false;
        }
        entry
    }

    pub(crate) fn cancel(&mut self, id: TimerId) {
        let is_set =
            self.entries.get(id.index as usize).is_some_and(|entry| entry.generation == id.generation);
        if is_set {
            self.unlink(id.index);
            self.remove(id.index);
        }
    }

    /// When the loop has to look again: not after the earliest deadline.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        if self.entries.is_empty() { None } else { self.due }
    }

    /// Whether [`expire`](Timers::expire) has something to do.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Takes one timer whose time has come at `now`, or `None` when no more are due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<T> {
        if !self.is_due(now) {
            return None;
        }
        let now_tick = now.saturating_duration_since(self.start).as_millis() as u64;
        loop {
            let level = (0..LEVELS)
                .filter_map(|level| self.next_tick(level).map(|tick| (tick, std::cmp::Reverse(level))))
                .min();
            let Some((tick, std::cmp::Reverse(level))) = level.filter(|(tick, _)| *tick <= now_tick) else {
                self.tick = self.tick.max(now_tick);
                self.earliest = u64::MAX;
                self.due = None;
                if let Some((tick, _)) = level {
                    self.look_at(tick);
                }
                return None;
            };
            self.tick = self.tick.max(tick);
            let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
            let index = self.heads[level][slot];
            self.unlink(index);
            if self.entries[index as usize].tick <= self.tick {
                return Some(self.remove(index).value);
            }
            self.file(index);
        }
    }

    fn tick_at_or_after(&self, deadline: Instant) -> u64 {
        let after = deadline.saturating_duration_since(self.start);
        after.as_nanos().div_ceil(1_000_000) as u64
    }

    /// The tick at which the first occupied slot of a level comes round.
    fn next_tick(&self, level: usize) -> Option<u64> {
        if self.occupied[level] == 0 {
            return None;
        }
        let shift = SLOT_BITS * level as u32;
        let current = self.tick >> shift;
        let ahead =
            self.occupied[level].rotate_right((current % SLOTS as u64) as u32).trailing_zeros() as u64;
        Some(((current + ahead) << shift).max(self.tick))
    }

    fn file(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        // The level is where the deadline and the present first differ, seen from the coarsest tick down.
        let mut level = 0;
        while level + 1 < LEVELS {
            let shift = SLOT_BITS * level as u32;
            if (tick >> shift) - (self.tick >> shift) < SLOTS as u64 {
                break;
            }
            level += 1;
        }
        let shift = SLOT_BITS * level as u32;
        let reach = (self.tick >> shift) + SLOTS as u64 - 1;
        let slot = ((tick >> shift).min(reach) % SLOTS as u64) as usize;
        let head = self.heads[level][slot];
        if let Some(next) = self.entries.get_mut(head as usize) {
            next.previous = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.level, entry.slot, entry.previous, entry.next) = (level as u8, slot as u8, NONE, head);
        self.heads[level][slot] = index;
        self.occupied[level] |= 1 << slot;
        // The slot comes round when its first tick does.
        self.look_at((tick >> shift).min(reach) << shift);
    }

    /// The loop has to look again at this tick, or before.
    fn look_at(&mut self, tick: u64) {
        if tick < self.earliest {
            self.earliest = tick;
            self.due = Some(self.start + Duration::from_millis(tick));
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { level, slot, previous, next, .. } = self.entries[index as usize];
        let (level, slot) = (level as usize, slot as usize);
        match self.entries.get_mut(previous as usize) {
            Some(entry) => entry.next = next,
            None => self.heads[level][slot] = next,
        }
        if let Some(entry) = self.entries.get_mut(next as usize) {
            entry.previous = previous;
        }
        if self.heads[level][slot] == NONE {
            self.occupied[level] &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_timer_fires_at_its_deadline_and_not_before() {
        let start = Instant::now();
        for delay in [1, 63, 64, 65, 4_095, 4_096, 70_000, 262_144, 20_000_000, 40_000_000] {
            let mut timers = Timers::new(start);
            timers.set(start + MS * delay, delay);
            assert_eq!(timers.expire(start + MS * (delay - 1)), None);
            assert_eq!(timers.expire(start + MS * delay), Some(delay));
            assert_eq!(timers.next_expiry(), None);
        }
    }

    #[test]
    fn a_cancelled_timer_never_fires_and_its_id_harms_no_later_one() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let first = timers.set(start + MS * 5, 1);
        timers.cancel(first);
        timers.set(start + MS * 5, 2);
        timers.cancel(first);
        assert_eq!(timers.expire(start + MS * 10), Some(2));
        assert_eq!(timers.expire(start + MS * 10), None);
    }

    proptest! {
        #[test]
        fn waiting_for_each_next_expiry_fires_every_timer_in_its_millisecond(
            delays in proptest::collection::vec(0u32..30_000_000, 1..40)
        ) {
            let start = Instant::now();
            let mut timers = Timers::new(start);
            for &delay in &delays {
                timers.set(start + MS * delay, delay);
            }
            let mut fired = Vec::new();
            let mut steps = 0;
            while let Some(next) = timers.next_expiry() {
                steps += 1;
                prop_assert!(steps < 10_000);
                while let Some(delay) = timers.expire(next) {
                    prop_assert!(start + MS * delay.max(1) == next, "{delay} fired at {:?}", next - start);
                    fired.push(delay);
                }
            }
            let mut expected = delays.clone();
            expected.sort_unstable();
            fired.sort_unstable();
            prop_assert_eq!(fired, expected);
        }
    }
}
