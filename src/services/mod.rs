//! Services that a server may have beside the user's own: what others ask it about itself.

mod health;
mod load;

pub use health::Health;
pub use load::{LoadRecorder, LoadReports, LoadTrailers};

pub use crate::rpc::{LoadReport, health_check::ServingStatus};
