//! A future that waits for a time, on whichever loop is at hand.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::mailbox::LoopHandle;

/// Waits for at least `duration`. Works in handlers, under [`crate::Engine::block_on`], and under any executor: off the
/// engine's own threads the process's default engine keeps the time.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: Instant::now() + duration, alarm: None }
}

/// The future of [`sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    deadline: Instant,
    alarm: Option<Arc<Alarm>>,
}

/// What the loop's timer rings.
#[derive(Debug)]
pub(super) struct Alarm {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Alarm {
    pub(super) fn ring(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(alarm) = &self.alarm else {
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            let alarm = Arc::new(Alarm { state: Mutex::new((false, Some(cx.waker().clone()))) });
            keeper_of_time().sleep(self.deadline, Arc::clone(&alarm));
            self.alarm = Some(alarm);
            return Poll::Pending;
        };
        let mut state = alarm.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The loop of this thread, or one of the default engine.
fn keeper_of_time() -> LoopHandle {
    LoopHandle::current().unwrap_or_else(crate::engine::default_loop)
}
