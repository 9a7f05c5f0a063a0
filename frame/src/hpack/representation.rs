//! The bit patterns that say how a field is represented (RFC 7541 §6).

/// An indexed field (§6.1).
pub(super) const INDEXED: u8 = 0x80;
/// Bits of the index that follow it in the octet.
pub(super) const INDEXED_PREFIX: u32 = 7;
/// A literal that is added to the dynamic table (§6.2.1).
pub(super) const INCREMENTAL: u8 = 0x40;
/// Bits of the name's index that follow it in the octet.
pub(super) const INCREMENTAL_PREFIX: u32 = 6;
/// A change of the dynamic table's maximum size (§6.3).
pub(super) const SIZE_UPDATE: u8 = 0x20;
/// The bits that tell a size update from the other representations.
pub(super) const SIZE_UPDATE_MASK: u8 = 0xe0;
/// Bits of the size that follow it in the octet.
pub(super) const SIZE_UPDATE_PREFIX: u32 = 5;
/// A literal that nobody on the way may add to a table (§6.2.3).
pub(super) const NEVER_INDEXED: u8 = 0x10;
/// A literal that isn't added to the dynamic table (§6.2.2).
pub(super) const NOT_INDEXED: u8 = 0x00;
/// Bits of the name's index in the octet of the last two.
pub(super) const LITERAL_PREFIX: u32 = 4;
