//! `zstd` (RFC 8878), by the reference implementation in C. Feature `zstd`.

use std::fmt;

use zstd::bulk;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{DParameter, compress_bound};

use super::{Compressor, DecompressError, Decompressed};

/// The largest window that a frame may ask its reader to keep, as a power of two: 8 MiB, which RFC 9659 sets for HTTP.
/// The format itself allows terabytes, for which a few octets of header would do.
const MAX_WINDOW_LOG: u32 = 23;

/// `zstd` (RFC 8878), with one frame for each message.
pub struct Zstd {
    level: i32,
    compressor: Option<bulk::Compressor<'static>>,
    decoder: Option<Decoder<'static>>,
}

impl Zstd {
    /// With a level from 1 (fast) to 22 (small). The default is 3.
    pub fn with_level(level: i32) -> Self {
        Zstd { level, compressor: None, decoder: None }
    }

    fn decoder(&mut self) -> std::io::Result<&mut Decoder<'static>> {
        match &mut self.decoder {
            Some(decoder) => {
                decoder.reinit()?;
                Ok(decoder)
            }
            none => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
                Ok(none.insert(decoder))
            }
        }
    }
}

impl Default for Zstd {
    fn default() -> Self {
        Zstd::with_level(3)
    }
}

impl Clone for Zstd {
    fn clone(&self) -> Self {
        Zstd::with_level(self.level)
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor for Zstd {
    fn name(&self) -> &str {
        "zstd"
    }

    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(bulk::Compressor::new(self.level).map_err(|error| error.to_string())?),
        };
        let start = out.len();
        out.resize(start + compress_bound(message.len()), 0);
        let written =
            compressor.compress_to_buffer(message, &mut out[start..]).map_err(|error| error.to_string())?;
        out.truncate(start + written);
        Ok(())
    }

    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError> {
        let malformed = |error: std::io::Error| DecompressError::malformed(error.to_string());
        let decoder = self.decoder().map_err(malformed)?;
        let mut input = InBuffer::around(compressed);
        loop {
            let before = (input.pos(), out.octets().len());
            let hint = out.fill(|out| {
                let start = out.len();
                decoder.run(&mut input, &mut OutBuffer::around_pos(out, start))
            })?;
            let hint = hint.map_err(malformed)?;
            if hint == 0 {
                break;
            }
            if (input.pos(), out.octets().len()) == before {
                return Err(DecompressError::malformed("the compressed octets end too early"));
            }
        }
        match compressed.len() - input.pos() {
            0 => Ok(()),
            1 => Err(DecompressError::malformed("1 octet follows the compressed message")),
            rest => Err(DecompressError::malformed(format!("{rest} octets follow the compressed message"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_asks_for_a_large_window_is_malformed() {
        let inflate = |window_log: u8| {
            let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 9, 0, 0, b'x'];
            let mut out = Decompressed::new(100);
            Zstd::default().decompress(&frame, &mut out).map(|()| out.into_octets())
        };
        assert_eq!(inflate(MAX_WINDOW_LOG as u8).unwrap(), b"x");
        assert!(matches!(inflate(MAX_WINDOW_LOG as u8 + 1), Err(DecompressError::Malformed(_))));
    }
}
