//! The trailers of a response: `grpc-status`, `grpc-message`, details and metadata (PROTOCOL-HTTP2.md, "Responses").
//!
//! The same fields, behind those of [`response_head`](super::response_head), are a trailers-only response.

use std::sync::Arc;

use lariat_frame::hpack::{HeaderList, Indexing};

use super::binary;
use super::code::Code;
use super::metadata::Metadata;
use super::percent;
use super::status::Status;

/// `google.rpc.Status`, as far as it has to be understood here.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
}

/// The trailers of a call that succeeded: `grpc-status: 0`. To be made once and sent many times.
pub(crate) fn ok_template() -> Arc<HeaderList> {
    let mut list = HeaderList::new();
    push_code(Code::Ok, &mut list);
    Arc::new(list)
}

/// Appends the trailers of a call that failed.
pub(crate) fn write(status: &Status, out: &mut HeaderList) {
    push_code(status.code(), out);
    // Messages and details differ from call to call, so the table has no use for them.
    let message = status.message();
    if percent::needs_encoding(message) {
        let mut value = Vec::new();
        percent::encode(message, &mut value);
        out.push(b"grpc-message", &value, Indexing::Skip);
    } else if !message.is_empty() {
        out.push(b"grpc-message", message.as_bytes(), Indexing::Skip);
    }
    if !status.details().is_empty() {
        out.push(b"grpc-status-details-bin", binary::encode(status.details()).as_bytes(), Indexing::Skip);
    }
    status.metadata().write_to(out);
}

/// What received trailers say of the call. A status carries the metadata of the trailers; when the call succeeded,
/// `Metadata::received(trailers)` is that.
///
/// UNKNOWN if there is no `grpc-status` or if it is no number; INTERNAL if the details are of another code, or if a
/// binary field is not base64.
pub(crate) fn parse(trailers: &Arc<HeaderList>) -> Result<(), Status> {
    let mut grpc_status = None;
    let mut malformed_binary = None;
    for field in trailers.iter() {
        if field.name == b"grpc-status" {
            grpc_status = Some(field.value);
        } else if binary::is_malformed(field.name, field.value) {
            malformed_binary = Some(field.name);
        }
    }
    outcome(grpc_status, malformed_binary, trailers)
}

/// What trailers say, once they have been looked through for `grpc-status` and for a binary field that is not base64.
#[inline]
pub(super) fn outcome(
    grpc_status: Option<&[u8]>,
    malformed_binary: Option<&[u8]>,
    trailers: &Arc<HeaderList>,
) -> Result<(), Status> {
    match (grpc_status, malformed_binary) {
        (Some(b"0"), None) => Ok(()),
        _ => failure(grpc_status, malformed_binary, trailers),
    }
}

#[cold]
fn failure(
    grpc_status: Option<&[u8]>,
    malformed_binary: Option<&[u8]>,
    trailers: &Arc<HeaderList>,
) -> Result<(), Status> {
    if let Some(name) = malformed_binary {
        // The metadata is not to be trusted, and stays out of the status.
        let message = format!("the server's trailers are malformed: {} is not base64", name.escape_ascii());
        return Err(Status::internal(message));
    }
    let status = match grpc_status.map(|value| (value, Code::from_ascii(value))) {
        Some((_, Some(Code::Ok))) => return Ok(()),
        Some((value, Some(code))) => stated(code, value, trailers),
        Some((value, None)) => {
            Status::unknown(format!("malformed grpc-status: \"{}\"", value.escape_ascii()))
        }
        None => Status::unknown("the server closed the stream without a grpc-status"),
    };
    Err(status.with_metadata(Metadata::received(Arc::clone(trailers))))
}

/// The status that the server has stated.
fn stated(code: Code, value: &[u8], trailers: &HeaderList) -> Status {
    let mut message = trailers.get(b"grpc-message").map(percent::decode).unwrap_or_default();
    if code == Code::Unknown && value != Code::Unknown.as_ascii().as_bytes() {
        message = format!("grpc-status {} is not defined: {message}", value.escape_ascii());
    }
    let details = trailers.get(b"grpc-status-details-bin").and_then(binary::decode).unwrap_or_default();
    match details_code(&details) {
        None => Status::new(code, message),
        Some(inner) if Code::from_i32(inner) == code => Status::new(code, message).with_details(details),
        Some(inner) => Status::internal(format!(
            "the server's grpc-status-details-bin is of code {inner} while its grpc-status is {code}: {message}"
        )),
    }
}

/// The code in an encoded `google.rpc.Status`; `None` without details. What cannot be decoded has no valid code.
fn details_code(details: &[u8]) -> Option<i32> {
    const INVALID: i32 = -1;
    if details.is_empty() {
        return None;
    }
    Some(<Details as prost::Message>::decode(details).map_or(INVALID, |details| details.code))
}

fn push_code(code: Code, out: &mut HeaderList) {
    out.push(b"grpc-status", code.as_ascii().as_bytes(), Indexing::Index);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(fields: &[(&str, &str)]) -> Arc<HeaderList> {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        Arc::new(list)
    }

    fn failure_of(fields: &[(&str, &str)]) -> Status {
        parse(&list(fields)).unwrap_err()
    }

    fn written(status: &Status) -> Vec<(String, String, Indexing)> {
        let mut list = HeaderList::new();
        write(status, &mut list);
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        list.iter().map(|field| (text(field.name), text(field.value), field.indexing)).collect()
    }

    #[test]
    fn success_is_one_field() {
        let fields: Vec<_> =
            ok_template().iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
        assert_eq!(fields, [(b"grpc-status".to_vec(), b"0".to_vec())]);
        assert!(parse(&ok_template()).is_ok());
    }

    #[test]
    fn success_may_have_metadata() {
        let mut metadata = Metadata::new();
        metadata.insert("a", "b").unwrap();
        let mut out = HeaderList::clone(&ok_template());
        metadata.write_to(&mut out);
        let trailers = Arc::new(out);
        assert!(parse(&trailers).is_ok());
        assert_eq!(Metadata::received(trailers), metadata);
    }

    #[test]
    fn a_failure_is_written_with_what_it_has() {
        assert_eq!(written(&Status::not_found("")), [("grpc-status".into(), "5".into(), Indexing::Index)]);
        let mut status = Status::not_found("50% off\n").with_details(vec![8, 5]);
        status.metadata_mut().insert("a", "b").unwrap();
        assert_eq!(
            written(&status),
            [
                ("grpc-status".into(), "5".into(), Indexing::Index),
                ("grpc-message".into(), "50%25 off%0A".into(), Indexing::Skip),
                ("grpc-status-details-bin".into(), "CAU".into(), Indexing::Skip),
                ("a".into(), "b".into(), Indexing::Index),
            ]
        );
    }

    #[test]
    fn a_failure_is_read_with_its_metadata() {
        let status = failure_of(&[
            ("grpc-status", "5"),
            ("grpc-message", "no%20such%20user"),
            ("grpc-status-details-bin", "CAU="),
            ("shard", "7"),
        ]);
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no such user"));
        assert_eq!(status.details(), [8, 5]);
        assert_eq!(status.metadata().iter().count(), 1);
        assert_eq!(status.metadata().get("shard"), Some("7"));
    }

    #[test]
    fn a_missing_grpc_status_is_unknown() {
        let status = failure_of(&[("a", "b")]);
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(status.metadata().get("a"), Some("b"));
    }

    #[test]
    fn a_malformed_grpc_status_is_unknown_and_quoted() {
        let status = failure_of(&[("grpc-status", "-0")]);
        assert_eq!((status.code(), status.message()), (Code::Unknown, "malformed grpc-status: \"-0\""));
    }

    #[test]
    fn an_undefined_code_is_unknown_and_its_number_is_told() {
        let status = failure_of(&[("grpc-status", "77"), ("grpc-message", "lucky")]);
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unknown, "grpc-status 77 is not defined: lucky")
        );
        assert_eq!(failure_of(&[("grpc-status", "2"), ("grpc-message", "m")]).message(), "m");
    }

    #[test]
    fn details_of_another_code_are_internal() {
        for details in ["CAY", "", "////"] {
            let status = failure_of(&[("grpc-status", "5"), ("grpc-status-details-bin", details)]);
            let expected = if details.is_empty() { Code::NotFound } else { Code::Internal };
            assert_eq!(status.code(), expected, "{details:?}");
            assert_eq!(status.details(), b"");
        }
    }

    #[test]
    fn binary_trailers_that_are_not_base64_are_internal() {
        for trailers in [
            &[("grpc-status", "0"), ("trace-bin", "!")][..],
            &[("grpc-status", "5"), ("grpc-status-details-bin", "C")],
        ] {
            assert_eq!(failure_of(trailers).code(), Code::Internal);
        }
    }

    #[test]
    fn a_message_beside_success_means_nothing() {
        assert!(parse(&list(&[("grpc-status", "0"), ("grpc-message", "fine")])).is_ok());
    }

    proptest! {
        #[test]
        fn a_status_that_is_written_is_read_back(number in 1..17i32, message in any::<String>(), rest in any::<u16>()) {
            let code = Code::from_i32(number);
            // Field 1 is the code; field 2 stands for what this library does not look into.
            let mut details = vec![8, number as u8, 16];
            prost::encoding::encode_varint(u64::from(rest), &mut details);
            let sent = Status::new(code, message).with_details(details);
            let mut out = HeaderList::new();
            write(&sent, &mut out);
            let received = parse(&Arc::new(out)).unwrap_err();
            // Field 2 is a string in google.rpc.Status, but its type is not looked at either.
            prop_assert_eq!(received.code(), code);
            prop_assert_eq!(received.message(), sent.message());
            prop_assert_eq!(received.details(), sent.details());
        }
    }
}
