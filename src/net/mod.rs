//! The event loops: the only place of the engine with system calls, and the only place that wakes anything.
//!
//! An [`EventLoop`] owns sockets. Each connected socket has a [`Session`] that is handed the octets that arrived and
//! appends the octets to send; the loop knows nothing of HTTP/2 or gRPC. TLS, if there is any, stands between the two:
//! a session sees plaintext. Work without a socket of its own is a [`Task`]. Other threads reach a loop through its
//! [`LoopHandle`]: they post a message and wake the loop if it sleeps.

mod address;
mod alarm;
mod allocator;
pub(crate) mod clock;
mod connection;
mod descriptors;
mod event_loop;
mod inbox;
mod large_messages;
mod lazy_timer;
mod listener;
mod mailbox;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod peer;
mod rest_timer;
mod security;
mod seed;
mod session;
#[cfg(test)]
pub(crate) mod simulation;
mod socket;
mod stats;
mod timers;
#[cfg(feature = "tls")]
mod tls;
mod wake_timer;

pub use address::{Address, AddressError};
pub(crate) use alarm::Alarm;
pub(crate) use descriptors::descriptor_limit;
pub(crate) use event_loop::{EventLoop, LoopOptions};
pub(crate) use inbox::Inbox;
pub(crate) use lazy_timer::LazyTimer;
pub(crate) use listener::{BoundListener, Place, SessionFactory};
pub use mailbox::on_event_loop;
pub(crate) use mailbox::{ListenerId, LoopHandle, Note};
pub use peer::{Peer, PeerAddress, SecurityLevel};
pub(crate) use rest_timer::RestTimer;
pub(crate) use security::Security;
pub(crate) use seed::seed;
#[cfg(test)]
pub(crate) use session::Audit;
pub(crate) use session::{CloseReason, Session, SessionState, Task, Turn};
pub(crate) use socket::{Socket, check_busy_poll};
pub use stats::LoopStats;
pub(crate) use timers::TimerId;
#[cfg(feature = "tls")]
pub(crate) use tls::{ALPN, FailureHook, TlsStream, host_of};
#[cfg(feature = "tls")]
pub use tls::{TlsInfo, TlsVersion};

#[cfg(not(feature = "tls"))]
use no_tls as tls;
