//! Integers with a prefix (RFC 7541 §5.1).

use super::Error;

/// One more than the largest integer accepted. Nothing in a header block that this side accepts is as large;
/// a bound far below 2^32 keeps every sum of lengths safe.
const LIMIT: usize = 1 << 28;

/// The most octets that may follow the prefix: four carry the 28 bits that [`LIMIT`] allows. Without it a
/// peer could send continuation octets of value 0 forever.
const MAX_CONTINUATIONS: u32 = 4;

/// Octets of `input` that [`decode`] reads on are taken from its front.
///
/// `first` is the octet with the prefix, whose lower `prefix_bits` (1 to 8) belong to the integer.
#[inline]
pub(super) fn decode(first: u8, prefix_bits: u32, input: &mut &[u8]) -> Result<usize, Error> {
    let mask = mask(prefix_bits);
    let prefix = first & mask;
    if prefix < mask { Ok(prefix.into()) } else { continued(mask.into(), input) }
}

fn continued(mut value: usize, input: &mut &[u8]) -> Result<usize, Error> {
    for position in 0..MAX_CONTINUATIONS {
        let Some((&octet, rest)) = input.split_first() else {
            return Err(Error {
                rule: "header block that ends inside an integer", section: "RFC 7541 §5.1"
            });
        };
        *input = rest;
        value += usize::from(octet & 0x7f) << (7 * position);
        if octet & 0x80 == 0 {
            return if value < LIMIT { Ok(value) } else { Err(TOO_LARGE) };
        }
    }
    Err(TOO_LARGE)
}

const TOO_LARGE: Error =
    Error { rule: "integer of more than 5 octets or not below 2^28", section: "RFC 7541 §5.1" };

/// Appends `value` with a prefix of `prefix_bits`; `pattern` is what stands above the prefix in the first
/// octet.
#[inline]
pub(super) fn encode(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let mask = mask(prefix_bits);
    if value < usize::from(mask) {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(0x80 | rest as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
const fn mask(prefix_bits: u32) -> u8 {
    u8::MAX >> (8 - prefix_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value: usize, prefix_bits: u32) -> (Vec<u8>, Result<usize, Error>) {
        let mut out = Vec::new();
        encode(&mut out, 0, prefix_bits, value);
        let mut rest = &out[1..];
        let decoded = decode(out[0], prefix_bits, &mut rest);
        assert!(decoded.is_err() || rest.is_empty());
        (out, decoded)
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        assert_eq!(round_trip(10, 5), (vec![0x0a], Ok(10)));
        assert_eq!(round_trip(1337, 5), (vec![0x1f, 0x9a, 0x0a], Ok(1337)));
        assert_eq!(round_trip(42, 8), (vec![0x2a], Ok(42)));
    }

    #[test]
    fn every_prefix_holds_the_values_at_its_edges() {
        for bits in 1..=8 {
            let full = usize::from(mask(bits));
            for value in [0, full - 1, full, full + 1, full + 127, full + 128, 16_384, LIMIT - 1] {
                assert_eq!(round_trip(value, bits).1, Ok(value), "{value} with {bits} bits");
            }
        }
    }

    #[test]
    fn integers_from_2_to_the_28_on_are_refused() {
        assert_eq!(round_trip(LIMIT, 7).1, Err(TOO_LARGE));
        assert_eq!(round_trip(u32::MAX as usize, 7).1, Err(TOO_LARGE));
        assert_eq!(decode(0x7f, 7, &mut &[0xff, 0xff, 0xff, 0x7f][..]), Err(TOO_LARGE));
    }

    #[test]
    fn at_most_five_octets_are_read() {
        assert_eq!(decode(0x7f, 7, &mut &[0x80, 0x80, 0x80, 0x00][..]), Ok(127));
        assert_eq!(decode(0x7f, 7, &mut &[0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(TOO_LARGE));
    }

    #[test]
    fn an_integer_cut_short_is_an_error() {
        for input in [&[][..], &[0x80], &[0xff, 0xff, 0xff]] {
            assert!(decode(0x7f, 7, &mut &*input).is_err());
        }
    }

    #[test]
    fn what_stands_above_the_prefix_is_kept_when_encoding_and_ignored_when_decoding() {
        let mut out = Vec::new();
        encode(&mut out, 0xe0, 5, 31);
        assert_eq!(out, [0xff, 0x00]);
        assert_eq!(decode(0xff, 5, &mut &[0x00][..]), Ok(31));
    }
}
