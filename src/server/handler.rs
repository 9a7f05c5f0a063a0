//! What a user adds to a server: services, made of handlers for their methods.

use std::fmt;
use std::sync::Arc;

use super::endpoint;
use super::interception::Intercepted;
use super::invocation::{Invocation, Invoke, Start, Started};
use super::responder::Responder;
use crate::call::interceptor::{Endpoint, Interceptor};
use crate::call::{Inbound, MethodKind, Outbound, Request, Response};
use crate::rpc::{Codec, Status};

/// A gRPC service: what generated `..Server` types implement.
pub trait Service: Send + Sync + 'static {
    /// The full name with its package, such as `helloworld.Greeter`.
    fn name(&self) -> &str;
    /// A handler for each method.
    fn methods(&self) -> Vec<Handler>;

    /// The same service with an interceptor around its calls. Several can be added; the one that is added last is the
    /// outermost. Those of the [server](super::ServerBuilder::interceptor) are outside of all of them.
    fn with_interceptor<I: Interceptor>(self, interceptor: I) -> Intercepted<Self>
    where
        Self: Sized,
    {
        Intercepted::new(self, interceptor)
    }
}

/// One method: its name and the `async fn` that serves it.
#[derive(Clone)]
pub struct Handler {
    name: String,
    kind: MethodKind,
    subtype: &'static str,
    make: Arc<dyn Fn() -> Box<dyn Invocation> + Send + Sync>,
    /// The same method for interceptors.
    endpoint: Arc<dyn Endpoint>,
}

impl Handler {
    /// A method with one request and one response.
    pub fn unary<C, Req, Resp, F, Fut>(name: impl Into<String>, serve: F) -> Handler
    where
        C: Codec<Req> + Codec<Resp>,
        Req: Send + 'static,
        Resp: Send + 'static,
        F: Fn(Request<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Resp>, Status>> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let endpoint = endpoint::unary::<C, _, _, _, _>(Arc::clone(&serve));
        let start = move |start: Start<'_>, _: &mut Started| {
            let message = <C as Codec<Req>>::decode(start.message)?;
            Ok(serve(Request::received(message, start.context)))
        };
        Handler::new::<C, Req, _, _>(name, MethodKind::Unary, endpoint, start, |responder, result| {
            responder.respond::<C, Resp>(result)
        })
    }

    /// A method with one request and a stream of responses.
    pub fn server_streaming<C, Req, Resp, F, Fut>(name: impl Into<String>, serve: F) -> Handler
    where
        C: Codec<Req> + Codec<Resp>,
        Req: Send + 'static,
        Resp: Send + 'static,
        F: Fn(Request<Req>, Outbound<Resp>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let endpoint = endpoint::server_streaming::<C, _, _, _, _>(Arc::clone(&serve));
        let start = move |start: Start<'_>, started: &mut Started| {
            let outbound = start.outbound::<C, Resp>();
            let message = <C as Codec<Req>>::decode(start.message)?;
            started.outbound = Some(Arc::clone(outbound.stream()));
            Ok(serve(Request::received(message, start.context), outbound))
        };
        Handler::new::<C, Req, _, _>(
            name,
            MethodKind::ServerStreaming,
            endpoint,
            start,
            |responder, result| responder.end(result),
        )
    }

    /// A method with a stream of requests and one response.
    pub fn client_streaming<C, Req, Resp, F, Fut>(name: impl Into<String>, serve: F) -> Handler
    where
        C: Codec<Req> + Codec<Resp>,
        Req: Send + 'static,
        Resp: Send + 'static,
        F: Fn(Inbound<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Resp>, Status>> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let endpoint = endpoint::client_streaming::<C, _, _, _, _>(Arc::clone(&serve));
        let start = move |start: Start<'_>, started: &mut Started| {
            let inbound = Inbound::new::<C>(Some(start.link.clone()), Some(start.context));
            started.inbound = Some(inbound.stream().clone());
            Ok(serve(inbound))
        };
        Handler::new::<C, Req, _, _>(
            name,
            MethodKind::ClientStreaming,
            endpoint,
            start,
            |responder, result| responder.respond::<C, Resp>(result),
        )
    }

    /// A method with a stream each way.
    pub fn bidi_streaming<C, Req, Resp, F, Fut>(name: impl Into<String>, serve: F) -> Handler
    where
        C: Codec<Req> + Codec<Resp>,
        Req: Send + 'static,
        Resp: Send + 'static,
        F: Fn(Inbound<Req>, Outbound<Resp>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let endpoint = endpoint::bidi_streaming::<C, _, _, _, _>(Arc::clone(&serve));
        let start = move |start: Start<'_>, started: &mut Started| {
            let outbound = start.outbound::<C, Resp>();
            let inbound = Inbound::new::<C>(Some(start.link.clone()), Some(start.context));
            started.inbound = Some(inbound.stream().clone());
            started.outbound = Some(Arc::clone(outbound.stream()));
            Ok(serve(inbound, outbound))
        };
        Handler::new::<C, Req, _, _>(name, MethodKind::BidiStreaming, endpoint, start, |responder, result| {
            responder.end(result)
        })
    }

    pub(super) fn new<C, Req, S, Fut>(
        name: impl Into<String>,
        kind: MethodKind,
        endpoint: Arc<dyn Endpoint>,
        start: S,
        deliver: fn(&mut Responder<'_>, Fut::Output),
    ) -> Handler
    where
        C: Codec<Req>,
        S: Fn(Start<'_>, &mut Started) -> Result<Fut, Status> + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        let start = Arc::new(start);
        Handler {
            name: name.into(),
            kind,
            subtype: C::SUBTYPE,
            make: Arc::new(move || Box::new(Invoke::new(Arc::clone(&start), deliver))),
            endpoint,
        }
    }

    /// The method's name without its service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which sides are streams.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    pub(super) fn subtype(&self) -> &'static str {
        self.subtype
    }

    pub(super) fn with_subtype(self, subtype: &'static str) -> Handler {
        Handler { subtype, ..self }
    }

    pub(super) fn endpoint(&self) -> &Arc<dyn Endpoint> {
        &self.endpoint
    }

    pub(super) fn invocation(&self) -> Box<dyn Invocation> {
        (self.make)()
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}
