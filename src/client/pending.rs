//! A call on its way to a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lariat_frame::hpack::HeaderList;

use crate::call::{OutboundStream, Receiver};
use crate::rpc::{Cardinality, Metadata, Status};

use super::method::Method;

/// All that a connection needs to carry a call. However it ends, the receiver is told: if nobody else did, by the drop.
pub(super) struct PendingCall {
    pub(super) method: Method,
    pub(super) head: Arc<HeaderList>,
    pub(super) metadata: Metadata,
    pub(super) deadline: Option<Instant>,
    pub(super) wait_for_ready: bool,
    pub(super) max_receive_message_size: usize,
    pub(super) responses: Cardinality,
    pub(super) body: Body,
    /// The server said once that it did not process the call, so that it was sent again.
    pub(super) refused_before: bool,
    /// `None` once it was told the outcome.
    pub(super) receiver: Option<Arc<dyn Receiver>>,
}

/// What a client sends behind the head.
pub(super) enum Body {
    /// One message, framed. Kept until the response begins, in case the call has to be sent again.
    Message(Bytes),
    Stream(Arc<OutboundStream>),
}

impl PendingCall {
    /// Ends the call before it reached a connection.
    pub(super) fn fail(mut self, status: Status) {
        self.conclude(status);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.is_abandoned())
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn conclude(&mut self, status: Status) {
        if let Some(receiver) = self.receiver.take() {
            if let Body::Stream(outbound) = &self.body {
                outbound.close(status.clone());
            }
            receiver.handle_end(Err(status));
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // Nearly every call was told its outcome by now; only the others need a status.
        if self.receiver.is_some() {
            self.conclude(Status::unavailable("the engine that carried the call was stopped"));
        }
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("method", &self.method).finish_non_exhaustive()
    }
}
