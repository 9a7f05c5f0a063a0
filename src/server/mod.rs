//! The server: services and their handlers, connections and their sessions, and the ways to stop.
//!
//! [`Server::builder`] takes services, which `lariat-codegen` makes of traits with one `async fn` for each method, and
//! all options. [`serve`](ServerBuilder::serve) runs the server until it is stopped; [`bind`](ServerBuilder::bind)
//! returns it, already serving. Its end is a choice of two: [`graceful_stop`](Server::graceful_stop) lets calls under
//! way finish, within a time, [`stop`](Server::stop) does not.
//!
//! ```
//! # use lariat::{Request, Response, codec::Raw, server::Handler};
//! # struct Greeter;
//! # impl lariat::server::Service for Greeter {
//! #     fn name(&self) -> &str { "Greeter" }
//! #     fn methods(&self) -> Vec<Handler> {
//! #         let answer = |request: Request<bytes::Bytes>| async { Ok(Response::new(request.into_message())) };
//! #         vec![Handler::unary::<Raw, _, _, _, _>("Say", answer)]
//! #     }
//! # }
//! use std::time::Duration;
//!
//! use lariat::{Server, Wait};
//!
//! let server = Server::builder()
//!     .plaintext()
//!     .add_service(Greeter)
//!     .max_concurrent_streams(1_000)
//!     .keepalive(Duration::from_secs(60), Duration::from_secs(20))
//!     .bind("127.0.0.1:0")?;
//! println!("listening on {}", server.local_address());
//! // False if calls had to be cut off.
//! assert!(server.graceful_stop(Duration::from_secs(10)).wait());
//! assert_eq!(server.stats().connections_accepted, 0);
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! A handler is an `async fn` of a [`Request`](crate::Request) or an [`Inbound`](crate::Inbound). It is dropped when
//! its call ends before it does: because the client cancels, the deadline passes or the connection is lost. Work that
//! it has given away learns of that by its [`CancellationToken`](crate::CancellationToken). Where it blocks it does so
//! in [`blocking`](crate::blocking()). If it panics, that ends its call alone.
//!
//! # Inside
//!
//! A request's way: the loop reads, `session` has HTTP/2 make events of it, `router` finds the handler, the
//! handler's future is made and polled once in place (`invocation`); if it is ready its answer leaves with the same
//! write, else it waits in the session until it is woken.

mod builder;
mod calls;
mod endpoint;
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
