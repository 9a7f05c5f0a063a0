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
#[derive(Clone, Debug)]
pub enum Pick {
    /// To a subchannel. If its connection has gone in the meantime, the call waits for the next picker.
    Send(Route),
    /// Nowhere yet: the call waits for the next picker.
    Queue,
    /// Nowhere: the call fails with this status, except that one which waits for ready waits for the next picker.
    Fail(Status),
    /// Nowhere, by decision: the call ends with this status even if it waits for ready.
    Drop(Status),
}

impl Pick {
    /// To this subchannel, and nothing besides.
    pub fn to(subchannel: SubchannelId) -> Pick {
        Pick::Send(Route { subchannel, observer: None, additions: None, asks_to_connect: false })
    }

    /// The subchannel, if there is one.
    pub fn subchannel(&self) -> Option<SubchannelId> {
        match self {
            Pick::Send(route) => Some(route.subchannel),
            Pick::Queue | Pick::Fail(_) | Pick::Drop(_) => None,
        }
    }

    /// The same pick, with this observer added to the one it may have: if the call is sent, it is told how that ended.
    /// This is for the picker of a balancer that has children, too: what its child picked is observed by both.
    pub fn observed_by(mut self, observer: Arc<dyn CallObserver>) -> Pick {
        if let Pick::Send(route) = &mut self {
            route.observer = Some(match route.observer.take() {
                Some(first) => Arc::new(observer::Both(first, observer)),
                None => observer,
            });
        }
        self
    }

    /// The same pick, and the call has this metadata besides its own. A call that is picked for again, or attempted
    /// again, has that of the last pick.
    pub fn with_metadata(mut self, metadata: &Metadata) -> Pick {
        if let Pick::Send(route) = &mut self {
            route.additions.get_or_insert_default().metadata.merge(metadata);
        }
        self
    }

    /// The same pick, and the call has this `:authority` in place of its channel's and of one that the pick has already
    /// (gRFC A81). One that the call has chosen itself comes first. Over TLS the certificate of the server must be for
    /// the authority, or the call fails; without transport security nobody checks it, so that it should be taken only
    /// from a source that is trusted to say who the server is.
    pub fn with_authority(mut self, authority: impl Into<Arc<str>>) -> Pick {
        if let Pick::Send(route) = &mut self {
            route.additions.get_or_insert_default().authority = Some(authority.into());
        }
        self
    }

    /// The same pick, and the balancer's [`exit_idle`](super::balancer::Balancer::exit_idle) is called although the
    /// call does not wait: for a picker that has marked a backend to be connected beside the one it picked. To ask with
    /// every call would have every call reach the control plane: ask once for each mark.
    pub fn asking_to_connect(mut self) -> Pick {
        if let Pick::Send(route) = &mut self {
            route.asks_to_connect = true;
        }
        self
    }
}

/// The way to a subchannel.
#[derive(Clone)]
pub struct Route {
    subchannel: SubchannelId,
    observer: Option<Arc<dyn CallObserver>>,
    /// Boxed, as few picks have any.
    additions: Option<Box<Additions>>,
    asks_to_connect: bool,
}

/// What a pick adds to the head of its call.
#[derive(Clone, Debug, Default)]
pub(super) struct Additions {
    pub(super) metadata: Metadata,
    pub(super) authority: Option<Arc<str>>,
}

impl Route {
    /// Where it leads.
    pub fn subchannel(&self) -> SubchannelId {
        self.subchannel
    }

    /// Who is to be told how the call ended.
    pub fn observer(&self) -> Option<&Arc<dyn CallObserver>> {
        self.observer.as_ref()
    }

    /// The metadata that the call has besides its own.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.additions.as_ref().map(|additions| &additions.metadata)
    }

    /// The `:authority` that the call has in place of its channel's.
    pub fn authority(&self) -> Option<&str> {
        self.additions.as_ref()?.authority.as_deref()
    }

    /// Whether the balancer is to connect what the picker has marked.
    pub fn asks_to_connect(&self) -> bool {
        self.asks_to_connect
    }

    /// The observer and the additions.
    pub(super) fn into_parts(self) -> (Option<Arc<dyn CallObserver>>, Option<Box<Additions>>) {
        (self.observer, self.additions)
    }
}

impl Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.subchannel).finish()
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
