//! The SETTINGS of both sides (RFC 9113 §6.5).

use crate::violation::{self, Violation};
use crate::window::{DEFAULT_WINDOW, MAX_WINDOW};
use crate::{Config, Role};
use lariat_frame::hpack::Encoder;
use lariat_frame::{DEFAULT_MAX_FRAME_SIZE, MAX_MAX_FRAME_SIZE, SettingEntries, WriteBuf, encode, setting};

/// What this side has told the peer.
#[derive(Debug)]
pub(crate) struct LocalSettings {
    /// The window of each new stream that the peer is held to.
    pub(crate) initial_window: u32,
    /// The window of each new stream that was announced last, and holds once the peer has acknowledged it.
    pub(crate) announced_window: u32,
    pub(crate) max_frame_size: u32,
    /// SETTINGS frames that the peer hasn't acknowledged yet.
    unacknowledged: u32,
}

impl LocalSettings {
    /// Sends the first SETTINGS.
    pub(crate) fn announce(config: &Config, role: Role, out: &mut WriteBuf) -> Self {
        let announced_window = config.initial_stream_window.min(MAX_WINDOW);
        let max_frame_size = config.max_frame_size.clamp(DEFAULT_MAX_FRAME_SIZE, MAX_MAX_FRAME_SIZE);
        let mut entries = Vec::with_capacity(6);
        match role {
            Role::Client => entries.push((setting::ENABLE_PUSH, 0)),
            Role::Server => {
                entries
                    .extend(config.max_concurrent_streams.map(|max| (setting::MAX_CONCURRENT_STREAMS, max)));
            }
        }
        entries.push((setting::INITIAL_WINDOW_SIZE, announced_window));
        entries.push((setting::MAX_HEADER_LIST_SIZE, config.max_header_list_size));
        if max_frame_size != DEFAULT_MAX_FRAME_SIZE {
            entries.push((setting::MAX_FRAME_SIZE, max_frame_size));
        }
        if config.header_table_size != DEFAULT_TABLE_SIZE {
            entries.push((setting::HEADER_TABLE_SIZE, config.header_table_size));
        }
        encode::settings(out.tail(), &entries);
        LocalSettings {
            // Until the peer has read this it may use the default.
            initial_window: announced_window.max(DEFAULT_WINDOW),
            announced_window,
            max_frame_size,
            unacknowledged: 1,
        }
    }

    /// Raises the window of all streams, those that are open included.
    pub(crate) fn raise_initial_window(&mut self, window: u32, out: &mut WriteBuf) {
        self.announced_window = window;
        self.initial_window = self.initial_window.max(window);
        self.unacknowledged += 1;
        encode::settings(out.tail(), &[(setting::INITIAL_WINDOW_SIZE, window)]);
    }

    /// The peer has acknowledged a SETTINGS frame; `false` if there was none to acknowledge.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let expected = self.unacknowledged > 0;
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        if self.unacknowledged == 0 {
            self.initial_window = self.announced_window;
        }
        expected
    }

    /// Whether the peer has acknowledged all SETTINGS frames.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.unacknowledged == 0
    }
}

/// SETTINGS_HEADER_TABLE_SIZE unless said (RFC 9113 §6.5.2).
pub(crate) const DEFAULT_TABLE_SIZE: u32 = 4096;

/// What the peer has told this side.
#[derive(Debug)]
pub(crate) struct PeerSettings {
    pub(crate) initial_window: u32,
    /// The largest frame payload to send: the peer's SETTINGS_MAX_FRAME_SIZE, but at most 16 KiB so that streams take
    /// turns and control frames never wait for long, as in grpc-go.
    pub(crate) max_frame_size: u32,
    pub(crate) max_header_list_size: usize,
    /// How many streams a client may open.
    pub(crate) max_concurrent_streams: usize,
    /// Whether the first SETTINGS have arrived.
    pub(crate) received: bool,
}

impl PeerSettings {
    /// Streams that a client opens before it knows the server's limit, as in grpc-go. RFC 9113 §6.5.2 asks for limits
    /// of at least 100.
    const ASSUMED_STREAMS: usize = 100;

    /// The encoder's table is never larger, whatever the peer offers: it would be memory for little gain.
    const MAX_TABLE_SIZE: u32 = 4096;

    pub(crate) fn new() -> Self {
        PeerSettings {
            initial_window: DEFAULT_WINDOW,
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            max_header_list_size: usize::MAX,
            max_concurrent_streams: Self::ASSUMED_STREAMS,
            received: false,
        }
    }

    /// Applies a frame's entries in their order (RFC 9113 §6.5.3); unknown ones are ignored.
    pub(crate) fn apply(
        &mut self,
        entries: SettingEntries<'_>,
        role: Role,
        encoder: &mut Encoder,
    ) -> Result<(), Violation> {
        if !self.received {
            self.received = true;
            self.max_concurrent_streams = usize::MAX;
        }
        for (id, value) in entries {
            match id {
                setting::HEADER_TABLE_SIZE => {
                    encoder.set_max_table_size(value.min(Self::MAX_TABLE_SIZE) as usize)
                }
                setting::ENABLE_PUSH => match (value, role) {
                    (0, _) | (1, Role::Server) => {}
                    (1, Role::Client) => return Err(violation::ENABLE_PUSH_BY_SERVER),
                    _ => return Err(violation::ENABLE_PUSH_VALUE),
                },
                setting::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value as usize,
                setting::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    return Err(violation::INITIAL_WINDOW_SIZE_VALUE);
                }
                setting::INITIAL_WINDOW_SIZE => self.initial_window = value,
                setting::MAX_FRAME_SIZE
                    if !(DEFAULT_MAX_FRAME_SIZE..=MAX_MAX_FRAME_SIZE).contains(&value) =>
                {
                    return Err(violation::MAX_FRAME_SIZE_VALUE);
                }
                setting::MAX_FRAME_SIZE => self.max_frame_size = value.min(DEFAULT_MAX_FRAME_SIZE),
                setting::MAX_HEADER_LIST_SIZE => self.max_header_list_size = value as usize,
                _ => {}
            }
        }
        Ok(())
    }
}
