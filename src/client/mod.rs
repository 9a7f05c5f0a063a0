//! The client: a channel, its control plane, its connections, and the calls made on it.
//!
//! Two planes. The control plane (`core`, a pure machine driven by one task on a loop) turns targets into
//! addresses, addresses into connections, and their states into a picker. The data plane (the channel's snapshot) is
//! what a call reads: it asks the picker, and posts the call to the loop that owns the connection picked.

pub mod attributes;
mod authorization;
pub mod backoff;
pub mod balancer;
pub mod call_config;
mod channel;
pub mod connectivity;
mod control;
mod core;
pub mod dialer;
pub mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod interception;
mod method;
mod pending;
pub mod picker;
mod random;
pub mod resolver;
mod retry;
pub mod service_config;
mod session;
pub mod subchannel;
pub mod target;
mod unary;
mod watch;
mod watch_stream;

pub use channel::{Channel, ChannelBuilder, StateChange};
pub use connectivity::ConnectivityState;
pub use method::Method;
pub use target::{Target, TargetError};
pub use unary::UnaryCall;
