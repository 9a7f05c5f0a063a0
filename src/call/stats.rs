//! Statistics: what becomes of calls, their attempts and their connections, told as it happens.
//!
//! A [`StatsHandler`] is asked at the beginning of each call of a server, and of each attempt of a call of a channel,
//! and gives what will be told of it: a [`CallStats`] of its own. It may ask to be told of connections, too.
//! [`ChannelBuilder::stats_handler`] and [`ServerBuilder::stats_handler`] take any number of handlers; one type serves
//! both sides. Without any, calls pay for a look at an empty option.
//!
//! It is called on the loops, between their work, or on the thread that makes a call, and must neither block nor panic:
//! a panic costs the connection or the channel on which it happens.
//!
//! # What is told, and when
//!
//! | on a client | on a server |
//! |---|---|
//! | [`begin`](StatsHandler::begin), when the call has its config and looks for a connection; once for each attempt | `begin`, when the head of a request is there, and is one of a gRPC call |
//! | [`DelayedPickComplete`](CallEvent::DelayedPickComplete), if it had to wait for the connection | [`InHeader`](CallEvent::InHeader) |
//! | [`OutHeader`](CallEvent::OutHeader) | [`InPayload`](CallEvent::InPayload), message by message |
//! | [`OutPayload`](CallEvent::OutPayload), message by message | [`OutHeader`](CallEvent::OutHeader), if the response has one |
//! | [`InHeader`](CallEvent::InHeader), if the response has one | [`OutPayload`](CallEvent::OutPayload), message by message |
//! | [`InPayload`](CallEvent::InPayload), message by message | [`OutTrailer`](CallEvent::OutTrailer), unless the call was cancelled |
//! | [`InTrailer`](CallEvent::InTrailer), if the server sent them | [`End`](CallEvent::End) |
//! | [`End`](CallEvent::End) | |
//!
//! Stats stand outside of interceptors: those of a server see what the wire brought before an interceptor changes it;
//! a channel's see what its interceptors and call credentials have made of the call. A server's see calls that never
//! reach a handler, too: to methods that it does not have, in an encoding that it does not know, with a message over
//! the limit. Requests that are none of gRPC's, or whose head is malformed, are counted by `Server::stats` alone.
//!
//! A message has [two sizes](MessageSize) if it is compressed.
//!
//! # Example
//!
//! ```
//! use lariat::stats::{Begin, CallEvent, CallStats, ConnectionBegin, ConnectionStats, StatsHandler};
//! use lariat::{Channel, Server};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//! use std::time::Instant;
//!
//! /// Prints how long calls and attempts take, and how they end; and counts connections.
//! #[derive(Clone, Default)]
//! struct Timing {
//!     connections: Arc<AtomicUsize>,
//! }
//!
//! struct Attempt {
//!     name: String,
//!     begun: Instant,
//!     received: usize,
//! }
//!
//! struct Connection(Arc<AtomicUsize>);
//!
//! impl StatsHandler for Timing {
//!     fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
//!         let name = match begin.is_client {
//!             true => format!("{}, attempt {}", begin.path, begin.previous_attempts + 1),
//!             false => begin.path.to_owned(),
//!         };
//!         Some(Box::new(Attempt { name, begun: Instant::now(), received: 0 }))
//!     }
//!
//!     fn begin_connection(&self, _: &ConnectionBegin<'_>) -> Option<Box<dyn ConnectionStats>> {
//!         self.connections.fetch_add(1, Ordering::Relaxed);
//!         Some(Box::new(Connection(Arc::clone(&self.connections))))
//!     }
//! }
//!
//! impl CallStats for Attempt {
//!     fn handle(&mut self, event: &CallEvent<'_>) {
//!         match event {
//!             CallEvent::InPayload { size, .. } => self.received += size.wire_length(),
//!             CallEvent::End { status, .. } => {
//!                 println!("{}: {:?} after {:?}, {} octets", self.name, status, self.begun.elapsed(), self.received);
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//!
//! impl ConnectionStats for Connection {
//!     fn handle_end(&mut self) {
//!         self.0.fetch_sub(1, Ordering::Relaxed);
//!     }
//! }
//!
//! let timing = Timing::default();
//! let server = Server::builder().plaintext().stats_handler(timing.clone()).bind("127.0.0.1:0")?;
//! let channel = Channel::builder("127.0.0.1:50051").plaintext().stats_handler(timing).build()?;
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! [`ChannelBuilder::stats_handler`]: crate::client::ChannelBuilder::stats_handler
//! [`ServerBuilder::stats_handler`]: crate::server::ServerBuilder::stats_handler

use std::fmt;
use std::sync::Arc;

use super::MethodKind;
use crate::net::Peer;
use crate::rpc::{Metadata, PREFIX_LEN, Status};

/// Wants to know of calls.
pub trait StatsHandler: Send + Sync + 'static {
    /// A call begins; on a client, an attempt of one. What is returned is told all that follows, and dropped at the
    /// end. With `None` nothing of this one is told.
    fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>>;

    /// A connection is there, secured and ready for calls, though nothing has come from the other end yet. What is
    /// returned is told its end. Default: `None`, which is told nothing.
    fn begin_connection(&self, begin: &ConnectionBegin<'_>) -> Option<Box<dyn ConnectionStats>> {
        let _ = begin;
        None
    }
}

/// Is told what becomes of one call, or of one attempt.
pub trait CallStats: Send {
    /// Something has happened.
    fn handle(&mut self, event: &CallEvent<'_>);
}

/// Is told what becomes of one connection.
pub trait ConnectionStats: Send {
    /// The connection has ended, and with it its calls.
    fn handle_end(&mut self);
}

/// What is known when a call or an attempt begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Begin<'a> {
    /// Whether this is told on a client.
    pub is_client: bool,
    /// The full method, `/package.Service/Method`. On a server, clients make it up: before it becomes the label of a
    /// metric, it has to be a name that is known, or metrics grow without end.
    pub path: &'a str,
    /// Which sides of the method are streams. Of a method that a server does not have, both.
    pub kind: MethodKind,
    /// On a client: whether it waits while connecting fails.
    pub wait_for_ready: bool,
    /// On a client: how many attempts by a retry or hedging policy there were before.
    pub previous_attempts: u32,
    /// On a client: the same attempt once more, since no server had processed it.
    pub is_transparent_retry: bool,
}

/// What is known when a connection begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionBegin<'a> {
    /// Whether this is told on a client.
    pub is_client: bool,
    /// The other end, and the address of this one.
    pub peer: &'a Peer,
}

/// How large a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageSize {
    /// Its octets when it is not compressed. `None` for a compressed message of a stream: it is compressed before it
    /// waits for the connection, and inflated when it is read, of which its connection knows nothing.
    pub length: Option<usize>,
    /// Its octets as they travel, compressed if it is, without the prefix.
    pub compressed_length: usize,
}

/// What happens in the life of a call or an attempt. The [page of the module](self) says in which order.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CallEvent<'a> {
    /// On a client: there was no connection for the attempt at first, and now there is.
    DelayedPickComplete,
    /// The head of the request (on a client) or response (on a server) was sent, with this metadata.
    #[non_exhaustive]
    OutHeader {
        /// What was sent beside the fields of the protocol; on a client without what call credentials have added.
        metadata: &'a Metadata,
        /// The algorithm that compresses the messages that follow.
        compression: Option<&'a str>,
        /// The other end, and the address of this one.
        peer: &'a Peer,
    },
    /// The head of the response (on a client) or request (on a server) arrived, with this metadata.
    #[non_exhaustive]
    InHeader {
        /// What arrived beside the fields of the protocol.
        metadata: &'a Metadata,
        /// The algorithm that compresses the messages that follow.
        compression: Option<&'a str>,
        /// The other end, and the address of this one.
        peer: &'a Peer,
    },
    /// A message went to the connection.
    #[non_exhaustive]
    OutPayload {
        /// How large it is.
        size: MessageSize,
    },
    /// A message arrived.
    #[non_exhaustive]
    InPayload {
        /// How large it is.
        size: MessageSize,
    },
    /// On a server: the trailers were sent.
    #[non_exhaustive]
    OutTrailer {
        /// What was sent beside the status.
        metadata: &'a Metadata,
    },
    /// On a client: the trailers arrived, or a response that is nothing else.
    #[non_exhaustive]
    InTrailer {
        /// What arrived beside the fields of the protocol.
        metadata: &'a Metadata,
    },
    /// It is over. Nothing follows.
    #[non_exhaustive]
    End {
        /// How it ended.
        status: Result<(), &'a Status>,
    },
}

impl MessageSize {
    /// A message as it travels, which has a length of its own if it is compressed.
    pub(crate) fn new(length: Option<usize>, compressed_length: usize) -> Self {
        MessageSize { length, compressed_length }
    }

    /// One that is not compressed.
    pub(crate) fn plain(length: usize) -> Self {
        MessageSize::new(Some(length), length)
    }

    /// Its octets on the wire, of which the five of the prefix are the first.
    pub fn wire_length(&self) -> usize {
        self.compressed_length + PREFIX_LEN
    }
}

impl<'a> Begin<'a> {
    /// A call of a server.
    pub(crate) fn at_server(path: &'a str, kind: MethodKind) -> Self {
        Begin {
            is_client: false,
            path,
            kind,
            wait_for_ready: false,
            previous_attempts: 0,
            is_transparent_retry: false,
        }
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
        one_of(self.0.iter().filter_map(|handler| handler.begin(begin)), |all| Box::new(Several(all)))
    }

    /// Asks each of them.
    pub(crate) fn begin_connection(&self, begin: &ConnectionBegin<'_>) -> Option<WatchedConnection> {
        let all = self.0.iter().filter_map(|handler| handler.begin_connection(begin));
        one_of(all, |all| Box::new(Several(all))).map(WatchedConnection)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A connection that somebody wants to know of. Its drop is the end.
pub(crate) struct WatchedConnection(Box<dyn ConnectionStats>);

impl Drop for WatchedConnection {
    fn drop(&mut self) {
        self.0.handle_end();
    }
}

impl fmt::Debug for StatsHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatsHandlers({})", self.0.len())
    }
}

/// The only one, or all of them as one.
fn one_of<T: ?Sized>(
    mut all: impl Iterator<Item = Box<T>>,
    join: fn(Vec<Box<T>>) -> Box<T>,
) -> Option<Box<T>> {
    let first = all.next()?;
    let rest: Vec<_> = all.collect();
    Some(if rest.is_empty() { first } else { join(std::iter::once(first).chain(rest).collect()) })
}

/// What several handlers gave for one call or connection.
struct Several<T: ?Sized>(Vec<Box<T>>);

impl CallStats for Several<dyn CallStats> {
    fn handle(&mut self, event: &CallEvent<'_>) {
        self.0.iter_mut().for_each(|stats| stats.handle(event));
    }
}

impl ConnectionStats for Several<dyn ConnectionStats> {
    fn handle_end(&mut self) {
        self.0.iter_mut().for_each(|stats| stats.handle_end());
    }
}
