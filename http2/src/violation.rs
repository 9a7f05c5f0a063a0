//! [`Violation`]: the one table of what a peer can do wrong, what it costs, and where the rule stands.
//!
//! Rules that a single frame breaks by its size or identifier are in `lariat_frame`, those of HPACK, too; they become
//! violations here.

use lariat_frame::{ErrorCode, FrameError, Scope, hpack};

/// What has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Connection,
    Stream,
}

/// Something the peer must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) cost: Cost,
    pub(crate) code: ErrorCode,
    pub(crate) rule: &'static str,
    pub(crate) section: &'static str,
}

impl Violation {
    /// The same violation when there is no stream that could pay for it.
    pub(crate) fn of_connection(self) -> Violation {
        Violation { cost: Cost::Connection, ..self }
    }
}

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        let cost = match error.scope {
            Scope::Connection => Cost::Connection,
            Scope::Stream(_) => Cost::Stream,
        };
        Violation { cost, code: error.code, rule: error.rule, section: error.section }
    }
}

impl From<hpack::Error> for Violation {
    fn from(error: hpack::Error) -> Self {
        Violation {
            cost: Cost::Connection,
            code: ErrorCode::COMPRESSION_ERROR,
            rule: error.rule,
            section: error.section,
        }
    }
}

macro_rules! violations {
    ($($name:ident: $cost:ident $code:ident $section:literal $rule:literal;)*) => {
        $(pub(crate) const $name: Violation = Violation {
            cost: Cost::$cost,
            code: ErrorCode::$code,
            rule: $rule,
            section: $section,
        };)*
    };
}

violations! {
    // The connection preface.
    NOT_HTTP_2: Connection PROTOCOL_ERROR "RFC 9113 §3.4" "the connection doesn't begin with the HTTP/2 preface";
    HTTP_1: Connection PROTOCOL_ERROR "RFC 9113 §3.4" "an HTTP/1 request came to a port that speaks HTTP/2 only";
    NO_SETTINGS_FIRST: Connection PROTOCOL_ERROR "RFC 9113 §3.4" "the first frame isn't SETTINGS";

    // Stream identifiers and states.
    EVEN_STREAM: Connection PROTOCOL_ERROR "RFC 9113 §5.1.1" "a client opened a stream with an even identifier";
    STREAM_SKIPPED: Connection PROTOCOL_ERROR "RFC 9113 §5.1.1" "HEADERS on a stream that a higher one has closed";
    HEADERS_UNASKED: Connection PROTOCOL_ERROR "RFC 9113 §5.1.1" "a server opened a stream";
    DATA_ON_IDLE: Connection PROTOCOL_ERROR "RFC 9113 §5.1" "DATA on an idle stream";
    RST_STREAM_ON_IDLE: Connection PROTOCOL_ERROR "RFC 9113 §5.1" "RST_STREAM on an idle stream";
    WINDOW_UPDATE_ON_IDLE: Connection PROTOCOL_ERROR "RFC 9113 §5.1" "WINDOW_UPDATE on an idle stream";
    HALF_CLOSED: Stream STREAM_CLOSED "RFC 9113 §5.1" "HEADERS or DATA after the peer's END_STREAM";
    ENDED: Connection STREAM_CLOSED "RFC 9113 §5.1" "HEADERS or DATA on a stream that both sides have ended";
    AFTER_RESET: Stream STREAM_CLOSED "RFC 9113 §5.1" "HEADERS or DATA after the peer's RST_STREAM";
    REFUSED: Stream REFUSED_STREAM "RFC 9113 §5.1.2" "more streams than SETTINGS_MAX_CONCURRENT_STREAMS";

    // SETTINGS.
    ENABLE_PUSH_VALUE: Connection PROTOCOL_ERROR "RFC 9113 §6.5.2" "SETTINGS_ENABLE_PUSH is neither 0 nor 1";
    ENABLE_PUSH_BY_SERVER: Connection PROTOCOL_ERROR "RFC 9113 §6.5.2" "a server sent SETTINGS_ENABLE_PUSH of 1";
    INITIAL_WINDOW_SIZE_VALUE: Connection FLOW_CONTROL_ERROR "RFC 9113 §6.5.2"
        "SETTINGS_INITIAL_WINDOW_SIZE is over 2^31-1";
    MAX_FRAME_SIZE_VALUE: Connection PROTOCOL_ERROR "RFC 9113 §6.5.2"
        "SETTINGS_MAX_FRAME_SIZE is not within 16,384 and 16,777,215";
    INITIAL_WINDOW_SIZE_OVERFLOW: Connection FLOW_CONTROL_ERROR "RFC 9113 §6.9.2"
        "SETTINGS_INITIAL_WINDOW_SIZE makes a stream's window pass 2^31-1";

    // Other frames.
    // RFC 9113 no longer mentions it, and no honest peer does it.
    SELF_DEPENDENCY: Connection PROTOCOL_ERROR "RFC 7540 §5.3.1" "a stream that depends on itself";
    PUSH_TO_SERVER: Connection PROTOCOL_ERROR "RFC 9113 §8.4" "a client sent PUSH_PROMISE";
    PUSH_DISABLED: Connection PROTOCOL_ERROR "RFC 9113 §6.6" "PUSH_PROMISE although SETTINGS_ENABLE_PUSH is 0";
    GOAWAY_ID: Connection PROTOCOL_ERROR "RFC 9113 §6.8" "GOAWAY names a last stream that isn't the receiver's";
    GOAWAY_GREW: Connection PROTOCOL_ERROR "RFC 9113 §6.8" "GOAWAY names a later last stream than the one before";
    BLOCK_INTERRUPTED: Connection PROTOCOL_ERROR "RFC 9113 §6.10" "another frame where CONTINUATION had to follow";
    CONTINUATION_UNASKED: Connection PROTOCOL_ERROR "RFC 9113 §6.10" "CONTINUATION without a header block to continue";

    // Flow control.
    CONNECTION_WINDOW_OVERRUN: Connection FLOW_CONTROL_ERROR "RFC 9113 §6.9" "DATA beyond the connection window";
    STREAM_WINDOW_OVERRUN: Stream FLOW_CONTROL_ERROR "RFC 9113 §6.9" "more DATA than the stream's window allows";
    CONNECTION_WINDOW_OVERFLOW: Connection FLOW_CONTROL_ERROR "RFC 9113 §6.9.1"
        "WINDOW_UPDATE makes the connection's window pass 2^31-1";
    STREAM_WINDOW_OVERFLOW: Stream FLOW_CONTROL_ERROR "RFC 9113 §6.9.1"
        "WINDOW_UPDATE makes the stream's window pass 2^31-1";

    // The order of a message's parts.
    DATA_BEFORE_HEADERS: Stream PROTOCOL_ERROR "RFC 9113 §8.1" "DATA before the response's HEADERS";
    TRAILERS_WITHOUT_END: Stream PROTOCOL_ERROR "RFC 9113 §8.1" "trailers without END_STREAM";
    INTERIM_END: Stream PROTOCOL_ERROR "RFC 9113 §8.1" "an interim response with END_STREAM";
    CONTENT_LENGTH_MISMATCH: Stream PROTOCOL_ERROR "RFC 9113 §8.1.1" "content-length differs from the octets of DATA";

    // Header fields.
    FIELD_NAME: Stream PROTOCOL_ERROR "RFC 9113 §8.2.1" "a field name with octets that don't belong there";
    FIELD_NAME_EMPTY: Stream PROTOCOL_ERROR "RFC 9113 §8.2.1" "an empty field name";
    FIELD_NAME_UPPERCASE: Stream PROTOCOL_ERROR "RFC 9113 §8.2.1" "a field name in upper case";
    FIELD_VALUE: Stream PROTOCOL_ERROR "RFC 9113 §8.2.1" "a field value with NUL, CR or LF";
    FIELD_VALUE_BLANKS: Stream PROTOCOL_ERROR "RFC 9113 §8.2.1" "a field value that begins or ends with a blank";
    CONNECTION_SPECIFIC: Stream PROTOCOL_ERROR "RFC 9113 §8.2.2" "a connection-specific header field";
    TE: Stream PROTOCOL_ERROR "RFC 9113 §8.2.2" "te is something else than `trailers`";
    PSEUDO_LATE: Stream PROTOCOL_ERROR "RFC 9113 §8.3" "a pseudo-header field after a regular one";
    PSEUDO_UNKNOWN: Stream PROTOCOL_ERROR "RFC 9113 §8.3" "an unknown pseudo-header field";
    PSEUDO_REPEATED: Stream PROTOCOL_ERROR "RFC 9113 §8.3" "a pseudo-header field twice";
    PSEUDO_IN_TRAILERS: Stream PROTOCOL_ERROR "RFC 9113 §8.1" "a pseudo-header field in trailers";
    METHOD_MISSING: Stream PROTOCOL_ERROR "RFC 9113 §8.3.1" "a request without :method";
    SCHEME_MISSING: Stream PROTOCOL_ERROR "RFC 9113 §8.3.1" "a request without :scheme";
    PATH_MISSING: Stream PROTOCOL_ERROR "RFC 9113 §8.3.1" "a request without :path";
    PATH_EMPTY: Stream PROTOCOL_ERROR "RFC 9113 §8.3.1" "a request with an empty :path";
    CONNECT_FIELDS: Stream PROTOCOL_ERROR "RFC 9113 §8.5" "CONNECT with :scheme or :path, or without :authority";
    STATUS_MISSING: Stream PROTOCOL_ERROR "RFC 9113 §8.3.2" "a response without :status";
    STATUS_VALUE: Stream PROTOCOL_ERROR "RFC 9113 §8.3.2" "a :status that isn't three digits from 100 on";
    CONTENT_LENGTH_VALUE: Stream PROTOCOL_ERROR "RFC 9110 §8.6" "content-length isn't one number";
    HEADER_LIST_TOO_LARGE: Stream ENHANCE_YOUR_CALM "RFC 9113 §10.5.1"
        "a header list larger than SETTINGS_MAX_HEADER_LIST_SIZE";

    // Limits; the rule is the limit's name.
    RESETS: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5" "too many resets";
    GLITCHES: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5" "too many glitches";
    EMPTY_DATA_RUN: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5" "too many empty DATA frames in a row";
    CONTINUATIONS: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5.1" "too many CONTINUATION frames";
    HEADER_BLOCK_OCTETS: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5.1" "too many octets in a header block";
    HEADER_LIST_FACTOR: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5.1" "a header list far larger than allowed";
    SETTINGS_ENTRIES: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5" "too many entries in SETTINGS";
    PINGS: Connection ENHANCE_YOUR_CALM "gRFC A8" "too_many_pings";
    UNREAD_REPLIES: Connection ENHANCE_YOUR_CALM "RFC 9113 §10.5" "replies that the peer doesn't read";
    PREFACE_TIMEOUT: Connection PROTOCOL_ERROR "RFC 9113 §3.4" "the peer's SETTINGS didn't come in time";
    SETTINGS_TIMEOUT: Connection SETTINGS_TIMEOUT "RFC 9113 §6.5.3" "SETTINGS weren't acknowledged in time";
    HEADER_BLOCK_TIMEOUT: Connection PROTOCOL_ERROR "RFC 9113 §10.5" "a header block wasn't completed in time";
    FRAME_TIMEOUT: Connection PROTOCOL_ERROR "RFC 9113 §10.5" "a frame wasn't completed in time";
    KEEPALIVE_TIMEOUT: Connection NO_ERROR "gRFC A8" "keepalive: the peer gave no sign of life in time";
    AGE_GRACE: Connection NO_ERROR "gRFC A9" "max_age";
    STALLED_STREAM: Stream CANCEL "RFC 9113 §10.5" "the peer granted no window for queued DATA in time";
}
