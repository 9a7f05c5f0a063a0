//! A wire between two sockets: segments on their way in each direction, and what can befall them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use super::Random;
use super::network::Network;
use crate::net::connection::Edge;
use crate::net::peer::PeerAddress;

/// Octets that a socket takes before the other end has read any: small, so that writers often have to wait.
const CAPACITY: usize = 48 * 1024;

/// How the wires of a network treat what is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Each segment takes up to this long, and never overtakes another.
    pub(crate) latency: Duration,
    /// A write is cut into segments of up to this many octets.
    pub(crate) segment: usize,
    /// One write in so many is cut short, as by a full buffer.
    pub(crate) short_write: u64,
}

impl Weather {
    /// Everything arrives at once and whole.
    pub(crate) const CALM: Weather =
        Weather { latency: Duration::from_micros(10), segment: usize::MAX, short_write: u64::MAX };
}

/// What happens when so many octets have been sent over a wire in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Of the wires of a network, in the order of their connects.
    pub(crate) wire: usize,
    /// Whether octets of the end that connected are counted, or those of the other.
    pub(crate) of_client: bool,
    pub(crate) offset: u64,
    pub(crate) blow: Blow,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Both ends find the connection reset; what was on its way is lost.
    Reset,
    /// The receiver sees the end of the stream behind the octets up to the fault, as if the sender had died in order.
    Truncate,
    /// Nothing arrives any more in this direction, and nobody is told.
    Stall,
    /// What follows arrives late.
    Delay(Duration),
}

/// One end of a wire, as the loop's socket.
#[derive(Debug)]
pub(crate) struct WireSocket {
    pub(super) network: Network,
    pub(super) wire: usize,
    /// 0 connected, 1 accepted.
    pub(super) end: usize,
}

/// A listening socket of a network.
#[derive(Debug)]
pub(crate) struct WireListener {
    pub(super) network: Network,
    pub(super) index: usize,
}

#[derive(Debug)]
pub(super) struct Wire {
    /// When the connect is done; later than that both ends are up.
    pub(super) connected: Option<Instant>,
    pub(super) refused: bool,
    pub(super) ends: [End; 2],
    pub(super) fault: Option<Fault>,
}

/// One end: what is on its way to it, and what it knows.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The loop and the token under which the socket is registered.
    pub(super) registered: Option<(usize, mio::Token)>,
    on_the_way: VecDeque<(Instant, Arrival)>,
    arrived: VecDeque<u8>,
    /// Octets on the way and arrived.
    outstanding: usize,
    /// The other end's FIN has arrived.
    ended: bool,
    broken: bool,
    /// Nothing that is sent to this end arrives any more.
    stalled: bool,
    write_shut: bool,
    closed: bool,
    /// A write was cut short: room has to be told.
    wants_room: bool,
    /// Octets that this end has sent in all.
    sent: u64,
    pub(super) edge: Edge,
}

#[derive(Debug)]
enum Arrival {
    Octets(Vec<u8>),
    End,
    Reset,
    /// Room for a write that was cut short although there was some.
    Room,
}

impl Wire {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        Wire { connected: None, refused: false, ends: [End::default(), End::default()], fault }
    }

    /// Octets that the end has sent in all.
    pub(super) fn sent(&self, end: usize) -> u64 {
        self.ends[end].sent
    }

    /// When something arrives next.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        let fronts = self.ends.iter().filter_map(|end| end.on_the_way.front().map(|(time, _)| *time));
        fronts.chain(self.connected.filter(|_| self.ends[0].registered.is_some())).min()
    }

    /// Lets everything arrive whose time has come.
    pub(super) fn advance(&mut self, now: Instant) {
        for index in [0, 1] {
            let end = &mut self.ends[index];
            while end.on_the_way.front().is_some_and(|(time, _)| *time <= now) {
                let Some((_, arrival)) = end.on_the_way.pop_front() else { break };
                end.take(arrival);
            }
        }
    }

    fn write(
        &mut self,
        from: usize,
        octets: &[u8],
        now: Instant,
        weather: &Weather,
        random: &mut Random,
    ) -> io::Result<usize> {
        let end = &self.ends[from];
        if end.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if end.write_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY.saturating_sub(self.ends[1 - from].outstanding);
        let mut count = octets.len().min(room);
        let cut = count > 1 && random.once_in(weather.short_write);
        if cut {
            count = 1 + random.below(count as u64 - 1) as usize;
        }
        if count < octets.len() {
            self.ends[from].wants_room = true;
            if count < room {
                let soon = now + Duration::from_micros(1 + random.below(100));
                self.ends[from].put(soon, Arrival::Room);
            }
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        let mut rest = &octets[..count];
        while !rest.is_empty() {
            let (segment, behind) =
                rest.split_at(rest.len().min(1 + random.below(weather.segment as u64) as usize));
            self.send(from, segment, now + latency(weather, random), random);
            rest = behind;
        }
        Ok(count)
    }

    /// Sends one segment, or as much of it as a fault lets through.
    fn send(&mut self, from: usize, segment: &[u8], arrives: Instant, random: &mut Random) {
        let sent = self.ends[from].sent;
        self.ends[from].sent += segment.len() as u64;
        let due = self.fault.filter(|fault| {
            fault.of_client == (from == 0) && (sent..sent + segment.len() as u64).contains(&fault.offset)
        });
        let Some(fault) = due else { return self.deliver(from, segment, arrives) };
        self.fault = None;
        let (before, after) = segment.split_at((fault.offset - sent) as usize);
        match fault.blow {
            Blow::Reset => {
                self.deliver(from, before, arrives);
                for end in &mut self.ends {
                    if random.once_in(2) {
                        end.clear();
                    }
                    end.put(arrives, Arrival::Reset);
                    end.stalled = true;
                }
            }
            Blow::Truncate => {
                self.deliver(from, before, arrives);
                self.ends[1 - from].put(arrives, Arrival::End);
                self.ends[1 - from].stalled = true;
                self.ends[from].put(arrives, Arrival::Reset);
            }
            Blow::Stall => {
                self.deliver(from, before, arrives);
                self.ends[1 - from].stalled = true;
            }
            Blow::Delay(time) => {
                self.deliver(from, before, arrives);
                self.deliver(from, after, arrives + time);
            }
        }
    }

    fn deliver(&mut self, from: usize, octets: &[u8], arrives: Instant) {
        let to = &mut self.ends[1 - from];
        if to.stalled {
            return;
        }
        if to.closed {
            // Nobody is there any more: the kernel answers with RST.
            self.ends[from].put(arrives, Arrival::Reset);
        } else if !octets.is_empty() {
            to.put(arrives, Arrival::Octets(octets.to_vec()));
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let end = &mut self.ends[index];
        if end.arrived.is_empty() {
            return match (end.broken, end.ended) {
                (true, _) => Err(ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(ErrorKind::WouldBlock.into()),
            };
        }
        end.arrived.make_contiguous();
        let count = io::Read::read(&mut end.arrived, buffer)?;
        end.outstanding -= count;
        let writer = &mut self.ends[1 - index];
        if std::mem::take(&mut writer.wants_room) {
            writer.edge.writable = true;
        }
        Ok(count)
    }

    fn shut_write(&mut self, index: usize, arrives: Instant) {
        if !std::mem::replace(&mut self.ends[index].write_shut, true) && !self.ends[1 - index].stalled {
            self.ends[1 - index].put(arrives, Arrival::End);
        }
    }

    fn close(&mut self, index: usize, arrives: Instant) {
        let end = &mut self.ends[index];
        end.closed = true;
        end.registered = None;
        // As the kernel does: closing with unread octets resets.
        let is_unread = end.outstanding > 0;
        end.clear();
        end.arrived.clear();
        if is_unread && !self.ends[1 - index].stalled {
            self.ends[1 - index].put(arrives, Arrival::Reset);
        } else {
            self.shut_write(index, arrives);
        }
    }
}

impl End {
    fn put(&mut self, time: Instant, arrival: Arrival) {
        if self.closed {
            return;
        }
        // Nothing overtakes on a wire.
        if let Arrival::Octets(octets) = &arrival {
            self.outstanding += octets.len();
        }
        let time = self.on_the_way.back().map_or(time, |(last, _)| time.max(*last));
        self.on_the_way.push_back((time, arrival));
    }

    /// Loses what is on its way.
    fn clear(&mut self) {
        self.on_the_way.clear();
        self.outstanding = self.arrived.len();
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Octets(octets) => {
                self.arrived.extend(octets);
                self.edge.readable = true;
            }
            Arrival::End => {
                self.ended = true;
                self.edge.readable = true;
                self.edge.read_closed = true;
            }
            Arrival::Reset => {
                self.broken = true;
                self.edge = Edge { readable: true, read_closed: true, writable: true };
            }
            Arrival::Room => {
                if std::mem::take(&mut self.wants_room) {
                    self.edge.writable = true;
                }
            }
        }
    }
}

fn latency(weather: &Weather, random: &mut Random) -> Duration {
    Duration::from_nanos(1 + random.below(weather.latency.as_nanos() as u64))
}

impl WireSocket {
    pub(crate) fn connected(&self) -> io::Result<Option<PeerAddress>> {
        self.network.with(|state| {
            let wire = &state.wires[self.wire];
            if wire.refused {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            Ok(wire.connected.is_none_or(|time| time <= state.now).then(|| self.peer()))
        })
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        PeerAddress::Tcp(([127, 0, 0, 1], 1024 + self.wire as u16).into())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.with(|state| {
            let count = state.wires[self.wire].read(self.end, buffer)?;
            state.note(self.end, false, buffer, count);
            Ok(count)
        })
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(octets)])
    }

    pub(crate) fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut all = Vec::new();
        for slice in octets {
            all.extend_from_slice(slice);
            // There is no room for more, so that the write will be cut short.
            if all.len() > CAPACITY {
                break;
            }
        }
        self.network.with(|state| {
            let wire = &mut state.wires[self.wire];
            let written = wire.write(self.end, &all, state.now, &state.weather, &mut state.random)?;
            let mut left = written;
            for slice in octets {
                let count = left.min(slice.len());
                state.note(self.end, true, slice, count);
                left -= count;
            }
            Ok(written)
        })
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.network.with(|state| {
            let arrives = state.now + latency(&state.weather, &mut state.random);
            state.wires[self.wire].shut_write(self.end, arrives);
        });
        Ok(())
    }

    pub(crate) fn register(&mut self, token: mio::Token) {
        self.network.with(|state| {
            let host = state.host;
            state.wires[self.wire].ends[self.end].registered = Some((host, token));
            // What has arrived before is an edge, too.
            let end = &mut state.wires[self.wire].ends[self.end];
            end.edge.readable |= !end.arrived.is_empty() || end.ended || end.broken;
        });
    }
}

impl Drop for WireSocket {
    fn drop(&mut self) {
        self.network.with(|state| {
            let arrives = state.now + latency(&state.weather, &mut state.random);
            state.wires[self.wire].close(self.end, arrives);
        });
    }
}

impl WireListener {
    pub(crate) fn register(&mut self, token: mio::Token) {
        self.network.with(|state| {
            let host = state.host;
            state.listeners[self.index].registered = Some((host, token));
        });
    }

    pub(crate) fn accept(&self) -> io::Result<(WireSocket, PeerAddress)> {
        let wire = self.network.with(|state| match state.accepts_fail {
            true => Err(io::Error::other("too many open files")),
            false => Ok(state.listeners[self.index].backlog.pop_front()),
        })?;
        let Some(wire) = wire else { return Err(ErrorKind::WouldBlock.into()) };
        let socket = WireSocket { network: self.network.clone(), wire, end: 1 };
        let peer = socket.peer();
        Ok((socket, peer))
    }
}

impl Drop for WireListener {
    fn drop(&mut self) {
        self.network.with(|state| state.listeners[self.index].closed = true);
    }
}
