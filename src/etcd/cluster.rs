//! [`Etcd`]: a cluster, and how to reach it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::BACKOFF;
use super::client::Client;
use super::entry::Entry;
use super::registration::Registration;
use crate::Error;
use crate::client::{Channel, ChannelBuilder};
use crate::engine::Engine;

/// The lease of an entry, unless another time is chosen: how long a server that has died without a word is listed.
const LEASE: Duration = Duration::from_secs(10);
/// A member that is silent for so long while something is watched is asked for a sign of life. Members send away
/// whoever asks more often than every 5 s.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest response: as many entries as are looked at, at more than a kilobyte each.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// An etcd cluster: where its members are, and how channels to them are made.
///
/// It is the resolver of targets with the scheme `etcd`, to be given to a channel's builder
/// ([`resolver`](ChannelBuilder::resolver)), and it [registers](Etcd::register) servers. Channels to the members are
/// secured as [`plaintext`](Etcd::plaintext) or [`channel`](Etcd::channel) say, which has nothing to do with the
/// security of channels to the backends.
#[derive(Clone)]
pub struct Etcd {
    members: Vec<String>,
    configure: Arc<dyn Fn(ChannelBuilder) -> ChannelBuilder + Send + Sync>,
    engine: Option<Engine>,
    lease: Duration,
    pub(super) look_up: LookUp,
}

/// Finds the addresses of a `host:port`.
pub(super) type LookUp = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

impl Etcd {
    /// The cluster with these members, of which one that answers is enough: `host:port`, or any other target of a
    /// channel. None is needed if targets name them: `etcd://10.0.0.1:2379,10.0.0.2:2379/greeter`.
    pub fn new<M: Into<String>>(members: impl IntoIterator<Item = M>) -> Self {
        Etcd {
            members: members.into_iter().map(Into::into).collect(),
            configure: Arc::new(|builder| builder),
            engine: None,
            lease: LEASE,
            look_up: Arc::new(|name| Ok(name.to_socket_addrs()?.collect())),
        }
    }

    /// Connects to the members without TLS.
    pub fn plaintext(self) -> Self {
        self.channel(ChannelBuilder::plaintext)
    }

    /// Makes the channels to the members with these options, such as their transport security, or an interceptor that
    /// adds a token.
    pub fn channel(
        mut self,
        configure: impl Fn(ChannelBuilder) -> ChannelBuilder + Send + Sync + 'static,
    ) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    /// Talks to the cluster on this engine rather than on the process's default one.
    pub fn engine(mut self, engine: &Engine) -> Self {
        self.engine = Some(engine.clone());
        self
    }

    /// How long the entry of a server that has died stays in etcd, in whole seconds. Default: 10 s. etcd itself has a
    /// minimum of about 2 s.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Looks up the host names in entries by this, which is given `host:port` and may block, rather than by the
    /// system's resolver. It happens when entries change, and when a connection to a backend is lost.
    pub fn look_up_by(
        mut self,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.look_up = Arc::new(look_up);
        self
    }

    /// Registers a server under a name, and keeps it registered until the registration is ended or dropped. Does not
    /// wait: see [`Registration::registered`].
    ///
    /// # Errors
    ///
    /// When there are no members, or the channels to them cannot be built.
    pub fn register(&self, name: &str, entry: Entry) -> Result<Registration, Error> {
        let members = self.members(&self.members)?;
        let key = format!("{}/{}", name.trim_end_matches('/'), entry.address);
        Ok(Registration::start(members, key, entry.to_json(), self.lease))
    }

    /// The members, of which these targets tell where they are.
    pub(super) fn members(&self, targets: &[String]) -> Result<Members, Error> {
        if targets.is_empty() {
            let why = "no member of the etcd cluster is named: give Etcd::new their addresses, or write \
                       etcd://host:port,host:port/name";
            return Err(Error::Option { option: "members", why: why.to_owned() });
        }
        let engine = self.engine.as_ref().unwrap_or(Engine::global()).clone();
        let clients: Result<_, _> = targets.iter().map(|target| self.client(target, &engine)).collect();
        Ok(Members { clients: clients?, engine })
    }

    fn client(&self, target: &str, engine: &Engine) -> Result<Client, Error> {
        let builder = Channel::builder(target)
            .engine(engine)
            .backoff(BACKOFF)
            .keepalive(KEEPALIVE, KEEPALIVE_TIMEOUT, false)
            .max_receive_message_size(MAX_RESPONSE);
        Ok(Client::new((self.configure)(builder).build()?))
    }

    pub(super) fn known_members(&self) -> &[String] {
        &self.members
    }
}

impl Default for Etcd {
    /// A cluster whose members are named in targets.
    fn default() -> Self {
        Etcd::new::<String>([])
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("members", &self.members).finish_non_exhaustive()
    }
}

/// Channels to all members. Nothing is connected before it is asked.
#[derive(Debug)]
pub(super) struct Members {
    clients: Vec<Client>,
    pub(super) engine: Engine,
}

impl Members {
    /// Whom to ask: another one after each failure.
    pub(super) fn get(&self, failures: usize) -> &Client {
        &self.clients[failures % self.clients.len()]
    }
}
