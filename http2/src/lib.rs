//! One HTTP/2 connection ([RFC 9113]) as a pure state machine, for either role.
//!
//! [`Connection`] takes octets, the time and commands; it yields [`Event`]s and appends octets to a
//! [`WriteBuf`](lariat_frame::WriteBuf). It has no clock, socket, lock or thread, so it is tested with made-up time and
//! made-up networks. Its verbs:
//!
//! * `handle_*`: something arrived (octets, the end of input, a time, the end of a write);
//! * `poll_*`: take what came of it (events, queued output, the next deadline);
//! * bare verbs (`open`, `send_data`, `reset`, `shutdown`, ..): commands of the application.
//!
//! After each batch of arrivals and commands: [`poll_event`](Connection::poll_event) until `None`, then
//! [`poll_output`](Connection::poll_output), write, and wait for input or [`poll_timeout`](Connection::poll_timeout).
//!
//! ```
//! use lariat_frame::WriteBuf;
//! use lariat_frame::hpack::{HeaderList, Indexing};
//! use lariat_http2::{Config, Connection, Event};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let (mut to_server, mut to_client) = (WriteBuf::new(), WriteBuf::new());
//! let mut client = Connection::client(Config::default(), now, 1, &mut to_server);
//! let mut server = Connection::server(Config::default(), now, 2, &mut to_client);
//!
//! let mut request = HeaderList::new();
//! for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")] {
//!     request.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
//! }
//! client.open(now, (&request).into(), true, &mut to_server)?;
//!
//! // What a socket would carry:
//! let wire = to_server.to_vec();
//! let mut rest = &wire[..];
//! let mut paths = Vec::new();
//! while let Some(event) = server.handle_input(now, &mut rest, &mut to_client) {
//!     if let Event::Headers { stream, headers, .. } = event {
//!         paths.push(headers.get(b":path").unwrap_or_default().to_vec());
//!         let mut response = HeaderList::new();
//!         response.push(b":status", b"404", Indexing::Index);
//!         server.send_headers(stream, (&response).into(), true, &mut to_client)?;
//!     }
//! }
//! assert_eq!(paths, [b"/"]);
//! assert_eq!((client.active_streams(), server.active_streams()), (1, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113

mod bdp;
mod closed;
mod config;
mod connection;
mod error;
mod event;
mod flow_control;
#[doc(hidden)]
pub mod fuzz;
mod goaway;
mod header_assembly;
mod header_block;
mod header_decoder;
mod id_table;
mod keepalive;
mod limits;
mod ping_strikes;
mod random;
mod scheduler;
mod send_queue;
mod settings;
mod state;
mod stats;
mod streams;
mod timer;
mod token_bucket;
mod validation;
mod violation;
mod window;

pub use config::{Config, Enforcement, Keepalive};
pub use connection::{Connection, Response, Role};
pub use error::{ConnectionError, Initiator, OpenError, SendError};
pub use event::{Event, HeadersKind};
pub use flow_control::FlowControl;
pub use goaway::PeerGoAway;
pub use header_block::HeaderBlock;
pub use limits::{Limits, Rate};
pub use stats::Stats;
pub use streams::StreamKey;
