//! Moves work that blocks off the event loops, to a pool of threads.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Threads that may run blocking work at once; what is beyond waits its turn. As many as tokio allows by default: such
/// threads mostly sleep.
const MAX_THREADS: usize = 512;
/// How long a thread without work is kept.
const KEEP_IDLE: Duration = Duration::from_secs(10);

/// Runs `work` on a thread where it may block: file access, a database driver, a long computation. Await the result;
/// the event loop serves others meanwhile.
///
/// If the returned future is dropped before the work has begun, it never begins; once begun it runs to its end.
///
/// # Panics
///
/// A panic of the work goes on in whoever awaits it; in a handler it ends that call. Awaiting also panics when the
/// system refused a thread for the work and none runs that could take it later.
pub fn blocking<T, F>(work: F) -> Blocking<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (blocking, work) = prepare(work);
    pool().run(work, |serve| {
        let thread = std::thread::Builder::new().name("lariat-blocking".to_owned());
        thread.spawn(serve).map(drop)
    });
    blocking
}

/// The future of some work, and the work as the pool does it.
fn prepare<T, F>(work: F) -> (Blocking<T>, Work)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let result = Arc::new(Mutex::new(Outcome { value: None, waker: None }));
    let theirs = Arc::downgrade(&result);
    let work = Box::new(move |begun: io::Result<()>| {
        if theirs.strong_count() == 0 {
            return;
        }
        let value = match begun {
            Ok(()) => catch_unwind(AssertUnwindSafe(work)),
            Err(error) => {
                Err(Box::new(format!("no thread for blocking work could be started: {error}")) as _)
            }
        };
        if let Some(result) = theirs.upgrade() {
            let mut outcome = result.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.value = Some(value);
            let waker = outcome.waker.take();
            drop(outcome);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    });
    (Blocking { result }, work)
}

/// The future of [`blocking`].
#[must_use = "work that has not begun is given up when its future is dropped"]
pub struct Blocking<T> {
    result: Arc<Mutex<Outcome<T>>>,
}

struct Outcome<T> {
    value: Option<Result<T, Box<dyn Any + Send>>>,
    waker: Option<Waker>,
}

impl<T> Future for Blocking<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome.value.take() {
            Some(Ok(value)) => Poll::Ready(value),
            Some(Err(panic)) => {
                drop(outcome);
                resume_unwind(panic)
            }
            None => {
                outcome.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// Told that it has begun on a thread of the pool, or why it never will.
type Work = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    /// Threads that wait for work. Each takes one of the queue when it wakes, so counting both under one lock tells
    /// exactly whether a thread is short: work never waits behind other work while another thread may be started.
    idle: usize,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool { state: Mutex::default(), work: Condvar::new() })
}

impl Pool {
    /// Has a thread do the work, a new one by `spawn` if none is idle.
    fn run(&'static self, work: Work, spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>) {
        let mut state = self.lock();
        state.queue.push_back(work);
        if state.queue.len() <= state.idle || state.threads == MAX_THREADS {
            drop(state);
            return self.work.notify_one();
        }
        state.threads += 1;
        drop(state);
        if let Err(error) = spawn(Box::new(move || self.serve())) {
            let mut state = self.lock();
            state.threads -= 1;
            if state.threads == 0 {
                // Otherwise the threads that there are get to the work later.
                let orphans = std::mem::take(&mut state.queue);
                drop(state);
                orphans
                    .into_iter()
                    .for_each(|work| work(Err(io::Error::new(error.kind(), error.to_string()))));
            }
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            while let Some(work) = state.queue.pop_front() {
                drop(state);
                // The work's own panic is caught inside; this one is of a value that it leaves behind.
                let _ = catch_unwind(AssertUnwindSafe(|| work(Ok(()))));
                state = self.lock();
            }
            state.idle += 1;
            let (woken, waited) =
                self.work.wait_timeout(state, KEEP_IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Wait;

    #[test]
    fn the_work_runs_on_another_thread_and_its_result_comes_back() {
        let here = std::thread::current().id();
        assert_ne!(blocking(move || std::thread::current().id()).wait(), here);
    }

    #[test]
    fn more_work_than_threads_is_done_in_the_end() {
        let all: Vec<_> = (0..2_000).map(|i| blocking(move || i)).collect();
        assert_eq!(all.into_iter().map(Wait::wait).sum::<i32>(), 1_999_000);
    }

    #[test]
    fn work_that_is_given_up_before_it_begins_never_begins() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        for _ in 0..2 * MAX_THREADS {
            let gate = Arc::clone(&gate);
            // What has begun by now goes on: it cannot be interrupted.
            drop(blocking(move || {
                BEGUN.fetch_add(1, Ordering::SeqCst);
                drop(gate.lock());
            }));
        }
        // It begins behind all of the former, when they are done or left out.
        let last = blocking(|| ());
        drop(closed);
        last.wait();
        assert!(BEGUN.load(Ordering::SeqCst) <= MAX_THREADS);
    }

    #[test]
    fn work_for_which_there_is_no_thread_fails() {
        let pool: &'static Pool = Box::leak(Box::new(Pool { state: Mutex::default(), work: Condvar::new() }));
        let (blocking, work) = prepare(|| ());
        pool.run(work, |_| Err(io::ErrorKind::WouldBlock.into()));
        let panic = catch_unwind(AssertUnwindSafe(|| blocking.wait())).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("no thread for blocking work could be started: "), "{text}");
    }

    #[test]
    fn a_panic_of_the_work_reaches_whoever_awaits_it() {
        let result = catch_unwind(|| blocking(|| panic!("no")).wait());
        assert!(result.is_err());
    }
}
