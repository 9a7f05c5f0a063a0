//! Status codes for what is not gRPC: HTTP statuses and HTTP/2 error codes.

use lariat_frame::ErrorCode;

use super::code::Code;
use super::status::Status;

/// The code for a response without `grpc-status`, by its HTTP status (`doc/http-grpc-status-mapping.md`).
pub(crate) fn from_http_status(http_status: u16) -> Code {
    match http_status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The code for a stream that was reset before its trailers (PROTOCOL-HTTP2.md, "Errors").
///
/// `deadline_passed`: the call's deadline has passed by the clock of this side. A peer that keeps the same deadline may
/// be the first to notice, and then resets with CANCEL.
pub(crate) fn from_error_code(code: ErrorCode, deadline_passed: bool) -> Code {
    match code {
        ErrorCode::CANCEL if deadline_passed => Code::DeadlineExceeded,
        ErrorCode::CANCEL => Code::Cancelled,
        ErrorCode::REFUSED_STREAM => Code::Unavailable,
        ErrorCode::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        ErrorCode::INADEQUATE_SECURITY => Code::PermissionDenied,
        ErrorCode::NO_ERROR
        | ErrorCode::PROTOCOL_ERROR
        | ErrorCode::INTERNAL_ERROR
        | ErrorCode::FLOW_CONTROL_ERROR
        | ErrorCode::SETTINGS_TIMEOUT
        | ErrorCode::STREAM_CLOSED
        | ErrorCode::FRAME_SIZE_ERROR
        | ErrorCode::COMPRESSION_ERROR
        | ErrorCode::CONNECT_ERROR
        | ErrorCode::HTTP_1_1_REQUIRED => Code::Internal,
        _ => Code::Unknown,
    }
}

/// The status of a call whose stream was reset with this code, as [`from_error_code`] maps it.
///
/// `rule` says why if this side has reset the stream, and is `None` if the peer has. It is a rule that the peer broke,
/// but for NO_ERROR: then this side has ended the connection, which is UNAVAILABLE.
pub(crate) fn reset_status(code: ErrorCode, rule: Option<&str>, deadline_passed: bool) -> Status {
    let message = match (rule, code) {
        (Some(rule), _) => format!("stream reset by this side with {code}: {rule}"),
        (None, ErrorCode::CANCEL) if deadline_passed => {
            "deadline exceeded; the peer reset the stream".to_owned()
        }
        (None, ErrorCode::REFUSED_STREAM) => {
            format!("stream reset by the peer with {code}; it was not processed")
        }
        (None, _) => format!("stream reset by the peer with {code}"),
    };
    let status_code = match (rule, code) {
        (Some(_), ErrorCode::NO_ERROR) => Code::Unavailable,
        _ => from_error_code(code, deadline_passed),
    };
    Status::new(status_code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_map_as_documented() {
        let mapped = [400, 401, 403, 404, 429, 502, 503, 504, 200, 500, 302, 0].map(from_http_status);
        use Code::*;
        let expected = [
            Internal,
            Unauthenticated,
            PermissionDenied,
            Unimplemented,
            Unavailable,
            Unavailable,
            Unavailable,
            Unavailable,
            Unknown,
            Unknown,
            Unknown,
            Unknown,
        ];
        assert_eq!(mapped, expected);
    }

    #[test]
    fn resets_map_as_documented() {
        for number in 0..=13 {
            let expected = match number {
                7 => Code::Unavailable,
                8 => Code::Cancelled,
                11 => Code::ResourceExhausted,
                12 => Code::PermissionDenied,
                _ => Code::Internal,
            };
            assert_eq!(from_error_code(ErrorCode(number), false), expected, "{}", ErrorCode(number));
        }
        assert_eq!(from_error_code(ErrorCode(14), false), Code::Unknown);
    }

    #[test]
    fn a_cancel_after_the_deadline_is_deadline_exceeded() {
        assert_eq!(from_error_code(ErrorCode::CANCEL, true), Code::DeadlineExceeded);
        assert_eq!(from_error_code(ErrorCode::REFUSED_STREAM, true), Code::Unavailable);
    }

    #[test]
    fn the_text_says_who_reset_the_stream_and_why() {
        let by_peer = reset_status(ErrorCode::ENHANCE_YOUR_CALM, None, false);
        assert_eq!(by_peer.message(), "stream reset by the peer with ENHANCE_YOUR_CALM");
        let by_us = reset_status(ErrorCode::PROTOCOL_ERROR, Some("DATA before HEADERS"), false);
        assert_eq!(by_us.code(), Code::Internal);
        assert_eq!(by_us.message(), "stream reset by this side with PROTOCOL_ERROR: DATA before HEADERS");
        let stopped = reset_status(ErrorCode::NO_ERROR, Some("max_age"), false);
        assert_eq!(stopped.code(), Code::Unavailable);
        assert_eq!(stopped.message(), "stream reset by this side with NO_ERROR: max_age");
    }
}
