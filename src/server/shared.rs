//! `Shared`: what the sessions of a server need to know.

use std::sync::Arc;

use lariat_frame::hpack::HeaderList;
use lariat_http2::Config;

use super::router::Router;
use super::shutdown::Sessions;
use super::stats::Counters;
use crate::call::stats::StatsHandlers;
use crate::call::{Chosen, Encodings};
use crate::credentials::ServerCredentials;
use crate::rpc::{Payload, Status};

/// What the sessions of a server need to know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) options: Options,
    pub(super) encodings: Arc<Encodings>,
    pub(super) http2: Arc<Config>,
    pub(super) sessions: Arc<Sessions>,
    /// What no client knows, so that none can choose identifiers of streams that collide in a table.
    pub(super) seed: u64,
    pub(super) counters: Counters,
    pub(super) credentials: ServerCredentials,
    /// The trailers of calls that ended well, made once.
    pub(super) ok: Arc<HeaderList>,
    /// `None` if there are none, which is all that most calls need to know.
    pub(super) stats: Option<StatsHandlers>,
}

#[derive(Debug)]
pub(super) struct Options {
    pub(super) max_receive_message_size: usize,
    pub(super) max_send_message_size: usize,
    /// `None` until the server is bound, unless it was chosen.
    pub(super) max_connections: Option<usize>,
}

impl Shared {
    /// The message of a request before it was compressed.
    pub(super) fn decompress(&self, by: Chosen, octets: &Payload<'_>) -> Result<Payload<'static>, Status> {
        let Some(id) = by else {
            return Err(Status::internal("the request has a compressed message and no grpc-encoding"));
        };
        let limit = self.options.max_receive_message_size;
        self.encodings.decompress(id, octets.as_ref(), limit).map(Payload::Owned)
    }
}
