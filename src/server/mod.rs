//! The server: services and their handlers, connections and their sessions, and the ways to stop.
//!
//! A request's way: the loop reads, `session` has HTTP/2 make events of it, `router` finds the handler, the
//! handler's future is made and polled once in place (`invocation`); if it is ready its answer leaves with the same
//! write, else it waits in the session until it is woken.

mod builder;
mod calls;
mod handler;
mod interception;
mod invocation;
mod responder;
mod router;
#[allow(clippy::module_inception, reason = "it is where one looks for `Server`")]
mod server;
mod session;
mod shared;
mod shutdown;
mod stats;
mod watch;

pub use crate::call::MethodKind;
pub use builder::ServerBuilder;
pub use handler::{Handler, Service};
pub use interception::Intercepted;
pub use server::Server;
pub use shutdown::{GracefulStop, Stopped};
pub use stats::ServerStats;
