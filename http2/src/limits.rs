//! [`Limits`]: what a peer can make this side do, bounded by name.
//!
//! Bounds that are announced to the peer, and windows, are in [`Config`](crate::Config). The debug text of the GOAWAY,
//! and [`close_reason`](crate::Connection::close_reason), say which limit it was.

use std::time::Duration;

/// The bounds of one connection. Each says what it stops, and what happens when it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams ended before they were answered: RST_STREAM received by a server for an open request, every RST_STREAM
    /// that the peer's faults make this side send, and every refused stream. Burst 1,000, 100/s; each answered stream
    /// makes up for one more, so that a proxy with many calls may cancel many.
    ///
    /// Stops rapid reset (CVE-2023-44487) and its twin, where the server is made to reset (CVE-2025-8671,
    /// CVE-2019-9514). Reaction: ENHANCE_YOUR_CALM.
    pub resets: Rate,
    /// Frames that are pointless but allowed: PRIORITY, unknown types, frames other than DATA for closed streams,
    /// requests after the last GOAWAY, empty DATA, unsolicited acknowledgements, SETTINGS and GOAWAY again and again,
    /// more WINDOW_UPDATE than there was DATA for. Burst 10,000, 330/s; each stream that was answered, or that the
    /// application has reset, makes up for four more.
    ///
    /// Stops floods of frames that cost the sender less than the receiver (CVE-2019-9513, -9515, -9518). Reaction:
    /// ENHANCE_YOUR_CALM.
    pub glitches: Rate,
    /// Empty DATA frames in a row that don't end a stream. 100.
    ///
    /// Stops CVE-2019-9518 earlier than `glitches` would. Small DATA frames with content aren't counted: honest streams
    /// of tiny messages are full of them. Reaction: ENHANCE_YOUR_CALM.
    pub empty_data_run: u32,
    /// CONTINUATION frames of one header block. 8: more than 64 KiB need at the smallest frame size.
    ///
    /// Stops CONTINUATION floods (CVE-2024-27316, CVE-2024-28182), with empty frames, too. Reaction: ENHANCE_YOUR_CALM.
    pub continuations: u32,
    /// Octets of one header block on the wire, compressed. 64 KiB.
    ///
    /// Stops CONTINUATION floods with large frames. Reaction: ENHANCE_YOUR_CALM.
    pub header_block_octets: usize,
    /// How many times `max_header_list_size` a decoded list may have before it costs the connection; one over
    /// `max_header_list_size` costs the stream. 4.
    ///
    /// Stops HPACK bombs (CVE-2016-6581, CVE-2026-49975). What is over the smaller limit is decoded, so that both
    /// tables stay the same, but not stored. Reaction: ENHANCE_YOUR_CALM.
    pub header_list_factor: u32,
    /// Entries of one SETTINGS frame. 128.
    ///
    /// Stops CVE-2020-11080. Reaction: ENHANCE_YOUR_CALM.
    pub settings_entries: usize,
    /// Replies that the peer caused (acknowledgements of PING and SETTINGS, RST_STREAM) and that are not flushed.
    /// 1,000.
    ///
    /// Stops peers that ask and never read (CVE-2019-9512, -9514, -9515). Reaction: nothing more is read
    /// ([`wants_input`](crate::Connection::wants_input)), and `unread_replies_timeout` begins.
    pub queued_replies: u32,
    /// How long `queued_replies` may stay reached. 20 s. Reaction: closed with ENHANCE_YOUR_CALM.
    pub unread_replies_timeout: Duration,
    /// Server: octets of unsent output of any kind from which on nothing more is read. 384 KiB, 256 KiB more than
    /// `output_high_water`.
    ///
    /// Stops clients that pipeline requests and never read the answers. A client has no such limit: if both sides
    /// waited for the other to read, neither would.
    pub unsent_output: usize,
    /// Octets of unsent output from which on queued DATA stays queued. 128 KiB: enough for one large write.
    ///
    /// Keeps DATA where it can still be dropped, and other streams' turn near (CVE-2019-9511, CVE-2019-9517).
    pub output_high_water: usize,
    /// Octets of DATA queued on one stream before its capacity is 0. 64 KiB.
    ///
    /// Bounds what a peer that grants no window makes this side hold (CVE-2019-9511, -9517). Reaction: back-pressure.
    pub stream_send_quota: usize,
    /// Octets of DATA queued on all streams before those that have some queued get no more. 1 MiB. Reaction:
    /// back-pressure.
    pub connection_send_quota: usize,
    /// Time for the peer's preface, its first SETTINGS included. 10 s; a client may want its connect deadline here.
    ///
    /// Stops connections that are opened and left (slowloris). Reaction: closed with PROTOCOL_ERROR.
    pub preface_timeout: Duration,
    /// Time for the peer to acknowledge SETTINGS. 10 s. Reaction: SETTINGS_TIMEOUT (RFC 9113 §6.5.3).
    pub settings_ack_timeout: Duration,
    /// Time from a HEADERS frame to END_HEADERS. 10 s.
    ///
    /// Stops slow header blocks, which block the whole connection. Reaction: PROTOCOL_ERROR.
    pub header_block_timeout: Duration,
    /// Time for the rest of a frame once its first octet is here. 30 s.
    ///
    /// Stops a frame dribbled octet by octet. Reaction: PROTOCOL_ERROR.
    pub frame_timeout: Duration,
    /// Server: how long a stream that [`linger`](crate::Connection::linger) was called for may wait for the end of its
    /// request, once the response is complete. 5 s, and up to twice that.
    ///
    /// Stops requests that are answered and never ended, which take up `max_concurrent_streams`. Reaction: the stream
    /// is reset with NO_ERROR.
    pub linger_timeout: Duration,
    /// How long queued DATA may wait for a window without any progress. 5 min.
    ///
    /// Stops peers that ask for much and grant nothing (CVE-2019-9517, window 0). Reaction: the stream is reset with
    /// CANCEL.
    pub stalled_stream_timeout: Duration,
    /// Server: PINGs that come too early, by [`Enforcement`](crate::Enforcement), before it is too many; HEADERS and
    /// DATA sent start the count anew. 2.
    ///
    /// Stops PING floods, and clients that keep the server's radio or CPU awake (gRFC A8, CVE-2019-9512). Reaction:
    /// ENHANCE_YOUR_CALM with the debug text `too_many_pings`, as gRPC clients expect it.
    pub ping_strikes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            resets: Rate { burst: 1_000, per_second: 100 },
            glitches: Rate { burst: 10_000, per_second: 330 },
            empty_data_run: 100,
            continuations: 8,
            header_block_octets: 64 * 1024,
            header_list_factor: 4,
            settings_entries: 128,
            queued_replies: 1_000,
            unread_replies_timeout: Duration::from_secs(20),
            unsent_output: 384 * 1024,
            output_high_water: 128 * 1024,
            stream_send_quota: 64 * 1024,
            connection_send_quota: 1024 * 1024,
            preface_timeout: Duration::from_secs(10),
            settings_ack_timeout: Duration::from_secs(10),
            header_block_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(5),
            stalled_stream_timeout: Duration::from_secs(300),
            ping_strikes: 2,
        }
    }
}

/// How often something may happen: so many times at once, and so many each second on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Times at once.
    pub burst: u32,
    /// Times each second once the burst is used up.
    pub per_second: u32,
}
