//! `gzip`: DEFLATE in the format of gzip (RFC 1952). flate2's own reader of that format allocates for each message.

use std::fmt;

use flate2::Crc;

use super::inflate::{Deflater, trailing};
use super::{Compressor, DecompressError, Decompressed};

/// The header that is written: the magic number, DEFLATE, no flags, no time, nothing about the level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The CRC and the length of the message, little-endian, behind it.
const TRAILER_LEN: usize = 8;
/// DEFLATE makes at most so many octets of one (258 of two bits): a length beyond that is a lie.
const MAX_RATIO: usize = 1032;

const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// `gzip` (RFC 1952), with one member for each message.
pub struct Gzip {
    level: u32,
    deflater: Deflater,
}

impl Gzip {
    /// With a level from 0 (none) over 1 (fast) to 9 (small). The default is 6.
    pub fn with_level(level: u32) -> Self {
        Gzip { level: level.min(9), deflater: Deflater::default() }
    }
}

impl Default for Gzip {
    fn default() -> Self {
        Gzip::with_level(6)
    }
}

impl Clone for Gzip {
    fn clone(&self) -> Self {
        Gzip::with_level(self.level)
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor for Gzip {
    fn name(&self) -> &str {
        "gzip"
    }

    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&HEADER);
        self.deflater.compress(self.level, false, message, out)?;
        out.extend_from_slice(&trailer(message));
        Ok(())
    }

    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError> {
        let body = behind_header(compressed).ok_or_else(|| {
            DecompressError::malformed("the octets do not begin with the whole header of gzip")
        })?;
        if let Some(length) = body.last_chunk::<4>() {
            out.expect((u32::from_le_bytes(*length) as usize).min(body.len().saturating_mul(MAX_RATIO)));
        }
        let rest = self.deflater.decompress(false, body, out)?;
        let Some((found, rest)) = rest.split_first_chunk::<TRAILER_LEN>() else {
            return Err(DecompressError::malformed("the compressed octets end too early"));
        };
        if *found != trailer(out.octets()) {
            return Err(DecompressError::malformed("the checksum or the length of gzip is wrong"));
        }
        if rest.is_empty() { Ok(()) } else { Err(trailing(rest)) }
    }
}

fn trailer(message: &[u8]) -> [u8; TRAILER_LEN] {
    let mut crc = Crc::new();
    crc.update(message);
    let (crc, length) = (crc.sum().to_le_bytes(), (message.len() as u32).to_le_bytes());
    let mut trailer = [0; TRAILER_LEN];
    trailer[..4].copy_from_slice(&crc);
    trailer[4..].copy_from_slice(&length);
    trailer
}

/// What follows the header, if there is a whole one.
fn behind_header(octets: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = octets.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & HAS_EXTRA != 0 {
        let (len, extra) = rest.split_first_chunk::<2>()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|octet| *octet == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HAS_HEADER_CRC != 0 {
        // It guards what is not used.
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn inflated(octets: &[u8]) -> Result<Vec<u8>, DecompressError> {
        let mut out = Decompressed::new(1000);
        Gzip::default().decompress(octets, &mut out).map(|()| out.into_octets())
    }

    #[test]
    fn optional_parts_of_the_header_are_passed_over() {
        let mut plain = Vec::new();
        Gzip::default().compress(b"message", &mut plain).unwrap();
        let mut full = plain[..10].to_vec();
        full[3] = HAS_HEADER_CRC | HAS_EXTRA | HAS_NAME | HAS_COMMENT;
        full.extend_from_slice(b"\x03\0abcname\0comment\0\x12\x34");
        full.extend_from_slice(&plain[10..]);
        assert_eq!(inflated(&full).unwrap(), b"message");
        full[3] |= 1 << 5;
        assert!(inflated(&full).is_err());
    }

    #[test]
    fn a_wrong_checksum_or_length_is_malformed() {
        let mut octets = Vec::new();
        Gzip::default().compress(b"message", &mut octets).unwrap();
        for place in [octets.len() - 8, octets.len() - 1] {
            let mut wrong = octets.clone();
            wrong[place] ^= 1;
            assert_eq!(
                inflated(&wrong),
                Err(DecompressError::malformed("the checksum or the length of gzip is wrong"))
            );
        }
    }

    /// 1 GiB of zeros: what makes 1 MiB of them, as often as it takes.
    fn bomb() -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), false);
        let mut piece = Vec::with_capacity(1 << 16);
        compress.compress_vec(&vec![0; 1 << 20], &mut piece, FlushCompress::Full).unwrap();
        let mut bomb = HEADER.to_vec();
        bomb.extend_from_slice(&piece.repeat(1024));
        bomb.extend_from_slice(&[3, 0]);
        bomb.extend_from_slice(&[0; 4]);
        bomb.extend_from_slice(&(1u32 << 30).to_le_bytes());
        bomb
    }

    #[test]
    fn a_bomb_of_a_gibioctet_takes_no_more_memory_than_the_limit_and_the_algorithm() {
        const LIMIT: usize = 4 << 20;
        let bomb = bomb();
        assert!(bomb.len() < 2 << 20);
        let mut gzip = Gzip::default();
        let mut out = Decompressed::new(LIMIT);
        let memory = measure(|| {
            assert_eq!(gzip.decompress(&bomb, &mut out), Err(DecompressError::TooLarge));
        });
        assert!(memory.bytes_max <= (LIMIT + 1 + (64 << 10)) as u64, "{memory:?}");
    }
}
