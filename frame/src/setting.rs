//! The parameters of a SETTINGS frame (RFC 9113 §6.5).

use std::fmt;

/// The most dynamic-table octets that the sender's decoder keeps; 4,096 unless said.
pub const HEADER_TABLE_SIZE: u16 = 0x1;
/// Whether the sender (a client) accepts PUSH_PROMISE: 0 or 1; 1 unless said.
pub const ENABLE_PUSH: u16 = 0x2;
/// How many streams the peer may have open at once; no limit unless said.
pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
/// The window that each new stream starts with, at most 2^31-1 octets; 65,535 unless said.
pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
/// The largest frame payload that the sender accepts, 16,384 to 16,777,215 octets; 16,384 unless said.
pub const MAX_FRAME_SIZE: u16 = 0x5;
/// The largest header list that the sender accepts, counted as RFC 9113 §6.5.2 does; no limit unless said.
pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// Octets of one entry: 16 bits of identifier, 32 of value.
pub(crate) const ENTRY_LEN: usize = 6;

/// The entries of one SETTINGS frame in their order, as `(identifier, value)`. Identifiers may be unknown or
/// repeat, and values may be out of range: whoever applies them judges that.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingEntries<'a> {
    payload: &'a [u8],
}

impl<'a> SettingEntries<'a> {
    /// The entries in `payload`, whose length is a multiple of six (what is left over is not looked at).
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        SettingEntries { payload }
    }
}

impl Iterator for SettingEntries<'_> {
    type Item = (u16, u32);

    #[inline]
    fn next(&mut self) -> Option<(u16, u32)> {
        let (&[i1, i0, v3, v2, v1, v0], rest) = self.payload.split_first_chunk::<ENTRY_LEN>()?;
        self.payload = rest;
        Some((u16::from_be_bytes([i1, i0]), u32::from_be_bytes([v3, v2, v1, v0])))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let entries = self.payload.len() / ENTRY_LEN;
        (entries, Some(entries))
    }
}

impl ExactSizeIterator for SettingEntries<'_> {}

impl fmt::Debug for SettingEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
