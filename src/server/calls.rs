//! The calls of one connection.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use lariat_frame::hpack::HeaderList;
use lariat_http2::StreamKey;

use super::invocation::{CallCompression, Invocation};
use super::watch::Watched;
use crate::call::{Encodings, OutboundStream, Received, Receiver};
use crate::net::{Peer, TimerId};
use crate::rpc::{Cardinality, ServerCall, Status};

/// What a call begins with.
pub(super) struct Head {
    pub(super) key: StreamKey,
    pub(super) route: u32,
    pub(super) requests: Cardinality,
    pub(super) compression: CallCompression,
    pub(super) headers: Arc<HeaderList>,
    pub(super) deadline: Option<Instant>,
    pub(super) watched: Option<Box<Watched>>,
}

/// One call on the connection.
pub(super) struct Call {
    pub(super) key: StreamKey,
    pub(super) route: u32,
    pub(super) compression: CallCompression,
    pub(super) grammar: ServerCall,
    /// What the request began with, until the handler starts.
    pub(super) headers: Option<Arc<HeaderList>>,
    pub(super) deadline: Option<Instant>,
    /// Set once the call has to wait for something.
    pub(super) timer: Option<TimerId>,
    pub(super) run: Option<Box<dyn Invocation>>,
    pub(super) inbound: Option<Arc<dyn Receiver>>,
    pub(super) outbound: Option<Arc<OutboundStream>>,
    /// The handler's outcome, while messages it sent before wait for the client's window.
    pub(super) ended: Option<Result<(), Status>>,
    /// Who wants to know of it.
    pub(super) watched: Option<Box<Watched>>,
}

/// A place for a call. What can serve one call after the other stays in it.
pub(super) struct Place {
    /// A call is in it.
    is_taken: bool,
    /// That call; else the last one, of which nothing is left.
    pub(super) call: Call,
    /// Wakes whichever call is in the place. Made at its first use.
    pub(super) waker: Option<Waker>,
    /// What the last call's handler ran in, with its route.
    pub(super) idle_run: Option<(u32, Box<dyn Invocation>)>,
    /// The call's, from the start of its handler on.
    received: Option<Arc<Received>>,
}

impl Call {
    #[inline]
    fn begin(&mut self, head: Head) {
        self.key = head.key;
        self.route = head.route;
        self.compression = head.compression;
        self.headers = Some(head.headers);
        self.deadline = head.deadline;
        self.watched = head.watched;
        self.grammar.restart(head.requests);
        if head.compression.request.is_some() {
            self.grammar.accept_compressed();
        }
    }

    /// Lets go of everything that belongs to the call.
    #[inline(always)]
    fn end(&mut self) {
        self.grammar.end();
        self.timer = None;
        self.watched = None;
        let Call { headers, run, inbound, outbound, ended, .. } = self;
        if headers.is_some() || run.is_some() || inbound.is_some() || outbound.is_some() || ended.is_some() {
            (*headers, *run, *inbound, *outbound, *ended) = (None, None, None, None, None);
        }
    }
}

impl Place {
    /// What the handler that starts is told of its call: the last call's again, if nobody holds that any more.
    #[inline]
    pub(super) fn receive(
        &mut self,
        peer: &Peer,
        encodings: &Arc<Encodings>,
        deadline: Option<Instant>,
    ) -> Arc<Received> {
        if let Some(received) = &mut self.received
            && Arc::get_mut(received).is_some_and(|received| received.restart(deadline))
        {
            return Arc::clone(received);
        }
        let received = Arc::new(Received::new(peer.clone(), deadline, Arc::clone(encodings)));
        Arc::clone(self.received.insert(received))
    }

    /// Tells whoever holds the call's token that it is over.
    pub(super) fn cancel(&self) {
        // Before its handler starts, what is here is still an earlier call's.
        if let (Call { headers: None, .. }, Some(received)) = (&self.call, &self.received) {
            received.cancellation().cancel();
        }
    }
}

/// The calls of one connection, each in a place with a small number.
#[derive(Default)]
pub(super) struct Calls {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Calls {
    /// Begins a call in a place for it; the number of that. `limit` is that of request messages, the same for all.
    #[inline]
    pub(super) fn begin(&mut self, head: Head, limit: usize) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            place.is_taken = true;
            place.call.begin(head);
            return index;
        }
        self.add(head, limit)
    }

    /// Begins a call in a new place.
    #[cold]
    fn add(&mut self, head: Head, limit: usize) -> u32 {
        if self.places.capacity() == 0 {
            // Most connections have one call at a time.
            self.places.reserve_exact(1);
        }
        let mut call = Call {
            key: head.key,
            route: head.route,
            compression: head.compression,
            grammar: ServerCall::new(head.requests, limit),
            headers: None,
            deadline: None,
            timer: None,
            run: None,
            inbound: None,
            outbound: None,
            ended: None,
            watched: None,
        };
        call.begin(head);
        self.places.push(Place { is_taken: true, call, waker: None, idle_run: None, received: None });
        (self.places.len() - 1) as u32
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Call> {
        Some(&mut self.place(index)?.call)
    }

    /// The place of a call.
    #[inline]
    pub(super) fn place(&mut self, index: u32) -> Option<&mut Place> {
        self.places.get_mut(index as usize).filter(|place| place.is_taken)
    }

    /// Ends the call in a place, which is free for another then.
    #[inline(always)]
    pub(super) fn end(&mut self, index: u32) {
        if let Some(place) = self.place(index) {
            place.is_taken = false;
            place.call.end();
            self.free.push(index);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is memory to give back.
    #[inline]
    pub(super) fn has_memory(&self) -> bool {
        !self.places.is_empty()
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// The numbers of all places, of which some may be free.
    pub(super) fn indices(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }
}
