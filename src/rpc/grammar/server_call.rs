//! `ServerCall`: the request of one call, as it arrives.

use lariat_frame::ErrorCode;

use super::super::deframer::Deframer;
use super::super::mapping;
use super::super::message::Message;
use super::super::status::Status;
use super::Cardinality;

/// The request side of a call, seen by the server; the request's head has been read before.
///
/// For methods with one request message, [`handle_one`](Self::handle_one) is all there is for DATA. For those that
/// stream, [`handle_data`](Self::handle_data) until it gives no message and then, if the frame ended the stream,
/// [`handle_end`](Self::handle_end). An error is the outcome of the call: the server answers with it and needs nothing
/// more of the request.
#[derive(Debug)]
pub(crate) struct ServerCall {
    requests: Cardinality,
    deframer: Deframer,
    has_message: bool,
    accepts_compressed: bool,
    /// The one message, if it was complete before the stream's end was seen.
    held: Option<Message<'static>>,
}

impl ServerCall {
    /// A call whose client sends that many messages of at most `limit` octets each.
    pub(crate) fn new(requests: Cardinality, limit: usize) -> Self {
        Self {
            requests,
            deframer: Deframer::new(limit),
            has_message: false,
            accepts_compressed: false,
            held: None,
        }
    }

    /// As after [`new`](Self::new), with the same limit, for another call in the place of this one, which has
    /// [ended](Self::end).
    #[inline]
    pub(crate) fn restart(&mut self, requests: Cardinality) {
        self.requests = requests;
        self.deframer.restart();
        self.has_message = false;
        self.accepts_compressed = false;
    }

    /// The call is over: gives back the memory of messages.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.deframer.end();
        if self.held.is_some() {
            self.held = None;
        }
    }

    /// Lets compressed messages through, for a caller that knows the request's encoding. Without this call they are
    /// INTERNAL.
    pub(crate) fn accept_compressed(&mut self) {
        self.accepts_compressed = true;
    }

    /// The octets of the one message, not compressed, of a request whose content is this and no more: what nearly all
    /// requests are. `None` means that [`handle_one`](Self::handle_one) has to look.
    #[inline]
    pub(crate) fn take_only<'a>(&mut self, payload: &'a [u8], end_stream: bool) -> Option<&'a [u8]> {
        if !end_stream || self.has_message {
            return None;
        }
        let only = self.deframer.only(payload)?;
        self.has_message = true;
        Some(only)
    }

    /// DATA arrived for a method with one request message. Returns the message once the request is complete: when the
    /// stream has ended after exactly one message.
    ///
    /// A message that lies in the frame that ends the stream is borrowed from it; one that the end follows later is
    /// kept until then. A stream that ends without DATA is an empty payload with `end_stream`.
    pub(crate) fn handle_one<'a>(
        &mut self,
        payload: &'a [u8],
        end_stream: bool,
    ) -> Result<Option<Message<'a>>, Status> {
        let mut rest = payload;
        let message = self.handle_data(&mut rest)?;
        if end_stream {
            // Whatever follows the first message is a second one, whole or not.
            if message.is_some() && !rest.is_empty() {
                return Err(more_than_one());
            }
            self.handle_end()?;
            return Ok(message.or_else(|| self.held.take()));
        }
        self.hold(message, rest)?;
        Ok(None)
    }

    /// DATA arrived. Returns the next message that is complete and cuts what is used off the front of `payload`; to be
    /// called until there is none.
    #[inline]
    pub(crate) fn handle_data<'a>(&mut self, payload: &mut &'a [u8]) -> Result<Option<Message<'a>>, Status> {
        let Some(message) = self.deframer.next(payload)? else {
            return Ok(None);
        };
        if self.has_message && self.requests == Cardinality::One {
            return Err(more_than_one());
        }
        if message.compressed && !self.accepts_compressed {
            return Err(compressed_without_encoding());
        }
        self.has_message = true;
        Ok(Some(message))
    }

    /// The stream ended: with its last DATA frame, with the request's head, or with trailers, which mean nothing in a
    /// request. INTERNAL if the request is not complete.
    #[inline]
    pub(crate) fn handle_end(&mut self) -> Result<(), Status> {
        self.deframer.finish()?;
        if self.requests == Cardinality::One && !self.has_message {
            return Err(Status::internal("the request ended without the one message that the method takes"));
        }
        Ok(())
    }

    /// The stream was reset with this code; `rule` says why if this side has reset it. What a handler that still
    /// waits for messages is told.
    pub(crate) fn handle_reset(
        &mut self,
        code: ErrorCode,
        rule: Option<&str>,
        deadline_passed: bool,
    ) -> Status {
        self.held = None;
        mapping::reset_status(code, rule, deadline_passed)
    }

    /// The deframer, to give it memory for a large message.
    pub(crate) fn deframer(&mut self) -> &mut Deframer {
        &mut self.deframer
    }

    /// Octets that are still missing of a message whose length is known; 0 between messages.
    pub(crate) fn expected(&self) -> usize {
        self.deframer.expected()
    }

    /// Keeps the one message until the stream ends.
    fn hold(&mut self, message: Option<Message<'_>>, mut rest: &[u8]) -> Result<(), Status> {
        if let Some(message) = message {
            self.held = Some(message.into_owned());
            // A second message is refused as soon as it is seen.
            self.handle_data(&mut rest)?;
        }
        Ok(())
    }
}

#[cold]
fn more_than_one() -> Status {
    Status::internal("the request has more than one message for a method that takes one")
}

#[cold]
fn compressed_without_encoding() -> Status {
    Status::internal("the request has a compressed message without an encoding that this server knows")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::code::Code;
    use super::super::super::message::Payload;
    use super::*;

    const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

    fn unary() -> ServerCall {
        ServerCall::new(Cardinality::One, 100)
    }

    fn code_of(result: Result<Option<Message<'_>>, Status>) -> Code {
        result.unwrap_err().code()
    }

    #[test]
    fn a_request_in_one_frame_is_borrowed() {
        let mut call = unary();
        let message = call.handle_one(MESSAGE, true).unwrap().unwrap();
        assert!(matches!(message.payload, Payload::Borrowed(b"hi")));
    }

    #[test]
    fn content_that_is_one_message_and_no_more_is_taken_at_once() {
        let mut call = unary();
        assert_eq!(call.take_only(MESSAGE, false), None);
        assert_eq!(call.take_only(&MESSAGE[..6], true), None);
        assert_eq!(call.take_only(&[MESSAGE, b"\0"].concat(), true), None);
        assert_eq!(call.take_only(b"\x01\0\0\0\0", true), None);
        assert_eq!(call.take_only(MESSAGE, true), Some(&b"hi"[..]));
        assert_eq!(call.take_only(MESSAGE, true), None);
    }

    #[test]
    fn a_message_is_kept_until_the_end_is_seen() {
        let mut call = unary();
        assert_eq!(call.handle_one(MESSAGE, false).unwrap(), None);
        let message = call.handle_one(b"", true).unwrap().unwrap();
        assert_eq!(message.payload.as_ref(), b"hi");
    }

    #[test]
    fn a_message_in_pieces_is_assembled() {
        let mut call = unary();
        assert_eq!(call.handle_one(&MESSAGE[..6], false).unwrap(), None);
        assert_eq!(call.expected(), 1);
        let message = call.handle_one(&MESSAGE[6..], true).unwrap().unwrap();
        assert_eq!(message.payload.as_ref(), b"hi");
    }

    #[test]
    fn a_request_without_a_message_is_internal() {
        assert_eq!(code_of(unary().handle_one(b"", true)), Code::Internal);
        assert_eq!(unary().handle_end().unwrap_err().code(), Code::Internal);
        assert!(ServerCall::new(Cardinality::Many, 9).handle_end().is_ok());
    }

    #[test]
    fn a_second_message_is_internal() {
        let two = [MESSAGE, MESSAGE].concat();
        assert_eq!(code_of(unary().handle_one(&two, true)), Code::Internal);
        assert_eq!(code_of(unary().handle_one(&two, false)), Code::Internal);
        assert_eq!(code_of(unary().handle_one(&two[..9], true)), Code::Internal);
        for end_stream in [false, true] {
            let mut call = unary();
            assert!(call.handle_one(MESSAGE, false).unwrap().is_none());
            assert_eq!(code_of(call.handle_one(MESSAGE, end_stream)), Code::Internal);
        }
    }

    #[test]
    fn a_request_that_ends_inside_a_message_is_internal() {
        assert_eq!(code_of(unary().handle_one(&MESSAGE[..6], true)), Code::Internal);
        assert_eq!(code_of(unary().handle_one(&MESSAGE[..2], true)), Code::Internal);
    }

    #[test]
    fn a_stream_of_requests_has_any_number() {
        let mut call = ServerCall::new(Cardinality::Many, 100);
        let input = MESSAGE.repeat(3);
        let mut payload = &input[..];
        let mut count = 0;
        while call.handle_data(&mut payload).unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
        assert!(call.handle_end().is_ok());
    }

    #[test]
    fn a_compressed_message_needs_a_known_encoding() {
        let compressed = b"\x01\0\0\0\0";
        assert_eq!(code_of(unary().handle_one(compressed, true)), Code::Internal);
        let mut call = unary();
        call.accept_compressed();
        assert!(call.handle_one(compressed, true).unwrap().unwrap().compressed);
    }

    #[test]
    fn a_message_over_the_limit_is_resource_exhausted() {
        assert_eq!(code_of(unary().handle_one(b"\0\0\0\0\x65", false)), Code::ResourceExhausted);
    }

    #[test]
    fn a_reset_by_the_client_is_cancelled() {
        let status = unary().handle_reset(ErrorCode::CANCEL, None, false);
        assert_eq!(status.code(), Code::Cancelled);
    }

    proptest! {
        #[test]
        fn any_cut_of_one_request_gives_its_message(
            payload in proptest::collection::vec(any::<u8>(), 0..60),
            cuts in proptest::collection::vec(0..20usize, 0..8),
            end_apart in any::<bool>(),
        ) {
            let mut input = crate::rpc::message_prefix(payload.len() as u32).to_vec();
            input.extend(&payload);
            let mut call = unary();
            let mut rest = &input[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                prop_assert_eq!(call.handle_one(piece, false).unwrap(), None);
                rest = after;
            }
            if end_apart {
                prop_assert_eq!(call.handle_one(rest, false).unwrap(), None);
                rest = b"";
            }
            let message = call.handle_one(rest, true).unwrap().unwrap();
            prop_assert_eq!(message.payload.as_ref(), payload);
        }
    }
}
