//! [`Closed`]: what is remembered of streams that are gone.
//!
//! Frames may still be on their way for a stream that this side has reset, and are to be ignored; on one that the peer
//! itself has ended or reset they are an error (RFC 9113 §5.1). To tell, two bits are kept for each of the last
//! streams.

use lariat_frame::StreamId;

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was never opened: a higher identifier was used first, which closes it (RFC 9113 §5.1.1).
    Skipped = 0,
    /// Both sides have ended it, or are about to: it is still open.
    Ended = 1,
    /// This side has reset, refused or ignored it.
    ResetLocally = 2,
    /// The peer has reset it.
    ResetRemotely = 3,
}

/// How the last [`Closed::STREAMS`] streams of the client ended.
#[derive(Debug)]
pub(crate) struct Closed {
    /// A ring of two bits for each stream, by its number. None while all have ended as they should, in turn.
    endings: Option<Box<Endings>>,
    /// The highest identifier used, 0 if none was.
    highest: u32,
}

type Endings = [u64; Closed::STREAMS / Closed::STREAMS_PER_WORD];

impl Closed {
    /// How many streams are remembered: more than are open at once by default, in 128 octets.
    const STREAMS: usize = 512;
    const STREAMS_PER_WORD: usize = 32;

    pub(crate) fn new() -> Self {
        Closed { endings: None, highest: 0 }
    }

    /// The highest identifier used by a client's stream; zero if there was none.
    #[inline]
    pub(crate) fn highest(&self) -> StreamId {
        StreamId::new(self.highest)
    }

    /// Whether a client's stream of this identifier was never opened and may still be.
    #[inline]
    pub(crate) fn is_idle(&self, id: StreamId) -> bool {
        id.get() > self.highest
    }

    /// Counts `id`, an idle stream, as used; those before it that weren't are skipped.
    #[inline]
    pub(crate) fn open(&mut self, id: StreamId) {
        if self.endings.is_none() && id.get() <= self.highest + 2 {
            self.highest = id.get();
        } else {
            self.open_and_skip(id);
        }
    }

    fn open_and_skip(&mut self, id: StreamId) {
        // Rounded up: the first identifier is 1, an odd distance from none.
        let skipped = id.get().saturating_sub(self.highest).div_ceil(2).min(Self::STREAMS as u32);
        for distance in 1..skipped {
            self.set(id.get() - 2 * distance, Ending::Skipped);
        }
        self.highest = id.get();
        self.set(id.get(), Ending::Ended);
    }

    /// Notes how `id` ended.
    #[inline]
    pub(crate) fn note(&mut self, id: StreamId, ending: Ending) {
        if !self.is_forgotten(id) {
            self.set(id.get(), ending);
        }
    }

    /// How `id`, which isn't idle, ended. What was long ago is given the benefit of the doubt.
    pub(crate) fn ending(&self, id: StreamId) -> Ending {
        if self.is_forgotten(id) {
            return Ending::ResetLocally;
        }
        let Some(endings) = &self.endings else { return Ending::Ended };
        let (word, shift) = Self::place(id.get());
        match endings[word] >> shift & 0b11 {
            0 => Ending::Skipped,
            1 => Ending::Ended,
            2 => Ending::ResetLocally,
            _ => Ending::ResetRemotely,
        }
    }

    fn is_forgotten(&self, id: StreamId) -> bool {
        self.highest.saturating_sub(id.get()) / 2 >= Self::STREAMS as u32
    }

    #[inline]
    fn set(&mut self, id: u32, ending: Ending) {
        /// All of a word's streams have ended.
        const ENDED: u64 = u64::MAX / 0b11 * Ending::Ended as u64;
        let endings =
            self.endings.get_or_insert_with(|| Box::new([ENDED; Self::STREAMS / Self::STREAMS_PER_WORD]));
        let (word, shift) = Self::place(id);
        endings[word] = endings[word] & !(0b11 << shift) | (ending as u64) << shift;
    }

    #[inline]
    fn place(id: u32) -> (usize, u32) {
        let number = (id / 2) as usize % Self::STREAMS;
        (number / Self::STREAMS_PER_WORD, 2 * (number % Self::STREAMS_PER_WORD) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u32) -> StreamId {
        StreamId::new(id)
    }

    #[test]
    fn streams_that_were_passed_over_are_skipped() {
        let mut closed = Closed::new();
        assert!(closed.is_idle(id(1)));
        closed.open(id(1));
        closed.open(id(9));
        assert!(!closed.is_idle(id(9)) && closed.is_idle(id(11)));
        assert_eq!(closed.ending(id(1)), Ending::Ended);
        assert_eq!(closed.ending(id(3)), Ending::Skipped);
        assert_eq!(closed.ending(id(7)), Ending::Skipped);
        closed.note(id(1), Ending::ResetRemotely);
        closed.note(id(9), Ending::ResetLocally);
        assert_eq!(closed.ending(id(1)), Ending::ResetRemotely);
        assert_eq!(closed.ending(id(9)), Ending::ResetLocally);
    }

    #[test]
    fn streams_before_the_first_are_skipped() {
        let mut closed = Closed::new();
        closed.open(id(5));
        assert_eq!([1, 3].map(|skipped| closed.ending(id(skipped))), [Ending::Skipped; 2]);
        assert_eq!(closed.ending(id(5)), Ending::Ended);
    }

    #[test]
    fn the_distant_past_is_forgotten_and_its_places_are_used_again() {
        let mut closed = Closed::new();
        closed.open(id(1));
        closed.note(id(1), Ending::ResetRemotely);
        closed.open(id(1023));
        assert_eq!(closed.ending(id(1)), Ending::ResetRemotely);
        closed.open(id(1025));
        closed.note(id(1), Ending::ResetRemotely);
        assert_eq!(closed.ending(id(1)), Ending::ResetLocally);
        assert_eq!(closed.ending(id(1025)), Ending::Ended);
        closed.open(id(0x7fff_ffff));
        assert_eq!(closed.ending(id(0x7fff_fffd)), Ending::Skipped);
        assert_eq!(closed.ending(id(1025)), Ending::ResetLocally);
    }
}
