//! The messages of `grpc.health.v1.Health`, which servers serve and channels ask.

use std::collections::HashMap;

use prost::{Enumeration, Message};

/// `HealthCheckResponse.ServingStatus`: whether a service takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Nobody has said.
    Unknown = 0,
    /// It takes calls.
    Serving = 1,
    /// It takes none at present.
    NotServing = 2,
    /// The server has no such service; told to watchers alone.
    ServiceUnknown = 3,
}

impl ServingStatus {
    /// The name in the proto file, such as `NOT_SERVING`.
    pub fn name(self) -> &'static str {
        match self {
            ServingStatus::Unknown => "UNKNOWN",
            ServingStatus::Serving => "SERVING",
            ServingStatus::NotServing => "NOT_SERVING",
            ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckRequest {
    /// The full name of a service; the empty one stands for the server as a whole.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HealthCheckResponse {
    /// How the service is.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// `HealthListRequest` (gRFC A90).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HealthListRequest {}

/// `HealthListResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct HealthListResponse {
    /// The services of which something is known, by their names.
    #[prost(map = "string, message", tag = "1")]
    pub statuses: HashMap<String, HealthCheckResponse>,
}
