//! The resolver: `etcd:///name` and `etcd://member,member/name`.

use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError};

use super::backends::Backends;
use super::client::Client;
use super::cluster::{Etcd, Members};
use super::{Pauses, unless};
use crate::blocking::blocking;
use crate::call::CancellationToken;
use crate::client::resolver::{Resolution, ResolutionSender, ResolveError, Resolver, ResolverBuilder, Work};
use crate::client::target::{Target, TargetError};
use crate::engine::spawn;
use crate::net::Address;
use crate::rpc::Status;

impl ResolverBuilder for Etcd {
    fn scheme(&self) -> &str {
        "etcd"
    }

    fn build(&self, target: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        let advice = "write etcd:///name, or etcd://host:port,host:port/name";
        if !target.query.is_empty() {
            return Err(TargetError::new(target, "it has a query, and \"etcd\" has no parameters", advice));
        }
        let members = match target.authority.as_str() {
            "" => self.known_members().to_vec(),
            named => named.split(',').map(str::to_owned).collect(),
        };
        let members =
            self.members(&members).map_err(|error| TargetError::new(target, error.to_string(), advice))?;
        let prefix = format!("{}/", target.endpoint().trim_end_matches('/')).into_bytes();
        let findings = Findings { latest: Arc::default(), sender };
        let (latest, token) = (Arc::clone(&findings.latest), CancellationToken::new());
        Ok(Box::new(Following { follow: Some(Follow { members, prefix, findings }), latest, token }))
    }
}

type Latest = Arc<Mutex<Option<Result<Resolution, ResolveError>>>>;

/// The resolver of one channel. What follows etcd is a future on a loop, which ends when this is dropped.
struct Following {
    /// `None` once it runs.
    follow: Option<Follow>,
    latest: Latest,
    token: CancellationToken,
}

impl Resolver for Following {
    fn resolve(&mut self) -> Work {
        if let Some(follow) = self.follow.take() {
            let (handle, stop) = (follow.members.engine.choose_loop(), self.token.cancelled());
            spawn(&handle, async move {
                unless(stop, follow.run()).await;
            });
        }
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone().map_or(Work::Pushed, Work::Ready)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// Where the channel hears of what was found.
struct Findings {
    latest: Latest,
    sender: ResolutionSender,
}

impl Findings {
    fn send(&self, result: Result<Resolution, ResolveError>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.clone());
        self.sender.send(result);
    }
}

/// Follows the entries under a prefix.
struct Follow {
    members: Members,
    prefix: Vec<u8>,
    findings: Findings,
}

impl Follow {
    async fn run(self) {
        let (mut backends, mut pauses) = (Backends::default(), Pauses::new());
        for failures in 0.. {
            let client = self.members.get(failures);
            let Err(status) = self.follow(client, &mut backends, &mut pauses).await else { continue };
            let name = String::from_utf8_lossy(&self.prefix);
            self.findings
                .send(Err(ResolveError::new(format!("etcd cannot be asked for \"{name}\": {status}"))));
            pauses.pause().await;
        }
    }

    /// Reads all entries, then follows their changes. It ends well when some of these have been forgotten: then all
    /// have to be read again.
    async fn follow(
        &self,
        client: &Client,
        backends: &mut Backends,
        pauses: &mut Pauses,
    ) -> Result<(), Status> {
        let (kvs, revision) = client.range(&self.prefix).await?;
        pauses.reset();
        backends.reset(kvs);
        self.publish(backends).await;
        let (_requests, mut responses) = client.watch(&self.prefix, revision + 1).await?;
        while let Some(response) = responses.message().await? {
            if response.compact_revision != 0 {
                return Ok(());
            }
            if response.canceled {
                return Err(Status::unavailable(format!("the watch has ended: {}", response.cancel_reason)));
            }
            if !response.events.is_empty() {
                response.events.into_iter().for_each(|event| backends.apply(event));
                self.publish(backends).await;
            }
        }
        Err(Status::unavailable("the watch has ended"))
    }

    async fn publish(&self, backends: &mut Backends) {
        let names = backends.names();
        if !names.is_empty() {
            for (name, found) in blocking(move || look_up(names)).await {
                backends.locate(&name, found);
            }
        }
        self.findings.send(backends.resolution());
    }
}

/// Asks the system's resolver for the addresses of `host:port`.
fn look_up(names: Vec<String>) -> Vec<(String, Result<Vec<Address>, String>)> {
    let addresses = |name: &str| -> Result<Vec<Address>, String> {
        let found = name.to_socket_addrs().map_err(|error| error.to_string())?;
        Ok(found.map(Address::Tcp).collect())
    };
    names.into_iter().map(|name| (addresses(&name), name)).map(|(found, name)| (name, found)).collect()
}
