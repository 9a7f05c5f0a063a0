//! [`Pair`]: a name and its value, side by side in a table.

/// A field of the static or the dynamic table. Name and value stand together, so that both are copied at
/// once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) octets: &'a [u8],
    pub(super) name_len: usize,
}

impl<'a> Pair<'a> {
    #[inline]
    pub(super) fn name(self) -> &'a [u8] {
        self.octets.get(..self.name_len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        self.octets.get(self.name_len..).unwrap_or_default()
    }
}
