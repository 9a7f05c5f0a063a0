//! `Control`: what the calls and connections of a channel share with its control plane: the snapshot by which calls are
//! sent, and the way to the task that publishes it.

mod hold;
mod task;

pub(super) use hold::{Hold, IdleNotice};
pub(super) use task::{ControlTask, Plan};

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::call_config::CallConfigs;
use super::connection_handle::{Activity, ConnectionHandle};
use super::connectivity::ConnectivityState;
use super::pending::PendingCall;
use super::picker::{Always, Pick, Picker};
use super::resolver::{Resolution, ResolveError};
use super::retry::{AttemptLimits, AttemptedCall, SharedBucket};
use super::service_config::RetryThrottling;
use super::stream_pool::{Refusal, StreamPool};
use super::subchannel::{ConnectionEvent, ConnectionId, SubchannelId, WatchEvent};
use crate::call::stats::StatsHandlers;
use crate::call::{Place, RareOptions, Wakers};
use crate::net::{Inbox, LoopHandle, clock};
use crate::rpc::Status;

/// What the control plane is told.
#[derive(Debug)]
pub(super) enum Input {
    /// A call that found no connection.
    Call(PendingCall),
    Connection(ConnectionId, ConnectionEvent),
    /// A stream by which a connection's backend is watched.
    Watched(ConnectionId, WatchEvent),
    Resolved(Result<Resolution, ResolveError>),
    Connect,
    ResetBackoff,
    /// End all calls and connections.
    Close,
    /// Nobody holds the channel any more: end when the last call has.
    Release,
    /// The connections that were asked have no calls.
    AllIdle,
    /// A server asks for fewer PINGs: keepalive has this time from now on, if that is more.
    Keepalive(Duration),
}

/// The channel's shared part: the snapshot that calls read, and the way to the control plane.
pub(super) struct Control {
    inbox: Inbox<Input>,
    /// Calls look at it without a lock; the control plane puts another in its place.
    snapshot: ArcSwap<Snapshot>,
    watch: Mutex<Watch>,
    seeds: AtomicU64,
    holds: AtomicUsize,
    /// Calls that are neither waiting here nor with a connection.
    calls_apart: AtomicUsize,
    /// Those of them that wait for the time of their next attempt.
    between_attempts: Mutex<Wakers>,
    is_closed: AtomicBool,
    /// When the last of them ended, or a call that was with no connection at all.
    activity: Activity,
    limits: AttemptLimits,
    /// `None` if there are none, which is all that most calls need to know.
    stats: Option<StatsHandlers>,
}

/// What a call is sent by.
#[derive(Clone)]
struct Snapshot {
    picker: Arc<dyn Picker>,
    /// `None` until the name was resolved.
    configs: Option<CallConfigs>,
    throttling: Option<RetryThrottling>,
    bucket: Option<SharedBucket>,
    /// By [`SubchannelId::index`].
    connections: Vec<Option<(SubchannelId, Lane)>>,
}

/// How calls get to a subchannel.
#[derive(Clone)]
enum Lane {
    /// By its one connection.
    One(Arc<ConnectionHandle>),
    /// By one of several.
    Pool(Arc<StreamPool>),
}

impl Lane {
    fn send(&self, control: &Arc<Control>, mut call: PendingCall) -> Result<(), Unsent> {
        match self {
            Lane::One(connection) => {
                call.tell_picked();
                connection.open(call, || Some(Hold::for_call(Arc::clone(control)))).map_err(|mut call| {
                    call.was_not_sent();
                    Unsent::NoConnection(call)
                })
            }
            Lane::Pool(pool) => pool.start(call).map_err(|refusal| match refusal {
                Refusal::Crowded(call) => Unsent::NoStream(call, Arc::clone(pool)),
                Refusal::Lost(mut call) => {
                    call.was_not_sent();
                    Unsent::NoConnection(call)
                }
            }),
        }
    }
}

/// A call that has to wait.
enum Unsent {
    /// For another picker.
    NoConnection(PendingCall),
    /// For a stream of the subchannel that was picked.
    NoStream(PendingCall, Arc<StreamPool>),
}

impl Snapshot {
    fn lane(&self, id: SubchannelId) -> Option<&Lane> {
        match self.connections.get(id.index()) {
            Some(Some((other, lane))) if *other == id => Some(lane),
            _ => None,
        }
    }
}

struct Watch {
    state: ConnectivityState,
    wakers: Wakers,
}

impl Control {
    pub(super) fn new(
        home: LoopHandle,
        seed: u64,
        limits: AttemptLimits,
        stats: Option<StatsHandlers>,
    ) -> Self {
        Control {
            inbox: Inbox::new(home),
            snapshot: ArcSwap::from_pointee(Snapshot {
                picker: Arc::new(Always(Pick::Queue)),
                configs: None,
                throttling: None,
                bucket: None,
                connections: Vec::new(),
            }),
            watch: Mutex::new(Watch { state: ConnectivityState::Idle, wakers: Wakers::default() }),
            seeds: AtomicU64::new(seed),
            holds: AtomicUsize::new(0),
            calls_apart: AtomicUsize::new(0),
            between_attempts: Mutex::default(),
            is_closed: AtomicBool::new(false),
            activity: Activity::new(clock::now()),
            limits,
            stats,
        }
    }

    /// Who wants to know of calls and connections.
    pub(super) fn stats(&self) -> Option<&StatsHandlers> {
        self.stats.as_ref()
    }

    /// A copy of the snapshot, to put another in its place. The control plane alone does that, so nothing is lost in
    /// between.
    fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.snapshot.load())
    }

    /// The loop of the control plane.
    pub(super) fn home(&self) -> &LoopHandle {
        self.inbox.handle()
    }

    /// Sends a call where the picker says, or has it wait for the control plane.
    pub(super) fn start(self: &Arc<Self>, call: PendingCall) {
        match self.try_start(call) {
            Ok(()) => {}
            Err(Unsent::NoConnection(call) | Unsent::NoStream(call, _)) => self.take_back(call),
        }
    }

    /// Sends a call where the picker says. Gives it back if it has to wait.
    fn try_start(self: &Arc<Self>, mut call: PendingCall) -> Result<(), Unsent> {
        let snapshot = self.snapshot.load();
        if let Some(configs) = &snapshot.configs
            && !call.is_configured()
        {
            let policy = match call.configure(configs) {
                Ok(policy) => policy.filter(|_| self.limits.max_attempts > 1),
                Err(status) => {
                    self.activity.idle(clock::now());
                    call.fail(of_control_plane(status));
                    return Ok(());
                }
            };
            // A call without a policy counts where those are throttled that have one.
            if policy.is_some() || snapshot.bucket.is_some() {
                let bucket = snapshot.bucket.clone();
                AttemptedCall::start(self, call, policy, self.limits, bucket);
                return Ok(());
            }
        }
        if let Some(handlers) = &self.stats
            && snapshot.configs.is_some()
        {
            call.begin(handlers);
        }
        let route = match snapshot.picker.pick(&call.pick_info()) {
            Pick::Send(route) => route,
            Pick::Queue => {
                call.delay();
                return Err(Unsent::NoConnection(call));
            }
            Pick::Fail(_) if call.wait_for_ready => {
                call.delay();
                return Err(Unsent::NoConnection(call));
            }
            pick @ (Pick::Fail(_) | Pick::Drop(_)) => {
                self.activity.idle(clock::now());
                if matches!(pick, Pick::Drop(_)) {
                    call.receiver.handle_drop();
                }
                let (Pick::Fail(status) | Pick::Drop(status)) = pick else { return Ok(()) };
                call.fail(of_control_plane(status));
                return Ok(());
            }
        };
        if route.asks_to_connect() {
            self.tell(Input::Connect);
        }
        let id = route.subchannel();
        call.take_route(route);
        let Some(lane) = snapshot.lane(id) else {
            call.was_not_sent();
            return Err(Unsent::NoConnection(call));
        };
        match call.credentials {
            None => lane.send(self, call),
            Some(_) => {
                // They are not ours, and may lead back to here.
                let lane = lane.clone();
                drop(snapshot);
                lane.send(self, call)
            }
        }
    }

    /// A call needs another connection than the one it was given.
    pub(super) fn take_back(&self, mut call: PendingCall) {
        call.was_not_sent();
        if call.is_bound {
            return call.fail(Status::unavailable("the connection was lost"));
        }
        if let Err(Input::Call(call)) = self.inbox.send(Input::Call(call)) {
            call.fail(Status::cancelled("the channel is closed"));
        }
    }

    pub(super) fn connection_event(&self, id: ConnectionId, event: ConnectionEvent) {
        self.tell(Input::Connection(id, event));
    }

    /// Tells the control plane something that means nothing once the channel is closed.
    pub(super) fn tell(&self, input: Input) {
        let _ = self.inbox.send(input);
    }

    /// How much of a call's requests is kept to be sent again.
    pub(super) fn retry_buffer(&self, options: Option<&RareOptions>) -> usize {
        options.and_then(|rare| rare.retry_buffer_size).unwrap_or(self.limits.buffer)
    }

    pub(super) fn next_seed(&self) -> u64 {
        // The golden ratio's odd multiple: seeds differ in many bits.
        self.seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> ConnectivityState {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).state
    }

    /// Keeps the waker of a call that waits for the time of its next attempt: it is woken when the channel is closed,
    /// at once if it is already.
    pub(super) fn await_close(&self, place: &mut Place, waker: &Waker) {
        self.waits().keep(place, waker);
        if self.is_closed() {
            waker.wake_by_ref();
        }
    }

    /// The call that had this place waits no more.
    pub(super) fn leave_close(&self, place: Place) {
        if place.is_some() {
            self.waits().leave(place);
        }
    }

    /// Whether the channel was closed, other than by the drop of its last clone.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    fn set_closed(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let wakers = self.waits().take();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn waits(&self) -> MutexGuard<'_, Wakers> {
        self.between_attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state if it is another than `known`; otherwise the waker is kept until it changes or the place is
    /// [left](Control::leave_state).
    pub(super) fn poll_state(
        &self,
        known: ConnectivityState,
        place: &mut Place,
        waker: &Waker,
    ) -> Option<ConnectivityState> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.state != known {
            return Some(watch.state);
        }
        watch.wakers.keep(place, waker);
        None
    }

    /// Nobody waits for the state at this place any more.
    pub(super) fn leave_state(&self, place: Place) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).wakers.leave(place);
    }

    fn set_state(&self, state: ConnectivityState) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.state != state {
            watch.state = state;
            let wakers = watch.wakers.take();
            drop(watch);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// A status that a picker or a call config gave. Those that say something of the call itself would be taken for the
/// server's answer (gRFC A54).
fn of_control_plane(status: Status) -> Status {
    match status.code() {
        code if code.is_for_servers() => Status::internal(format!(
            "the control plane gave a code that only servers may give, {}: {}",
            code.name(),
            status.message()
        )),
        _ => status,
    }
}
