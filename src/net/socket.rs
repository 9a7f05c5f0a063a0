//! A connected stream socket: TCP or Unix.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::path::PathBuf;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, SockRef, Type};

use super::Address;
use super::peer::PeerAddress;
#[cfg(test)]
use super::simulation::{Network, WireSocket};

/// A non-blocking connected (or connecting) stream socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// An end of a wire in memory.
    #[cfg(test)]
    Wire(WireSocket),
}

/// The kernel counts this time in milliseconds, as a C `int`.
pub(super) fn set_tcp_user_timeout(socket: SockRef<'_>, timeout: Duration) -> io::Result<()> {
    const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);
    socket.set_tcp_user_timeout(Some(timeout.min(LONGEST)))
}

/// What the owner of an engine may choose for its sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketOptions {
    /// `SO_BUSY_POLL` in microseconds; 0 leaves it as the system has it.
    pub(crate) busy_poll_us: u32,
}

/// Whether this process may set `SO_BUSY_POLL`, found out on a socket of its own.
pub(crate) fn check_busy_poll(microseconds: u32) -> io::Result<()> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_busy_poll(microseconds)
}

impl Socket {
    /// Starts to connect without blocking; the socket becomes writable when that has ended either way.
    pub(crate) fn connect(address: &Address) -> io::Result<Socket> {
        #[cfg(test)]
        if let Some(network) = Network::current() {
            return Ok(Socket::Wire(network.connect(address)));
        }
        match address {
            Address::Tcp(address) => TcpStream::connect(*address).map(Socket::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
            Address::UnixAbstract(name) => {
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(Socket::Unix)
            }
        }
    }

    /// A connection that was made elsewhere.
    pub(crate) fn from_tcp(stream: std::net::TcpStream) -> io::Result<Socket> {
        stream.set_nonblocking(true)?;
        Ok(Socket::Tcp(TcpStream::from_std(stream)))
    }

    /// A connection that was made elsewhere.
    pub(crate) fn from_unix(stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        stream.set_nonblocking(true)?;
        Ok(Socket::Unix(UnixStream::from_std(stream)))
    }

    /// Whether a connect has ended: `Ok(None)` while it is under way.
    pub(crate) fn connected(&self) -> io::Result<Option<PeerAddress>> {
        let error = match self {
            Socket::Tcp(stream) => stream.take_error()?,
            Socket::Unix(stream) => stream.take_error()?,
            #[cfg(test)]
            Socket::Wire(wire) => return wire.connected(),
        };
        if let Some(error) = error {
            return Err(error);
        }
        match self.peer_address() {
            Ok(peer) => Ok(Some(peer)),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn peer_address(&self) -> io::Result<PeerAddress> {
        match self {
            Socket::Tcp(stream) => stream.peer_addr().map(PeerAddress::Tcp),
            Socket::Unix(stream) => {
                stream.peer_addr().map(|peer| PeerAddress::Unix(peer.as_pathname().map(PathBuf::from)))
            }
            #[cfg(test)]
            Socket::Wire(wire) => Ok(wire.peer()),
        }
    }

    /// The address of this end; `None` if the system does not say it.
    pub(crate) fn local_address(&self) -> Option<PeerAddress> {
        match self {
            Socket::Tcp(stream) => stream.local_addr().ok().map(PeerAddress::Tcp),
            Socket::Unix(stream) => {
                let local = stream.local_addr().ok()?;
                Some(PeerAddress::Unix(local.as_pathname().map(PathBuf::from)))
            }
            #[cfg(test)]
            Socket::Wire(_) => None,
        }
    }

    /// Sets the socket's options. Without one of them it is slower, not wrong, so errors are let pass.
    pub(crate) fn configure(&self, options: &SocketOptions) {
        if let Socket::Tcp(stream) = self {
            // Small writes leave at once: the engine coalesces its own output, and Nagle could only delay it.
            let _ = stream.set_nodelay(true);
            if options.busy_poll_us > 0 {
                let _ = SockRef::from(stream).set_busy_poll(options.busy_poll_us);
            }
        }
    }

    /// Has the kernel give up the connection when nothing that was sent is acknowledged for so long, or there is no
    /// room for it at the peer's (TCP_USER_TIMEOUT).
    pub(crate) fn set_user_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => set_tcp_user_timeout(SockRef::from(stream), timeout),
            Socket::Unix(_) => Ok(()),
            #[cfg(test)]
            Socket::Wire(_) => Ok(()),
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
            #[cfg(test)]
            Socket::Wire(wire) => wire.read(buffer),
        }
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(octets),
            Socket::Unix(stream) => stream.write(octets),
            #[cfg(test)]
            Socket::Wire(wire) => wire.write(octets),
        }
    }

    pub(crate) fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write_vectored(octets),
            Socket::Unix(stream) => stream.write_vectored(octets),
            #[cfg(test)]
            Socket::Wire(wire) => wire.write_vectored(octets),
        }
    }

    /// Tells the peer that no more octets come, so that it can read what was sent before the socket is closed.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(test)]
            Socket::Wire(wire) => wire.shutdown_write(),
        }
    }

    /// Registers for both directions at once: the loop is edge-triggered, so this is the only registration ever made.
    pub(crate) fn register(&mut self, registry: &Registry, token: mio::Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match self {
            Socket::Tcp(stream) => stream.register(registry, token, interests),
            Socket::Unix(stream) => stream.register(registry, token, interests),
            #[cfg(test)]
            Socket::Wire(wire) => {
                wire.register(token);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_connection_has_the_busy_poll_of_its_engine() {
        const MICROSECONDS: u32 = 50;
        if let Err(error) = check_busy_poll(MICROSECONDS) {
            // `build` of an engine says so, which a test of the public face checks.
            println!("the system lets nobody look: {error}");
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let Ok(socket) = Socket::from_tcp(listener.accept().unwrap().0) else { panic!("not a socket") };
        let Socket::Tcp(stream) = &socket else { panic!("not TCP") };
        let inherited = SockRef::from(stream).busy_poll().unwrap();
        socket.configure(&SocketOptions::default());
        assert_eq!(SockRef::from(stream).busy_poll().unwrap(), inherited);
        socket.configure(&SocketOptions { busy_poll_us: MICROSECONDS });
        assert_eq!(SockRef::from(stream).busy_poll().unwrap(), MICROSECONDS);
    }
}
