//! The channel: what a client holds of a service somewhere.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use lariat_http2::{Config as Http2Config, Keepalive};

use super::authorization;
use super::backoff::{BackoffConfig, LONGEST_WAIT};
use super::balancer::{self, BalancerBuilder};
use super::connectivity::ConnectivityState;
use super::control::{Control, ControlTask, Hold, Input, Plan};
use super::core::{Config, Core, MAX_CONNECTIONS_PER_SUBCHANNEL, MIN_RESOLUTION_INTERVAL};
use super::dialer::{Dialer, ProxySettings, Tunnel};
use super::interception::{self, Wire};
use super::method::Method;
use super::pending::{Body, Call, PendingCall};
use super::resolver::{DEFAULT_PORT, Registry, ResolverBuilder};
use super::retry::AttemptLimits;
use super::service_config::ServiceConfig;
use super::target::Target;
use super::unary::{UnaryCall, UnaryReceiver};
use super::watch_stream::WatchMethods;
use crate::Error;
use crate::call::interceptor::{AS_IT_IS, Chain, EncodedMessage, Interceptor, Octets};
use crate::call::stats::{StatsHandler, StatsHandlers};
use crate::call::{
    Accepted, CallCredentials, CallOptions, Chosen, Encodings, EncodingsBuilder, Inbound, Outbound, Receiver,
    Request, SendCompression,
};
use crate::credentials::ChannelCredentials;
#[cfg(feature = "tls")]
use crate::credentials::ClientTls;
use crate::engine::Engine;
use crate::net::clock;
use crate::rpc::compression::Compressor;
use crate::rpc::{
    Cardinality, Codec, Metadata, PREFIX_LEN, Status, check_send_len, message_prefix, request_head,
};

/// grpc-go raises shorter keepalive times to this, since servers send away clients that ping more often.
const MIN_KEEPALIVE_TIME: Duration = Duration::from_secs(10);
/// Windows below HTTP/2's initial one cannot be announced before the peer may have used it.
const MIN_WINDOW: u32 = 65_535;

/// A gRPC channel: connections to wherever a target resolves to, made when calls need them. Cheap to clone; all clones
/// share the connections. When the last clone is gone and its calls have ended, the connections are closed.
#[derive(Clone, Debug)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    control: Hold,
    target: String,
    scheme: &'static str,
    /// What shows the server who makes the calls.
    call_credentials: Option<Arc<dyn CallCredentials>>,
    authority: Arc<str>,
    user_agent: Arc<str>,
    defaults: Defaults,
    encodings: Arc<Encodings>,
    /// `None` if there are none, which is all that calls without interceptors need to know.
    interceptors: Option<Arc<Chain>>,
    engine: Engine,
}

/// Builds a [`Channel`].
#[derive(Debug)]
pub struct ChannelBuilder {
    target: String,
    credentials: Option<ChannelCredentials>,
    engine: Option<Engine>,
    authority: Option<String>,
    user_agent: Option<String>,
    defaults: Defaults,
    interceptors: Chain,
    stats: StatsHandlers,
    encodings: EncodingsBuilder,
    http2: Http2Config,
    backoff: BackoffConfig,
    min_connect_timeout: Duration,
    idle_timeout: Option<Duration>,
    attempts: AttemptLimits,
    registry: Registry,
    policies: balancer::Registry,
    default_service_config: Option<String>,
    ignore_resolver_config: bool,
    health_checking: bool,
    refresh_interval: Option<Duration>,
    min_resolution_interval: Duration,
    max_connections_per_subchannel: u32,
    dialer: Option<Arc<dyn Dialer>>,
    /// `None`: what the environment says.
    proxy: Option<ProxySettings>,
}

impl Channel {
    /// A builder for a channel to a target such as `dns:///localhost:50051`, `127.0.0.1:50051`, `unix:/path`,
    /// `unix-abstract:name` or `passthrough:///127.0.0.1:50051`. A target without a scheme is a DNS name.
    pub fn builder(target: impl Into<String>) -> ChannelBuilder {
        ChannelBuilder {
            target: target.into(),
            credentials: None,
            engine: None,
            authority: None,
            user_agent: None,
            defaults: Defaults::default(),
            interceptors: Chain::default(),
            stats: StatsHandlers::default(),
            encodings: EncodingsBuilder::default(),
            http2: Http2Config { max_concurrent_streams: None, ..Http2Config::default() },
            backoff: BackoffConfig::default(),
            min_connect_timeout: Duration::from_secs(20),
            idle_timeout: Some(Duration::from_secs(30 * 60)),
            attempts: AttemptLimits::default(),
            registry: Registry::default(),
            policies: balancer::Registry::default(),
            default_service_config: None,
            ignore_resolver_config: false,
            health_checking: true,
            refresh_interval: None,
            min_resolution_interval: MIN_RESOLUTION_INTERVAL,
            max_connections_per_subchannel: MAX_CONNECTIONS_PER_SUBCHANNEL,
            dialer: None,
            proxy: None,
        }
    }

    /// The target the channel was built for.
    pub fn target(&self) -> &str {
        &self.shared.target
    }

    /// Whether the channel has a connection, is making one, or failed to.
    pub fn state(&self) -> ConnectivityState {
        self.shared.control.state()
    }

    /// Waits until the state is another than `known`, and returns it.
    pub fn state_change(&self, known: ConnectivityState) -> StateChange {
        StateChange { control: Arc::clone(&self.shared.control), known }
    }

    /// Starts to connect if the channel is idle, rather than with the first call.
    pub fn connect(&self) {
        self.shared.control.tell(Input::Connect);
    }

    /// Tries at once what waits for a back-off after a failed connect.
    pub fn reset_connect_backoff(&self) {
        self.shared.control.tell(Input::ResetBackoff);
    }

    /// Ends the channel for all its clones: calls end with CANCELLED, connections are closed.
    pub fn close(&self) {
        self.shared.control.tell(Input::Close);
    }

    /// A method to call, by its path `/package.Service/Method`.
    pub fn method(&self, path: impl Into<String>) -> Method {
        let Shared { scheme, authority, user_agent, encodings, .. } = &*self.shared;
        Method::new(path.into(), scheme, authority.clone(), user_agent.clone(), encodings.clone())
    }

    /// Calls a method with one request and one response.
    pub fn unary<C, Req, Resp>(&self, method: &Method, request: Request<Req>) -> UnaryCall<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let (message, metadata, options) = request.into_parts();
        let (body, status) = self.frame::<C, Req>(&message, &options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::One);
        UnaryCall::new(self.start(head, body, UnaryReceiver::new::<C>(), status))
    }

    /// Calls a method with one request and a stream of responses.
    pub fn server_streaming<C, Req, Resp>(&self, method: &Method, request: Request<Req>) -> Inbound<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let inbound = Inbound::new::<C>(None, None);
        let (message, metadata, options) = request.into_parts();
        let (body, status) = self.frame::<C, Req>(&message, &options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::Many);
        self.start(head, body, Arc::clone(inbound.stream()), status);
        inbound
    }

    /// Calls a method with a stream of requests and one response. The request here carries the metadata and options.
    pub fn client_streaming<C, Req, Resp>(
        &self,
        method: &Method,
        request: Request<()>,
    ) -> (Outbound<Req>, UnaryCall<Resp>)
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<C, Req>(&options, self.is_wire());
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::One);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        let call = UnaryCall::new(self.start(head, body, UnaryReceiver::new::<C>(), Ok(())));
        (outbound, call)
    }

    /// Calls a method with a stream each way. The request here carries the metadata and options.
    pub fn bidi_streaming<C, Req, Resp>(
        &self,
        method: &Method,
        request: Request<()>,
    ) -> (Outbound<Req>, Inbound<Resp>)
    where
        C: Codec<Req> + Codec<Resp>,
        Resp: Send + 'static,
    {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<C, Req>(&options, self.is_wire());
        let inbound = Inbound::new::<C>(None, None);
        let head = CallHead::new::<C, Req>(method, metadata, options, Cardinality::Many);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        self.start(head, body, Arc::clone(inbound.stream()), Ok(()));
        (outbound, inbound)
    }

    fn max_send_message_size(&self, options: &CallOptions) -> usize {
        let chosen = options.rare.as_ref().and_then(|rare| rare.max_send_message_size);
        chosen.or(self.shared.defaults.max_send_message_size).unwrap_or(usize::MAX)
    }

    /// Whether what a user sends goes to a connection, not to interceptors, which see messages as they are.
    fn is_wire(&self) -> bool {
        self.shared.interceptors.is_none()
    }

    /// What compresses the messages of a request.
    fn encoding(&self, options: &CallOptions) -> Result<Chosen, Status> {
        let encodings = &self.shared.encodings;
        match options.rare.as_ref().and_then(|rare| rare.compression.algorithm.as_ref()) {
            None => Ok(encodings.default().flatten()),
            Some(name) => encodings.choose_or_fail(name),
        }
    }

    fn outbound<C: Codec<T>, T>(&self, options: &CallOptions, is_wire: bool) -> Outbound<T> {
        let outbound = Outbound::new::<C>(None, self.max_send_message_size(options));
        if !is_wire {
            return outbound.relayed(None);
        }
        let outbound = outbound.repeatable(self.shared.control.retry_buffer(options.rare.as_deref()));
        match self.encoding(options) {
            Ok(Some(id)) => outbound.compressed(SendCompression {
                encodings: Arc::clone(&self.shared.encodings),
                accepted: Accepted::default(),
                chosen: Some(id),
            }),
            // What is wrong with the choice is told when the call starts.
            _ => outbound,
        }
    }

    /// The message as it is sent. If it cannot be, the body is empty and the status says why.
    fn frame<C: Codec<T>, T>(
        &self,
        message: &T,
        options: &CallOptions,
        is_wire: bool,
    ) -> (Body, Result<(), Status>) {
        let size = C::encoded_len(message);
        let leaves_message = options.rare.as_ref().is_some_and(|rare| rare.compression.leaves_message);
        if is_wire
            && size > 0
            && !leaves_message
            && let Ok(Some(id)) = self.encoding(options)
        {
            let mut encoded = Vec::with_capacity(size);
            C::encode(message, &mut encoded);
            return match self.shared.encodings.frame(id, &encoded, self.max_send_message_size(options)) {
                Ok(framed) => (Body::Message(framed.into(), size), Ok(())),
                Err(status) => (Body::Message(Bytes::new(), size), Err(status)),
            };
        }
        match check_send_len(size, self.max_send_message_size(options)) {
            Ok(length) => {
                // Exactly as large as needed: only then does it become `Bytes` without another allocation.
                let mut buffer = Vec::with_capacity(size + PREFIX_LEN);
                buffer.extend_from_slice(&message_prefix(length));
                if !is_wire && leaves_message {
                    buffer[0] = AS_IT_IS;
                }
                C::encode(message, &mut buffer);
                (Body::Message(buffer.into(), size), Ok(()))
            }
            Err(status) => (Body::Message(Bytes::new(), size), Err(status)),
        }
    }

    /// Starts a call, or ends it at once if its request could not be made.
    fn start<R: Receiver + 'static>(
        &self,
        head: CallHead<'_>,
        body: Body,
        receiver: R,
        request: Result<(), Status>,
    ) -> Arc<Call<R>> {
        let CallHead { method, subtype, metadata, options, responses, is_intercepted } = head;
        let (encoding, request) = match self.encoding(&options) {
            Ok(encoding) => (encoding, request),
            Err(status) => (None, Err(status)),
        };
        let interceptors = self.shared.interceptors.as_ref().filter(|_| !is_intercepted);
        // Behind interceptors there is another call, to which the channel's are added.
        let rare = options.rare.as_deref();
        let chosen = rare.and_then(|rare| rare.credentials.clone());
        let credentials = match interceptors {
            None => authorization::combine(self.shared.call_credentials.as_ref(), chosen),
            Some(_) => chosen,
        };
        let defaults = &self.shared.defaults;
        let timeout = options.timeout.or(defaults.timeout);
        let timeout = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        let (method, request) = match rare.and_then(|rare| rare.authority.as_deref()) {
            None => (method.clone(), request),
            Some(authority) => {
                (method.with_authority(authority), request.and(authorization::check_authority(authority)))
            }
        };
        let call = Arc::new(Call {
            method,
            subtype,
            metadata,
            deadline: [timeout, options.deadline].into_iter().flatten().min(),
            wait_for_ready: options.wait_for_ready.or(defaults.wait_for_ready),
            max_receive_message_size: rare
                .and_then(|rare| rare.max_receive_message_size)
                .or(defaults.max_receive_message_size),
            responses,
            credentials,
            encoding,
            rare: options.rare,
            body,
            receiver,
        });
        let pending = PendingCall::new(call.clone());
        if let Some(token) = options.cancellation {
            token.register(&(call.clone() as Arc<dyn Receiver>));
        }
        match (request, interceptors) {
            (Err(status), _) => pending.fail(status),
            (Ok(()), Some(chain)) => {
                let wire = Wire::new(self.clone(), &pending);
                interception::start(&self.shared.engine.choose_loop(), Arc::clone(chain), wire, pending);
            }
            (Ok(()), None) => self.shared.control.start(pending),
        }
        call
    }

    /// Makes a call with one request over the wire, behind the interceptors.
    pub(super) fn send_one<R: Receiver + 'static>(
        &self,
        wire: &Wire,
        request: Request<EncodedMessage>,
        receiver: R,
    ) -> Arc<Call<R>> {
        let (message, metadata, mut options) = request.into_parts();
        if !message.is_compressible() {
            options.rare.get_or_insert_default().compression.leaves_message = true;
        }
        let (body, status) = self.frame::<Octets, _>(&message, &options, true);
        self.start(wire.head(metadata, options), body, receiver, status)
    }

    /// Makes a call with a stream of requests over the wire, behind the interceptors.
    pub(super) fn send_stream<R: Receiver + 'static>(
        &self,
        wire: &Wire,
        request: Request<()>,
        receiver: R,
    ) -> Outbound<EncodedMessage> {
        let ((), metadata, options) = request.into_parts();
        let outbound = self.outbound::<Octets, _>(&options, true);
        let body = Body::Stream(Arc::clone(outbound.stream()));
        self.start(wire.head(metadata, options), body, receiver, Ok(()));
        outbound
    }
}

/// What holds for a call that chooses nothing else.
#[derive(Debug, Default)]
struct Defaults {
    timeout: Option<Duration>,
    wait_for_ready: Option<bool>,
    max_receive_message_size: Option<usize>,
    max_send_message_size: Option<usize>,
}

/// A call before its channel's defaults and its streams are added.
struct CallHead<'a> {
    method: &'a Method,
    subtype: &'static str,
    metadata: Metadata,
    options: CallOptions,
    responses: Cardinality,
    /// The interceptors have seen the call.
    is_intercepted: bool,
}

impl<'a> CallHead<'a> {
    fn new<C: Codec<T>, T>(
        method: &'a Method,
        metadata: Metadata,
        options: CallOptions,
        responses: Cardinality,
    ) -> Self {
        CallHead { method, subtype: C::SUBTYPE, metadata, options, responses, is_intercepted: false }
    }
}

impl Wire {
    fn head(&self, metadata: Metadata, options: CallOptions) -> CallHead<'_> {
        let (method, subtype, responses) = (&self.method, self.subtype, self.responses);
        CallHead { method, subtype, metadata, options, responses, is_intercepted: true }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).field("state", &self.control.state()).finish()
    }
}

/// The future of [`Channel::state_change`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct StateChange {
    control: Arc<Control>,
    known: ConnectivityState,
}

impl Future for StateChange {
    type Output = ConnectivityState;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectivityState> {
        match self.control.poll_state(self.known, cx.waker()) {
            Some(state) => Poll::Ready(state),
            None => Poll::Pending,
        }
    }
}

impl ChannelBuilder {
    /// Connects without TLS (HTTP/2 with prior knowledge).
    pub fn plaintext(self) -> Self {
        self.credentials(ChannelCredentials::plaintext())
    }

    /// Connects over TLS.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: ClientTls) -> Self {
        self.credentials(tls)
    }

    /// What secures connections. [`plaintext`](Self::plaintext) and `tls` are short for this.
    pub fn credentials(mut self, credentials: impl Into<ChannelCredentials>) -> Self {
        self.credentials = Some(credentials.into());
        self
    }

    /// Runs the channel on this engine rather than on the process's default one.
    pub fn engine(mut self, engine: &Engine) -> Self {
        self.engine = Some(engine.clone());
        self
    }

    /// The `:authority` of requests, and the name that a server with TLS has to have unless the credentials set
    /// another. Default: the name that the credentials set, or else what the target says.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// What stands in front of the library's own name in `user-agent`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// The timeout of calls that set none. Default: none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.defaults.timeout = Some(timeout);
        self
    }

    /// Whether calls wait for a connection when connecting fails, unless they say otherwise. Default: no, they fail
    /// with UNAVAILABLE.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.defaults.wait_for_ready = Some(wait);
        self
    }

    /// The largest response message accepted, in octets. Default: 4 MiB.
    pub fn max_receive_message_size(mut self, octets: usize) -> Self {
        self.defaults.max_receive_message_size = Some(octets);
        self
    }

    /// The largest request message sent, in octets. Default: what the wire format allows, 4 GiB.
    pub fn max_send_message_size(mut self, octets: usize) -> Self {
        self.defaults.max_send_message_size = Some(octets);
        self
    }

    /// Has a handler told what becomes of the channel's calls, attempt by attempt. There may be several.
    pub fn stats_handler(mut self, handler: impl StatsHandler) -> Self {
        self.stats.push(handler);
        self
    }

    /// Puts an interceptor around all calls of the channel. Of several, the first is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Compresses the messages of requests by this algorithm, such as `gzip`, unless a call says otherwise. Default:
    /// none.
    pub fn compression(mut self, algorithm: impl Into<String>) -> Self {
        self.encodings.prefer(algorithm);
        self
    }

    /// The algorithms by which responses may be compressed. Default: all that are known, which are `gzip` and `deflate`
    /// (`zstd` with the feature of that name) and those added by [`compressor`](Self::compressor).
    pub fn accept_compression<I: IntoIterator<Item: Into<String>>>(mut self, algorithms: I) -> Self {
        self.encodings.accept(algorithms);
        self
    }

    /// Adds an algorithm, or another level of one that is known.
    pub fn compressor(mut self, compressor: impl Compressor + Clone + Sync) -> Self {
        self.encodings.add(compressor);
        self
    }

    /// The largest list of response headers or trailers accepted, counted as RFC 9113 §6.5.2 does. Default: 16 KiB.
    pub fn max_header_list_size(mut self, octets: u32) -> Self {
        self.http2.max_header_list_size = octets;
        self
    }

    /// A connection on which nothing arrives for `time` (at least 10 s) is pinged, and given up if nothing arrives for
    /// `timeout` more. Without calls only if `permit_without_stream`. Default: never; servers send away clients that
    /// ping more often than they allow, by default every 5 minutes. The channel doubles `time` each time that one does
    /// so (gRFC A8).
    pub fn keepalive(mut self, time: Duration, timeout: Duration, permit_without_stream: bool) -> Self {
        self.http2.keepalive =
            Keepalive { time: Some(time.max(MIN_KEEPALIVE_TIME)), timeout, permit_without_stream };
        self
    }

    /// The initial flow-control window of each stream, in octets. Default: 256 KiB; it grows with the measured
    /// bandwidth-delay product unless [`adaptive_window`](Self::adaptive_window) is off. Values below 64 KiB are
    /// raised.
    pub fn initial_stream_window_size(mut self, octets: u32) -> Self {
        self.http2.initial_stream_window = octets.max(MIN_WINDOW);
        self
    }

    /// The initial flow-control window of each connection, in octets. Default: 1 MiB. Values below 64 KiB are raised.
    pub fn initial_connection_window_size(mut self, octets: u32) -> Self {
        self.http2.initial_connection_window = octets.max(MIN_WINDOW);
        self
    }

    /// Whether windows grow with the measured bandwidth-delay product. Default: yes.
    pub fn adaptive_window(mut self, adaptive: bool) -> Self {
        self.http2.adaptive_window = adaptive;
        self
    }

    /// How the waits between connection attempts grow. Default: 1 s, by 1.6, up to 2 min, give or take a fifth.
    pub fn backoff(mut self, backoff: BackoffConfig) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long a connection attempt may take, unless the back-off is longer. Default: 20 s.
    pub fn min_connect_timeout(mut self, timeout: Duration) -> Self {
        self.min_connect_timeout = timeout;
        self
    }

    /// A channel without calls for this long closes its connections until the next call. `None`: never. Default: 30
    /// min.
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Adds a resolver for targets of its scheme, on this channel.
    pub fn resolver(mut self, resolver: impl ResolverBuilder + 'static) -> Self {
        self.registry.register(resolver);
        self
    }

    /// Adds a load balancing policy that service configs may choose, on this channel.
    pub fn balancer(mut self, policy: impl BalancerBuilder + 'static) -> Self {
        self.policies.register(policy);
        self
    }

    /// The [service config](super::service_config) while the resolver has none: a JSON document.
    pub fn default_service_config(mut self, json: impl Into<String>) -> Self {
        self.default_service_config = Some(json.into());
        self
    }

    /// Does not use service configs of the resolver: the default one is the only one.
    pub fn disable_service_config(mut self) -> Self {
        self.ignore_resolver_config = true;
        self
    }

    /// How often a call may be attempted at most, the first time included, whatever the service config says. Default:
    /// 5.
    pub fn max_call_attempts(mut self, attempts: u32) -> Self {
        self.attempts.max_attempts = attempts.max(1);
        self
    }

    /// Makes one attempt of each call, whatever the service config says. Calls that no server has processed are sent
    /// again all the same, as far as they are [kept](Self::retry_buffer_size).
    pub fn disable_retry(self) -> Self {
        self.max_call_attempts(1)
    }

    /// How many octets of a call's requests are kept, until the response begins, for further attempts and to be sent
    /// again if the server has not processed them. When a call has sent more, what is under way is the last. Default:
    /// 256 KiB.
    pub fn retry_buffer_size(mut self, octets: usize) -> Self {
        self.attempts.buffer = octets;
        self
    }

    /// Asks the resolver again this long after each answer, though no connection was lost: for names whose backends
    /// grow in number while all connections hold, as those of Kubernetes do. At least
    /// [`min_resolution_interval`](Self::min_resolution_interval). Default: never.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = Some(interval);
        self
    }

    /// The least time from one answer of the resolver to the next question. Default: 30 s.
    pub fn min_resolution_interval(mut self, interval: Duration) -> Self {
        self.min_resolution_interval = interval;
        self
    }

    /// Has connections made by this rather than by the engine: a function of one's own, or an
    /// [`HttpProxy`](super::dialer::HttpProxy).
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.dialer = Some(Arc::new(dialer));
        self
    }

    /// Which HTTP proxy leads to the target, if that is a DNS name or one's address (scheme `dns`) and there is no
    /// [`dialer`](Self::dialer). The name is resolved by the proxy. Default: what the environment says
    /// ([`ProxySettings::from_environment`]).
    pub fn proxy(mut self, settings: ProxySettings) -> Self {
        self.proxy = Some(settings);
        self
    }

    /// Connects directly, whatever the environment says of proxies.
    pub fn without_proxy(self) -> Self {
        self.proxy(ProxySettings::default())
    }

    /// The most connections of one subchannel that a service config may ask for (`maxConnectionsPerSubchannel`, gRFC
    /// A105). Default: 10. How many there are is the service config's choice, which by default is one.
    pub fn max_connections_per_subchannel(mut self, connections: u32) -> Self {
        self.max_connections_per_subchannel = connections;
        self
    }

    /// Does not watch the health of backends, whatever the service config says.
    pub fn disable_health_checking(mut self) -> Self {
        self.health_checking = false;
        self
    }

    /// Makes the channel. It does no I/O: that begins with the first call or [`Channel::connect`].
    ///
    /// # Errors
    ///
    /// When the transport security was not chosen, the credentials cannot be used, or the target, the default service
    /// config or the URL of the target's proxy cannot be read.
    pub fn build(self) -> Result<Channel, Error> {
        let credentials = self.credentials.ok_or(Error::SecurityNotChosen { what: "channel" })?;
        credentials.check()?;
        let encodings = self.encodings.build().map_err(|why| Error::Option { option: "compression", why })?;
        let encodings = Arc::new(encodings);
        let target = Target::parse(&self.target, &self.registry).map_err(Error::Target)?;
        let authority: Arc<str> = match (self.authority, credentials.server_name()) {
            (Some(authority), _) => authority.into(),
            (None, Some(name)) => name.into(),
            (None, None) => self.registry.default_authority(&target).into(),
        };
        let (scheme, call_credentials) = (credentials.scheme(), credentials.call_credentials());
        let engine = self.engine.unwrap_or_else(|| Engine::global().clone());
        let home = engine.choose_loop();
        let seed = crate::net::seed();
        let stats = Some(self.stats).filter(|stats| !stats.is_empty());
        let control = Hold::new(Arc::new(Control::new(home.clone(), seed, self.attempts, stats)));
        let user_agent: Arc<str> = request_head::user_agent(self.user_agent.as_deref()).into();
        let method = |path: &str| {
            Method::new(
                path.to_owned(),
                scheme,
                authority.clone(),
                user_agent.clone(),
                Arc::clone(&encodings),
            )
        };
        // Built for its errors: a target that its resolver cannot use is reported here rather than by every call.
        ControlTask::resolver(&control, &self.registry, &target).map_err(Error::Target)?;
        let tunnel = match target.scheme == "dns" && self.dialer.is_none() {
            true => tunnel(self.proxy, &target)?,
            false => None,
        };
        let resolved = match &tunnel {
            Some(tunnel) => Target::parse(&tunnel.proxy_target(), &self.registry).map_err(Error::Target)?,
            None => target.clone(),
        };
        let plan = Plan {
            dialer: self.dialer.or_else(|| tunnel.map(|tunnel| Arc::new(tunnel) as _)),
            target,
            resolved,
            registry: self.registry,
            http2: Arc::new(self.http2),
            credentials,
            authority: Arc::clone(&authority),
            place: engine.place(),
            idle_timeout: self.idle_timeout.map(|timeout| timeout.min(LONGEST_WAIT)),
            watches: WatchMethods {
                health: method("/grpc.health.v1.Health/Watch"),
                load: method("/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"),
                credentials: authorization::combine(call_credentials.as_ref(), None),
            },
        };
        let default_service_config = match &self.default_service_config {
            Some(json) => ServiceConfig::parse(json, &self.policies).map_err(|error| Error::Option {
                option: "default_service_config",
                why: error.to_string(),
            })?,
            None => ServiceConfig::default(),
        };
        let config = Config {
            policies: self.policies,
            default_service_config: Arc::new(default_service_config),
            ignore_resolver_config: self.ignore_resolver_config,
            health_checking: self.health_checking,
            refresh_interval: self.refresh_interval,
            min_resolution_interval: self.min_resolution_interval,
            max_connections_per_subchannel: self.max_connections_per_subchannel,
            backoff: self.backoff,
            min_connect_timeout: self.min_connect_timeout,
            idle_timeout: self.idle_timeout,
            ..Config::new(self.target.clone())
        };
        let core = Core::new(config, seed);
        home.spawn(Box::new(ControlTask::new(Arc::clone(&control), core, plan, clock::now())));
        let shared = Shared {
            control,
            target: self.target,
            scheme,
            call_credentials,
            authority,
            user_agent,
            defaults: self.defaults,
            encodings,
            interceptors: (!self.interceptors.is_empty()).then(|| Arc::new(self.interceptors)),
            engine,
        };
        Ok(Channel { shared: Arc::new(shared) })
    }
}

/// The way to a target of the scheme `dns`, if it leads through a proxy.
fn tunnel(settings: Option<ProxySettings>, target: &Target) -> Result<Option<Tunnel>, Error> {
    let proxy = settings.unwrap_or_else(ProxySettings::from_environment).proxy_for(target.endpoint());
    let proxy = proxy.map_err(|why| Error::Option {
        option: "proxy",
        why: format!("{why}; correct HTTPS_PROXY, or build the channel with without_proxy"),
    })?;
    Ok(proxy.map(|proxy| Tunnel::new(proxy, target.endpoint(), DEFAULT_PORT)))
}
