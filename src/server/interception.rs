//! Handlers behind interceptors.
//!
//! Each [`Handler`] has a second form for interceptors, its [endpoint](super::endpoint), which takes messages as their
//! octets. A handler with interceptors is one that runs them in front of the endpoint. It is made when the server is,
//! so that calls to other handlers know nothing of it.

use std::sync::Arc;

use super::handler::{Handler, Service};
use super::invocation::{Start, Started};
use crate::call::interceptor::{
    BoxFuture, Chain, EncodedMessage, Endpoint, Interceptor, MessageReceiver, MessageSender, Messages, Next,
    Octets, ReceivedOnce, SentOnce,
};
use crate::call::{CallContext, Inbound, MethodKind, Request, Response};
use crate::rpc::{Metadata, Status};

/// A service with an interceptor around its calls; see [`Service::with_interceptor`].
#[derive(Debug)]
pub struct Intercepted<S> {
    service: S,
    chain: Arc<Chain>,
}

impl<S: Service> Intercepted<S> {
    pub(super) fn new(service: S, interceptor: impl Interceptor) -> Self {
        let mut chain = Chain::default();
        chain.push(interceptor);
        Intercepted { service, chain: Arc::new(chain) }
    }
}

impl<S: Service> Service for Intercepted<S> {
    fn name(&self) -> &str {
        self.service.name()
    }

    fn methods(&self) -> Vec<Handler> {
        let path = |handler: &Handler| format!("/{}/{}", self.service.name(), handler.name());
        let intercepted = |handler: Handler| behind(&self.chain, &handler, Some(path(&handler)));
        self.service.methods().into_iter().map(intercepted).collect()
    }
}

/// The same handler behind interceptors. A handler of no fixed path finds it in each request.
pub(super) fn behind(chain: &Arc<Chain>, handler: &Handler, path: Option<String>) -> Handler {
    let behind = Behind {
        chain: Arc::clone(chain),
        endpoint: Arc::clone(handler.endpoint()),
        path: path.map(Arc::from),
        kind: handler.kind(),
    };
    let endpoint: Arc<dyn Endpoint> = Arc::new(behind);
    let name = handler.name();
    match handler.kind() {
        MethodKind::Unary => unary(name, endpoint),
        MethodKind::ClientStreaming => client_streaming(name, endpoint),
        kind @ (MethodKind::ServerStreaming | MethodKind::BidiStreaming) => streaming(name, kind, endpoint),
    }
    .with_subtype(handler.subtype())
}

fn unary(name: &str, endpoint: Arc<dyn Endpoint>) -> Handler {
    let inside = Arc::clone(&endpoint);
    let start = move |start: Start<'_>, _: &mut Started| {
        let (message, context) = received(start);
        let (inside, request) = (Arc::clone(&inside), Request::received(message, context));
        Ok(async move { inside.unary(request).await.map(heeded) })
    };
    Handler::new::<Octets, EncodedMessage, _, _>(
        name,
        MethodKind::Unary,
        endpoint,
        start,
        |responder, result| responder.respond::<Octets, EncodedMessage>(result),
    )
}

fn client_streaming(name: &str, endpoint: Arc<dyn Endpoint>) -> Handler {
    let inside = Arc::clone(&endpoint);
    let start = move |start: Start<'_>, started: &mut Started| {
        let requests = inbound(&start, started);
        let (inside, request) = (Arc::clone(&inside), Request::received((), start.context));
        let response = SentOnce::default();
        let messages = Messages { requests, responses: MessageSender::new(response.clone()) };
        Ok(async move {
            let response = response.into_response(inside.stream(request, messages).await);
            response.map(heeded)
        })
    };
    let kind = MethodKind::ClientStreaming;
    Handler::new::<Octets, EncodedMessage, _, _>(name, kind, endpoint, start, |responder, result| {
        responder.respond::<Octets, EncodedMessage>(result)
    })
}

/// With a stream of responses.
fn streaming(name: &str, kind: MethodKind, endpoint: Arc<dyn Endpoint>) -> Handler {
    let inside = Arc::clone(&endpoint);
    let start = move |start: Start<'_>, started: &mut Started| {
        let outbound = start.outbound::<Octets, EncodedMessage>();
        let stream = Arc::clone(outbound.stream());
        started.outbound = Some(Arc::clone(&stream));
        let responses = MessageSender::new(outbound);
        let (requests, context) = match kind.has_streaming_request() {
            true => (inbound(&start, started), start.context),
            false => {
                let (message, context) = received(start);
                (MessageReceiver::new(ReceivedOnce(Some(message))), context)
            }
        };
        let (inside, request) = (Arc::clone(&inside), Request::received((), context));
        Ok(async move {
            let trailers = inside.stream(request, Messages { requests, responses }).await?;
            stream.set_trailers(trailers);
            Ok(())
        })
    };
    Handler::new::<Octets, EncodedMessage, _, _>(name, kind, endpoint, start, |responder, result| {
        responder.end(result)
    })
}

/// The one request, and what came with it.
fn received(start: Start<'_>) -> (EncodedMessage, CallContext) {
    let message = EncodedMessage::from_bytes(start.message.into_bytes());
    (message.arrived(start.context.was_compressed), start.context)
}

/// The stream of requests.
fn inbound(start: &Start<'_>, started: &mut Started) -> MessageReceiver {
    let inbound = Inbound::<EncodedMessage>::new::<Octets>(Some(start.link.clone()), None);
    started.inbound = Some(inbound.stream().clone());
    MessageReceiver::new(inbound)
}

/// The response, whose message is left as it is if interceptors have that said of it.
fn heeded(response: Response<EncodedMessage>) -> Response<EncodedMessage> {
    if response.message().is_compressible() { response } else { response.with_uncompressed_message() }
}

/// An endpoint with interceptors in front of it.
struct Behind {
    chain: Arc<Chain>,
    endpoint: Arc<dyn Endpoint>,
    path: Option<Arc<str>>,
    kind: MethodKind,
}

impl Behind {
    fn next<'a>(&'a self, path: &'a Option<Arc<str>>) -> Next<'a> {
        self.chain.to(&*self.endpoint, path.as_deref().unwrap_or_default(), self.kind)
    }

    fn path<T>(&self, request: &Request<T>) -> Option<Arc<str>> {
        self.path.clone().or_else(|| request.metadata().path().map(Arc::from))
    }
}

impl Endpoint for Behind {
    fn unary(
        &self,
        request: Request<EncodedMessage>,
    ) -> BoxFuture<'_, Result<Response<EncodedMessage>, Status>> {
        Box::pin(async move {
            let path = self.path(&request);
            self.next(&path).unary(request).await
        })
    }

    fn stream(&self, request: Request<()>, messages: Messages) -> BoxFuture<'_, Result<Metadata, Status>> {
        Box::pin(async move {
            let path = self.path(&request);
            self.next(&path).stream(request, messages).await
        })
    }
}
