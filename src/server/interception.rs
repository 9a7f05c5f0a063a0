//! Handlers behind interceptors.
//!
//! Each [`Handler`] has a second form for interceptors, its endpoint, which takes messages as their octets. A handler
//! with interceptors is one that runs them in front of the endpoint. It is made when the server is, so that calls to
//! other handlers know nothing of it.

use std::sync::Arc;

use super::handler::{Handler, Service};
use super::invocation::{Start, Started};
use crate::call::interceptor::{
    BoxFuture, Chain, EncodedMessage, Endpoint, Ends, Interceptor, MessageReceiver, MessageSender, Messages,
    Next, Octets, ReceivedOnce, SentOnce, serve,
};
use crate::call::{Inbound, MethodKind, Outbound, Request, Response};
use crate::rpc::{Codec, Metadata, Status};

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
    let inside = Arc::clone(&endpoint);
    let (name, kind) = (handler.name(), handler.kind());
    match kind {
        MethodKind::Unary => {
            let start = move |start: Start<'_>, _: &mut Started| {
                let message = EncodedMessage::from_bytes(start.message.into_bytes());
                let message = message.arrived(start.context.was_compressed);
                let (inside, request) = (Arc::clone(&inside), Request::received(message, start.context));
                Ok(async move { inside.unary(request).await.map(heeded) })
            };
            Handler::new::<Octets, EncodedMessage, _, _>(name, kind, endpoint, start, |responder, result| {
                responder.respond::<Octets, EncodedMessage>(result)
            })
        }
        MethodKind::ClientStreaming => {
            let start = move |start: Start<'_>, started: &mut Started| {
                let inbound = Inbound::<EncodedMessage>::new::<Octets>(Some(start.link.clone()), None);
                started.inbound = Some(inbound.stream().clone());
                let (inside, request) = (Arc::clone(&inside), Request::received((), start.context));
                let response = SentOnce::default();
                let messages = Messages {
                    requests: MessageReceiver::new(inbound),
                    responses: MessageSender::new(response.clone()),
                };
                Ok(async move {
                    let response = response.into_response(inside.stream(request, messages).await);
                    response.map(heeded)
                })
            };
            Handler::new::<Octets, EncodedMessage, _, _>(name, kind, endpoint, start, |responder, result| {
                responder.respond::<Octets, EncodedMessage>(result)
            })
        }
        MethodKind::ServerStreaming | MethodKind::BidiStreaming => {
            let start = move |start: Start<'_>, started: &mut Started| {
                let outbound = start.outbound::<Octets, EncodedMessage>();
                let requests = match kind.has_streaming_request() {
                    true => {
                        let inbound =
                            Inbound::<EncodedMessage>::new::<Octets>(Some(start.link.clone()), None);
                        started.inbound = Some(inbound.stream().clone());
                        MessageReceiver::new(inbound)
                    }
                    false => {
                        let was_compressed = start.context.was_compressed;
                        let message = EncodedMessage::from_bytes(start.message.into_bytes());
                        MessageReceiver::new(ReceivedOnce(Some(message.arrived(was_compressed))))
                    }
                };
                let stream = Arc::clone(outbound.stream());
                started.outbound = Some(Arc::clone(&stream));
                let messages = Messages { requests, responses: MessageSender::new(outbound) };
                let (inside, request) = (Arc::clone(&inside), Request::received((), start.context));
                Ok(async move {
                    let trailers = inside.stream(request, messages).await?;
                    stream.set_trailers(trailers);
                    Ok(())
                })
            };
            Handler::new::<Octets, EncodedMessage, _, _>(name, kind, endpoint, start, |responder, result| {
                responder.end(result)
            })
        }
    }
    .with_subtype(handler.subtype())
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

/// The endpoint of a method with one request and one response.
struct UnaryEndpoint<F>(F);

impl<F> Endpoint for UnaryEndpoint<F>
where
    F: Fn(Request<EncodedMessage>) -> BoxFuture<'static, Result<Response<EncodedMessage>, Status>>
        + Send
        + Sync,
{
    fn unary(
        &self,
        request: Request<EncodedMessage>,
    ) -> BoxFuture<'_, Result<Response<EncodedMessage>, Status>> {
        (self.0)(request)
    }

    fn stream(&self, _: Request<()>, _: Messages) -> BoxFuture<'_, Result<Metadata, Status>> {
        let status = "an interceptor went on with Next::stream in a call with one request and one response";
        Box::pin(std::future::ready(Err(Status::internal(status))))
    }
}

/// The endpoint of a method with streams.
struct StreamEndpoint<F>(F);

impl<F> Endpoint for StreamEndpoint<F>
where
    F: Fn(Request<()>, Messages) -> BoxFuture<'static, Result<Metadata, Status>> + Send + Sync,
{
    fn unary(&self, _: Request<EncodedMessage>) -> BoxFuture<'_, Result<Response<EncodedMessage>, Status>> {
        let status = "an interceptor went on with Next::unary in a call with streams";
        Box::pin(std::future::ready(Err(Status::internal(status))))
    }

    fn stream(&self, request: Request<()>, messages: Messages) -> BoxFuture<'_, Result<Metadata, Status>> {
        (self.0)(request, messages)
    }
}

pub(super) fn unary<C, Req, Resp, F, Fut>(handle: Arc<F>) -> Arc<dyn Endpoint>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: Fn(Request<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Resp>, Status>> + Send + 'static,
{
    Arc::new(UnaryEndpoint(move |request: Request<EncodedMessage>| -> BoxFuture<'static, _> {
        let handle = Arc::clone(&handle);
        Box::pin(async move {
            let (head, message) = request.split();
            let message = message.decode::<C, Req>()?;
            let mut response = handle(head.map(|()| message)).await?;
            let is_compressible = !response.take_leaves_message();
            let encode = |message| EncodedMessage::new::<C, Resp>(&message).compressible(is_compressible);
            Ok(response.map(encode))
        })
    }))
}

pub(super) fn server_streaming<C, Req, Resp, F, Fut>(handle: Arc<F>) -> Arc<dyn Endpoint>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: Fn(Request<Req>, Outbound<Resp>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    Arc::new(StreamEndpoint(move |request: Request<()>, messages: Messages| -> BoxFuture<'static, _> {
        let handle = Arc::clone(&handle);
        Box::pin(async move {
            let Messages { mut requests, responses } = messages;
            let Some(message) = requests.message().await? else {
                return Err(Status::internal("an interceptor took the request away"));
            };
            let message = message.decode::<C, Req>()?;
            let outbound = Outbound::new::<C>(None, usize::MAX).relayed(request.choices());
            let stream = Arc::clone(outbound.stream());
            let ends = Ends { requests: None, responses: Some((Arc::clone(&stream), responses)) };
            let result = serve(handle(request.map(|()| message), outbound), ends).await;
            stream.outcome(result)
        })
    }))
}

pub(super) fn client_streaming<C, Req, Resp, F, Fut>(handle: Arc<F>) -> Arc<dyn Endpoint>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: Fn(Inbound<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Resp>, Status>> + Send + 'static,
{
    Arc::new(StreamEndpoint(move |request: Request<()>, messages: Messages| -> BoxFuture<'static, _> {
        let handle = Arc::clone(&handle);
        Box::pin(async move {
            let Messages { requests, mut responses } = messages;
            let inbound = Inbound::new::<C>(None, request.into_context());
            let ends = Ends { requests: Some((inbound.stream().clone(), requests)), responses: None };
            let mut response = serve(handle(inbound), ends).await?;
            let choice = response.take_compression().unwrap_or_default();
            if let Some(algorithm) = &choice.algorithm {
                responses.set_compression(algorithm)?;
            }
            let (message, headers, trailers) = response.into_parts();
            responses.send_headers(headers)?;
            let message = EncodedMessage::new::<C, Resp>(&message);
            responses.send(message.compressible(!choice.leaves_message)).await?;
            Ok(trailers)
        })
    }))
}

pub(super) fn bidi_streaming<C, Req, Resp, F, Fut>(handle: Arc<F>) -> Arc<dyn Endpoint>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: Fn(Inbound<Req>, Outbound<Resp>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    Arc::new(StreamEndpoint(move |request: Request<()>, messages: Messages| -> BoxFuture<'static, _> {
        let handle = Arc::clone(&handle);
        Box::pin(async move {
            let Messages { requests, responses } = messages;
            let outbound = Outbound::new::<C>(None, usize::MAX).relayed(request.choices());
            let inbound = Inbound::new::<C>(None, request.into_context());
            let stream = Arc::clone(outbound.stream());
            let ends = Ends {
                requests: Some((inbound.stream().clone(), requests)),
                responses: Some((Arc::clone(&stream), responses)),
            };
            stream.outcome(serve(handle(inbound, outbound), ends).await)
        })
    }))
}
