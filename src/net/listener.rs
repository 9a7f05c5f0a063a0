//! A listening socket on a loop: accepts, backs off when it cannot, and places connections on loops.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::address::Address;
use super::mailbox::{ListenerId, LoopHandle};
use super::peer::PeerAddress;
use super::security::Security;
use super::session::Session;
#[cfg(test)]
use super::simulation::{Network, WireListener};
use super::socket::{Socket, set_tcp_user_timeout};

/// Connections that the kernel completes and holds until they are accepted: what a burst of clients may need.
const BACKLOG: i32 = 4096;
/// The first pause after a failed accept, doubled up to [`MAX_BACKOFF`]. Out of descriptors, accepting at once again
/// would spin; the values are grpc-go's and C-core's.
const MIN_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Accepts before other sockets of the loop get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Makes the session of an accepted connection and says what secures it, or refuses it.
pub(crate) trait SessionFactory: Send + Sync {
    fn accept(&self, peer: &PeerAddress) -> Option<(Box<dyn Session>, Security)>;
    /// Accepting failed, for lack of descriptors or memory; it is tried again after a pause.
    fn handle_accept_error(&self, error: &io::Error);
}

/// The loops among which accepted connections are spread.
pub(crate) type Place = Arc<[LoopHandle]>;

/// A socket that is bound and listens, not yet on a loop.
pub(crate) struct BoundListener {
    kind: Kind,
    address: Address,
    place: Place,
    factory: Arc<dyn SessionFactory>,
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// A listener of a simulation.
    #[cfg(test)]
    Wire(WireListener),
}

impl BoundListener {
    /// Binds and listens. A stale Unix socket file of a server that is gone is replaced.
    pub(crate) fn bind(
        address: &Address,
        place: Place,
        factory: Arc<dyn SessionFactory>,
    ) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(network) = Network::current() {
            let kind = Kind::Wire(network.listen(address));
            return Ok(BoundListener { kind, address: address.clone(), place, factory });
        }
        let kind = match address {
            Address::Tcp(address) => {
                let socket =
                    socket2::Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_reuse_address(true)?;
                if address.is_ipv6() {
                    // "[::]" serves IPv4 too, whatever the system's default is; on other addresses it has no effect.
                    socket.set_only_v6(false)?;
                }
                socket.bind(&(*address).into())?;
                socket.listen(BACKLOG)?;
                socket.set_nonblocking(true)?;
                Kind::Tcp(TcpListener::from_std(socket.into()))
            }
            Address::Unix(path) => {
                remove_stale_socket(path);
                Kind::Unix(UnixListener::from_std(listen_unix(&SockAddr::unix(path)?)?))
            }
            Address::UnixAbstract(name) => {
                let listener =
                    StdUnixListener::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
                listener.set_nonblocking(true)?;
                Kind::Unix(UnixListener::from_std(listener))
            }
        };
        let address = match &kind {
            Kind::Tcp(listener) => Address::Tcp(listener.local_addr()?),
            Kind::Unix(_) => address.clone(),
            #[cfg(test)]
            Kind::Wire(_) => address.clone(),
        };
        Ok(BoundListener { kind, address, place, factory })
    }

    /// Has the kernel give up connections on which nothing that was sent is acknowledged for so long, or that have no
    /// room for it (TCP_USER_TIMEOUT). Those that are accepted inherit it.
    pub(crate) fn set_user_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(listener) => set_tcp_user_timeout(SockRef::from(listener), timeout),
            Kind::Unix(_) => Ok(()),
            #[cfg(test)]
            Kind::Wire(_) => Ok(()),
        }
    }

    /// Where it listens; with port 0 asked for, the port that the system chose.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Debug for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundListener({})", self.address)
    }
}

fn listen_unix(address: &SockAddr) -> io::Result<StdUnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(StdUnixListener::from(OwnedFd::from(socket)))
}

/// A socket file outlives its server. Nobody answering on it means that it may be replaced.
fn remove_stale_socket(path: &std::path::Path) {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(refused) {
        // If it cannot be removed, `bind` fails next and says why.
        let _ = std::fs::remove_file(path);
    }
}

/// A listener on its loop.
pub(super) struct Listener {
    pub(super) id: ListenerId,
    bound: BoundListener,
    backoff: Duration,
    /// Accepting has failed and its pause is not over.
    paused: bool,
    next_loop: usize,
}

/// How a round of accepting ended.
pub(super) enum Accepted {
    /// Nobody waits any more.
    All,
    /// More may wait: come back after the other sockets.
    More,
    /// The system is out of something: [`resume`](Listener::resume) after this pause.
    Pause(Duration),
    /// The pause is not over.
    Paused,
}

impl Listener {
    pub(super) fn new(id: ListenerId, bound: BoundListener) -> Self {
        Listener { id, bound, backoff: MIN_BACKOFF, paused: false, next_loop: 0 }
    }

    pub(super) fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        match &mut self.bound.kind {
            Kind::Tcp(listener) => listener.register(registry, token, mio::Interest::READABLE),
            Kind::Unix(listener) => listener.register(registry, token, mio::Interest::READABLE),
            #[cfg(test)]
            Kind::Wire(listener) => {
                listener.register(token);
                Ok(())
            }
        }
    }

    /// The pause is over.
    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn accept(&mut self) -> Accepted {
        if self.paused {
            // Each connection that comes meanwhile raises an edge.
            return Accepted::Paused;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            match self.accept_one() {
                Ok((socket, peer)) => {
                    self.backoff = MIN_BACKOFF;
                    // A refused connection is closed by the drop of its socket.
                    if let Some((session, security)) = self.bound.factory.accept(&peer) {
                        self.choose_loop().adopt(socket, peer, session, security);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::All,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    self.bound.factory.handle_accept_error(&error);
                    self.paused = true;
                    let pause = self.backoff;
                    self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
                    return Accepted::Pause(pause);
                }
            }
        }
        Accepted::More
    }

    fn accept_one(&self) -> io::Result<(Socket, PeerAddress)> {
        match &self.bound.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Socket::Tcp(stream), PeerAddress::Tcp(peer)))
            }
            Kind::Unix(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Socket::Unix(stream), PeerAddress::Unix(peer.as_pathname().map(Into::into))))
            }
            #[cfg(test)]
            Kind::Wire(listener) => {
                let (socket, peer) = listener.accept()?;
                Ok((Socket::Wire(socket), peer))
            }
        }
    }

    /// The loop with the fewest connections; among equals, in turn.
    fn choose_loop(&mut self) -> &LoopHandle {
        let loops = &self.bound.place;
        let count = loops.len();
        let first = self.next_loop;
        self.next_loop = (first + 1) % count;
        let best =
            (0..count).map(|i| (first + i) % count).min_by_key(|&i| loops[i].connections()).unwrap_or(first);
        &loops[best]
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.bound.address {
            // The file names a socket that nobody serves any more; a leftover is replaced by the next server anyway.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::EventLoop;
    use super::super::simulation::Weather;
    use super::*;

    /// Refuses every connection, and counts them.
    #[derive(Default)]
    struct Refuse {
        refused: AtomicUsize,
        failed: AtomicUsize,
    }

    impl SessionFactory for Refuse {
        fn accept(&self, _peer: &PeerAddress) -> Option<(Box<dyn Session>, Security)> {
            self.refused.fetch_add(1, Ordering::Relaxed);
            None
        }

        fn handle_accept_error(&self, _error: &io::Error) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn listener(factory: Arc<dyn SessionFactory>) -> Listener {
        let (_, handle) = EventLoop::new(Default::default()).unwrap();
        let address = Address::parse_listen("127.0.0.1:0").unwrap();
        let bound = BoundListener::bind(&address, Arc::new([handle]), factory).unwrap();
        Listener::new(ListenerId::next(), bound)
    }

    #[test]
    fn other_sockets_get_their_turn_after_some_accepts() {
        let factory = Arc::new(Refuse::default());
        let mut listener = listener(factory.clone());
        let address = listener.bound.address().to_string();
        let connections = ACCEPTS_PER_TURN + 1;
        let clients: Vec<_> = (0..connections).map(|_| TcpStream::connect(&address).unwrap()).collect();
        assert!(matches!(listener.accept(), Accepted::More));
        assert_eq!(factory.refused.load(Ordering::Relaxed), ACCEPTS_PER_TURN);
        assert!(matches!(listener.accept(), Accepted::All));
        assert_eq!(factory.refused.load(Ordering::Relaxed), connections);
        drop(clients);
    }

    #[test]
    fn a_pause_is_kept_however_many_connections_come() {
        let network = Network::new(1, Weather::CALM, Vec::new());
        let _entered = network.enter();
        network.set_accepts_fail(true);
        let (mut event_loop, handle) = EventLoop::new(Default::default()).unwrap();
        let address = Address::parse_listen("127.0.0.1:1").unwrap();
        let factory = Arc::new(Refuse::default());
        let place: Place = Arc::new([handle.clone()]);
        let bound = BoundListener::bind(&address, place, factory.clone()).unwrap();
        handle.listen(ListenerId::next(), bound);
        let clients: Vec<_> = (0..1_000)
            .map(|_| {
                network.run_for(&mut [&mut event_loop], Duration::from_millis(10));
                network.connect(&address)
            })
            .collect();
        // 5 ms, then twice as long each time: 8 pauses in the first 1.3 seconds, and one in each second after that.
        let failed = factory.failed.load(Ordering::Relaxed);
        assert!((16..=18).contains(&failed), "{failed}");
        network.set_accepts_fail(false);
        network.run_for(&mut [&mut event_loop], MAX_BACKOFF);
        assert_eq!(factory.refused.load(Ordering::Relaxed), clients.len());
    }

    #[test]
    fn accepted_connections_inherit_the_time_after_which_the_kernel_gives_them_up() {
        let listener = listener(Arc::new(Refuse::default()));
        let timeout = Duration::from_secs(20);
        listener.bound.set_user_timeout(timeout).unwrap();
        let _client = TcpStream::connect(listener.bound.address().to_string()).unwrap();
        let Ok((Socket::Tcp(accepted), _)) = listener.accept_one() else { panic!() };
        assert_eq!(SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(timeout));
    }
}
