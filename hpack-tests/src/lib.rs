//! Is Lariat's HPACK everyone's HPACK?
//!
//! [`Story`] reads recorded stories: what some encoder made of the header lists of one connection. [`check`]
//! decodes them, encodes the lists anew, and lets both Lariat's decoder and an [`Oracle`], which somebody
//! else wrote, read the result.

pub mod check;
mod oracle;
mod story;

pub use oracle::Oracle;
pub use story::{Case, Story, stories_in};

/// The fields of a header block in their order: names and values.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A list's fields without their way of indexing.
pub fn fields_of(list: &lariat_frame::hpack::HeaderList) -> Fields {
    list.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}
