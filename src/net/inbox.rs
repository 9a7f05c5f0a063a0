//! A queue of typed commands to one session or task, from any thread.
//!
//! The first command after a look wakes the loop; those behind it find it already on its way. When the owner closes the
//! inbox it takes what is left, and a later sender gets its command back: nothing is ever lost in between.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::mailbox::{LoopHandle, Note};

/// Commands waiting for one session or task.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    handle: LoopHandle,
}

#[derive(Debug)]
struct State<T> {
    commands: VecDeque<T>,
    /// Where to send the wake-up; none until the owner is on its loop.
    note: Option<Note>,
    notified: bool,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(handle: LoopHandle) -> Self {
        let state = State { commands: VecDeque::new(), note: None, notified: false, closed: false };
        Inbox { state: Mutex::new(state), handle }
    }

    /// The loop that the owner is or will be on.
    pub(crate) fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// The owner is on its loop and wants to be woken for this slot when a command comes.
    pub(crate) fn open(&self, note: Note) {
        let mut state = self.lock();
        state.note = Some(note);
        state.notified = !state.commands.is_empty();
        if state.notified {
            drop(state);
            self.handle.wake(note);
        }
    }

    /// Whether the owner is on its loop.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.lock();
        state.note.is_some() && !state.closed
    }

    /// Queues a command, or gives it back if the inbox is closed.
    pub(crate) fn send(&self, command: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(command);
        }
        state.commands.push_back(command);
        let note = state.note.filter(|_| !state.notified);
        state.notified |= note.is_some();
        drop(state);
        if let Some(note) = note {
            self.handle.wake(note);
        }
        Ok(())
    }

    /// Swaps the queued commands with the owner's empty queue, whose memory serves the senders next.
    pub(crate) fn take(&self, into: &mut VecDeque<T>) {
        let mut state = self.lock();
        state.notified = false;
        std::mem::swap(&mut state.commands, into);
    }

    /// Refuses commands from now on and returns those not yet taken.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.commands)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        // The state is consistent at every point where a panic could have happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
