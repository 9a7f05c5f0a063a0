//! Strings, plain or Huffman-coded (RFC 7541 §5.2).

use super::{Error, huffman, integer};

/// The bit of the length octet that says "Huffman-coded".
const HUFFMAN: u8 = 0x80;

/// A string found in a header block.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    /// As it stands in the block.
    Plain(&'a [u8]),
    /// Decoded into the scratch buffer from `start` to `end`.
    Decoded {
        start: usize,
        end: usize,
        /// The octets it has, of which only as many as the limit allowed are in the buffer.
        len: usize,
    },
}

impl<'a> Text<'a> {
    /// The octets the string has.
    pub(super) fn len(self) -> usize {
        match self {
            Text::Plain(octets) => octets.len(),
            Text::Decoded { len, .. } => len,
        }
    }

    /// The octets of the string, at most as many as the limit allowed.
    pub(super) fn octets(self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Text::Plain(octets) => octets,
            Text::Decoded { start, end, .. } => scratch.get(start..end).unwrap_or_default(),
        }
    }
}

/// Takes a string from the front of `input`. A Huffman-coded one is appended to `scratch`, but never more
/// than `limit` octets of it.
#[inline]
pub(super) fn decode<'a>(
    input: &mut &'a [u8],
    limit: usize,
    scratch: &mut Vec<u8>,
) -> Result<Text<'a>, Error> {
    const CUT_SHORT: Error =
        Error { rule: "header block that ends inside a string", section: "RFC 7541 §5.2" };
    let (&first, rest) = input.split_first().ok_or(CUT_SHORT)?;
    *input = rest;
    let len = integer::decode(first, 7, input)?;
    let (octets, rest) = input.split_at_checked(len).ok_or(CUT_SHORT)?;
    *input = rest;
    if first & HUFFMAN == 0 {
        return Ok(Text::Plain(octets));
    }
    let start = scratch.len();
    let len = huffman::decode_up_to(octets, limit, scratch)?;
    Ok(Text::Decoded { start, end: scratch.len(), len })
}

/// Appends a string, Huffman-coded if that is shorter.
#[inline]
pub(super) fn encode(octets: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(octets);
    if coded < octets.len() {
        integer::encode(out, HUFFMAN, 7, coded);
        huffman::encode(octets, out);
    } else {
        integer::encode(out, 0, 7, octets.len());
        out.extend_from_slice(octets);
    }
}
