//! [`HeaderBlock`]: a header list to be sent.

use lariat_frame::hpack::HeaderList;
use std::sync::Arc;

/// A header list to be sent: a part that is the same from call to call, then a part that isn't. Either may be missing.
///
/// The octets that a template was encoded to are kept while they stay valid, so that sending it again is one copy: keep
/// the `Arc` and hand out the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderBlock<'a> {
    /// The fields that come first, pseudo-header fields among them.
    pub template: Option<&'a Arc<HeaderList>>,
    /// The fields of this call.
    pub fields: Option<&'a HeaderList>,
}

impl HeaderBlock<'_> {
    /// The size of the list as RFC 9113 §6.5.2 counts it.
    #[inline]
    pub fn size(&self) -> usize {
        self.template.map_or(0, |list| list.size()) + self.fields.map_or(0, HeaderList::size)
    }

    /// Whether this is the head of a HEAD request.
    pub(crate) fn is_head_request(&self) -> bool {
        for list in [self.template.map(|list| &**list), self.fields].into_iter().flatten() {
            for field in list {
                if field.name == b":method" {
                    return field.value == b"HEAD";
                }
            }
        }
        false
    }
}

impl<'a> From<&'a HeaderList> for HeaderBlock<'a> {
    fn from(fields: &'a HeaderList) -> Self {
        HeaderBlock { template: None, fields: Some(fields) }
    }
}

impl<'a> From<&'a Arc<HeaderList>> for HeaderBlock<'a> {
    fn from(template: &'a Arc<HeaderList>) -> Self {
        HeaderBlock { template: Some(template), fields: None }
    }
}
