//! The picker: a balancer's decision as a snapshot, asked for each call on whatever thread the call starts.

mod observer;
mod shared;

pub use observer::{CallEnd, CallObserver};
pub use shared::{Dice, Flag, Gauge, InFlight, Rotation, Tally};

use super::attributes::Attributes;
use super::subchannel::SubchannelId;
use crate::rpc::{Metadata, Status};
use std::fmt::{self, Debug};
use std::sync::Arc;

/// What a picker may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickInfo<'a> {
    /// The full method, `/package.Service/Method`.
    pub path: &'a str,
    /// The metadata the call was given.
    pub metadata: &'a Metadata,
    /// What the resolution's call config said of the call, for pickers that know the types.
    pub attributes: &'a Attributes,
    /// The hash that stands for the call where calls of a kind are to meet the same backend, if the resolution's call
    /// config made one.
    pub request_hash: Option<u64>,
}

impl<'a> PickInfo<'a> {
    /// A call of this method with this metadata, and nothing else to know of it.
    pub fn new(path: &'a str, metadata: &'a Metadata) -> Self {
        const NONE: &Attributes = &Attributes::NONE;
        PickInfo { path, metadata, attributes: NONE, request_hash: None }
    }
}

/// Where a call goes.
#[derive(Clone)]
pub enum Pick {
    /// To this subchannel. If its connection has gone in the meantime, the call waits for the next picker.
    Subchannel(SubchannelId),
    /// To this subchannel; and this is told how the call ended.
    Observed(SubchannelId, Arc<dyn CallObserver>),
    /// Nowhere yet: the call waits for the next picker.
    Queue,
    /// Nowhere: the call fails with this status, except that one which waits for ready waits for the next picker.
    Fail(Status),
    /// Nowhere, by decision: the call ends with this status even if it waits for ready.
    Drop(Status),
}

impl Pick {
    /// The subchannel, if there is one.
    pub fn subchannel(&self) -> Option<SubchannelId> {
        match self {
            Pick::Subchannel(id) | Pick::Observed(id, _) => Some(*id),
            Pick::Queue | Pick::Fail(_) | Pick::Drop(_) => None,
        }
    }

    /// The same pick, with this observer added to the one it may have. This is for the picker of a balancer that has
    /// children: what its child picked is observed by both.
    pub fn observed_by(self, observer: Arc<dyn CallObserver>) -> Pick {
        match self {
            Pick::Subchannel(id) => Pick::Observed(id, observer),
            Pick::Observed(id, first) => Pick::Observed(id, Arc::new(observer::Both(first, observer))),
            other => other,
        }
    }
}

impl Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::Subchannel(id) | Pick::Observed(id, _) => write!(f, "{id:?}"),
            Pick::Queue => f.write_str("Queue"),
            Pick::Fail(status) => f.debug_tuple("Fail").field(status).finish(),
            Pick::Drop(status) => f.debug_tuple("Drop").field(status).finish(),
        }
    }
}

/// Picks a subchannel for each call. It is shared by all threads that make calls and must answer at once: no waiting,
/// no lock that is held for long. What pickers share and change is best one of [`Rotation`], [`Dice`], [`InFlight`],
/// [`Tally`], [`Gauge`] and [`Flag`].
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
