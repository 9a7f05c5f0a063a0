//! What a picker may share between threads and change: counters without locks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::{CallEnd, CallObserver};
use crate::rpc::Code;

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

/// A mark that any thread may set, and one takes.
#[derive(Debug, Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Sets the mark. Whether it was not set before.
    pub fn set(&self) -> bool {
        // Nearly always it is set already, and a look leaves the cache line with everybody.
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Release)
    }

    /// Whether the mark was set; it is not set any more.
    pub fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Acquire)
    }
}

/// How many calls ended well and how many did not. As an observer it counts those that were sent.
#[derive(Debug, Default)]
pub struct Tally {
    successes: AtomicU64,
    failures: AtomicU64,
}

impl Tally {
    /// The numbers of successes and failures since the last time, and begins anew.
    pub fn take(&self) -> (u64, u64) {
        (self.successes.swap(0, Ordering::Relaxed), self.failures.swap(0, Ordering::Relaxed))
    }
}

impl CallObserver for Tally {
    fn handle_end(&self, end: &CallEnd<'_>) {
        match end.code {
            Some(Code::Ok) => self.successes.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.failures.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
    }
}

/// A number that is measured on many threads and read by one.
#[derive(Debug, Default)]
pub struct Gauge {
    bits: AtomicU64,
    fresh: Flag,
}

impl Gauge {
    /// Takes a new measurement.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
        self.fresh.set();
    }

    /// The latest measurement, if there was one since the last time.
    pub fn take(&self) -> Option<f64> {
        self.fresh.take().then(|| f64::from_bits(self.bits.load(Ordering::Relaxed)))
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

    #[test]
    fn a_flag_is_taken_once() {
        let flag = Flag::default();
        assert!(!flag.take());
        assert!(flag.set() && !flag.set());
        assert!(flag.take() && !flag.take());
    }

    #[test]
    fn a_tally_counts_calls_that_were_sent_by_how_they_ended() {
        let tally = Tally::default();
        [Some(Code::Ok), Some(Code::Internal), None, Some(Code::Ok)]
            .into_iter()
            .for_each(|code| tally.handle_end(&CallEnd { code, ..CallEnd::UNSENT }));
        assert_eq!((tally.take(), tally.take()), ((2, 1), (0, 0)));
    }

    #[test]
    fn a_gauge_gives_a_measurement_once() {
        let gauge = Gauge::default();
        assert_eq!(gauge.take(), None);
        gauge.set(1.0);
        gauge.set(2.0);
        assert_eq!((gauge.take(), gauge.take()), (Some(2.0), None));
    }
}
