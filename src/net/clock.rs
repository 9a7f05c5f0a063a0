//! The time, as the engine reads it.

use std::time::Instant;

/// The present. In a simulation it is the simulation's.
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(network) = super::simulation::Network::current() {
        return network.now();
    }
    Instant::now()
}
