//! `ResponseHead`: the first header block of a response, written and read (PROTOCOL-HTTP2.md, "Responses").

use std::sync::Arc;

use lariat_frame::hpack::{HeaderList, Indexing};

use super::binary;
use super::content_type;
use super::mapping;
use super::metadata::Metadata;
use super::status::Status;
use super::trailers;

/// What every response of this content subtype begins with: `:status: 200` and `content-type`. To be made once and sent
/// many times. Encoding and metadata come behind it; with the fields of [`trailers`] behind it, it is a trailers-only
/// response.
pub(crate) fn template(subtype: &str) -> Arc<HeaderList> {
    let mut list = HeaderList::new();
    push_status(200, subtype, &mut list);
    Arc::new(list)
}

/// Appends `grpc-encoding`: the algorithm of this response's compressed messages.
pub(crate) fn push_encoding(encoding: &str, out: &mut HeaderList) {
    out.push(b"grpc-encoding", encoding.as_bytes(), Indexing::Index);
}

/// Appends the first two fields.
pub(super) fn push_status(http_status: u16, subtype: &str, out: &mut HeaderList) {
    push_head(http_status, &content_type::of_subtype(subtype), out);
}

/// Appends the first two fields of a response that need not be gRPC.
pub(super) fn push_head(http_status: u16, content_type: &str, out: &mut HeaderList) {
    let digits =
        [http_status / 100 % 10, http_status / 10 % 10, http_status % 10].map(|digit| b'0' + digit as u8);
    out.push(b":status", &digits, Indexing::Index);
    out.push(b"content-type", content_type.as_bytes(), Indexing::Index);
}

/// What the first header block of a response is.
#[derive(Debug)]
pub(crate) enum ResponseHead<'a> {
    /// An informational response (1xx): another head follows.
    Informational,
    /// A gRPC response: messages and trailers follow. Its metadata is `Metadata::received(..)` of the same list.
    Grpc {
        /// The algorithm of compressed messages; `None` for identity.
        encoding: Option<&'a [u8]>,
    },
    /// The whole response: the outcome of the call. No message follows.
    TrailersOnly(Result<(), Status>),
    /// Something else answers, perhaps a proxy. A body may follow, which says more to a human.
    NotGrpc {
        /// The status by the HTTP status. The body belongs into its message.
        status: Status,
    },
    /// The response is gRPC and breaks its rules: the call has failed with this status.
    Malformed(Status),
}

impl<'a> ResponseHead<'a> {
    /// Reads the first header block of a response. `end_stream`: nothing follows it.
    pub(crate) fn parse(headers: &'a Arc<HeaderList>, end_stream: bool) -> Self {
        let mut http_status = None;
        let mut content_type = None;
        let mut grpc_status = None;
        let mut encoding = None;
        let mut malformed_binary = None;
        for field in headers.iter() {
            match field.name {
                b":status" => http_status = Some(field.value),
                b"content-type" => content_type = Some(field.value),
                b"grpc-status" => grpc_status = Some(field.value),
                b"grpc-encoding" if field.value != b"identity" => encoding = Some(field.value),
                name if binary::is_malformed(name, field.value) => malformed_binary = Some(name),
                _ => {}
            }
        }
        // The status that gRPC gives wins over every other sign, even from a server whose HTTP is odd.
        if end_stream && grpc_status.is_some() {
            return Self::TrailersOnly(trailers::outcome(grpc_status, malformed_binary, headers));
        }
        let is_grpc = content_type.and_then(content_type::subtype).is_some();
        match (http_status, is_grpc) {
            (Some(b"200"), true) if end_stream => {
                Self::TrailersOnly(trailers::outcome(None, malformed_binary, headers))
            }
            (Some(b"200"), true) => match malformed_binary {
                None => Self::Grpc { encoding },
                Some(name) => Self::Malformed(malformed(name)),
            },
            (Some([b'1', _, _]), _) if end_stream => {
                let message = "the server ended the stream with an informational (1xx) response";
                Self::Malformed(Status::internal(message))
            }
            (Some([b'1', _, _]), _) => Self::Informational,
            _ => Self::NotGrpc { status: not_grpc(http_status, content_type, headers) },
        }
    }
}

#[cold]
fn malformed(name: &[u8]) -> Status {
    Status::internal(format!("the server's headers are malformed: {} is not base64", name.escape_ascii()))
}

#[cold]
fn not_grpc(http_status: Option<&[u8]>, content_type: Option<&[u8]>, headers: &Arc<HeaderList>) -> Status {
    let content_type = match content_type {
        Some(value) => format!("content-type \"{}\"", value.escape_ascii()),
        None => "no content-type".to_owned(),
    };
    let number = http_status.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    match number {
        Some(number) => {
            let message = format!("the answer is not gRPC: HTTP status {number}, {content_type}");
            Status::new(mapping::from_http_status(number), message)
                .with_metadata(Metadata::received(Arc::clone(headers)))
        }
        None => Status::internal(format!("the answer is not gRPC: no valid HTTP status, {content_type}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::super::request_head::Rejection;
    use super::*;

    fn list(fields: &[(&str, &str)]) -> Arc<HeaderList> {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        Arc::new(list)
    }

    fn not_grpc_status(fields: &[(&str, &str)]) -> Status {
        match ResponseHead::parse(&list(fields), false) {
            ResponseHead::NotGrpc { status } => status,
            other => panic!("{other:?}"),
        }
    }

    const OK: (&str, &str) = (":status", "200");
    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[test]
    fn what_a_server_writes_a_client_reads() {
        let mut headers = HeaderList::clone(&template("json"));
        push_encoding("gzip", &mut headers);
        let headers = Arc::new(headers);
        let ResponseHead::Grpc { encoding } = ResponseHead::parse(&headers, false) else { panic!() };
        assert_eq!(encoding, Some(&b"gzip"[..]));
    }

    #[test]
    fn a_head_with_trailers_behind_it_is_a_trailers_only_response() {
        let mut headers = HeaderList::clone(&template(""));
        trailers::write(&Status::not_found("gone"), &mut headers);
        let ResponseHead::TrailersOnly(Err(status)) = ResponseHead::parse(&Arc::new(headers), true) else {
            panic!()
        };
        assert_eq!((status.code(), status.message()), (Code::NotFound, "gone"));
    }

    #[test]
    fn a_rejection_is_read_as_its_status() {
        let mut rejection = Rejection::from(Status::unimplemented("no"));
        rejection.http_status = 415;
        rejection.accept_encoding = Some("gzip".into());
        let mut headers = HeaderList::new();
        rejection.write_to(&mut headers);
        assert_eq!(headers.get(b":status"), Some(&b"415"[..]));
        assert_eq!(headers.get(b"grpc-accept-encoding"), Some(&b"gzip"[..]));
        let ResponseHead::TrailersOnly(Err(status)) = ResponseHead::parse(&Arc::new(headers), true) else {
            panic!()
        };
        assert_eq!(status.code(), Code::Unimplemented);
    }

    #[test]
    fn grpc_status_wins_over_http_status_and_content_type() {
        let headers = list(&[(":status", "503"), ("grpc-status", "8")]);
        let ResponseHead::TrailersOnly(Err(status)) = ResponseHead::parse(&headers, true) else { panic!() };
        assert_eq!(status.code(), Code::ResourceExhausted);
    }

    #[test]
    fn without_grpc_status_the_http_status_is_mapped() {
        for (http_status, code) in
            [("404", Code::Unimplemented), ("503", Code::Unavailable), ("418", Code::Unknown)]
        {
            assert_eq!(not_grpc_status(&[(":status", http_status), GRPC]).code(), code);
            assert_eq!(
                not_grpc_status(&[(":status", http_status), ("content-type", "text/html")]).code(),
                code
            );
        }
        let status = not_grpc_status(&[OK, ("content-type", "text/html")]);
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(status.message(), "the answer is not gRPC: HTTP status 200, content-type \"text/html\"");
        assert_eq!(not_grpc_status(&[OK]).code(), Code::Unknown);
        assert_eq!(not_grpc_status(&[(":status", "abc"), GRPC]).code(), Code::Internal);
        assert_eq!(not_grpc_status(&[GRPC]).code(), Code::Internal);
    }

    #[test]
    fn a_whole_response_without_grpc_status_is_unknown() {
        let ResponseHead::TrailersOnly(Err(status)) = ResponseHead::parse(&list(&[OK, GRPC]), true) else {
            panic!()
        };
        assert_eq!(status.code(), Code::Unknown);
    }

    #[test]
    fn informational_responses_are_passed_over_unless_they_are_the_end() {
        let headers = list(&[(":status", "103")]);
        assert!(matches!(ResponseHead::parse(&headers, false), ResponseHead::Informational));
        let ResponseHead::Malformed(status) = ResponseHead::parse(&headers, true) else { panic!() };
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn binary_headers_that_are_not_base64_are_internal() {
        let headers = list(&[OK, GRPC, ("trace-bin", "!")]);
        let ResponseHead::Malformed(status) = ResponseHead::parse(&headers, false) else { panic!() };
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn identity_is_no_encoding() {
        let headers = list(&[OK, GRPC, ("grpc-encoding", "identity")]);
        assert!(matches!(ResponseHead::parse(&headers, false), ResponseHead::Grpc { encoding: None, .. }));
    }
}
