//! Compression of messages (gRPC's compression.md): what an algorithm has to do, and the algorithms that come along.
//!
//! # What is compressed
//!
//! Nothing, unless somebody says so; what arrives compressed is inflated whoever asked for it.
//!
//! | who says so | how | what for |
//! |---|---|---|
//! | a channel | [`ChannelBuilder::compression`](crate::client::ChannelBuilder::compression) | requests that say nothing else |
//! | a caller | [`Request::with_compression`](crate::Request::with_compression) | the messages of this request |
//! | a server | [`ServerBuilder::compression`](crate::server::ServerBuilder::compression) | responses; without it they follow their request |
//! | a handler | [`Response::with_compression`](crate::Response::with_compression), [`Outbound::set_compression`](crate::Outbound::set_compression) | the messages of this response |
//!
//! One message may be left as it is, since it would not become smaller, or mixes a secret with what an attacker chose:
//! `with_uncompressed_message` of requests and responses, `send_uncompressed` of streams. Empty messages always are.
//! A server sends nothing by an algorithm that the client does not accept. `accept_compression` of either builder says
//! what this side accepts; a request in another algorithm is answered with UNIMPLEMENTED and the names of those that
//! would do.
//!
//! # An algorithm of one's own
//!
//! A message is compressed by itself and whole, so an algorithm is two functions from octets to octets. What a peer
//! sent is inflated into a [`Decompressed`], which takes no more than the limit for received messages.

#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(any(feature = "gzip", feature = "deflate"))]
mod inflate;
#[cfg(feature = "zstd")]
mod zstd;

use std::io::{self, Read};

use super::message::{PREFIX_LEN, check_send_len, compressed_prefix};
use super::status::Status;

#[cfg(feature = "deflate")]
pub use self::deflate::Deflate;
#[cfg(feature = "gzip")]
pub use self::gzip::Gzip;
#[cfg(feature = "zstd")]
pub use self::zstd::Zstd;

/// The name of no compression. Everybody knows it, and it need not be said.
pub(crate) const IDENTITY: &str = "identity";

/// Memory that is taken for a message before anything of it is inflated. It grows by [`GROWTH`] times until the limit.
const FIRST_ALLOCATION: usize = 1024;
/// Few large steps: what is left behind by the last one is at most a quarter of the limit.
const GROWTH: usize = 4;

/// An algorithm that compresses messages. Add one of your own by `compressor(..)` of a server's or channel's builder.
///
/// A clone has the same settings and memory of its own: clones work for many messages, one after the other, on any
/// thread. After an error or a panic a clone is not used again.
pub trait Compressor: Send + 'static {
    /// The name by which both sides know the algorithm, such as `gzip`: the value of `grpc-encoding`.
    fn name(&self) -> &str;

    /// Appends the compressed message.
    ///
    /// # Errors
    ///
    /// Why it could not be done; the call ends with INTERNAL.
    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String>;

    /// Inflates a whole message. What is left of `compressed` behind its end is an error.
    ///
    /// # Errors
    ///
    /// What is wrong with the octets, or that there is no room for what comes out of them.
    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError>;
}

/// Why a message could not be inflated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecompressError {
    /// The octets are not what the algorithm makes; this says how.
    Malformed(String),
    /// More comes out of them than the receiver takes.
    TooLarge,
}

impl DecompressError {
    /// The octets are not what the algorithm makes.
    pub fn malformed(why: impl Into<String>) -> Self {
        DecompressError::Malformed(why.into())
    }
}

/// Where a message is inflated to: at most as many octets as the receiver takes.
#[derive(Debug)]
pub struct Decompressed {
    octets: Vec<u8>,
    limit: usize,
}

impl Decompressed {
    /// Takes at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        Decompressed { octets: Vec::new(), limit }
    }

    /// Adds octets. TOO LARGE if they are beyond the limit, which leaves them out.
    ///
    /// # Errors
    ///
    /// [`DecompressError::TooLarge`].
    pub fn extend_from_slice(&mut self, octets: &[u8]) -> Result<(), DecompressError> {
        if octets.len() > self.limit.saturating_sub(self.octets.len()) {
            return Err(DecompressError::TooLarge);
        }
        if self.octets.capacity() - self.octets.len() < octets.len() {
            self.grow(octets.len());
        }
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    /// Adds what a reader gives, of which at most one octet beyond the limit is read.
    ///
    /// # Errors
    ///
    /// [`DecompressError::TooLarge`], or what the reader says.
    pub fn read_from(&mut self, reader: impl Read) -> Result<(), DecompressError> {
        let room = self.limit.saturating_sub(self.octets.len()) as u64;
        let mut reader = reader.take(room.saturating_add(1));
        let mut piece = [0; 4096];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => self.extend_from_slice(&piece[..len])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DecompressError::malformed(error.to_string())),
            }
        }
    }

    /// What has come out.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What has come out, alone.
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }

    /// Memory for `expected` octets at once, where the algorithm knows how many come. One beyond the limit shows that
    /// there are more.
    #[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
    fn expect(&mut self, expected: usize) {
        let wanted = expected.min(self.limit.saturating_add(1));
        self.octets.reserve_exact(wanted.saturating_sub(self.octets.len()));
    }

    /// Lets an algorithm append to the memory that is there, of which there is some: up to one octet beyond the limit.
    #[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
    fn fill<R>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, DecompressError> {
        if self.octets.len() == self.octets.capacity() {
            self.grow(1);
        }
        let result = append(&mut self.octets);
        if self.octets.len() > self.limit { Err(DecompressError::TooLarge) } else { Ok(result) }
    }

    /// Takes memory for at least so many octets more.
    fn grow(&mut self, more: usize) {
        let len = self.octets.len();
        let wanted = FIRST_ALLOCATION.max(len.saturating_mul(GROWTH)).max(len + more);
        let wanted = wanted.min(self.limit.saturating_add(1)).max(len + more);
        self.octets.reserve_exact(wanted - len);
    }
}

/// Appends a compressed message with its prefix. The error is RESOURCE_EXHAUSTED if what comes out is longer than
/// `limit`, else INTERNAL; `out` is left as it was.
pub(crate) fn frame_compressed(
    compressor: &mut dyn Compressor,
    message: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_LEN]);
    let compressed = compressor.compress(message, out).map_err(|why| {
        Status::internal(format!("the message could not be compressed by {}: {why}", compressor.name()))
    });
    let written = out.len().saturating_sub(start + PREFIX_LEN);
    match compressed.and_then(|()| check_send_len(written, limit)) {
        Ok(length) => {
            out[start..start + PREFIX_LEN].copy_from_slice(&compressed_prefix(length));
            Ok(())
        }
        Err(status) => {
            out.truncate(start);
            Err(status)
        }
    }
}

/// Inflates a received message to at most `limit` octets. The error is RESOURCE_EXHAUSTED if there are more, and
/// INTERNAL if the octets are not what the algorithm makes.
pub(crate) fn decompress(
    compressor: &mut dyn Compressor,
    compressed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Status> {
    let mut out = Decompressed::new(limit);
    match compressor.decompress(compressed, &mut out) {
        Ok(()) => Ok(out.into_octets()),
        Err(DecompressError::TooLarge) => Err(Status::resource_exhausted(format!(
            "received message larger than max after decompression (more than {limit}); \
             max_receive_message_size sets the limit, or a client's service config by maxResponseMessageBytes"
        ))),
        Err(DecompressError::Malformed(why)) => Err(Status::internal(format!(
            "a received message could not be decompressed by {}: {why}",
            compressor.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::code::Code;
    use super::*;

    fn algorithms() -> Vec<Box<dyn Compressor>> {
        vec![
            #[cfg(feature = "gzip")]
            Box::new(Gzip::default()),
            #[cfg(feature = "deflate")]
            Box::new(Deflate::default()),
            #[cfg(feature = "zstd")]
            Box::new(Zstd::default()),
        ]
    }

    fn compressed(compressor: &mut dyn Compressor, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compressor.compress(message, &mut out).unwrap();
        out
    }

    #[test]
    fn a_message_at_the_limit_is_taken_and_one_octet_more_is_not() {
        for mut algorithm in algorithms() {
            let octets = compressed(&mut *algorithm, &[7; 10_000]);
            assert!(octets.len() < 200, "{}", algorithm.name());
            assert_eq!(decompress(&mut *algorithm, &octets, 10_000).unwrap(), [7; 10_000]);
            let status = decompress(&mut *algorithm, &octets, 9_999).unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(status.message().contains("9999); max_receive_message_size"), "{status}");
            // The memory is good for the next message.
            assert_eq!(decompress(&mut *algorithm, &octets, 10_000).unwrap().len(), 10_000);
        }
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_internal() {
        for mut algorithm in algorithms() {
            let octets = compressed(&mut *algorithm, b"what is cut is not what was sent");
            for len in 0..octets.len() {
                let status = decompress(&mut *algorithm, &octets[..len], 1000).unwrap_err();
                assert_eq!(status.code(), Code::Internal, "{} cut to {len}: {status}", algorithm.name());
            }
        }
    }

    #[test]
    fn octets_behind_the_end_are_internal() {
        for mut algorithm in algorithms() {
            let mut octets = compressed(&mut *algorithm, b"message");
            octets.push(0);
            let status = decompress(&mut *algorithm, &octets, 1000).unwrap_err();
            assert_eq!(status.code(), Code::Internal, "{}", algorithm.name());
            assert!(status.message().contains("1 octet"), "{status}");
        }
    }

    #[test]
    fn what_an_algorithm_did_not_make_is_internal() {
        for mut algorithm in algorithms() {
            for garbage in [&b"garbage"[..], &[0; 40], &[255; 40], b"\x1f\x8b\x08\xff", b"\x1f\x8b\x08\x04"] {
                let status = decompress(&mut *algorithm, garbage, 1000).unwrap_err();
                assert_eq!(status.code(), Code::Internal, "{}", algorithm.name());
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_when_compressed_is_not_sent() {
        for mut algorithm in algorithms() {
            let mut out = b"before".to_vec();
            let status = frame_compressed(&mut *algorithm, b"message", 3, &mut out).unwrap_err();
            assert_eq!((status.code(), &out[..]), (Code::ResourceExhausted, &b"before"[..]));
            frame_compressed(&mut *algorithm, &[0; 10_000], 200, &mut out).unwrap();
            assert_eq!(out[6], 1);
            let len = u32::from_be_bytes([out[7], out[8], out[9], out[10]]) as usize;
            assert_eq!(len, out.len() - 6 - PREFIX_LEN);
        }
    }

    #[test]
    fn a_reader_is_read_one_octet_beyond_the_limit() {
        let mut source = io::repeat(1).take(1 << 40);
        let mut out = Decompressed::new(5_000);
        assert_eq!(out.read_from(&mut source), Err(DecompressError::TooLarge));
        assert_eq!((1 << 40) - source.limit(), 5_001);
        assert!(out.octets().len() <= 5_000);
        let mut out = Decompressed::new(5_000);
        assert_eq!(out.read_from(&[2; 5_000][..]), Ok(()));
        assert_eq!(out.into_octets(), [2; 5_000]);
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(
            message in proptest::collection::vec(any::<u8>(), 0..5000),
            repeats in 1..20usize,
        ) {
            let message = message.repeat(repeats);
            for mut algorithm in algorithms() {
                let octets = compressed(&mut *algorithm, &message);
                prop_assert_eq!(&decompress(&mut *algorithm, &octets, message.len()).unwrap(), &message);
            }
        }

        #[test]
        fn any_octets_are_inflated_without_a_panic(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            for mut algorithm in algorithms() {
                let _ = decompress(&mut *algorithm, &garbage, 1000);
            }
        }
    }
}
