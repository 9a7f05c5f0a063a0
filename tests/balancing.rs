//! A channel with several backends and a service config, over loopback.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lariat::client::ConnectivityState;
use lariat::client::balancer::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, Hierarchy, PickFirst, PolicyConfig, Update,
};
use lariat::client::call_config::{CallConfig, ConfigSelector};
use lariat::client::picker::{CallEnd, CallObserver, Pick, PickInfo, Picker};
use lariat::client::resolver::{Manual, Resolution, ResolveError};
use lariat::client::service_config::MethodConfig;
use lariat::client::subchannel::{SubchannelEvent, SubchannelId};
use lariat::{Address, Channel, Code, Metadata, Request, Server, Status, Wait};
use support::*;

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#;

fn resolution(servers: &[&Server]) -> Resolution {
    servers.iter().map(|server| server.local_address().clone()).collect()
}

/// A channel that resolves to whatever the test says.
fn channel(service_config: &str) -> (EchoClient, Manual) {
    let manual = Manual::new("test");
    let channel = Channel::builder("test:///echo")
        .resolver(manual.clone())
        .default_service_config(service_config)
        .plaintext()
        .build()
        .unwrap();
    (EchoClient::new(channel), manual)
}

fn started(echos: &[Echo]) -> Vec<usize> {
    echos.iter().map(|echo| echo.seen.started.load(Ordering::SeqCst)).collect()
}

/// Calls until every backend has had one.
fn all_have_calls(client: &EchoClient, echos: &[Echo]) {
    let before = started(echos);
    eventually("every backend gets calls", || {
        client.unary("x").wait().unwrap();
        started(echos).iter().zip(&before).all(|(now, before)| now > before)
    });
}

#[test]
fn round_robin_spreads_calls_exactly_and_follows_the_backends() {
    let echos = [Echo::default(), Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) = channel(ROUND_ROBIN);
    manual.update(resolution(&servers.iter().collect::<Vec<_>>()));
    all_have_calls(&client, &echos);
    let before = started(&echos);
    (0..30).for_each(|_| drop(client.unary("x").wait().unwrap()));
    assert_eq!(started(&echos), before.iter().map(|count| count + 10).collect::<Vec<_>>());

    // One leaves the list: calls go to the others, and none fails.
    manual.update(resolution(&[&servers[0], &servers[2]]));
    let last = echos[1].seen.started.load(Ordering::SeqCst);
    eventually("the second gets no more calls", || {
        let before = echos[1].seen.started.load(Ordering::SeqCst);
        (0..6).for_each(|_| drop(client.unary("x").wait().unwrap()));
        echos[1].seen.started.load(Ordering::SeqCst) == before
    });
    assert!(echos[1].seen.started.load(Ordering::SeqCst) - last <= 3);
}

#[test]
fn a_backend_that_dies_is_left_out_and_taken_back_when_it_returns() {
    let echos = [Echo::default(), Echo::default()];
    let mut servers: Vec<Server> = echos.iter().map(serve).collect();
    let address = servers[1].local_address().to_string();
    let (client, manual) = channel(ROUND_ROBIN);
    manual.update(resolution(&[&servers[0], &servers[1]]));
    all_have_calls(&client, &echos);
    let second = servers.pop().unwrap();
    second.graceful_stop(Duration::from_secs(5)).wait();
    // A graceful shutdown loses no call, so none may fail.
    (0..20).for_each(|_| drop(client.unary("x").wait().unwrap()));
    let _returned = builder(&echos[1]).bind(&address).unwrap();
    client.channel.reset_connect_backoff();
    all_have_calls(&client, &echos);
}

#[test]
fn a_change_of_policy_fails_no_call() {
    let echos = [Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) = channel("{}");
    let backends = resolution(&[&servers[0], &servers[1]]);
    manual.update(backends.clone());
    (0..4).for_each(|_| drop(client.unary("x").wait().unwrap()));
    assert_eq!(started(&echos), [4, 0]);
    manual.update(backends.clone().with_service_config(ROUND_ROBIN));
    all_have_calls(&client, &echos);
    manual.update(backends);
    eventually("all calls go to one backend again", || {
        let before = started(&echos);
        (0..4).for_each(|_| drop(client.unary("x").wait().unwrap()));
        started(&echos).iter().zip(&before).any(|(now, before)| now == before)
    });
}

#[test]
fn ring_hash_brings_calls_without_a_hash_to_every_backend() {
    let echos = [Echo::default(), Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) =
        channel(r#"{"loadBalancingConfig": [{"ring_hash_experimental": {"requestHashHeader": "user"}}]}"#);
    manual.update(resolution(&servers.iter().collect::<Vec<_>>()));
    all_have_calls(&client, &echos);
}

#[test]
fn method_configs_are_applied_to_calls() {
    let server = serve(&Echo::default());
    let (client, manual) = channel(
        r#"{"methodConfig": [{
            "name": [{"service": "test.Echo"}], "timeout": "0.1s", "maxRequestMessageBytes": 6,
            "maxResponseMessageBytes": 5
        }]}"#,
    );
    // The first call waits for the resolution, which brings the config.
    let call = client.unary("wait");
    manual.update(resolution(&[&server]));
    assert_eq!(call.wait().unwrap_err().code(), Code::DeadlineExceeded);
    let status = client.unary("1234567").wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains('6'), "{status:?}");
    let status = client.unary("123456").wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(client.unary("12345").wait().unwrap().into_message(), "12345");
    // The smaller limit counts, wherever it comes from.
    let request = |octets| Request::new(Bytes::from("12345")).with_max_receive_message_size(octets);
    assert!(client.request(request(100)).wait().is_ok());
    assert_eq!(client.request(request(4)).wait().unwrap_err().code(), Code::ResourceExhausted);
    // And of streams.
    let (outbound, inbound) = client.chat();
    assert_eq!(outbound.send("1234567".into()).wait().unwrap_err().code(), Code::ResourceExhausted);
    drop((outbound, inbound));
}

#[test]
fn a_method_config_may_have_calls_wait_unless_they_say_otherwise() {
    let (client, manual) = channel(r#"{"methodConfig": [{"name": [{}], "waitForReady": true}]}"#);
    let nowhere = || [Address::Tcp(([127, 0, 0, 1], 1).into())].into_iter().collect::<Resolution>();
    manual.update(nowhere());
    let impatient = Request::new(Bytes::from("x")).with_wait_for_ready(false);
    assert_eq!(client.request(impatient).wait().unwrap_err().code(), Code::Unavailable);
    let patient = client.unary("x");
    let server = serve(&Echo::default());
    manual.update(resolution(&[&server]));
    assert!(patient.wait().is_ok());
}

#[test]
fn a_bad_service_config_fails_calls_only_while_there_is_no_good_one() {
    let echos = [Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) = channel("{}");
    let bad = |servers: &[&Server]| resolution(servers).with_service_config(r#"{"loadBalancingConfig": 1}"#);
    manual.update(bad(&[&servers[0]]));
    let status = client.unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "test:///echo: the service config cannot be used: loadBalancingConfig: found 1; it must be an array"
    );
    manual.update(resolution(&[&servers[0]]).with_service_config(ROUND_ROBIN));
    eventually("calls succeed", || client.unary("x").wait().is_ok());
    // The config stays, and the backends count.
    manual.update(bad(&[&servers[0], &servers[1]]));
    all_have_calls(&client, &echos);
}

#[test]
fn a_default_service_config_that_cannot_be_read_is_refused_by_the_builder() {
    let built = Channel::builder("localhost:1").plaintext().default_service_config("{").build();
    let error = built.unwrap_err().to_string();
    assert!(error.starts_with("default_service_config: the document: found text that is no JSON"), "{error}");
}

#[test]
fn a_resolver_s_service_config_can_be_left_out_of_account() {
    let echos = [Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let manual = Manual::new("test");
    let channel = Channel::builder("test:///echo")
        .resolver(manual.clone())
        .disable_service_config()
        .plaintext()
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    manual.update(resolution(&[&servers[0], &servers[1]]).with_service_config(ROUND_ROBIN));
    (0..10).for_each(|_| drop(client.unary("x").wait().unwrap()));
    assert_eq!(started(&echos), [10, 0]);
}

/// What the test sees of calls.
#[derive(Debug, Default)]
struct Seen {
    hashes: Mutex<Vec<u64>>,
    ends: Mutex<Vec<Option<Code>>>,
    /// Of each call the octets sent and received.
    octets: Mutex<Vec<(u64, u64)>>,
    trailers: AtomicUsize,
    /// The authority that calls are to have, and values of their metadata `key`.
    additions: Mutex<Option<(&'static str, [&'static str; 2])>>,
}

impl CallObserver for Seen {
    fn handle_end(&self, end: &CallEnd<'_>) {
        self.ends.lock().unwrap().push(end.code);
        self.octets.lock().unwrap().push((end.octets_sent, end.octets_received));
        if end
            .trailers
            .is_some_and(|trailers| trailers.contains_key("trailer") || trailers.contains_key("why"))
        {
            self.trailers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A policy of the test's own: `pick_first` as a child, with its picks observed.
#[derive(Clone, Default)]
struct Observing(Arc<Seen>);

struct ObservingBalancer {
    child: Child,
    seen: Arc<Seen>,
}

#[derive(Debug)]
struct ObservingPicker {
    child: Arc<dyn Picker>,
    seen: Arc<Seen>,
}

impl BalancerBuilder for Observing {
    fn name(&self) -> &str {
        "observing"
    }
    fn build(&self) -> Box<dyn Balancer> {
        Box::new(ObservingBalancer {
            child: Child::new(Box::new(PickFirst::default())),
            seen: self.0.clone(),
        })
    }
}

impl ObservingBalancer {
    fn publish(&self, controller: &mut dyn Controller) {
        let picker = ObservingPicker { child: self.child.picker().clone(), seen: self.seen.clone() };
        controller.publish(self.child.state(), Arc::new(picker));
    }
}

impl Balancer for ObservingBalancer {
    fn handle_resolution(
        &mut self,
        mut update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        update.config = PolicyConfig::default();
        let result = self.child.handle_resolution(update, controller);
        self.publish(controller);
        result
    }
    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        self.child.handle_resolver_error(error, controller);
        self.publish(controller);
    }
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if self.child.handle_subchannel(id, event, controller) {
            self.publish(controller);
        }
    }
    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        self.child.exit_idle(controller);
    }
}

impl Picker for ObservingPicker {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        self.seen.hashes.lock().unwrap().extend(info.request_hash);
        assert_eq!(info.attributes.get::<&str>().is_some(), info.request_hash.is_some());
        let mut pick = self.child.pick(info).observed_by(self.seen.clone());
        if let Some((authority, values)) = *self.seen.additions.lock().unwrap() {
            for value in values {
                let mut metadata = Metadata::new();
                metadata.insert("key", value).unwrap();
                pick = pick.with_metadata(&metadata);
            }
            pick = pick.with_authority(authority);
        }
        pick
    }
}

impl Observing {
    fn client(&self, server: &Server) -> EchoClient {
        let channel = Channel::builder(server.local_address().to_string())
            .balancer(self.clone())
            .default_service_config(r#"{"loadBalancingConfig": [{"observing": {}}]}"#)
            .plaintext()
            .build();
        EchoClient::new(channel.unwrap())
    }
}

#[test]
fn an_observer_is_told_of_each_call_it_was_picked_with() {
    let server = serve(&Echo::default());
    let policy = Observing::default();
    let client = policy.client(&server);
    let mut request = Request::new(Bytes::from("metadata"));
    request.metadata_mut().insert("key", "value").unwrap();
    client.request(request).wait().unwrap();
    client.unary("fail").wait().unwrap_err();
    let late = Request::new(Bytes::from("wait")).with_timeout(Duration::from_millis(20));
    client.request(late).wait().unwrap_err();
    drop(client.unary("wait"));
    let told = || policy.0.ends.lock().unwrap().len() == 4;
    eventually("the observer is told of four calls", told);
    let expected = [Code::Ok, Code::FailedPrecondition, Code::DeadlineExceeded, Code::Cancelled];
    assert_eq!(*policy.0.ends.lock().unwrap(), expected.map(Some));
    assert_eq!(policy.0.trailers.load(Ordering::SeqCst), 2);
    // Each message has a prefix of five octets, and only the first call had an answer. The last may not have been sent.
    assert_eq!(policy.0.octets.lock().unwrap()[..3], [(13, 13), (9, 0), (9, 0)]);
}

#[test]
fn an_observer_is_told_how_much_a_stream_sent_and_received() {
    let server = serve(&Echo::default());
    let policy = Observing::default();
    let client = policy.client(&server);
    let (outbound, mut inbound) = client.chat();
    for length in [1, 1_000, 100_000] {
        outbound.send(vec![0; length].into()).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap().len(), length);
    }
    outbound.finish();
    assert!(inbound.message().wait().unwrap().is_none());
    eventually("the observer is told", || !policy.0.octets.lock().unwrap().is_empty());
    let octets = 3 * 5 + 1 + 1_000 + 100_000;
    assert_eq!(*policy.0.octets.lock().unwrap(), [(octets, octets)]);
}

#[test]
fn a_picker_adds_metadata_and_an_authority_which_that_of_the_call_comes_before() {
    let server = serve(&Echo::default());
    let policy = Observing::default();
    let client = policy.client(&server);
    let ask = || {
        let mut request = Request::new(Bytes::from("authority"));
        request.metadata_mut().insert("key", "own").unwrap();
        request
    };
    let answer = |request: Request<Bytes>| {
        let response = client.request(request).wait().unwrap();
        let values = response.metadata().get_all("key").map(str::to_owned).collect::<Vec<_>>();
        (String::from_utf8(response.into_message().to_vec()).unwrap(), values.join(" "))
    };
    let told = |authority: &str, values: &str| (authority.to_owned(), values.to_owned());
    let channel = server.local_address().to_string();
    assert_eq!(answer(ask()), told(&channel, "own"));
    *policy.0.additions.lock().unwrap() = Some(("picked.example", ["one", "two"]));
    assert_eq!(answer(ask()), told("picked.example", "own one two"));
    assert_eq!(answer(ask().with_authority("call.example")), told("call.example", "own one two"));
    *policy.0.additions.lock().unwrap() = Some(("no authority", ["one", "two"]));
    assert_eq!(client.request(ask()).wait().unwrap_err().code(), Code::Internal);
}

/// Gives calls a hash by their message, and refuses those that ask for it.
#[derive(Debug)]
struct Selector;

impl ConfigSelector for Selector {
    fn select(&self, path: &str, metadata: &Metadata) -> Result<CallConfig, Status> {
        assert_eq!(path, "/test.Echo/Unary");
        if metadata.contains_key("refuse") {
            return Err(Status::not_found("no route"));
        }
        let mut method = MethodConfig::default();
        method.timeout = Some(Duration::from_secs(1));
        let mut config = CallConfig::default();
        config.method = Some(Arc::new(method));
        config.request_hash = metadata.get("key").map(|key| key.len() as u64);
        if config.request_hash.is_some() {
            config.attributes.insert("a route");
        }
        Ok(config)
    }
}

#[test]
fn a_config_selector_decides_for_each_call() {
    let server = serve(&Echo::default());
    let policy = Observing::default();
    let manual = Manual::new("test");
    let channel = Channel::builder("test:///echo")
        .resolver(manual.clone())
        .balancer(policy.clone())
        .plaintext()
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    let mut resolution =
        resolution(&[&server]).with_service_config(r#"{"loadBalancingConfig": [{"observing": {}}]}"#);
    resolution.config_selector = Some(Arc::new(Selector));
    manual.update(resolution);
    let mut request = Request::new(Bytes::from("x"));
    request.metadata_mut().insert("key", "four").unwrap();
    client.request(request).wait().unwrap();
    assert_eq!(policy.0.hashes.lock().unwrap().last(), Some(&4));
    assert_eq!(client.unary("wait").wait().unwrap_err().code(), Code::DeadlineExceeded);
    let mut request = Request::new(Bytes::from("x"));
    request.metadata_mut().insert("refuse", "yes").unwrap();
    let status = client.request(request).wait().unwrap_err();
    // A server alone may say that something was not found.
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("NOT_FOUND: no route"), "{status:?}");
    assert_eq!(client.channel.state(), ConnectivityState::Ready);
}

/// Ends every call with its number.
#[derive(Debug)]
struct Numbered(usize);

impl ConfigSelector for Numbered {
    fn select(&self, _: &str, _: &Metadata) -> Result<CallConfig, Status> {
        Err(Status::unavailable(self.0.to_string()))
    }
}

#[test]
fn what_one_thread_has_seen_of_a_resolution_counts_for_the_next_call_of_every_other() {
    const THREADS: usize = 4;
    let server = serve(&Echo::default());
    let (client, manual) = channel("{}");
    let answer = |client: &EchoClient| client.unary("x").wait().unwrap_err().message().to_owned();
    let (steps, stale) = (Barrier::new(THREADS + 1), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..100 {
                    steps.wait();
                    stale.fetch_add(usize::from(answer(&client) != number.to_string()), Ordering::SeqCst);
                    steps.wait();
                }
            });
        }
        for number in 0..100 {
            let mut next = resolution(&[&server]);
            next.config_selector = Some(Arc::new(Numbered(number)));
            manual.update(next);
            eventually("the resolution counts", || answer(&client) == number.to_string());
            steps.wait();
            steps.wait();
        }
    });
    assert_eq!(stale.into_inner(), 0);
}

#[test]
fn ring_hash_sends_calls_of_a_user_to_one_backend_and_connects_only_what_it_needs() {
    let echos = [Echo::default(), Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) =
        channel(r#"{"loadBalancingConfig": [{"ring_hash_experimental": {"requestHashHeader": "user"}}]}"#);
    manual.update(resolution(&servers.iter().collect::<Vec<_>>()));
    let call = |user: &str| {
        let mut request = Request::new(Bytes::from("x"));
        request.metadata_mut().insert("user", user).unwrap();
        client.request(request).wait().unwrap();
    };
    (0..10).for_each(|_| call("one"));
    let mut counts = started(&echos);
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 10]);
    // As many users as it takes; with any hash at all a thousand are enough.
    let users = (0..1000).take_while(|user| {
        call(&user.to_string());
        started(&echos).contains(&0)
    });
    assert!(users.count() < 1000);
}

#[test]
fn least_request_keeps_away_from_a_backend_with_calls_under_way() {
    let echos = [Echo::default(), Echo::default()];
    let servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) =
        channel(r#"{"loadBalancingConfig": [{"least_request_experimental": {"choiceCount": 10}}]}"#);
    manual.update(resolution(&[&servers[0], &servers[1]]));
    all_have_calls(&client, &echos);
    let before = started(&echos);
    let _slow = client.unary("wait");
    eventually("the slow call is under way", || started(&echos) != before);
    let busy = usize::from(started(&echos)[1] > before[1]);
    let busy_before = started(&echos)[busy];
    (0..50).for_each(|_| drop(client.unary("x").wait().unwrap()));
    // It is chosen only if all ten draws fall on it: once in 1,024 calls.
    assert!(started(&echos)[busy] - busy_before <= 3);
}

#[test]
fn priority_fails_over_to_the_next_and_comes_back() {
    let echos = [Echo::default(), Echo::default()];
    let mut servers: Vec<Server> = echos.iter().map(serve).collect();
    let (client, manual) = channel(
        r#"{"loadBalancingConfig": [{"priority_experimental": {
            "children": {"near": {"config": [{"round_robin": {}}]}, "far": {"config": [{"round_robin": {}}]}},
            "priorities": ["near", "far"]
        }}]}"#,
    );
    let mut backends = resolution(&[&servers[0], &servers[1]]);
    for (endpoint, name) in backends.endpoints.iter_mut().zip(["near", "far"]) {
        *endpoint = endpoint.clone().with_attribute(Hierarchy(vec![name.to_owned()]));
    }
    manual.update(backends);
    (0..5).for_each(|_| drop(client.unary("x").wait().unwrap()));
    assert_eq!(started(&echos), [5, 0]);
    let near = servers.remove(0);
    let address = near.local_address().to_string();
    near.graceful_stop(Duration::from_secs(5)).wait();
    eventually("calls go far", || {
        let _ = client.unary("x").wait();
        started(&echos)[1] > 0
    });
    let _near = builder(&echos[0]).bind(&address).unwrap();
    client.channel.reset_connect_backoff();
    let before = started(&echos)[0];
    eventually("calls go near again", || {
        client.unary("x").wait().unwrap();
        started(&echos)[0] > before
    });
}
