//! How a server ends: every session is told, and counted until it is gone.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::call::Link;
use crate::engine::{Sleep, sleep};

/// How many times more room than needed the table of connections may have.
const ROOMY: usize = 8;
/// Connections for which there always is room enough.
const FEW: usize = 16;

/// How far a server is on its way from serving to gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// No new calls; those under way finish.
    Draining,
    /// Everything ends now.
    Stopped,
}

/// A server's sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    next_id: u64,
    /// Connections accepted, and where the session of each listens once it is on its loop.
    links: HashMap<u64, Option<Link>>,
    waiting: Vec<Waker>,
    /// Listeners that have not been closed.
    listeners: usize,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let state = State {
            phase: Phase::Serving,
            next_id: 0,
            links: HashMap::new(),
            waiting: Vec::new(),
            listeners: 0,
        };
        Sessions { state: Mutex::new(state) }
    }

    /// Counts a new connection, or refuses it when the server has as many as it may or takes no more.
    pub(super) fn admit(&self, limit: Option<usize>) -> Option<u64> {
        let mut state = self.lock();
        if state.phase != Phase::Serving || limit.is_some_and(|limit| state.links.len() >= limit) {
            return None;
        }
        // A burst may have left a table that is much too large. To make it smaller while the burst ends would be in
        // vain: the memory for the new one would lie where it keeps the system from having the rest.
        let len = state.links.len();
        if state.links.capacity() > ROOMY * len.max(FEW) {
            state.links.shrink_to(2 * len);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.links.insert(id, None);
        Some(id)
    }

    /// The session is on its loop. Returns the phase it has to know of.
    pub(super) fn open(&self, id: u64, link: Link) -> Phase {
        let mut state = self.lock();
        state.links.insert(id, Some(link));
        state.phase
    }

    pub(super) fn remove(&self, id: u64) {
        self.count_down(|state| {
            state.links.remove(&id);
            if state.links.is_empty() {
                state.links = HashMap::new();
            }
        });
    }

    /// A listener may accept for this server.
    pub(super) fn listen(&self) {
        self.lock().listeners += 1;
    }

    /// The socket of a listener is closed: its address is free again.
    pub(super) fn unlisten(&self) {
        self.count_down(|state| state.listeners -= 1);
    }

    fn count_down(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waiting = match state.is_over() {
            true => std::mem::take(&mut state.waiting),
            false => Vec::new(),
        };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    pub(super) fn len(&self) -> usize {
        self.lock().links.len()
    }

    /// Goes on to a later phase and tells every session.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase >= phase {
            return;
        }
        state.phase = phase;
        let links: Vec<Link> = state.links.values().flatten().cloned().collect();
        let waiting = match state.is_over() {
            true => std::mem::take(&mut state.waiting),
            false => Vec::new(),
        };
        drop(state);
        links.iter().for_each(Link::notify);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.phase > Phase::Serving && self.links.is_empty() && self.listeners == 0
    }
}

/// Ready when a server that was told to stop has no connection left.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Stopped {
    pub(super) sessions: Arc<Sessions>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.sessions.lock();
        if state.is_over() {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Waits for a graceful stop, and ends it by force when its time is over. True if no call had to be cut off.
///
/// The stop itself began with the call that made this future; dropping it leaves the server draining.
#[derive(Debug)]
#[must_use = "the time limit is enforced only while the future is polled"]
pub struct GracefulStop {
    stopped: Stopped,
    limit: Sleep,
    forced: bool,
}

impl GracefulStop {
    pub(super) fn new(sessions: Arc<Sessions>, limit: Duration) -> Self {
        sessions.enter(Phase::Draining);
        GracefulStop { stopped: Stopped { sessions }, limit: sleep(limit), forced: false }
    }
}

impl Future for GracefulStop {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if Pin::new(&mut self.stopped).poll(cx).is_ready() {
            return Poll::Ready(!self.forced);
        }
        if !self.forced && Pin::new(&mut self.limit).poll(cx).is_ready() {
            self.forced = true;
            self.stopped.sessions.enter(Phase::Stopped);
            return Pin::new(&mut self.stopped).poll(cx).map(|()| false);
        }
        Poll::Pending
    }
}
