//! Event loops without a kernel, for tests: their sockets are wires in memory, their time is made up, and whatever can
//! happen to octets on their way happens by a seed.
//!
//! While a [`Network`] is entered, the loops, listeners and connects of this thread are on it. [`Network::run`] lets
//! the loops of several engines take turns until a future is ready; the time jumps to the next thing that happens.

mod network;
mod random;
mod wire;

pub(crate) use network::{Entered, Network, Passage};
pub(crate) use random::Random;
pub(crate) use wire::{Blow, Fault, Weather, WireListener, WireSocket};
