//! Tells stats handlers what becomes of a server's calls.

use std::sync::Arc;

use lariat_frame::hpack::HeaderList;

use crate::call::MethodKind;
use crate::call::stats::{Begin, CallEvent, CallStats, MessageSize, StatsHandlers};
use crate::net::Peer;
use crate::rpc::{Metadata, Status};

/// A call that somebody wants to know of. However it ends, they are told that it has.
pub(super) struct Watched {
    stats: Box<dyn CallStats>,
    peer: Peer,
    /// The end was told.
    ended: bool,
}

impl Watched {
    /// A call begins with this head, whose messages are compressed by this. `None` if nobody wants to know.
    pub(super) fn begin(
        handlers: &StatsHandlers,
        headers: &Arc<HeaderList>,
        kind: MethodKind,
        compression: Option<&str>,
        peer: &Peer,
    ) -> Option<Box<Watched>> {
        let metadata = Metadata::received(Arc::clone(headers));
        let stats = handlers.begin(&Begin::at_server(metadata.path().unwrap_or_default(), kind))?;
        let mut watched = Box::new(Watched { stats, peer: peer.clone(), ended: false });
        watched.stats.handle(&CallEvent::InHeader { metadata: &metadata, compression, peer });
        Some(watched)
    }

    pub(super) fn tell_message_arrived(&mut self, length: Option<usize>, compressed_length: usize) {
        let size = MessageSize::new(length, compressed_length);
        self.stats.handle(&CallEvent::InPayload { size });
    }

    pub(super) fn tell_head_sent(&mut self, metadata: &Metadata, compression: Option<&str>) {
        let peer = &self.peer;
        self.stats.handle(&CallEvent::OutHeader { metadata, compression, peer });
    }

    pub(super) fn tell_message_sent(&mut self, size: MessageSize) {
        self.stats.handle(&CallEvent::OutPayload { size });
    }

    /// The trailers are sent: these, or those of a call that failed.
    pub(super) fn tell_trailers_sent(mut self, result: Result<&Metadata, &Status>) {
        let metadata = result.unwrap_or_else(|status| status.metadata());
        self.stats.handle(&CallEvent::OutTrailer { metadata });
        self.tell_end(result.map(|_| ()));
    }

    /// The call ends and sends nothing.
    pub(super) fn end(mut self, status: &Status) {
        self.tell_end(Err(status));
    }

    fn tell_end(&mut self, status: Result<(), &Status>) {
        self.ended = true;
        self.stats.handle(&CallEvent::End { status });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended {
            self.tell_end(Err(&Status::cancelled("the connection of the call was given up")));
        }
    }
}
