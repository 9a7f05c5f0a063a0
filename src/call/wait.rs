//! Waiting on a plain thread: the second end of everything that can be awaited.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::net::on_event_loop;

/// Blocks the calling thread until a future is ready. Implemented by every future.
///
/// ```
/// use lariat::Wait;
/// assert_eq!(std::future::ready(1).wait(), 1);
/// ```
pub trait Wait: Future + Sized {
    /// Waits for the future on this thread and returns its output.
    ///
    /// # Panics
    ///
    /// When called inside an event loop, that is in a handler or under [`crate::Engine::block_on`] of a current-thread
    /// engine: the loop that would have to bring the result stands still meanwhile. Await the future there, or move
    /// the blocking work to a thread of its own.
    fn wait(self) -> Self::Output {
        wait(self)
    }
}

impl<F: Future> Wait for F {}

/// Unparks a thread, and remembers that it did.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// This thread's waker, kept from wait to wait. Taken out while in use, so that a nested wait has one of its own.
    static PARKED: RefCell<Option<(Arc<Unpark>, Waker)>> = const { RefCell::new(None) };
}

pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    assert!(
        !on_event_loop(),
        "wait() was called inside an event loop, which would stop everything it serves; await the future instead"
    );
    let (unpark, waker) =
        PARKED.try_with(|parked| parked.borrow_mut().take()).ok().flatten().unwrap_or_else(|| {
            let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
            (Arc::clone(&unpark), Waker::from(unpark))
        });
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let output = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break output;
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    };
    // An error means that the thread is ending and waits no more.
    let _ = PARKED.try_with(|parked| parked.replace(Some((unpark, waker))));
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_woken_from_another_thread_ends_the_wait() {
        let mut polled = false;
        let future = std::future::poll_fn(|cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(7);
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake());
            Poll::Pending
        });
        assert_eq!(future.wait(), 7);
    }

    #[test]
    fn a_wait_inside_a_wait_works() {
        assert_eq!(async { std::future::ready(2).wait() + 1 }.wait(), 3);
    }
}
