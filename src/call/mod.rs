//! One call as the user holds it, on either side: the request and response, the streams of messages, cancellation, and
//! waiting for any of it.

mod cancellation;
mod compression;
mod credentials;
mod inbound;
pub mod interceptor;
pub(crate) mod large_messages;
mod link;
mod method_kind;
mod outbound;
mod rare_options;
mod replay;
mod request;
mod response;
pub mod stats;
mod wait;
mod wakers;

pub use cancellation::{CancellationToken, Cancelled};
pub(crate) use compression::{
    Accepted, Chosen, CompressedMessage, Compression, EncodingId, Encodings, EncodingsBuilder,
    SendCompression,
};
pub(crate) use credentials::SharedCallCredentials;
pub use credentials::{CallCredentials, CallTarget, MetadataFuture};
pub use inbound::Inbound;
pub(crate) use inbound::{Receiver, decode};
pub(crate) use link::{Carrier, Link};
pub use method_kind::MethodKind;
pub(crate) use outbound::OutboundStream;
pub use outbound::{Outbound, Send};
pub(crate) use rare_options::RareOptions;
pub(crate) use request::{CallContext, CallOptions, Received};
pub use request::{Incoming, IntoRequest, Request};
pub use response::Response;
pub use wait::Wait;
pub(crate) use wait::wait;
pub(crate) use wakers::{Place, Wakers};
