//! Statistics: what becomes of calls and their attempts, told as it happens.
//!
//! A [`StatsHandler`] is asked at the beginning of each call of a server, and of each attempt of a call of a channel,
//! and gives what will be told of it: a [`CallStats`] of its own. [`ChannelBuilder::stats_handler`] and
//! [`ServerBuilder::stats_handler`] take any number of them. Without one, calls pay for a look at an empty option.
//!
//! It is called on the loops, between their work, and must not block.
//!
//! ```
//! use lariat::stats::{Begin, CallEvent, CallStats, StatsHandler};
//! use std::time::Instant;
//!
//! /// Prints how long attempts take, and how they end.
//! struct Timing;
//!
//! struct Attempt {
//!     path: String,
//!     number: u32,
//!     begun: Instant,
//! }
//!
//! impl StatsHandler for Timing {
//!     fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
//!         let (path, number) = (begin.path.to_owned(), begin.previous_attempts + 1);
//!         Some(Box::new(Attempt { path, number, begun: Instant::now() }))
//!     }
//! }
//!
//! impl CallStats for Attempt {
//!     fn handle(&mut self, event: &CallEvent<'_>) {
//!         if let CallEvent::End { status } = event {
//!             println!("{}, attempt {}: {:?} after {:?}", self.path, self.number, status, self.begun.elapsed());
//!         }
//!     }
//! }
//! ```
//!
//! [`ChannelBuilder::stats_handler`]: crate::client::ChannelBuilder::stats_handler
//! [`ServerBuilder::stats_handler`]: crate::server::ServerBuilder::stats_handler

use std::fmt;
use std::sync::Arc;

use super::MethodKind;
use crate::rpc::{Metadata, Status};

/// Wants to know of calls.
pub trait StatsHandler: Send + Sync + 'static {
    /// A call begins; on a client, an attempt of one. What is returned is told all that follows, and dropped at the
    /// end. With `None` nothing of this one is told.
    fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>>;
}

/// Is told what becomes of one call, or of one attempt.
pub trait CallStats: Send {
    /// Something has happened.
    fn handle(&mut self, event: &CallEvent<'_>);
}

/// What is known when a call or an attempt begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Begin<'a> {
    /// The full method, `/package.Service/Method`.
    pub path: &'a str,
    /// Which sides of the method are streams.
    pub kind: MethodKind,
    /// On a client: how many attempts by a retry or hedging policy there were before.
    pub previous_attempts: u32,
    /// On a client: the same attempt once more, since no server had processed it.
    pub is_transparent_retry: bool,
}

/// What happens in the life of a call or an attempt, in this order where it happens at all.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CallEvent<'a> {
    /// On a client: there was no connection for the attempt at first, and now there is.
    DelayedPickComplete,
    /// The head of the request (on a client) or response (on a server) was sent, with this metadata.
    OutHeader {
        /// What was sent beside the fields of the protocol.
        metadata: &'a Metadata,
    },
    /// The head of the response (on a client) or request (on a server) arrived, with this metadata.
    InHeader {
        /// What arrived beside the fields of the protocol.
        metadata: &'a Metadata,
    },
    /// A message was sent.
    OutPayload {
        /// Its octets without the five in front of each message: on a client as they travel, on a server as they are
        /// without compression.
        octets: usize,
    },
    /// A message arrived.
    InPayload {
        /// Its octets without the five in front of each message: on a client as they travel, on a server as they are
        /// without compression.
        octets: usize,
    },
    /// On a server: the trailers were sent.
    OutTrailer,
    /// On a client: the trailers arrived, or a response that is nothing else.
    InTrailer {
        /// What arrived beside the fields of the protocol.
        metadata: &'a Metadata,
    },
    /// It is over. Nothing follows.
    End {
        /// How it ended.
        status: Result<(), &'a Status>,
    },
}

impl<'a> Begin<'a> {
    pub(crate) fn new(path: &'a str, kind: MethodKind) -> Self {
        Begin { path, kind, previous_attempts: 0, is_transparent_retry: false }
    }
}

/// The handlers of a channel or a server.
#[derive(Clone, Default)]
pub(crate) struct StatsHandlers(Vec<Arc<dyn StatsHandler>>);

impl StatsHandlers {
    pub(crate) fn push(&mut self, handler: impl StatsHandler) {
        self.0.push(Arc::new(handler));
    }

    /// Asks each of them.
    pub(crate) fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        let mut all = self.0.iter().filter_map(|handler| handler.begin(begin));
        let first = all.next()?;
        let rest: Vec<_> = all.collect();
        match rest.is_empty() {
            true => Some(first),
            false => Some(Box::new(Several(std::iter::once(first).chain(rest).collect()))),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for StatsHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatsHandlers({})", self.0.len())
    }
}

/// What several handlers gave for one call.
struct Several(Vec<Box<dyn CallStats>>);

impl CallStats for Several {
    fn handle(&mut self, event: &CallEvent<'_>) {
        self.0.iter_mut().for_each(|stats| stats.handle(event));
    }
}
