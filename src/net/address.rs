//! Where a socket is bound or connected to: TCP, a Unix path, or an abstract Unix name.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

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

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    text: String,
    why: String,
}

impl AddressError {
    fn new(text: &str, why: impl Into<String>) -> Self {
        AddressError { text: text.to_owned(), why: why.into() }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not an address: {}; write \"host:port\", \"[::]:port\", \"unix:/path\" or \
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
        if let Some(result) = Address::parse_unix(text) {
            return result;
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address::Tcp(address));
        }
        let error = |why: String| AddressError::new(text, why);
        let mut found = text.to_socket_addrs().map_err(|e| error(e.to_string()))?;
        found.next().map(Address::Tcp).ok_or_else(|| error("the name has no address".into()))
    }

    /// `None` for the text of another family.
    fn parse_unix(text: &str) -> Option<Result<Address, AddressError>> {
        let error = |why: &str| Err(AddressError::new(text, why));
        if let Some(name) = text.strip_prefix("unix-abstract:").or_else(|| text.strip_prefix('@')) {
            return Some(match name {
                "" => error("the abstract name is empty"),
                name => Ok(Address::UnixAbstract(name.as_bytes().to_vec())),
            });
        }
        let path = text.strip_prefix("unix:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(match path {
            "" => error("the path is empty"),
            path => Ok(Address::Unix(PathBuf::from(path))),
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads an address that needs no look-up: `ip:port`, `unix:/path` or `unix-abstract:name`.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        Address::parse_unix(text).unwrap_or_else(|| match text.parse() {
            Ok(address) => Ok(Address::Tcp(address)),
            Err(_) => Err(AddressError::new(text, "it is no IP address with a port")),
        })
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
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!(Address::parse_listen("unix:///tmp/s").unwrap(), Address::Unix("/tmp/s".into()));
        assert_eq!(Address::parse_listen("@name").unwrap(), Address::UnixAbstract(b"name".to_vec()));
    }

    #[test]
    fn what_needs_a_look_up_is_no_address_by_itself() {
        let error = "localhost:80".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("\"localhost:80\"") && error.contains("no IP address"), "{error}");
        assert!("unix:".parse::<Address>().is_err() && "10.0.0.1".parse::<Address>().is_err());
    }

    #[test]
    fn a_bad_address_names_the_text_the_reason_and_what_would_be_right() {
        let error = Address::parse_listen("nonsense").unwrap_err().to_string();
        assert!(error.contains("\"nonsense\"") && error.contains("host:port"), "{error}");
    }
}
