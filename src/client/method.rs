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
        let head = OnceLock::new();
        Method { shared: Arc::new(Shared { path, authority, user_agent, scheme, encodings, head }) }
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
