//! The client: a channel, its control plane, its connections, and the calls made on it.
//!
//! Two planes. The control plane (`core`, a pure machine driven by one task on a loop) turns targets into
//! addresses, addresses into connections, and their states into a picker. The data plane (the channel's snapshot) is
//! what a call reads: it asks the picker, and posts the call to the loop that owns the connection picked.
//!
//! # From a target to a call
//!
//! 1. [`Channel::builder`] takes a [`target`]: a URI whose scheme names a [`resolver`]. Nothing is sent before the
//!    first call or [`Channel::connect`].
//! 2. The resolver finds the [`endpoint`]s behind the target, and perhaps a [`service_config`]. It answers when it is
//!    asked or whenever it has news. [`Manual`](resolver::Manual) is the one for programs that know their backends.
//! 3. The service config chooses a load balancing policy, whose [`balancer`] creates a [`subchannel`] for each address
//!    and decides which to connect; back-off, deadlines and sharing are the channel's business. It publishes a
//!    [`picker`], by which each call finds its subchannel without waiting or allocating.
//! 4. A call gets its config by its method, or from a [config selector](call_config); then the picker is asked. While
//!    nothing is ready the call waits; when connecting fails it fails, unless it is to wait for that, too.
//!
//! ```
//! use lariat::Channel;
//! use lariat::client::resolver::Manual;
//!
//! let backends = Manual::new("backends");
//! let channel = Channel::builder("backends:///greeter")
//!     .resolver(backends.clone())
//!     .default_service_config(
//!         r#"{
//!             "loadBalancingConfig": [{"round_robin": {}}],
//!             "healthCheckConfig": {"serviceName": ""},
//!             "methodConfig": [{"name": [{}], "timeout": "5s", "waitForReady": true}]
//!         }"#,
//!     )
//!     .plaintext()
//!     .build()?;
//! // Two servers now, and more whenever there are more.
//! backends.update((1..=2).map(|n| lariat::Address::Tcp(([127, 0, 0, n], 50051).into())).collect());
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! # Where to put one's own
//!
//! | what | where | as |
//! |---|---|---|
//! | how names are resolved | [`resolver`] | a [`ResolverBuilder`](resolver::ResolverBuilder) |
//! | how calls are spread | [`balancer`] | a [`BalancerBuilder`](balancer::BalancerBuilder) |
//! | what becomes of each call, by its metadata | [`call_config`] | a [`ConfigSelector`](call_config::ConfigSelector) |
//! | how connections are made | [`dialer`] | a [`Dialer`](dialer::Dialer) |
//!
//! What the first finds out reaches the others as typed [`attributes`] of resolutions, endpoints and calls. So a
//! configuration plane can be written outside of this crate.

pub mod attributes;
mod authorization;
pub mod backoff;
pub mod balancer;
pub mod call_config;
mod channel;
mod connection_handle;
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
pub(crate) mod random;
pub mod resolver;
mod retry;
pub mod service_config;
mod session;
mod stream_pool;
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
