//! Name resolution: from the target of a channel to the backends behind it.
//!
//! A resolver answers when it is asked ([`Resolver::resolve`]), or whenever it has news (through the
//! [`ResolutionSender`] it was built with), or both. The channel asks at its first call and again whenever a connection
//! was lost or could not be made, but not more often than its configuration allows; a failed resolution is repeated
//! after an exponential back-off. So a resolver needs neither timers nor a retry of its own.
//!
//! # A resolver of one's own
//!
//! For backends that the program itself knows, [`Manual`] is enough. Anything else is a [`ResolverBuilder`] for a
//! scheme of its own, which the channel's builder takes
//! ([`ChannelBuilder::resolver`](super::ChannelBuilder::resolver)):
//!
//! ```
//! use lariat::client::resolver::{ResolutionSender, Resolver, ResolverBuilder, Work};
//! use lariat::client::target::{Target, TargetError};
//! use lariat::{Address, Channel};
//!
//! /// `replicas:name` leads to three fixed addresses.
//! struct Replicas;
//!
//! impl ResolverBuilder for Replicas {
//!     fn scheme(&self) -> &str {
//!         "replicas"
//!     }
//!     fn build(&self, _: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
//!         Ok(Box::new(Replicas))
//!     }
//! }
//!
//! impl Resolver for Replicas {
//!     fn resolve(&mut self) -> Work {
//!         let addresses = (1..=3).map(|n| Address::Tcp(([10, 0, 0, n], 50051).into()));
//!         Work::Ready(Ok(addresses.collect()))
//!     }
//! }
//!
//! let channel = Channel::builder("replicas:greeter").resolver(Replicas).plaintext().build()?;
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! This one looks into a file, which may take a while ([`Work::Blocking`]), and goes on to look as long as the channel
//! wants to know. What it finds is one address a line; of a file that cannot be read, calls learn why.
//!
//! ```
//! use std::path::{Path, PathBuf};
//! use std::time::Duration;
//!
//! use lariat::client::resolver::*;
//! use lariat::client::target::{Target, TargetError};
//! use lariat::{Address, Channel};
//!
//! /// `file:///path`
//! struct InFile;
//!
//! struct FileResolver {
//!     path: PathBuf,
//!     sender: ResolutionSender,
//!     is_watched: bool,
//! }
//!
//! impl ResolverBuilder for InFile {
//!     fn scheme(&self) -> &str {
//!         "file"
//!     }
//!     fn build(&self, target: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
//!         // The path of `file:///path` is `/path`.
//!         let path = PathBuf::from(&target.path);
//!         Ok(Box::new(FileResolver { path, sender, is_watched: false }))
//!     }
//!     fn default_authority(&self, _: &Target) -> String {
//!         "greeter".to_owned()
//!     }
//! }
//!
//! fn read(path: &Path) -> Result<Resolution, ResolveError> {
//!     let explain = |why: String| ResolveError::new(format!("{}: {why}", path.display()));
//!     let text = std::fs::read_to_string(path).map_err(|error| explain(error.to_string()))?;
//!     let address = |line: &str| line.parse().map(Address::Tcp).map_err(|_| explain(format!("no address: {line}")));
//!     text.lines().map(address).collect()
//! }
//!
//! impl Resolver for FileResolver {
//!     fn resolve(&mut self) -> Work {
//!         if !std::mem::replace(&mut self.is_watched, true) {
//!             let (path, sender) = (self.path.clone(), self.sender.clone());
//!             std::thread::spawn(move || {
//!                 // False when the resolver is gone, because the channel is idle or closed.
//!                 while sender.send(read(&path)) {
//!                     std::thread::sleep(Duration::from_secs(1));
//!                 }
//!             });
//!         }
//!         let path = self.path.clone();
//!         Work::Blocking(Box::new(move || read(&path)))
//!     }
//! }
//!
//! # use lariat::{Request, Server, Wait, codec::Raw, server::Handler};
//! # struct Hello;
//! # impl lariat::server::Service for Hello {
//! #     fn name(&self) -> &str { "Hello" }
//! #     fn methods(&self) -> Vec<Handler> {
//! #         let answer = |request: Request<bytes::Bytes>| async move {
//! #             Ok(lariat::Response::new(request.into_message()))
//! #         };
//! #         vec![Handler::unary::<Raw, _, _, _, _>("Say", answer)]
//! #     }
//! # }
//! let server = Server::builder().plaintext().add_service(Hello).bind("127.0.0.1:0")?;
//! let path = std::env::temp_dir().join(format!("backends-{}", std::process::id()));
//! std::fs::write(&path, server.local_address().to_string())?;
//! let target = format!("file://{}", path.display());
//! let channel = Channel::builder(target).resolver(InFile).plaintext().build()?;
//! # let say = channel.method("/Hello/Say");
//! let reply = channel.unary::<Raw, _, bytes::Bytes>(&say, Request::new(bytes::Bytes::from("hello"))).wait()?;
//! assert_eq!(reply.message(), "hello");
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a resolver knows besides addresses, as the weight or the zone of a backend, goes into the
//! [`attributes`](super::attributes) of the [`Endpoint`], of which a [balancer](super::balancer) makes what it will.

mod dns;
mod ip;
mod manual;
mod passthrough;
pub(crate) mod schedule;
mod unix;

pub(crate) use dns::DEFAULT_PORT;
pub use dns::Dns;
#[cfg(feature = "dns-client")]
pub(crate) use dns::fuzz::answer as dns_answer;
pub use ip::{Ipv4, Ipv6};
pub use manual::Manual;
pub use passthrough::Passthrough;
pub use unix::{Unix, UnixAbstract};

use super::attributes::Attributes;
use super::call_config::ConfigSelector;
use super::endpoint::Endpoint;
use super::target::{Target, TargetError, encode_authority, unknown_scheme};
use crate::net::Address;
use std::fmt;
use std::sync::Arc;

/// What a name resolved to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Resolution {
    /// The backends, the preferred one first.
    pub endpoints: Vec<Endpoint>,
    /// What the resolver knows besides, for balancers.
    pub attributes: Attributes,
    /// The [service config](super::service_config) as JSON, if the resolver knows one, or why it could not be had.
    /// Without one the channel has its default.
    ///
    /// One with an error leaves the channel with the config it has from an earlier resolution, while the backends
    /// count. If there was none, calls fail with the error until there is (gRFC A21). Either way the resolver is asked
    /// again after a back-off.
    pub service_config: Option<Result<String, ResolveError>>,
    /// Takes the place of the service config's `methodConfig`.
    pub config_selector: Option<Arc<dyn ConfigSelector>>,
}

impl Resolution {
    /// These backends and nothing else.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Resolution { endpoints, ..Resolution::default() }
    }

    /// The same with this service config, a JSON document.
    #[must_use]
    pub fn with_service_config(mut self, json: impl Into<String>) -> Self {
        self.service_config = Some(Ok(json.into()));
        self
    }
}

impl FromIterator<Address> for Resolution {
    /// One backend for each address.
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        Resolution::new(addresses.into_iter().map(Endpoint::from).collect())
    }
}

/// Why a name could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(String);

impl ResolveError {
    /// An error with this text, which should say what was asked and what went wrong.
    pub fn new(message: impl Into<String>) -> Self {
        ResolveError(message.into())
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResolveError {}

impl From<TargetError> for ResolveError {
    fn from(error: TargetError) -> Self {
        ResolveError(error.to_string())
    }
}

/// A resolution that may take its time.
pub type BlockingResolution = Box<dyn FnOnce() -> Result<Resolution, ResolveError> + Send>;

/// How a resolver answers the question for its backends.
pub enum Work {
    /// Here they are.
    Ready(Result<Resolution, ResolveError>),
    /// This finds out, and may block: it runs on a thread for such work.
    Blocking(BlockingResolution),
    /// The answer comes, or has come, through the [`ResolutionSender`].
    Pushed,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Ready(result) => f.debug_tuple("Ready").field(result).finish(),
            Work::Blocking(_) => f.write_str("Blocking(..)"),
            Work::Pushed => f.write_str("Pushed"),
        }
    }
}

/// Resolves the target it was built for. Dropping it ends its work: the channel went idle or was closed.
pub trait Resolver: Send {
    /// Asks for the backends: once after the resolver was built, then each time fresh knowledge would help. Must not
    /// block. A resolver that watches a source may take later questions as a hint and answer [`Work::Pushed`].
    fn resolve(&mut self) -> Work;
}

/// Makes the resolvers of one scheme.
pub trait ResolverBuilder: Send + Sync {
    /// The scheme served, in lower case.
    fn scheme(&self) -> &str;

    /// Makes a resolver for this target, without any input or output yet. It may keep the sender.
    fn build(&self, target: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError>;

    /// The `:authority` of calls on a channel with this target, unless the user sets another.
    fn default_authority(&self, target: &Target) -> String {
        let endpoint = encode_authority(target.endpoint());
        if endpoint.starts_with(':') { format!("localhost{endpoint}") } else { endpoint }
    }
}

/// The channel's end of a [`ResolutionSender`].
pub(crate) trait ResolutionSink: Send + Sync {
    /// Hands the news to the channel; false if it does not listen any more.
    fn send(&self, result: Result<Resolution, ResolveError>) -> bool;
}

/// Through this a resolver tells its channel what it found, from any thread and at any time.
#[derive(Clone)]
pub struct ResolutionSender(Arc<dyn ResolutionSink>);

impl ResolutionSender {
    pub(crate) fn new(sink: Arc<dyn ResolutionSink>) -> Self {
        ResolutionSender(sink)
    }

    /// Replaces what the channel knows of its backends; an error leaves it as it is. Never blocks. False once the
    /// resolver has been dropped: whoever watches on its behalf should end.
    pub fn send(&self, result: Result<Resolution, ResolveError>) -> bool {
        self.0.send(result)
    }
}

impl fmt::Debug for ResolutionSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResolutionSender")
    }
}

/// The resolvers a channel may use, by scheme. The default has `dns`, `passthrough`, `ipv4`, `ipv6`, `unix` and
/// `unix-abstract`.
#[derive(Clone)]
pub struct Registry(Vec<Arc<dyn ResolverBuilder>>);

impl Default for Registry {
    fn default() -> Self {
        Registry(vec![
            Arc::new(Dns::new()),
            Arc::new(Passthrough),
            Arc::new(Ipv4),
            Arc::new(Ipv6),
            Arc::new(Unix),
            Arc::new(UnixAbstract),
        ])
    }
}

impl Registry {
    /// Adds a resolver; an earlier one with the same scheme is replaced.
    pub fn register(&mut self, builder: impl ResolverBuilder + 'static) {
        self.0.retain(|other| other.scheme() != builder.scheme());
        self.0.push(Arc::new(builder));
    }

    /// The builder for this scheme, which is in lower case.
    pub fn get(&self, scheme: &str) -> Option<&Arc<dyn ResolverBuilder>> {
        self.0.iter().find(|builder| builder.scheme() == scheme)
    }

    /// Makes a resolver for this target.
    pub fn build(&self, target: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        let Some(builder) = self.get(&target.scheme) else {
            return Err(unknown_scheme(target, &target.scheme, self));
        };
        builder.build(target, sender)
    }

    /// The `:authority` of calls on a channel with this target, unless the user sets another. Percent-encoded.
    pub fn default_authority(&self, target: &Target) -> String {
        match self.get(&target.scheme) {
            Some(builder) => builder.default_authority(target),
            None => encode_authority(target.endpoint()),
        }
    }

    /// The schemes served, for messages.
    pub(crate) fn schemes(&self) -> String {
        self.0.iter().map(|builder| builder.scheme()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.schemes())
    }
}

/// Rejects the parts of a target that mean something to other resolvers only.
fn require_bare(target: &Target, authority_advice: &str) -> Result<(), TargetError> {
    require_no_authority(target, authority_advice)?;
    require_no_query(target)
}

fn require_no_authority(target: &Target, authority_advice: &str) -> Result<(), TargetError> {
    if !target.authority.is_empty() {
        let why = format!(
            "it has an authority, \"{}\", which \"{}\" does not use",
            target.authority, target.scheme
        );
        return Err(TargetError::new(target, why, authority_advice));
    }
    Ok(())
}

fn require_no_query(target: &Target) -> Result<(), TargetError> {
    if !target.query.is_empty() {
        let why = format!("it has a query, and \"{}\" has no parameters", target.scheme);
        return Err(TargetError::new(
            target,
            why,
            "remove what begins with '?', or write a literal '?' as %3F",
        ));
    }
    Ok(())
}

/// A resolver whose answer never changes.
struct Fixed(Resolution);

impl Resolver for Fixed {
    fn resolve(&mut self) -> Work {
        Work::Ready(Ok(self.0.clone()))
    }
}

/// Resolves a target in tests: parse, build, ask once.
#[cfg(test)]
fn resolve(input: &str) -> Result<Work, TargetError> {
    struct Nowhere;
    impl ResolutionSink for Nowhere {
        fn send(&self, _: Result<Resolution, ResolveError>) -> bool {
            false
        }
    }
    let registry = Registry::default();
    let target = Target::parse(input, &registry)?;
    registry.build(&target, ResolutionSender::new(Arc::new(Nowhere))).map(|mut resolver| resolver.resolve())
}

/// The addresses, in tests, of a target that resolves at once.
#[cfg(test)]
#[track_caller]
fn addresses(input: &str) -> Vec<String> {
    match resolve(input) {
        Ok(Work::Ready(Ok(resolution))) => resolution
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .map(Address::to_string)
            .collect(),
        other => panic!("{input}: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Watch;

    impl ResolverBuilder for Watch {
        fn scheme(&self) -> &str {
            "watch"
        }
        fn build(&self, target: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
            struct Watching(ResolutionSender, String);
            impl Resolver for Watching {
                fn resolve(&mut self) -> Work {
                    self.0.send(Err(ResolveError::new(format!("{} is not known yet", self.1))));
                    self.0.send(Ok([Address::Tcp(([10, 0, 0, 1], 80).into())].into_iter().collect()));
                    Work::Pushed
                }
            }
            Ok(Box::new(Watching(sender, target.endpoint().to_owned())))
        }
    }

    #[derive(Default)]
    struct Inbox(Mutex<Vec<String>>);

    impl ResolutionSink for Inbox {
        fn send(&self, result: Result<Resolution, ResolveError>) -> bool {
            self.0.lock().unwrap().push(match result {
                Ok(resolution) => format!("{} endpoints", resolution.endpoints.len()),
                Err(error) => error.to_string(),
            });
            true
        }
    }

    #[test]
    fn a_resolver_of_ones_own_may_push_as_often_as_it_has_news() {
        let mut registry = Registry::default();
        registry.register(Watch);
        let target = Target::parse("watch:greeter", &registry).unwrap();
        let inbox = Arc::new(Inbox::default());
        let mut resolver = registry.build(&target, ResolutionSender::new(inbox.clone())).unwrap();
        assert!(matches!(resolver.resolve(), Work::Pushed));
        assert_eq!(*inbox.0.lock().unwrap(), ["greeter is not known yet", "1 endpoints"]);
    }

    #[test]
    fn a_registered_resolver_replaces_the_one_with_its_scheme() {
        struct Mine;
        impl ResolverBuilder for Mine {
            fn scheme(&self) -> &str {
                "dns"
            }
            fn build(&self, _: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
                Ok(Box::new(Fixed(Resolution::default())))
            }
            fn default_authority(&self, _: &Target) -> String {
                "mine".into()
            }
        }
        let mut registry = Registry::default();
        registry.register(Mine);
        let target = Target::parse("foo", &registry).unwrap();
        assert_eq!(registry.default_authority(&target), "mine");
        assert_eq!(format!("{registry:?}"), "Registry(passthrough, ipv4, ipv6, unix, unix-abstract, dns)");
    }

    #[test]
    fn a_target_of_an_unknown_scheme_is_refused_with_the_known_ones_named() {
        let mut elsewhere = Registry::default();
        elsewhere.register(Watch);
        let target = Target::parse("watch:greeter", &elsewhere).unwrap();
        let sender = ResolutionSender::new(Arc::new(Inbox::default()));
        let error = Registry::default().build(&target, sender).err().unwrap().to_string();
        assert!(error.contains("\"watch\"") && error.contains("dns, passthrough"), "{error}");
    }

    #[test]
    fn the_default_authority_is_the_endpoint_or_localhost() {
        let registry = Registry::default();
        for (target, authority) in [
            ("dns:///foo.example", "foo.example"),
            ("foo.example:8080", "foo.example:8080"),
            (":8080", "localhost:8080"),
            ("[::1]:80", "[::1]:80"),
            ("dns:///[fe80::1%253]:80", "[fe80::1%253]:80"),
            ("passthrough:///10.0.0.1:80", "10.0.0.1:80"),
            ("unix:/run/socket", "localhost"),
            ("unix-abstract:name", "localhost"),
        ] {
            let parsed = Target::parse(target, &registry).unwrap();
            assert_eq!(registry.default_authority(&parsed), authority, "{target}");
        }
    }
}
