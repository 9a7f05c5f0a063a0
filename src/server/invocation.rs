//! One run of a handler: its future, in a place that the next run of the same handler uses again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::responder::Responder;
use super::shared::Shared;
use crate::call::{Accepted, CallContext, Chosen, Link, Outbound, OutboundStream, Receiver, SendCompression};
use crate::rpc::{Codec, Payload, Status};

/// What a run starts with.
pub(super) struct Start<'a> {
    pub(super) context: CallContext,
    /// The request, for methods that have one; empty for the others.
    pub(super) message: Payload<'a>,
    /// Where the session listens for the streams of the call.
    pub(super) link: &'a Link,
    pub(super) shared: &'a Shared,
    pub(super) compression: CallCompression,
}

/// What compresses the messages of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallCompression {
    pub(super) request: Chosen,
    /// What the client accepts.
    pub(super) accepted: Accepted,
    /// What is chosen unless the handler says otherwise.
    pub(super) response: Chosen,
}

impl Start<'_> {
    /// The sending end of a response that is a stream.
    pub(super) fn outbound<C: Codec<T>, T>(&self) -> Outbound<T> {
        let CallCompression { accepted, response: chosen, .. } = self.compression;
        let compression = SendCompression { encodings: Arc::clone(&self.shared.encodings), accepted, chosen };
        Outbound::new::<C>(Some(self.link.clone()), self.shared.options.max_send_message_size)
            .compressed(compression)
    }
}

/// The session's ends of the streams of a run.
#[derive(Default)]
pub(super) struct Started {
    pub(super) inbound: Option<Arc<dyn Receiver>>,
    pub(super) outbound: Option<Arc<OutboundStream>>,
}

/// A handler's future, started and polled by the session, with its type erased.
pub(super) trait Invocation: Send {
    /// Decodes the request, makes the future and polls it for the first time, as [`poll`](Invocation::poll) does. A run
    /// that has ended or was cleared may be followed by another.
    ///
    /// `started` is filled before the future is polled, so that a panic does not lose it.
    fn start(
        &mut self,
        start: Start<'_>,
        started: &mut Started,
        cx: &mut Context<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<Poll<()>, Status>;
    /// Polls the future; if it is ready, hands its output to the responder and drops it.
    fn poll(&mut self, cx: &mut Context<'_>, responder: &mut Responder<'_>) -> Poll<()>;
    /// Drops the future.
    fn clear(&mut self);
}

/// The only [`Invocation`]: `S` makes the future. Its memory is allocated once and filled again for each run.
pub(super) struct Invoke<S, Fut: Future> {
    start: Arc<S>,
    future: Pin<Box<Option<Fut>>>,
    deliver: fn(&mut Responder<'_>, Fut::Output),
}

impl<S, Fut: Future> Invoke<S, Fut> {
    pub(super) fn new(start: Arc<S>, deliver: fn(&mut Responder<'_>, Fut::Output)) -> Self {
        Invoke { start, future: Box::pin(None), deliver }
    }
}

impl<S, Fut> Invocation for Invoke<S, Fut>
where
    S: Fn(Start<'_>, &mut Started) -> Result<Fut, Status> + Send + Sync,
    Fut: Future + Send,
{
    fn start(
        &mut self,
        start: Start<'_>,
        started: &mut Started,
        cx: &mut Context<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<Poll<()>, Status> {
        let future = (self.start)(start, started)?;
        self.future.set(Some(future));
        Ok(self.poll(cx, responder))
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>, responder: &mut Responder<'_>) -> Poll<()> {
        let Some(future) = self.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                self.future.set(None);
                (self.deliver)(responder, output);
                Poll::Ready(())
            }
        }
    }

    fn clear(&mut self) {
        self.future.set(None);
    }
}
