//! How the user's side of a call reaches whatever carries it.

use std::task::Waker;

use crate::net::{LoopHandle, Note, Peer};

/// The place of a call: its loop, its connection there, its slot in the session.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) handle: LoopHandle,
    pub(crate) note: Note,
}

impl Link {
    /// Has the session look at the call soon.
    pub(crate) fn notify(&self) {
        self.handle.wake(self.note);
    }
}

/// Who is told of what the user does with a call.
#[derive(Clone, Debug)]
pub(crate) enum Carrier {
    /// The session whose stream the call is, and who is at the other end of a client's.
    Session(Link, Option<Peer>),
    /// What stands between the user and the sessions: interceptors, or several attempts.
    Task(Waker),
}

impl Carrier {
    /// Has the carrier look at the call soon.
    pub(crate) fn notify(&self) {
        match self {
            Carrier::Session(link, _) => link.notify(),
            Carrier::Task(waker) => waker.wake_by_ref(),
        }
    }

    /// Who is at the other end of the call's connection.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match self {
            Carrier::Session(_, peer) => peer.as_ref(),
            Carrier::Task(_) => None,
        }
    }
}

impl From<Link> for Carrier {
    fn from(link: Link) -> Self {
        Carrier::Session(link, None)
    }
}
