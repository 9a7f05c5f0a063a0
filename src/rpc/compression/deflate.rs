//! `deflate`: DEFLATE in the format of zlib (RFC 1950), as in HTTP and in gRPC's C core.

use std::fmt;

use super::inflate::{Deflater, trailing};
use super::{Compressor, DecompressError, Decompressed};

/// `deflate`: DEFLATE in the format of zlib (RFC 1950).
pub struct Deflate {
    level: u32,
    deflater: Deflater,
}

impl Deflate {
    /// With a level from 0 (none) over 1 (fast) to 9 (small). The default is 6.
    pub fn with_level(level: u32) -> Self {
        Deflate { level: level.min(9), deflater: Deflater::default() }
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Deflate::with_level(6)
    }
}

impl Clone for Deflate {
    fn clone(&self) -> Self {
        Deflate::with_level(self.level)
    }
}

impl fmt::Debug for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflate").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor for Deflate {
    fn name(&self) -> &str {
        "deflate"
    }

    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.deflater.compress(self.level, true, message, out)
    }

    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError> {
        match self.deflater.decompress(true, compressed, out)? {
            [] => Ok(()),
            rest => Err(trailing(rest)),
        }
    }
}
