//! [`ChannelBuilder`]: what a channel can be told, and how it is put together.

use std::sync::Arc;
use std::time::Duration;

use lariat_http2::{Config as Http2Config, Keepalive};

use super::{Channel, Defaults, Shared};
use crate::Error;
use crate::call::EncodingsBuilder;
use crate::call::interceptor::{Chain, Interceptor};
use crate::call::stats::{StatsHandler, StatsHandlers};
use crate::client::authorization;
use crate::client::backoff::{BackoffConfig, LONGEST_WAIT};
use crate::client::balancer::{self, BalancerBuilder};
use crate::client::control::{Control, ControlTask, Hold, Plan};
use crate::client::core::{Config, Core, MAX_CONNECTIONS_PER_SUBCHANNEL, MIN_RESOLUTION_INTERVAL};
use crate::client::dialer::{Dialer, ProxySettings, Tunnel};
use crate::client::method::Method;
use crate::client::resolver::{DEFAULT_PORT, Registry, ResolverBuilder};
use crate::client::retry::AttemptLimits;
use crate::client::service_config::ServiceConfig;
use crate::client::target::Target;
use crate::client::watch_stream::WatchMethods;
use crate::credentials::ChannelCredentials;
#[cfg(feature = "tls")]
use crate::credentials::ClientTls;
use crate::engine::Engine;
use crate::net::clock;
use crate::rpc::compression::Compressor;
use crate::rpc::request_head;

/// grpc-go raises shorter keepalive times to this, since servers send away clients that ping more often.
const MIN_KEEPALIVE_TIME: Duration = Duration::from_secs(10);
/// Windows below HTTP/2's initial one cannot be announced before the peer may have used it.
const MIN_WINDOW: u32 = 65_535;

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

impl ChannelBuilder {
    pub(super) fn new(target: String) -> Self {
        ChannelBuilder {
            target,
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

    /// The timeout of calls that set neither a timeout nor a deadline. Default: none.
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

    /// The [service config](crate::client::service_config) while the resolver has none: a JSON document.
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
    /// [`HttpProxy`](crate::client::dialer::HttpProxy).
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
        let default_service_config =
            default_service_config(self.default_service_config.as_deref(), &self.policies)?;
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

fn default_service_config(json: Option<&str>, policies: &balancer::Registry) -> Result<ServiceConfig, Error> {
    let Some(json) = json else { return Ok(ServiceConfig::default()) };
    ServiceConfig::parse(json, policies)
        .map_err(|error| Error::Option { option: "default_service_config", why: error.to_string() })
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
