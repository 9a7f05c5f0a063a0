//! The streams by which a channel watches its backends: `grpc.health.v1.Health/Watch` and
//! `xds.service.orca.v3.OpenRcaService/StreamCoreMetrics`, each on one certain connection.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::control::{Control, Input};
use super::method::Method;
use super::pending::{Body, Call, PendingCall};
use super::subchannel::{ConnectionId, WatchEvent};
use crate::call::{Carrier, Receiver, SharedCallCredentials};
use crate::rpc::health_check::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use crate::rpc::load_report::LoadReportRequest;
use crate::rpc::{
    Cardinality, Code, Codec, DEFAULT_MAX_RECEIVE_SIZE, LoadReport, Metadata, Payload, Prost, Status,
    frame_message,
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WatchKind {
    Health,
    Load,
}

/// The methods that are called for it, and what shows servers who calls.
#[derive(Debug)]
pub(super) struct WatchMethods {
    pub(super) health: Method,
    pub(super) load: Method,
    pub(super) credentials: Option<SharedCallCredentials>,
}

/// How a status that is not SERVING is called.
fn status_name(status: i32) -> String {
    match ServingStatus::try_from(status) {
        Ok(known) => known.name().to_owned(),
        Err(_) => format!("the unknown status {status}"),
    }
}

/// The receiving end of a stream: tells the control plane what comes.
pub(super) struct WatchStream {
    control: Weak<Control>,
    connection: ConnectionId,
    kind: WatchKind,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    carrier: Option<Carrier>,
    consumed: usize,
    abandoned: bool,
}

impl WatchStream {
    /// Watches the health of a service.
    pub(super) fn health(
        control: &Arc<Control>,
        methods: &WatchMethods,
        connection: ConnectionId,
        service: &str,
    ) -> (Arc<Call<WatchStream>>, PendingCall) {
        let request = HealthCheckRequest { service: service.to_owned() };
        Self::open(control, WatchKind::Health, methods, connection, request)
    }

    /// Watches the load, with a report this often.
    pub(super) fn load(
        control: &Arc<Control>,
        methods: &WatchMethods,
        connection: ConnectionId,
        interval: Duration,
    ) -> (Arc<Call<WatchStream>>, PendingCall) {
        let request = LoadReportRequest::new(interval);
        Self::open(control, WatchKind::Load, methods, connection, request)
    }

    fn open<M: Message + Default>(
        control: &Arc<Control>,
        kind: WatchKind,
        methods: &WatchMethods,
        connection: ConnectionId,
        request: M,
    ) -> (Arc<Call<WatchStream>>, PendingCall) {
        let method = match kind {
            WatchKind::Health => &methods.health,
            WatchKind::Load => &methods.load,
        };
        let call = Arc::new(Call {
            method: method.clone(),
            subtype: <Prost as Codec<M>>::SUBTYPE,
            metadata: Metadata::new(),
            deadline: None,
            wait_for_ready: None,
            max_receive_message_size: Some(DEFAULT_MAX_RECEIVE_SIZE),
            responses: Cardinality::Many,
            credentials: methods.credentials.clone(),
            encoding: None,
            rare: None,
            body: Body::Message(framed(&request), request.encoded_len()),
            receiver: WatchStream {
                control: Arc::downgrade(control),
                connection,
                kind,
                state: Mutex::default(),
            },
        });
        let pending = PendingCall::bound(call.clone());
        (call, pending)
    }

    /// Ends the stream. Nothing is told of it any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let carrier = state.carrier.take();
        drop(state);
        if let Some(carrier) = carrier {
            carrier.notify();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: WatchEvent) {
        if !self.lock().abandoned
            && let Some(control) = self.control.upgrade()
        {
            control.tell(Input::Watched(self.connection, event));
        }
    }
}

fn framed<M: Message + Default>(message: &M) -> Bytes {
    let mut octets = Vec::new();
    // It is a few octets long, far below any limit.
    let _ = frame_message::<Prost, M>(message, usize::MAX, &mut octets);
    octets.into()
}

impl Receiver for WatchStream {
    fn attach(&self, carrier: Carrier) -> bool {
        let mut state = self.lock();
        if !state.abandoned {
            state.carrier = Some(carrier);
        }
        !state.abandoned
    }

    fn handle_headers(&self, _: Metadata) {}

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        let event = match self.kind {
            WatchKind::Health => {
                let response: HealthCheckResponse = <Prost as Codec<_>>::decode(payload)?;
                match response.status() {
                    ServingStatus::Serving => WatchEvent::Healthy,
                    _ => WatchEvent::Unhealthy(status_name(response.status)),
                }
            }
            WatchKind::Load => {
                let report: LoadReport = <Prost as Codec<_>>::decode(payload)?;
                WatchEvent::Load(Arc::new(report))
            }
        };
        self.tell(event);
        let mut state = self.lock();
        state.consumed += octets;
        let carrier = state.carrier.clone();
        drop(state);
        if let Some(carrier) = carrier {
            carrier.notify();
        }
        Ok(())
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        self.lock().carrier = None;
        let status = match result {
            Ok(_) => Status::unavailable("the server ended the stream"),
            Err(status) => status,
        };
        self.tell(match self.kind {
            WatchKind::Health => WatchEvent::HealthEnded(status),
            WatchKind::Load => {
                WatchEvent::LoadEnded { is_unimplemented: status.code() == Code::Unimplemented }
            }
        });
    }

    fn cancel(&self, _: Status) {
        self.abandon();
    }

    fn take_consumed(&self) -> usize {
        std::mem::take(&mut self.lock().consumed)
    }

    fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream").field("connection", &self.connection).field("kind", &self.kind).finish()
    }
}
