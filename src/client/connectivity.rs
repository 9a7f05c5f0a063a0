//! The five states a channel, and anything that balances on its behalf, can be in.

use std::fmt;

/// Connectivity as gRPC defines it (`doc/connectivity-semantics-and-api.md` of the gRPC repository).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectivityState {
    /// No connection, and none is being made until a call needs one.
    Idle,
    /// Resolving the name, or connecting.
    Connecting,
    /// At least one connection has been accepted, by the peer's SETTINGS.
    Ready,
    /// Connecting failed and will be tried again after a wait. Calls fail at once unless they wait for ready.
    TransientFailure,
    /// Closed for good.
    Shutdown,
}

impl ConnectivityState {
    /// The state of a whole whose parts are in these states: READY if any is, else CONNECTING if any is, else IDLE if
    /// any is, else TRANSIENT_FAILURE (also of nothing at all).
    pub fn aggregate(parts: impl IntoIterator<Item = ConnectivityState>) -> ConnectivityState {
        let rank = |state: &ConnectivityState| match state {
            ConnectivityState::Ready => 3,
            ConnectivityState::Connecting => 2,
            ConnectivityState::Idle => 1,
            ConnectivityState::TransientFailure | ConnectivityState::Shutdown => 0,
        };
        match parts.into_iter().max_by_key(rank) {
            None | Some(ConnectivityState::Shutdown) => ConnectivityState::TransientFailure,
            Some(state) => state,
        }
    }
}

impl fmt::Display for ConnectivityState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectivityState::Idle => "IDLE",
            ConnectivityState::Connecting => "CONNECTING",
            ConnectivityState::Ready => "READY",
            ConnectivityState::TransientFailure => "TRANSIENT_FAILURE",
            ConnectivityState::Shutdown => "SHUTDOWN",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectivityState::*;
    use super::*;

    #[test]
    fn the_best_part_decides_the_state_of_the_whole() {
        assert_eq!(ConnectivityState::aggregate([TransientFailure, Idle, Connecting, Ready]), Ready);
        assert_eq!(ConnectivityState::aggregate([TransientFailure, Idle, Connecting]), Connecting);
        assert_eq!(ConnectivityState::aggregate([Idle, TransientFailure]), Idle);
        assert_eq!(ConnectivityState::aggregate([TransientFailure, Shutdown]), TransientFailure);
        assert_eq!(ConnectivityState::aggregate([]), TransientFailure);
    }

    #[test]
    fn states_print_as_grpc_names_them() {
        assert_eq!(TransientFailure.to_string(), "TRANSIENT_FAILURE");
        assert_eq!(Idle.to_string(), "IDLE");
    }
}
