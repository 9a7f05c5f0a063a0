//! One backend as a resolver found it: a server with all the addresses that lead to it.

use super::attributes::Attributes;
use crate::net::Address;

/// One backend. Several addresses mean several ways to the same server (IPv4 and IPv6, say), not several servers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Endpoint {
    /// The ways to this backend, the preferred one first.
    pub addresses: Vec<Address>,
    /// What the resolver knows besides, for balancers.
    pub attributes: Attributes,
}

impl Endpoint {
    /// A backend with these addresses and no attributes.
    pub fn new(addresses: Vec<Address>) -> Self {
        Endpoint { addresses, attributes: Attributes::default() }
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Endpoint::new(vec![address])
    }
}
