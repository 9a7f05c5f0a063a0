//! `Deframer`: messages out of DATA payloads.

use bytes::Bytes;

use super::message::{Message, PREFIX_LEN, Payload};
use super::status::Status;

/// The most memory taken for a message before its octets arrive: a peer that announces the limit and sends nothing more
/// must not cost the limit.
const MAX_FIRST_ALLOCATION: usize = 64 * 1024;

/// How much more memory than octets have arrived a message may take when its buffer grows. Growing in few big steps
/// saves copies (one of 64 KiB for a message of 1 MiB).
const GROWTH: usize = 16;

/// Takes length-prefixed messages out of the payloads of one stream's DATA frames, in any cut.
///
/// A message that lies in one payload entirely is borrowed from it. Between messages the deframer holds no memory.
#[derive(Debug)]
pub(crate) struct Deframer {
    limit: usize,
    prefix: [u8; PREFIX_LEN],
    /// Octets of the prefix that have arrived; all of them while a payload is being assembled.
    prefix_len: u8,
    compressed: bool,
    /// Octets of the payload that have arrived.
    assembled: Vec<u8>,
    /// Octets of the payload that are still to come.
    missing: usize,
}

impl Deframer {
    /// A deframer for messages of at most `limit` octets, prefix not counted.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            prefix: [0; PREFIX_LEN],
            prefix_len: 0,
            compressed: false,
            assembled: Vec::new(),
            missing: 0,
        }
    }

    /// As after [`new`](Self::new), for another stream, once this one has [ended](Self::end).
    #[inline]
    pub(crate) fn restart(&mut self) {
        self.prefix_len = 0;
        self.compressed = false;
        self.missing = 0;
    }

    /// The stream is over: gives back the memory of a message that isn't complete.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.assembled.capacity() > 0 {
            self.assembled = Vec::new();
        }
    }

    /// The next message, if it is complete within `input`. What is used is cut off the front of `input`; without a
    /// message that is all of it. Call again until there is none.
    ///
    /// A message above the limit is RESOURCE_EXHAUSTED, before memory is taken for it; a flag other than 0 and 1 is
    /// INTERNAL. After an error the stream has no meaning any more.
    #[inline]
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Message<'a>>, Status> {
        if self.prefix_len == 0
            && let Some((prefix, rest)) = input.split_first_chunk::<PREFIX_LEN>()
        {
            let (compressed, len) = self.parse(prefix)?;
            if let Some((payload, rest)) = rest.split_at_checked(len) {
                *input = rest;
                return Ok(Some(Message { compressed, payload: Payload::Borrowed(payload) }));
            }
        }
        self.next_in_pieces(input)
    }

    /// The one uncompressed message that `input` is to the octet, if that is so and nothing came before.
    #[inline]
    pub(crate) fn only<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        let (&[0, len @ ..], payload) = input.split_first_chunk::<PREFIX_LEN>()? else { return None };
        let is_whole = u32::from_be_bytes(len) as usize == payload.len();
        (is_whole && self.prefix_len == 0 && payload.len() <= self.limit).then_some(payload)
    }

    /// Octets that are still missing of a message whose length is known; 0 between messages.
    pub(crate) fn expected(&self) -> usize {
        self.missing
    }

    /// The size of a message under way of which enough has come to have memory for all of it, if it has not.
    pub(crate) fn outgrown(&self) -> Option<usize> {
        let (arrived, size) = (self.assembled.len(), self.assembled.len() + self.missing);
        (arrived >= MAX_FIRST_ALLOCATION / 2 && self.assembled.capacity() < size).then_some(size)
    }

    /// Goes on assembling in this empty buffer, which the caller had anyway.
    pub(crate) fn move_to(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.assembled);
        self.assembled = buffer;
    }

    /// Whether the octets so far end inside of a message.
    pub(crate) fn is_inside_message(&self) -> bool {
        self.prefix_len > 0
    }

    /// To be called when the stream has ended: INTERNAL if it ended inside of a message.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), Status> {
        if self.is_inside_message() { Err(self.cut_short()) } else { Ok(()) }
    }

    #[cold]
    fn cut_short(&self) -> Status {
        let prefix_missing = PREFIX_LEN - usize::from(self.prefix_len);
        Status::internal(match prefix_missing {
            0 => format!("the stream ended inside a message: {} octets of it are missing", self.missing),
            _ => format!(
                "the stream ended inside the prefix of a message: {prefix_missing} octets of it are missing"
            ),
        })
    }

    /// The same as `next` for a message that began in an earlier payload or does not end in this one.
    fn next_in_pieces<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Message<'a>>, Status> {
        while usize::from(self.prefix_len) < PREFIX_LEN {
            let Some((octet, rest)) = input.split_first() else {
                return Ok(None);
            };
            self.prefix[usize::from(self.prefix_len)] = *octet;
            self.prefix_len += 1;
            *input = rest;
            if usize::from(self.prefix_len) == PREFIX_LEN {
                let prefix = self.prefix;
                (self.compressed, self.missing) = self.parse(&prefix)?;
            }
        }
        if self.assembled.is_empty()
            && let Some((payload, rest)) = input.split_at_checked(self.missing)
        {
            *input = rest;
            return Ok(Some(self.complete(Payload::Borrowed(payload))));
        }
        self.assemble(input);
        if self.missing > 0 {
            return Ok(None);
        }
        let payload = Bytes::from(std::mem::take(&mut self.assembled));
        Ok(Some(self.complete(Payload::Owned(payload))))
    }

    /// Moves what `input` has of the payload into the buffer.
    fn assemble(&mut self, input: &mut &[u8]) {
        let len = input.len().min(self.missing);
        let (piece, rest) = input.split_at(len);
        *input = rest;
        if self.assembled.capacity() - self.assembled.len() < len {
            let arrived = self.assembled.len() + len;
            let grown = MAX_FIRST_ALLOCATION.max(self.assembled.len() * GROWTH).max(arrived);
            let whole = self.assembled.len() + self.missing;
            self.assembled.reserve_exact(grown.min(whole) - self.assembled.len());
        }
        self.assembled.extend_from_slice(piece);
        self.missing -= len;
    }

    fn complete<'a>(&mut self, payload: Payload<'a>) -> Message<'a> {
        self.prefix_len = 0;
        self.missing = 0;
        Message { compressed: self.compressed, payload }
    }

    /// The flag and the length, checked.
    #[inline]
    fn parse(&self, prefix: &[u8; PREFIX_LEN]) -> Result<(bool, usize), Status> {
        let [flag, len @ ..] = *prefix;
        let len = u32::from_be_bytes(len) as usize;
        if flag > 1 {
            return Err(unexpected_format(flag));
        }
        if len > self.limit {
            return Err(too_large(len, self.limit));
        }
        Ok((flag == 1, len))
    }
}

#[cold]
fn unexpected_format(flag: u8) -> Status {
    Status::internal(format!("received unexpected payload format {flag}; a message begins with flag 0 or 1"))
}

#[cold]
fn too_large(len: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "received message larger than max ({len} vs. {limit}); max_receive_message_size sets the limit, or a \
         client's service config by maxResponseMessageBytes"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::code::Code;
    use super::*;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0];
        out.extend((payload.len() as u32).to_be_bytes());
        out.extend(payload);
        out
    }

    fn all(deframer: &mut Deframer, mut input: &[u8]) -> Result<Vec<Message<'static>>, Status> {
        let mut messages = Vec::new();
        while let Some(message) = deframer.next(&mut input)? {
            messages.push(message.into_owned());
        }
        assert!(input.is_empty(), "without a message the input is used up");
        Ok(messages)
    }

    #[test]
    fn a_whole_message_is_borrowed() {
        let input = framed(b"abc");
        let mut rest = &input[..];
        let mut deframer = Deframer::new(3);
        let message = deframer.next(&mut rest).unwrap().unwrap();
        assert!(matches!(message.payload, Payload::Borrowed(b"abc")));
        assert!(!message.compressed);
        assert_eq!(deframer.next(&mut rest).unwrap(), None);
        assert_eq!(deframer.finish().map_err(|status| status.to_string()), Ok(()));
    }

    #[test]
    fn a_payload_in_one_piece_is_borrowed_even_if_the_prefix_was_cut() {
        let input = framed(b"abc");
        let mut deframer = Deframer::new(3);
        assert_eq!(deframer.next(&mut &input[..2]).unwrap(), None);
        let message = deframer.next(&mut &input[2..]).unwrap().unwrap();
        assert!(matches!(message.payload, Payload::Borrowed(b"abc")));
    }

    #[test]
    fn what_is_missing_is_known_once_the_prefix_is_there() {
        let input = framed(&[7; 100]);
        let mut deframer = Deframer::new(100);
        let mut missing = Vec::new();
        for range in [0..4, 4..5, 5..65, 65..105] {
            let complete = deframer.next(&mut &input[range]).unwrap().is_some();
            missing.push((deframer.expected(), complete));
        }
        assert_eq!(missing, [(0, false), (100, false), (40, false), (0, true)]);
    }

    #[test]
    fn many_messages_lie_in_one_payload_and_empty_ones_count() {
        let input = [framed(b""), framed(b"a"), framed(b""), framed(b"bc")].concat();
        let messages = all(&mut Deframer::new(2), &input).unwrap();
        let payloads: Vec<_> = messages.iter().map(|message| message.payload.as_ref()).collect();
        assert_eq!(payloads, [&b""[..], b"a", b"", b"bc"]);
    }

    #[test]
    fn the_compressed_flag_is_reported() {
        let message = Deframer::new(9).next(&mut &b"\x01\0\0\0\x01x"[..]).unwrap().unwrap();
        assert!(message.compressed);
        let mut deframer = Deframer::new(9);
        assert_eq!(deframer.next(&mut &b"\x01\0\0\0\x02x"[..]).unwrap(), None);
        assert!(deframer.next(&mut &b"y"[..]).unwrap().unwrap().compressed);
    }

    #[test]
    fn other_flags_are_internal() {
        for flag in [2, 128, 255] {
            let status = Deframer::new(9).next(&mut &[flag, 0, 0, 0, 0][..]).unwrap_err();
            assert_eq!(status.code(), Code::Internal);
            assert!(
                status.message().starts_with(&format!("received unexpected payload format {flag}")),
                "{status}"
            );
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_prefix() {
        for cut in 0..5 {
            let input = [0, 0, 0, 0, 4];
            let mut deframer = Deframer::new(3);
            let status = match deframer.next(&mut &input[..cut]) {
                Ok(_) => deframer.next(&mut &input[cut..]).unwrap_err(),
                Err(status) => status,
            };
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(status.message().starts_with("received message larger than max (4 vs. 3)"), "{status}");
        }
    }

    #[test]
    fn a_stream_that_ends_inside_a_message_is_internal() {
        let mut deframer = Deframer::new(9);
        assert_eq!(deframer.next(&mut &[0, 0, 0][..]).unwrap(), None);
        assert_eq!(deframer.finish().unwrap_err().code(), Code::Internal);
        assert_eq!(deframer.next(&mut &[0, 3, 1][..]).unwrap(), None);
        let status = deframer.finish().unwrap_err();
        assert_eq!(status.message(), "the stream ended inside a message: 2 octets of it are missing");
    }

    #[test]
    fn memory_follows_the_octets_that_arrive() {
        let mut deframer = Deframer::new(DEFAULT_LIMIT);
        let prefix = [&[0][..], &(DEFAULT_LIMIT as u32).to_be_bytes()].concat();
        assert_eq!(deframer.next(&mut &prefix[..]).unwrap(), None);
        assert_eq!(deframer.assembled.capacity(), 0);
        assert_eq!(deframer.next(&mut &[1][..]).unwrap(), None);
        assert!(deframer.assembled.capacity() <= MAX_FIRST_ALLOCATION);
        for _ in 0..63 {
            assert_eq!(deframer.next(&mut &[1; 16 * 1024][..]).unwrap(), None);
            assert!(
                deframer.assembled.capacity()
                    <= GROWTH * deframer.assembled.len().max(MAX_FIRST_ALLOCATION / GROWTH)
            );
        }
    }

    #[test]
    fn a_large_message_is_assembled_in_the_buffer_that_is_given_for_it() {
        const SIZE: usize = 4 * MAX_FIRST_ALLOCATION;
        let payload: Vec<u8> = (0..SIZE).map(|n| (n / 251) as u8).collect();
        let input = framed(&payload);
        let (little, enough) =
            (PREFIX_LEN + MAX_FIRST_ALLOCATION / 2 - 1, PREFIX_LEN + MAX_FIRST_ALLOCATION / 2);
        let mut deframer = Deframer::new(SIZE);
        assert_eq!(deframer.outgrown(), None, "no message has begun");
        assert_eq!(deframer.next(&mut &input[..little]).unwrap(), None);
        assert_eq!(deframer.outgrown(), None, "little has come");
        assert_eq!(deframer.next(&mut &input[little..enough]).unwrap(), None);
        assert_eq!(deframer.outgrown(), Some(SIZE));
        let buffer = Vec::with_capacity(SIZE);
        let address = buffer.as_ptr();
        deframer.move_to(buffer);
        assert_eq!(deframer.outgrown(), None, "it has room for all");
        let message = deframer.next(&mut &input[enough..]).unwrap().unwrap();
        assert_eq!(message.payload.as_ref(), payload);
        assert_eq!(message.payload.as_ref().as_ptr(), address);
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let input = framed(&[5; 1_000]);
        let mut deframer = Deframer::new(1_000);
        assert_eq!(deframer.next(&mut &input[..500]).unwrap(), None);
        let message = deframer.next(&mut &input[500..]).unwrap().unwrap();
        assert!(matches!(message.payload, Payload::Owned(_)));
        assert_eq!(deframer.assembled.capacity(), 0);
        assert!(!deframer.is_inside_message());
    }

    const DEFAULT_LIMIT: usize = super::super::message::DEFAULT_MAX_RECEIVE_SIZE;

    proptest! {
        #[test]
        fn any_cut_gives_the_same_messages(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in proptest::collection::vec(1..12usize, 1..60),
        ) {
            let input: Vec<u8> = payloads.iter().flat_map(|payload| framed(payload)).collect();
            let mut deframer = Deframer::new(40);
            let mut messages = Vec::new();
            let mut rest = &input[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                messages.extend(all(&mut deframer, piece).unwrap());
                rest = after;
            }
            messages.extend(all(&mut deframer, rest).unwrap());
            prop_assert!(deframer.finish().is_ok());
            let received: Vec<&[u8]> = messages.iter().map(|message| message.payload.as_ref()).collect();
            prop_assert_eq!(received, payloads);
        }
    }
}
