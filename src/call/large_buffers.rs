//! The memory of large messages, used again for the next ones.
//!
//! Allocators give the memory of large blocks back to the system when they are freed and fetch it again for the next,
//! page fault by page fault, which costs a bulk transfer more than all else. So each thread remembers the last large
//! messages that it has received or sent, and takes the memory of one that nobody else holds any more.

use std::cell::RefCell;

use bytes::Bytes;

use crate::rpc::{Deframer, Payload};

/// Messages from this size on are remembered. For smaller ones the allocator does well.
const MIN_SIZE: usize = 64 * 1024;
/// Octets that one thread remembers at most, in use or not.
const MAX_HELD: usize = 8 * 1024 * 1024;

thread_local! {
    static BUFFERS: RefCell<LargeBuffers> = const { RefCell::new(LargeBuffers::new()) };
}

/// Gives a deframer memory for the message that begins with `input`.
#[inline]
pub(crate) fn lend(deframer: &mut Deframer, input: &[u8]) {
    if !is_empty()
        && let Some(size) = deframer.begins(input)
        && let Some(buffer) = take(size)
    {
        deframer.assemble_in(buffer);
    }
}

/// Remembers a received message if it has memory of its own.
#[inline]
pub(crate) fn remember_payload(payload: &Payload<'_>) {
    if let Payload::Owned(message) = payload {
        remember(message);
    }
}

/// Remembers a message, so that its memory can be [taken](take) when it is let go.
pub(crate) fn remember(message: &Bytes) {
    if message.len() >= MIN_SIZE {
        BUFFERS.with_borrow_mut(|buffers| buffers.remember(message.clone()));
    }
}

/// An empty buffer with room for so many octets, if one is free.
pub(crate) fn take(size: usize) -> Option<Vec<u8>> {
    if size < MIN_SIZE { None } else { BUFFERS.with_borrow_mut(|buffers| buffers.take(size)) }
}

/// Whether nothing is remembered, as long as there were no large messages.
#[inline]
fn is_empty() -> bool {
    BUFFERS.with_borrow(|buffers| buffers.messages.is_empty())
}

struct LargeBuffers {
    /// The oldest first.
    messages: Vec<Bytes>,
    held: usize,
}

impl LargeBuffers {
    const fn new() -> Self {
        LargeBuffers { messages: Vec::new(), held: 0 }
    }

    fn remember(&mut self, message: Bytes) {
        if message.len() > MAX_HELD {
            return;
        }
        while self.held + message.len() > MAX_HELD {
            // One that is free and did not serve, else the oldest.
            let index = self.messages.iter().position(Bytes::is_unique).unwrap_or(0);
            self.remove(index);
        }
        self.held += message.len();
        self.messages.push(message);
    }

    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        // No message takes more than twice the memory that it needs.
        let serves = |message: &Bytes| (size..=2 * size).contains(&message.len()) && message.is_unique();
        let found = self.messages.iter().enumerate().filter(|(_, message)| serves(message));
        let (index, _) = found.min_by_key(|(_, message)| message.len())?;
        let mut buffer = self.remove(index).try_into_mut().ok()?;
        // Only the memory is wanted, which would else be moved.
        buffer.clear();
        Some(Vec::from(buffer)).filter(|buffer| buffer.capacity() >= size)
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
        let mut buffers = LargeBuffers::new();
        let message = message(MIN_SIZE);
        let address = message.as_ptr();
        buffers.remember(message.clone());
        let part = message.slice(1..9);
        drop(message);
        assert_eq!(buffers.take(MIN_SIZE), None, "a part of it is in use");
        drop(part);
        assert_eq!(buffers.take(MIN_SIZE + 1), None, "it has not as much room");
        assert_eq!(buffers.take(MIN_SIZE / 2 - 1), None, "it has far more room");
        let buffer = buffers.take(MIN_SIZE).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len(), buffer.capacity()), (address, 0, MIN_SIZE));
        assert_eq!((buffers.take(MIN_SIZE), buffers.held), (None, 0));
    }

    #[test]
    fn a_thread_holds_so_many_octets_at_most() {
        let mut buffers = LargeBuffers::new();
        let used: Vec<Bytes> = (0..100).map(|n| message(MIN_SIZE * (n % 7 + 1))).collect();
        for message in &used {
            buffers.remember(message.clone());
            assert!(buffers.held <= MAX_HELD);
            assert_eq!(buffers.held, buffers.messages.iter().map(Bytes::len).sum::<usize>());
        }
        buffers.remember(message(MAX_HELD + 1));
        assert!(buffers.held > MAX_HELD / 2);
        drop(used);
        buffers.remember(message(MAX_HELD));
        assert_eq!(buffers.messages.len(), 1);
    }

    #[test]
    fn small_messages_are_left_to_the_allocator() {
        remember(&message(MIN_SIZE - 1));
        assert!(is_empty());
        remember(&message(MIN_SIZE));
        assert!(!is_empty());
        assert_eq!(take(MIN_SIZE - 1), None);
        assert!(take(MIN_SIZE).is_some());
    }
}
