//! The calls of one connection.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use lariat_frame::hpack::HeaderList;
use lariat_http2::StreamKey;

use super::invocation::{CallCompression, Invocation};
use super::watch::Watched;
use crate::call::{CancellationToken, Encodings, OutboundStream, Received, Receiver};
use crate::net::{Peer, TimerId};
use crate::rpc::{ServerCall, Status};

/// One call on the connection.
pub(super) struct Call {
    pub(super) key: StreamKey,
    pub(super) route: u32,
    pub(super) compression: CallCompression,
    pub(super) grammar: ServerCall,
    /// What the request began with, until the handler starts.
    pub(super) headers: Option<Arc<HeaderList>>,
    pub(super) deadline: Option<Instant>,
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
#[derive(Default)]
pub(super) struct Place {
    pub(super) call: Option<Call>,
    /// Wakes whichever call is in the place. Made at its first use.
    pub(super) waker: Option<Waker>,
    /// What the last call's handler ran in, with its route.
    pub(super) idle_run: Option<(u32, Box<dyn Invocation>)>,
    /// The call's, from the start of its handler on.
    received: Option<Arc<Received>>,
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
        if let Some(received) = self.received.as_mut().and_then(Arc::get_mut)
            && received.cancellation.is_unshared()
        {
            received.deadline = deadline;
        } else {
            self.received = None;
        }
        let received = self.received.get_or_insert_with(|| {
            let (peer, cancellation) = (peer.clone(), CancellationToken::new());
            Arc::new(Received { peer, deadline, cancellation, encodings: Arc::clone(encodings) })
        });
        Arc::clone(received)
    }

    /// Tells whoever holds the call's token that it is over.
    pub(super) fn cancel(&self) {
        // Before its handler starts, what is here is still an earlier call's.
        if let (Some(Call { headers: None, .. }), Some(received)) = (&self.call, &self.received) {
            received.cancellation.cancel();
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
    /// Puts a call into a place; its number.
    #[inline]
    pub(super) fn insert(&mut self, call: Call) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            if self.places.capacity() == 0 {
                // Most connections have one call at a time.
                self.places.reserve_exact(1);
            }
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        self.places[index as usize].call = Some(call);
        index
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Call> {
        self.places.get_mut(index as usize)?.call.as_mut()
    }

    /// The place of a call.
    #[inline]
    pub(super) fn place(&mut self, index: u32) -> Option<&mut Place> {
        self.places.get_mut(index as usize).filter(|place| place.call.is_some())
    }

    /// Ends the call in a place, which is free for another then.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) {
        if let Some(place) = self.place(index) {
            place.call = None;
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
