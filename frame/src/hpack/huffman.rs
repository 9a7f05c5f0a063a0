//! The static Huffman code for strings (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive in the order of their symbols, and shorter
//! codes come before longer ones. So the lengths say everything, and all tables are computed from them by the
//! compiler. Decoding looks at eight bits a step, which settles every symbol that text is made of; longer
//! codes are found by comparing with the last code of each length.

use super::Error;

/// The symbol that must never be sent; a prefix of its code serves as padding.
const END_OF_STRING: usize = 256;

/// The number of symbols: all octets and the end of the string.
const SYMBOLS: usize = 257;

/// The bits of the longest codes.
const LONGEST: u32 = 30;

/// How many bits the decoder looks at first.
const STEP: u32 = 8;

/// The bits of each symbol's code (appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbols in the order of their codes.
static ORDER: [u16; SYMBOLS] = order();

/// What is known of the codes of each length.
static ROWS: [Row; LONGEST as usize + 1] = rows();

/// The code of each octet.
static CODES: [Code; 256] = codes();

/// What the next eight bits mean: a symbol and the bits of its code, which are 0 if the code is longer.
static SHORT: [(u8, u8); 1 << STEP] = short();

#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    len: u8,
}

/// The codes of one length, aligned to the left of 32 bits.
#[derive(Clone, Copy)]
struct Row {
    /// The first of them.
    first: u32,
    /// The last of them followed by ones; 0 if there are none.
    last: u32,
    /// The place of the first one's symbol in [`ORDER`].
    offset: usize,
}

const fn order() -> [u16; SYMBOLS] {
    let mut order = [0; SYMBOLS];
    let mut next = 0;
    let mut len = 0;
    while len <= LONGEST as usize {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                order[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    order
}

const fn rows() -> [Row; LONGEST as usize + 1] {
    let order = order();
    let mut rows = [Row { first: 0, last: 0, offset: 0 }; LONGEST as usize + 1];
    // The next code aligned to the left, in 64 bits because after the last one it is 2^32.
    let mut code: u64 = 0;
    let mut offset = 0;
    let mut len = 1;
    while len <= LONGEST as usize {
        let first = code;
        rows[len].first = first as u32;
        rows[len].offset = offset;
        while offset < SYMBOLS && LENGTHS[order[offset] as usize] as usize == len {
            code += 1 << (32 - len);
            offset += 1;
        }
        if code > first {
            rows[len].last = (code - 1) as u32;
        }
        len += 1;
    }
    assert!(code == 1 << 32, "the code must be complete");
    rows
}

const fn codes() -> [Code; 256] {
    let (order, rows) = (order(), rows());
    let mut codes = [Code { bits: 0, len: 0 }; 256];
    let mut place = 0;
    while place < SYMBOLS {
        let symbol = order[place] as usize;
        if symbol != END_OF_STRING {
            let len = LENGTHS[symbol];
            let row = rows[len as usize];
            let bits = (row.first >> (32 - len as u32)) + (place - row.offset) as u32;
            codes[symbol] = Code { bits, len };
        }
        place += 1;
    }
    codes
}

const fn short() -> [(u8, u8); 1 << STEP] {
    let mut short = [(0, 0); 1 << STEP];
    let codes = codes();
    let mut symbol = 0;
    while symbol < codes.len() {
        let Code { bits, len } = codes[symbol];
        if len as u32 <= STEP {
            let free = STEP - len as u32;
            let mut tail = 0;
            while tail < 1 << free {
                short[((bits << free) | tail) as usize] = (symbol as u8, len);
                tail += 1;
            }
        }
        symbol += 1;
    }
    short
}

/// How many octets [`encode`] would append.
#[inline]
pub fn encoded_len(src: &[u8]) -> usize {
    let bits: usize = src.iter().map(|&octet| usize::from(CODES[usize::from(octet)].len)).sum();
    bits.div_ceil(8)
}

/// Appends `src` in the Huffman code, filled up to a whole octet by ones.
pub fn encode(src: &[u8], out: &mut Vec<u8>) {
    // The lower `have` bits are still to be written; never more than 31 between two symbols.
    let mut pending: u64 = 0;
    let mut have = 0;
    for &octet in src {
        let code = CODES[usize::from(octet)];
        pending = (pending << code.len) | u64::from(code.bits);
        have += u32::from(code.len);
        if have >= 32 {
            have -= 32;
            out.extend_from_slice(&((pending >> have) as u32).to_be_bytes());
        }
    }
    if have > 0 {
        let last = ((pending << (32 - have)) as u32 | u32::MAX >> have).to_be_bytes();
        out.extend_from_slice(last.get(..have.div_ceil(8) as usize).unwrap_or_default());
    }
}

/// Appends what the Huffman-coded `src` stands for.
///
/// # Errors
///
/// `src` holds the end-of-string symbol, or its padding is longer than 7 bits or not made of ones (RFC 7541
/// §5.2).
pub fn decode(src: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    decode_up_to(src, usize::MAX, out)?;
    Ok(())
}

/// As [`decode`], but appends no more than `limit` octets; says how many there are.
pub(super) fn decode_up_to(src: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
    let start = out.len();
    // No code is shorter than 5 bits.
    out.resize(start + limit.min(src.len() * 8 / 5), 0);
    let decoded = decode_into(src, out.get_mut(start..).unwrap_or_default());
    out.truncate(start + decoded.unwrap_or(0));
    decoded
}

/// Writes what `src` stands for to `dst` as far as it fits; says how many octets there are.
fn decode_into(src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
    let mut rest = src;
    // The next bits of the string, from the left. The first `have` of them are taken from `rest`; below them
    // there may be more of it already, but never anything else.
    let mut window: u64 = 0;
    let mut have: u32 = 0;
    let mut decoded = 0;
    loop {
        if let Some(word) = rest.first_chunk() {
            window |= u64::from_be_bytes(*word) >> have;
            let octets = (63 - have) / 8;
            have += octets * 8;
            rest = rest.get(octets as usize..).unwrap_or_default();
        } else {
            while have <= 56
                && let Some((&octet, after)) = rest.split_first()
            {
                window |= u64::from(octet) << (56 - have);
                have += 8;
                rest = after;
            }
        }
        if have < LONGEST {
            break;
        }
        while have >= LONGEST {
            let Some((octet, len)) = symbol(window) else {
                return Err(Error {
                    rule: "Huffman-coded string with the end-of-string symbol",
                    section: SECTION,
                });
            };
            if let Some(place) = dst.get_mut(decoded) {
                *place = octet;
            }
            decoded += 1;
            window <<= len;
            have -= len;
        }
    }
    // Behind the last bit all is padding now: ones without end, so that a code cut short seems longer than
    // what is left.
    window |= u64::MAX >> have;
    let is_padding = |window: u64, have: u32| have < 8 && window.leading_ones() >= have;
    while !is_padding(window, have)
        && let Some((octet, len)) = symbol(window)
        && len <= have
    {
        if let Some(place) = dst.get_mut(decoded) {
            *place = octet;
        }
        decoded += 1;
        window = !(!window << len);
        have -= len;
    }
    if is_padding(window, have) {
        Ok(decoded)
    } else {
        Err(Error { rule: "Huffman-coded string padded with other than up to 7 ones", section: SECTION })
    }
}

const SECTION: &str = "RFC 7541 §5.2";

/// The octet whose code the bits of `window` begin with, and the bits of that code; `None` for the end of the
/// string.
#[inline]
fn symbol(window: u64) -> Option<(u8, u32)> {
    match SHORT[(window >> (64 - STEP)) as usize] {
        (_, 0) => long(window),
        (octet, len) => Some((octet, len.into())),
    }
}

/// As [`symbol`], for codes longer than [`STEP`] bits.
#[cold]
fn long(window: u64) -> Option<(u8, u32)> {
    let bits = (window >> 32) as u32;
    let (row, len) = ROWS.iter().zip(0..).skip(STEP as usize + 1).find(|(row, _)| bits <= row.last)?;
    let place = row.offset + ((bits - row.first) >> (32 - len)) as usize;
    let octet = u8::try_from(*ORDER.get(place)?).ok()?;
    Some((octet, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(src: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(src, &mut out);
        assert_eq!(out.len(), encoded_len(src));
        out
    }

    fn decoded(src: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decode(src, &mut out).map(|()| out)
    }

    #[test]
    fn codes_of_the_appendix_come_out_of_their_lengths() {
        let code = |symbol: u8| (CODES[usize::from(symbol)].bits, CODES[usize::from(symbol)].len);
        assert_eq!(code(b'0'), (0x0, 5));
        assert_eq!(code(b'a'), (0x3, 5));
        assert_eq!(code(b'~'), (0x1ffd, 13));
        assert_eq!(code(b'\\'), (0x7fff0, 19));
        assert_eq!(code(0), (0x1ff8, 13));
        assert_eq!(code(255), (0x3ffffee, 26));
        assert_eq!(code(22), (0x3ffffffe, 30));
        assert_eq!(ORDER[SYMBOLS - 1], END_OF_STRING as u16);
    }

    #[test]
    fn examples_of_the_rfc_hold() {
        assert_eq!(
            encoded(b"www.example.com"),
            [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]
        );
        assert_eq!(decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]), Ok(b"no-cache".to_vec()));
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    #[test]
    fn every_octet_comes_back_at_every_bit_position() {
        for octet in 0..=255 {
            for lead in 0..8 {
                // Each leading zero character shifts by five bits, so that all eight positions are reached.
                let mut text = vec![b'0'; lead];
                text.extend([octet, octet, b'x']);
                assert_eq!(decoded(&encoded(&text)), Ok(text));
            }
        }
    }

    #[test]
    fn the_end_of_string_symbol_is_an_error_wherever_it_stands() {
        assert!(decoded(&[0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(decoded(&[0x07, 0xff, 0xff, 0xff, 0xff]).is_err(), "after one symbol");
        assert!(decoded(&[0xff; 64]).is_err());
    }

    #[test]
    fn padding_of_eight_bits_or_more_is_an_error() {
        // '0' and three ones are right; another octet of ones is too much.
        assert_eq!(decoded(&[0x07]), Ok(b"0".to_vec()));
        assert!(decoded(&[0x07, 0xff]).is_err());
        for len in 1..4 {
            assert!(decoded(&vec![0xff; len]).is_err());
        }
    }

    #[test]
    fn padding_other_than_ones_is_an_error() {
        for bad in [0x00, 0x01, 0x02, 0x06] {
            assert!(decoded(&[bad]).is_err(), "{bad:#x}");
        }
    }

    #[test]
    fn a_limit_stops_the_storing_but_not_the_counting() {
        let coded = encoded(&[b'a'; 1000]);
        let mut out = Vec::new();
        assert_eq!(decode_up_to(&coded, 10, &mut out), Ok(1000));
        assert_eq!(out, [b'a'; 10]);
        assert!(out.capacity() < 100);
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encoded(&text)), Ok(text));
        }

        #[test]
        fn what_decodes_is_the_only_coding_of_its_text(octets: Vec<u8>) {
            if let Ok(text) = decoded(&octets) {
                prop_assert_eq!(encoded(&text), octets);
            }
        }
    }
}
