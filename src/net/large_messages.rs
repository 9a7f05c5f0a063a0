//! The memory of large messages that a loop has received, used again for the next ones.
//!
//! Allocators give the memory of large blocks back to the system when they are freed and fetch it again for the next,
//! page fault by page fault, which costs a bulk transfer more than all else. So a loop remembers the last large
//! messages, and takes the memory of one that nobody else holds any more. It forgets them when no more come.

use std::time::Duration;

use bytes::Bytes;

/// Messages from this size on are remembered. For smaller ones the allocator does well.
const MIN_SIZE: usize = 64 * 1024;
/// Octets that one loop remembers at most, in use or not: a few messages of one MiB on their way through their reader.
const MAX_HELD: usize = 4 * 1024 * 1024;
/// How long a loop remembers messages without a new one.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct LargeMessages {
    /// The oldest first.
    messages: Vec<Bytes>,
    held: usize,
    /// One came since the last look.
    are_new: bool,
}

impl LargeMessages {
    /// Remembers a message that is large, so that its memory can be [taken](Self::take) when it is let go. Whether it
    /// is the first one, from which on [`forget`](Self::forget) is to be called at intervals.
    pub(super) fn remember(&mut self, message: &Bytes) -> bool {
        if !(MIN_SIZE..=MAX_HELD).contains(&message.len()) {
            return false;
        }
        let is_first = self.messages.is_empty() && !self.are_new;
        while self.held + message.len() > MAX_HELD {
            // One that is free and did not serve, else the oldest.
            let index = self.messages.iter().position(Bytes::is_unique).unwrap_or(0);
            self.remove(index);
        }
        self.held += message.len();
        self.messages.push(message.clone());
        self.are_new = true;
        is_first
    }

    /// An empty buffer with room for so many octets, if one is free.
    pub(super) fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        // No message takes more than twice the memory that it needs.
        let serves = |message: &Bytes| (size..=2 * size).contains(&message.len()) && message.is_unique();
        let found = self.messages.iter().enumerate().filter(|(_, message)| serves(message));
        let (index, _) = found.min_by_key(|(_, message)| message.len())?;
        let mut buffer = self.remove(index).try_into_mut().ok()?;
        // Only the memory is wanted, whose octets would else be moved.
        buffer.clear();
        Some(Vec::from(buffer)).filter(|buffer| buffer.capacity() >= size)
    }

    /// Lets go of all messages if none has come since the last call. Whether it is to be called again.
    pub(super) fn forget(&mut self) -> bool {
        let goes_on = std::mem::take(&mut self.are_new);
        if !goes_on {
            *self = LargeMessages::default();
        }
        goes_on
    }

    fn remove(&mut self, index: usize) -> Bytes {
        let message = self.messages.remove(index);
        self.held -= message.len();
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Bytes {
        Bytes::from(vec![1; size])
    }

    #[test]
    fn memory_serves_again_once_nobody_holds_it() {
        let mut messages = LargeMessages::default();
        let message = message(MIN_SIZE);
        let address = message.as_ptr();
        messages.remember(&message);
        let part = message.slice(1..9);
        drop(message);
        assert_eq!(messages.take(MIN_SIZE), None, "a part of it is in use");
        drop(part);
        assert_eq!(messages.take(MIN_SIZE + 1), None, "it has not as much room");
        assert_eq!(messages.take(MIN_SIZE / 2 - 1), None, "it has far more room");
        let buffer = messages.take(MIN_SIZE).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len(), buffer.capacity()), (address, 0, MIN_SIZE));
        assert_eq!((messages.take(MIN_SIZE), messages.held), (None, 0));
    }

    #[test]
    fn a_loop_holds_so_many_octets_of_large_messages_at_most() {
        let mut messages = LargeMessages::default();
        let used: Vec<Bytes> = (0..100).map(|n| message(MIN_SIZE * (n % 7 + 1))).collect();
        for message in &used {
            messages.remember(message);
            assert!(messages.held <= MAX_HELD);
            assert_eq!(messages.held, messages.messages.iter().map(Bytes::len).sum::<usize>());
        }
        messages.remember(&message(MAX_HELD + 1));
        assert!(messages.held > MAX_HELD / 2);
        drop(used);
        messages.remember(&message(MAX_HELD));
        assert_eq!(messages.messages.len(), 1);
    }

    #[test]
    fn small_messages_are_left_to_the_allocator() {
        let mut messages = LargeMessages::default();
        assert!(!messages.remember(&message(MIN_SIZE - 1)));
        assert_eq!((messages.held, messages.take(MIN_SIZE - 1)), (0, None));
    }

    #[test]
    fn messages_are_forgotten_when_no_more_come() {
        let mut messages = LargeMessages::default();
        let mut received = message(MIN_SIZE);
        assert!(messages.remember(&received));
        assert!(!messages.remember(&message(MIN_SIZE)), "it is not the first");
        assert!(messages.forget(), "two came");
        assert!(!messages.forget(), "none came");
        assert_eq!(messages.held, 0);
        assert!(received.is_unique(), "nobody else holds it");
        received.clear();
        assert!(messages.remember(&message(MIN_SIZE)), "it begins anew");
    }
}
