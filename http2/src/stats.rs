//! [`Stats`]: plain counters of what passed through a connection.

/// Counters since the connection began. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received, by type 0x0 (DATA) to 0x9 (CONTINUATION); the last place counts unknown types.
    pub frames_received: [u64; 11],
    /// DATA frames sent.
    pub data_frames_sent: u64,
    /// Octets of DATA payload received, padding included.
    pub data_octets_received: u64,
    /// Octets of DATA payload sent.
    pub data_octets_sent: u64,
    /// Header lists sent.
    pub header_blocks_sent: u64,
    /// Header lists received that were recognised without decoding.
    pub header_blocks_recognised: u64,
    /// Streams opened, by whichever side.
    pub streams_opened: u64,
    /// Streams that the peer ended as it should, by END_STREAM.
    pub streams_ended: u64,
    /// RST_STREAM frames received for open streams.
    pub resets_received: u64,
    /// RST_STREAM frames sent.
    pub resets_sent: u64,
    /// Requests refused because too many streams were open.
    pub streams_refused: u64,
    /// PINGs sent to see whether the peer is still there.
    pub keepalives_sent: u64,
    /// Frames that were pointless but harmless, such as PRIORITY or frames of unknown types: what
    /// [`Limits::glitches`](crate::Limits::glitches) bounds.
    pub glitches: u64,
}
