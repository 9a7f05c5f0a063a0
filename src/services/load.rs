//! Load reports of a server (ORCA): out of band by [`LoadReports`] (gRFC A51), and with calls by [`LoadTrailers`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::call::interceptor::{EncodedMessage, Interceptor, Messages, Next};
use crate::call::{Outbound, Request, Response};
use crate::engine::sleep;
use crate::rpc::load_report::{LoadReport, LoadReportRequest};
use crate::rpc::{Metadata, Prost, Status};
use crate::server::{Handler, Service};

/// The shortest time between two reports on a stream, unless the server says otherwise (as in grpc-go).
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// What a server knows of its load. Clones share it: keep one to say what changes.
///
/// ```
/// use lariat::Server;
/// use lariat::services::{LoadRecorder, LoadReports, LoadTrailers};
///
/// let load = LoadRecorder::new();
/// let builder = Server::builder()
///     .interceptor(LoadTrailers::new(&load))
///     .add_service(LoadReports::new(&load));
/// load.update(|report| {
///     report.rps_fractional = 120.0;
///     report.application_utilization = 0.4;
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct LoadRecorder(Arc<Mutex<LoadReport>>);

impl LoadRecorder {
    /// Nothing is known yet.
    pub fn new() -> Self {
        LoadRecorder::default()
    }

    /// Changes what is known.
    pub fn update(&self, change: impl FnOnce(&mut LoadReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is known now.
    pub fn report(&self) -> LoadReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `xds.service.orca.v3.OpenRcaService`: streams of reports beside calls.
#[derive(Clone, Debug)]
pub struct LoadReports {
    recorder: LoadRecorder,
    min_interval: Duration,
}

impl LoadReports {
    /// Reports what this recorder knows.
    pub fn new(recorder: &LoadRecorder) -> Self {
        LoadReports { recorder: recorder.clone(), min_interval: MIN_INTERVAL }
    }

    /// The shortest time between two reports on a stream, however short a client asks for; at least a millisecond.
    /// Default: 30 s.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval.max(Duration::from_millis(1));
        self
    }

    async fn stream(self, request: LoadReportRequest, outbound: Outbound<LoadReport>) -> Result<(), Status> {
        let interval = request.interval().unwrap_or_default().max(self.min_interval);
        loop {
            outbound.send(self.recorder.report()).await?;
            sleep(interval).await;
        }
    }
}

impl Service for LoadReports {
    fn name(&self) -> &str {
        "xds.service.orca.v3.OpenRcaService"
    }

    fn methods(&self) -> Vec<Handler> {
        let this = self.clone();
        vec![Handler::server_streaming::<Prost, _, _, _, _>(
            "StreamCoreMetrics",
            move |request: Request<LoadReportRequest>, outbound| {
                this.clone().stream(request.into_message(), outbound)
            },
        )]
    }
}

/// Has every call that ends in its handler carry a report in its trailers, for balancers that weigh backends by it.
/// Where the handler has set one itself, that one stays.
#[derive(Clone, Debug)]
pub struct LoadTrailers(LoadRecorder);

impl LoadTrailers {
    /// Reports what this recorder knows when a call ends.
    pub fn new(recorder: &LoadRecorder) -> Self {
        LoadTrailers(recorder.clone())
    }

    fn add(&self, trailers: &mut Metadata) {
        if LoadReport::of_trailers(trailers).is_none() {
            self.0.report().add_to_trailers(trailers);
        }
    }

    fn add_to_status(&self, mut status: Status) -> Status {
        self.add(status.metadata_mut());
        status
    }
}

impl Interceptor for LoadTrailers {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let mut response = next.unary(request).await.map_err(|status| self.add_to_status(status))?;
        self.add(response.trailers_mut());
        Ok(response)
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        let ended = next.stream(request, messages).await;
        let mut trailers = ended.map_err(|status| self.add_to_status(status))?;
        self.add(&mut trailers);
        Ok(trailers)
    }
}
