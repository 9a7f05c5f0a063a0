//! gRPC on the wire: what stands in header blocks and DATA payloads, and the order in which they may come.
//!
//! Pure functions and small state machines of octets and header lists; time is an argument. [`request_head`],
//! [`response_head`] and [`trailers`] write and read the three kinds of header block of a call; [`deframer`] takes
//! messages out of DATA payloads and [`message`] puts them in; [`grammar`] knows which of these may follow which, for
//! either side.

pub mod binary;
pub mod code;
pub mod codec;
pub mod compression;
pub mod content_type;
pub mod deframer;
#[doc(hidden)]
pub mod fuzz;
pub mod grammar;
pub mod health_check;
pub mod load_report;
pub mod mapping;
pub mod message;
pub mod metadata;
pub mod percent;
pub mod request_head;
pub mod response_head;
pub mod status;
pub mod timeout;
pub mod trailers;

pub use code::Code;
pub use codec::{Codec, Prost, Raw};
pub use deframer::Deframer;
pub use grammar::{Cardinality, ClientCall, HeadersOutcome, KnownResponse, ServerCall, Violation};
pub use load_report::LoadReport;
pub use message::{
    DEFAULT_MAX_RECEIVE_SIZE, Message, PREFIX_LEN, Payload, check_send_len, frame_message, message_prefix,
};
pub use metadata::{Metadata, MetadataError, Value};
pub use request_head::{Rejection, RequestHead};
pub use response_head::ResponseHead;
pub use status::Status;
