//! What a loop's timer rings for a future that waits for a time.

use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Rings once; whoever polled it last is woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rang: bool,
    waker: Option<Waker>,
}

impl Alarm {
    pub(super) fn ring(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rang = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once it rang; until then the waker is kept for it.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.rang {
            return Poll::Ready(());
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }
}
