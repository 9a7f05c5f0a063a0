//! [`Health`]: the standard health service, `grpc.health.v1.Health`.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::call::{Outbound, Request, Response};
use crate::rpc::health_check::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};
use crate::rpc::{Prost, Status};
use crate::server::{Handler, Service};

/// Services that `List` tells of (gRFC A90); with more of them it fails.
const MAX_LISTED: usize = 100;

/// Tells clients how the services of a server are: `Check` once, `Watch` now and at each change, `List` of all.
/// Channels ask it if their service config says so (gRFC A17), and so do probes.
///
/// Clones share what they know: add one to the server, and keep one to say what changes. The empty name stands for the
/// server as a whole, which serves from the beginning. Of services that nobody spoke of, `Check` says NOT_FOUND and
/// `Watch` SERVICE_UNKNOWN.
///
/// ```
/// use lariat::Server;
/// use lariat::services::{Health, ServingStatus};
///
/// let health = Health::new();
/// let builder = Server::builder().add_service(health.clone());
/// health.set("helloworld.Greeter", ServingStatus::Serving);
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    statuses: BTreeMap<String, ServingStatus>,
    is_shut_down: bool,
    /// Those who wait for a change of a service.
    watchers: HashMap<u64, Watcher>,
    next_watcher: u64,
}

#[derive(Debug)]
struct Watcher {
    service: String,
    waker: Waker,
}

impl Default for Health {
    fn default() -> Self {
        Health::new()
    }
}

impl Health {
    /// A server that serves as a whole, of whose services nothing is known.
    pub fn new() -> Self {
        let statuses = BTreeMap::from([(String::new(), ServingStatus::Serving)]);
        Health { state: Arc::new(Mutex::new(State { statuses, ..State::default() })) }
    }

    /// Says how a service is. After [`shut_down`](Self::shut_down) it has no effect until [`resume`](Self::resume).
    pub fn set(&self, service: impl Into<String>, status: ServingStatus) {
        let mut state = self.lock();
        if !state.is_shut_down {
            let service = service.into();
            state.statuses.insert(service.clone(), status);
            wake(state, |other| other == service);
        }
    }

    /// How a service is, if somebody has said.
    pub fn get(&self, service: &str) -> Option<ServingStatus> {
        self.lock().statuses.get(service).copied()
    }

    /// Says that no service takes calls any more, so that clients go elsewhere before the server stops.
    pub fn shut_down(&self) {
        self.set_all(ServingStatus::NotServing, true);
    }

    /// Says that all services take calls again.
    pub fn resume(&self) {
        self.set_all(ServingStatus::Serving, false);
    }

    fn set_all(&self, status: ServingStatus, is_shut_down: bool) {
        let mut state = self.lock();
        state.is_shut_down = is_shut_down;
        state.statuses.values_mut().for_each(|each| *each = status);
        wake(state, |_| true);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, service: &str) -> Result<Response<HealthCheckResponse>, Status> {
        let unknown = || Status::not_found(format!("nothing is known of the health of {service:?}"));
        Ok(Response::new(response(self.get(service).ok_or_else(unknown)?)))
    }

    fn list(&self) -> Result<Response<HealthListResponse>, Status> {
        let state = self.lock();
        let count = state.statuses.len();
        if count > MAX_LISTED {
            let why =
                format!("the server has {count} services, more than the {MAX_LISTED} that can be listed");
            return Err(Status::resource_exhausted(why));
        }
        let statuses = state.statuses.iter().map(|(name, status)| (name.clone(), response(*status)));
        Ok(Response::new(HealthListResponse { statuses: statuses.collect() }))
    }

    async fn watch(self, service: String, outbound: Outbound<HealthCheckResponse>) -> Result<(), Status> {
        let watch = Watch::new(self, service);
        let mut told = None;
        loop {
            let status = poll_fn(|cx| watch.poll_change(told, cx)).await;
            outbound.send(response(status)).await?;
            told = Some(status);
        }
    }
}

impl Service for Health {
    fn name(&self) -> &str {
        "grpc.health.v1.Health"
    }

    fn methods(&self) -> Vec<Handler> {
        let [check, list, watch] = [(); 3].map(|()| self.clone());
        vec![
            Handler::unary::<Prost, _, _, _, _>("Check", move |request: Request<HealthCheckRequest>| {
                std::future::ready(check.check(&request.message().service))
            }),
            Handler::unary::<Prost, _, _, _, _>("List", move |_: Request<HealthListRequest>| {
                std::future::ready(list.list())
            }),
            Handler::server_streaming::<Prost, _, _, _, _>(
                "Watch",
                move |request: Request<HealthCheckRequest>, outbound| {
                    watch.clone().watch(request.into_message().service, outbound)
                },
            ),
        ]
    }
}

/// One call of `Watch`, which is forgotten when it ends.
struct Watch {
    health: Health,
    id: u64,
    service: String,
}

impl Watch {
    fn new(health: Health, service: String) -> Self {
        let mut state = health.lock();
        let id = state.next_watcher;
        state.next_watcher += 1;
        drop(state);
        Watch { health, id, service }
    }

    /// Ready with the status of the service when it is another than the one that was told.
    fn poll_change(&self, told: Option<ServingStatus>, cx: &Context<'_>) -> Poll<ServingStatus> {
        let mut state = self.health.lock();
        let status = state.statuses.get(&self.service).copied().unwrap_or(ServingStatus::ServiceUnknown);
        if told != Some(status) {
            return Poll::Ready(status);
        }
        state
            .watchers
            .entry(self.id)
            .and_modify(|watcher| watcher.waker.clone_from(cx.waker()))
            .or_insert_with(|| Watcher { service: self.service.clone(), waker: cx.waker().clone() });
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.health.lock().watchers.remove(&self.id);
    }
}

/// Wakes those who watch such services, when the lock is free again.
fn wake(state: MutexGuard<'_, State>, concerns: impl Fn(&str) -> bool) {
    let watchers = state.watchers.values().filter(|watcher| concerns(&watcher.service));
    let wakers: Vec<Waker> = watchers.map(|watcher| watcher.waker.clone()).collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
