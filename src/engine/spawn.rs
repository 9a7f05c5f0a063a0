//! Futures that run on a loop by themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::net::{LoopHandle, Note, Task, Turn};

/// Runs a future on a loop, to its end or that of the loop. One that panics is dropped.
pub(crate) fn spawn(handle: &LoopHandle, future: impl Future<Output = ()> + Send + 'static) {
    handle.spawn(Box::new(FutureTask { future: Some(Box::pin(future)), waker: None }));
}

struct FutureTask {
    /// `None` once it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    waker: Option<Waker>,
}

impl FutureTask {
    fn poll(&mut self) {
        let (Some(future), Some(waker)) = (&mut self.future, &self.waker) else { return };
        let mut cx = Context::from_waker(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx).is_ready()));
        if polled.unwrap_or(true) {
            let future = self.future.take();
            // What a panic leaves behind may panic once more while it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        }
    }
}

impl Task for FutureTask {
    fn handle_start(&mut self, turn: &mut Turn<'_>) {
        let note = Note { token: turn.token, slot: 0 };
        self.waker = Some(Waker::from(Arc::new(TaskWaker { handle: turn.handle.clone(), note })));
        self.poll();
    }

    fn handle_wake(&mut self, _turn: &mut Turn<'_>, _slot: u32) {
        self.poll();
    }

    fn handle_timer(&mut self, _turn: &mut Turn<'_>, _slot: u32) {}

    fn is_finished(&self) -> bool {
        self.future.is_none()
    }
}

struct TaskWaker {
    handle: LoopHandle,
    note: Note,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.handle.wake(self.note);
    }
}
