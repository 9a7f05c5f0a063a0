//! [`Registration`]: a server's entry in etcd, kept there.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::api::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use super::cluster::Members;
use super::{Pauses, unless};
use crate::call::{CancellationToken, Inbound};
use crate::engine::{sleep, spawn};
use crate::rpc::{Code, Status};

/// A server's entry in etcd. It stays there as long as this is kept, also when etcd was away or has lost it meanwhile.
///
/// Dropping it deletes the entry in the background. A process that ends at once may not get to that: the entry then
/// stays until its lease is over. [`deregister`](Registration::deregister) waits.
#[must_use = "the server is deregistered when this is dropped"]
pub struct Registration {
    shared: Arc<Shared>,
    token: CancellationToken,
}

/// What the registration and the future that keeps it share.
struct Shared {
    state: Mutex<State>,
    key: String,
    value: String,
    ttl: Duration,
}

struct State {
    phase: Phase,
    /// Which lease the entry hangs on, and how many failures there were before: they tell which member granted it.
    lease: Option<(i64, usize)>,
    waiting: Vec<Waker>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Not registered, for this reason if it was tried.
    Trying(Option<Status>),
    Registered,
    /// Deregistered, or not, since etcd could not be asked.
    Ended(Result<(), Status>),
}

impl Registration {
    pub(super) fn start(members: Members, key: String, value: String, ttl: Duration) -> Self {
        let state = State { phase: Phase::Trying(None), lease: None, waiting: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), key, value, ttl });
        let token = CancellationToken::new();
        let handle = members.engine.choose_loop();
        spawn(&handle, Arc::clone(&shared).run(members, token.clone()));
        Registration { shared, token }
    }

    /// The key of the entry.
    pub fn key(&self) -> &str {
        &self.shared.key
    }

    /// Waits until the entry is in etcd, however often that takes.
    pub async fn registered(&self) {
        self.shared.wait(|phase| matches!(phase, Phase::Registered).then_some(())).await;
    }

    /// Why the entry may not be in etcd at the moment: the last attempt's failure. `None` if it is there, or has not
    /// been tried yet.
    pub fn failure(&self) -> Option<Status> {
        match &self.shared.lock().phase {
            Phase::Trying(failure) => failure.clone(),
            Phase::Registered | Phase::Ended(_) => None,
        }
    }

    /// Deletes the entry. Clients learn of it as soon as they see the change; a server should end some time after.
    ///
    /// # Errors
    ///
    /// When etcd has not confirmed it within 5 s. The entry then stays until its lease is over.
    pub async fn deregister(self) -> Result<(), Status> {
        self.token.cancel();
        let ended = |phase: &Phase| match phase {
            Phase::Ended(result) => Some(result.clone()),
            _ => None,
        };
        self.shared.wait(ended).await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.shared.lock().phase.clone();
        f.debug_struct("Registration").field("key", &self.shared.key).field("phase", &phase).finish()
    }
}

impl Shared {
    async fn run(self: Arc<Self>, members: Members, token: CancellationToken) {
        unless(token.cancelled(), self.keep(&members)).await;
        let lease = self.lock().lease.take();
        let result = match lease {
            // The entry goes with it.
            Some((id, failures)) => members.get(failures).revoke(id).await,
            None => Ok(()),
        };
        self.enter(Phase::Ended(match result {
            // It was gone already.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            result => result,
        }));
    }

    async fn keep(&self, members: &Members) {
        let mut pauses = Pauses::new();
        for failures in 0.. {
            let Err(status) = self.hold(members, failures, &mut pauses).await;
            self.enter(Phase::Trying(Some(status)));
            pauses.pause().await;
        }
    }

    /// Puts the entry under a new lease, and keeps the lease alive as long as that works. An entry under an earlier
    /// lease changes over to this one.
    async fn hold(
        &self,
        members: &Members,
        failures: usize,
        pauses: &mut Pauses,
    ) -> Result<Infallible, Status> {
        let client = members.get(failures);
        let lease = client.grant(self.ttl).await?;
        self.lock().lease = Some((lease.id, failures));
        client.put(&self.key, &self.value, lease.id).await?;
        self.enter(Phase::Registered);
        pauses.reset();
        let (requests, mut responses) = client.keep_alive();
        // A third of the lease: two more attempts fit in before it is over.
        let rest = Duration::from_secs(u64::try_from(lease.ttl).unwrap_or(0).max(1)) / 3;
        loop {
            requests.send(LeaseKeepAliveRequest { id: lease.id }).await?;
            let Some(answer) = unless(sleep(rest), next(&mut responses)).await else {
                return Err(Status::deadline_exceeded("etcd has not extended the lease in time"));
            };
            if answer?.ttl <= 0 {
                return Err(Status::not_found("etcd knows nothing of the lease any more"));
            }
            // Nothing comes unasked but the end of the stream, which tells that etcd has gone.
            if let Some(answer) = unless(sleep(rest), next(&mut responses)).await {
                answer?;
            }
        }
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn wait<T>(&self, look: impl Fn(&Phase) -> Option<T>) -> T {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(found) = look(&state.phase) {
                return Poll::Ready(found);
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn next(responses: &mut Inbound<LeaseKeepAliveResponse>) -> Result<LeaseKeepAliveResponse, Status> {
    responses.message().await?.ok_or_else(|| Status::unavailable("etcd has ended the stream of the lease"))
}
