//! `dns:[//server[:port]/]host[:port]`: names are looked up by the system's resolver, or by a certain DNS server;
//! addresses are taken as they are.

#[cfg(feature = "dns-client")]
mod answer;
#[cfg(feature = "dns-client")]
mod direct;
#[cfg(feature = "dns-client")]
pub(crate) mod fuzz;
#[cfg(feature = "dns-client")]
mod server;
#[cfg(feature = "dns-client")]
mod txt_config;

#[cfg(not(feature = "dns-client"))]
use super::require_no_authority;
use super::{
    Fixed, Resolution, ResolutionSender, ResolveError, Resolver, ResolverBuilder, Work, require_no_query,
};
use crate::client::target::{Target, TargetError};
use crate::net::Address;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

/// The port of a target that names none: that of HTTPS, as in every gRPC implementation.
pub(crate) const DEFAULT_PORT: u16 = 443;

/// Targets that are host names or IP addresses, with or without a port.
///
/// With the feature `dns-client` a target may name the DNS server to ask, as in `dns://192.0.2.53/greeter.example.com`
/// (port 53 unless it says otherwise): for addresses of both families, over UDP, and over TCP where an answer does not
/// fit into a datagram. And names may have a service config in DNS, if that is wanted: see `service_configs`.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    #[cfg(feature = "dns-client")]
    options: direct::Options,
}

impl Dns {
    /// The resolver that channels have unless they are given another.
    pub fn new() -> Self {
        Dns::default()
    }
}

#[cfg(feature = "dns-client")]
impl Dns {
    /// Looks for a service config, too: in the TXT record of `_grpc_config.<host>`, which is `grpc_config=` and a list
    /// of choices in JSON (gRFC A2). The first counts whose `clientLanguage` has `rust`, whose `clientHostName` has
    /// this machine's name, and whose `percentage` this resolver falls into; what is not given holds for all. The
    /// server is the target's, or else one of `/etc/resolv.conf`. While it does not answer, the service config stays
    /// what it was.
    ///
    /// ```
    /// use lariat::Channel;
    /// use lariat::client::resolver::Dns;
    ///
    /// let dns = Dns::new().service_configs();
    /// let channel = Channel::builder("dns:///greeter.example.com").resolver(dns).plaintext().build()?;
    /// # Ok::<(), lariat::Error>(())
    /// ```
    pub fn service_configs(mut self) -> Self {
        self.options.service_configs = true;
        self
    }

    /// How long a DNS server has for an answer, which it is asked for twice. Default: 5 s.
    pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
        self.options.timeout = timeout;
        self
    }
}

impl ResolverBuilder for Dns {
    fn scheme(&self) -> &str {
        "dns"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        require_no_query(target)?;
        let host = Host::parse(target.endpoint(), Some(DEFAULT_PORT)).map_err(|why| {
            TargetError::new(target, why, "write dns:///host:port, or [address]:port for IPv6")
        })?;
        self.resolver(target, host)
    }
}

impl Dns {
    #[cfg(not(feature = "dns-client"))]
    fn resolver(&self, target: &Target, host: Host) -> Result<Box<dyn Resolver>, TargetError> {
        let advice = format!(
            "asking a certain DNS server takes lariat's feature \"dns-client\"; without it write dns:///{}",
            target.endpoint()
        );
        require_no_authority(target, &advice)?;
        Ok(host.into_resolver())
    }

    #[cfg(feature = "dns-client")]
    fn resolver(&self, target: &Target, host: Host) -> Result<Box<dyn Resolver>, TargetError> {
        match host {
            Host::Name { host, port } if !target.authority.is_empty() || self.options.service_configs => {
                let lookup = direct::DirectLookup::new(&target.authority, host, port, self.options);
                let lookup = lookup.map_err(|why| {
                    let why = format!("its authority \"{}\" is no DNS server: {why}", target.authority);
                    TargetError::new(target, why, "write dns://address:port/host:port, or dns:///host:port")
                })?;
                Ok(Box::new(lookup))
            }
            host => Ok(host.into_resolver()),
        }
    }
}

/// Where a TCP target leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Literal(SocketAddr),
    Name { host: String, port: u16 },
}

impl Host {
    /// Reads `host[:port]`; an empty host is this machine, as in grpc-go. Without a default the port is required. The
    /// error is the reason.
    pub(super) fn parse(text: &str, default_port: Option<u16>) -> Result<Host, String> {
        let missing_port = || "it has no port".to_owned();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Host::Literal(address));
        }
        if let Some(ip) = parse_ip(text) {
            return Ok(Host::Literal(with_port(ip, default_port.ok_or_else(missing_port)?)));
        }
        if let Some(bracketed) = text.strip_prefix('[') {
            let (ip, rest) = bracketed.split_once(']').ok_or("its '[' is never closed")?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => default_port.ok_or_else(missing_port)?,
                None => return Err(format!("\"{rest}\" follows the ']' where only \":port\" may")),
            };
            let ip = parse_ip(ip)
                .filter(SocketAddr::is_ipv6)
                .ok_or_else(|| format!("\"{ip}\" is no IPv6 address"))?;
            return Ok(Host::Literal(with_port(ip, port)));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, default_port.ok_or_else(missing_port)?),
        };
        let illegal = |c: &char| c.is_whitespace() || c.is_control() || "/\\@[]%,;\"'<>".contains(*c);
        if let Some(character) = host.chars().find(illegal) {
            return Err(format!("a host name cannot contain {character:?}"));
        }
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Host::Name { host: host.to_owned(), port })
    }

    pub(super) fn into_resolver(self) -> Box<dyn Resolver> {
        match self {
            Host::Literal(address) => Box::new(Fixed(Resolution::from_iter([Address::Tcp(address)]))),
            Host::Name { host, port } => Box::new(SystemLookup { host, port }),
        }
    }
}

/// An IP address without a port, which an IPv6 zone may follow; the port of the result is zero.
fn parse_ip(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    let (ip, zone) = text.split_once('%')?;
    Some(SocketAddrV6::new(ip.parse::<Ipv6Addr>().ok()?, 0, 0, zone.parse().ok()?).into())
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text {
        "" => Err("there is no port after the ':'".into()),
        _ if text.contains(':') => {
            Err("it has several ':', and an IPv6 address with a port needs brackets".into())
        }
        _ => text.parse().map_err(|_| format!("the port \"{text}\" is not a number from 0 to 65535")),
    }
}

/// Asks the system's resolver, which reads `/etc/hosts`, `/etc/resolv.conf` and whatever else it is configured with.
struct SystemLookup {
    host: String,
    port: u16,
}

impl Resolver for SystemLookup {
    fn resolve(&mut self) -> Work {
        let (host, port) = (self.host.clone(), self.port);
        Work::Blocking(Box::new(move || {
            let failed = |why: String| ResolveError::new(format!("cannot resolve \"{host}\": {why}"));
            let found = system_addresses(&host, port).map_err(failed)?;
            Ok(found.into_iter().map(Address::Tcp).collect())
        }))
    }
}

fn system_addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    match found.is_empty() {
        true => Err("the name has no address".into()),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{addresses, resolve};
    use super::*;

    fn name(host: &str, port: u16) -> Host {
        Host::Name { host: host.into(), port }
    }

    #[track_caller]
    fn blocking(input: &str) -> Result<Resolution, ResolveError> {
        match resolve(input) {
            Ok(Work::Blocking(work)) => work(),
            other => panic!("{input}: {other:?}"),
        }
    }

    #[test]
    fn ip_addresses_need_no_look_up() {
        assert_eq!(addresses("127.0.0.1:50051"), ["127.0.0.1:50051"]);
        assert_eq!(addresses("dns:///10.0.0.1"), ["10.0.0.1:443"]);
        assert_eq!(addresses("[::1]:80"), ["[::1]:80"]);
        assert_eq!(addresses("[::1]"), ["[::1]:443"]);
        assert_eq!(addresses("dns:///::1"), ["[::1]:443"]);
        assert_eq!(addresses("dns:///[fe80::1%253]:80"), ["[fe80::1%3]:80"]);
        assert_eq!(addresses("dns:///[fe80::1%253]"), ["[fe80::1%3]:443"]);
    }

    #[test]
    fn names_get_the_default_port_and_an_empty_one_is_this_machine() {
        assert_eq!(Host::parse("foo.example", Some(443)), Ok(name("foo.example", 443)));
        assert_eq!(Host::parse("foo.example:80", Some(443)), Ok(name("foo.example", 80)));
        assert_eq!(Host::parse(":80", Some(443)), Ok(name("localhost", 80)));
        assert!(Host::parse("foo.example", None).is_err());
    }

    #[test]
    fn a_name_is_looked_up_by_the_system_off_the_loop() {
        let resolution = blocking("localhost:50051").unwrap();
        let addresses: Vec<&Address> = resolution.endpoints.iter().flat_map(|e| &e.addresses).collect();
        assert!(!addresses.is_empty());
        for address in addresses {
            assert!(matches!(address, Address::Tcp(a) if a.port() == 50051 && a.ip().is_loopback()));
        }
    }

    #[test]
    fn a_failed_look_up_names_the_host() {
        // A label of more than 63 octets is refused by the resolver itself, so that no network is needed.
        let error = blocking(&format!("{}.invalid:1", "a".repeat(70))).unwrap_err().to_string();
        assert!(error.starts_with("cannot resolve \"aaa"), "{error}");
    }

    #[cfg(not(feature = "dns-client"))]
    #[test]
    fn a_server_to_ask_takes_a_feature_that_the_error_names() {
        let error = resolve("dns://8.8.8.8/foo").unwrap_err().to_string();
        assert!(error.contains("feature \"dns-client\"") && error.contains("write dns:///foo"), "{error}");
    }

    #[cfg(feature = "dns-client")]
    #[test]
    fn an_authority_is_a_server_to_ask() {
        assert!(matches!(resolve("dns://8.8.8.8/foo"), Ok(Work::Blocking(_))));
        assert!(matches!(resolve("dns://[2001:db8::1]:53/foo"), Ok(Work::Blocking(_))));
        assert_eq!(addresses("dns://8.8.8.8/10.0.0.1:80"), ["10.0.0.1:80"]);
        let error = resolve("dns://8.8.8.8:x/foo").unwrap_err().to_string();
        assert!(error.contains("its authority \"8.8.8.8:x\" is no DNS server: the port \"x\""), "{error}");
    }

    #[test]
    fn errors_say_what_is_wrong_with_the_endpoint() {
        for (target, part) in [
            ("dns:///foo:", "no port after the ':'"),
            ("dns:///foo:http", "\"http\" is not a number"),
            ("dns:///foo:65536", "not a number from 0 to 65535"),
            ("dns:///2001:db8::1:2:zz", "needs brackets"),
            ("dns:///[::1", "never closed"),
            ("dns:///[::1]80", "\"80\" follows the ']'"),
            ("dns:///[foo]:80", "\"foo\" is no IPv6 address"),
            ("dns:///[10.0.0.1]:80", "no IPv6 address"),
            ("dns:///foo bar", "cannot contain ' '"),
            ("dns:///foo?x", "query"),
        ] {
            let error = resolve(target).unwrap_err().to_string();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
