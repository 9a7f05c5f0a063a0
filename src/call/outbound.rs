//! Sending a stream of messages: from the user's code, on any thread, to the session that writes them.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use lariat_frame::WriteBuf;
use lariat_http2::{Connection, StreamKey};

use super::interceptor::{AS_IT_IS, EncodedMessage};
use super::replay::Replay;
use super::stats::MessageSize;
use super::{Carrier, EncodingId, Link, SendCompression};
use crate::rpc::{Codec, Metadata, PREFIX_LEN, Status, check_send_len, message_prefix};

/// Octets of encoded messages that may wait for the session before [`Outbound::send`] waits (grpc-go's write quota).
/// One message may exceed it, since it is encoded whole.
const QUOTA: usize = 64 * 1024;
/// Messages from this size on are encoded into a buffer of their own, outside the lock, which is then chained to
/// the output without another copy.
const OWN_BUFFER: usize = 8 * 1024;
/// What one DATA frame may carry.
const ONE_FRAME: usize = 16_384;

/// The sending side of a stream of messages.
///
/// On a client, [`finish`](Outbound::finish) (or dropping it) tells the server that no more messages come. In a
/// server's handler the stream ends when the handler returns.
///
/// It is three words, and what is behind them is not copied: handlers' futures hold it several times over.
pub struct Outbound<T> {
    stream: Arc<OutboundStream>,
    encoder: Encoder<T>,
}

struct Encoder<T> {
    encoded_len: fn(&T) -> usize,
    encode: fn(&T, &mut Vec<u8>),
    message: PhantomData<fn(T)>,
}

/// What [`OutboundStream::pump`] did.
pub(crate) struct Pumped {
    /// How many octets went to the connection.
    pub(crate) octets: u64,
    /// Everything that the user sent is with the connection.
    pub(crate) is_drained: bool,
}

/// The session's side of an [`Outbound`].
pub(crate) struct OutboundStream {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    max_message_size: usize,
    compression: Option<SendCompression>,
    /// Messages go to interceptors, which see them as they are: what is chosen here goes with them.
    is_relayed: bool,
    /// Encoded messages in order: first the chunks, then the tail.
    chunks: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// How much of the tail has gone to the connection and is kept. Then there are no chunks.
    tail_sent: usize,
    waiting: usize,
    headers_sent: bool,
    /// What a handler has said besides its messages.
    said: Option<Box<Said>>,
    finished: bool,
    end_sent: bool,
    closed: Option<Status>,
    writers: Vec<Waker>,
    carrier: Option<Carrier>,
    notified: bool,
    /// Something went to the connection.
    touched: bool,
    /// What went there before the tail, and may have to go to another. `None`: nothing is kept.
    kept: Option<Kept>,
    /// The call may have several attempts: then nothing lies here, but in the copies for the attempts.
    replay: Option<Box<Replay>>,
    /// Which messages went to the connection, for whoever counts them.
    sizes: Option<Box<MessageSizes>>,
    /// The stream that this one is a copy of.
    original: Option<Weak<OutboundStream>>,
}

/// What few handlers say.
#[derive(Default)]
struct Said {
    /// The initial metadata, until the session has sent it.
    headers: Option<Metadata>,
    /// The name of what compresses the messages, for interceptors.
    choice: Option<Box<str>>,
    trailers: Metadata,
}

impl<T> Outbound<T> {
    pub(crate) fn new<C: Codec<T>>(link: Option<Link>, max_message_size: usize) -> Self {
        let state = State { max_message_size, carrier: link.map(Carrier::from), ..State::default() };
        let stream = Arc::new(OutboundStream { state: Mutex::new(state) });
        let encoder = Encoder { encoded_len: C::encoded_len, encode: C::encode, message: PhantomData };
        Outbound { stream, encoder }
    }

    /// Compresses messages as chosen.
    pub(crate) fn compressed(self, compression: SendCompression) -> Self {
        self.stream.lock().compression = Some(compression);
        self
    }

    /// Sends to interceptors; a handler may choose among these algorithms.
    pub(crate) fn relayed(self, choices: Option<SendCompression>) -> Self {
        let mut state = self.stream.lock();
        state.compression = choices;
        state.is_relayed = true;
        drop(state);
        self
    }

    /// Keeps up to this many octets of what goes to a connection, in case the server says that it has not processed
    /// them, until the [response begins](OutboundStream::forget).
    pub(crate) fn repeatable(self, octets: usize) -> Self {
        self.stream.lock().kept = Some(Kept { chunks: Vec::new(), octets: 0, limit: octets });
        self
    }

    pub(crate) fn stream(&self) -> &Arc<OutboundStream> {
        &self.stream
    }

    /// Sends a message. Waits while 64 KiB of earlier messages have not found room in the stream's flow-control window
    /// and its buffer; being ready means that the message is on its way, not that the peer has it.
    ///
    /// # Errors
    ///
    /// The status of the call if it has ended, or RESOURCE_EXHAUSTED if the message is larger than allowed: the call
    /// goes on then.
    pub fn send(&self, message: T) -> Send<'_, T> {
        Send { outbound: self, message: Some(message), is_compressed: true }
    }

    /// [`send`](Outbound::send) for a message that is to be left as it is in a call that is compressed otherwise,
    /// because it would not become smaller or mixes a secret with what an attacker chose.
    ///
    /// # Errors
    ///
    /// As [`send`](Outbound::send).
    pub fn send_uncompressed(&self, message: T) -> Send<'_, T> {
        Send { outbound: self, message: Some(message), is_compressed: false }
    }

    /// In a handler, before its first message and headers: the algorithm that compresses the messages, such as `gzip`;
    /// `identity` for none. Default: the server's, which is the request's own unless it was set.
    ///
    /// # Errors
    ///
    /// INTERNAL if the client does not accept it, the server does not know it, or it is too late. On a client the
    /// request chooses: [`Request::with_compression`](crate::Request::with_compression).
    pub fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        let mut state = self.stream.lock();
        let is_late = state.has_headers() || state.waiting > 0;
        let Some(compression) = &mut state.compression else {
            return Err(Status::internal(
                "compression is chosen at the end of the stream that the server made",
            ));
        };
        if is_late {
            return Err(Status::internal(
                "compression is chosen before the response headers and the first message are sent",
            ));
        }
        compression.choose(algorithm)?;
        if state.is_relayed {
            state.say().choice = Some(algorithm.into());
        }
        Ok(())
    }

    /// Sends the initial metadata of a handler's response now, rather than with its first message.
    ///
    /// # Errors
    ///
    /// INTERNAL if they were sent already, the call's status if it has ended.
    pub fn send_headers(&self, headers: Metadata) -> Result<(), Status> {
        let mut state = self.stream.lock();
        if let Some(status) = &state.closed {
            return Err(status.clone());
        }
        if state.has_headers() {
            return Err(Status::internal(
                "the response headers were sent already; they can be sent once, before the first message",
            ));
        }
        state.say().headers = Some(headers);
        state.notify();
        Ok(())
    }

    /// Sets what a handler's response carries behind its last message, beside the status.
    pub fn set_trailers(&self, trailers: Metadata) {
        self.stream.set_trailers(trailers);
    }

    /// Says that no more messages come (the client's half-close).
    pub fn finish(self) {}

    fn poll_send(
        &self,
        slot: &mut Option<T>,
        is_compressed: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Status>> {
        let Some(message) = slot else { return Poll::Ready(Ok(())) };
        let size = (self.encoder.encoded_len)(message);
        let mut state = self.stream.lock();
        if is_compressed
            && size > 0
            && let Some(compression) = state.compression().cloned()
        {
            let room = ready!(state.poll_room(cx));
            drop(state);
            if room.is_ok() {
                let mut encoded = Vec::with_capacity(size);
                (self.encoder.encode)(message, &mut encoded);
                *slot = None;
                return Poll::Ready(self.send_compressed(&compression, &encoded));
            }
            *slot = None;
            return Poll::Ready(Err(self.stream.lock().closed_status()));
        }
        let length = check_send_len(size, state.max_message_size)?;
        let mut prefix = message_prefix(length);
        if state.is_relayed && !is_compressed {
            prefix[0] = AS_IT_IS;
        }
        let append = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(&prefix);
            (self.encoder.encode)(message, buffer);
        };
        if ready!(state.poll_room(cx)).is_ok() {
            if size < OWN_BUFFER && state.replay.is_none() {
                let whole = state.tail.len();
                let mut message = Unfinished { tail: &mut state.tail, whole };
                append(message.tail);
                message.whole = message.tail.len();
                drop(message);
                state.waiting += state.tail.len() - whole;
            } else {
                // Encoding takes a while, for which the session must not be kept waiting.
                drop(state);
                let mut buffer = Vec::with_capacity(size + PREFIX_LEN);
                append(&mut buffer);
                state = self.stream.lock();
                state.push(buffer.into());
            }
        }
        *slot = None;
        if let Some(status) = &state.closed {
            return Poll::Ready(Err(status.clone()));
        }
        state.notify();
        Poll::Ready(Ok(()))
    }
}

impl<T> Outbound<T> {
    /// Compresses an encoded message that is not empty, and adds it.
    fn send_compressed(&self, compression: &SendCompression, encoded: &[u8]) -> Result<(), Status> {
        let limit = self.stream.lock().max_message_size;
        let framed = compression.frame(encoded, limit).unwrap_or_else(|| Ok(Vec::new()))?;
        let mut state = self.stream.lock();
        if state.closed.is_some() {
            return Err(state.closed_status());
        }
        state.push(framed.into());
        state.notify();
        Ok(())
    }
}

impl Outbound<EncodedMessage> {
    /// Sends a message without waiting for room.
    pub(crate) fn send_now(&self, message: EncodedMessage) -> Result<(), Status> {
        let mut state = self.stream.lock();
        if message.is_compressible()
            && !message.is_empty()
            && let Some(compression) = state.compression().cloned()
        {
            drop(state);
            return self.send_compressed(&compression, message.as_bytes());
        }
        let length = check_send_len(message.len(), state.max_message_size)?;
        if state.closed.is_some() {
            return Err(state.closed_status());
        }
        if message.len() < OWN_BUFFER && state.replay.is_none() {
            state.tail.extend_from_slice(&message_prefix(length));
            state.tail.extend_from_slice(message.as_bytes());
            state.waiting += PREFIX_LEN + message.len();
        } else {
            state.push(Bytes::copy_from_slice(&message_prefix(length)));
            state.push(message.into_bytes());
        }
        state.notify();
        Ok(())
    }
}

impl<T> Drop for Outbound<T> {
    fn drop(&mut self) {
        self.stream.finish();
    }
}

impl<T> fmt::Debug for Outbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.stream.lock();
        f.debug_struct("Outbound").field("waiting", &state.waiting).field("closed", &state.closed).finish()
    }
}

/// The future of [`Outbound::send`].
#[must_use = "a message is sent when its future is awaited"]
pub struct Send<'a, T> {
    outbound: &'a Outbound<T>,
    message: Option<T>,
    is_compressed: bool,
}

/// The message is never pinned.
impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (outbound, is_compressed) = (self.outbound, self.is_compressed);
        outbound.poll_send(&mut self.message, is_compressed, cx)
    }
}

impl State {
    /// Wakes the session, unless it is on its way already.
    fn notify(&mut self) {
        if self.replay.as_ref().is_some_and(|replay| !replay.is_overfull()) {
            return;
        }
        if let Some(carrier) = &self.carrier
            && !self.notified
        {
            self.notified = true;
            carrier.notify();
        }
    }

    /// Ready when a message may be taken: an error if the call has ended.
    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), ()>> {
        if self.closed.is_some() {
            return Poll::Ready(Err(()));
        }
        let room = self.replay.as_mut().and_then(|replay| replay.poll_room(cx));
        if let Some(room) = room {
            return room;
        }
        if self.waiting < QUOTA && self.replay.is_none() {
            return Poll::Ready(Ok(()));
        }
        if !self.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What compresses the messages here.
    fn compression(&self) -> Option<&SendCompression> {
        self.compression.as_ref().filter(|compression| !self.is_relayed && compression.chosen.is_some())
    }

    fn say(&mut self) -> &mut Said {
        self.said.get_or_insert_default()
    }

    /// Whether the initial metadata is settled.
    fn has_headers(&self) -> bool {
        self.headers_sent || self.said.as_ref().is_some_and(|said| said.headers.is_some())
    }

    /// Why nothing can be sent any more.
    fn closed_status(&self) -> Status {
        self.closed.clone().unwrap_or_else(|| Status::internal("the stream is closed"))
    }

    /// Adds a message that has a buffer of its own.
    fn push(&mut self, message: Bytes) {
        if let Some(replay) = &mut self.replay {
            return replay.push(message);
        }
        if self.closed.is_none() {
            self.set_tail_aside();
            self.waiting += message.len();
            self.chunks.push_back(message);
        }
    }

    /// Makes the tail a chunk, for others to come behind it.
    fn set_tail_aside(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        let sent = tail.split_to(std::mem::take(&mut self.tail_sent));
        if let Some(kept) = &mut self.kept
            && !sent.is_empty()
        {
            kept.chunks.push(sent);
        }
        if !tail.is_empty() {
            self.chunks.push_back(tail);
        }
    }

    /// Goes back to the beginning. False if what was sent is not kept.
    fn rewind(&mut self) -> bool {
        if !self.touched {
            return true;
        }
        let Some(kept) = self.kept.take() else { return false };
        kept.chunks.into_iter().rev().for_each(|chunk| self.chunks.push_front(chunk));
        self.tail_sent = 0;
        self.waiting = self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        self.begin_again();
        true
    }

    /// It is as if nothing had been sent.
    fn begin_again(&mut self) {
        self.end_sent = false;
        self.touched = false;
        // The sizes may have been read up to the middle of a message.
        self.sizes = None;
    }

    /// Keeps nothing of what was sent and will be.
    fn forget(&mut self) {
        if self.kept.take().is_some() {
            self.tail.drain(..std::mem::take(&mut self.tail_sent));
            self.tail.shrink_to(QUOTA);
        }
    }
}

/// What went to the connection and may have to go to another, since a server may say that it has not processed it.
struct Kept {
    /// Without what is kept in the tail.
    chunks: Vec<Bytes>,
    /// Of the chunks and of what is kept in the tail.
    octets: usize,
    /// More than this is not kept.
    limit: usize,
}

impl Kept {
    /// So much more has gone to the connection. False if that is too much to keep.
    fn add(&mut self, octets: usize) -> bool {
        self.octets += octets;
        self.octets <= self.limit
    }
}

/// Finds the messages among framed octets.
#[derive(Default)]
struct MessageSizes {
    found: Vec<MessageSize>,
    /// What is still to come of the last.
    missing: usize,
}

impl MessageSizes {
    /// Reads a chunk, which begins or ends within no prefix.
    fn read(&mut self, mut octets: &[u8]) {
        loop {
            let skipped = self.missing.min(octets.len());
            self.missing -= skipped;
            let Some(([flag, a, b, c, d], rest)) = octets[skipped..].split_first_chunk() else { return };
            self.missing = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let is_plain = *flag == 0;
            self.found.push(MessageSize::new(is_plain.then_some(self.missing), self.missing));
            octets = rest;
        }
    }
}

/// A message that is being encoded behind others: cut off again if its codec panics.
struct Unfinished<'a> {
    tail: &'a mut Vec<u8>,
    /// How far the tail holds whole messages.
    whole: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.tail.truncate(self.whole);
    }
}

impl OutboundStream {
    /// Messages sent from now on may have this many octets at most, whatever the [`Outbound`] itself allows.
    pub(crate) fn limit_message_size(&self, octets: usize) {
        let mut state = self.lock();
        state.max_message_size = state.max_message_size.min(octets);
    }

    /// The call has this carrier from now on.
    pub(crate) fn attach(&self, carrier: Carrier) {
        self.lock().carrier = Some(carrier);
    }

    /// Notes the sizes of messages that go to the connection from now on.
    pub(crate) fn note_sizes(&self) {
        self.lock().sizes.get_or_insert_default();
    }

    /// The sizes noted since the last look.
    pub(crate) fn take_sizes(&self) -> Vec<MessageSize> {
        self.lock().sizes.as_mut().map(|sizes| std::mem::take(&mut sizes.found)).unwrap_or_default()
    }

    /// No more messages come.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        match &state.replay {
            Some(replay) => replay.finish(),
            None => state.notify(),
        }
    }

    /// Adds a framed message, and tells the session.
    pub(super) fn push(&self, message: Bytes) {
        let mut state = self.lock();
        state.push(message);
        state.notify();
    }

    /// Keeps what is sent, up to this many octets, for several attempts of the call to send from their
    /// [copies](Self::copy). The carrier is told when it is more.
    pub(crate) fn keep(&self, octets: usize) {
        let mut state = self.lock();
        state.kept = None;
        let mut replay = Replay::new(octets);
        let tail = std::mem::take(&mut state.tail);
        for chunk in std::mem::take(&mut state.chunks).into_iter().chain([tail.into()]) {
            if !chunk.is_empty() {
                replay.push(chunk);
            }
        }
        state.waiting = 0;
        state.replay = Some(Box::new(replay));
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        for writer in writers {
            writer.wake();
        }
    }

    /// A stream for another attempt, with all that was sent and will be.
    pub(crate) fn copy(self: &Arc<Self>) -> Arc<OutboundStream> {
        let mut state = self.lock();
        let original = Some(Arc::downgrade(self));
        let copy = State { original, finished: state.finished, ..State::default() };
        let copy = Arc::new(OutboundStream { state: Mutex::new(copy) });
        if let Some(replay) = &mut state.replay {
            replay.add_copy(&copy);
        }
        copy
    }

    /// The attempt that sends from this copy is the call: nothing is kept any more.
    pub(crate) fn settle(&self, copy: &Arc<OutboundStream>) {
        let mut state = self.lock();
        if let Some(replay) = &mut state.replay {
            replay.settle(copy);
        }
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        for writer in writers {
            writer.wake();
        }
    }

    /// Whether more was sent than should be [kept](Self::keep).
    pub(crate) fn is_overfull(&self) -> bool {
        self.lock().replay.as_ref().is_some_and(|replay| replay.is_overfull())
    }

    /// Goes back to the beginning, for another connection to send what a server has not processed. False if that is
    /// not to be had any more. What is sent the second time is not kept: a server may refuse it once.
    pub(crate) fn rewind(&self) -> bool {
        let original = self.lock().original.clone();
        let Some(original) = original.and_then(|original| original.upgrade()) else {
            return self.lock().rewind();
        };
        // The original first, as always.
        let original = original.lock();
        let Some(replay) = original.replay.as_ref().filter(|replay| !replay.is_settled()) else {
            return self.lock().rewind();
        };
        let mut state = self.lock();
        state.chunks.clear();
        state.tail.clear();
        state.waiting = 0;
        state.begin_again();
        drop(state);
        replay.fill(self);
        true
    }

    /// The response has begun: nothing will be sent again, nor kept for that.
    pub(crate) fn forget(&self) {
        self.lock().forget();
    }

    pub(crate) fn set_trailers(&self, trailers: Metadata) {
        self.lock().say().trailers = trailers;
    }

    /// Initial metadata to be sent now: a handler asked for that, or its first message needs them in front. The first
    /// answer other than `None` is the last.
    pub(crate) fn take_headers(&self) -> Option<Metadata> {
        let mut state = self.lock();
        // What is sent from now on is seen by the next look, not by the `pump` that follows this one.
        state.notified = false;
        if state.headers_sent || (!state.has_headers() && state.waiting == 0) {
            return None;
        }
        state.headers_sent = true;
        Some(state.said.as_mut().and_then(|said| said.headers.take()).unwrap_or_default())
    }

    /// What a handler behind interceptors has chosen to compress its messages.
    pub(crate) fn take_choice(&self) -> Option<String> {
        self.lock().said.as_mut()?.choice.take().map(String::from)
    }

    /// Ready when there is room for a message, as for [`Outbound::send`].
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), Status>> {
        let mut state = self.lock();
        match ready!(state.poll_room(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(()) => Poll::Ready(Err(state.closed_status())),
        }
    }

    /// Takes out what the user has sent, in place of a session. True if nothing follows. What is taken counts as
    /// waiting until [`release`](Self::release). While this is pending, the carrier is told of the next message.
    pub(crate) fn poll_take(&self, into: &mut VecDeque<EncodedMessage>) -> Poll<bool> {
        let mut state = self.lock();
        state.notified = false;
        let tail = Bytes::from(std::mem::take(&mut state.tail));
        for mut chunk in std::mem::take(&mut state.chunks).into_iter().chain([tail]) {
            while let Some([_, a, b, c, d]) = chunk.first_chunk().copied() {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                into.push_back(EncodedMessage::from_framed(chunk.split_to(PREFIX_LEN + len)));
            }
        }
        if into.is_empty() && !state.finished { Poll::Pending } else { Poll::Ready(state.finished) }
    }

    /// So many octets of what was taken wait no longer.
    pub(crate) fn release(&self, octets: usize) {
        let mut state = self.lock();
        state.waiting -= octets.min(state.waiting);
        let writers = if state.waiting < QUOTA { std::mem::take(&mut state.writers) } else { Vec::new() };
        drop(state);
        for writer in writers {
            writer.wake();
        }
    }

    /// What compresses the messages, for the response's head.
    pub(crate) fn encoding(&self) -> Option<EncodingId> {
        self.lock().compression()?.chosen
    }

    pub(crate) fn headers_sent(&self) -> bool {
        self.lock().headers_sent
    }

    /// What a handler's result and the trailers that it has set are together.
    pub(crate) fn outcome(&self, result: Result<(), Status>) -> Result<Metadata, Status> {
        let mut state = self.lock();
        let trailers = state.said.as_mut().map(|said| std::mem::take(&mut said.trailers)).unwrap_or_default();
        drop(state);
        match result {
            Ok(()) => Ok(trailers),
            Err(mut status) => {
                status.metadata_mut().merge(&trailers);
                Err(status)
            }
        }
    }

    /// Moves messages into the connection as far as it has capacity for the stream. With `end_stream`, END_STREAM goes
    /// with the last octets once the user has finished.
    pub(crate) fn pump(
        &self,
        connection: &mut Connection,
        key: StreamKey,
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Pumped {
        let mut state = self.lock();
        if !end_stream && !state.headers_sent && state.waiting > 0 {
            // Sent by another thread since `take_headers`: the response's head comes first, and a note is on its way.
            return Pumped { octets: 0, is_drained: false };
        }
        state.notified = false;
        let mut octets = 0;
        while state.waiting > 0 && connection.capacity(key) > 0 {
            state.touched = true;
            let sent = state.send_some(connection, key, end_stream, out);
            state.waiting -= sent;
            octets += sent as u64;
        }
        if end_stream && state.finished && state.waiting == 0 && !state.end_sent {
            state.end_sent = true;
            state.touched = true;
            // An error means that the stream is gone; its end is reported to the session by an event of its own.
            let _ = connection.send_data(key, Bytes::new(), true, out);
        }
        let is_drained = state.waiting == 0;
        let writers = if state.waiting < QUOTA { std::mem::take(&mut state.writers) } else { Vec::new() };
        drop(state);
        for writer in writers {
            writer.wake();
        }
        Pumped { octets, is_drained }
    }

    /// The stream is gone: whoever sends learns this status.
    pub(crate) fn close(&self, status: Status) {
        let mut state = self.lock();
        state.closed.get_or_insert(status);
        state.carrier = None;
        state.chunks = VecDeque::new();
        state.tail = Vec::new();
        (state.waiting, state.tail_sent, state.kept) = (0, 0, None);
        state.replay = None;
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        for writer in writers {
            writer.wake();
        }
    }

    /// Whether the call has ended, so that nothing can be sent.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.lock();
        state.closed.is_some() || state.replay.as_ref().is_some_and(|replay| replay.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send_some(
        &mut self,
        connection: &mut Connection,
        key: StreamKey,
        end: bool,
        out: &mut WriteBuf,
    ) -> usize {
        let State { chunks, tail, tail_sent, kept, finished, end_sent, sizes, .. } = self;
        if let Some(chunk) = chunks.pop_front() {
            if let Some(sizes) = sizes {
                sizes.read(&chunk);
            }
            let sent = chunk.len();
            let last = end && *finished && chunks.is_empty() && tail.is_empty();
            *end_sent |= last;
            if let Some(kept) = kept
                && kept.add(sent)
            {
                kept.chunks.push(chunk.clone());
            } else {
                *kept = None;
            }
            // Errors are the end of the stream, as in `pump`.
            let _ = connection.send_data(key, chunk, last, out);
            return sent;
        }
        // Copied frame by frame into the output, so that the buffer serves the next messages too.
        let begin = std::mem::take(tail_sent);
        if let Some(sizes) = sizes {
            sizes.read(&tail[begin..]);
        }
        let (total, last) = (tail.len(), end && *finished);
        *end_sent |= last;
        let mut sent = begin;
        while sent < total {
            let piece = &tail[sent..total.min(sent + ONE_FRAME)];
            let ends = last && sent + piece.len() == total;
            let mut copy = |out: &mut Vec<u8>| out.extend_from_slice(piece);
            if !connection.send_data_in_place(key, piece.len(), ends, out, &mut copy) {
                let rest = Bytes::copy_from_slice(&tail[sent..]);
                let _ = connection.send_data(key, rest, last, out);
                break;
            }
            sent += piece.len();
        }
        if kept.as_mut().is_some_and(|kept| kept.add(total - begin)) {
            *tail_sent = total;
        } else {
            tail.clear();
            self.forget();
        }
        total - begin
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lariat_frame::hpack::HeaderList;
    use lariat_http2::{Config, HeaderBlock};

    use super::*;
    use crate::call::wait;
    use crate::rpc::Raw;

    /// A connection, and how many octets of DATA a stream puts on a new stream of it.
    struct Wire {
        http2: Connection,
        out: WriteBuf,
    }

    impl Wire {
        fn new() -> Self {
            let mut out = WriteBuf::new();
            let http2 = Connection::client(Arc::new(Config::default()), Instant::now(), 1, &mut out);
            Wire { http2, out }
        }

        fn pump(&mut self, stream: &OutboundStream) -> usize {
            let fields = HeaderList::new();
            let key =
                self.http2.open(Instant::now(), HeaderBlock::from(&fields), false, &mut self.out).unwrap();
            let before = self.out.len();
            assert!(stream.pump(&mut self.http2, key, true, &mut self.out).is_drained);
            self.out.len() - before
        }
    }

    fn send(outbound: &Outbound<Bytes>, text: &'static str) {
        wait(outbound.send(Bytes::from_static(text.as_bytes()))).unwrap();
    }

    #[test]
    fn a_stream_goes_back_to_the_beginning_only_if_nothing_was_sent() {
        let outbound = Outbound::<Bytes>::new::<Raw>(None, 100);
        assert!(outbound.stream().rewind());
        send(&outbound, "one");
        assert!(outbound.stream().rewind());
        assert!(Wire::new().pump(outbound.stream()) > 0);
        assert!(!outbound.stream().rewind());
    }

    #[test]
    fn a_stream_that_is_kept_goes_back_to_the_beginning_once() {
        let large = Bytes::from(vec![7; OWN_BUFFER]);
        let outbound = Outbound::<Bytes>::new::<Raw>(None, 10_000).repeatable(20_000);
        let (mut wire, mut sent) = (Wire::new(), Vec::new());
        // Small ones share the tail, large ones are chunks, and some wait while others are sent.
        for message in [&b"one"[..], b"two", &large, b"three", &large, b"four", b"and five"] {
            wait(outbound.send(message.to_vec().into())).unwrap();
            sent.extend_from_slice(&message_prefix(message.len() as u32));
            sent.extend_from_slice(message);
            if !matches!(message, b"two" | b"and five") {
                wire.pump(outbound.stream());
            }
        }
        assert!(outbound.stream().rewind());
        {
            let state = outbound.stream().lock();
            let chunks = state.chunks.iter().flatten().chain(&state.tail);
            assert!(chunks.eq(&sent) && state.waiting == sent.len());
        }
        assert!(wire.pump(outbound.stream()) > sent.len());
        assert!(!outbound.stream().rewind(), "a server may refuse a stream once");
    }

    #[test]
    fn nothing_is_kept_beyond_the_limit_or_of_a_stream_that_is_answered() {
        let mut wire = Wire::new();
        for size in [5, OWN_BUFFER] {
            let outbound = Outbound::<Bytes>::new::<Raw>(None, 10_000).repeatable(2 * (PREFIX_LEN + size));
            for rewinds in [true, true, false] {
                wait(outbound.send(vec![7; size].into())).unwrap();
                wire.pump(outbound.stream());
                assert_eq!(outbound.stream().lock().kept.is_some(), rewinds);
            }
            assert!(!outbound.stream().rewind());
            assert_eq!(outbound.stream().lock().tail, b"");
        }
        let outbound = Outbound::<Bytes>::new::<Raw>(None, 100).repeatable(1_000);
        send(&outbound, "kept");
        wire.pump(outbound.stream());
        send(&outbound, "not sent yet");
        outbound.stream().forget();
        assert!(!outbound.stream().rewind());
        assert_eq!(outbound.stream().lock().tail, b"\0\0\0\0\x0cnot sent yet");
        assert!(wire.pump(outbound.stream()) > 0);
    }

    #[test]
    fn a_copy_goes_back_to_the_beginning_until_it_is_the_call() {
        let outbound = Outbound::<Bytes>::new::<Raw>(None, 100);
        send(&outbound, "sent before it was kept");
        outbound.stream().keep(1_000);
        let (first, second) = (outbound.stream().copy(), outbound.stream().copy());
        send(&outbound, "two");
        let mut wire = Wire::new();
        let sent = wire.pump(&first);
        assert_eq!(wire.pump(&first), 0, "all was sent");
        assert!(first.rewind());
        assert_eq!(wire.pump(&first), sent);
        assert_eq!(wire.pump(&second), sent);
        outbound.stream().settle(&first);
        assert!(!first.rewind(), "what was kept is gone");
        send(&outbound, "three");
        assert!(wire.pump(&first) > 0);
        assert_eq!(wire.pump(&second), 0, "nobody needs it any more");
    }

    #[test]
    fn a_full_buffer_holds_up_writers_until_one_attempt_is_the_call() {
        let outbound = Outbound::<Bytes>::new::<Raw>(None, 100);
        outbound.stream().keep(20);
        let copy = outbound.stream().copy();
        send(&outbound, "fits");
        assert!(!outbound.stream().is_overfull());
        send(&outbound, "is too much for it");
        assert!(outbound.stream().is_overfull());
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting = outbound.send(Bytes::from_static(b"waits"));
        assert!(Pin::new(&mut waiting).poll(&mut cx).is_pending());
        outbound.stream().settle(&copy);
        assert!(Pin::new(&mut waiting).poll(&mut cx).is_ready());
        assert!(!outbound.stream().is_overfull());
    }
}
