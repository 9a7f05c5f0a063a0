//! How the user's side of a call reaches the session that carries it.

use crate::net::{LoopHandle, Note};

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
