//! gRPC on the wire: what stands in header blocks and DATA payloads, and the order in which they may come.
//!
//! Pure functions and small state machines of octets and header lists; time is an argument. [`request_head`],
//! [`response_head`] and [`trailers`] write and read the three kinds of header block of a call; [`deframer`] takes
//! messages out of DATA payloads and [`message`] puts them in; [`grammar`] knows which of these may follow which, for
//! either side.

pub(crate) mod binary;
pub(crate) mod code;
pub mod codec;
pub mod compression;
pub(crate) mod content_type;
pub(crate) mod deframer;
#[doc(hidden)]
pub mod fuzz;
pub(crate) mod grammar;
pub(crate) mod health_check;
pub(crate) mod load_report;
pub(crate) mod mapping;
pub(crate) mod message;
pub mod metadata;
pub(crate) mod percent;
pub(crate) mod quoted;
pub(crate) mod request_head;
pub(crate) mod response_head;
pub(crate) mod status;
pub(crate) mod timeout;
pub(crate) mod trailers;

pub use code::Code;
pub(crate) use codec::{Codec, Prost, Raw};
pub(crate) use deframer::Deframer;
pub(crate) use grammar::{Cardinality, ClientCall, HeadersOutcome, KnownResponse, ServerCall, Violation};
pub(crate) use load_report::LoadReport;
pub(crate) use message::{
    DEFAULT_MAX_RECEIVE_SIZE, Message, PREFIX_LEN, Payload, check_send_len, frame_message, message_prefix,
};
pub use metadata::Metadata;
pub(crate) use quoted::Quoted;
pub(crate) use request_head::{Rejection, RequestHead};
pub use status::Status;
