//! Who still needs a channel's control plane, and whether it is idle.

use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Control, Input};
use crate::net::clock;

/// Keeps the control plane running: the handles of a channel have one, and each call that is neither waiting there nor
/// with a connection, such as one between its attempts.
pub(in crate::client) struct Hold {
    control: Arc<Control>,
    is_call: bool,
}

impl Hold {
    /// For the handles of a channel.
    pub(in crate::client) fn new(control: Arc<Control>) -> Self {
        control.holds.fetch_add(1, Ordering::Relaxed);
        Hold { control, is_call: false }
    }

    /// For a call, during which the channel is not idle.
    pub(in crate::client) fn for_call(control: Arc<Control>) -> Self {
        control.holds.fetch_add(1, Ordering::Relaxed);
        control.calls_apart.fetch_add(1, Ordering::Relaxed);
        Hold { control, is_call: true }
    }
}

impl Deref for Hold {
    type Target = Arc<Control>;

    fn deref(&self) -> &Arc<Control> {
        &self.control
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_call {
            self.activity.idle(clock::now());
            self.calls_apart.fetch_sub(1, Ordering::Release);
        }
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell(Input::Release);
        }
    }
}

/// Is with the connections that are asked whether they have calls, each until it has none. The last drop tells.
#[derive(Debug)]
pub(in crate::client) struct IdleNotice(Weak<Control>);

impl IdleNotice {
    pub(super) fn new(control: &Arc<Control>) -> Self {
        IdleNotice(Arc::downgrade(control))
    }
}

impl Drop for IdleNotice {
    fn drop(&mut self) {
        if let Some(control) = self.0.upgrade() {
            control.tell(Input::AllIdle);
        }
    }
}
