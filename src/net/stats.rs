//! What a loop has done, counted by itself and published once a turn.

/// What one event loop has done since it started, and what it has now, as of the end of its latest turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopStats {
    /// Rounds of the loop: waiting for something to do, and doing it.
    pub turns: u64,
    /// Calls of `epoll_wait`.
    pub polls: u64,
    /// Those that were allowed to sleep.
    pub sleeps: u64,
    /// Readiness events that polls have returned.
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
