//! One backend as a resolver found it: a server with all the addresses that lead to it.

use super::attributes::Attributes;
use crate::net::Address;
use std::sync::Arc;

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

    /// The same backend with this attribute besides.
    #[must_use]
    pub fn with_attribute<T: Send + Sync + PartialEq + 'static>(mut self, value: T) -> Self {
        self.attributes.insert(value);
        self
    }

    /// The backend's share of calls relative to others: its attribute of type [`Weight`], or 1.
    pub fn weight(&self) -> u32 {
        self.attributes.get::<Weight>().map_or(1, |weight| weight.0.max(1))
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Endpoint::new(vec![address])
    }
}

/// An attribute of an endpoint, for policies that hash: what stands for the backend in place of its first address, so
/// that it keeps its calls when its addresses change (gRFC A76). An empty one counts as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKey(
    /// Different for each endpoint of a resolution.
    pub Arc<str>,
);

/// An attribute of an endpoint, for policies that can weigh: `ring_hash`, and `pick_first` when it shuffles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(
    /// At least 1.
    pub u32,
);
