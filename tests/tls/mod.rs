//! The tests by what they ask, and the certificates and servers that they need.

mod certificates;
mod failures;
mod handshakes;
mod transport;
mod who;
