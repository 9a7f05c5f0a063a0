//! [`Config`]: what the owner of a connection may choose.

use crate::Limits;
use lariat_frame::DEFAULT_MAX_FRAME_SIZE;
use lariat_frame::hpack::HeaderList;
use std::sync::Arc;
use std::time::Duration;

/// The settings of one connection, for either role. Every default is meant for untrusted peers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Octets that the peer may send on a new stream before anything was released (SETTINGS_INITIAL_WINDOW_SIZE, RFC
    /// 9113 §6.5.2). 256 KiB: most messages pass without waiting for a WINDOW_UPDATE.
    pub initial_stream_window: u32,
    /// Octets that the peer may send on all streams together before they were received and credited. 1 MiB. Never
    /// below the 65,535 that RFC 9113 §6.9.2 starts with.
    pub initial_connection_window: u32,
    /// Grow both windows when the estimate of the bandwidth-delay product says that they hold the peer back: the
    /// connection's up to 16 MiB, a stream's up to 4 MiB. On.
    pub adaptive_window: bool,
    /// The largest frame payload that is accepted (SETTINGS_MAX_FRAME_SIZE): 16,384 to 16,777,215 octets. 16,384.
    pub max_frame_size: u32,
    /// The largest header list that is accepted (SETTINGS_MAX_HEADER_LIST_SIZE), counted as in RFC 9113 §6.5.2. 16 KiB.
    pub max_header_list_size: u32,
    /// Octets of the table in which the peer's header fields are kept (SETTINGS_HEADER_TABLE_SIZE). 4,096.
    pub header_table_size: u32,
    /// Server: how many streams the client may have open at once. 256; `None` is no limit, and no defence against a
    /// client that opens streams faster than they are answered. It bounds the work under way only if the work of a
    /// stream ends when the stream is reset.
    pub max_concurrent_streams: Option<u32>,
    /// When to ask a silent peer whether it is still there.
    pub keepalive: Keepalive,
    /// Server: how often the client may ask.
    pub enforcement: Enforcement,
    /// Server: shut down gracefully when there was no stream for so long. `None`: never.
    pub max_connection_idle: Option<Duration>,
    /// Server: shut down gracefully at this age, give or take a tenth so that clients don't all come back at once.
    /// `None`: never.
    pub max_connection_age: Option<Duration>,
    /// Server: after `max_connection_age`, how long open streams may take to finish. `None`: as long as they need.
    pub max_connection_age_grace: Option<Duration>,
    /// Server: what is answered to a request whose header list is larger than `max_header_list_size`, with END_STREAM.
    /// `None` answers `:status: 431` (RFC 6585 §5).
    pub header_list_too_large: Option<Arc<HeaderList>>,
    /// Bounds on what a hostile peer can make this side do.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            initial_stream_window: 256 * 1024,
            initial_connection_window: 1024 * 1024,
            adaptive_window: true,
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            max_header_list_size: 16 * 1024,
            header_table_size: 4096,
            max_concurrent_streams: Some(256),
            keepalive: Keepalive::default(),
            enforcement: Enforcement::default(),
            max_connection_idle: None,
            max_connection_age: None,
            max_connection_age_grace: None,
            header_list_too_large: None,
            limits: Limits::default(),
        }
    }
}

/// When to send PING to a peer from which nothing was received, and how long to wait for a sign of life (gRFC A8, A9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which a PING is sent. `None`, the default, sends none. gRPC asks clients for 10 s or more, and
    /// servers for 2 h by default.
    pub time: Option<Duration>,
    /// Silence after the PING after which the connection counts as dead. 20 s.
    pub timeout: Duration,
    /// Client: send PING when no stream is open, too. Servers may count that as abuse. Off. A server always does.
    pub permit_without_stream: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { time: None, timeout: Duration::from_secs(20), permit_without_stream: false }
    }
}

/// How often a client may send PING before it counts as abuse (gRFC A8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// The shortest time between two PINGs. 5 min.
    pub min_time: Duration,
    /// Whether the same holds when no stream is open; otherwise PINGs are to be 2 h apart then. Off.
    pub permit_without_stream: bool,
}

impl Default for Enforcement {
    fn default() -> Self {
        Enforcement { min_time: Duration::from_secs(300), permit_without_stream: false }
    }
}
