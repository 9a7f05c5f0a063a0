//! The outcome of a call with one response.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::pending::Call;
use crate::call::{Carrier, CompressedMessage, Receiver, Response, decode};
use crate::net::Peer;
use crate::rpc::{Codec, Metadata, Payload, Status};

/// A call with one response, under way since it was made: await it, or [`wait`](crate::Wait::wait) for it. Dropping it
/// cancels the call.
#[must_use = "dropping the call cancels it; await it or wait for it"]
pub struct UnaryCall<T> {
    call: Arc<Call<UnaryReceiver<T>>>,
    /// The result was taken.
    done: bool,
}

/// Where the parts of the one response gather.
pub(super) struct UnaryReceiver<T> {
    state: Mutex<State<T>>,
    decode: fn(Payload<'_>) -> Result<T, Status>,
}

struct State<T> {
    headers: Metadata,
    message: Option<T>,
    was_compressed: bool,
    result: Option<Result<Response<T>, Status>>,
    /// The result is there, or was taken.
    ended: bool,
    abandoned: bool,
    waiting: Option<Waker>,
    carrier: Option<Carrier>,
    peer: Option<Peer>,
}

impl<T> UnaryCall<T> {
    pub(super) fn new(call: Arc<Call<UnaryReceiver<T>>>) -> Self {
        UnaryCall { call, done: false }
    }

    /// Who answers, as soon as the call has a connection; also when it has failed there. Of several attempts it is the
    /// one that became the call, or the last. What a successful call returns knows it, too: [`Response::peer`].
    pub fn peer(&self) -> Option<Peer> {
        self.call.receiver.lock().peer.clone()
    }
}

impl<T> Future for UnaryCall<T> {
    type Output = Result<Response<T>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done {
            return Poll::Ready(Err(Status::internal("the call was polled after its result had been taken")));
        }
        let mut state = self.call.receiver.lock();
        if let Some(result) = state.result.take() {
            drop(state);
            self.done = true;
            return Poll::Ready(result);
        }
        if !state.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
            state.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<T> Drop for UnaryCall<T> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.call.receiver.lock();
        state.abandoned = true;
        if let Some(carrier) = state.carrier.take() {
            carrier.notify();
        }
    }
}

impl<T> fmt::Debug for UnaryCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryCall").field("ended", &self.call.receiver.lock().ended).finish()
    }
}

impl<T> UnaryReceiver<T> {
    pub(super) fn new<C: Codec<T>>() -> Self {
        let state = State {
            headers: Metadata::new(),
            message: None,
            was_compressed: false,
            result: None,
            ended: false,
            abandoned: false,
            waiting: None,
            carrier: None,
            peer: None,
        };
        UnaryReceiver { state: Mutex::new(state), decode: C::decode }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> Receiver for UnaryReceiver<T> {
    fn attach(&self, carrier: Carrier) -> bool {
        let mut state = self.lock();
        if let Some(peer) = carrier.peer() {
            state.peer = Some(peer.clone());
        }
        state.carrier = Some(carrier);
        !state.abandoned
    }

    fn handle_peer(&self, peer: &Peer) {
        self.lock().peer = Some(peer.clone());
    }

    fn handle_headers(&self, headers: Metadata) {
        self.lock().headers = headers;
    }

    fn handle_message(&self, payload: Payload<'_>, _octets: usize) -> Result<(), Status> {
        let message = decode(self.decode, payload)?;
        self.lock().message = Some(message);
        Ok(())
    }

    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        let message = message.decompress()?;
        let length = message.len();
        self.handle_inflated(Payload::Owned(message), octets)?;
        Ok(Some(length))
    }

    fn handle_inflated(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.handle_message(payload, octets)?;
        self.lock().was_compressed = true;
        Ok(())
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.ended = true;
        state.carrier = None;
        let headers = std::mem::take(&mut state.headers);
        state.result = Some(match (result, state.message.take()) {
            (Ok(trailers), Some(message)) => {
                let mut response = Response::from_parts(message, headers, trailers);
                response.set_was_compressed(state.was_compressed);
                response.set_peer(state.peer.clone());
                Ok(response)
            }
            (Ok(_), None) => Err(Status::internal("the server answered OK without a message")),
            (Err(status), _) => Err(status),
        });
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    fn cancel(&self, status: Status) {
        let carrier = self.lock().carrier.take();
        self.handle_end(Err(status));
        self.lock().abandoned = true;
        if let Some(carrier) = carrier {
            carrier.notify();
        }
    }

    fn take_consumed(&self) -> usize {
        0
    }

    fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }
}
