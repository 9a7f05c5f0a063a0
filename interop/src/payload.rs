//! The payloads of the test service: so many zeros.

use lariat::Status;

use crate::testing::Payload;

/// The largest payload that is made on request: messages have a limit of 4 MiB by default.
const MAX_SIZE: i32 = 64 << 20;

/// A payload of this size.
///
/// # Errors
///
/// INVALID_ARGUMENT for a size that is negative or beyond reason.
pub fn of_size(size: i32) -> Result<Payload, Status> {
    match usize::try_from(size) {
        Ok(octets) if size <= MAX_SIZE => Ok(Payload { r#type: 0, body: vec![0; octets] }),
        _ => Err(Status::invalid_argument(format!("a payload of {size} octets was asked for"))),
    }
}

/// The size of a payload that may be absent.
pub fn size(payload: Option<&Payload>) -> usize {
    payload.map_or(0, |payload| payload.body.len())
}
