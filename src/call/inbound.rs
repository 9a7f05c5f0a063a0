//! Receiving a stream of messages: from the session that read them to the user's code, on any thread.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{CallContext, CancellationToken, Carrier, CompressedMessage, Incoming, Link};
use crate::net::Peer;
use crate::rpc::{Codec, Metadata, Payload, Status};

/// Octets consumed before the session is told, so that it can extend the flow-control window: an eighth of the default
/// window, so that a reader on another thread wakes the loop once in many messages.
const REPORT_CONSUMED: usize = 32 * 1024;

/// The receiving side of a stream of messages.
///
/// Dropping it cancels the call on a client. In a server's handler it may be dropped at any time: what the client
/// still sends is discarded.
///
/// It is two words, and what is behind them is not copied: handlers' futures hold it several times over.
pub struct Inbound<T> {
    stream: Arc<InboundStream<T>>,
    /// What the user was shown of the server's answer.
    shown: Option<Box<Shown>>,
}

/// On a client: what came around the messages, for as long as the user wants to look at it.
#[derive(Default)]
struct Shown {
    headers: Option<Metadata>,
    trailers: Option<Metadata>,
}

/// A message that waits for the user.
enum Message<T> {
    Decoded(T),
    /// It arrived compressed.
    Inflated(T),
    /// Inflated when the user takes it: what waits costs no more than the window that it came through.
    Compressed(Box<CompressedMessage>),
}

/// What a session does with what it receives for a call, whatever the type of the messages.
pub(crate) trait Receiver: Send + Sync {
    /// The call has this carrier from now on. False if the user wants no more: then nobody will tell the carrier.
    #[must_use]
    fn attach(&self, carrier: Carrier) -> bool;
    /// Who is at the other end, where no carrier says so.
    fn handle_peer(&self, _peer: &Peer) {}
    fn handle_headers(&self, headers: Metadata);
    /// A message that took `octets` of the stream's flow-control window.
    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status>;
    /// The same for a compressed message. How many octets it has inflated, if it was now.
    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        let message = message.decompress()?;
        let length = message.len();
        self.handle_message(Payload::Owned(message), octets)?;
        Ok(Some(length))
    }
    /// A message that arrived compressed, and was inflated elsewhere.
    fn handle_inflated(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.handle_message(payload, octets)
    }
    /// Nothing more comes: the trailers of a call that ended well, or its status.
    fn handle_end(&self, result: Result<Metadata, Status>);
    /// The call is about to end by decision of this side's control plane: no other attempt may follow.
    fn handle_drop(&self) {}
    /// Ends the call for its user, with this status unless it has ended, and for its carrier, as if the user had
    /// dropped it.
    fn cancel(&self, status: Status);
    /// Octets that the user has consumed since the last look.
    fn take_consumed(&self) -> usize;
    /// The user wants no more.
    fn is_abandoned(&self) -> bool;
}

/// Decodes a message on a loop's thread, which a codec's panic must not end.
pub(crate) fn decode<T>(
    decode: fn(Payload<'_>) -> Result<T, Status>,
    payload: Payload<'_>,
) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(|| decode(payload)))
        .unwrap_or_else(|_| Err(Status::internal("the codec panicked while it decoded a message")))
}

pub(crate) struct InboundStream<T> {
    state: Mutex<State<T>>,
    /// The user wants no more. Set under the lock of the state, so that no message is added behind it; the session
    /// looks with each message, without the lock.
    abandoned: AtomicBool,
    decode: fn(Payload<'_>) -> Result<T, Status>,
    /// What the server knows of the call besides its messages.
    context: Option<CallContext>,
    /// On a client: who answers, once that is settled.
    peer: OnceLock<Peer>,
}

struct State<T> {
    messages: VecDeque<(Message<T>, usize)>,
    /// Whether the message that the user took last arrived compressed.
    was_compressed: bool,
    headers: Option<Metadata>,
    end: Option<Result<Metadata, Status>>,
    consumed: usize,
    reader: Option<Waker>,
    carrier: Option<Carrier>,
    /// On a client: who is at the other end, until something has come from there, or nothing will.
    peer: Option<Peer>,
}

impl<T> Inbound<T> {
    pub(crate) fn new<C: Codec<T>>(link: Option<Link>, context: Option<CallContext>) -> Self {
        let state = State {
            messages: VecDeque::new(),
            was_compressed: false,
            headers: None,
            end: None,
            consumed: 0,
            reader: None,
            carrier: link.map(Carrier::from),
            peer: None,
        };
        let stream = InboundStream {
            state: Mutex::new(state),
            abandoned: AtomicBool::new(false),
            decode: C::decode,
            context,
            peer: OnceLock::new(),
        };
        Inbound { stream: Arc::new(stream), shown: None }
    }

    pub(crate) fn stream(&self) -> &Arc<InboundStream<T>> {
        &self.stream
    }

    /// The next message, or `None` after the last.
    ///
    /// # Errors
    ///
    /// The status with which the call ended, on every call from then on.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// Attempts to take the next message; like [`message`](Inbound::message), for futures written by hand.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Status>> {
        let mut state = self.stream.lock();
        let Some((message, octets)) = state.messages.pop_front() else {
            return match &state.end {
                Some(Ok(_)) => Poll::Ready(Ok(None)),
                Some(Err(status)) => Poll::Ready(Err(status.clone())),
                None => {
                    state.wait(cx);
                    state.report_consumed(0);
                    Poll::Pending
                }
            };
        };
        let before = state.consumed;
        state.consumed += octets;
        state.report_consumed(before);
        state.was_compressed = !matches!(message, Message::Decoded(_));
        drop(state);
        match message {
            Message::Decoded(message) | Message::Inflated(message) => Poll::Ready(Ok(Some(message))),
            Message::Compressed(message) => Poll::Ready(self.inflate(&message).map(Some)),
        }
    }

    /// Whether the message that was taken last arrived compressed.
    pub fn was_compressed(&self) -> bool {
        self.stream.lock().was_compressed
    }

    /// A message that cannot be had is the end of the call: its status is what the user is told from now on.
    fn inflate(&mut self, message: &CompressedMessage) -> Result<T, Status> {
        let payload = message.decompress();
        let decoded = payload.and_then(|payload| decode(self.stream.decode, Payload::Owned(payload)));
        decoded.inspect_err(|status| {
            let mut state = self.stream.lock();
            state.discard_messages();
            state.end = Some(Err(status.clone()));
            self.stream.abandon();
            if let Some(carrier) = &state.carrier {
                carrier.notify();
            }
        })
    }

    /// On a client: the server's initial metadata, as soon as it is there.
    ///
    /// # Errors
    ///
    /// The status of the call if it ended without any.
    pub async fn headers(&mut self) -> Result<&Metadata, Status> {
        let shown = self.shown.get_or_insert_default();
        if shown.headers.is_none() {
            let headers = std::future::poll_fn(|cx| {
                let mut state = self.stream.lock();
                match (state.headers.take(), &state.end) {
                    (Some(headers), _) => Poll::Ready(Ok(headers)),
                    (None, Some(Ok(_))) => Poll::Ready(Ok(Metadata::default())),
                    (None, Some(Err(status))) => Poll::Ready(Err(status.clone())),
                    (None, None) => {
                        state.wait(cx);
                        Poll::Pending
                    }
                }
            });
            shown.headers = Some(headers.await?);
        }
        Ok(shown.headers.get_or_insert_default())
    }

    /// On a client: what the server sent behind its last message. Empty until [`message`](Inbound::message) has
    /// returned `None`; after an error they are the status's own [`Status::metadata`].
    pub fn trailers(&mut self) -> &Metadata {
        let shown = self.shown.get_or_insert_default();
        if shown.trailers.is_none()
            && let Some(Ok(trailers)) = &mut self.stream.lock().end
        {
            shown.trailers = Some(std::mem::take(trailers));
        }
        shown.trailers.get_or_insert_default()
    }

    /// In a handler: the client's metadata.
    pub fn metadata(&self) -> &Metadata {
        const EMPTY: &Metadata = &Metadata::new();
        self.stream.context.as_ref().map_or(EMPTY, |context| &context.metadata)
    }

    /// In a handler: the algorithms that the client accepts beside `identity`.
    pub fn accepted_compression(&self) -> impl Iterator<Item = &str> {
        self.metadata().accepted_encodings()
    }

    /// In a handler: who calls. On a client: who answers, known with the initial metadata or the end of a call that had
    /// a connection. Of several attempts it is the one that became the call, or the last.
    pub fn peer(&self) -> Option<&Peer> {
        match &self.stream.context {
            Some(context) => Some(&context.received.peer),
            None => self.stream.peer.get(),
        }
    }

    /// In a handler: when the client gives the call up.
    pub fn deadline(&self) -> Option<Instant> {
        self.stream.context.as_ref().and_then(|context| context.received.deadline)
    }

    /// In a handler: the token that tells work outside the handler's future of the call's cancellation.
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.stream.context.as_ref().map(|context| context.received.cancellation())
    }
}

impl<T> Incoming for Inbound<T> {
    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn cancellation(&self) -> Option<&CancellationToken> {
        self.cancellation()
    }
}

impl<T> Drop for Inbound<T> {
    fn drop(&mut self) {
        let mut state = self.stream.lock();
        self.stream.abandon();
        state.discard_messages();
        if let Some(carrier) = state.carrier.take() {
            carrier.notify();
        }
    }
}

impl<T> fmt::Debug for Inbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.stream.lock();
        f.debug_struct("Inbound")
            .field("waiting", &state.messages.len())
            .field("ended", &state.end.is_some())
            .finish()
    }
}

impl<T> State<T> {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }

    /// Drops what the user has not taken, as if it were consumed.
    fn discard_messages(&mut self) {
        self.consumed += self.messages.drain(..).map(|(_, octets)| octets).sum::<usize>();
    }

    /// Tells the session of what was consumed, if it is much and was not before.
    fn report_consumed(&self, before: usize) {
        if before < REPORT_CONSUMED
            && self.consumed >= REPORT_CONSUMED
            && let Some(carrier) = &self.carrier
        {
            carrier.notify();
        }
    }
}

impl<T> InboundStream<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user wants no more; to be called under the lock.
    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    #[inline]
    fn take(&self, payload: Payload<'_>, octets: usize, wrap: fn(T) -> Message<T>) -> Result<(), Status> {
        if !self.is_wanted() {
            self.lock().consumed += octets;
            return Ok(());
        }
        let message = decode(self.decode, payload)?;
        self.add(wrap(message), octets);
        Ok(())
    }

    fn add(&self, message: Message<T>, octets: usize) {
        self.update(|state| {
            if self.is_wanted() {
                if state.messages.capacity() == 0 {
                    // Most readers keep up.
                    state.messages.reserve_exact(1);
                }
                state.messages.push_back((message, octets));
            } else {
                state.consumed += octets;
            }
        });
    }

    fn is_wanted(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed)
    }

    /// Something has come from the other end, or nothing will: it remains the other end.
    fn settle_peer(&self, state: &mut State<T>) {
        if let Some(peer) = state.peer.take() {
            // Of several, the first remains.
            let _ = self.peer.set(peer);
        }
    }

    /// Changes the state and wakes the reader.
    fn update(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// For a call that keeps its receiver beside other things.
impl<R: Receiver + ?Sized> Receiver for Arc<R> {
    fn attach(&self, carrier: Carrier) -> bool {
        (**self).attach(carrier)
    }

    fn handle_peer(&self, peer: &Peer) {
        (**self).handle_peer(peer);
    }

    fn handle_headers(&self, headers: Metadata) {
        (**self).handle_headers(headers);
    }

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        (**self).handle_message(payload, octets)
    }

    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        (**self).handle_compressed(message, octets)
    }

    fn handle_drop(&self) {
        (**self).handle_drop();
    }

    fn handle_inflated(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        (**self).handle_inflated(payload, octets)
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        (**self).handle_end(result);
    }

    fn cancel(&self, status: Status) {
        (**self).cancel(status);
    }

    fn take_consumed(&self) -> usize {
        (**self).take_consumed()
    }

    fn is_abandoned(&self) -> bool {
        (**self).is_abandoned()
    }
}

impl<T: Send> Receiver for InboundStream<T> {
    fn attach(&self, carrier: Carrier) -> bool {
        let mut state = self.lock();
        if let Some(peer) = carrier.peer() {
            state.peer = Some(peer.clone());
        }
        state.carrier = Some(carrier);
        self.is_wanted()
    }

    fn handle_peer(&self, peer: &Peer) {
        self.lock().peer = Some(peer.clone());
    }

    fn handle_headers(&self, headers: Metadata) {
        self.update(|state| {
            state.headers = Some(headers);
            self.settle_peer(state);
        });
    }

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.take(payload, octets, Message::Decoded)
    }

    fn handle_inflated(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.take(payload, octets, Message::Inflated)
    }

    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        self.add(Message::Compressed(Box::new(message)), octets);
        Ok(None)
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        self.update(|state| {
            state.end.get_or_insert(result);
            self.settle_peer(state);
            state.carrier = None;
        });
    }

    fn cancel(&self, status: Status) {
        let mut carrier = None;
        self.update(|state| {
            carrier = state.carrier.take();
            state.messages.clear();
            state.end.get_or_insert(Err(status));
            self.abandon();
        });
        if let Some(carrier) = carrier {
            carrier.notify();
        }
    }

    fn take_consumed(&self) -> usize {
        std::mem::take(&mut self.lock().consumed)
    }

    fn is_abandoned(&self) -> bool {
        !self.is_wanted()
    }
}
