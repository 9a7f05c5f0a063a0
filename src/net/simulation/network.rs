//! [`Network`]: the wires and listeners of a simulation, its clock, and the turns of its loops.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::Random;
use super::wire::{Fault, Weather, Wire, WireListener, WireSocket};
use crate::net::Address;
use crate::net::connection::Edge;
use crate::net::event_loop::EventLoop;

/// Turns of all loops after which a run must have ended: far more than any honest one takes.
const MOST_TURNS: usize = 2_000_000;

thread_local! {
    static CURRENT: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// A network in memory with a time of its own. Clones are the same network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) weather: Weather,
    pub(super) wires: Vec<Wire>,
    pub(super) listeners: Vec<Listening>,
    /// The loop whose turn it is.
    pub(super) host: usize,
    /// Accepting fails, as for lack of descriptors.
    pub(super) accepts_fail: bool,
    /// What sockets have moved, while that is watched.
    pub(super) passages: Option<Vec<Passage>>,
    faults: Vec<Fault>,
    alarms: Vec<(Instant, Waker)>,
}

/// Octets that a socket has taken out of memory, or put there.
#[derive(Debug)]
pub(crate) struct Passage {
    /// At the end that connected.
    pub(crate) of_client: bool,
    pub(crate) is_write: bool,
    /// Where they lay.
    pub(crate) address: usize,
    pub(crate) octets: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Listening {
    address: Address,
    pub(super) backlog: VecDeque<usize>,
    pub(super) registered: Option<(usize, mio::Token)>,
    pub(super) closed: bool,
}

/// This thread is on a network until this is dropped.
pub(crate) struct Entered {
    _private: (),
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = None);
    }
}

impl State {
    /// Notes that the first `count` of these octets were moved.
    pub(super) fn note(&mut self, end: usize, is_write: bool, octets: &[u8], count: usize) {
        if let Some(passages) = &mut self.passages {
            let octets = &octets[..count];
            let address = octets.as_ptr().addr();
            passages.push(Passage { of_client: end == 0, is_write, address, octets: octets.to_vec() });
        }
    }
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather, faults: Vec<Fault>) -> Self {
        let state = State {
            now: Instant::now(),
            random: Random::new(seed),
            weather,
            wires: Vec::new(),
            listeners: Vec::new(),
            host: 0,
            accepts_fail: false,
            passages: None,
            faults,
            alarms: Vec::new(),
        };
        Network { state: Arc::new(Mutex::new(state)) }
    }

    /// Puts this thread on the network: its loops, its time, its connects.
    pub(crate) fn enter(&self) -> Entered {
        CURRENT.with_borrow_mut(|current| *current = Some(self.clone()));
        Entered { _private: () }
    }

    /// The network that this thread is on.
    pub(crate) fn current() -> Option<Network> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn now(&self) -> Instant {
        self.with(|state| state.now)
    }

    /// A number that the seed decides.
    pub(crate) fn random(&self) -> u64 {
        self.with(|state| state.random.next())
    }

    /// Octets sent so far over a wire by the end that connected, and by the other.
    pub(crate) fn sent(&self, wire: usize) -> (u64, u64) {
        self.with(|state| state.wires.get(wire).map_or((0, 0), |wire| (wire.sent(0), wire.sent(1))))
    }

    /// From now on accepting fails, or no longer.
    pub(crate) fn set_accepts_fail(&self, fail: bool) {
        self.with(|state| state.accepts_fail = fail);
    }

    /// Notes from now on what sockets move, and where it lies.
    pub(crate) fn watch(&self) {
        self.with(|state| state.passages = Some(Vec::new()));
    }

    /// What was noted.
    pub(crate) fn passages(&self) -> Vec<Passage> {
        self.with(|state| state.passages.take().unwrap_or_default())
    }

    /// Waits in the network's time.
    pub(crate) fn sleep(&self, duration: Duration) -> Alarm {
        Alarm { network: self.clone(), time: self.now() + duration }
    }

    pub(crate) fn connect(&self, address: &Address) -> WireSocket {
        let wire = self.with(|state| {
            let index = state.wires.len();
            let fault = state.faults.iter().find(|fault| fault.wire == index).copied();
            let mut wire = Wire::new(fault);
            let latency = 1 + state.random.below(state.weather.latency.as_nanos() as u64);
            wire.connected = Some(state.now + Duration::from_nanos(latency));
            match state.listeners.iter_mut().find(|other| !other.closed && other.address == *address) {
                Some(listening) => listening.backlog.push_back(index),
                None => wire.refused = true,
            }
            state.wires.push(wire);
            index
        });
        WireSocket { network: self.clone(), wire, end: 0 }
    }

    pub(crate) fn listen(&self, address: &Address) -> WireListener {
        let index = self.with(|state| {
            state.listeners.push(Listening {
                address: address.clone(),
                backlog: VecDeque::new(),
                registered: None,
                closed: false,
            });
            state.listeners.len() - 1
        });
        WireListener { network: self.clone(), index }
    }

    /// What has happened to the sockets of the loop whose turn it is.
    pub(crate) fn take_edges(&self) -> Vec<(mio::Token, Edge)> {
        self.with(|state| {
            let mut edges = Vec::new();
            for listening in &state.listeners {
                if let Some((host, token)) = listening.registered
                    && host == state.host
                    && !listening.backlog.is_empty()
                {
                    edges.push((token, Edge { readable: true, ..Edge::default() }));
                }
            }
            for wire in &mut state.wires {
                let has_connected = wire.connected.is_some_and(|time| time <= state.now);
                for (index, end) in wire.ends.iter_mut().enumerate() {
                    let Some((host, token)) = end.registered.filter(|(host, _)| *host == state.host) else {
                        continue;
                    };
                    debug_assert_eq!(host, state.host);
                    if index == 0 && has_connected {
                        wire.connected = None;
                        end.edge.writable = true;
                    }
                    let edge = std::mem::take(&mut end.edge);
                    if edge != Edge::default() {
                        edges.push((token, edge));
                    }
                }
            }
            edges
        })
    }

    /// Lets the loops take turns until the future is ready.
    ///
    /// # Panics
    ///
    /// When nothing will ever happen any more although the future is not ready.
    pub(crate) fn run<F: Future>(&self, loops: &mut [&mut EventLoop], future: F) -> F::Output {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let mut future = std::pin::pin!(future);
        for _ in 0..MOST_TURNS {
            if flag.0.swap(false, Ordering::SeqCst)
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            let next = self.take_turns(loops);
            if flag.0.load(Ordering::SeqCst) {
                continue;
            }
            match next {
                Some(time) => self.advance(time),
                None => panic!("nothing will ever happen any more, and the future still waits"),
            }
        }
        panic!("no end after {MOST_TURNS} turns");
    }

    /// Lets the loops take turns for so long in the network's time.
    pub(crate) fn run_for(&self, loops: &mut [&mut EventLoop], duration: Duration) {
        let alarm = self.sleep(duration);
        self.run(loops, alarm);
    }

    /// One turn for each loop. When the next thing happens, if any will.
    fn take_turns(&self, loops: &mut [&mut EventLoop]) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (host, event_loop) in loops.iter_mut().enumerate() {
            self.with(|state| state.host = host);
            let wanted = event_loop.step();
            next = [next, wanted].into_iter().flatten().min();
        }
        self.with(|state| {
            let arrivals = state.wires.iter().filter_map(Wire::next_arrival);
            let alarms = state.alarms.iter().map(|(time, _)| *time);
            let has_edge = state
                .wires
                .iter()
                .flat_map(|wire| &wire.ends)
                .any(|end| end.registered.is_some() && end.edge != Edge::default());
            let edge = has_edge.then_some(state.now);
            arrivals.chain(alarms).chain(next).chain(edge).min()
        })
    }

    /// Lets everything arrive up to a time, of which the loops hear in their next turns.
    pub(crate) fn advance(&self, time: Instant) {
        let due = self.with(|state| {
            state.now = state.now.max(time);
            let now = state.now;
            state.wires.iter_mut().for_each(|wire| wire.advance(now));
            state.alarms.extract_if(.., |(time, _)| *time <= now).collect::<Vec<_>>()
        });
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The future of [`Network::sleep`].
pub(crate) struct Alarm {
    network: Network,
    time: Instant,
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.network.now() >= self.time {
            return Poll::Ready(());
        }
        self.network.with(|state| state.alarms.push((self.time, cx.waker().clone())));
        Poll::Pending
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
