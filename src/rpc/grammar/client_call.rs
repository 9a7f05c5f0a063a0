//! `ClientCall`: the response of one call, as it arrives.

use std::sync::Arc;

use lariat_frame::ErrorCode;
use lariat_frame::hpack::HeaderList;

use super::super::deframer::Deframer;
use super::super::mapping;
use super::super::message::Message;
use super::super::response_head::ResponseHead;
use super::super::status::Status;
use super::super::trailers;
use super::Cardinality;

/// How much of a body that is not gRPC goes into the status message: enough to read a proxy's complaint.
const MAX_BODY_IN_MESSAGE: usize = 1024;

/// The response side of a call, seen by the client.
///
/// For each event of the stream: [`handle_headers`](Self::handle_headers), [`handle_data`](Self::handle_data) until it
/// gives no message and then, if the frame ended the stream, [`handle_end`](Self::handle_end), or
/// [`handle_reset`](Self::handle_reset).
#[derive(Debug)]
pub(crate) struct ClientCall {
    responses: Cardinality,
    deframer: Deframer,
    state: State,
    has_message: bool,
    accepts_compressed: bool,
    /// The encoding that this client does not know.
    unknown_encoding: Option<Box<[u8]>>,
}

#[derive(Debug)]
enum State {
    /// No response head has arrived.
    Waiting,
    /// Messages and trailers may follow.
    Open,
    /// Something else answers: its body is collected for the status message.
    NotGrpc(Box<NotGrpc>),
    /// The outcome is known.
    Closed,
}

#[derive(Debug)]
struct NotGrpc {
    status: Status,
    body: Vec<u8>,
}

/// What a header block of the response means.
#[derive(Debug)]
pub(crate) enum HeadersOutcome {
    /// Nothing to deliver yet.
    Nothing,
    /// The response has begun; its metadata is `Metadata::received(headers)`.
    Initial {
        /// It names the algorithm of its compressed messages.
        has_encoding: bool,
    },
    /// The call is over.
    Closed {
        /// The outcome. A status carries its trailers; on success they are `Metadata::received(headers)`.
        result: Result<(), Status>,
        /// The server sent this header block alone, so the call may be retried (gRFC A6).
        trailers_only: bool,
    },
}

/// The header lists of a connection's responses that came before and say nothing new to the call: a head without an
/// encoding, and trailers that say OK, whatever metadata they have. Most responses consist of these two.
#[derive(Debug, Default)]
pub(crate) struct KnownResponse {
    head: Option<Arc<HeaderList>>,
    ok: Option<Arc<HeaderList>>,
}

/// The server broke the grammar: the call has failed, and its stream is to be reset.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The outcome of the call.
    pub status: Status,
    /// The code to reset the stream with.
    pub code: ErrorCode,
}

impl ClientCall {
    /// A call whose server sends that many messages of at most `limit` octets each.
    pub(crate) fn new(responses: Cardinality, limit: usize) -> Self {
        Self {
            responses,
            deframer: Deframer::new(limit),
            state: State::Waiting,
            has_message: false,
            accepts_compressed: false,
            unknown_encoding: None,
        }
    }

    /// Lets compressed messages through, for a caller that knows the response's encoding. Without this call they are
    /// INTERNAL.
    pub(crate) fn accept_compressed(&mut self) {
        self.accepts_compressed = true;
    }

    /// Refuses compressed messages, for a caller that does not know this encoding of the response.
    pub(crate) fn refuse_encoding(&mut self, name: &[u8]) {
        self.unknown_encoding = Some(name.into());
    }

    /// A header block arrived: informational, response head or trailers.
    pub(crate) fn handle_headers(
        &mut self,
        headers: &Arc<HeaderList>,
        end_stream: bool,
    ) -> Result<HeadersOutcome, Violation> {
        match &mut self.state {
            State::Waiting => self.handle_head(headers, end_stream),
            State::Open if end_stream => {
                self.state = State::Closed;
                let result = trailers::parse(headers).and_then(|()| self.check_complete());
                Ok(HeadersOutcome::Closed { result, trailers_only: false })
            }
            State::NotGrpc(answer) if end_stream => {
                let result = Err(answer.take_status());
                self.state = State::Closed;
                Ok(HeadersOutcome::Closed { result, trailers_only: false })
            }
            State::Open | State::NotGrpc(_) => Err(self.violation(
                Status::internal("the server sent a second header block that does not end the stream"),
                ErrorCode::PROTOCOL_ERROR,
            )),
            State::Closed => Ok(HeadersOutcome::Nothing),
        }
    }

    /// The same for a list that the connection has recognised as one it gave before: `known` may tell its meaning
    /// without another look at its fields, and keeps it otherwise.
    pub(crate) fn handle_repeated_headers(
        &mut self,
        headers: &Arc<HeaderList>,
        end_stream: bool,
        known: &mut KnownResponse,
    ) -> Result<HeadersOutcome, Violation> {
        let is = |known: &Option<Arc<HeaderList>>| known.as_ref().is_some_and(|it| Arc::ptr_eq(it, headers));
        match self.state {
            State::Waiting if !end_stream && is(&known.head) => {
                self.state = State::Open;
                return Ok(HeadersOutcome::Initial { has_encoding: false });
            }
            State::Open if end_stream && is(&known.ok) => {
                self.state = State::Closed;
                return Ok(HeadersOutcome::Closed { result: self.check_complete(), trailers_only: false });
            }
            _ => {}
        }
        let outcome = self.handle_headers(headers, end_stream);
        match &outcome {
            // What names an encoding is read each time, as it says more than that the response has begun.
            Ok(HeadersOutcome::Initial { has_encoding: false }) => {
                known.head = Some(Arc::clone(headers));
            }
            Ok(HeadersOutcome::Closed { result: Ok(()), trailers_only: false }) => {
                known.ok = Some(Arc::clone(headers));
            }
            _ => {}
        }
        outcome
    }

    /// DATA arrived. Returns the next message that is complete and cuts what is used off the front of `payload`; to be
    /// called until there is none.
    #[inline]
    pub(crate) fn handle_data<'a>(
        &mut self,
        payload: &mut &'a [u8],
    ) -> Result<Option<Message<'a>>, Violation> {
        if !matches!(self.state, State::Open) {
            return self.handle_foreign_data(payload);
        }
        let message = match self.deframer.next(payload) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(status) => return Err(self.violation(status, ErrorCode::CANCEL)),
        };
        if self.has_message && self.responses == Cardinality::One {
            let status =
                Status::internal("the server sent more than one message for a method that answers with one");
            return Err(self.violation(status, ErrorCode::CANCEL));
        }
        if message.compressed && !self.accepts_compressed {
            let status = unknown_encoding(self.unknown_encoding.as_deref());
            return Err(self.violation(status, ErrorCode::CANCEL));
        }
        self.has_message = true;
        Ok(Some(message))
    }

    /// The stream ended with a DATA frame, that is without trailers. The call is over.
    pub(crate) fn handle_end(&mut self) -> Status {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match state {
            State::NotGrpc(mut answer) => answer.take_status(),
            State::Waiting | State::Open | State::Closed => match self.deframer.finish() {
                Ok(()) => Status::internal("the server closed the stream without sending trailers"),
                Err(status) => status,
            },
        }
    }

    /// The stream was reset with this code. `rule` says why if this side has reset it, and is `None` if the server
    /// has; `deadline_passed` is by this side's clock. The call is over.
    pub(crate) fn handle_reset(
        &mut self,
        code: ErrorCode,
        rule: Option<&str>,
        deadline_passed: bool,
    ) -> Status {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match state {
            State::NotGrpc(mut answer) => answer.take_status(),
            State::Waiting | State::Open | State::Closed => {
                mapping::reset_status(code, rule, deadline_passed)
            }
        }
    }

    /// The deframer, to give it memory for a large message.
    pub(crate) fn deframer(&mut self) -> &mut Deframer {
        &mut self.deframer
    }

    /// Octets that are still missing of a message whose length is known; 0 between messages.
    pub(crate) fn expected(&self) -> usize {
        self.deframer.expected()
    }

    fn handle_head(
        &mut self,
        headers: &Arc<HeaderList>,
        end_stream: bool,
    ) -> Result<HeadersOutcome, Violation> {
        let result = match ResponseHead::parse(headers, end_stream) {
            ResponseHead::Informational => return Ok(HeadersOutcome::Nothing),
            ResponseHead::Grpc { encoding } => {
                self.state = State::Open;
                return Ok(HeadersOutcome::Initial { has_encoding: encoding.is_some() });
            }
            ResponseHead::TrailersOnly(result) => result.and_then(|()| self.check_complete()),
            ResponseHead::NotGrpc { status } | ResponseHead::Malformed(status) if end_stream => Err(status),
            ResponseHead::NotGrpc { status } => {
                self.state = State::NotGrpc(Box::new(NotGrpc { status, body: Vec::new() }));
                return Ok(HeadersOutcome::Nothing);
            }
            ResponseHead::Malformed(status) => return Err(self.violation(status, ErrorCode::PROTOCOL_ERROR)),
        };
        self.state = State::Closed;
        Ok(HeadersOutcome::Closed { result, trailers_only: true })
    }

    /// Whether a response may end with success here.
    fn check_complete(&self) -> Result<(), Status> {
        self.deframer.finish()?;
        if self.responses == Cardinality::One && !self.has_message {
            return Err(Status::internal(
                "the server answered OK without the one message that the method returns",
            ));
        }
        Ok(())
    }

    /// DATA while no message may come.
    #[cold]
    fn handle_foreign_data<'a>(&mut self, payload: &mut &'a [u8]) -> Result<Option<Message<'a>>, Violation> {
        let octets = std::mem::take(payload);
        match &mut self.state {
            State::Waiting => Err(self.violation(
                Status::internal("the server sent DATA before its headers"),
                ErrorCode::PROTOCOL_ERROR,
            )),
            State::NotGrpc(answer) => {
                answer.collect(octets);
                if answer.body.len() < MAX_BODY_IN_MESSAGE {
                    return Ok(None);
                }
                let status = answer.take_status();
                Err(self.violation(status, ErrorCode::CANCEL))
            }
            State::Open | State::Closed => Ok(None),
        }
    }

    fn violation(&mut self, status: Status, code: ErrorCode) -> Violation {
        self.state = State::Closed;
        Violation { status, code }
    }
}

#[cold]
fn unknown_encoding(name: Option<&[u8]>) -> Status {
    Status::internal(match name {
        Some(name) => format!(
            "the server sent a message compressed by \"{}\", which this client does not accept",
            name.escape_ascii()
        ),
        None => "the server sent a compressed message and no grpc-encoding".to_owned(),
    })
}

impl NotGrpc {
    fn collect(&mut self, octets: &[u8]) {
        let room = MAX_BODY_IN_MESSAGE - self.body.len();
        self.body.extend(octets.iter().take(room));
    }

    /// The status, with what was collected of the body behind its message.
    fn take_status(&mut self) -> Status {
        let body = String::from_utf8_lossy(&self.body);
        match body.trim() {
            "" => self.status.clone(),
            body => Status::new(self.status.code(), format!("{}, body: {body}", self.status.message()))
                .with_metadata(self.status.metadata().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::code::Code;
    use super::super::super::metadata::Metadata;
    use super::super::super::response_head;
    use super::*;
    use lariat_frame::hpack::Indexing;

    const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

    fn list(fields: &[(&str, &str)]) -> Arc<HeaderList> {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        Arc::new(list)
    }

    fn unary() -> ClientCall {
        ClientCall::new(Cardinality::One, 100)
    }

    /// A call whose response has begun.
    fn open(responses: Cardinality) -> ClientCall {
        let mut call = ClientCall::new(responses, 100);
        let outcome = call.handle_headers(&response_head::template(""), false).unwrap();
        assert!(matches!(outcome, HeadersOutcome::Initial { .. }));
        call
    }

    fn closed(outcome: Result<HeadersOutcome, Violation>) -> (Result<(), Status>, bool) {
        match outcome {
            Ok(HeadersOutcome::Closed { result, trailers_only }) => (result, trailers_only),
            other => panic!("{other:?}"),
        }
    }

    fn data<'a>(call: &mut ClientCall, mut payload: &'a [u8]) -> Result<Option<Message<'a>>, Violation> {
        call.handle_data(&mut payload)
    }

    #[test]
    fn a_unary_response_is_head_message_and_trailers() {
        let mut call = open(Cardinality::One);
        let message = data(&mut call, MESSAGE).unwrap().unwrap();
        assert_eq!(message.payload.as_ref(), b"hi");
        let (result, trailers_only) = closed(call.handle_headers(&trailers::ok_template(), true));
        assert!(result.is_ok() && !trailers_only);
    }

    #[test]
    fn a_response_that_is_known_means_what_it_meant_when_it_was_read() {
        let (head, ok) = (response_head::template(""), trailers::ok_template());
        let mut known = KnownResponse::default();
        for _ in 0..2 {
            let mut call = unary();
            let outcome = call.handle_repeated_headers(&head, false, &mut known);
            assert!(matches!(outcome, Ok(HeadersOutcome::Initial { .. })));
            assert!(data(&mut call, MESSAGE).unwrap().is_some());
            assert!(closed(call.handle_repeated_headers(&ok, true, &mut known)).0.is_ok());
        }
        assert!(known.head.is_some() && known.ok.is_some());
        // In another place they mean something else.
        let mut call = unary();
        let (result, trailers_only) = closed(call.handle_repeated_headers(&head, true, &mut known));
        assert!(result.is_err() && trailers_only);
        let mut call = open(Cardinality::One);
        let (result, _) = closed(call.handle_repeated_headers(&ok, true, &mut known));
        assert_eq!(result.unwrap_err().code(), Code::Internal, "the message is missing");
        assert!(open(Cardinality::One).handle_repeated_headers(&head, false, &mut known).is_err());
    }

    #[test]
    fn a_failure_and_a_head_with_an_encoding_are_read_each_time() {
        let mut known = KnownResponse::default();
        let encoded =
            list(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")]);
        let mut call = unary();
        assert!(call.handle_repeated_headers(&encoded, false, &mut known).is_ok());
        let failed = list(&[("grpc-status", "9")]);
        assert!(closed(call.handle_repeated_headers(&failed, true, &mut known)).0.is_err());
        assert!(known.head.is_none() && known.ok.is_none());
    }

    #[test]
    fn success_without_the_message_is_internal() {
        let (result, _) = closed(open(Cardinality::One).handle_headers(&trailers::ok_template(), true));
        assert_eq!(result.unwrap_err().code(), Code::Internal);
        let whole = list(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]);
        let (result, trailers_only) = closed(unary().handle_headers(&whole, true));
        assert_eq!(result.unwrap_err().code(), Code::Internal);
        assert!(trailers_only);
    }

    #[test]
    fn a_stream_may_end_without_a_message() {
        assert!(closed(open(Cardinality::Many).handle_headers(&trailers::ok_template(), true)).0.is_ok());
        let whole = list(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]);
        assert!(closed(ClientCall::new(Cardinality::Many, 9).handle_headers(&whole, true)).0.is_ok());
    }

    #[test]
    fn a_second_message_is_internal_unless_the_method_streams() {
        let two = [MESSAGE, MESSAGE].concat();
        let mut call = open(Cardinality::One);
        let mut payload = &two[..];
        assert!(call.handle_data(&mut payload).unwrap().is_some());
        let violation = call.handle_data(&mut payload).unwrap_err();
        assert_eq!((violation.status.code(), violation.code), (Code::Internal, ErrorCode::CANCEL));

        let mut call = open(Cardinality::Many);
        let mut payload = &two[..];
        assert!(call.handle_data(&mut payload).unwrap().is_some());
        assert!(call.handle_data(&mut payload).unwrap().is_some());
        assert!(call.handle_data(&mut payload).unwrap().is_none());
    }

    #[test]
    fn a_failure_comes_with_its_trailers_whatever_arrived_before() {
        let mut call = open(Cardinality::One);
        assert!(data(&mut call, &MESSAGE[..6]).unwrap().is_none());
        let failed = list(&[("grpc-status", "9"), ("grpc-message", "not now"), ("a", "b")]);
        let (result, trailers_only) = closed(call.handle_headers(&failed, true));
        let status = result.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not now"));
        assert_eq!(status.metadata().get("a"), Some("b"));
        assert!(!trailers_only);
    }

    #[test]
    fn success_inside_a_message_is_internal() {
        let mut call = open(Cardinality::Many);
        assert!(data(&mut call, &MESSAGE[..6]).unwrap().is_none());
        assert_eq!(call.expected(), 1);
        let (result, _) = closed(call.handle_headers(&trailers::ok_template(), true));
        assert_eq!(result.unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn a_trailers_only_response_is_told_apart() {
        let mut headers = HeaderList::clone(&response_head::template(""));
        trailers::write(&Status::unavailable("later"), &mut headers);
        let (result, trailers_only) = closed(unary().handle_headers(&Arc::new(headers), true));
        assert_eq!(result.unwrap_err().code(), Code::Unavailable);
        assert!(trailers_only);
    }

    #[test]
    fn informational_responses_are_skipped() {
        let mut call = unary();
        let early_hints = list(&[(":status", "103")]);
        assert!(matches!(call.handle_headers(&early_hints, false), Ok(HeadersOutcome::Nothing)));
        assert!(matches!(
            call.handle_headers(&response_head::template(""), false),
            Ok(HeadersOutcome::Initial { .. })
        ));
    }

    #[test]
    fn a_second_header_block_must_end_the_stream() {
        let violation = open(Cardinality::Many).handle_headers(&trailers::ok_template(), false).unwrap_err();
        assert_eq!((violation.status.code(), violation.code), (Code::Internal, ErrorCode::PROTOCOL_ERROR));
    }

    #[test]
    fn data_that_ends_the_stream_is_internal() {
        let mut call = open(Cardinality::One);
        assert!(data(&mut call, MESSAGE).unwrap().is_some());
        let status = call.handle_end();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "the server closed the stream without sending trailers");

        let mut call = open(Cardinality::One);
        assert!(data(&mut call, &MESSAGE[..6]).unwrap().is_none());
        assert!(call.handle_end().message().contains("inside a message"));
    }

    #[test]
    fn data_before_headers_breaks_the_protocol() {
        let violation = data(&mut unary(), MESSAGE).unwrap_err();
        assert_eq!((violation.status.code(), violation.code), (Code::Internal, ErrorCode::PROTOCOL_ERROR));
    }

    #[test]
    fn the_body_of_another_answer_is_told() {
        let mut call = unary();
        let proxy = list(&[(":status", "502"), ("content-type", "text/plain"), ("server", "proxy")]);
        assert!(matches!(call.handle_headers(&proxy, false), Ok(HeadersOutcome::Nothing)));
        assert!(data(&mut call, b"no upstream ").unwrap().is_none());
        assert!(data(&mut call, b"is alive\n").unwrap().is_none());
        let status = call.handle_end();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(
            status.message(),
            "the answer is not gRPC: HTTP status 502, content-type \"text/plain\", body: no upstream is alive"
        );
        assert_eq!(status.metadata().get("server"), Some("proxy"));
    }

    #[test]
    fn no_more_of_a_body_is_read_than_fits_the_message() {
        let mut call = unary();
        assert!(call.handle_headers(&list(&[(":status", "500")]), false).is_ok());
        assert!(data(&mut call, &[b'x'; MAX_BODY_IN_MESSAGE - 1]).unwrap().is_none());
        let violation = data(&mut call, &[b'x'; 9_000]).unwrap_err();
        assert_eq!(violation.code, ErrorCode::CANCEL);
        assert!(violation.status.message().ends_with(&"x".repeat(MAX_BODY_IN_MESSAGE)));
        assert!(violation.status.message().len() < MAX_BODY_IN_MESSAGE + 100);
    }

    #[test]
    fn another_answer_may_end_with_trailers_or_a_reset() {
        for by_reset in [false, true] {
            let mut call = unary();
            assert!(call.handle_headers(&list(&[(":status", "404")]), false).is_ok());
            let status = match by_reset {
                true => call.handle_reset(ErrorCode::NO_ERROR, None, false),
                false => closed(call.handle_headers(&list(&[("a", "b")]), true)).0.unwrap_err(),
            };
            assert_eq!(status.code(), Code::Unimplemented);
        }
        let (result, trailers_only) = closed(unary().handle_headers(&list(&[(":status", "404")]), true));
        assert_eq!(result.unwrap_err().code(), Code::Unimplemented);
        assert!(trailers_only);
    }

    #[test]
    fn a_compressed_message_needs_a_known_encoding() {
        let compressed = b"\x01\0\0\0\0";
        let violation = data(&mut open(Cardinality::One), compressed).unwrap_err();
        assert_eq!(violation.status.code(), Code::Internal);
        let mut call = open(Cardinality::One);
        call.accept_compressed();
        assert!(data(&mut call, compressed).unwrap().unwrap().compressed);
    }

    #[test]
    fn a_message_over_the_limit_cancels_the_stream() {
        let violation = data(&mut open(Cardinality::One), b"\0\0\0\0\x65").unwrap_err();
        assert_eq!((violation.status.code(), violation.code), (Code::ResourceExhausted, ErrorCode::CANCEL));
    }

    #[test]
    fn a_reset_is_mapped() {
        let status = open(Cardinality::One).handle_reset(ErrorCode::CANCEL, None, true);
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let status = unary().handle_reset(ErrorCode::NO_ERROR, None, false);
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn nothing_is_delivered_after_the_end() {
        let mut call = open(Cardinality::Many);
        let _ = call.handle_headers(&trailers::ok_template(), true);
        assert!(data(&mut call, MESSAGE).unwrap().is_none());
        assert!(matches!(call.handle_headers(&trailers::ok_template(), true), Ok(HeadersOutcome::Nothing)));
    }

    #[test]
    fn malformed_binary_headers_reset_the_stream() {
        let headers = list(&[(":status", "200"), ("content-type", "application/grpc"), ("a-bin", "!")]);
        let violation = unary().handle_headers(&headers, false).unwrap_err();
        assert_eq!((violation.status.code(), violation.code), (Code::Internal, ErrorCode::PROTOCOL_ERROR));
        assert!(Metadata::received(headers).get_bin("a-bin").is_none());
    }
}
