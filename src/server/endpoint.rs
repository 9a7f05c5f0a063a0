//! The second form of a handler, its endpoint: the same, with messages as their octets, for interceptors.

use std::sync::Arc;

use crate::call::interceptor::{BoxFuture, EncodedMessage, Endpoint, Ends, Messages, serve};
use crate::call::{Inbound, Outbound, Request, Response};
use crate::rpc::{Codec, Metadata, Status};

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
