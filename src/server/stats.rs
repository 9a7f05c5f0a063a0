//! [`ServerStats`]: what a server has refused, and why its connections ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lariat_http2::Stats;

/// What became of a server's connections, and of requests that were no calls, since the server was built.
///
/// What a single connection has counted is added when it rests for a second or ends, so that calls pay nothing for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted, those that are open included.
    pub connections_accepted: u64,
    /// Connections closed at once, because as many as [`max_connections`](super::ServerBuilder::max_connections) were
    /// open, because local credentials refused their address, or because the server was stopping.
    pub connections_refused: u64,
    /// Times that accepting failed, for lack of descriptors or memory; it was tried again after a pause.
    pub accepts_failed: u64,
    /// How many connections ended for each reason: the rule that the client broke or the limit that it reached, in the
    /// words of the GOAWAY that told it, or what else ended the connection.
    pub connections_ended: BTreeMap<&'static str, u64>,
    /// Requests that no handler has seen: not gRPC's, malformed, or for a method that is not there.
    pub requests_rejected: u64,
    /// Requests refused because `max_concurrent_streams` were open on the connection.
    pub streams_refused: u64,
    /// Streams that clients have reset.
    pub resets_received: u64,
    /// Streams that the server has reset, for a mistake of the client, a deadline or an early end.
    pub resets_sent: u64,
    /// Frames that were pointless but harmless, such as PRIORITY or WINDOW_UPDATE for a stream that was gone.
    pub glitches: u64,
}

/// What is added of a connection's own statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    streams_refused: u64,
    resets_received: u64,
    resets_sent: u64,
    glitches: u64,
}

impl From<&Stats> for Counted {
    fn from(stats: &Stats) -> Self {
        let Stats { streams_refused, resets_received, resets_sent, glitches, .. } = *stats;
        Counted { streams_refused, resets_received, resets_sent, glitches }
    }
}

/// The statistics of a server that runs. Nothing on the way of an ordinary call touches them.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<ServerStats>);

impl Counters {
    pub(super) fn snapshot(&self) -> ServerStats {
        self.lock().clone()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut ServerStats)) {
        count(&mut self.lock());
    }

    /// Adds what a connection has counted since `counted`.
    pub(super) fn add(&self, connection: Counted, counted: Counted) {
        let mut stats = self.lock();
        stats.streams_refused += connection.streams_refused - counted.streams_refused;
        stats.resets_received += connection.resets_received - counted.resets_received;
        stats.resets_sent += connection.resets_sent - counted.resets_sent;
        stats.glitches += connection.glitches - counted.glitches;
    }

    fn lock(&self) -> MutexGuard<'_, ServerStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
