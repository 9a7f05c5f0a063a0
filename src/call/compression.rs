//! The algorithms that a server or a channel knows, with memory that serves one message after the other.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU8;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::rpc::Status;
use crate::rpc::compression::{self, Compressor, IDENTITY};

/// Compressors of an algorithm that are kept for the next messages. Each has some 300 KiB if it has compressed, so
/// more than a few would cost more than they save.
const IDLE_COMPRESSORS: usize = 4;
/// As many as [`Accepted`] has bits.
const MAX_ALGORITHMS: usize = 16;

/// How something is to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compression {
    /// The algorithm; `None` for the default.
    pub(crate) algorithm: Option<Cow<'static, str>>,
    /// The one message is left as it is.
    pub(crate) leaves_message: bool,
}

/// Collects the algorithms of a server or a channel.
pub(crate) struct EncodingsBuilder {
    known: Vec<Encoding>,
    accepted: Option<Vec<String>>,
    /// What is sent is compressed by this one unless a call says otherwise.
    default: Option<String>,
}

/// The algorithms of a server or a channel.
#[derive(Debug)]
pub(crate) struct Encodings {
    known: Vec<Encoding>,
    accepted: String,
    default: Option<Chosen>,
}

/// One of the [`Encodings`] that know it: its place, counted from one, so that a choice takes an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodingId(NonZeroU8);

/// An algorithm to send by, or none at all.
pub(crate) type Chosen = Option<EncodingId>;

/// Those of the [`Encodings`] that a peer accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted(u16);

/// What the sending side of a stream may choose among, and what it has chosen.
#[derive(Clone, Debug)]
pub(crate) struct SendCompression {
    pub(crate) encodings: Arc<Encodings>,
    pub(crate) accepted: Accepted,
    pub(crate) chosen: Chosen,
}

/// A message as it arrived.
#[derive(Debug)]
pub(crate) struct CompressedMessage {
    pub(crate) octets: Bytes,
    pub(crate) encodings: Arc<Encodings>,
    pub(crate) encoding: EncodingId,
    pub(crate) limit: usize,
}

struct Encoding {
    name: String,
    is_accepted: bool,
    new: Box<dyn Fn() -> Box<dyn Compressor> + Send + Sync>,
    idle: Mutex<Vec<Box<dyn Compressor>>>,
}

impl Default for EncodingsBuilder {
    fn default() -> Self {
        #[allow(unused_mut, reason = "without features there are none")]
        let mut builder = EncodingsBuilder { known: Vec::new(), accepted: None, default: None };
        #[cfg(feature = "gzip")]
        builder.add(compression::Gzip::default());
        #[cfg(feature = "deflate")]
        builder.add(compression::Deflate::default());
        #[cfg(feature = "zstd")]
        builder.add(compression::Zstd::default());
        builder
    }
}

impl EncodingsBuilder {
    /// Adds an algorithm, in place of one of the same name.
    pub(crate) fn add(&mut self, compressor: impl Compressor + Clone + Sync) {
        let encoding = Encoding {
            name: compressor.name().to_owned(),
            is_accepted: true,
            new: Box::new(move || Box::new(compressor.clone())),
            idle: Mutex::new(Vec::new()),
        };
        match self.known.iter_mut().find(|known| known.name == encoding.name) {
            Some(known) => *known = encoding,
            None => self.known.push(encoding),
        }
    }

    pub(crate) fn accept<I: IntoIterator<Item: Into<String>>>(&mut self, names: I) {
        self.accepted = Some(names.into_iter().map(Into::into).collect());
    }

    pub(crate) fn prefer(&mut self, name: impl Into<String>) {
        self.default = Some(name.into());
    }

    /// The error says which name is wrong and which there are.
    pub(crate) fn build(self) -> Result<Encodings, String> {
        let EncodingsBuilder { mut known, accepted, default } = self;
        let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if let Some(odd) = known.iter().find(|encoding| {
            encoding.name.is_empty() || encoding.name == IDENTITY || !encoding.name.bytes().all(is_letter)
        }) {
            return Err(format!(
                "\"{}\" cannot be the name of an algorithm; take letters, digits, '-', '_' and '.'",
                odd.name.escape_debug()
            ));
        }
        if known.len() > MAX_ALGORITHMS {
            return Err(format!("there are {} algorithms; {MAX_ALGORITHMS} are possible", known.len()));
        }
        if let Some(names) = &accepted {
            if let Some(unknown) = names.iter().find(|name| known.iter().all(|known| known.name != **name)) {
                return Err(unknown_name(unknown, &known));
            }
            known.iter_mut().for_each(|encoding| encoding.is_accepted = names.contains(&encoding.name));
        }
        let accepted = known.iter().filter(|encoding| encoding.is_accepted);
        let accepted = accepted.map(|encoding| encoding.name.as_str()).collect::<Vec<_>>().join(",");
        let mut encodings = Encodings { known, accepted, default: None };
        if let Some(name) = default {
            let chosen = encodings.choose(&name).ok_or_else(|| unknown_name(&name, &encodings.known))?;
            encodings.default = Some(chosen);
        }
        Ok(encodings)
    }
}

fn unknown_name(name: &str, known: &[Encoding]) -> String {
    let known = known.iter().map(|known| known.name.as_str()).collect::<Vec<_>>().join(", ");
    format!(
        "no algorithm named \"{}\" is known, but {known}; compressor(..) adds others, and so do features",
        name.escape_debug()
    )
}

impl Encodings {
    /// The names of those that are accepted from the peer, separated by commas.
    pub(crate) fn accepted(&self) -> &str {
        &self.accepted
    }

    /// What to send by if a call does not say; `None` if that was left open.
    pub(crate) fn default(&self) -> Option<Chosen> {
        self.default
    }

    pub(crate) fn name(&self, id: EncodingId) -> &str {
        &self.encoding(id).name
    }

    /// The algorithm to send by; `None` if there is none of the name.
    pub(crate) fn choose(&self, name: &str) -> Option<Chosen> {
        if name == IDENTITY {
            return Some(None);
        }
        self.find(name.as_bytes()).map(Some)
    }

    /// The algorithm to send by that a user has named.
    pub(crate) fn choose_or_fail(&self, name: &str) -> Result<Chosen, Status> {
        self.choose(name).ok_or_else(|| Status::internal(unknown_name(name, &self.known)))
    }

    fn find(&self, name: &[u8]) -> Option<EncodingId> {
        let place = self.known.iter().position(|encoding| encoding.name.as_bytes() == name)?;
        NonZeroU8::new(place as u8 + 1).map(EncodingId)
    }

    fn encoding(&self, id: EncodingId) -> &Encoding {
        &self.known[id.place()]
    }

    /// The algorithm of what a peer sends, if it may be used.
    pub(crate) fn find_accepted(&self, name: &[u8]) -> Option<EncodingId> {
        self.find(name).filter(|id| self.encoding(*id).is_accepted)
    }

    /// Those of a peer's list, `grpc-accept-encoding`, that are known here.
    pub(crate) fn accepted_by(&self, list: Option<&[u8]>) -> Accepted {
        let names = list.unwrap_or_default().split(|octet| *octet == b',');
        let known = names.filter_map(|name| self.find(name.trim_ascii()));
        Accepted(known.fold(0, |bits, id| bits | 1 << id.place()))
    }

    /// The message with its prefix, compressed.
    pub(crate) fn frame(&self, id: EncodingId, message: &[u8], limit: usize) -> Result<Vec<u8>, Status> {
        let mut framed = Vec::new();
        self.with_compressor(id, |compressor| {
            compression::frame_compressed(compressor, message, limit, &mut framed)
        })?;
        Ok(framed)
    }

    /// What a received message was before it was compressed, if that is at most `limit` octets.
    pub(crate) fn decompress(&self, id: EncodingId, octets: &[u8], limit: usize) -> Result<Bytes, Status> {
        let inflate = |compressor: &mut dyn Compressor| compression::decompress(compressor, octets, limit);
        self.with_compressor(id, inflate).map(Bytes::from)
    }

    fn with_compressor<T>(
        &self,
        id: EncodingId,
        work: impl FnOnce(&mut dyn Compressor) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let encoding = self.encoding(id);
        let idle = || encoding.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let work = AssertUnwindSafe(|| {
            let mut compressor = kept.unwrap_or_else(|| (encoding.new)());
            work(&mut *compressor).map(|done| (compressor, done))
        });
        let (compressor, done) = catch_unwind(work).unwrap_or_else(|_| {
            Err(Status::internal(format!("the compressor {} panicked", encoding.name)))
        })?;
        let mut idle = idle();
        if idle.len() < IDLE_COMPRESSORS {
            idle.push(compressor);
        }
        Ok(done)
    }
}

impl EncodingId {
    fn place(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

impl Accepted {
    pub(crate) fn contains(self, id: EncodingId) -> bool {
        self.0 & 1 << id.place() != 0
    }
}

impl SendCompression {
    /// Chooses by name what the peer accepts.
    pub(crate) fn choose(&mut self, name: &str) -> Result<(), Status> {
        let chosen = self.encodings.choose_or_fail(name)?;
        if chosen.is_some_and(|id| !self.accepted.contains(id)) {
            let why = format!("the client does not accept messages compressed by {name}");
            return Err(Status::internal(why));
        }
        self.chosen = chosen;
        Ok(())
    }

    /// The message with its prefix if it is to be compressed; empty ones are not.
    pub(crate) fn frame(&self, message: &[u8], limit: usize) -> Option<Result<Vec<u8>, Status>> {
        let id = self.chosen.filter(|_| !message.is_empty())?;
        Some(self.encodings.frame(id, message, limit))
    }
}

impl CompressedMessage {
    pub(crate) fn decompress(&self) -> Result<Bytes, Status> {
        self.encodings.decompress(self.encoding, &self.octets, self.limit)
    }
}

impl fmt::Debug for EncodingsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodingsBuilder").field("known", &self.known).finish_non_exhaustive()
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoding").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Odd(&'static str);

    impl Compressor for Odd {
        fn name(&self) -> &str {
            self.0
        }

        fn compress(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
            panic!("asked to")
        }

        fn decompress(
            &mut self,
            _: &[u8],
            _: &mut compression::Decompressed,
        ) -> Result<(), compression::DecompressError> {
            Err(compression::DecompressError::TooLarge)
        }
    }

    #[test]
    fn no_more_than_a_few_compressors_are_kept() {
        let encodings = EncodingsBuilder::default().build().unwrap();
        let id = encodings.find(b"gzip").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 * IDLE_COMPRESSORS {
                scope.spawn(|| encodings.frame(id, &[1; 100_000], usize::MAX).unwrap());
            }
        });
        let kept = encodings.known[0].idle.lock().unwrap().len();
        assert!((1..=IDLE_COMPRESSORS).contains(&kept), "{kept}");
    }

    #[test]
    fn a_compressor_that_panics_ends_its_call_and_is_not_kept() {
        let mut builder = EncodingsBuilder::default();
        builder.add(Odd("odd"));
        let encodings = builder.build().unwrap();
        let id = encodings.find(b"odd").unwrap();
        let status = encodings.frame(id, b"message", 100).unwrap_err();
        assert_eq!(status.message(), "the compressor odd panicked");
        assert!(encodings.decompress(id, b"message", 100).is_err());
        assert!(encodings.encoding(id).idle.lock().unwrap().is_empty());
    }

    #[test]
    fn names_that_cannot_be_are_told_when_building() {
        for name in ["", "identity", "a,b", "a b", "\u{e4}"] {
            let mut builder = EncodingsBuilder::default();
            builder.add(Odd(name));
            assert!(builder.build().unwrap_err().contains("name of an algorithm"), "{name}");
        }
        let mut builder = EncodingsBuilder::default();
        builder.accept(["gzip", "snappy"]);
        assert!(builder.build().unwrap_err().contains("\"snappy\" is known, but gzip"));
        let mut builder = EncodingsBuilder::default();
        builder.prefer("snappy");
        assert!(builder.build().is_err());
    }

    #[test]
    fn a_peers_list_is_read_with_or_without_spaces() {
        let encodings = EncodingsBuilder::default().build().unwrap();
        let gzip = encodings.find(b"gzip").unwrap();
        for list in ["gzip", "identity, deflate, gzip", "snappy,gzip"] {
            assert!(encodings.accepted_by(Some(list.as_bytes())).contains(gzip), "{list}");
        }
        assert_eq!(encodings.accepted_by(None), Accepted(0));
        assert_eq!(encodings.accepted_by(Some(b"identity,gzipped")), Accepted(0));
    }
}
