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

mod blocking;
mod call;
pub mod client;
pub mod credentials;
mod engine;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(test)]
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
