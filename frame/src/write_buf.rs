//! [`WriteBuf`]: octets waiting to be written to a socket.

use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

/// Octets waiting to be written to a socket: small things are appended to one contiguous tail, large payloads
/// are chained between them without a copy.
#[derive(Default)]
pub struct WriteBuf {
    /// All small octets in their order; those before `written` have left already.
    small: Vec<u8>,
    written: usize,
    /// Payloads in their order, each with the place in `small` it stands at.
    chained: VecDeque<Chained>,
    chained_len: usize,
    /// Octets that have been written in all.
    passed: u64,
}

struct Chained {
    /// The payload comes before the octet of `small` with this index.
    at: usize,
    payload: Bytes,
}

impl WriteBuf {
    /// From this many octets on a payload is chained by [`WriteBuf::put_payload`]: copying fewer costs less
    /// than one more entry in the vectored write, and a small message doesn't hold a large allocation.
    pub const CHAIN_THRESHOLD: usize = 1024;

    /// Octets already written, from which on they are moved out of the way although the buffer never ran
    /// empty. High enough that the move is rare, and paid for by as many octets written.
    const COMPACT_THRESHOLD: usize = 16 * 1024;

    /// An empty buffer, without an allocation.
    pub fn new() -> Self {
        WriteBuf::default()
    }

    /// Octets not yet written.
    #[inline]
    pub fn len(&self) -> usize {
        self.small.len() - self.written + self.chained_len
    }

    /// Whether everything has been written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets that have been written since the buffer was made.
    #[inline]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Where the end of the buffer is among all octets that were ever put into it: what stands before it has been
    /// written when [`passed`](WriteBuf::passed) has come as far.
    #[inline]
    pub fn end(&self) -> u64 {
        self.passed + self.len() as u64
    }

    /// The end of the buffer, to append small things to; what stands in it must stay.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.small
    }

    /// Chains `payload` at the end without copying it, whatever its length.
    pub fn push_bytes(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.chained_len += payload.len();
            self.chained.push_back(Chained { at: self.small.len(), payload });
        }
    }

    /// Puts `payload` at the end: copied when it is small, chained from [`WriteBuf::CHAIN_THRESHOLD`] on.
    #[inline]
    pub fn put_payload(&mut self, payload: Bytes) {
        if payload.len() < Self::CHAIN_THRESHOLD {
            self.small.extend_from_slice(&payload);
        } else {
            self.push_bytes(payload);
        }
    }

    /// Everything, if no payload is chained: what most writes are.
    #[inline]
    pub fn contiguous(&self) -> Option<&[u8]> {
        if self.chained.is_empty() { self.small.get(self.written..) } else { None }
    }

    /// Fills `slices` with the octets from the front, for a vectored write; says how many of them it filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, chunk) in slices.iter_mut().zip(self.iter()) {
            *slot = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// The contiguous pieces from the front, none of them empty.
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(self.written).chain(self.chained.iter().map(|chained| chained.at));
        let payloads = self.chained.iter().map(|chained| (chained.at, &chained.payload[..]));
        let ends = payloads.chain(std::iter::once((self.small.len(), &[][..])));
        let pairs = starts
            .zip(ends)
            .flat_map(|(start, (end, payload))| [self.small.get(start..end).unwrap_or_default(), payload]);
        pairs.filter(|chunk| !chunk.is_empty())
    }

    /// Takes `n` octets from the front: they have been written. More than there are means all.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        let len = self.len();
        self.passed += n.min(len) as u64;
        if n >= len && self.chained.is_empty() {
            // What most writes take.
            self.small.clear();
            self.written = 0;
        } else {
            self.advance_within(n);
        }
    }

    fn advance_within(&mut self, mut n: usize) {
        while let Some(next) = self.chained.front_mut() {
            let before = next.at - self.written;
            if n < before {
                break;
            }
            n -= before;
            self.written = next.at;
            let taken = n.min(next.payload.len());
            self.chained_len -= taken;
            n -= taken;
            if taken < next.payload.len() {
                bytes::Buf::advance(&mut next.payload, taken);
                return;
            }
            self.chained.pop_front();
        }
        self.written = self.small.len().min(self.written + n);
        if self.chained.is_empty() && self.written == self.small.len() {
            self.small.clear();
            self.written = 0;
        } else if self.written >= Self::COMPACT_THRESHOLD && self.written * 2 >= self.small.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.small.drain(..self.written);
        for chained in &mut self.chained {
            chained.at -= self.written;
        }
        self.written = 0;
    }

    /// Forgets everything that isn't written; the memory stays for use.
    pub fn clear(&mut self) {
        self.small.clear();
        self.written = 0;
        self.chained.clear();
        self.chained_len = 0;
    }

    /// Gives memory back that a burst left behind. Worth a call when a connection goes quiet, not after each
    /// write.
    pub fn shrink(&mut self) {
        if self.written > 0 {
            self.compact();
        }
        self.small.shrink_to_fit();
        self.chained.shrink_to(0);
    }

    /// A copy of everything that isn't written, for tests.
    pub fn to_vec(&self) -> Vec<u8> {
        self.iter().collect::<Vec<_>>().concat()
    }
}

impl fmt::Debug for WriteBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBuf").field("len", &self.len()).field("chained", &self.chained.len()).finish()
    }
}
