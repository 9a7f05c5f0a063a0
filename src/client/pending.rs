//! A call as its caller made it, and on its way to a connection.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::{OutboundStream, Receiver};
use crate::rpc::{Cardinality, Metadata, Status};

use super::method::Method;

/// What was asked for, and who waits for the answer: one allocation for all that a call is. Connections read it; what
/// changes on the way is in the [`PendingCall`].
pub(super) struct Call<R: ?Sized = dyn Receiver> {
    pub(super) method: Method,
    /// The content subtype of the call's codec.
    pub(super) subtype: &'static str,
    pub(super) metadata: Metadata,
    pub(super) deadline: Option<Instant>,
    pub(super) wait_for_ready: bool,
    pub(super) max_receive_message_size: usize,
    pub(super) responses: Cardinality,
    pub(super) body: Body,
    pub(super) receiver: R,
}

/// What a client sends behind the head.
pub(super) enum Body {
    /// One message, framed. It may be sent again.
    Message(Bytes),
    Stream(Arc<OutboundStream>),
}

/// A call that was started and has not ended. However it ends, the receiver is told: if nobody else did, by the drop.
pub(super) struct PendingCall {
    call: Arc<Call>,
    /// The server said once that it did not process the call, so that it was sent again.
    pub(super) refused_before: bool,
    /// The receiver knows the outcome.
    told: bool,
}

impl PendingCall {
    pub(super) fn new(call: Arc<Call>) -> Self {
        PendingCall { call, refused_before: false, told: false }
    }

    /// Tells the receiver the outcome: the trailers of a call that ended well, or its status.
    pub(super) fn end(mut self, result: Result<Metadata, Status>) {
        self.conclude(result);
    }

    /// Ends the call without success.
    pub(super) fn fail(self, status: Status) {
        self.end(Err(status));
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn conclude(&mut self, result: Result<Metadata, Status>) {
        self.told = true;
        if let Body::Stream(outbound) = &self.body {
            outbound.close(match &result {
                Ok(_) => Status::unknown("the server has ended the call with OK and reads no more messages"),
                Err(status) => status.clone(),
            });
        }
        self.receiver.handle_end(result);
    }
}

impl Deref for PendingCall {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // Nearly every call was told its outcome by now; only the others need a status.
        if !self.told {
            self.conclude(Err(Status::unavailable("the engine that carried the call was stopped")));
        }
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("method", &self.method).finish_non_exhaustive()
    }
}
