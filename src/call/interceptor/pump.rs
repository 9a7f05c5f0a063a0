//! Moves the messages of a call with interceptors between their ends and those of the user or the wire.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::messages::Drained;
use super::{DrainedStream, EncodedMessage, FedStream, MessageReceiver, MessageSender};
use crate::call::{Carrier, Inbound, Outbound, OutboundStream, Receiver};
use crate::rpc::{Metadata, Status};

/// What the wire and a handler's own streams have to do with each other.
pub(crate) struct Ends {
    /// Where the handler receives, and from where that is fed.
    pub(crate) requests: Option<(Arc<dyn Receiver>, MessageReceiver)>,
    /// Where the handler sends, and where that goes.
    pub(crate) responses: Option<(Arc<OutboundStream>, MessageSender)>,
}

/// Runs a handler whose own streams are fed and drained here, as a session would do. What the handler has sent when it
/// ends goes out before the result is returned.
pub(crate) async fn serve<T>(
    handler: impl Future<Output = Result<T, Status>>,
    ends: Ends,
) -> Result<T, Status> {
    let inbound = ends.requests.as_ref().map(|(stream, _)| Arc::clone(stream));
    let outbound = ends.responses.as_ref().map(|(stream, _)| Arc::clone(stream));
    let mut carrier = Attach::new(inbound, outbound);
    let mut handler = pin!(handler);
    let mut feeding = pin!(ends.requests.map(|(stream, receiver)| feed(receiver, stream)));
    let mut draining = pin!(ends.responses.map(|(stream, sender)| drain(stream, sender)));
    let mut result = None;
    poll_fn(move |cx| {
        // A handler may stop to read and go on.
        carrier.attach(cx.waker());
        if let Some(future) = feeding.as_mut().as_pin_mut()
            && future.poll(cx).is_ready()
        {
            feeding.set(None);
        }
        if result.is_none()
            && let Poll::Ready(outcome) = handler.as_mut().poll(cx)
        {
            result = Some(outcome);
        }
        if let Some(future) = draining.as_mut().as_pin_mut()
            && let Poll::Ready(sent) = future.poll(cx)
        {
            draining.set(None);
            if let Err(status) = sent {
                return Poll::Ready(Err(status));
            }
        }
        match draining.is_none() {
            true => result.take().map_or(Poll::Pending, Poll::Ready),
            false => Poll::Pending,
        }
    })
    .await
}

/// Has a call's streams tell the task that polls their other ends.
pub(crate) struct Attach {
    inbound: Option<Arc<dyn Receiver>>,
    outbound: Option<Arc<OutboundStream>>,
    waker: Option<Waker>,
}

impl Attach {
    pub(crate) fn new(inbound: Option<Arc<dyn Receiver>>, outbound: Option<Arc<OutboundStream>>) -> Self {
        Attach { inbound, outbound, waker: None }
    }

    /// False if the user wants no more, as far as is known.
    pub(crate) fn attach(&mut self, waker: &Waker) -> bool {
        if self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return true;
        }
        self.waker = Some(waker.clone());
        if let Some(outbound) = &self.outbound {
            outbound.attach(Carrier::Task(waker.clone()));
        }
        self.inbound.as_ref().is_none_or(|inbound| inbound.attach(Carrier::Task(waker.clone())))
    }
}

/// Gives a handler what comes for it. When the handler reads no more, what comes is discarded with the receiver.
async fn feed(mut receiver: MessageReceiver, stream: Arc<dyn Receiver>) {
    let mut sender = MessageSender::new(FedStream::new(Arc::clone(&stream), true));
    let end = loop {
        match receiver.message().await {
            Ok(Some(message)) => {
                if let Err(status) = sender.send(message).await {
                    break Err(status);
                }
            }
            Ok(None) => break Ok(Metadata::new()),
            Err(status) => break Err(status),
        }
    };
    stream.handle_end(end);
}

/// Sends on what a handler sends.
async fn drain(stream: Arc<OutboundStream>, mut sender: MessageSender) -> Result<(), Status> {
    let mut drained = DrainedStream::new(stream);
    loop {
        match poll_fn(|_| drained.poll_next()).await {
            Drained::Compression(algorithm) => sender.set_compression(&algorithm)?,
            Drained::Headers(headers) => sender.send_headers(headers)?,
            Drained::Message(message) => sender.send(message).await?,
            Drained::End => return Ok(()),
        }
    }
}

/// Carries a client's call with streams over the wire: what follows the last interceptor.
pub(crate) async fn carry(
    requests: MessageReceiver,
    outbound: Option<Outbound<EncodedMessage>>,
    mut inbound: Inbound<EncodedMessage>,
    mut responses: MessageSender,
    user: &dyn Receiver,
) -> Result<Metadata, Status> {
    // What has failed is cancelled before its requests end, for the server not to take those for all there are: this is
    // dropped after the receiving side.
    let mut unfinished = None;
    let mut sending = pin!(outbound.map(|outbound| send(requests, outbound)));
    let receiving = async move {
        let headers = inbound.headers().await.cloned();
        if let Some(peer) = inbound.peer() {
            user.handle_peer(peer);
        }
        responses.send_headers(headers?)?;
        while let Some(message) = inbound.message().await? {
            responses.send(message.arrived(inbound.was_compressed())).await?;
        }
        Ok(inbound.trailers().clone())
    };
    let mut receiving = pin!(receiving);
    poll_fn(|cx| {
        if let Some(future) = sending.as_mut().as_pin_mut()
            && let Poll::Ready((outbound, sent)) = future.poll(cx)
        {
            sending.set(None);
            if let Err(status) = sent {
                unfinished = Some(outbound);
                return Poll::Ready(Err(status));
            }
            outbound.finish();
        }
        receiving.as_mut().poll(cx)
    })
    .await
}

/// Sends all requests. An error is that of an interceptor, or of a message that cannot be sent; how the call ended on
/// the wire is told by the receiving side.
async fn send(
    mut requests: MessageReceiver,
    outbound: Outbound<EncodedMessage>,
) -> (Outbound<EncodedMessage>, Result<(), Status>) {
    loop {
        let message = match requests.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return (outbound, Ok(())),
            Err(status) => return (outbound, Err(status)),
        };
        let sent = match message.is_compressible() {
            true => outbound.send(message).await,
            false => outbound.send_uncompressed(message).await,
        };
        if let Err(status) = sent {
            let sent = if outbound.stream().is_closed() { Ok(()) } else { Err(status) };
            return (outbound, sent);
        }
    }
}
