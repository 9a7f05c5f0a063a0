//! A future that waits for a time, on whichever loop is at hand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Engine;
use crate::net::{Alarm, LoopHandle, clock};

/// Waits for at least `duration`. Works in handlers, under [`Engine::block_on`], and under any executor: off the
/// engine's own threads the process's default engine keeps the time.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: clock::later(clock::now(), duration), alarm: None }
}

/// The future of [`sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    deadline: Instant,
    alarm: Option<(LoopHandle, Arc<Alarm>)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, alarm)) = &self.alarm {
            return alarm.poll(cx.waker());
        }
        if clock::now() >= self.deadline {
            return Poll::Ready(());
        }
        let alarm = Arc::new(Alarm::default());
        let pending = alarm.poll(cx.waker());
        let keeper = keeper_of_time();
        keeper.sleep(self.deadline, Arc::clone(&alarm));
        self.alarm = Some((keeper, alarm));
        pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((keeper, alarm)) = self.alarm.take()
            && alarm.silence()
        {
            keeper.silence(alarm);
        }
    }
}

/// The loop of this thread, or one of the default engine.
fn keeper_of_time() -> LoopHandle {
    LoopHandle::current().unwrap_or_else(|| Engine::global().choose_loop())
}
