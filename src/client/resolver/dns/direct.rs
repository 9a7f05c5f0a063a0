//! The look-up of a name by DNS servers that are asked directly, and of its service config.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::base::Rtype;

use super::answer::{self, Answer};
use super::server::Asking;
use super::txt_config::{self, Client};
use super::{Host, system_addresses};
use crate::client::resolver::{Resolution, ResolveError, Resolver, Work};
use crate::net::Address;

/// The port of a DNS server.
const DNS_PORT: u16 = 53;
/// Of the system's servers so many are asked in turn, as its own resolver does (`resolv.conf(5)`).
const MAX_SERVERS: usize = 3;

/// What the look-ups of a [`Dns`](super::Dns) do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) service_configs: bool,
    pub(super) timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        // As `resolv.conf(5)` has it.
        Options { service_configs: false, timeout: Duration::from_secs(5) }
    }
}

/// Asks a server for the addresses of a name, the system if no server is named; and servers for its service config, if
/// that is wanted.
#[derive(Clone)]
pub(super) struct DirectLookup {
    host: String,
    port: u16,
    server: Option<Server>,
    options: Options,
    client: Client,
    /// The service config that was found last. It counts while there is no word of it.
    known: Arc<Mutex<Option<String>>>,
}

/// Whom the target says to ask.
#[derive(Clone, Debug)]
struct Server {
    /// As the target has it.
    name: String,
    host: String,
    port: u16,
}

impl DirectLookup {
    /// `authority` is that of the target. The error is the reason why it is no server.
    pub(super) fn new(authority: &str, host: String, port: u16, options: Options) -> Result<Self, String> {
        let server = match authority {
            "" => None,
            _ => {
                let (host, port) = match Host::parse(authority, Some(DNS_PORT))? {
                    Host::Literal(address) => (address.ip().to_string(), address.port()),
                    Host::Name { host, port } => (host, port),
                };
                Some(Server { name: authority.to_owned(), host, port })
            }
        };
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let percentile = crate::net::seed() % 100;
        let client = Client { host_name: host_name.trim().to_owned(), percentile };
        Ok(DirectLookup { host, port, server, options, client, known: Arc::default() })
    }

    fn look_up(&self) -> Result<Resolution, ResolveError> {
        let servers = self.servers();
        let config = self.options.service_configs.then(|| {
            let name = format!("{}{}", txt_config::PREFIX, self.host);
            self.ask(&servers, &name, Rtype::TXT)
        });
        let addresses = match &self.server {
            None => system_addresses(&self.host, self.port),
            Some(server) => self.addresses(&servers).map_err(|why| format!("{why}, asking {}", server.name)),
        };
        let failed = |why: String| ResolveError::new(format!("cannot resolve \"{}\": {why}", self.host));
        let addresses = addresses.map_err(failed)?;
        let mut resolution: Resolution = addresses.into_iter().map(Address::Tcp).collect();
        resolution.service_config = config
            .and_then(|asked| self.service_config(asked.and_then(|asking| asking.first(answer::texts))));
        Ok(resolution)
    }

    /// Whom to ask. Without a server of the target's, those of the system.
    fn servers(&self) -> Result<Vec<SocketAddr>, String> {
        match &self.server {
            Some(Server { name, host, port }) => match (host.as_str(), *port).to_socket_addrs() {
                Ok(addresses) => Ok(addresses.take(MAX_SERVERS).collect()),
                Err(error) => Err(format!("the DNS server {name} is not known: {error}")),
            },
            None => {
                let text = std::fs::read_to_string("/etc/resolv.conf")
                    .map_err(|error| format!("/etc/resolv.conf cannot be read: {error}"))?;
                Ok(name_servers(&text))
            }
        }
    }

    fn ask<'a>(
        &self,
        servers: &'a Result<Vec<SocketAddr>, String>,
        name: &str,
        record_type: Rtype,
    ) -> Result<AskingOneOf<'a>, String> {
        let servers = servers.as_ref().map_err(Clone::clone)?;
        let timeout = self.options.timeout;
        AskingOneOf::start(servers, name, record_type, timeout)
    }

    /// The addresses in both families. One of them suffices.
    fn addresses(&self, servers: &Result<Vec<SocketAddr>, String>) -> Result<Vec<SocketAddr>, String> {
        let (v6, v4) = (self.ask(servers, &self.host, Rtype::AAAA), self.ask(servers, &self.host, Rtype::A));
        let v6 = v6.and_then(|asking| asking.first(answer::ipv6));
        let v4 = v4.and_then(|asking| asking.first(answer::ipv4));
        let mut all = match (v6, v4) {
            (Ok(v6), Ok(v4)) => [v6, v4],
            (Ok(found), Err(why)) | (Err(why), Ok(found)) if found.is_empty() => return Err(why),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => [found, Vec::new()],
            (Err(_), Err(why)) => return Err(why),
        };
        // The family that this machine can reach comes first.
        if !all[0].first().is_some_and(|address| has_route(*address)) {
            all.reverse();
        }
        let addresses: Vec<SocketAddr> =
            all.into_iter().flatten().map(|ip| SocketAddr::new(ip, self.port)).collect();
        match addresses.is_empty() {
            true => Err("the name has no address".to_owned()),
            false => Ok(addresses),
        }
    }

    /// What the texts mean. If there was no answer, the service config stays what it was.
    fn service_config(&self, texts: Result<Vec<Vec<u8>>, String>) -> Option<Result<String, ResolveError>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(texts) = texts {
            match self.client.choose(&texts) {
                Ok(config) => *known = config,
                Err(error) => {
                    return Some(Err(ResolveError::new(format!(
                        "in the TXT record of {}{}: {error}",
                        txt_config::PREFIX,
                        self.host
                    ))));
                }
            }
        }
        known.clone().map(Ok)
    }
}

impl Resolver for DirectLookup {
    fn resolve(&mut self) -> Work {
        let lookup = self.clone();
        Work::Blocking(Box::new(move || lookup.look_up()))
    }
}

/// A question to the first of several servers that answers.
struct AskingOneOf<'a> {
    /// The question that was sent.
    asking: Result<Asking, String>,
    others: &'a [SocketAddr],
    name: String,
    record_type: Rtype,
    timeout: Duration,
}

impl<'a> AskingOneOf<'a> {
    fn start(
        servers: &'a [SocketAddr],
        name: &str,
        record_type: Rtype,
        timeout: Duration,
    ) -> Result<Self, String> {
        let (first, others) = servers.split_first().ok_or("there is no DNS server to ask")?;
        let asking = Asking::start(*first, name, record_type, timeout);
        Ok(AskingOneOf { asking, others, name: name.to_owned(), record_type, timeout })
    }

    fn first<T>(self, read: impl Fn(&Answer) -> Result<T, String>) -> Result<T, String> {
        let mut outcome = self.asking.and_then(|asking| asking.answer(&read));
        for server in self.others {
            if outcome.is_ok() {
                break;
            }
            outcome = Asking::start(*server, &self.name, self.record_type, self.timeout)
                .and_then(|asking| asking.answer(&read));
        }
        outcome
    }
}

/// Whether packets to this address have somewhere to go. None is sent.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, DNS_PORT))).is_ok()
}

/// The servers of a `resolv.conf`.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok());
    addresses.take(MAX_SERVERS).map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_servers_are_those_of_resolv_conf_and_three_at_most() {
        let text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 192.0.2.1 # first\n  nameserver 2001:db8::1\n\
            nameserver x\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        let servers: Vec<String> = name_servers(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"]);
    }
}
