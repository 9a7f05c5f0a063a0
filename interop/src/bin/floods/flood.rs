//! The floods: what each sends, and what has to come of it.

use std::fmt;
use std::time::{Duration, Instant};

use lariat_frame::{ErrorCode, Priority, StreamId, encode, flag, kind, setting};

use crate::hostile::{Frames, Peer};

/// What is sent at once, in octets.
const PIECE: usize = 32 * 1024;
/// Connections of the floods that are many connections.
const MANY: usize = 2_000;
/// What one connection may cost the server in memory, in octets, whatever it does: its windows, quotas and buffers.
const ONE: u64 = 16 << 20;
/// The same with [`DOWNLOADS`] responses, each of which may have a message waiting beyond its quota of 64 KiB.
const ALL_DOWNLOADS: u64 = ONE + DOWNLOADS as u64 * 2 * 64 * 1024;
/// Calls with a response without end: nearly as many as may run at once on a connection.
const DOWNLOADS: usize = 200;
/// The same of [`MANY`] connections that do nothing.
const ALL: u64 = 64 << 20;

/// What a flood led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// GOAWAY with this code and text.
    GoAway(String, String),
    /// The connection goes on.
    Served,
    /// The connection ended without a GOAWAY.
    Closed,
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reaction::GoAway(code, text) => write!(f, "{code} \"{text}\""),
            Reaction::Served => f.write_str("served within its bounds"),
            Reaction::Closed => f.write_str("closed"),
        }
    }
}

/// What has to come of a flood.
pub(crate) enum Expected {
    GoAway(&'static str, &'static str),
    Served,
    /// It reads nothing, so it cannot be told. Which comes first depends on what the kernel takes: either nothing more
    /// is read from it, or the streams it opens nevertheless are refused until there are too many.
    StoppedOrClosed,
}

impl Expected {
    pub(crate) fn is_met_by(&self, reaction: &Reaction) -> bool {
        match (self, reaction) {
            (Expected::GoAway(code, text), Reaction::GoAway(got_code, got_text)) => {
                code == got_code && text == got_text
            }
            (Expected::Served, Reaction::Served) => true,
            (Expected::StoppedOrClosed, Reaction::Served | Reaction::Closed) => true,
            _ => false,
        }
    }
}

/// How a flood is made.
pub(crate) enum Attack {
    /// One connection after the other, each until the server ends it. The first piece of each, then each further one.
    Frames { settings: &'static [(u16, u32)], reads: bool, begin: fn(&mut Frames), go_on: fn(&mut Frames) },
    /// Many connections at once that send this and then nothing, until the server ends the first.
    Idle(fn() -> Vec<u8>),
    /// One connection after the other, each closed at once.
    Churn,
}

pub(crate) struct Flood {
    pub(crate) name: &'static str,
    pub(crate) attack: Attack,
    pub(crate) expected: Expected,
    /// Octets of memory that it may cost.
    pub(crate) bound: u64,
}

impl Flood {
    /// Floods for so long. What came of it, and how many connections it took.
    pub(crate) fn run(&self, address: &str, time: Duration) -> (Reaction, usize) {
        match self.attack {
            Attack::Frames { settings, reads, begin, go_on } => {
                flood_by_frames(address, time, reads, settings, begin, go_on)
            }
            Attack::Idle(octets) => be_idle(address, &octets()),
            Attack::Churn => churn(address, time),
        }
    }
}

fn flood_by_frames(
    address: &str,
    time: Duration,
    reads: bool,
    settings: &[(u16, u32)],
    begin: fn(&mut Frames),
    go_on: fn(&mut Frames),
) -> (Reaction, usize) {
    let until = Instant::now() + time;
    let mut first = None;
    let mut connections = 0;
    while Instant::now() < until {
        let mut peer = Peer::connect(address, reads);
        connections += 1;
        let mut frames = Frames::new(settings);
        begin(&mut frames);
        while peer.send(&frames.octets, until) {
            frames.octets.clear();
            while frames.octets.len() < PIECE {
                let before = frames.octets.len();
                go_on(&mut frames);
                if frames.octets.len() == before {
                    // There is nothing more to send: the flood is what the server sends.
                    std::thread::sleep(Duration::from_millis(1));
                    break;
                }
            }
            peer.read();
            if Instant::now() >= until {
                break;
            }
        }
        first.get_or_insert(reaction(&peer));
    }
    (first.unwrap_or(Reaction::Served), connections)
}

fn reaction(peer: &Peer) -> Reaction {
    match &peer.goaway {
        Some((code, text)) => Reaction::GoAway(code.clone(), text.clone()),
        None if peer.ended => Reaction::Closed,
        None => Reaction::Served,
    }
}

fn be_idle(address: &str, octets: &[u8]) -> (Reaction, usize) {
    // The server's limits of time are ten seconds; its timers and this machine may take some more.
    let until = Instant::now() + Duration::from_secs(15);
    let mut peers: Vec<Peer> = (0..MANY).map(|_| Peer::connect(address, true)).collect();
    for peer in &mut peers {
        peer.send(octets, until);
    }
    while Instant::now() < until && !peers.iter().all(|peer| peer.ended) {
        std::thread::sleep(Duration::from_millis(10));
        peers.iter_mut().for_each(Peer::read);
    }
    let mut reactions: Vec<Reaction> = peers.iter().map(reaction).collect();
    reactions.dedup();
    let odd = reactions.iter().find(|reaction| !matches!(reaction, Reaction::GoAway(..)));
    (odd.or(reactions.first()).cloned().unwrap_or(Reaction::Served), MANY)
}

fn churn(address: &str, time: Duration) -> (Reaction, usize) {
    let until = Instant::now() + time;
    let mut connections = 0;
    while Instant::now() < until {
        let mut peer = Peer::connect(address, false);
        peer.send(&Frames::new(&[]).octets, until);
        connections += 1;
    }
    (Reaction::Served, connections)
}

fn nothing(_: &mut Frames) {}

const CALM: &str = "ENHANCE_YOUR_CALM";
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

pub(crate) const FLOODS: &[Flood] = &[
    Flood {
        name: "rapid reset (CVE-2023-44487)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let block = frames.request("Unary");
                let stream = frames.open(&block, false);
                encode::rst_stream(&mut frames.octets, stream, ErrorCode::CANCEL);
            },
        },
        expected: Expected::GoAway(CALM, "too many resets"),
        bound: ONE,
    },
    Flood {
        name: "the server made to reset (CVE-2025-8671)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let block = frames.request("Unary");
                let stream = frames.open(&block, false);
                encode::window_update(&mut frames.octets, stream, LARGEST_WINDOW);
            },
        },
        expected: Expected::GoAway(CALM, "too many resets"),
        bound: ONE,
    },
    Flood {
        name: "streams without end",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let block = frames.request("Upload");
                frames.open(&block, false);
            },
        },
        expected: Expected::GoAway(CALM, "too many resets"),
        bound: ONE,
    },
    Flood {
        name: "CONTINUATION (CVE-2024-27316)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: begin_block,
            go_on: |frames| encode::continuation(&mut frames.octets, StreamId::new(1), &[], false),
        },
        expected: Expected::GoAway(CALM, "too many CONTINUATION frames"),
        bound: ONE,
    },
    Flood {
        name: "HPACK bomb (CVE-2026-49975)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let mut block = frames.request("Unary");
                // A field of 3,000 octets into the table, then references of an octet each.
                block.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
                block.extend_from_slice(&[b'y'; 3_000]);
                block.extend_from_slice(&[0xbe; 10_000]);
                frames.open(&block, true);
            },
        },
        expected: Expected::GoAway(CALM, "a header list far larger than allowed"),
        bound: ONE,
    },
    Flood {
        name: "PING (CVE-2019-9512)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| encode::ping(&mut frames.octets, false, [7; 8]),
        },
        expected: Expected::GoAway(CALM, "too_many_pings"),
        bound: ONE,
    },
    Flood {
        name: "SETTINGS (CVE-2019-9515)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| encode::settings(&mut frames.octets, &[]),
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ONE,
    },
    Flood {
        name: "SETTINGS, never reading",
        attack: Attack::Frames {
            settings: &[],
            reads: false,
            begin: nothing,
            go_on: |frames| encode::settings(&mut frames.octets, &[]),
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ONE,
    },
    Flood {
        name: "header table resized over and over",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: grant,
            go_on: |frames| {
                for size in [0, 4_096] {
                    encode::settings(&mut frames.octets, &[(setting::HEADER_TABLE_SIZE, size)]);
                }
                let block = frames.request("Unary");
                let stream = frames.open(&block, false);
                frames.data(stream, &[0; 5], true);
            },
        },
        expected: Expected::Served,
        bound: ONE,
    },
    Flood {
        name: "PRIORITY (CVE-2019-9513)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let priority = Priority { exclusive: false, dependency: StreamId::ZERO, weight: 15 };
                let stream = frames.stream();
                encode::priority(&mut frames.octets, stream, priority);
            },
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ONE,
    },
    Flood {
        name: "frames of unknown types",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| encode::frame_header(&mut frames.octets, 0, 0xbe, 0, StreamId::ZERO),
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ONE,
    },
    Flood {
        name: "empty DATA (CVE-2019-9518)",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: begin_upload,
            go_on: |frames| frames.data(StreamId::new(1), &[], false),
        },
        expected: Expected::GoAway(CALM, "too many empty DATA frames in a row"),
        bound: ONE,
    },
    Flood {
        name: "WINDOW_UPDATE",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| encode::window_update(&mut frames.octets, StreamId::ZERO, 1),
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ONE,
    },
    Flood {
        name: "messages of 4 GiB by their prefix",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: nothing,
            go_on: |frames| {
                let block = frames.request("Unary");
                let stream = frames.open(&block, false);
                frames.data(stream, &[0, 0xff, 0xff, 0xff, 0xff], true);
            },
        },
        expected: Expected::Served,
        bound: ONE,
    },
    Flood {
        name: "messages of 4 MiB that never end",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: |frames| {
                for _ in 0..200 {
                    let block = frames.request("Unary");
                    let stream = frames.open(&block, false);
                    frames.data(stream, &[0, 0, 0x40, 0, 0], false);
                }
            },
            go_on: nothing,
        },
        expected: Expected::Served,
        bound: ONE,
    },
    Flood {
        name: "requests that are not gRPC",
        attack: Attack::Frames {
            settings: &[],
            reads: true,
            begin: grant,
            // GET, http, `/`.
            go_on: |frames| {
                frames.open(&[0x82, 0x86, 0x84], true);
            },
        },
        expected: Expected::GoAway(CALM, "too many resets"),
        bound: ONE,
    },
    Flood {
        name: "calls whose answers are never read",
        attack: Attack::Frames {
            settings: &[],
            reads: false,
            begin: grant,
            go_on: |frames| {
                let block = frames.request("Unary");
                let stream = frames.open(&block, false);
                frames.data(stream, b"\0\0\0\x03\xe8", false);
                frames.data(stream, &[1; 1_000], true);
            },
        },
        expected: Expected::StoppedOrClosed,
        bound: ONE,
    },
    Flood {
        name: "long rejections of short requests that are never read",
        attack: Attack::Frames {
            settings: &[],
            reads: false,
            begin: |frames| {
                grant(frames);
                let block = long_path();
                frames.open(&block, true);
            },
            // POST, http, the path, the content type: all of them in the tables.
            go_on: |frames| {
                frames.open(&[0x83, 0x86, 0xbf, 0xbe], true);
            },
        },
        expected: Expected::StoppedOrClosed,
        bound: ONE,
    },
    Flood {
        name: "large responses that are never read",
        attack: Attack::Frames {
            settings: &[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW)],
            reads: false,
            begin: |frames| {
                grant(frames);
                begin_downloads(frames);
            },
            go_on: nothing,
        },
        expected: Expected::Served,
        bound: ALL_DOWNLOADS,
    },
    Flood {
        name: "large responses without window (CVE-2019-9517)",
        attack: Attack::Frames {
            settings: &[(setting::INITIAL_WINDOW_SIZE, 0)],
            reads: true,
            begin: begin_downloads,
            go_on: nothing,
        },
        expected: Expected::Served,
        bound: ALL_DOWNLOADS,
    },
    Flood {
        name: "large responses in windows of one octet (CVE-2019-9511)",
        attack: Attack::Frames {
            settings: &[(setting::INITIAL_WINDOW_SIZE, 1)],
            reads: true,
            begin: begin_downloads,
            go_on: |frames| {
                for stream in (1..400).step_by(2) {
                    encode::window_update(&mut frames.octets, StreamId::new(stream), 1);
                }
            },
        },
        expected: Expected::GoAway(CALM, "too many glitches"),
        bound: ALL_DOWNLOADS,
    },
    Flood { name: "connection churn", attack: Attack::Churn, expected: Expected::Served, bound: ONE },
    Flood {
        name: "2,000 connections that say nothing",
        attack: Attack::Idle(Vec::new),
        expected: Expected::GoAway("PROTOCOL_ERROR", "the peer's SETTINGS didn't come in time"),
        bound: ALL,
    },
    Flood {
        name: "2,000 connections in the middle of a header block",
        attack: Attack::Idle(|| {
            let mut frames = Frames::new(&[]);
            begin_block(&mut frames);
            frames.octets
        }),
        expected: Expected::GoAway("PROTOCOL_ERROR", "a header block wasn't completed in time"),
        bound: ALL,
    },
];

/// As much window for the connection as there may be, so that no answer waits for more.
fn grant(frames: &mut Frames) {
    encode::window_update(&mut frames.octets, StreamId::ZERO, LARGEST_WINDOW - 65_535);
}

/// A request whose path nearly fills the table, which keeps it, and which is three times as long percent-encoded.
fn long_path() -> Vec<u8> {
    // POST, http; a literal `:path` to be indexed, of 1 + 3,849 octets, whose length takes three.
    let mut block = vec![0x83, 0x86, 0x44, 0x7f, 0x8b, 0x1d, b'/'];
    block.extend_from_slice(&[b'%'; 3_847]);
    block.extend_from_slice(b"/%");
    // A literal `content-type` to be indexed.
    block.extend_from_slice(&[0x5f, 16]);
    block.extend_from_slice(b"application/grpc");
    block
}

/// HEADERS that CONTINUATION has to follow.
fn begin_block(frames: &mut Frames) {
    let block = frames.request("Unary");
    let stream = frames.stream();
    encode::frame_header(&mut frames.octets, block.len(), kind::HEADERS, flag::END_STREAM, stream);
    frames.octets.extend_from_slice(&block);
}

fn begin_upload(frames: &mut Frames) {
    let block = frames.request("Upload");
    frames.open(&block, false);
}

fn begin_downloads(frames: &mut Frames) {
    for _ in 0..DOWNLOADS {
        let block = frames.request("Download");
        let stream = frames.open(&block, false);
        frames.data(stream, &[0; 5], true);
    }
}
