//! The tests by what they ask, and the certificates and servers that they need.

mod call_credentials;
mod certificates;
mod failures;
mod handshakes;
mod key_updates;
mod local;
mod memory;
mod picked_authority;
mod reload;
mod transport;
mod who;
