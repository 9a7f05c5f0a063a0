//! What the control plane wants done.

use crate::client::call_config::CallConfigs;
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::Picker;
use crate::client::service_config::RetryThrottling;
use crate::client::subchannel::{ConnectionId, WatchRequest};
use crate::net::Address;
use std::sync::Arc;
use std::time::Instant;

/// What the channel is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask the resolver, after building it if there is none. What it answers goes to [`Core::handle_resolution`].
    Resolve,
    /// Drop the resolver.
    StopResolver,
    /// Connect. If the peer's SETTINGS have not arrived at the deadline, that is [`ConnectionEvent::Lost`].
    StartConnect {
        /// The name of the connection, for everything that is reported of it.
        id: ConnectionId,
        /// Where to.
        address: Address,
        /// When to give up.
        deadline: Instant,
    },
    /// Abort the attempt; or send no further calls on the connection and close it when those on it are done.
    Disconnect {
        /// Which one. Nothing needs to be reported of it any more. One that is being made is given up at once.
        id: ConnectionId,
    },
    /// Open this stream on a connection that is ready, in the place of the one of its kind that may be open there.
    Watch {
        /// Which one. What the stream tells goes to [`Core::handle_watch`].
        id: ConnectionId,
        /// What for.
        request: WatchRequest,
    },
    /// Close the stream by which a connection's backend tells its health.
    StopHealthWatch {
        /// Which one.
        id: ConnectionId,
    },
    /// Close the stream by which a connection's backend tells its load.
    StopLoadWatch {
        /// Which one.
        id: ConnectionId,
    },
    /// This is where calls get their config from now on, and what bounds their further attempts.
    Configure(CallConfigs, Option<RetryThrottling>),
    /// This is the state of the channel now, and this the picker for all calls, those that wait included.
    Publish {
        /// The new state; it may be the same as before.
        state: ConnectivityState,
        /// The new picker.
        picker: Arc<dyn Picker>,
    },
}
