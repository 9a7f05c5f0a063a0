//! `RareOptions`: what few calls choose.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::rpc::Status;

type Hook = dyn Fn(Result<(), &Status>) + Send + Sync;

/// The options of a call that are behind a pointer, which is empty in calls that choose none.
#[derive(Clone, Default)]
pub(crate) struct RareOptions {
    pub(crate) authority: Option<String>,
    pub(crate) retry_buffer_size: Option<usize>,
    hooks: Vec<Arc<Hook>>,
}

impl RareOptions {
    /// Has a hook told how the call ends, after those that are there already.
    pub(crate) fn on_finish(&mut self, hook: impl Fn(Result<(), &Status>) + Send + Sync + 'static) {
        self.hooks.push(Arc::new(hook));
    }

    /// Tells the hooks how the call has ended.
    pub(crate) fn finish(&self, result: Result<(), &Status>) {
        for hook in &self.hooks {
            // It runs where the call ended, on a loop as a rule, which its panic must not end.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(result)));
        }
    }

    /// What holds for a call in the place of this one, as an interceptor makes it. That one's end is not this one's,
    /// and its method knows the authority.
    pub(crate) fn inherited(&self) -> Option<Box<RareOptions>> {
        let retry_buffer_size = Some(self.retry_buffer_size?);
        Some(Box::new(RareOptions { retry_buffer_size, ..RareOptions::default() }))
    }
}

impl fmt::Debug for RareOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RareOptions")
            .field("authority", &self.authority)
            .field("retry_buffer_size", &self.retry_buffer_size)
            .field("hooks", &self.hooks.len())
            .finish()
    }
}
