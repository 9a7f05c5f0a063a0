//! What a loop has done, counted by itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one event loop has done since it started, and what it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopStats {
    /// Rounds of the loop: waiting for something to do, and doing it.
    pub turns: u64,
    /// Calls of `epoll_wait`.
    pub polls: u64,
    /// Those that were allowed to sleep.
    pub sleeps: u64,
    /// Readiness events that polls have returned, those of the loop's timer apart.
    pub events: u64,
    /// Reads from sockets, those in vain included.
    pub reads: u64,
    /// Octets they have brought.
    pub octets_read: u64,
    /// Writes to sockets, those in vain included.
    pub writes: u64,
    /// Octets they have taken.
    pub octets_written: u64,
    /// Messages that the loop has received: from other threads and loops, and a few from itself.
    pub messages: u64,
    /// System calls by which others woke the loop from its sleep for those messages. The other messages found it awake
    /// or about to be.
    pub wake_ups: u64,
    /// Connections that the loop has, or is about to have.
    pub connections: u64,
    /// Timers that are set.
    pub timers: u64,
}

/// Where a loop counts, and others look at any time.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) turns: Counter,
    pub(super) polls: Counter,
    pub(super) sleeps: Counter,
    pub(super) events: Counter,
    pub(super) reads: Counter,
    pub(super) octets_read: Counter,
    pub(super) writes: Counter,
    pub(super) octets_written: Counter,
    pub(super) messages: Counter,
    pub(super) timers: Counter,
}

/// A number that one thread changes and any may read: that one pays no more than for a plain number.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counters {
    /// What was counted. `wake_ups` and `connections` are counted elsewhere.
    pub(super) fn snapshot(&self) -> LoopStats {
        LoopStats {
            turns: self.turns.get(),
            polls: self.polls.get(),
            sleeps: self.sleeps.get(),
            events: self.events.get(),
            reads: self.reads.get(),
            octets_read: self.octets_read.get(),
            writes: self.writes.get(),
            octets_written: self.octets_written.get(),
            messages: self.messages.get(),
            wake_ups: 0,
            connections: 0,
            timers: self.timers.get(),
        }
    }
}

impl Counter {
    #[inline]
    pub(super) fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    #[inline]
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
