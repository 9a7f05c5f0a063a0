//! `LoadReport`: what a backend says of its load (ORCA, `xds/data/orca/v3/orca_load_report.proto`; gRFCs A51, A64).

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;

use super::metadata::Metadata;

/// The trailer that carries a report with a call.
const TRAILER: &str = "endpoint-load-metrics-bin";

/// A backend's load at one time: `xds.data.orca.v3.OrcaLoadReport`.
#[derive(Clone, PartialEq, Message)]
pub struct LoadReport {
    /// The share of the CPU in use: 1.0 is all of it, and there may be more by the backend's own measure.
    #[prost(double, tag = "1")]
    pub cpu_utilization: f64,
    /// The share of the memory in use, from 0.0 to 1.0.
    #[prost(double, tag = "2")]
    pub mem_utilization: f64,
    /// What the call cost, by the application's own names.
    #[prost(map = "string, double", tag = "4")]
    pub request_cost: HashMap<String, f64>,
    /// The shares in use of other resources, each from 0.0 to 1.0, by the application's own names.
    #[prost(map = "string, double", tag = "5")]
    pub utilization: HashMap<String, f64>,
    /// Calls a second.
    #[prost(double, tag = "6")]
    pub rps_fractional: f64,
    /// Failed calls a second.
    #[prost(double, tag = "7")]
    pub eps: f64,
    /// Other measures, by the application's own names.
    #[prost(map = "string, double", tag = "8")]
    pub named_metrics: HashMap<String, f64>,
    /// The share in use of what limits the application, by its own measure.
    #[prost(double, tag = "9")]
    pub application_utilization: f64,
}

impl LoadReport {
    /// The report in a call's trailers, if there is one that can be read.
    pub fn of_trailers(trailers: &Metadata) -> Option<LoadReport> {
        LoadReport::decode(&*trailers.get_bin(TRAILER)?).ok()
    }
    /// Puts the report into a call's trailers, in place of one that is there.
    pub fn add_to_trailers(&self, trailers: &mut Metadata) {
        // The key is a valid one for octets, so that nothing can be wrong with it.
        let _ = trailers.insert_bin(TRAILER, &self.encode_to_vec());
    }
}

/// A wish for reports: `xds.service.orca.v3.OrcaLoadReportRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct LoadReportRequest {
    #[prost(message, optional, tag = "1")]
    report_interval: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl LoadReportRequest {
    /// Asks for a report this often.
    pub fn new(interval: Duration) -> Self {
        let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
        let report_interval = Some(ProtoDuration { seconds, nanos: interval.subsec_nanos() as i32 });
        LoadReportRequest { report_interval }
    }

    /// How often a report is asked for, unless that is left to the server. Negative times count as none.
    pub fn interval(&self) -> Option<Duration> {
        let wish = self.report_interval.as_ref()?;
        let nanos = u32::try_from(wish.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Duration::new(u64::try_from(wish.seconds).ok()?, nanos))
    }
}
