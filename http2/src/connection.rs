//! [`Connection`]: the machine itself. What arrives is dealt with in [`receive`], what is sent in [`send`], what a
//! time brings in [`deadlines`], the end of streams and of the connection in [`ending`].

mod control;
mod data;
mod deadlines;
mod ending;
mod headers;
mod receive;
mod send;

pub use send::Response;

use crate::bdp::BdpEstimator;
use crate::closed::Closed;
use crate::goaway::{PeerGoAway, Shutdown};
use crate::header_assembly::HeaderAssembly;
use crate::header_decoder::HeaderDecoder;
use crate::keepalive::Probe;
use crate::ping_strikes::PingStrikes;
use crate::scheduler::Scheduler;
use crate::settings::{DEFAULT_TABLE_SIZE, LocalSettings, PeerSettings};
use crate::streams::{StreamKey, Streams};
use crate::timer::{Timer, Timers};
use crate::token_bucket::TokenBucket;
use crate::violation;
use crate::window::{DEFAULT_WINDOW, MAX_WINDOW, ReceiveWindow, Window};
use crate::{Config, ConnectionError, Event, FlowControl, Stats};
use lariat_frame::hpack::Encoder;
use lariat_frame::{PREFACE, StreamId, WriteBuf, decode, decode_plain, encode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens the connection, and the streams on it.
    Client,
    /// Accepts them.
    Server,
}

/// How much of the peer's preface has come (RFC 9113 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preface {
    /// The client's 24 octets are missing.
    Magic,
    /// The first SETTINGS are missing.
    Settings,
    Complete,
}

/// One HTTP/2 connection, either side. See the [crate] for how to drive it.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    /// The latest time that was told.
    now: Instant,
    preface: Preface,
    local: LocalSettings,
    peer: PeerSettings,

    decoder: HeaderDecoder,
    /// The header block under way, of which CONTINUATION frames must follow.
    assembly: Option<Box<HeaderAssembly>>,
    /// When the frame that is not complete yet began.
    partial_frame: Option<Instant>,
    encoder: Encoder,

    streams: Streams,
    closed: Closed,
    /// The next stream a client opens.
    next_id: u32,

    send_window: Window,
    receive_window: ReceiveWindow,
    /// The base of `receive_window`.
    receive_window_size: u32,
    scheduler: Scheduler,
    /// Octets of DATA queued on all streams.
    queued: usize,
    /// The initial window has grown: streams that had none left may send again.
    windows_grown: bool,

    events: VecDeque<Event<'static>>,
    /// `events` holds a [`Event::StreamsAvailable`].
    available_queued: bool,

    resets: TokenBucket,
    glitches: TokenBucket,
    empty_data_run: u32,
    /// Replies caused by the peer since the output was last flushed.
    replies: u32,
    /// Octets of output that were not written when last seen.
    unsent: usize,
    /// From so many of them on no input is wanted. A client has no such limit.
    unsent_limit: usize,
    /// `replies` or `unsent` are over their limits: no input is wanted before a flush.
    holds_input: bool,

    timers: Timers,
    probe: Option<Probe>,
    strikes: PingStrikes,
    bdp: Option<BdpEstimator>,
    /// Since when there is no stream; unknown until the time is told after the last one ended.
    idle_since: Option<Instant>,
    shutdown: Shutdown,
    peer_goaway: Option<Box<PeerGoAway>>,
    close_reason: Option<Box<ConnectionError>>,
    stats: Stats,
}

/// Cuts `len` octets off the front of `input`.
#[inline]
fn cut(input: &mut &[u8], len: usize) {
    *input = input.get(len..).unwrap_or_default();
}

impl Connection {
    /// The client's side of a new connection. Writes the preface, SETTINGS and the connection's WINDOW_UPDATE.
    ///
    /// `seed` makes different what should be different between connections.
    pub fn client(config: impl Into<Arc<Config>>, now: Instant, seed: u64, out: &mut WriteBuf) -> Self {
        out.tail().extend_from_slice(PREFACE);
        Self::new(Role::Client, config.into(), now, seed, out)
    }

    /// The server's side of a new connection. Writes SETTINGS and the connection's WINDOW_UPDATE.
    ///
    /// `seed` makes different what should be different between connections: the age they reach.
    pub fn server(config: impl Into<Arc<Config>>, now: Instant, seed: u64, out: &mut WriteBuf) -> Self {
        Self::new(Role::Server, config.into(), now, seed, out)
    }

    fn new(role: Role, config: Arc<Config>, now: Instant, seed: u64, out: &mut WriteBuf) -> Self {
        let local = LocalSettings::announce(&config, role, out);
        let receive_window_size = config.initial_connection_window.clamp(DEFAULT_WINDOW, MAX_WINDOW);
        if receive_window_size > DEFAULT_WINDOW {
            encode::window_update(out.tail(), StreamId::ZERO, receive_window_size - DEFAULT_WINDOW);
        }
        let limits = &config.limits;
        let mut connection = Connection {
            role,
            now,
            preface: match role {
                Role::Client => Preface::Settings,
                Role::Server => Preface::Magic,
            },
            local,
            peer: PeerSettings::new(),
            decoder: HeaderDecoder::new(
                config.header_table_size.max(DEFAULT_TABLE_SIZE),
                config.max_header_list_size,
                limits.header_list_factor,
            ),
            assembly: None,
            partial_frame: None,
            encoder: Encoder::new(DEFAULT_TABLE_SIZE as usize),
            streams: Streams::new(seed),
            closed: Closed::new(),
            next_id: 1,
            send_window: Window::default(),
            receive_window: ReceiveWindow::default(),
            receive_window_size,
            scheduler: Scheduler::default(),
            queued: 0,
            windows_grown: false,
            events: VecDeque::new(),
            available_queued: false,
            resets: TokenBucket::new(now),
            glitches: TokenBucket::new(now),
            empty_data_run: 0,
            replies: 0,
            unsent: 0,
            unsent_limit: match role {
                Role::Client => usize::MAX,
                Role::Server => limits.unsent_output,
            },
            holds_input: false,
            timers: Timers::default(),
            probe: Probe::new(&config.keepalive, role, now),
            strikes: PingStrikes::default(),
            bdp: config.adaptive_window.then(|| BdpEstimator::new(config.initial_stream_window, now)),
            idle_since: Some(now),
            shutdown: Shutdown::None,
            peer_goaway: None,
            close_reason: None,
            stats: Stats::default(),
            config,
        };
        connection.set_first_timers(seed);
        connection
    }

    /// Cuts whole frames off the front of `input` until one of them yields an event or none is left. The rest is to be
    /// presented again, with what follows it.
    ///
    /// `None` means that more octets are needed, or that the output has to be flushed first
    /// ([`wants_input`](Connection::wants_input)). A closed connection takes everything and yields nothing.
    pub fn handle_input<'a>(
        &mut self,
        now: Instant,
        input: &mut &'a [u8],
        out: &mut WriteBuf,
    ) -> Option<Event<'a>> {
        self.now = now;
        // Few octets can ask for many: what one read has brought is more than there may be answers to.
        while out.len() < self.unsent_limit
            && let Some((frame, rest)) = decode_plain(input, self.local.max_frame_size)
            && self.preface == Preface::Complete
            && self.assembly.is_none()
            && self.close_reason.is_none()
        {
            *input = rest;
            self.partial_frame = None;
            let event = self.handle_plain_frame(frame, out);
            if event.is_some() {
                return event;
            }
        }
        if input.is_empty() { None } else { self.handle_other_input(input, out) }
    }

    /// [`handle_input`](Self::handle_input) from a frame on that is not plain, or not whole, or that comes at a special
    /// time.
    #[inline(never)]
    fn handle_other_input<'a>(&mut self, input: &mut &'a [u8], out: &mut WriteBuf) -> Option<Event<'a>> {
        if self.preface == Preface::Magic && self.close_reason.is_none() {
            cut(input, self.take_magic(input, out));
            if self.preface == Preface::Magic && self.close_reason.is_none() {
                return None;
            }
        }
        while self.close_reason.is_none() {
            if self.hold_input_behind(out) {
                return None;
            }
            let event = match decode(input, self.local.max_frame_size) {
                Ok(Some((frame, len))) => {
                    cut(input, len);
                    self.partial_frame = None;
                    self.handle_frame(frame, out)
                }
                Ok(None) => {
                    if !input.is_empty() {
                        self.watch_partial_frame();
                    }
                    return None;
                }
                Err(error) => {
                    cut(input, error.consumed);
                    self.handle_frame_error(error, out)
                }
            };
            if event.is_some() {
                return event;
            }
        }
        *input = &[];
        None
    }

    /// Takes the client's first 24 octets, or says early that they can't be that.
    fn take_magic(&mut self, input: &[u8], out: &mut WriteBuf) -> usize {
        let len = input.len().min(PREFACE.len());
        if input.get(..len) != PREFACE.get(..len) {
            let is_http_1 = [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"OPTIONS "];
            let is_http_1 = is_http_1.iter().any(|method| input.starts_with(method));
            self.fail(if is_http_1 { violation::HTTP_1 } else { violation::NOT_HTTP_2 }, out);
            return 0;
        }
        if len < PREFACE.len() {
            return 0;
        }
        self.preface = Preface::Settings;
        len
    }

    /// An event that didn't come from input directly. Take them all after each batch of arrivals and commands.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        let event = self.events.pop_front()?;
        if let Event::StreamsAvailable = event {
            self.available_queued = false;
        }
        Some(event)
    }

    /// The next time to call [`handle_timeout`](Connection::handle_timeout). It rarely changes.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Everything that was appended to the output has been written to the socket.
    #[inline]
    pub fn handle_flushed(&mut self) {
        self.unsent = 0;
        self.holds_input = false;
        if std::mem::take(&mut self.replies) > 0 {
            self.timers.clear(Timer::UnreadReplies);
        }
    }

    /// Whether [`poll_event`](Connection::poll_event) or [`poll_output`](Connection::poll_output) have something to do
    /// as soon as the output has been flushed.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.scheduler.is_empty() || self.windows_grown || !self.events.is_empty()
    }

    /// Whether more input should be read. `false` while the peer doesn't read what it has caused: then read again after
    /// [`handle_flushed`](Connection::handle_flushed).
    #[inline]
    pub fn wants_input(&self) -> bool {
        !self.holds_input
    }

    /// To be called when `replies` or `unsent` have changed.
    #[inline]
    fn hold_input(&mut self) {
        self.holds_input =
            self.replies >= self.config.limits.queued_replies || self.unsent >= self.unsent_limit;
    }

    /// Notes how much there is to be written.
    fn note_unsent(&mut self, out: &WriteBuf) {
        self.unsent = out.len();
        self.hold_input();
    }

    /// Has the input wait for a flush if what came before it has led to too much output.
    fn hold_input_behind(&mut self, out: &WriteBuf) -> bool {
        let is_full = out.len() >= self.unsent_limit;
        if is_full {
            self.note_unsent(out);
        }
        is_full
    }

    /// Whether the connection is closed: after a fatal error, or at the end of a graceful shutdown. Flush the output,
    /// half-close, read until the peer closes, too (for a second or so), then close.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.close_reason.is_some()
    }

    /// Why the connection is closed, once it is.
    pub fn close_reason(&self) -> Option<&ConnectionError> {
        self.close_reason.as_deref()
    }

    /// Whether either side has begun to shut the connection down.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.shutdown != Shutdown::None || self.peer_goaway.is_some()
    }

    /// The last GOAWAY that the peer sent.
    pub fn peer_goaway(&self) -> Option<&PeerGoAway> {
        self.peer_goaway.as_deref()
    }

    /// Which side of the connection this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Streams that are open, in either direction.
    #[inline]
    pub fn active_streams(&self) -> usize {
        self.streams.len()
    }

    /// Client: how many streams the server allows at once (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113 §5.1.2). Before
    /// its SETTINGS, what is assumed.
    #[inline]
    pub fn max_concurrent_streams(&self) -> usize {
        self.peer.max_concurrent_streams
    }

    /// Octets of DATA that wait for credit or room, on all streams.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// What has passed through the connection so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The windows of the connection, in octets.
    pub fn flow_control(&self) -> FlowControl {
        FlowControl {
            send: self.send_window.available(DEFAULT_WINDOW),
            receive: self.receive_window.available(self.receive_window_size),
        }
    }

    /// The windows of a stream, in octets, if it is open.
    pub fn stream_flow_control(&self, key: StreamKey) -> Option<FlowControl> {
        let stream = self.streams.get(key)?;
        Some(FlowControl {
            send: stream.send.available(self.peer.initial_window),
            receive: stream.receive.available(self.local.initial_window),
        })
    }

    /// Sets the word that comes with every later event of a stream.
    #[inline]
    pub fn set_token(&mut self, key: StreamKey, token: u32) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.token = token;
        }
    }

    /// Gives memory back that more streams or events have needed than there are now, and what was remembered of header
    /// blocks but for the tables of HPACK. Worth calling when a connection has been idle for some time.
    pub fn shrink(&mut self) {
        self.streams.shrink();
        self.events.shrink_to_fit();
        self.timers.shrink();
        self.decoder.shrink();
        self.encoder.shrink();
    }
}
