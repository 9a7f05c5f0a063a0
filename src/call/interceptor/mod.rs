//! Interceptors: code around calls, on either side.
//!
//! An [`Interceptor`] sees a call on its way in and its outcome on the way out, and may change both: metadata,
//! messages, trailers, status. It may answer without going on, and go on more than once. The same interceptor serves
//! clients and servers:
//!
//! - [`ChannelBuilder::interceptor`](crate::client::ChannelBuilder::interceptor): all calls of a channel;
//! - [`ServerBuilder::interceptor`](crate::server::ServerBuilder::interceptor): all calls of a server;
//! - [`Service::with_interceptor`](crate::server::Service::with_interceptor): the calls of one service.
//!
//! Of several, the one that was added first is the outermost: it sees a request first and its response last.
//!
//! ```
//! use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next};
//! use lariat::{Metadata, Request, Response, Status};
//! use std::time::Instant;
//!
//! /// Prints how long each call takes.
//! struct Timing;
//!
//! impl Interceptor for Timing {
//!     async fn unary(
//!         &self,
//!         request: Request<EncodedMessage>,
//!         next: Next<'_>,
//!     ) -> Result<Response<EncodedMessage>, Status> {
//!         let started = Instant::now();
//!         let result = next.unary(request).await;
//!         println!("{} took {:?}", next.path(), started.elapsed());
//!         result
//!     }
//!
//!     async fn stream(
//!         &self,
//!         request: Request<()>,
//!         messages: Messages,
//!         next: Next<'_>,
//!     ) -> Result<Metadata, Status> {
//!         let messages = messages.map_requests(|message| {
//!             println!("a message of {} octets", message.len());
//!             Ok(message)
//!         });
//!         next.stream(request, messages).await
//!     }
//! }
//! ```
//!
//! For an interceptor that only looks at the beginning of each call, [`on_request`] makes one of a closure.
//!
//! Messages are their octets ([`EncodedMessage`]), decoded when asked for, so that a request can be sent again at no
//! cost and one interceptor serves all methods.
//!
//! # Compression
//!
//! What an interceptor sees is never compressed; [`EncodedMessage::was_compressed`] says how a message arrived, and
//! [`EncodedMessage::set_compressible`] whether it is to be compressed on its way on. The algorithm is the call's: on a
//! client [`Request::with_compression`](crate::Request::with_compression) chooses it, on a server
//! [`Response::with_compression`](crate::Response::with_compression) or, for streams,
//! [`MessageSender::set_compression`].
//!
//! # What else is around a call
//!
//! From the outside in, on a client: interceptors; the service config's timeout, retries and hedging, of which
//! interceptors see only the outcome; and for each attempt [stats handlers](crate::stats), the choice of a connection
//! and [call credentials](crate::credentials::CallCredentials). On a server: stats handlers, interceptors, the handler.
//!
//! # Where they run
//!
//! On a server an interceptor is a part of the handler's future: it runs on the connection's loop, in the turn that has
//! read the request, and is dropped when the call is cancelled. On a client it is a future on one of the engine's
//! loops, the calling thread's own if that is one, and under way since the call was made. It is dropped when the call
//! is, and when its deadline passes. In neither may it block ([`blocking`](crate::blocking)).
//!
//! Without interceptors a call costs what it would cost if there were none to be had.

mod chain;
mod encoded;
mod messages;
mod pump;

pub(crate) use chain::{BoxFuture, Chain, Endpoint};
pub use chain::{Interceptor, Next, on_request};
pub use encoded::EncodedMessage;
pub(crate) use encoded::{AS_IT_IS, Octets};
pub(crate) use messages::{DrainedStream, FedStream, ReceivedOnce, SentOnce};
pub use messages::{MessageReceiver, MessageSender, Messages, ReceiveMessages, SendMessages};
pub(crate) use pump::{Attach, Ends, carry, serve};
