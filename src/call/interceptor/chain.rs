//! `Interceptor`, and the chain that several of them make.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{EncodedMessage, Messages};
use crate::call::{MethodKind, Request, Response};
use crate::rpc::{Metadata, Status};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Code around calls; see the [module](crate::interceptor).
pub trait Interceptor: Send + Sync + 'static {
    /// Around a call with one request and one response. By default it just goes on.
    fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> impl Future<Output = Result<Response<EncodedMessage>, Status>> + Send {
        async move { next.unary(request).await }
    }

    /// Around a call with a stream of requests, of responses, or of both. It ends when the call does, with the
    /// trailers or the status. By default it just goes on.
    fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> impl Future<Output = Result<Metadata, Status>> + Send {
        async move { next.stream(request, messages).await }
    }
}

/// An [`Interceptor`] of a closure that sees each call before it goes on, whatever its kind: metadata, deadline, and
/// who calls. It may change the metadata, or end the call with a status.
///
/// ```
/// use lariat::interceptor::on_request;
/// use lariat::{Request, Status};
///
/// let authorized = on_request(|request: &mut Request<()>| {
///     match request.metadata().get("authorization") {
///         Some("Bearer some-secret-token") => Ok(()),
///         _ => Err(Status::unauthenticated("invalid token")),
///     }
/// });
/// # let _ = authorized;
/// ```
pub fn on_request<F>(look: F) -> impl Interceptor
where
    F: Fn(&mut Request<()>) -> Result<(), Status> + Send + Sync + 'static,
{
    OnRequest { look }
}

struct OnRequest<F> {
    look: F,
}

impl<F> Interceptor for OnRequest<F>
where
    F: Fn(&mut Request<()>) -> Result<(), Status> + Send + Sync + 'static,
{
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let (mut head, message) = request.split();
        (self.look)(&mut head)?;
        next.unary(head.map(|()| message)).await
    }

    async fn stream(
        &self,
        mut request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        (self.look)(&mut request)?;
        next.stream(request, messages).await
    }
}

/// What follows an interceptor: the next one, or the call itself.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    path: &'a str,
    kind: MethodKind,
    interceptors: &'a [Arc<dyn DynInterceptor>],
    endpoint: &'a dyn Endpoint,
}

impl<'a> Next<'a> {
    /// The full method: `/package.Service/Method`.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// Which sides of the method are streams.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Goes on with a call with one request and one response. May be called again, with the same request or another.
    pub async fn unary(&self, request: Request<EncodedMessage>) -> Result<Response<EncodedMessage>, Status> {
        match self.interceptors.split_first() {
            Some((first, rest)) => first.unary(request, Next { interceptors: rest, ..*self }).await,
            None => self.endpoint.unary(request).await,
        }
    }

    /// Goes on with a call with streams, to its end.
    pub async fn stream(&self, request: Request<()>, messages: Messages) -> Result<Metadata, Status> {
        match self.interceptors.split_first() {
            Some((first, rest)) => {
                first.stream(request, messages, Next { interceptors: rest, ..*self }).await
            }
            None => self.endpoint.stream(request, messages).await,
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("path", &self.path).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The call behind all interceptors: a server's handler, or a client's way to the wire.
pub(crate) trait Endpoint: Send + Sync {
    fn unary(
        &self,
        request: Request<EncodedMessage>,
    ) -> BoxFuture<'_, Result<Response<EncodedMessage>, Status>>;

    fn stream(&self, request: Request<()>, messages: Messages) -> BoxFuture<'_, Result<Metadata, Status>>;
}

/// Interceptors in the order in which they see a request.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    interceptors: Vec<Arc<dyn DynInterceptor>>,
}

impl Chain {
    /// Adds one inside of those that are there.
    pub(crate) fn push(&mut self, interceptor: impl Interceptor) {
        self.interceptors.push(Arc::new(interceptor));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.interceptors.is_empty()
    }

    /// The way through all of them to the endpoint.
    pub(crate) fn to<'a>(&'a self, endpoint: &'a dyn Endpoint, path: &'a str, kind: MethodKind) -> Next<'a> {
        Next { path, kind, interceptors: &self.interceptors, endpoint }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({} interceptors)", self.interceptors.len())
    }
}

/// [`Interceptor`] with its futures boxed, so that interceptors of different types make one chain.
trait DynInterceptor: Send + Sync {
    fn unary<'a>(
        &'a self,
        request: Request<EncodedMessage>,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response<EncodedMessage>, Status>>;

    fn stream<'a>(
        &'a self,
        request: Request<()>,
        messages: Messages,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Metadata, Status>>;
}

impl<I: Interceptor> DynInterceptor for I {
    fn unary<'a>(
        &'a self,
        request: Request<EncodedMessage>,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response<EncodedMessage>, Status>> {
        Box::pin(Interceptor::unary(self, request, next))
    }

    fn stream<'a>(
        &'a self,
        request: Request<()>,
        messages: Messages,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Metadata, Status>> {
        Box::pin(Interceptor::stream(self, request, messages, next))
    }
}
