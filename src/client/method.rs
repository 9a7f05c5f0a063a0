//! A method as a client calls it: its path, and the head of its requests, made once.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use lariat_frame::hpack::HeaderList;

use crate::call::Encodings;
use crate::rpc::request_head;

/// A method of a service on one channel. Made by [`Channel::method`](super::Channel::method); cheap to clone.
#[derive(Clone)]
pub struct Method {
    shared: Arc<Shared>,
}

struct Shared {
    path: String,
    authority: Arc<str>,
    user_agent: Arc<str>,
    scheme: &'static str,
    encodings: Arc<Encodings>,
    /// The authority is that of one call, not the channel's.
    is_own_authority: bool,
    /// The head for the codec that called first; the others, which nobody needs, are made for each call.
    head: OnceLock<(&'static str, Arc<HeaderList>)>,
}

impl Method {
    pub(super) fn new(
        path: String,
        scheme: &'static str,
        authority: Arc<str>,
        user_agent: Arc<str>,
        encodings: Arc<Encodings>,
    ) -> Self {
        let (is_own_authority, head) = (false, OnceLock::new());
        let shared = Shared { path, authority, user_agent, scheme, encodings, is_own_authority, head };
        Method { shared: Arc::new(shared) }
    }

    /// The same method for a call with another `:authority` than the channel's.
    pub(super) fn with_authority(&self, authority: &str) -> Self {
        let Shared { path, user_agent, scheme, encodings, .. } = &*self.shared;
        let shared = Shared {
            path: path.clone(),
            authority: authority.into(),
            user_agent: Arc::clone(user_agent),
            scheme,
            encodings: Arc::clone(encodings),
            is_own_authority: true,
            head: OnceLock::new(),
        };
        Method { shared: Arc::new(shared) }
    }

    pub(super) fn authority(&self) -> &str {
        &self.shared.authority
    }

    /// The authority that a call has chosen in place of the channel's.
    pub(super) fn own_authority(&self) -> Option<&str> {
        self.shared.is_own_authority.then(|| self.authority())
    }

    /// `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.shared.path
    }

    /// The algorithms that the channel knows.
    pub(super) fn encodings(&self) -> &Arc<Encodings> {
        &self.shared.encodings
    }

    /// The fields that every request for the method begins with.
    pub(super) fn head(&self, subtype: &'static str) -> Cow<'_, Arc<HeaderList>> {
        let make = || {
            let Shared { path, authority, user_agent, scheme, encodings, .. } = &*self.shared;
            let mut head = request_head::template(path, scheme, authority, user_agent, subtype);
            if !encodings.accepted().is_empty() {
                request_head::push_accept_encoding(encodings.accepted(), &mut head);
            }
            Arc::new(head)
        };
        let (known, head) = self.shared.head.get_or_init(|| (subtype, make()));
        if *known == subtype { Cow::Borrowed(head) } else { Cow::Owned(make()) }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({})", self.shared.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::EncodingsBuilder;

    #[test]
    fn a_call_with_an_authority_of_its_own_has_it_in_the_head() {
        let encodings = Arc::new(EncodingsBuilder::default().build().unwrap());
        let method = Method::new("/a.B/C".to_owned(), "http", "channel".into(), "agent".into(), encodings);
        let other = method.with_authority("call");
        assert_eq!((method.own_authority(), other.own_authority()), (None, Some("call")));
        for (method, authority) in [(&method, "channel"), (&other, "call")] {
            let head = method.head("");
            let found = head.iter().find(|field| field.name == b":authority").map(|field| field.value);
            assert_eq!(found, Some(authority.as_bytes()));
        }
    }
}
