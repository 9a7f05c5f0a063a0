//! The streams of a subchannel that may have several connections (gRFC A105): which of them a call goes to, and the
//! calls that wait while none has a stream free.
//!
//! A subchannel has a pool from the time the service config allows it more than one connection. Without that, calls
//! know nothing of pools: they go to the one connection, and wait there.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::connection_handle::ConnectionHandle;
use super::control::{Control, Hold};
use super::pending::PendingCall;
use super::subchannel::ConnectionId;
use crate::rpc::Status;

/// The connections of one subchannel, as whoever starts a call sees them.
pub(super) struct StreamPool {
    streams: Mutex<Streams<Arc<PooledConnection>, PendingCall>>,
    control: Weak<Control>,
}

/// A connection that is in a pool.
pub(super) struct PooledConnection {
    id: ConnectionId,
    handle: Arc<ConnectionHandle>,
    pool: Weak<StreamPool>,
}

/// A call's right to a stream of a connection in a pool. It returns with the drop, which may send a call that waits.
pub(super) struct StreamPermit(Arc<PooledConnection>);

/// Why a pool has not taken a call.
pub(super) enum Refusal {
    /// All streams are in use, or others wait already.
    Crowded(PendingCall),
    /// There is no connection.
    Lost(PendingCall),
}

impl StreamPool {
    pub(super) fn new(control: &Arc<Control>) -> Arc<Self> {
        let streams = Mutex::new(Streams { members: Vec::new(), waiting: VecDeque::new(), is_served: false });
        Arc::new(StreamPool { streams, control: Arc::downgrade(control) })
    }

    /// Takes in a connection, which gets calls once it has said how many streams it has.
    pub(super) fn add(
        self: &Arc<Self>,
        id: ConnectionId,
        handle: Arc<ConnectionHandle>,
    ) -> Arc<PooledConnection> {
        let connection = Arc::new(PooledConnection { id, handle, pool: Arc::downgrade(self) });
        self.lock().add(id, Arc::clone(&connection));
        connection
    }

    /// Sends the call on the oldest connection with a stream free.
    pub(super) fn start(&self, call: PendingCall) -> Result<(), Refusal> {
        let connection = {
            let mut streams = self.lock();
            match streams.take() {
                Some(connection) => connection,
                None if streams.is_lost() => return Err(Refusal::Lost(call)),
                None => return Err(Refusal::Crowded(call)),
            }
        };
        connection.send(call).map_err(Refusal::Lost)
    }

    /// Keeps the call until a stream is free.
    pub(super) fn wait(&self, mut call: PendingCall) {
        call.delay();
        self.lock().waiting.push_back(call);
        self.serve();
    }

    /// Sends what waits, as far as there are streams. A call that ends while it is sent frees a stream, which comes
    /// back to here: the next call is not sent from within that.
    fn serve(&self) {
        if std::mem::replace(&mut self.lock().is_served, true) {
            return;
        }
        loop {
            // The lock must be free again when the call is sent, or ends.
            let next = {
                let mut streams = self.lock();
                let next = streams.next();
                streams.is_served = next.is_some();
                next
            };
            let Some((call, connection)) = next else { return };
            if let Err(call) = connection.send(call) {
                self.give_back([call]);
            }
        }
    }

    /// Takes out a connection that is lost. With the last one that takes calls, those that wait go where others are.
    /// Whether there is none left, not even one that is being made.
    pub(super) fn remove(&self, id: ConnectionId) -> bool {
        let (is_empty, returned) = {
            let mut streams = self.lock();
            streams.members.retain(|member| member.id != id);
            let returned =
                if streams.is_lost() { std::mem::take(&mut streams.waiting) } else { VecDeque::new() };
            (streams.members.is_empty(), returned)
        };
        self.give_back(returned);
        is_empty
    }

    fn give_back(&self, calls: impl IntoIterator<Item = PendingCall>) {
        for call in calls {
            match self.control.upgrade() {
                Some(control) => control.take_back(call),
                None => call.fail(Status::cancelled("the channel is closed")),
            }
        }
    }

    /// Whether there are calls that only another connection could serve now.
    pub(super) fn is_crowded(&self) -> bool {
        self.has_waiting() && !self.lock().is_lost()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// The earliest deadline of those that wait.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lock().waiting.iter().filter_map(|call| call.deadline).min()
    }

    /// Ends calls that wait and whose time is over or whose caller is gone.
    pub(super) fn sweep(&self, now: Instant) {
        let is_over = |call: &PendingCall| call.has_expired(now) || call.receiver.is_abandoned();
        let over = {
            let mut streams = self.lock();
            let all = std::mem::take(&mut streams.waiting);
            let (over, waiting): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(is_over);
            streams.waiting = waiting;
            over
        };
        for call in over {
            match call.has_expired(now) {
                true => call.fail(Status::deadline_exceeded(
                    "the deadline passed while the server ran as many calls as it allows at once",
                )),
                false => call.fail(Status::cancelled("the call was dropped")),
            }
        }
    }

    /// Ends all that wait.
    pub(super) fn close(&self, status: &Status) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(|call| call.fail(status.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Streams<Arc<PooledConnection>, PendingCall>> {
        // The state is consistent at every point where a panic could have happened.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConnection {
    /// The server allows so many streams now.
    pub(super) fn set_limit(&self, limit: usize) {
        if let Some(pool) = self.pool.upgrade() {
            pool.lock().set_limit(self.id, limit);
            pool.serve();
        }
    }

    /// A call that came past the pool has a stream: one of the channel's own, or from before there was a pool.
    pub(super) fn count(self: &Arc<Self>) -> StreamPermit {
        if let Some(pool) = self.pool.upgrade() {
            pool.lock().count(self.id);
        }
        StreamPermit(Arc::clone(self))
    }

    /// Sends a call that has been counted. Gives it back if the connection is closed.
    fn send(self: Arc<Self>, mut call: PendingCall) -> Result<(), PendingCall> {
        call.tell_picked();
        let (handle, pool) = (Arc::clone(&self.handle), self.pool.clone());
        call.permit = Some(StreamPermit(self));
        let control = || pool.upgrade()?.control.upgrade().map(Hold::for_call);
        handle.open(call, control)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        if let Some(pool) = self.0.pool.upgrade() {
            pool.lock().release(self.0.id);
            pool.serve();
        }
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PooledConnection").field(&self.id).finish()
    }
}

/// The decision, without what it is about: connections of type `C` and waiting calls of type `Q`.
struct Streams<C, Q> {
    /// The oldest first.
    members: Vec<Member<C>>,
    waiting: VecDeque<Q>,
    /// Somebody sends what waits already.
    is_served: bool,
}

struct Member<C> {
    id: ConnectionId,
    connection: C,
    in_flight: usize,
    /// `None`: it takes no calls yet.
    limit: Option<usize>,
}

impl<C: Clone, Q> Streams<C, Q> {
    fn add(&mut self, id: ConnectionId, connection: C) {
        self.members.push(Member { id, connection, in_flight: 0, limit: None });
    }

    fn member(&mut self, id: ConnectionId) -> Option<&mut Member<C>> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn set_limit(&mut self, id: ConnectionId, limit: usize) {
        if let Some(member) = self.member(id) {
            member.limit = Some(limit);
        }
    }

    /// A stream for a call that has just come. Those that wait come first.
    fn take(&mut self) -> Option<C> {
        if self.waiting.is_empty() { self.take_free() } else { None }
    }

    fn take_free(&mut self) -> Option<C> {
        let has_room = |member: &&mut Member<C>| member.limit.is_some_and(|limit| member.in_flight < limit);
        let member = self.members.iter_mut().find(has_room)?;
        member.in_flight += 1;
        Some(member.connection.clone())
    }

    /// The call that has waited longest, and the stream that it gets.
    fn next(&mut self) -> Option<(Q, C)> {
        if self.waiting.is_empty() {
            return None;
        }
        let connection = self.take_free()?;
        self.waiting.pop_front().map(|call| (call, connection))
    }

    fn count(&mut self, id: ConnectionId) {
        if let Some(member) = self.member(id) {
            member.in_flight += 1;
        }
    }

    fn release(&mut self, id: ConnectionId) {
        if let Some(member) = self.member(id) {
            member.in_flight = member.in_flight.saturating_sub(1);
        }
    }

    /// Whether no connection takes calls.
    fn is_lost(&self) -> bool {
        self.members.iter().all(|member| member.limit.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::subchannel::SubchannelId;

    fn id(attempt: u32) -> ConnectionId {
        ConnectionId::for_test(SubchannelId::new(0, 1), attempt)
    }

    fn streams(limits: &[usize]) -> Streams<u32, char> {
        let mut streams = Streams { members: Vec::new(), waiting: VecDeque::new(), is_served: false };
        for (name, limit) in (0..).zip(limits) {
            streams.add(id(name), name);
            streams.set_limit(id(name), *limit);
        }
        streams
    }

    #[test]
    fn a_call_goes_to_the_oldest_connection_with_a_stream_free() {
        let mut streams = streams(&[2, 1]);
        assert_eq!([(); 4].map(|()| streams.take()), [Some(0), Some(0), Some(1), None]);
        streams.release(id(1));
        streams.release(id(0));
        assert_eq!([(); 3].map(|()| streams.take()), [Some(0), Some(1), None]);
    }

    #[test]
    fn a_connection_gets_calls_once_it_has_told_its_limit() {
        let mut streams = streams(&[]);
        streams.add(id(7), 7);
        assert!(streams.is_lost() && streams.take().is_none());
        streams.set_limit(id(7), 1);
        assert!(!streams.is_lost());
        assert_eq!(streams.take(), Some(7));
    }

    #[test]
    fn calls_that_wait_are_served_in_their_order_and_before_those_that_come_later() {
        let mut streams = streams(&[1]);
        assert_eq!(streams.take(), Some(0));
        streams.waiting.extend(['a', 'b']);
        assert!(streams.next().is_none());
        streams.release(id(0));
        assert_eq!(streams.take(), None);
        assert_eq!(streams.next(), Some(('a', 0)));
        assert!(streams.next().is_none());
        streams.set_limit(id(0), 2);
        assert_eq!(streams.next(), Some(('b', 0)));
    }

    #[test]
    fn a_limit_that_is_lowered_holds_for_the_calls_to_come() {
        let mut streams = streams(&[3]);
        assert_eq!([(); 3].map(|()| streams.take()), [Some(0); 3]);
        streams.set_limit(id(0), 1);
        streams.release(id(0));
        streams.release(id(0));
        assert_eq!(streams.take(), None);
        streams.release(id(0));
        assert_eq!(streams.take(), Some(0));
    }

    #[test]
    fn calls_that_came_past_the_pool_count() {
        let mut streams = streams(&[1]);
        streams.count(id(0));
        assert_eq!(streams.take(), None);
        streams.release(id(0));
        assert_eq!(streams.take(), Some(0));
    }
}
