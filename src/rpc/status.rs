//! `Status`: the error of a call, one pointer wide.

use std::fmt;
use std::io;

use bytes::Bytes;

use super::code::Code;
use super::metadata::Metadata;

/// Why a call failed: a code, a message for the developer, and optionally details and trailers.
///
/// A `Status` is always an error. Success is `Ok(..)` of a `Result`, so an OK status that carries a message cannot
/// exist. The state lives behind one pointer, so `Result<T, Status>` costs hardly more than `T`.
#[derive(Clone)]
pub struct Status(Box<State>);

#[derive(Clone)]
struct State {
    code: Code,
    message: String,
    details: Bytes,
    metadata: Metadata,
}

const _: () = assert!(size_of::<Status>() == size_of::<usize>());
const _: () = assert!(size_of::<Option<Status>>() == size_of::<usize>());

impl Status {
    /// A status of this code and message.
    ///
    /// With [`Code::Ok`] the result is an INTERNAL status that names the mistake, because an error cannot be OK.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let (code, message) = match code {
            Code::Ok => (
                Code::Internal,
                format!("an error status was made with code OK; return Ok(..) instead: {message}"),
            ),
            code => (code, message),
        };
        Self(Box::new(State { code, message, details: Bytes::new(), metadata: Metadata::new() }))
    }

    /// The code; never [`Code::Ok`].
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message: for developers, not for programs to match on.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details: an encoded `google.rpc.Status`, or empty.
    pub fn details(&self) -> &[u8] {
        &self.0.details
    }

    /// The metadata that travels in the trailers beside the status.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The metadata that travels in the trailers beside the status.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }

    /// The same status with these details: an encoded `google.rpc.Status` whose `code` is this status's code.
    ///
    /// A receiver answers details of another code with INTERNAL.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.0.details = details.into();
        self
    }

    /// The same status with this metadata in its trailers.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }
}

/// One constructor per code.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident),* $(,)?) => {
        impl Status {
            $(
                $(#[$doc])*
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(Code::$code, message)
                }
            )*
        }
    };
}

constructors! {
    /// A [`Code::Cancelled`] status.
    cancelled => Cancelled,
    /// A [`Code::Unknown`] status.
    unknown => Unknown,
    /// A [`Code::InvalidArgument`] status.
    invalid_argument => InvalidArgument,
    /// A [`Code::DeadlineExceeded`] status.
    deadline_exceeded => DeadlineExceeded,
    /// A [`Code::NotFound`] status.
    not_found => NotFound,
    /// A [`Code::AlreadyExists`] status.
    already_exists => AlreadyExists,
    /// A [`Code::PermissionDenied`] status.
    permission_denied => PermissionDenied,
    /// A [`Code::ResourceExhausted`] status.
    resource_exhausted => ResourceExhausted,
    /// A [`Code::FailedPrecondition`] status.
    failed_precondition => FailedPrecondition,
    /// A [`Code::Aborted`] status.
    aborted => Aborted,
    /// A [`Code::OutOfRange`] status.
    out_of_range => OutOfRange,
    /// A [`Code::Unimplemented`] status.
    unimplemented => Unimplemented,
    /// A [`Code::Internal`] status.
    internal => Internal,
    /// A [`Code::Unavailable`] status.
    unavailable => Unavailable,
    /// A [`Code::DataLoss`] status.
    data_loss => DataLoss,
    /// A [`Code::Unauthenticated`] status.
    unauthenticated => Unauthenticated,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.0.code)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Status");
        out.field("code", &self.0.code).field("message", &self.0.message);
        if !self.0.details.is_empty() {
            out.field("details", &self.0.details);
        }
        if !self.0.metadata.is_empty() {
            out.field("metadata", &self.0.metadata);
        }
        out.finish()
    }
}

impl std::error::Error for Status {}

impl From<io::Error> for Status {
    /// The nearest code for the kind of error; what gRPC has no word for is UNKNOWN.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::PermissionDenied => Code::PermissionDenied,
            ErrorKind::AlreadyExists => Code::AlreadyExists,
            ErrorKind::InvalidInput => Code::InvalidArgument,
            ErrorKind::InvalidData => Code::DataLoss,
            ErrorKind::TimedOut => Code::DeadlineExceeded,
            ErrorKind::Unsupported => Code::Unimplemented,
            ErrorKind::OutOfMemory | ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Code::ResourceExhausted
            }
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Code::Unavailable,
            _ => Code::Unknown,
        };
        Status::new(code, error.to_string())
    }
}

impl From<prost::DecodeError> for Status {
    /// INTERNAL: the octets are no message of the expected type.
    fn from(error: prost::DecodeError) -> Self {
        Status::internal(format!("message cannot be decoded: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_code_ok_becomes_internal() {
        let status = Status::new(Code::Ok, "all is well");
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("all is well"), "{status}");
    }

    #[test]
    fn the_text_names_code_and_message() {
        assert_eq!(Status::not_found("no such user").to_string(), "status NOT_FOUND: no such user");
        assert_eq!(Status::cancelled("").to_string(), "status CANCELLED");
        assert_eq!(
            format!("{:?}", Status::aborted("lost").with_details(&b"\x08\x0a"[..])),
            r#"Status { code: Aborted, message: "lost", details: b"\x08\n" }"#
        );
    }

    #[test]
    fn details_and_metadata_stay_with_the_status() {
        let mut metadata = Metadata::new();
        metadata.insert("shard", "7").unwrap();
        let status = Status::unavailable("moved").with_details(vec![8, 14]).with_metadata(metadata);
        let copy = status.clone();
        assert_eq!(copy.details(), [8, 14]);
        assert_eq!(copy.metadata().get("shard"), Some("7"));
    }

    #[test]
    fn io_errors_find_their_code() {
        let status = Status::from(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "nobody listens"));
        assert_eq!(Status::from(io::Error::other("odd")).code(), Code::Unknown);
    }
}
