//! Where a socket is bound or connected to: TCP, a Unix path, or an abstract Unix name.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// One socket address, of any family the engine speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix stream socket at a path of the file system.
    Unix(PathBuf),
    /// A Unix stream socket in Linux's abstract namespace; the name comes without its leading NUL.
    UnixAbstract(Vec<u8>),
}

/// A text that is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    text: String,
    why: String,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not an address to listen on: {}; write \"host:port\", \"[::]:port\", \"unix:/path\" or \
             \"unix-abstract:name\"",
            self.text, self.why
        )
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Reads what a server listens on: `host:port` (the host may be a name), `unix:/path` or `unix-abstract:name`.
    /// A name that resolves to several addresses yields the first.
    pub fn parse_listen(text: &str) -> Result<Address, AddressError> {
        let error = |why: String| AddressError { text: text.to_owned(), why };
        if let Some(name) = text.strip_prefix("unix-abstract:").or_else(|| text.strip_prefix('@')) {
            return match name {
                "" => Err(error("the abstract name is empty".into())),
                name => Ok(Address::UnixAbstract(name.as_bytes().to_vec())),
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(error("the path is empty".into())),
                path => Ok(Address::Unix(PathBuf::from(path))),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address::Tcp(address));
        }
        let mut found = text.to_socket_addrs().map_err(|e| error(e.to_string()))?;
        found.next().map(Address::Tcp).ok_or_else(|| error("the name has no address".into()))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::UnixAbstract(name) => write!(f, "unix-abstract:{}", String::from_utf8_lossy(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address_is_read_and_printed() {
        for text in ["127.0.0.1:80", "[::1]:443", "unix:/tmp/s", "unix-abstract:name"] {
            assert_eq!(Address::parse_listen(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse_listen("unix:///tmp/s").unwrap(), Address::Unix("/tmp/s".into()));
        assert_eq!(Address::parse_listen("@name").unwrap(), Address::UnixAbstract(b"name".to_vec()));
    }

    #[test]
    fn a_bad_address_names_the_text_the_reason_and_what_would_be_right() {
        let error = Address::parse_listen("nonsense").unwrap_err().to_string();
        assert!(error.contains("\"nonsense\"") && error.contains("host:port"), "{error}");
    }
}
