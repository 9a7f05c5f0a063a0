//! HTTP/2 frames ([RFC 9113]) and HPACK ([RFC 7541]) as pure functions of octets.
//!
//! [`decode`] takes one [`Frame`] from the front of a slice without copying; the functions of [`encode`]
//! append frames to a `Vec<u8>`, usually the tail of a [`WriteBuf`]. [`hpack`] turns header blocks into
//! [`hpack::HeaderList`]s and back. Nothing here knows a connection: rules that need one (stream states,
//! setting values, the order of frames) belong to the layer above. No clock, no socket, no lock; no input can
//! make it panic.
//!
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113
//! [RFC 7541]: https://www.rfc-editor.org/rfc/rfc7541

mod decode;
pub mod encode;
mod error;
mod error_code;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod head;
pub mod hpack;
pub mod setting;
mod stream_id;
mod write_buf;

pub use decode::{PlainFrame, decode, decode_plain};
pub use error::{FrameError, Scope};
pub use error_code::ErrorCode;
pub use frame::{Frame, Priority};
pub use head::{DEFAULT_MAX_FRAME_SIZE, FRAME_HEADER_LEN, MAX_MAX_FRAME_SIZE, flag, kind};
pub use setting::SettingEntries;
pub use stream_id::StreamId;
pub use write_buf::WriteBuf;

/// What a client sends before its first frame (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
