//! Connections that somebody else makes: a dialer of one's own, and an HTTP proxy.
//!
//! A channel whose target is a DNS name honours the environment's proxy by itself: see [`ProxySettings`].
//!
//! ```
//! use std::io;
//! use std::net::TcpStream;
//! use std::time::Instant;
//!
//! use lariat::client::dialer::Dialed;
//! use lariat::{Address, Channel};
//!
//! let dial = |address: &Address, deadline: Instant| -> io::Result<Dialed> {
//!     let Address::Tcp(address) = address else {
//!         return Err(io::Error::new(io::ErrorKind::Unsupported, "only TCP"));
//!     };
//!     let stream = TcpStream::connect_timeout(address, deadline.saturating_duration_since(Instant::now()))?;
//!     // Here it could be bound to an interface, or be introduced to a relay.
//!     Ok(stream.into())
//! };
//! let channel = Channel::builder("localhost:50051").dialer(dial).plaintext().build()?;
//! # Ok::<(), lariat::Error>(())
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::net::{Address, PeerAddress, Socket, clock};

/// Makes the connections of a channel in the place of its engine.
pub trait Dialer: Send + Sync + 'static {
    /// A connection to this address, before the deadline. It runs on a thread of its own and may block. The address
    /// that failed is named by the channel, so that an error needs to say only what went wrong.
    fn dial(&self, address: &Address, deadline: Instant) -> io::Result<Dialed>;
}

impl<F> Dialer for F
where
    F: Fn(&Address, Instant) -> io::Result<Dialed> + Send + Sync + 'static,
{
    fn dial(&self, address: &Address, deadline: Instant) -> io::Result<Dialed> {
        self(address, deadline)
    }
}

impl fmt::Debug for dyn Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

/// A connection that was made. The engine makes it non-blocking.
#[derive(Debug)]
pub enum Dialed {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection over a Unix socket, or one end of a pair of them.
    Unix(UnixStream),
}

impl From<TcpStream> for Dialed {
    fn from(stream: TcpStream) -> Self {
        Dialed::Tcp(stream)
    }
}

impl From<UnixStream> for Dialed {
    fn from(stream: UnixStream) -> Self {
        Dialed::Unix(stream)
    }
}

impl Dialed {
    /// As the event loops need it, and who is at its other end.
    pub(super) fn into_socket(self) -> io::Result<(Socket, PeerAddress)> {
        let socket = match self {
            Dialed::Tcp(stream) => Socket::from_tcp(stream)?,
            Dialed::Unix(stream) => Socket::from_unix(stream)?,
        };
        let peer = socket.peer_address()?;
        Ok((socket, peer))
    }
}

/// Connects through an HTTP proxy by CONNECT (RFC 9110 §9.3.6), with basic authentication (RFC 7617) if the proxy's URL
/// has a user. As a dialer it is asked for addresses, since the channel has resolved the names; the proxy of
/// [`ProxySettings`] is asked for the target's name.
///
/// ```
/// use lariat::Channel;
/// use lariat::client::dialer::HttpProxy;
///
/// let proxy = HttpProxy::parse("http://user:secret@proxy.example.com:3128").expect("a proxy's URL");
/// let channel = Channel::builder("localhost:50051").dialer(proxy).plaintext().build()?;
/// # Ok::<(), lariat::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpProxy {
    /// `host:port`.
    host: String,
    /// `user:password` in base64.
    credentials: Option<String>,
}

/// The head of a proxy's answer may have so many octets.
const MAX_PROXY_HEAD: usize = 8 * 1024;
/// The port of a proxy whose URL names none.
const PROXY_PORT: u16 = 80;

impl HttpProxy {
    /// Reads a proxy's URL: `http://[user[:password]@]host[:port]`, with or without `http://`, as it stands in
    /// `HTTPS_PROXY`. `None` if it is no such URL.
    pub fn parse(url: &str) -> Option<HttpProxy> {
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return None,
            None => url,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(super::target::percent_decode(user).ok()?), host),
            None => (None, authority),
        };
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
        if host.is_empty() || !host.chars().all(is_legal) {
            return None;
        }
        let behind_address = host.rsplit(']').next().unwrap_or(host);
        let host = match behind_address.contains(':') {
            true => host.to_owned(),
            false => format!("{host}:{PROXY_PORT}"),
        };
        let credentials = user.map(|user| {
            use base64::Engine as _;
            let user = if user.contains(':') { user } else { format!("{user}:") };
            base64::engine::general_purpose::STANDARD.encode(user)
        });
        Some(HttpProxy { host, credentials })
    }

    fn failed(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("through the HTTP proxy {}: {error}", self.host))
    }

    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the proxy's name has no address");
        for address in self.host.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks for a connection to this `host:port`.
    fn ask(&self, stream: &mut TcpStream, target: &str, deadline: Instant) -> io::Result<()> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        stream.set_write_timeout(Some(left(deadline)?))?;
        stream.write_all(request.as_bytes())?;
        // Octet by octet, as what follows the head is the server's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_PROXY_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of its answer is too long"));
            }
            let mut octet = [0];
            stream.set_read_timeout(Some(left(deadline)?))?;
            stream.read_exact(&mut octet)?;
            head.extend_from_slice(&octet);
        }
        let line = head.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let code = line.split(|octet| *octet == b' ').nth(1).unwrap_or_default();
        match (line.starts_with(b"HTTP/1."), code) {
            (true, [b'2', _, _]) => Ok(()),
            _ => Err(io::Error::other(format!("it answered \"{}\"", line.escape_ascii()))),
        }
    }
}

impl Dialer for HttpProxy {
    fn dial(&self, address: &Address, deadline: Instant) -> io::Result<Dialed> {
        let Address::Tcp(address) = address else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "an HTTP proxy leads to TCP addresses only",
            ));
        };
        let through = || {
            let mut stream = self.connect(deadline)?;
            self.ask(&mut stream, &address.to_string(), deadline)?;
            Ok(stream.into())
        };
        through().map_err(|error: io::Error| self.failed(&error))
    }
}

/// Which targets a channel reaches through an HTTP proxy, and which proxy that is. A channel has the environment's
/// settings unless its builder is given others ([`proxy`](super::ChannelBuilder::proxy),
/// [`without_proxy`](super::ChannelBuilder::without_proxy)).
///
/// ```
/// use lariat::Channel;
/// use lariat::client::dialer::ProxySettings;
///
/// let settings = ProxySettings {
///     https_proxy: Some("http://user:secret@proxy.example.com:3128".to_owned()),
///     no_proxy: ".internal.example.com,10.0.0.0/8".to_owned(),
/// };
/// let channel = Channel::builder("dns:///greeter.example.com").proxy(settings).plaintext().build()?;
/// # Ok::<(), lariat::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// The proxy's URL, for [`HttpProxy::parse`]. `None`: no proxy.
    pub https_proxy: Option<String>,
    /// Which hosts are reached directly: `*`, addresses, networks such as `10.0.0.0/8`, and domains, each with a port
    /// or not, with commas between them. A domain stands for its subdomains, too; with a dot before it for those alone.
    pub no_proxy: String,
}

impl ProxySettings {
    /// What the environment says: `HTTPS_PROXY` and `NO_PROXY`, or these in lower case.
    pub fn from_environment() -> Self {
        let variable = |names: [&str; 2]| {
            names.into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty())
        };
        ProxySettings {
            https_proxy: variable(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: variable(["NO_PROXY", "no_proxy"]).unwrap_or_default(),
        }
    }

    /// The proxy for this `host[:port]`. This machine itself is never reached through one. The error is the reason why
    /// there is a proxy that cannot be used.
    pub fn proxy_for(&self, host: &str) -> Result<Option<HttpProxy>, String> {
        match &self.https_proxy {
            Some(url) if !is_exempt(host, &self.no_proxy) => match HttpProxy::parse(url) {
                Some(proxy) => Ok(Some(proxy)),
                None => Err("the proxy's URL is not http://[user[:password]@]host[:port]".to_owned()),
            },
            _ => Ok(None),
        }
    }
}

/// Without the URL, which may have a password in it.
impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = self.https_proxy.as_deref().map(HttpProxy::parse);
        f.debug_struct("ProxySettings")
            .field("https_proxy", &proxy)
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Connects to one target through a proxy, which is left to resolve its name. The channel resolves that of the proxy.
pub(super) struct Tunnel {
    proxy: HttpProxy,
    /// `host:port`.
    target: String,
}

impl Tunnel {
    /// `target` is a `host[:port]`.
    pub(super) fn new(proxy: HttpProxy, target: &str, default_port: u16) -> Self {
        let target = match split_port(target) {
            (_, Some(_)) => target.to_owned(),
            (host, None) if host.contains(':') => format!("[{host}]:{default_port}"),
            (host, None) => format!("{host}:{default_port}"),
        };
        Tunnel { proxy, target }
    }

    /// Where the proxy is: a target of the scheme `dns`.
    pub(super) fn proxy_target(&self) -> String {
        format!("dns:///{}", self.proxy.host)
    }
}

impl Dialer for Tunnel {
    fn dial(&self, address: &Address, deadline: Instant) -> io::Result<Dialed> {
        let Address::Tcp(address) = address else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "an HTTP proxy has a TCP address"));
        };
        let through = || {
            let mut stream = TcpStream::connect_timeout(address, left(deadline)?)?;
            self.proxy.ask(&mut stream, &self.target, deadline)?;
            Ok(stream.into())
        };
        through().map_err(|error: io::Error| self.proxy.failed(&error))
    }
}

/// Without the credentials, which are nobody's business.
impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProxy").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Whether a list such as `NO_PROXY` holds has this `host[:port]` in it. Its items are `*`, addresses, networks such as
/// `10.0.0.0/8`, and domains: with a leading dot their subdomains alone, else they themselves, too; any with a port.
fn is_exempt(host: &str, list: &str) -> bool {
    let (name, port) = split_port(host);
    let ip: Option<IpAddr> = name.parse().ok();
    if name == "localhost" || name.is_empty() || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).any(|item| {
        if item == "*" {
            return true;
        }
        if let Some((network, bits)) = item.split_once('/') {
            let network = network.parse::<IpAddr>().ok().zip(bits.parse::<u32>().ok());
            return network.zip(ip).is_some_and(|((network, bits), ip)| is_within(ip, network, bits));
        }
        let (item, item_port) = split_port(item);
        if item_port.is_some() && item_port != port {
            return false;
        }
        match (item.parse::<IpAddr>(), ip) {
            (Ok(item), Some(ip)) => item == ip,
            (Ok(_), None) | (Err(_), Some(_)) => false,
            (Err(_), None) => {
                let (item, name) = (item.to_ascii_lowercase(), name.to_ascii_lowercase());
                let domain = item.strip_prefix("*.").or(item.strip_prefix('.'));
                let above = name.strip_suffix(domain.unwrap_or(&item));
                above.is_some_and(|above| above.ends_with('.') || (above.is_empty() && domain.is_none()))
            }
        }
    })
}

/// The host without brackets, and the port behind it.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((ip, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (ip, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    let shared = |ip: u128, network: u128, width: u32| {
        bits <= width && (ip ^ network).checked_shr(width - bits).unwrap_or(0) == 0
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => shared(ip.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => shared(ip.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::now());
    match left.is_zero() {
        true => Err(io::Error::new(io::ErrorKind::TimedOut, "no time is left")),
        false => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_proxies_are_read() {
        for (url, host, credentials) in [
            ("http://example.com:3128", "example.com:3128", None),
            ("example.com", "example.com:80", None),
            ("http://[::1]/", "[::1]:80", None),
            ("http://[::1]:81", "[::1]:81", None),
            ("http://me:s%40cret@proxy:1", "proxy:1", Some("bWU6c0BjcmV0")),
            ("http://me@proxy:1", "proxy:1", Some("bWU6")),
        ] {
            let proxy = HttpProxy::parse(url).unwrap();
            assert_eq!((&*proxy.host, proxy.credentials.as_deref()), (host, credentials), "{url}");
            assert!(!format!("{proxy:?}").contains("bWU6"));
        }
        for url in
            ["", "http://", "https://proxy", "socks5://proxy", "http://a b", "http://a/b", "http://me@"]
        {
            assert!(HttpProxy::parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn the_settings_say_which_proxy_leads_to_a_host() {
        let settings = ProxySettings {
            https_proxy: Some("http://me:secret@proxy:3128".to_owned()),
            no_proxy: "example.com".to_owned(),
        };
        let proxy = |host: &str| settings.proxy_for(host).unwrap().map(|proxy| proxy.host);
        assert_eq!(proxy("example.org:80").as_deref(), Some("proxy:3128"));
        for host in ["example.com", "localhost:80", "127.0.0.1", "[::1]:80"] {
            assert_eq!(proxy(host), None, "{host}");
        }
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(ProxySettings::default().proxy_for("example.org").unwrap().is_none());
        let unusable = ProxySettings { https_proxy: Some("socks5://proxy".to_owned()), ..settings };
        assert!(unusable.proxy_for("example.org").is_err() && unusable.proxy_for("example.com").is_ok());
    }

    #[test]
    fn a_proxy_is_asked_for_a_port_in_any_case() {
        let tunnel = |target: &str| Tunnel::new(HttpProxy::parse("proxy").unwrap(), target, 443);
        assert_eq!(tunnel("a.b").proxy_target(), "dns:///proxy:80");
        for (target, asked) in [
            ("a.b", "a.b:443"),
            ("a.b:80", "a.b:80"),
            ("192.0.2.1", "192.0.2.1:443"),
            ("2001:db8::1", "[2001:db8::1]:443"),
            ("[2001:db8::1]", "[2001:db8::1]:443"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(tunnel(target).target, asked);
        }
    }

    #[test]
    fn hosts_are_exempt_by_name_domain_address_network_and_port() {
        let list = "example.com, .inner.example.com,10.0.0.0/8,192.0.2.1,www.example.com:81,2001:db8::/32";
        for (host, exempt) in [
            ("example.com", true),
            ("example.com:443", true),
            ("WWW.Example.com", true),
            ("notexample.com", false),
            ("10.1.2.3:443", true),
            ("11.1.2.3", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("[2001:db8::1]:443", true),
            ("2001:db9::1", false),
            ("localhost:1", true),
            ("127.0.0.1", true),
            ("[::1]:80", true),
            (":80", true),
        ] {
            assert_eq!(is_exempt(host, list), exempt, "{host}");
        }
        assert!(!is_exempt("inner.example.com", ".inner.example.com"));
        assert!(is_exempt("a.inner.example.com", ".inner.example.com"));
        assert!(!is_exempt("www.example.com:80", "www.example.com:81"));
        assert!(is_exempt("www.example.com:81", "www.example.com:81"));
        assert!(
            is_exempt("anything", "*")
                && !is_exempt("anything", "")
                && !is_exempt("10.0.0.1", "x/y,10.0.0.0/99")
        );
        assert!(is_exempt("10.0.0.1", "0.0.0.0/0"));
    }
}
