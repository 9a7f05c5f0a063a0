//! HPACK, the compression of header fields (RFC 7541).
//!
//! [`Decoder`] and [`Encoder`] each keep one direction's dynamic table; [`HeaderList`] is what goes in and
//! comes out.

mod decoder;
mod dynamic_table;
mod encoder;
mod error;
mod field;
mod header_list;
pub mod huffman;
mod integer;
mod lookup;
mod pair;
mod representation;
mod static_table;
mod string;
mod template_cache;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::Error;
pub use field::{Field, Indexing};
pub use header_list::{Fields, HeaderList};

/// The maximum size of both dynamic tables, in octets, until SETTINGS_HEADER_TABLE_SIZE says otherwise
/// (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_SIZE: usize = 4096;
