//! Channels that nobody calls for a while: what they let go of, and what keeps them from it.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lariat::client::resolver::{ResolutionSender, Resolver, ResolverBuilder, Work};
use lariat::client::target::{Target, TargetError};
use lariat::client::{ChannelBuilder, ConnectivityState};
use lariat::{Address, Channel, Server, Wait};
use support::*;

const MS: Duration = Duration::from_millis(1);

/// Pushes the address of a server. Keeps what it pushes through, as a watcher of a source would.
#[derive(Clone)]
struct Pushing {
    address: Address,
    senders: Arc<Mutex<Vec<ResolutionSender>>>,
}

impl Pushing {
    fn to(server: &Server) -> Self {
        Pushing { address: server.local_address().clone(), senders: Arc::default() }
    }

    /// Whether each resolver that was built is listened to.
    fn push(&self) -> Vec<bool> {
        let resolution = || Ok([self.address.clone()].into_iter().collect());
        self.senders.lock().unwrap().iter().map(|sender| sender.send(resolution())).collect()
    }
}

impl ResolverBuilder for Pushing {
    fn scheme(&self) -> &str {
        "pushing"
    }

    fn build(&self, _: &Target, sender: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        self.senders.lock().unwrap().push(sender.clone());
        Ok(Box::new(PushedTo(self.clone(), sender)))
    }
}

struct PushedTo(Pushing, ResolutionSender);

impl Resolver for PushedTo {
    fn resolve(&mut self) -> Work {
        assert!(self.1.send(Ok([self.0.address.clone()].into_iter().collect())));
        Work::Pushed
    }
}

fn channel(target: impl Into<String>, options: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> EchoClient {
    EchoClient::new(options(Channel::builder(target).plaintext()).build().unwrap())
}

#[test]
fn a_resolver_is_told_that_its_channel_is_idle_and_listens_no_more() {
    let server = serve(&Echo::default());
    let pushing = Pushing::to(&server);
    let client =
        channel("pushing:///echo", |builder| builder.resolver(pushing.clone()).idle_timeout(Some(50 * MS)));
    assert_eq!(pushing.push(), [false], "built to check the target, and dropped");
    client.unary("one").wait().unwrap();
    eventually("the channel is idle", || client.channel.state() == ConnectivityState::Idle);
    assert_eq!(pushing.push(), [false; 2]);
    // Long enough for a push that is listened to.
    let (outbound, mut inbound) = client.chat();
    outbound.send("two".into()).wait().unwrap();
    inbound.message().wait().unwrap();
    assert_eq!(pushing.push(), [false, false, true]);
    drop(client);
    drop((outbound, inbound));
    eventually("nobody listens", || pushing.push() == [false; 3]);
}
