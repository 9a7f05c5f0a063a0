//! A small seeded generator for jitter: fast, repeatable in tests, and of no use for secrets.

/// Marsaglia's xorshift64 with a multiplied output.
#[derive(Clone, Debug)]
pub(crate) struct Xorshift(u64);

impl Xorshift {
    /// Zero is the one state xorshift never leaves, so that a seed of zero is exchanged for another.
    pub(crate) fn new(seed: u64) -> Self {
        Xorshift(if seed == 0 { 0x9E37_79B9_7F4A_7C15 } else { seed })
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The next number in `0.0..1.0`, from the upper 53 bits.
    pub(crate) fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Xorshift::new(7), Xorshift::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Xorshift::new(7).next_u64(), Xorshift::new(8).next_u64());
    }

    #[test]
    fn a_seed_of_zero_still_gives_random_numbers() {
        let mut random = Xorshift::new(0);
        assert_ne!(random.next_u64(), random.next_u64());
    }

    #[test]
    fn fractions_fill_the_range_from_zero_up_to_one() {
        let mut random = Xorshift::new(1);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.next_f64()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
