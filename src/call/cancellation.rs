//! Tells code outside the handler's future that its call is over.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether a call was cancelled: by its client, its deadline, or the loss of its connection.
///
/// A handler needs none for itself, since its future is dropped then. It is for work that the handler started elsewhere
/// (a thread, another runtime) and that should stop and clean up. Cheap to clone.
#[derive(Clone, Default)]
pub struct CancellationToken {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl CancellationToken {
    /// Whether the call was cancelled. Stays false when the call ended well.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the call is cancelled; never ready if it ends well.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone() }
    }

    pub(crate) fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut *self.wakers());
        for waker in wakers {
            waker.wake();
        }
    }

    /// Whether nobody else holds the token, so that the next call may have it.
    pub(crate) fn is_unshared(&mut self) -> bool {
        Arc::get_mut(&mut self.state).is_some_and(|state| {
            // Whoever waited is gone; its wakers must not gather over the calls that have the token next.
            state.wakers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
            !*state.cancelled.get_mut()
        })
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.state.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}

impl Future for Cancelled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut wakers = self.token.wakers();
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Wait;

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
