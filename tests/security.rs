//! TLS between a channel and a server, with real handshakes over loopback.

#![cfg(feature = "tls")]

mod support;
mod tls;
