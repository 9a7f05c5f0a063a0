//! Tells code outside the handler's future that its call is over.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::Receiver;
use super::wakers::{Place, Wakers};
use crate::rpc::Status;

/// Whether a call was cancelled: by its client, its deadline, or the loss of its connection.
///
/// A handler needs none for itself, since its future is dropped then. It is for work that the handler started elsewhere
/// (a thread, another runtime) and that should stop and clean up. Cheap to clone.
///
/// On a client, a token of one's own ends the calls that were
/// [made with it](crate::Request::with_cancellation).
#[derive(Clone, Default)]
pub struct CancellationToken {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    wakers: Wakers,
    /// Calls that end with the token; those that have ended are taken out when the list would grow.
    calls: Vec<Weak<dyn Receiver>>,
}

impl CancellationToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        CancellationToken::default()
    }

    /// Whether the call was cancelled. Stays false when the call ended well.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the call is cancelled; never ready if it ends well.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone(), place: None }
    }

    /// Cancels every call that was made with this token, and wakes whoever waits for it.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Release);
        let mut listeners = self.listeners();
        let (wakers, calls) = (listeners.wakers.take(), std::mem::take(&mut listeners.calls));
        drop(listeners);
        wakers.into_iter().for_each(Waker::wake);
        for call in calls.iter().filter_map(Weak::upgrade) {
            cancel(&call);
        }
    }

    /// From now on the call ends with the token.
    pub(crate) fn register(&self, call: &Arc<dyn Receiver>) {
        let mut listeners = self.listeners();
        if self.is_cancelled() {
            drop(listeners);
            return cancel(call);
        }
        if listeners.calls.len() == listeners.calls.capacity() {
            listeners.calls.retain(|call| call.strong_count() > 0);
        }
        listeners.calls.push(Arc::downgrade(call));
    }

    /// Whether the next call may have the token: nobody else holds it or has cancelled it.
    pub(crate) fn is_unused(&mut self) -> bool {
        Arc::get_mut(&mut self.state).is_some_and(|state| {
            let listeners = state.listeners.get_mut().unwrap_or_else(PoisonError::into_inner);
            listeners.wakers.is_empty() && listeners.calls.is_empty() && !*state.cancelled.get_mut()
        })
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.state.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancel(call: &Arc<dyn Receiver>) {
    call.cancel(Status::cancelled("the call was cancelled by its cancellation token"));
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`CancellationToken::cancelled`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Cancelled {
    token: CancellationToken,
    place: Place,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Cancelled { token, place } = &mut *self;
        let mut listeners = token.listeners();
        if token.is_cancelled() {
            return Poll::Ready(());
        }
        listeners.wakers.keep(place, cx.waker());
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.token.listeners().wakers.leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Wait;

    #[test]
    fn a_future_that_is_dropped_leaves_no_waker() {
        let token = CancellationToken::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut cancelled = token.cancelled();
            for _ in 0..3 {
                assert!(Pin::new(&mut cancelled).poll(&mut cx).is_pending());
            }
            assert!(!token.listeners().wakers.is_empty());
            drop(cancelled);
            assert!(token.listeners().wakers.is_empty());
        }
        let mut waits = token.cancelled();
        assert!(Pin::new(&mut waits).poll(&mut cx).is_pending());
        token.cancel();
        assert!(Pin::new(&mut waits).poll(&mut cx).is_ready());
    }

    #[test]
    fn a_cancel_from_another_thread_wakes_whoever_waits() {
        let token = CancellationToken::default();
        let other = token.clone();
        assert!(!token.is_cancelled());
        std::thread::spawn(move || other.cancel());
        token.cancelled().wait();
        assert!(token.is_cancelled());
    }
}
