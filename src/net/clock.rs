//! The time, as the engine reads it.

use std::time::{Duration, Instant};

/// The longest time that is told from never: a hundred years. Anything longer could be too much for an [`Instant`].
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The present. In a simulation it is the simulation's.
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(network) = super::simulation::Network::current() {
        return network.now();
    }
    Instant::now()
}

/// The instant so much later, whatever the application has chosen for `time`.
pub(crate) fn later(instant: Instant, time: Duration) -> Instant {
    instant + time.min(LONGEST)
}
