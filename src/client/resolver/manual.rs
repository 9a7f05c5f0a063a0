//! [`Manual`]: backends that the user names at run time.

use super::{Resolution, ResolutionSender, ResolveError, Resolver, ResolverBuilder, Work};
use crate::client::target::{Target, TargetError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The resolver of channels whose backends the program itself knows, and tests. All clones are one: what is given to
/// one of them reaches every channel that has been built with any.
///
/// ```
/// use lariat::client::resolver::{Manual, Resolution};
/// use lariat::{Address, Channel};
///
/// let backends = Manual::new("backends");
/// let channel = Channel::builder("backends:///greeter").resolver(backends.clone()).plaintext().build()?;
/// backends.update([Address::Tcp(([127, 0, 0, 1], 50051).into())].into_iter().collect());
/// # Ok::<(), lariat::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manual {
    scheme: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: nothing was given yet, and calls wait.
    latest: Option<Result<Resolution, ResolveError>>,
    senders: Vec<ResolutionSender>,
}

impl Manual {
    /// A resolver for targets of this scheme, in lower case, that has no answer yet.
    pub fn new(scheme: impl Into<String>) -> Self {
        Manual { scheme: scheme.into(), state: Arc::default() }
    }

    /// These are the backends from now on.
    pub fn update(&self, resolution: Resolution) {
        self.give(Ok(resolution));
    }

    /// Resolutions fail from now on. Channels that know backends go on with them.
    pub fn fail(&self, error: ResolveError) {
        self.give(Err(error));
    }

    fn give(&self, result: Result<Resolution, ResolveError>) {
        let mut state = self.lock();
        state.senders.retain(|sender| sender.send(result.clone()));
        state.latest = Some(result);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolverBuilder for Manual {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn build(&self, _: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        Ok(Box::new(Listening { manual: self.clone(), sender: Some(sender) }))
    }
}

/// A channel that has resolved, and so hears of every change.
struct Listening {
    manual: Manual,
    /// `None` once it is among the state's.
    sender: Option<ResolutionSender>,
}

impl Resolver for Listening {
    fn resolve(&mut self) -> Work {
        let mut state = self.manual.lock();
        state.senders.extend(self.sender.take());
        state.latest.clone().map_or(Work::Pushed, Work::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Registry, ResolutionSink};
    use super::*;
    use crate::net::Address;

    #[derive(Default)]
    struct Inbox(Mutex<Vec<usize>>);

    impl ResolutionSink for Inbox {
        fn send(&self, result: Result<Resolution, ResolveError>) -> bool {
            self.0.lock().unwrap().push(result.map_or(0, |resolution| resolution.endpoints.len()));
            true
        }
    }

    fn resolution(backends: u8) -> Resolution {
        (0..backends).map(|n| Address::Tcp(([10, 0, 0, n], 80).into())).collect()
    }

    #[test]
    fn what_is_given_reaches_channels_that_listen_and_those_that_come_later() {
        let manual = Manual::new("backends");
        let mut registry = Registry::default();
        registry.register(manual.clone());
        let target = Target::parse("backends:///x", &registry).unwrap();
        let inbox = Arc::new(Inbox::default());
        let mut resolver = registry.build(&target, ResolutionSender::new(inbox.clone())).unwrap();
        // Built is not yet asked: a channel checks its target so.
        manual.update(resolution(1));
        assert!(inbox.0.lock().unwrap().is_empty());
        assert!(matches!(resolver.resolve(), Work::Ready(Ok(found)) if found.endpoints.len() == 1));
        manual.update(resolution(2));
        manual.fail(ResolveError::new("gone"));
        assert_eq!(*inbox.0.lock().unwrap(), [2, 0]);
        assert!(matches!(resolver.resolve(), Work::Ready(Err(_))));
    }

    #[test]
    fn without_an_answer_the_channel_is_left_waiting() {
        let manual = Manual::new("backends");
        let target = Target::parse("dns:///x", &Registry::default()).unwrap();
        let sender = ResolutionSender::new(Arc::new(Inbox::default()));
        assert!(matches!(manual.build(&target, sender).unwrap().resolve(), Work::Pushed));
    }
}
