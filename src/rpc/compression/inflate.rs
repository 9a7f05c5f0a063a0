//! DEFLATE in either direction, by flate2, with its memory used again: what gzip and zlib have in common.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{DecompressError, Decompressed};

/// Room that is made for compressed octets at a time.
const ROOM: usize = 4096;

/// The memory of the algorithm, some 300 KiB for compressing and 45 KiB for inflating, each made at its first use.
#[derive(Default)]
pub(super) struct Deflater {
    compress: Option<Compress>,
    decompress: Option<Decompress>,
}

impl Deflater {
    /// Appends the message as DEFLATE, within the format of zlib or bare.
    pub(super) fn compress(
        &mut self,
        level: u32,
        zlib: bool,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let deflate = self.compress.get_or_insert_with(|| Compress::new(Compression::new(level), zlib));
        deflate.reset();
        loop {
            out.reserve(ROOM);
            let rest = &message[deflate.total_in() as usize..];
            let status = deflate.compress_vec(rest, out, FlushCompress::Finish);
            if status.map_err(|error| error.to_string())? == Status::StreamEnd {
                return Ok(());
            }
        }
    }

    /// Inflates one stream at the beginning of the octets, and returns what follows it.
    pub(super) fn decompress<'a>(
        &mut self,
        zlib: bool,
        compressed: &'a [u8],
        out: &mut Decompressed,
    ) -> Result<&'a [u8], DecompressError> {
        let inflate = self.decompress.get_or_insert_with(|| Decompress::new(zlib));
        inflate.reset(zlib);
        loop {
            let before = (inflate.total_in(), inflate.total_out());
            let rest = &compressed[before.0 as usize..];
            let inflated = out.fill(|out| inflate.decompress_vec(rest, out, FlushDecompress::None))?;
            let status = inflated.map_err(|error| DecompressError::malformed(error.to_string()))?;
            match status {
                Status::StreamEnd => return Ok(&compressed[inflate.total_in() as usize..]),
                // There was room and still nothing moved: it waits for octets that are not there.
                _ if (inflate.total_in(), inflate.total_out()) == before => {
                    return Err(DecompressError::malformed("the compressed octets end too early"));
                }
                _ => {}
            }
        }
    }
}

/// The error for octets that nobody asked for.
pub(super) fn trailing(octets: &[u8]) -> DecompressError {
    let ending = if octets.len() == 1 { "octet follows" } else { "octets follow" };
    DecompressError::malformed(format!("{} {ending} the compressed message", octets.len()))
}
