//! [`SendQueue`]: what one stream has still to send, behind its window.

use crate::HeaderBlock;
use bytes::Bytes;
use lariat_frame::WriteBuf;
use lariat_frame::hpack::HeaderList;
use std::collections::VecDeque;
use std::sync::Arc;

/// DATA in its order, then perhaps trailers, then perhaps the end. Takes one word until something is queued for the
/// first time, which most streams never need.
#[derive(Debug, Default)]
pub(crate) struct SendQueue(Option<Box<Queued>>);

#[derive(Debug, Default)]
struct Queued {
    chunks: VecDeque<Bytes>,
    octets: usize,
    trailers: Option<Box<Trailers>>,
    /// END_STREAM goes out with the last frame.
    ends: bool,
    wants_capacity: bool,
    times_stalled: u32,
}

/// A header list that has to wait for the DATA before it. It is encoded when it is sent: the order of header blocks on
/// the wire is the order in which they change the peer's table.
#[derive(Debug)]
pub(crate) struct Trailers {
    template: Option<Arc<HeaderList>>,
    fields: Option<HeaderList>,
}

impl Trailers {
    pub(crate) fn block(&self) -> HeaderBlock<'_> {
        HeaderBlock { template: self.template.as_ref(), fields: self.fields.as_ref() }
    }
}

impl SendQueue {
    /// Places for chunks that are kept once the queue is empty.
    const KEPT: usize = 8;

    /// Whether no DATA is queued; then no trailers are either.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.octets() == 0
    }

    /// Drops everything.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.0.is_some() {
            self.0 = None;
        }
    }

    /// Octets of DATA queued.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        self.0.as_ref().map_or(0, |queued| queued.octets)
    }

    /// Whether nothing may come after what is queued.
    #[inline]
    pub(crate) fn ends(&self) -> bool {
        self.0.as_ref().is_some_and(|queued| queued.ends)
    }

    /// Queues DATA, which perhaps ends the stream.
    pub(crate) fn push(&mut self, data: Bytes, end_stream: bool) {
        let queued = self.0.get_or_insert_default();
        queued.octets += data.len();
        queued.ends |= end_stream;
        if !data.is_empty() {
            queued.chunks.push_back(data);
        }
    }

    /// Queues trailers, which end the stream.
    pub(crate) fn push_trailers(&mut self, head: HeaderBlock<'_>) {
        let queued = self.0.get_or_insert_default();
        let trailers = Trailers { template: head.template.cloned(), fields: head.fields.cloned() };
        queued.trailers = Some(Box::new(trailers));
        queued.ends = true;
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Box<Trailers>> {
        self.0.as_mut()?.trailers.take()
    }

    /// Moves the first `octets` of DATA into `out`.
    pub(crate) fn move_into(&mut self, mut octets: usize, out: &mut WriteBuf) {
        let Some(queued) = &mut self.0 else { return };
        queued.octets -= octets.min(queued.octets);
        queued.times_stalled = 0;
        while octets > 0
            && let Some(chunk) = queued.chunks.front_mut()
        {
            let piece = chunk.split_to(octets.min(chunk.len()));
            if chunk.is_empty() {
                queued.chunks.pop_front();
            }
            octets -= piece.len();
            out.put_payload(piece);
        }
        if queued.chunks.is_empty() && queued.chunks.capacity() > Self::KEPT {
            // A stream may go on for long and never queue as much again.
            queued.chunks = VecDeque::new();
        }
    }

    /// The writer found no capacity for more, and wants to know when there is.
    pub(crate) fn want_capacity(&mut self) {
        if let Some(queued) = &mut self.0 {
            queued.wants_capacity = true;
        }
    }

    /// Whether the writer waits for capacity and `is_granted` says that there is enough with so many octets queued;
    /// then it waits no more.
    pub(crate) fn take_wish(&mut self, is_granted: impl FnOnce(usize) -> bool) -> bool {
        let Some(queued) = self.0.as_mut().filter(|queued| queued.wants_capacity) else { return false };
        let granted = is_granted(queued.octets);
        queued.wants_capacity = !granted;
        granted
    }

    /// Counts a look at a queue that hasn't moved since the last one; how many there were in a row, 0 for an empty one.
    pub(crate) fn look(&mut self) -> u32 {
        match &mut self.0 {
            Some(queued) if queued.octets > 0 => {
                queued.times_stalled += 1;
                queued.times_stalled
            }
            _ => 0,
        }
    }
}
