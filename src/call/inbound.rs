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
pub struct Inbound<T> {
    stream: Arc<InboundStream<T>>,
    /// Messages taken over from the session in one go.
    ready: VecDeque<(Message<T>, usize)>,
    consumed: usize,
    was_compressed: bool,
    headers: Option<Metadata>,
    trailers: Option<Metadata>,
    /// On a client, when somebody has asked.
    peer: OnceLock<Peer>,
    /// What the server knows of the call besides its messages.
    context: Option<CallContext>,
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
}

struct State<T> {
    messages: VecDeque<(Message<T>, usize)>,
    headers: Option<Metadata>,
    end: Option<Result<Metadata, Status>>,
    consumed: usize,
    reader: Option<Waker>,
    carrier: Option<Carrier>,
    /// On a client: who is at the other end.
    peer: Option<Peer>,
    /// Something has come from there, or nothing will, so that it remains the other end.
    answered: bool,
}

impl<T> Inbound<T> {
    pub(crate) fn new<C: Codec<T>>(link: Option<Link>, context: Option<CallContext>) -> Self {
        let state = State {
            messages: VecDeque::new(),
            headers: None,
            end: None,
            consumed: 0,
            reader: None,
            carrier: link.map(Carrier::from),
            peer: None,
            answered: false,
        };
        Inbound {
            stream: Arc::new(InboundStream {
                state: Mutex::new(state),
                abandoned: AtomicBool::new(false),
                decode: C::decode,
            }),
            ready: VecDeque::new(),
            consumed: 0,
            was_compressed: false,
            headers: None,
            trailers: None,
            peer: OnceLock::new(),
            context,
        }
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
        if self.ready.is_empty() {
            let mut state = self.stream.lock();
            state.consumed += std::mem::take(&mut self.consumed);
            if state.messages.is_empty() {
                let poll = match &state.end {
                    Some(Ok(_)) => Poll::Ready(Ok(None)),
                    Some(Err(status)) => Poll::Ready(Err(status.clone())),
                    None => {
                        state.wait(cx);
                        Poll::Pending
                    }
                };
                state.report_consumed();
                return poll;
            }
            std::mem::swap(&mut state.messages, &mut self.ready);
        }
        match self.ready.pop_front() {
            Some((message, octets)) => {
                self.consumed += octets;
                if self.consumed >= REPORT_CONSUMED {
                    let mut state = self.stream.lock();
                    state.consumed += std::mem::take(&mut self.consumed);
                    state.report_consumed();
                }
                self.was_compressed = !matches!(message, Message::Decoded(_));
                match message {
                    Message::Decoded(message) | Message::Inflated(message) => Poll::Ready(Ok(Some(message))),
                    Message::Compressed(message) => Poll::Ready(self.inflate(&message).map(Some)),
                }
            }
            None => Poll::Ready(Ok(None)),
        }
    }

    /// Whether the message that was taken last arrived compressed.
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    /// A message that cannot be had is the end of the call: its status is what the user is told from now on.
    fn inflate(&mut self, message: &CompressedMessage) -> Result<T, Status> {
        let payload = message.decompress();
        let decoded = payload.and_then(|payload| decode(self.stream.decode, Payload::Owned(payload)));
        decoded.inspect_err(|status| {
            let unread: usize = self.ready.drain(..).map(|(_, octets)| octets).sum();
            let mut state = self.stream.lock();
            let waiting: usize = state.messages.drain(..).map(|(_, octets)| octets).sum();
            state.consumed += unread + waiting + std::mem::take(&mut self.consumed);
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
        if self.headers.is_none() {
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
            let headers = headers.await?;
            self.headers = Some(headers);
        }
        Ok(self.headers.get_or_insert_default())
    }

    /// On a client: what the server sent behind its last message. Empty until [`message`](Inbound::message) has
    /// returned `None`; after an error they are the status's own [`Status::metadata`].
    pub fn trailers(&mut self) -> &Metadata {
        if self.trailers.is_none()
            && let Some(Ok(trailers)) = &mut self.stream.lock().end
        {
            self.trailers = Some(std::mem::take(trailers));
        }
        self.trailers.get_or_insert_default()
    }

    /// In a handler: the client's metadata.
    pub fn metadata(&self) -> &Metadata {
        const EMPTY: &Metadata = &Metadata::new();
        self.context.as_ref().map_or(EMPTY, |context| &context.metadata)
    }

    /// In a handler: the algorithms that the client accepts beside `identity`.
    pub fn accepted_compression(&self) -> impl Iterator<Item = &str> {
        self.metadata().accepted_encodings()
    }

    /// In a handler: who calls. On a client: who answers, known with the initial metadata or the end of a call that had
    /// a connection. Of several attempts it is the one that became the call, or the last.
    pub fn peer(&self) -> Option<&Peer> {
        if let Some(context) = &self.context {
            return Some(&context.received.peer);
        }
        if self.peer.get().is_none() {
            let state = self.stream.lock();
            if let Some(peer) = state.peer.as_ref().filter(|_| state.answered) {
                return Some(self.peer.get_or_init(|| peer.clone()));
            }
        }
        self.peer.get()
    }

    /// In a handler: when the client gives the call up.
    pub fn deadline(&self) -> Option<Instant> {
        self.context.as_ref().and_then(|context| context.received.deadline)
    }

    /// In a handler: the token that tells work outside the handler's future of the call's cancellation.
    pub fn cancellation(&self) -> Option<&CancellationToken> {
        self.context.as_ref().map(|context| &context.received.cancellation)
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
        let unread =
            state.messages.drain(..).chain(self.ready.drain(..)).map(|(_, octets)| octets).sum::<usize>();
        state.consumed += self.consumed + unread;
        if let Some(carrier) = state.carrier.take() {
            carrier.notify();
        }
    }
}

impl<T> fmt::Debug for Inbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.stream.lock();
        f.debug_struct("Inbound")
            .field("waiting", &(state.messages.len() + self.ready.len()))
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

    fn report_consumed(&self) {
        if self.consumed >= REPORT_CONSUMED
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
                state.messages.push_back((message, octets));
            } else {
                state.consumed += octets;
            }
        });
    }

    fn is_wanted(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed)
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
            state.answered = true;
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
            state.answered = true;
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
