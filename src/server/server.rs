//! `Server`: a server that runs, where it listens, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use super::builder::ServerBuilder;
use super::session::Acceptor;
use super::shared::Shared;
use super::shutdown::{GracefulStop, Phase, Stopped};
use super::stats::ServerStats;
use crate::Error;
use crate::call::Wait;
use crate::engine::Engine;
use crate::net::{Address, BoundListener, ListenerId, on_event_loop};

/// A running gRPC server. Dropping it stops it, as [`stop`](Server::stop) does.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    shared: Arc<Shared>,
    listeners: Vec<(ListenerId, Address)>,
}

impl Server {
    pub(super) fn new(engine: Engine, shared: Arc<Shared>) -> Self {
        Server { engine, shared, listeners: Vec::new() }
    }

    /// A builder with grpc-go's defaults, except where a limit guards against hostile clients.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where the server listens; with port 0 asked for, the port that the system chose.
    pub fn local_address(&self) -> &Address {
        &self.listeners[0].1
    }

    /// Listens at a further address.
    ///
    /// # Errors
    ///
    /// When the address cannot be read, or the system refuses it.
    pub fn listen(&mut self, address: &str) -> Result<&Address, Error> {
        self.listen_address(&Address::parse_listen(address)?)
    }

    pub(super) fn listen_address(&mut self, address: &Address) -> Result<&Address, Error> {
        let acceptor = Arc::new(Acceptor::new(Arc::clone(&self.shared)));
        let bound = BoundListener::bind(address, self.engine.place(), acceptor)
            .and_then(|bound| bound.set_user_timeout(self.shared.http2.keepalive.timeout).map(|()| bound))
            .map_err(|error| Error::Bind { address: address.clone(), error })?;
        let id = ListenerId::next();
        self.listeners.push((id, bound.address().clone()));
        self.engine.choose_loop().listen(id, bound);
        Ok(&self.listeners[self.listeners.len() - 1].1)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.sessions.len()
    }

    /// What was refused so far, and why connections ended.
    pub fn stats(&self) -> ServerStats {
        self.shared.counters.snapshot()
    }

    /// Stops gracefully: no new connections, no new calls, and those under way may finish. What is still running after
    /// `limit` is cut off. The returned future is true if nothing was.
    pub fn graceful_stop(&self, limit: Duration) -> GracefulStop {
        self.close_listeners();
        GracefulStop::new(Arc::clone(&self.shared.sessions), limit)
    }

    /// Stops at once: listeners and connections are closed, handlers dropped; clients see UNAVAILABLE.
    pub fn stop(&self) -> Stopped {
        self.close_listeners();
        self.shared.sessions.enter(Phase::Stopped);
        self.stopped()
    }

    /// Ready when the server was stopped and its last connection is gone.
    pub fn stopped(&self) -> Stopped {
        Stopped { sessions: Arc::clone(&self.shared.sessions) }
    }

    /// Blocks until the server is stopped.
    pub(super) fn run(&self) {
        if self.engine.is_current_thread() {
            self.engine.block_on(self.stopped());
        } else {
            self.stopped().wait();
        }
    }

    fn close_listeners(&self) {
        for handle in self.engine.place().iter() {
            self.listeners.iter().for_each(|(id, _)| handle.close_listener(*id));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.stop();
        if !on_event_loop() && !self.engine.is_current_thread() {
            stopped.wait();
        }
    }
}
