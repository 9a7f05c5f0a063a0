//! [`ErrorCode`]: why a stream was reset or a connection closed.

use std::fmt;

/// The 32-bit code carried by RST_STREAM and GOAWAY (RFC 9113 §7). Codes that the RFC doesn't name are kept
/// as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

/// Defines each code with its documentation, and the table from which its name is printed.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($value);)*

            /// The name that RFC 9113 §7 gives the code, if it does.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// Nothing went wrong: an orderly shutdown, or "the rest of the request isn't needed".
    NO_ERROR = 0x0;
    /// The peer broke a rule that has no code of its own.
    PROTOCOL_ERROR = 0x1;
    /// The sender of the code failed for a reason of its own.
    INTERNAL_ERROR = 0x2;
    /// The peer sent more than the window allowed, or made a window overflow.
    FLOW_CONTROL_ERROR = 0x3;
    /// SETTINGS weren't acknowledged in time.
    SETTINGS_TIMEOUT = 0x4;
    /// A frame came for a stream whose sending side was already closed.
    STREAM_CLOSED = 0x5;
    /// A frame was too long, or too short for its type.
    FRAME_SIZE_ERROR = 0x6;
    /// The stream was refused before anything was done with it; it is safe to try again.
    REFUSED_STREAM = 0x7;
    /// The stream isn't wanted any more.
    CANCEL = 0x8;
    /// A header block couldn't be decoded, so both sides' tables differ from now on.
    COMPRESSION_ERROR = 0x9;
    /// The connection made for a CONNECT request was reset or closed.
    CONNECT_ERROR = 0xa;
    /// The peer behaves in a way that may be an attempt to wear this side down.
    ENHANCE_YOUR_CALM = 0xb;
    /// The transport doesn't meet the minimum requirements for security.
    INADEQUATE_SECURITY = 0xc;
    /// HTTP/1.1 is to be used instead.
    HTTP_1_1_REQUIRED = 0xd;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {:#x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_print_their_rfc_name_and_others_their_number() {
        assert_eq!(ErrorCode::HTTP_1_1_REQUIRED.to_string(), "HTTP_1_1_REQUIRED");
        assert_eq!(format!("{:?}", ErrorCode(0xb)), "ENHANCE_YOUR_CALM");
        assert_eq!(ErrorCode(0x1f).to_string(), "error code 0x1f");
    }
}
