//! `Replay`: the messages of a stream that may have to be sent more than once (gRFC A6).

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::OutboundStream;

/// What a stream keeps while several attempts of its call may need it, and where they send it from: each attempt has a
/// copy of the stream, whose messages share their memory.
pub(super) struct Replay {
    /// Everything that was sent so far, framed. Empty once one attempt is the call.
    kept: Vec<Bytes>,
    octets: usize,
    /// More than this is not kept: one attempt has to become the call.
    limit: usize,
    copies: Vec<Arc<OutboundStream>>,
    settled: bool,
}

impl Replay {
    pub(super) fn new(limit: usize) -> Self {
        Replay { kept: Vec::new(), octets: 0, limit, copies: Vec::new(), settled: false }
    }

    /// Whether there is room for a message: in what is kept, or in the stream of the attempt that is the call. `None`
    /// if there is none until an attempt is.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Option<Poll<Result<(), ()>>> {
        match self.copies.first() {
            _ if self.is_overfull() => None,
            Some(copy) if self.settled => Some(copy.poll_ready(cx).map(|room| room.map_err(drop))),
            None if self.settled => Some(Poll::Ready(Err(()))),
            _ => Some(Poll::Ready(Ok(()))),
        }
    }

    /// Whether the attempt that is the call has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.settled && self.copies.first().is_none_or(|copy| copy.is_closed())
    }

    pub(super) fn push(&mut self, message: Bytes) {
        for copy in &self.copies {
            copy.push(message.clone());
        }
        if !self.settled {
            self.octets += message.len();
            self.kept.push(message);
        }
    }

    pub(super) fn finish(&self) {
        self.copies.iter().for_each(|copy| copy.finish());
    }

    /// Has another attempt send what was sent so far, and all that follows.
    pub(super) fn add_copy(&mut self, copy: &Arc<OutboundStream>) {
        self.fill(copy);
        self.copies.push(Arc::clone(copy));
    }

    /// Puts everything that was sent so far into a stream.
    pub(super) fn fill(&self, copy: &OutboundStream) {
        self.kept.iter().for_each(|message| copy.push(message.clone()));
    }

    /// Only this copy is needed from now on, and nothing will be sent again.
    pub(super) fn settle(&mut self, copy: &Arc<OutboundStream>) {
        self.settled = true;
        self.kept = Vec::new();
        self.copies.retain(|other| Arc::ptr_eq(other, copy));
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether more was sent than should be kept.
    pub(super) fn is_overfull(&self) -> bool {
        !self.settled && self.octets > self.limit
    }
}
