//! What a loop's timer rings for a future that waits for a time.

use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::timers::TimerId;

/// Rings once; whoever polled it last is woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rang: bool,
    waker: Option<Waker>,
    /// The loop's timer for it, once there is one.
    timer: Option<TimerId>,
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

    pub(super) fn set_timer(&self, timer: TimerId) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).timer = Some(timer);
    }

    pub(super) fn timer(&self) -> Option<TimerId> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).timer
    }

    /// Nobody waits any more: forgets the waker. False if it rang already.
    pub(crate) fn silence(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waker = None;
        !state.rang
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
