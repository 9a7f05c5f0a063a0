//! The engine: the set of event loops that channels and servers run on.

mod affinity;
mod sleep;
mod spawn;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::call::wait;
use affinity::Core;

use crate::net::{EventLoop, LoopHandle, LoopOptions, LoopStats, check_busy_poll, on_event_loop};

pub use sleep::{Sleep, sleep};
pub(crate) use spawn::spawn;

/// A set of event loops. Cheap to clone; the loops end when the last clone, channel and server of theirs is gone.
///
/// By default the process has one engine that starts by itself, with a loop on a thread of its own for each core. Build
/// one to choose the number of loops, or to run a single loop on the current thread by [`Engine::block_on`], where
/// client calls and in-process handlers cross no thread at all: the mode with the lowest latency.
///
/// What latency costs, from the cheapest to the dearest:
///
/// - [`current_thread`](EngineBuilder::current_thread) saves the two thread switches of a call that another thread
///   waits for, and costs nothing but that this thread is the loop's.
/// - [`EngineBuilder::pin_threads`] keeps a loop's data in its core's caches.
/// - [`busy_poll`](EngineBuilder::busy_poll) saves the wake-up of a sleeping thread, and costs processor time while
///   the loop has nothing to do. It is for loops that have a core of their own.
/// - [`socket_busy_poll`](EngineBuilder::socket_busy_poll) has the kernel do the same in the network driver.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    loops: Arc<[LoopHandle]>,
    next: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The loop of a current-thread engine, taken out while a `block_on` runs it.
    local: Option<Mutex<Option<EventLoop>>>,
}

/// Builds an [`Engine`].
pub struct EngineBuilder {
    mode: Mode,
    name: String,
    on_thread_start: Option<Arc<dyn Fn() + Send + Sync>>,
    cores: Vec<usize>,
    options: LoopOptions,
}

enum Mode {
    Threads(usize),
    CurrentThread,
}

static DEFAULT: OnceLock<Engine> = OnceLock::new();

impl Engine {
    /// A builder; without options it makes one loop with its thread per core.
    pub fn builder() -> EngineBuilder {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        EngineBuilder {
            mode: Mode::Threads(cores),
            name: "lariat".to_owned(),
            on_thread_start: None,
            cores: Vec::new(),
            options: LoopOptions::default(),
        }
    }

    /// The engine that channels and servers use when they are given none. It starts at its first use.
    ///
    /// # Panics
    ///
    /// When the system refuses a thread or an epoll instance at that first use.
    pub fn global() -> &'static Engine {
        DEFAULT.get_or_init(|| match Engine::builder().build() {
            Ok(engine) => engine,
            Err(error) => panic!("the default engine could not start its event loops: {error}"),
        })
    }

    /// Runs `future` to its end on the current thread.
    ///
    /// On a current-thread engine this is what runs the loop: sockets, timers, calls and handlers of this engine make
    /// progress here and nowhere else. On an engine with threads the calling thread just waits.
    ///
    /// # Panics
    ///
    /// When called from inside an event loop (await the future instead), or when another thread is running this
    /// current-thread engine.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let Some(local) = &self.shared.local else {
            return wait(future);
        };
        let lock = || local.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(event_loop) = lock().take() else {
            panic!("this current-thread engine is already being run by a block_on");
        };
        // Returned also when the future panics, so that the engine can be run again.
        let mut event_loop = Returning { event_loop: Some(event_loop), to: local };
        event_loop.get().block_on(future)
    }

    /// The loop of a current-thread engine, for a simulation that runs it.
    #[cfg(test)]
    pub(crate) fn with_loop<R>(&self, work: impl FnOnce(&mut EventLoop) -> R) -> R {
        let local = self.shared.local.as_ref().unwrap();
        let event_loop = local.lock().unwrap_or_else(PoisonError::into_inner).take();
        work(Returning { event_loop, to: local }.get())
    }

    /// How many loops there are.
    pub fn loops(&self) -> usize {
        self.shared.loops.len()
    }

    /// What each loop has done and has, as of the end of its latest turn. Cheap enough to be asked every second.
    pub fn stats(&self) -> Vec<LoopStats> {
        self.shared.loops.iter().map(LoopHandle::stats).collect()
    }

    /// Whether the loop runs only inside [`Engine::block_on`].
    pub fn is_current_thread(&self) -> bool {
        self.shared.local.is_some()
    }

    pub(crate) fn place(&self) -> Arc<[LoopHandle]> {
        Arc::clone(&self.shared.loops)
    }

    /// A loop for something new: the calling thread's own if it is one of ours, else the next in turn.
    pub(crate) fn choose_loop(&self) -> LoopHandle {
        let loops = &self.shared.loops;
        if let Some(current) = loops.iter().find(|handle| handle.is_current()) {
            return current.clone();
        }
        let next = self.shared.next.fetch_add(1, Ordering::Relaxed);
        loops[next % loops.len()].clone()
    }
}

struct Returning<'a> {
    event_loop: Option<EventLoop>,
    to: &'a Mutex<Option<EventLoop>>,
}

impl Returning<'_> {
    fn get(&mut self) -> &mut EventLoop {
        match &mut self.event_loop {
            Some(event_loop) => event_loop,
            None => unreachable!("taken only by drop"),
        }
    }
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = self.event_loop.take();
    }
}

impl EngineBuilder {
    /// Runs `count` loops (at least one), each on a thread of its own.
    pub fn threads(mut self, count: usize) -> Self {
        self.mode = Mode::Threads(count.max(1));
        self
    }

    /// Runs one loop, inside [`Engine::block_on`] on the thread that calls it.
    pub fn current_thread(mut self) -> Self {
        self.mode = Mode::CurrentThread;
        self
    }

    /// What the threads are called, followed by their number. Default: `lariat`.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Called at the start of each thread of the engine, for instance to pin it or to set its priority.
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Pins the loops' threads to these cores, by the numbers that Linux gives them: the first loop's to the first, and
    /// so on, from the beginning again when there are more loops than cores. For engines with threads: on a
    /// current-thread engine the thread is the caller's, to be pinned by the caller.
    pub fn pin_threads(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.cores = cores.into_iter().collect();
        self
    }

    /// Has a loop with nothing to do look for events again and again for `time` before it sleeps until one comes.
    /// Default: it sleeps at once.
    ///
    /// While it looks, an event is dealt with a few microseconds earlier, the time that waking a thread takes, and
    /// other threads hand over their calls without a system call. It also uses its core for as long: with more such
    /// loops than cores they take the time from each other.
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.options.spin = time;
        self
    }

    /// Sets `SO_BUSY_POLL` on the engine's TCP sockets: how long the kernel polls the network device when a loop asks
    /// for events and there are none. For devices whose driver supports it; loopback does not need it. Microseconds are
    /// the finest that the system knows.
    ///
    /// Needs the privilege CAP_NET_ADMIN, without which [`build`](Self::build) fails.
    pub fn socket_busy_poll(mut self, time: Duration) -> Self {
        self.options.sockets.busy_poll_us = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self
    }

    /// Starts the loops.
    ///
    /// # Errors
    ///
    /// When the system refuses an epoll instance or a thread; [`io::ErrorKind::InvalidInput`] when a core to pin to is
    /// not among those that the process may run on, or the engine has no threads to pin;
    /// [`io::ErrorKind::PermissionDenied`] when the process may not set `SO_BUSY_POLL`.
    pub fn build(self) -> io::Result<Engine> {
        let count = match self.mode {
            Mode::Threads(count) => count,
            Mode::CurrentThread => 1,
        };
        let cores = self.cores.iter().map(|&number| Core::find(number)).collect::<io::Result<Vec<_>>>()?;
        if matches!(self.mode, Mode::CurrentThread) && !cores.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "pin_threads is for engines with threads; a current-thread engine runs on the thread that calls \
                 block_on: pin that one",
            ));
        }
        let busy_poll = self.options.sockets.busy_poll_us;
        if busy_poll > 0 {
            check_busy_poll(busy_poll).map_err(|error| {
                let why = format!(
                    "SO_BUSY_POLL of {busy_poll} µs cannot be set, which needs CAP_NET_ADMIN: {error}"
                );
                io::Error::new(error.kind(), why)
            })?;
        }
        let (event_loops, handles): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| EventLoop::new(self.options))
            .collect::<io::Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let mut shared = Shared {
            loops: handles.into(),
            next: AtomicUsize::new(0),
            threads: Mutex::new(Vec::new()),
            local: None,
        };
        match self.mode {
            Mode::CurrentThread => shared.local = Some(Mutex::new(event_loops.into_iter().next())),
            Mode::Threads(_) => {
                for (number, mut event_loop) in event_loops.into_iter().enumerate() {
                    let hook = self.on_thread_start.clone();
                    let core = cores.get(number % cores.len().max(1)).copied();
                    let thread = std::thread::Builder::new().name(format!("{}-{number}", self.name)).spawn(
                        move || {
                            if let Some(core) = core {
                                core.pin_thread();
                            }
                            if let Some(hook) = hook {
                                hook();
                            }
                            event_loop.run();
                        },
                    )?;
                    shared.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
                }
            }
        }
        Ok(Engine { shared: Arc::new(shared) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for handle in self.loops.iter() {
            handle.stop();
        }
        if on_event_loop() {
            // The last owner may be dropped on a loop of ours, which cannot wait for itself.
            return;
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A loop thread that panicked has printed its message; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("loops", &self.shared.loops.len())
            .field("current_thread", &self.shared.local.is_some())
            .finish()
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
