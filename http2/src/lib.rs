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
pub use connection::{Connection, Role};
pub use error::{ConnectionError, Initiator, OpenError, SendError};
pub use event::{Event, HeadersKind};
pub use flow_control::FlowControl;
pub use goaway::PeerGoAway;
pub use header_block::HeaderBlock;
pub use limits::{Limits, Rate};
pub use stats::Stats;
pub use streams::StreamKey;
