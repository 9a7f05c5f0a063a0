//! `RareOptions`: what few calls choose.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Compression, SharedCallCredentials};
use crate::rpc::Status;

type Hook = dyn Fn(Result<(), &Status>) + Send + Sync;

/// The options of a call that are behind a pointer, which is empty in calls that choose none.
#[derive(Clone, Default)]
pub(crate) struct RareOptions {
    pub(crate) max_receive_message_size: Option<usize>,
    pub(crate) max_send_message_size: Option<usize>,
    pub(crate) credentials: Option<SharedCallCredentials>,
    pub(crate) compression: Compression,
    pub(crate) authority: Option<String>,
    pub(crate) retry_buffer_size: Option<usize>,
    pub(crate) hooks: Vec<Arc<Hook>>,
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
}

impl fmt::Debug for RareOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RareOptions")
            .field("max_receive_message_size", &self.max_receive_message_size)
            .field("max_send_message_size", &self.max_send_message_size)
            .field("credentials", &self.credentials)
            .field("compression", &self.compression)
            .field("authority", &self.authority)
            .field("retry_buffer_size", &self.retry_buffer_size)
            .field("hooks", &self.hooks.len())
            .finish()
    }
}
