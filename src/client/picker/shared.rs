//! What a picker may share between threads and change: counters without locks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{CallEnd, CallObserver};

/// Places by turns.
#[derive(Debug)]
pub struct Rotation(AtomicUsize);

impl Rotation {
    /// Turns that begin at the place `start`, whatever is left of it when divided by the number of places.
    pub fn new(start: u64) -> Self {
        Rotation(AtomicUsize::new(start as usize))
    }

    /// The next of `places` places; zero if there is none.
    pub fn next(&self, places: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed).checked_rem(places).unwrap_or(0)
    }

    /// The number of turns so far, which wraps around; and counts this as one.
    pub fn next_turn(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Random numbers for many threads: fast, and of no use for secrets.
#[derive(Debug)]
pub struct Dice(AtomicU64);

/// The odd number next to 2^64 divided by the golden ratio: its multiples meet every number once, far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// Dice with this seed.
    pub fn new(seed: u64) -> Self {
        Dice(AtomicU64::new(seed))
    }

    /// Any 64 bits (Steele, Lea and Flood's SplitMix64).
    pub fn next_u64(&self) -> u64 {
        let mut bits = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`; zero if that is zero. The bias is below one in 2^64 / `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// The number of calls that have begun and not ended somewhere. As an observer it counts down.
#[derive(Debug, Default)]
pub struct InFlight(AtomicUsize);

impl InFlight {
    /// Counts a call that begins.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl CallObserver for InFlight {
    fn handle_end(&self, _: &CallEnd<'_>) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_goes_round_from_its_start() {
        let rotation = Rotation::new(5);
        assert_eq!([(); 5].map(|()| rotation.next(3)), [2, 0, 1, 2, 0]);
        assert_eq!(rotation.next(0), 0);
    }

    #[test]
    fn dice_fall_on_every_number_about_equally_often() {
        let dice = Dice::new(1);
        let mut counts = [0u32; 10];
        (0..100_000).for_each(|_| counts[dice.below(10) as usize] += 1);
        // Ten standard deviations of a binomial with p = 0.1.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 950), "{counts:?}");
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn calls_in_flight_are_counted_up_and_down() {
        let calls = InFlight::default();
        calls.begin();
        calls.begin();
        calls.handle_end(&CallEnd::UNSENT);
        assert_eq!(calls.count(), 1);
    }
}
