//! A channel's calls behind its interceptors.
//!
//! The user holds the ends of the call as always. Their other ends are held by a future on a loop, which runs the
//! interceptors and, behind the last of them, makes the call that goes over the wire.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::channel::Channel;
use super::method::Method;
use super::pending::{Body, PendingCall};
use super::unary::{UnaryCall, UnaryReceiver};
use crate::call::interceptor::{
    Attach, BoxFuture, Chain, DrainedStream, EncodedMessage, Endpoint, FedStream, MessageReceiver,
    MessageSender, Messages, Octets, ReceivedOnce, SendMessages, carry,
};
use crate::call::{Inbound, MethodKind, Receiver, Request, Response};
use crate::engine::{sleep, spawn};
use crate::net::{LoopHandle, clock};
use crate::rpc::{Cardinality, Metadata, Status};

/// How long after its deadline a call is ended here. The call over the wire ends by a timer of its own, and
/// interceptors should see how; this one is for interceptors that wait too long themselves.
const DEADLINE_SLACK: Duration = Duration::from_millis(10);

/// The way over the wire, behind the last interceptor.
pub(super) struct Wire {
    channel: Channel,
    pub(super) method: Method,
    pub(super) subtype: &'static str,
    pub(super) responses: Cardinality,
    kind: MethodKind,
    user: Arc<dyn Receiver>,
}

/// Makes a call behind interceptors, on this loop.
pub(super) fn start(handle: &LoopHandle, chain: Arc<Chain>, wire: Wire, call: PendingCall) {
    spawn(handle, run(chain, wire, Guarded(Some(call))));
}

async fn run(chain: Arc<Chain>, wire: Wire, mut guarded: Guarded) {
    let Some(call) = &guarded.0 else { return };
    let user: Arc<dyn Receiver> = call.receiver();
    let outbound = match &call.body {
        Body::Stream(outbound) => Some(Arc::clone(outbound)),
        Body::Message(..) => None,
    };
    let mut carrier = Attach::new(Some(Arc::clone(&user)), outbound);
    let left = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
    let mut timeout = pin!(left.map(|left| sleep(left + DEADLINE_SLACK)));
    // What nobody chose stays open for the service config.
    let request = Request::from_parts((), call.metadata.clone(), call.wishes());
    let body = call.body.clone();
    let result = {
        let mut outcome = pin!(wire.call(&chain, request, body));
        poll_fn(|cx| {
            if !carrier.attach(cx.waker()) || user.is_abandoned() {
                return Poll::Ready(Err(Status::cancelled("the call was dropped")));
            }
            if let Poll::Ready(result) = outcome.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            match timeout.as_mut().as_pin_mut().map(|timeout| timeout.poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Status::deadline_exceeded(
                    "the deadline of the call passed while its interceptors ran",
                ))),
                _ => Poll::Pending,
            }
        })
        .await
    };
    if let Some(call) = guarded.0.take() {
        call.end(result);
    }
}

impl Wire {
    /// The way of this call.
    pub(super) fn new(channel: Channel, call: &PendingCall) -> Self {
        let (method, subtype, responses) = (call.method.clone(), call.subtype, call.responses);
        Wire { channel, method, subtype, responses, kind: call.kind(), user: call.receiver() }
    }

    /// Makes the call, and tells its user all but how it ends.
    async fn call(&self, chain: &Chain, request: Request<()>, body: Body) -> Result<Metadata, Status> {
        let next = chain.to(self, self.method.path(), self.kind);
        let requests = match body {
            Body::Message(framed, _) => {
                let message = EncodedMessage::from_framed(framed);
                if self.kind == MethodKind::Unary {
                    let response = next.unary(request.map(|()| message)).await?;
                    let (message, headers, trailers) = response.into_parts();
                    let mut user = FedStream::new(Arc::clone(&self.user), false);
                    user.send_headers(headers)?;
                    user.send(message)?;
                    return Ok(trailers);
                }
                MessageReceiver::new(ReceivedOnce(Some(message)))
            }
            Body::Stream(outbound) => MessageReceiver::new(DrainedStream::new(outbound)),
        };
        let responses = FedStream::new(Arc::clone(&self.user), self.kind.has_streaming_response());
        next.stream(request, Messages { requests, responses: MessageSender::new(responses) }).await
    }
}

impl Endpoint for Wire {
    fn unary(
        &self,
        request: Request<EncodedMessage>,
    ) -> BoxFuture<'_, Result<Response<EncodedMessage>, Status>> {
        if self.kind != MethodKind::Unary {
            let status = "an interceptor went on with Next::unary in a call with streams";
            return Box::pin(std::future::ready(Err(Status::internal(status))));
        }
        let receiver = UnaryReceiver::new::<Octets>();
        let mut call = UnaryCall::new(self.channel.send_one(self, request, receiver));
        Box::pin(async move {
            let result = (&mut call).await;
            if let Some(peer) = call.peer() {
                self.user.handle_peer(&peer);
            }
            let response = result?;
            let was_compressed = response.was_compressed();
            Ok(response.map(|message| message.arrived(was_compressed)))
        })
    }

    fn stream(&self, request: Request<()>, messages: Messages) -> BoxFuture<'_, Result<Metadata, Status>> {
        if self.kind == MethodKind::Unary {
            let status =
                "an interceptor went on with Next::stream in a call with one request and one response";
            return Box::pin(std::future::ready(Err(Status::internal(status))));
        }
        Box::pin(async move {
            let Messages { mut requests, responses } = messages;
            let inbound = Inbound::<EncodedMessage>::new::<Octets>(None, None);
            let outbound = match self.kind.has_streaming_request() {
                true => Some(self.channel.send_stream(self, request, Arc::clone(inbound.stream()))),
                false => {
                    let Some(message) = requests.message().await? else {
                        return Err(Status::internal("an interceptor took the request away"));
                    };
                    let request = request.map(|()| message);
                    self.channel.send_one(self, request, Arc::clone(inbound.stream()));
                    None
                }
            };
            carry(requests, outbound, inbound, responses, &*self.user).await
        })
    }
}

/// The user's call, which learns its outcome whatever becomes of the interceptors.
struct Guarded(Option<PendingCall>);

impl Drop for Guarded {
    fn drop(&mut self) {
        // A call that is dropped for another reason, such as the end of its loop, tells it by itself.
        if std::thread::panicking()
            && let Some(call) = self.0.take()
        {
            call.fail(Status::internal("an interceptor panicked"));
        }
    }
}
