//! Lariat: a gRPC engine with its own HTTP/2.
//!
//! ```text
//!   your code          Request, Response, Inbound, Outbound, Status          (call, rpc)
//!   ------------------------------------------------------------------------------------
//!   client             Channel: target -> resolver -> balancer -> picker -> attempt
//!   server             Server: route -> handler
//!   rpc                messages and statuses  <-> stream events              pure
//!   lariat-http2       stream events          <-> frames                     pure
//!   lariat-frame       frames, header fields  <-> octets                     pure
//!   net                octets                 <-> sockets                    the event loops
//! ```
//!
//! Handlers are ordinary `async fn`s that the event loop polls in place; clients await a call under any executor, or
//! [`Wait::wait`] for it on a plain thread. No async runtime is needed.
//!
//! # A call
//!
//! Services are usually generated from `.proto` files by
//! [`lariat-codegen`](https://docs.rs/lariat-codegen), as the README shows. Without it, methods are named by hand and
//! messages are of any type that a [`codec`] knows; here they are octets:
//!
//! ```
//! use bytes::Bytes;
//! use lariat::codec::Raw;
//! use lariat::server::{Handler, Service};
//! use lariat::{Channel, Request, Response, Server, Status, Wait};
//!
//! struct Greeter;
//!
//! async fn say_hello(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
//!     let name = std::str::from_utf8(request.message()).map_err(|_| Status::invalid_argument("no text"))?;
//!     Ok(Response::new(format!("Hello {name}").into()))
//! }
//!
//! impl Service for Greeter {
//!     fn name(&self) -> &str {
//!         "hello.Greeter"
//!     }
//!     fn methods(&self) -> Vec<Handler> {
//!         vec![Handler::unary::<Raw, _, _, _, _>("SayHello", say_hello)]
//!     }
//! }
//!
//! let server = Server::builder().plaintext().add_service(Greeter).bind("127.0.0.1:0")?;
//! let channel = Channel::builder(server.local_address().to_string()).plaintext().build()?;
//! let method = channel.method("/hello.Greeter/SayHello");
//! let reply = channel.unary::<Raw, Bytes, Bytes>(&method, Request::new("world".into())).wait()?;
//! assert_eq!(reply.message(), "Hello world");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to find what
//!
//! | what | where |
//! |---|---|
//! | calls as both sides hold them | [`Request`], [`Response`], [`Inbound`], [`Outbound`], [`Metadata`], [`Status`] |
//! | connecting, resolving names, balancing, retrying | [`client`], and [`Channel::builder`] for all options |
//! | serving, stopping gracefully, limits | [`server`], and [`Server::builder`] for all options |
//! | TLS, and who calls | [`credentials`] |
//! | code around calls | [`interceptor`] |
//! | what becomes of calls and connections, in numbers | [`stats`], [`Server::stats`], [`Engine::stats`] |
//! | compressed messages | [`compression`] |
//! | health and load of a server | [`services`] |
//! | threads, one's own among them | [`Engine`], [`blocking()`] |
//!
//! A program that only serves leaves out the feature `client`, which is on by default, and with it all of [`client`]
//! and the packages that nothing else needs.

#![cfg_attr(
    not(feature = "client"),
    allow(
        dead_code,
        unused_imports,
        rustdoc::broken_intra_doc_links,
        reason = "a client alone uses or names it"
    )
)]

mod blocking;
mod call;
#[cfg(feature = "client")]
pub mod client;
pub mod credentials;
mod engine;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(all(test, feature = "client"))]
mod fault_injection;
mod net;
mod rpc;
pub mod server;
pub mod services;

pub use blocking::{Blocking, blocking};
pub use call::{
    CancellationToken, Cancelled, Inbound, Incoming, IntoRequest, MethodKind, Outbound, Request, Response,
    Send as SendMessage, Wait, interceptor, stats,
};
#[cfg(feature = "client")]
pub use client::{Channel, UnaryCall};
pub use engine::{Engine, EngineBuilder, Sleep, sleep};
pub use error::Error;
pub use net::{Address, AddressError, LoopStats, Peer, PeerAddress, on_event_loop};
#[doc(hidden)]
pub use rpc::fuzz;
pub use rpc::{Code, Metadata, Status, codec, compression, metadata};
pub use server::Server;

/// What generated code needs; not for use by hand.
#[doc(hidden)]
pub mod generated {
    pub use bytes;
    pub use prost;
}

/// Includes what [`lariat-codegen`](https://docs.rs/lariat-codegen) generated for a proto package.
///
/// ```ignore
/// pub mod helloworld {
///     lariat::include_proto!("helloworld");
/// }
/// ```
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}
