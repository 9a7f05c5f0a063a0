//! The picker: a balancer's decision as a snapshot, asked for each call on whatever thread the call starts.

use super::subchannel::SubchannelId;
use crate::rpc::{Metadata, Status};
use std::fmt::Debug;

/// What a picker may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickInfo<'a> {
    /// The full method, `/package.Service/Method`.
    pub path: &'a str,
    /// The metadata the call was given.
    pub metadata: &'a Metadata,
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub enum Pick {
    /// To this subchannel. If its connection has gone in the meantime, the call waits for the next picker.
    Subchannel(SubchannelId),
    /// Nowhere yet: the call waits for the next picker.
    Queue,
    /// Nowhere: the call fails with this status, except that one which waits for ready waits for the next picker.
    Fail(Status),
    /// Nowhere, by decision: the call ends with this status even if it waits for ready.
    Drop(Status),
}

/// Picks a subchannel for each call. It is shared by all threads that make calls and must answer at once: no waiting,
/// no lock that is held for long.
pub trait Picker: Send + Sync + Debug {
    /// Where this call goes.
    fn pick(&self, info: &PickInfo<'_>) -> Pick;
}

/// The picker that gives every call the same answer.
#[derive(Clone, Debug)]
pub struct Always(
    /// The answer.
    pub Pick,
);

impl Picker for Always {
    fn pick(&self, _: &PickInfo<'_>) -> Pick {
        self.0.clone()
    }
}
