//! The messages of a call with streams, as an interceptor sees them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use super::EncodedMessage;
use crate::call::{Inbound, Outbound, OutboundStream, Receiver, Response};
use crate::rpc::{Metadata, PREFIX_LEN, Payload, Status};

/// Octets that may wait for a reader behind interceptors, as many as an [`Outbound`] holds.
const QUOTA: usize = 64 * 1024;

/// Both ways of a call with streams. A side that is no stream is one of a single message.
#[derive(Debug)]
pub struct Messages {
    /// What the client sends.
    pub requests: MessageReceiver,
    /// Where the responses go.
    pub responses: MessageSender,
}

impl Messages {
    /// Sees and changes each request, or ends the call with a status.
    pub fn map_requests<F>(self, change: F) -> Messages
    where
        F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send + 'static,
    {
        Messages { requests: self.requests.map(change), responses: self.responses }
    }

    /// Sees and changes each response, or ends the call with a status.
    pub fn map_responses<F>(self, change: F) -> Messages
    where
        F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send + 'static,
    {
        Messages { requests: self.requests, responses: self.responses.map(change) }
    }

    /// Sees and changes the initial metadata of the response.
    pub fn map_headers<F>(self, change: F) -> Messages
    where
        F: FnMut(Metadata) -> Result<Metadata, Status> + Send + 'static,
    {
        Messages { requests: self.requests, responses: self.responses.map_headers(change) }
    }
}

/// Where messages come from. Implement it for a source of one's own; [`MessageReceiver::map`] is enough for most.
pub trait ReceiveMessages: Send {
    /// The next message, or `None` after the last.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>>;
}

/// Where messages go. Implement it for a place of one's own; [`MessageSender::map`] is enough for most.
pub trait SendMessages: Send {
    /// Whether there is room for a message; if not, the task is woken when there is.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>>;
    /// Takes a message. Called when [`poll_ready`](SendMessages::poll_ready) has said that there is room.
    fn send(&mut self, message: EncodedMessage) -> Result<(), Status>;
    /// Takes the initial metadata, which precede the first message. They may never come.
    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status>;
    /// On a server: takes the choice of the algorithm that compresses the messages, which precedes the initial
    /// metadata. It may never come; a place that stands in front of another one has to hand it on.
    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status>;
}

/// One way of a stream of messages: the end where they come out.
pub struct MessageReceiver {
    source: Box<dyn ReceiveMessages>,
}

impl MessageReceiver {
    /// Receives from this source.
    pub fn new(source: impl ReceiveMessages + 'static) -> Self {
        MessageReceiver { source: Box::new(source) }
    }

    /// The next message, or `None` after the last.
    ///
    /// # Errors
    ///
    /// The status with which the stream ended.
    pub async fn message(&mut self) -> Result<Option<EncodedMessage>, Status> {
        std::future::poll_fn(|cx| self.source.poll_message(cx)).await
    }

    /// Sees and changes each message, or ends the stream with a status.
    pub fn map<F>(self, change: F) -> MessageReceiver
    where
        F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send + 'static,
    {
        MessageReceiver::new(Mapped { inside: self.source, change })
    }
}

impl ReceiveMessages for MessageReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>> {
        self.source.poll_message(cx)
    }
}

impl fmt::Debug for MessageReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReceiver").finish_non_exhaustive()
    }
}

/// One way of a stream of messages: the end where they go in.
pub struct MessageSender {
    sink: Box<dyn SendMessages>,
}

impl MessageSender {
    /// Sends to this sink.
    pub fn new(sink: impl SendMessages + 'static) -> Self {
        MessageSender { sink: Box::new(sink) }
    }

    /// Sends a message, when there is room for it.
    ///
    /// # Errors
    ///
    /// The status of the call if it has ended.
    pub async fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        std::future::poll_fn(|cx| self.sink.poll_ready(cx)).await?;
        self.sink.send(message)
    }

    /// Sends the initial metadata of the response; only before the first message.
    ///
    /// # Errors
    ///
    /// INTERNAL if they were sent already, the status of the call if it has ended.
    pub fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        self.sink.send_headers(headers)
    }

    /// On a server, before the initial metadata: the algorithm that compresses the messages, such as `gzip`; `identity`
    /// for none. The handler may still choose another. On a client, whose server chooses, it has no effect.
    ///
    /// # Errors
    ///
    /// INTERNAL if the client does not accept it, the server does not know it, or it is too late.
    pub fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        self.sink.set_compression(algorithm)
    }

    /// Sees and changes each message, or ends the stream with a status.
    pub fn map<F>(self, change: F) -> MessageSender
    where
        F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send + 'static,
    {
        MessageSender::new(Mapped { inside: self.sink, change })
    }

    /// Sees and changes the initial metadata.
    pub fn map_headers<F>(self, change: F) -> MessageSender
    where
        F: FnMut(Metadata) -> Result<Metadata, Status> + Send + 'static,
    {
        MessageSender::new(MappedHeaders { inside: self.sink, change })
    }
}

impl SendMessages for MessageSender {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.sink.poll_ready(cx)
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        self.sink.send(message)
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        self.sink.send_headers(headers)
    }

    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        self.sink.set_compression(algorithm)
    }
}

impl fmt::Debug for MessageSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSender").finish_non_exhaustive()
    }
}

struct Mapped<S: ?Sized, F> {
    change: F,
    inside: Box<S>,
}

impl<F> ReceiveMessages for Mapped<dyn ReceiveMessages, F>
where
    F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send,
{
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>> {
        let message = ready!(self.inside.poll_message(cx))?;
        Poll::Ready(message.map(&mut self.change).transpose())
    }
}

impl<F> SendMessages for Mapped<dyn SendMessages, F>
where
    F: FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + Send,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inside.poll_ready(cx)
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        let message = (self.change)(message)?;
        self.inside.send(message)
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        self.inside.send_headers(headers)
    }

    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        self.inside.set_compression(algorithm)
    }
}

struct MappedHeaders<F> {
    change: F,
    inside: Box<dyn SendMessages>,
}

impl<F> SendMessages for MappedHeaders<F>
where
    F: FnMut(Metadata) -> Result<Metadata, Status> + Send,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inside.poll_ready(cx)
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        self.inside.send(message)
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        let headers = (self.change)(headers)?;
        self.inside.send_headers(headers)
    }

    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        self.inside.set_compression(algorithm)
    }
}

/// The wire's end of a stream, as the innermost interceptor of a server sees it.
impl ReceiveMessages for Inbound<EncodedMessage> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>> {
        let message = ready!(Inbound::poll_message(self, cx))?;
        Poll::Ready(Ok(message.map(|message| message.arrived(self.was_compressed()))))
    }
}

impl SendMessages for Outbound<EncodedMessage> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.stream().poll_ready(cx)
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        self.send_now(message)
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        Outbound::send_headers(self, headers)
    }

    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        Outbound::set_compression(self, algorithm)
    }
}

/// What a user sends by an [`Outbound`], taken from there in place of a session. The stream has to be attached to
/// whatever polls this one.
pub(crate) struct DrainedStream {
    stream: Arc<OutboundStream>,
    taken: VecDeque<EncodedMessage>,
    /// They follow the choice of compression.
    headers: Option<Metadata>,
}

/// What comes out of a [`DrainedStream`].
pub(crate) enum Drained {
    /// A handler's choice of the algorithm.
    Compression(String),
    Headers(Metadata),
    Message(EncodedMessage),
    End,
}

impl DrainedStream {
    pub(crate) fn new(stream: Arc<OutboundStream>) -> Self {
        DrainedStream { stream, taken: VecDeque::new(), headers: None }
    }

    /// What comes next. While this is pending, the stream's carrier is told when something does.
    pub(super) fn poll_next(&mut self) -> Poll<Drained> {
        if let Some(headers) = self.stream.take_headers() {
            // From now on nothing can be chosen.
            if let Some(algorithm) = self.stream.take_choice() {
                self.headers = Some(headers);
                return Poll::Ready(Drained::Compression(algorithm));
            }
            return Poll::Ready(Drained::Headers(headers));
        }
        if let Some(headers) = self.headers.take() {
            return Poll::Ready(Drained::Headers(headers));
        }
        if self.taken.is_empty() {
            let finished = ready!(self.stream.poll_take(&mut self.taken));
            if finished && self.taken.is_empty() {
                return Poll::Ready(Drained::End);
            }
        }
        match self.taken.pop_front() {
            Some(message) => {
                self.stream.release(message.len() + PREFIX_LEN);
                Poll::Ready(Drained::Message(message))
            }
            None => Poll::Ready(Drained::End),
        }
    }
}

impl ReceiveMessages for DrainedStream {
    fn poll_message(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>> {
        loop {
            match ready!(self.poll_next()) {
                // A client's stream has none.
                Drained::Compression(_) | Drained::Headers(_) => {}
                Drained::Message(message) => return Poll::Ready(Ok(Some(message))),
                Drained::End => return Poll::Ready(Ok(None)),
            }
        }
    }
}

/// What a user receives by an [`Inbound`] or a unary call, given there in place of a session. The
/// stream has to be attached to whatever polls this one.
pub(crate) struct FedStream {
    stream: Arc<dyn Receiver>,
    outstanding: usize,
    /// Whether more than one message may come.
    takes_many: bool,
    has_headers: bool,
    has_message: bool,
}

impl FedStream {
    pub(crate) fn new(stream: Arc<dyn Receiver>, takes_many: bool) -> Self {
        FedStream { stream, outstanding: 0, takes_many, has_headers: false, has_message: false }
    }
}

impl SendMessages for FedStream {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.stream.is_abandoned() {
            return Poll::Ready(Err(Status::cancelled("nobody reads the stream any more")));
        }
        self.outstanding -= self.stream.take_consumed().min(self.outstanding);
        match self.outstanding < QUOTA || !self.takes_many {
            true => Poll::Ready(Ok(())),
            // The reader tells its link when it has consumed half of that.
            false => Poll::Pending,
        }
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        if std::mem::replace(&mut self.has_message, true) && !self.takes_many {
            return Err(Status::internal("an interceptor sent more than the one response of the method"));
        }
        if !self.has_headers {
            self.send_headers(Metadata::new())?;
        }
        let octets = message.len() + PREFIX_LEN;
        self.outstanding += octets;
        let was_compressed = message.was_compressed();
        let payload = Payload::Owned(message.into_bytes());
        match was_compressed {
            true => self.stream.handle_inflated(payload, octets),
            false => self.stream.handle_message(payload, octets),
        }
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        if std::mem::replace(&mut self.has_headers, true) {
            return Err(Status::internal("the response headers were sent already; they can be sent once"));
        }
        self.stream.handle_headers(headers);
        Ok(())
    }

    fn set_compression(&mut self, _: &str) -> Result<(), Status> {
        Ok(())
    }
}

/// The one request of a method without a stream of them.
pub(crate) struct ReceivedOnce(pub(crate) Option<EncodedMessage>);

impl ReceiveMessages for ReceivedOnce {
    fn poll_message(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<EncodedMessage>, Status>> {
        Poll::Ready(Ok(self.0.take()))
    }
}

/// The one response of a method without a stream of them.
#[derive(Clone, Default)]
pub(crate) struct SentOnce(Arc<Mutex<OneResponse>>);

#[derive(Default)]
struct OneResponse {
    compression: Option<String>,
    headers: Metadata,
    message: Option<EncodedMessage>,
}

impl SentOnce {
    /// The response, with what the call ended with.
    pub(crate) fn into_response(
        self,
        result: Result<Metadata, Status>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let trailers = result?;
        let OneResponse { compression, headers, message } = std::mem::take(&mut *self.lock());
        let Some(message) = message else {
            return Err(Status::internal("an interceptor ended the call with OK and without a response"));
        };
        let response = Response::from_parts(message, headers, trailers);
        Ok(match compression {
            Some(algorithm) => response.with_compression(algorithm),
            None => response,
        })
    }

    fn lock(&self) -> MutexGuard<'_, OneResponse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SendMessages for SentOnce {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, message: EncodedMessage) -> Result<(), Status> {
        match self.lock().message.replace(message) {
            None => Ok(()),
            Some(_) => Err(Status::internal("an interceptor sent more than the one response of the method")),
        }
    }

    fn send_headers(&mut self, headers: Metadata) -> Result<(), Status> {
        self.lock().headers = headers;
        Ok(())
    }

    fn set_compression(&mut self, algorithm: &str) -> Result<(), Status> {
        self.lock().compression = Some(algorithm.to_owned());
        Ok(())
    }
}
