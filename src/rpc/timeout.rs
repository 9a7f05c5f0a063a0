//! `grpc-timeout`: one to eight digits and a unit (PROTOCOL-HTTP2.md, "Timeout").

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// The greatest number that the eight digits of a timeout can hold.
const MAX_VALUE: u64 = 99_999_999;
const MAX_DIGITS: usize = 8;

/// The longest timeout that [`decode`] returns, 292 years: a deadline made from it cannot overflow a clock that counts
/// nanoseconds in 64 bits. A peer may write up to 11,000 years.
pub(crate) const MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// A written timeout, as [`encode`] returns it; dereferences to its octets.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    octets: [u8; MAX_DIGITS + 1],
    start: u8,
}

/// The value of `grpc-timeout` for this duration: the finest unit whose number fits into eight digits, rounded up, so
/// that the peer never gives up before the caller does.
pub(crate) fn encode(timeout: Duration) -> Encoded {
    const MICRO: u64 = 1_000;
    const MILLI: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000_000;
    const FINE_UNITS: [(u64, u8); 4] = [(1, b'n'), (MICRO, b'u'), (MILLI, b'm'), (SECOND, b'S')];

    let whole_seconds = timeout.as_secs();
    if whole_seconds <= MAX_VALUE {
        let nanos = whole_seconds * SECOND + u64::from(timeout.subsec_nanos());
        for (size, unit) in FINE_UNITS {
            if nanos <= size * MAX_VALUE {
                return Encoded::new(nanos.div_ceil(size), unit);
            }
        }
    }
    let seconds = whole_seconds.saturating_add(u64::from(timeout.subsec_nanos() != 0));
    match seconds.div_ceil(60) {
        minutes if minutes <= MAX_VALUE => Encoded::new(minutes, b'M'),
        _ => Encoded::new(seconds.div_ceil(3_600).min(MAX_VALUE), b'H'),
    }
}

/// The duration that a value of `grpc-timeout` stands for, at most [`MAX`].
pub(crate) fn decode(value: &[u8]) -> Result<Duration, InvalidTimeout> {
    let (unit, digits) = value.split_last().ok_or(InvalidTimeout)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return Err(InvalidTimeout);
    }
    let mut number = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(InvalidTimeout);
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    let timeout = match unit {
        b'n' => Duration::from_nanos(number),
        b'u' => Duration::from_micros(number),
        b'm' => Duration::from_millis(number),
        b'S' => Duration::from_secs(number),
        b'M' => Duration::from_secs(number * 60),
        b'H' => Duration::from_secs(number * 3_600),
        _ => return Err(InvalidTimeout),
    };
    Ok(timeout.min(MAX))
}

/// A `grpc-timeout` that is not one to eight digits and one of the units H, M, S, m, u and n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTimeout;

impl fmt::Display for InvalidTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("grpc-timeout is not one to eight digits and a unit (H, M, S, m, u or n)")
    }
}

impl std::error::Error for InvalidTimeout {}

impl Encoded {
    fn new(mut number: u64, unit: u8) -> Self {
        let mut octets = [b'0'; MAX_DIGITS + 1];
        octets[MAX_DIGITS] = unit;
        let mut start = MAX_DIGITS;
        loop {
            start -= 1;
            octets[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 || start == 0 {
                return Self { octets, start: start as u8 };
            }
        }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[usize::from(self.start)..]
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(timeout: Duration) -> String {
        String::from_utf8(encode(timeout).to_vec()).unwrap()
    }

    #[test]
    fn the_finest_unit_that_fits_is_chosen() {
        assert_eq!(encoded(Duration::ZERO), "0n");
        assert_eq!(encoded(Duration::from_nanos(1)), "1n");
        assert_eq!(encoded(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(encoded(Duration::from_nanos(100_000_000)), "100000u");
        assert_eq!(encoded(Duration::from_secs(1)), "1000000u");
        assert_eq!(encoded(Duration::from_secs(100)), "100000m");
        assert_eq!(encoded(Duration::from_secs(100_000)), "100000S");
        assert_eq!(encoded(Duration::from_secs(100_000_000)), "1666667M");
        assert_eq!(encoded(Duration::from_secs(6_000_000_000)), "1666667H");
        assert_eq!(encoded(Duration::MAX), "99999999H");
    }

    #[test]
    fn a_timeout_is_rounded_up() {
        assert_eq!(encoded(Duration::from_nanos(100_000_001)), "100001u");
        assert_eq!(encoded(Duration::new(99_999, 999_999_999)), "100000S");
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(decode(b"7n"), Ok(Duration::from_nanos(7)));
        assert_eq!(decode(b"7u"), Ok(Duration::from_micros(7)));
        assert_eq!(decode(b"7m"), Ok(Duration::from_millis(7)));
        assert_eq!(decode(b"7S"), Ok(Duration::from_secs(7)));
        assert_eq!(decode(b"7M"), Ok(Duration::from_secs(420)));
        assert_eq!(decode(b"7H"), Ok(Duration::from_secs(25_200)));
        assert_eq!(decode(b"00000007S"), Ok(Duration::from_secs(7)));
        assert_eq!(decode(b"0n"), Ok(Duration::ZERO));
    }

    #[test]
    fn the_longest_timeout_is_held_down() {
        assert_eq!(decode(b"99999999H"), Ok(MAX));
    }

    #[test]
    fn anything_else_is_refused() {
        for value in
            ["", "S", "7", "7s", "7h", "-7S", "+7S", " 7S", "7 S", "7S ", "1.5S", "123456789n", "7SS", "٣S"]
        {
            assert_eq!(decode(value.as_bytes()), Err(InvalidTimeout), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_never_shorter(
            seconds in 0..9_000_000_000u64,
            nanos in 0..1_000_000_000u32
        ) {
            let timeout = Duration::new(seconds, nanos);
            let read = decode(&encode(timeout)).unwrap();
            prop_assert!(read >= timeout);
            // Eight digits hold a precision of at least 1 in 100,000 (at the switch from milliseconds to seconds).
            prop_assert!(read - timeout <= timeout / 100_000 + Duration::from_nanos(1));
        }

        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = decode(&value);
        }
    }
}
