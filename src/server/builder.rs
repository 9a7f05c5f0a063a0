//! `ServerBuilder`: what a server is to be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lariat_http2::{Config, Enforcement, Keepalive};

use super::handler::{Handler, Service};
use super::router::Router;
use super::server::Server;
use super::shared::{Options, Shared};
use super::shutdown::Sessions;
use super::stats::Counters;
use crate::Error;
use crate::call::interceptor::{Chain, Interceptor};
use crate::call::stats::{StatsHandler, StatsHandlers};
use crate::call::{EncodingsBuilder, Inbound, Outbound};
use crate::credentials::ServerCredentials;
#[cfg(feature = "tls")]
use crate::credentials::ServerTls;
use crate::engine::Engine;
use crate::net::{Address, descriptor_limit, seed};
use crate::rpc::compression::Compressor;
use crate::rpc::{DEFAULT_MAX_RECEIVE_SIZE, Raw, Status, trailers};

/// Windows below HTTP/2's initial one cannot be announced before the peer may have used it (grpc-go ignores them too).
const MIN_WINDOW: u32 = 65_535;

/// Builds a [`Server`].
pub struct ServerBuilder {
    engine: Option<Engine>,
    credentials: Option<ServerCredentials>,
    router: Router,
    interceptors: Chain,
    stats: StatsHandlers,
    error: Option<Error>,
    options: Options,
    encodings: EncodingsBuilder,
    http2: Config,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        ServerBuilder {
            engine: None,
            credentials: None,
            router: Router::default(),
            interceptors: Chain::default(),
            stats: StatsHandlers::default(),
            error: None,
            options: Options {
                max_receive_message_size: DEFAULT_MAX_RECEIVE_SIZE,
                max_send_message_size: usize::MAX,
                max_connections: None,
            },
            encodings: EncodingsBuilder::default(),
            http2: Config {
                keepalive: Keepalive {
                    time: Some(Duration::from_secs(2 * 60 * 60)),
                    timeout: Duration::from_secs(20),
                    permit_without_stream: true,
                },
                ..Config::default()
            },
        }
    }
}

impl ServerBuilder {
    /// Serves without TLS (HTTP/2 with prior knowledge).
    pub fn plaintext(self) -> Self {
        self.credentials(ServerCredentials::plaintext())
    }

    /// Serves over TLS.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: ServerTls) -> Self {
        self.credentials(tls)
    }

    /// What secures connections. [`plaintext`](Self::plaintext) and `tls` are short for this.
    pub fn credentials(mut self, credentials: impl Into<ServerCredentials>) -> Self {
        self.credentials = Some(credentials.into());
        self
    }

    /// Adds a service. Several can share one server.
    pub fn add_service(mut self, service: impl Service) -> Self {
        if let Err(error) = self.router.add_service(&service) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Puts an interceptor around the calls to all services, also those that are added later. Of several, the first is
    /// the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Has a [stats handler](crate::stats) told what becomes of calls and connections, outside of all interceptors.
    /// There may be several.
    pub fn stats_handler(mut self, handler: impl StatsHandler) -> Self {
        self.stats.push(handler);
        self
    }

    /// Serves every path that no service has, with the raw octets of the messages: what a proxy needs. Without it such
    /// calls end with UNIMPLEMENTED.
    pub fn unknown_service_handler<F, Fut>(mut self, serve: F) -> Self
    where
        F: Fn(Inbound<bytes::Bytes>, Outbound<bytes::Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.router.set_fallback(Handler::bidi_streaming::<Raw, _, _, _, _>("", serve));
        self
    }

    /// Runs the server on this engine rather than on the process's default one.
    pub fn engine(mut self, engine: &Engine) -> Self {
        self.engine = Some(engine.clone());
        self
    }

    /// The largest request message accepted, in octets. Default: 4 MiB. A larger one ends its call with
    /// RESOURCE_EXHAUSTED.
    pub fn max_receive_message_size(mut self, octets: usize) -> Self {
        self.options.max_receive_message_size = octets;
        self
    }

    /// The largest response message sent, in octets. Default: what the wire format allows, 4 GiB.
    pub fn max_send_message_size(mut self, octets: usize) -> Self {
        self.options.max_send_message_size = octets;
        self
    }

    /// Compresses responses by this algorithm, such as `gzip`, if the client accepts it and the handler does not say
    /// otherwise; `identity` for none. Default: the algorithm of the request.
    pub fn compression(mut self, algorithm: impl Into<String>) -> Self {
        self.encodings.prefer(algorithm);
        self
    }

    /// The algorithms by which requests may be compressed; others end their call with UNIMPLEMENTED. Default: all that
    /// are known, which are `gzip` and `deflate` (`zstd` with the feature of that name) and those added by
    /// [`compressor`](Self::compressor).
    pub fn accept_compression<I: IntoIterator<Item: Into<String>>>(mut self, algorithms: I) -> Self {
        self.encodings.accept(algorithms);
        self
    }

    /// Adds an algorithm, or another level of one that is known.
    pub fn compressor(mut self, compressor: impl Compressor + Clone + Sync) -> Self {
        self.encodings.add(compressor);
        self
    }

    /// Calls that may run at once on one connection. Default: 256. More are refused with REFUSED_STREAM, which clients
    /// avoid by waiting since they are told the limit.
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.http2.max_concurrent_streams = Some(streams);
        self
    }

    /// Connections that may be open at once. Default: nine tenths of the descriptors that the process may have
    /// (`ulimit -n`), so that some are left for other work. More are closed at once.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.options.max_connections = Some(connections);
        self
    }

    /// The largest list of request headers accepted, counted as RFC 9113 §6.5.2 does. Default: 16 KiB.
    pub fn max_header_list_size(mut self, octets: u32) -> Self {
        self.http2.max_header_list_size = octets;
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

    /// A connection on which nothing arrives for `time` is pinged, and closed if nothing arrives for `timeout` more.
    /// Default: 2 hours and 20 seconds. The kernel gives up a TCP connection on which nothing that was sent is
    /// acknowledged, or that takes no more, for `timeout`, too (TCP_USER_TIMEOUT).
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        self.http2.keepalive =
            Keepalive { time: Some(time.max(Duration::from_secs(1))), timeout, permit_without_stream: true };
        self
    }

    /// How often clients may ping: a client that pings more often than every `min_time`, or without a call unless
    /// `permit_without_stream`, is sent away with ENHANCE_YOUR_CALM. Default: 5 minutes, not without a call.
    pub fn keepalive_enforcement(mut self, min_time: Duration, permit_without_stream: bool) -> Self {
        self.http2.enforcement = Enforcement { min_time, permit_without_stream };
        self
    }

    /// A connection without calls for this long is closed gracefully. Default: never.
    pub fn max_connection_idle(mut self, time: Duration) -> Self {
        self.http2.max_connection_idle = Some(time);
        self
    }

    /// A connection of this age (give or take a tenth, so that not all end together) is closed gracefully; after
    /// `grace` more the calls still running are cut off. Default: never.
    pub fn max_connection_age(mut self, age: Duration, grace: Option<Duration>) -> Self {
        self.http2.max_connection_age = Some(age);
        self.http2.max_connection_age_grace = grace;
        self
    }

    /// Starts to serve at an address: `host:port` (`[::]:50051` for every interface, port 0 for any free one),
    /// `unix:/path` or `unix-abstract:name`.
    ///
    /// # Errors
    ///
    /// When the builder's options contradict each other, the address cannot be read, or the system refuses it.
    pub fn bind(self, address: &str) -> Result<Server, Error> {
        self.bind_address(&Address::parse_listen(address)?)
    }

    /// [`bind`](Self::bind), for an address that is one already.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_address(self, address: &Address) -> Result<Server, Error> {
        let credentials = self.credentials.ok_or(Error::SecurityNotChosen { what: "server" })?;
        credentials.check()?;
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut router = self.router;
        if !self.interceptors.is_empty() {
            router.intercept(&Arc::new(self.interceptors));
        }
        let encodings = self.encodings.build().map_err(|why| Error::Option { option: "compression", why })?;
        let engine = self.engine.unwrap_or_else(|| Engine::global().clone());
        let mut options = self.options;
        options.max_connections =
            options.max_connections.or_else(|| descriptor_limit().map(|limit| limit / 10 * 9));
        let sessions = Arc::new(Sessions::new());
        let shared = Arc::new(Shared {
            encodings: Arc::new(encodings),
            router,
            options,
            http2: Arc::new(self.http2),
            sessions,
            seed: seed(),
            counters: Counters::default(),
            credentials,
            ok: trailers::ok_template(),
            stats: Some(self.stats).filter(|stats| !stats.is_empty()),
        });
        let mut server = Server::new(engine, shared);
        server.listen_address(address)?;
        Ok(server)
    }

    /// [`bind`](Self::bind), then blocks until the server is stopped, which here only the end of the process does: use
    /// `bind` for a server that should be stopped.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn serve(self, address: &str) -> Result<(), Error> {
        self.bind(address)?.run();
        Ok(())
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
