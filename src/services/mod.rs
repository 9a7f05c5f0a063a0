//! Services that a server may have beside the user's own: what others ask it about itself.

mod health;
mod load;

pub use health::Health;
pub use load::{LoadRecorder, LoadReports, LoadTrailers};

pub use crate::rpc::health_check::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};
pub use crate::rpc::load_report::{LoadReport, LoadReportRequest};
