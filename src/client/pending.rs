//! A call as its caller made it, and on its way to a connection.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::{Carrier, MethodKind, OutboundStream, Receiver};
use crate::rpc::{Cardinality, Metadata, Payload, Status};

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

/// A call is its own receiver, for whoever does not know that of which type it is.
impl<R: Receiver + ?Sized> Receiver for Call<R> {
    fn attach(&self, carrier: Carrier) -> bool {
        self.receiver.attach(carrier)
    }

    fn handle_headers(&self, headers: Metadata) {
        self.receiver.handle_headers(headers);
    }

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        self.receiver.handle_message(payload, octets)
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        self.receiver.handle_end(result);
    }

    fn cancel(&self, status: Status) {
        self.receiver.cancel(status);
    }

    fn take_consumed(&self) -> usize {
        self.receiver.take_consumed()
    }

    fn is_abandoned(&self) -> bool {
        self.receiver.is_abandoned()
    }
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

impl<R: ?Sized> Call<R> {
    pub(super) fn kind(&self) -> MethodKind {
        match (&self.body, self.responses) {
            (Body::Message(_), Cardinality::One) => MethodKind::Unary,
            (Body::Message(_), Cardinality::Many) => MethodKind::ServerStreaming,
            (Body::Stream(_), Cardinality::One) => MethodKind::ClientStreaming,
            (Body::Stream(_), Cardinality::Many) => MethodKind::BidiStreaming,
        }
    }
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

    /// The user's side of the call.
    pub(super) fn receiver(&self) -> Arc<dyn Receiver> {
        Arc::new(Arc::clone(&self.call))
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
