//! A number that nobody can guess.

/// A number that differs between channels, servers and processes, and that a peer cannot know: the standard library's
/// source of per-map keys. In a simulation it is the simulation's.
pub(crate) fn seed() -> u64 {
    #[cfg(test)]
    if let Some(network) = super::simulation::Network::current() {
        return network.random();
    }
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
