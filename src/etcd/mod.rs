//! Backends that are found, and servers that are registered, in etcd.
//!
//! A server that can be reached under the name `greeter` has an entry `greeter/<address>`, whose value is JSON as
//! etcd's own Go package `endpoints` writes it, so that both may share a cluster. The entry hangs on a lease: when the
//! server is gone without a word, etcd deletes it.
//!
//! A [`Registration`] puts such an entry and keeps it. A channel with the target `etcd:///greeter` follows the
//! entries: it reads them all, then watches for changes, and begins anew when etcd has been away, or has forgotten
//! (compacted) the changes in between.
//!
//! ```no_run
//! use lariat::etcd::{Entry, Etcd};
//! use lariat::{Channel, Server, Wait};
//!
//! let etcd = Etcd::new(["10.0.0.1:2379", "10.0.0.2:2379"]).plaintext();
//!
//! // The server's side.
//! let server = Server::builder().plaintext().bind("10.0.0.7:50051")?;
//! let registration = etcd.register("greeter", Entry::new(server.local_address().to_string()))?;
//!
//! // The client's.
//! let channel = Channel::builder("etcd:///greeter")
//!     .resolver(etcd)
//!     .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
//!     .plaintext()
//!     .build()?;
//!
//! // When the server is to stop: clients leave it before it leaves them.
//! registration.deregister().wait()?;
//! server.graceful_stop(std::time::Duration::from_secs(10)).wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The API of etcd is spoken by Lariat's own client (`etcdserverpb` over a channel for each member of the cluster); the
//! next member is asked when one fails. Host names in entries are looked up when entries change, and when a connection
//! is lost.

mod api;
mod backends;
mod client;
mod cluster;
mod entry;
#[doc(hidden)]
pub mod fuzz;
mod registration;
mod resolver;

pub use cluster::Etcd;
pub use entry::{Entry, EntryError};
pub use registration::Registration;

use crate::client::backoff::{Backoff, BackoffConfig};
use crate::client::random::Xorshift;
use crate::engine::sleep;
use crate::net::seed;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The waits between attempts to reach etcd, here and of the channels to its members. They stay short, since whoever
/// waits wants to know of backends that have come or gone.
const BACKOFF: BackoffConfig = BackoffConfig {
    base_delay: Duration::from_millis(100),
    multiplier: 1.6,
    jitter: 0.2,
    max_delay: Duration::from_secs(1),
};

/// The pauses between attempts.
struct Pauses {
    backoff: Backoff,
    random: Xorshift,
}

impl Pauses {
    fn new() -> Self {
        Pauses { backoff: Backoff::new(BACKOFF), random: Xorshift::new(seed()) }
    }

    /// Something has failed: waits for longer each time.
    async fn pause(&mut self) {
        sleep(self.backoff.next_delay(&mut self.random)).await;
    }

    fn reset(&mut self) {
        self.backoff.reset();
    }
}

/// What the future is ready with, or `None` if `stop` is ready first.
async fn unless<T>(stop: impl Future<Output = ()>, future: impl Future<Output = T>) -> Option<T> {
    let (mut stop, mut future) = (pin!(stop), pin!(future));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Where the keys of a prefix end: the least key that is larger than all that begin with it, as etcd's ranges want it.
fn range_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // No key is larger: a single zero octet means without end.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Wait;

    #[test]
    fn a_range_ends_behind_the_last_key_with_its_prefix() {
        assert_eq!(range_end(b"greeter/"), b"greeter0");
        assert_eq!(range_end(b"a\xff\xff"), b"b");
        assert_eq!(range_end(b"\xff\xff"), [0]);
        assert_eq!(range_end(b""), [0]);
    }

    #[test]
    fn whichever_future_is_ready_first_counts() {
        let never = || std::future::pending::<()>();
        assert_eq!(unless(never(), std::future::ready(1)).wait(), Some(1));
        assert_eq!(unless(std::future::ready(()), std::future::pending::<u8>()).wait(), None);
    }
}
