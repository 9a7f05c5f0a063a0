//! [`CallObserver`]: learns how the calls ended that a picker sent somewhere.

use std::sync::Arc;

use crate::rpc::{Code, LoadReport, Metadata};

/// Is told how calls ended. One observer may serve many calls, at the same time and on any thread; it must return at
/// once.
pub trait CallObserver: Send + Sync {
    /// A call that was picked with this observer has ended, or did not begin. Told once for each such pick.
    fn handle_end(&self, end: &CallEnd<'_>);
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// The code of its outcome. `None`: the call was not sent where the picker wanted it, and is picked for again.
    pub code: Option<Code>,
    /// What came with the status, if that came from the server.
    pub trailers: Option<&'a Metadata>,
    /// The octets of request messages, as framed and compressed, that were handed to the connection.
    pub octets_sent: u64,
    /// The octets of response messages, as framed and compressed, that came.
    pub octets_received: u64,
}

impl<'a> CallEnd<'a> {
    /// A call that ended with this code and these trailers, and without messages.
    pub fn new(code: Code, trailers: Option<&'a Metadata>) -> Self {
        CallEnd { code: Some(code), trailers, ..CallEnd::UNSENT }
    }

    /// A call that was not sent.
    pub const UNSENT: CallEnd<'static> =
        CallEnd { code: None, trailers: None, octets_sent: 0, octets_received: 0 };

    /// What the server said of its load, in the trailer `endpoint-load-metrics-bin` (gRFC A64). Read when asked for.
    pub fn load_report(&self) -> Option<LoadReport> {
        LoadReport::of_trailers(self.trailers?)
    }
}

/// Tells two observers.
pub(super) struct Both(pub(super) Arc<dyn CallObserver>, pub(super) Arc<dyn CallObserver>);

impl CallObserver for Both {
    fn handle_end(&self, end: &CallEnd<'_>) {
        self.0.handle_end(end);
        self.1.handle_end(end);
    }
}
