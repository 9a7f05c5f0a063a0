//! The resolver: `etcd:///name` and `etcd://member,member/name`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backends::Backends;
use super::client::Client;
use super::cluster::{Etcd, LookUp, Members};
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
        let findings = Findings { known: Arc::default(), sender };
        let (known, token) = (Arc::clone(&findings.known), CancellationToken::new());
        let look_up = Arc::clone(&self.look_up);
        Ok(Box::new(Following { follow: Some(Follow { members, prefix, findings, look_up }), known, token }))
    }
}

/// The resolver of one channel. What follows etcd is a future on a loop, which ends when this is dropped.
struct Following {
    /// `None` once it runs.
    follow: Option<Follow>,
    known: Arc<Mutex<Known>>,
    token: CancellationToken,
}

/// What is known of the backends, and what the channel wants to know anew.
#[derive(Default)]
struct Known {
    latest: Option<Result<Resolution, ResolveError>>,
    /// There are host names among the entries, which may lead elsewhere by now.
    has_names: bool,
    /// Cancelled when the names are to be looked up again.
    wanted: CancellationToken,
}

impl Resolver for Following {
    fn resolve(&mut self) -> Work {
        if let Some(follow) = self.follow.take() {
            let (handle, stop) = (follow.members.engine.choose_loop(), self.token.cancelled());
            spawn(&handle, async move {
                unless(stop, follow.run()).await;
            });
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.has_names {
            known.wanted.cancel();
            return Work::Pushed;
        }
        known.latest.clone().map_or(Work::Pushed, Work::Ready)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// Where the channel hears of what was found.
struct Findings {
    known: Arc<Mutex<Known>>,
    sender: ResolutionSender,
}

impl Findings {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, result: Result<Resolution, ResolveError>) {
        self.known().latest = Some(result.clone());
        self.sender.send(result);
    }

    /// Ready when the channel wants names to be looked up again.
    fn wanted(&self) -> impl Future<Output = ()> + use<> {
        self.known().wanted.cancelled()
    }
}

/// Follows the entries under a prefix.
struct Follow {
    members: Members,
    prefix: Vec<u8>,
    findings: Findings,
    look_up: LookUp,
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
        let names = backends.names();
        self.publish(backends, names).await;
        let (_requests, mut responses) = client.watch(&self.prefix, revision + 1).await?;
        loop {
            let Some(response) = unless(self.findings.wanted(), responses.message()).await else {
                self.findings.known().wanted = CancellationToken::new();
                let names = backends.all_names();
                self.publish(backends, names).await;
                continue;
            };
            let Some(response) = response? else {
                return Err(Status::unavailable("the watch has ended"));
            };
            if response.compact_revision != 0 {
                return Ok(());
            }
            if response.canceled {
                return Err(Status::unavailable(format!("the watch has ended: {}", response.cancel_reason)));
            }
            if !response.events.is_empty() {
                response.events.into_iter().for_each(|event| backends.apply(event));
                let names = backends.names();
                self.publish(backends, names).await;
            }
        }
    }

    /// Looks these names up, and tells the channel what is known then.
    async fn publish(&self, backends: &mut Backends, names: Vec<String>) {
        if !names.is_empty() {
            let look_up = Arc::clone(&self.look_up);
            let addresses = move |name: String| {
                let found = look_up(&name).map_err(|error| error.to_string());
                (name, found.map(|found| found.into_iter().map(Address::Tcp).collect()))
            };
            for (name, found) in blocking(|| names.into_iter().map(addresses).collect::<Vec<_>>()).await {
                backends.locate(&name, found);
            }
        }
        self.findings.known().has_names = !backends.all_names().is_empty();
        self.findings.send(backends.resolution());
    }
}
