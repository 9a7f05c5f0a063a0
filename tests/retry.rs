//! Retries and hedging over loopback: what servers see of the attempts, and what callers see of the call.

mod support;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use lariat::client::balancer::{BadResolution, Balancer, BalancerBuilder, Controller, Update};
use lariat::client::picker::{Pick, PickInfo, Picker};
use lariat::client::resolver::ResolveError;
use lariat::client::subchannel::{SubchannelEvent, SubchannelId};
use lariat::client::{ChannelBuilder, ConnectivityState, Method};
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::stats::{Begin, CallEvent, CallStats, StatsHandler};
use lariat::{Channel, Code, Inbound, Metadata, Outbound, Request, Server, Status, Wait, sleep};
use support::{before_a_timeout, eventually, settled};

/// What a handler does with an attempt.
#[derive(Clone)]
enum Step {
    /// Sends back what it gets.
    Echo,
    /// Fails at once, with a pushback.
    Fail(Code, Option<&'static str>),
    /// Fails when it has read this many messages.
    FailBehind(usize),
    /// Sends its head, then fails.
    FailBehindHead,
    /// Sends its head, and fails once so many attempts were cancelled.
    FailBehindOthers(usize),
    /// Never ends.
    Hang,
}

const UNAVAILABLE: Step = Step::Fail(Code::Unavailable, None);

/// `test.Flaky`: does what the test has written down for each attempt, and echoes when nothing is left.
#[derive(Clone, Default)]
struct Flaky {
    steps: Arc<Mutex<VecDeque<Step>>>,
    /// `grpc-previous-rpc-attempts` of each attempt.
    previous: Arc<Mutex<Vec<Option<String>>>>,
    /// Attempts whose handler was dropped.
    dropped: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>, bool);

impl Drop for CountDrop {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Flaky {
    fn new(steps: &[Step]) -> Self {
        Flaky { steps: Arc::new(Mutex::new(steps.iter().cloned().collect())), ..Flaky::default() }
    }

    async fn serve(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        let mut count = CountDrop(Arc::clone(&self.dropped), false);
        let previous = inbound.metadata().get("grpc-previous-rpc-attempts").map(str::to_owned);
        self.previous.lock().unwrap().push(previous);
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Echo);
        let result = self.act(step, &mut inbound, &outbound).await;
        count.1 = true;
        result
    }

    async fn act(
        &self,
        step: Step,
        inbound: &mut Inbound<Bytes>,
        outbound: &Outbound<Bytes>,
    ) -> Result<(), Status> {
        match step {
            Step::Fail(code, pushback) => {
                let mut status = Status::new(code, "asked to").with_details(vec![8, code as u8]);
                for value in pushback.iter() {
                    status.metadata_mut().insert("grpc-retry-pushback-ms", value)?;
                }
                return Err(status);
            }
            Step::FailBehind(messages) => {
                for _ in 0..messages {
                    inbound.message().await?;
                }
                return Err(Status::unavailable("asked to"));
            }
            Step::FailBehindHead => {
                outbound.send_headers(Metadata::new())?;
                return Err(Status::unavailable("asked to"));
            }
            Step::FailBehindOthers(others) => {
                outbound.send_headers(Metadata::new())?;
                while self.dropped.load(Ordering::SeqCst) < others {
                    sleep(Duration::from_millis(1)).await;
                }
                return Err(Status::unavailable("asked to"));
            }
            Step::Hang => sleep(Duration::from_secs(60)).await,
            Step::Echo => {}
        }
        while let Some(message) = inbound.message().await? {
            outbound.send(message).await?;
        }
        Ok(())
    }

    fn attempts(&self) -> Vec<Option<String>> {
        self.previous.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.attempts().len()
    }
}

impl Service for Flaky {
    fn name(&self) -> &str {
        "test.Flaky"
    }

    fn methods(&self) -> Vec<Handler> {
        let this = self.clone();
        vec![Handler::bidi_streaming::<Raw, _, _, _, _>("Call", move |i, o| this.clone().serve(i, o))]
    }
}

/// A client whose calls have this policy. Every kind of call is one to the same handler.
struct Client {
    _server: Server,
    channel: Channel,
    method: Method,
}

impl Client {
    fn new(flaky: &Flaky, config: &str) -> Self {
        Client::with(flaky, config, |builder| builder)
    }

    fn with(flaky: &Flaky, config: &str, options: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> Self {
        let server = Server::builder().plaintext().add_service(flaky.clone()).bind("127.0.0.1:0").unwrap();
        let target = server.local_address().to_string();
        let builder = Channel::builder(target).plaintext().default_service_config(config);
        let channel = options(builder).build().unwrap();
        Client { _server: server, method: channel.method("/test.Flaky/Call"), channel }
    }

    fn unary(&self) -> lariat::UnaryCall<Bytes> {
        self.request(Request::new(Bytes::from_static(b"hello")))
    }

    fn request(&self, request: Request<Bytes>) -> lariat::UnaryCall<Bytes> {
        self.channel.unary::<Raw, Bytes, Bytes>(&self.method, request)
    }

    fn bidi(&self) -> (Outbound<Bytes>, Inbound<Bytes>) {
        self.channel.bidi_streaming::<Raw, _, _>(&self.method, Request::new(()))
    }
}

fn retry(max_attempts: u32, rest: &str) -> String {
    format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "test.Flaky"}}], "retryPolicy": {{
            "maxAttempts": {max_attempts}, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
            "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}}}]{rest}}}"#
    )
}

fn hedging(max_attempts: u32, delay: &str) -> String {
    format!(
        r#"{{"methodConfig": [{{"name": [{{}}], "hedgingPolicy": {{
            "maxAttempts": {max_attempts}, "hedgingDelay": "{delay}",
            "nonFatalStatusCodes": ["UNAVAILABLE"]}}}}]}}"#
    )
}

fn collect(inbound: &mut Inbound<Bytes>) -> Result<Vec<Bytes>, Status> {
    let mut messages = Vec::new();
    while let Some(message) = inbound.message().wait()? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn a_call_is_tried_again_until_it_succeeds_and_servers_are_told_how_often() {
    let flaky = Flaky::new(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
    let client = Client::new(&flaky, &retry(4, ""));
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
    let previous = [None, Some("1"), Some("2"), Some("3")].map(|previous| previous.map(str::to_owned));
    assert_eq!(flaky.attempts(), previous);
}

#[test]
fn the_last_failure_is_the_calls_and_says_how_many_attempts_there_were() {
    let flaky = Flaky::new(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
    let client = Client::new(&flaky, &retry(3, ""));
    let status = client.unary().wait().unwrap_err();
    assert_eq!((status.code(), status.details()), (Code::Unavailable, &[8, 14][..]));
    assert_eq!(status.message(), "failed after 3 attempts; each time: asked to");
    assert_eq!(flaky.count(), 3);
}

#[test]
fn other_codes_and_channels_without_retries_have_one_attempt() {
    let flaky = Flaky::new(&[Step::Fail(Code::Internal, None)]);
    let client = Client::new(&flaky, &retry(3, ""));
    let status = client.unary().wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "asked to"));
    assert_eq!(flaky.count(), 1);

    let flaky = Flaky::new(&[UNAVAILABLE]);
    let client = Client::with(&flaky, &retry(3, ""), ChannelBuilder::disable_retry);
    assert_eq!(client.unary().wait().unwrap_err().message(), "asked to");
    assert_eq!(flaky.count(), 1);
}

#[test]
fn a_call_has_its_attempts_though_its_channel_is_dropped() {
    for (config, steps) in
        [(retry(4, ""), [UNAVAILABLE, UNAVAILABLE]), (hedging(3, "0.01s"), [Step::Hang, UNAVAILABLE])]
    {
        let flaky = Flaky::new(&steps);
        let Client { _server: server, channel, method } = Client::new(&flaky, &config);
        let call = channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(Bytes::from_static(b"hello")));
        drop(channel);
        assert_eq!(call.wait().unwrap().message(), "hello");
        assert_eq!(flaky.count(), 3);
        eventually("the connection is closed", || server.connections() == 0);
    }
}

#[test]
fn max_call_attempts_caps_the_policy() {
    let flaky = Flaky::new(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
    let client = Client::with(&flaky, &retry(5, ""), |builder| builder.max_call_attempts(2));
    assert_eq!(client.unary().wait().unwrap_err().code(), Code::Unavailable);
    assert_eq!(flaky.count(), 2);
}

#[test]
fn a_server_can_forbid_or_delay_the_next_attempt() {
    let flaky = Flaky::new(&[UNAVAILABLE, Step::Fail(Code::Unavailable, Some("-1"))]);
    let client = Client::new(&flaky, &retry(5, ""));
    let status = client.unary().wait().unwrap_err();
    assert_eq!(
        status.message(),
        "failed after 2 attempts, and the server asked for no more; each time: asked to"
    );
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms"), Some("-1"));
    assert_eq!(flaky.count(), 2);

    let flaky = Flaky::new(&[Step::Fail(Code::Unavailable, Some("5"))]);
    let client = Client::new(&flaky, &retry(5, "").replace("0.01s", "60s"));
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
}

#[test]
fn many_failures_throttle_further_attempts() {
    let flaky = Flaky::new(&vec![UNAVAILABLE; 20]);
    let throttling = r#", "retryThrottling": {"maxTokens": 6, "tokenRatio": 0.1}"#;
    let client = Client::new(&flaky, &retry(5, throttling));
    // Three tokens of six are not more than half, after the third failure.
    let status = client.unary().wait().unwrap_err();
    assert!(status.message().contains("throttled"), "{status}");
    assert_eq!(flaky.count(), 3);
    assert_eq!(client.unary().wait().unwrap_err().code(), Code::Unavailable);
    assert_eq!(flaky.count(), 4, "no second attempt while the bucket is half empty");
}

#[test]
fn a_response_that_has_begun_is_not_tried_again() {
    let flaky = Flaky::new(&[UNAVAILABLE, Step::FailBehindHead]);
    let client = Client::new(&flaky, &retry(5, ""));
    let request = Request::new(Bytes::from_static(b"hello"));
    let mut inbound = client.channel.server_streaming::<Raw, Bytes, Bytes>(&client.method, request);
    assert!(inbound.headers().wait().unwrap().is_empty());
    let status = inbound.message().wait().unwrap_err();
    assert_eq!(status.message(), "failed after 2 attempts; each time: asked to");
    assert_eq!(flaky.count(), 2);
}

#[test]
fn each_attempt_of_a_stream_gets_all_its_messages() {
    let flaky = Flaky::new(&[Step::FailBehind(1), Step::FailBehind(2), Step::FailBehind(0)]);
    let client = Client::new(&flaky, &retry(5, ""));
    let (outbound, mut inbound) = client.bidi();
    let sent: Vec<Bytes> = (0..20_u8).map(|size| Bytes::from(vec![size; size as usize * 1_000])).collect();
    for message in &sent {
        outbound.send(message.clone()).wait().unwrap();
    }
    eventually("the attempts that fail are over", || flaky.count() == 4);
    outbound.finish();
    assert_eq!(collect(&mut inbound).unwrap(), sent);
    assert_eq!(inbound.trailers().len(), 0);
    assert_eq!(flaky.count(), 4);
}

#[test]
fn a_client_stream_is_sent_again_and_answered_once() {
    let flaky = Flaky::new(&[Step::FailBehind(2)]);
    let client = Client::new(&flaky, &retry(5, ""));
    let (outbound, call) =
        client.channel.client_streaming::<Raw, Bytes, Bytes>(&client.method, Request::new(()));
    outbound.send(Bytes::from_static(b"only")).wait().unwrap();
    outbound.finish();
    assert_eq!(call.wait().unwrap().message(), "only");
    assert_eq!(flaky.count(), 2);
}

#[test]
fn a_stream_that_has_sent_more_than_is_kept_has_no_further_attempt() {
    let flaky = Flaky::new(&[UNAVAILABLE, Step::FailBehind(3)]);
    let client = Client::with(&flaky, &retry(5, ""), |builder| builder.retry_buffer_size(1_000));
    let (outbound, mut inbound) = client.bidi();
    outbound.send(Bytes::from(vec![1; 500])).wait().unwrap();
    eventually("the second attempt is under way", || flaky.count() == 2);
    outbound.send(Bytes::from(vec![2; 500])).wait().unwrap();
    outbound.send(Bytes::from(vec![3; 500])).wait().unwrap();
    let status = inbound.message().wait().unwrap_err();
    assert_eq!(
        status.message(),
        "failed after 2 attempts, and its requests are more than retry_buffer_size keeps for another; each time: \
         asked to"
    );
    assert_eq!(flaky.count(), 2);
}

#[test]
fn a_request_that_is_more_than_is_kept_has_one_attempt() {
    let (retry, hedging) = (retry(5, ""), hedging(5, "0s"));
    for (config, size, attempts) in [(&retry, 995, 2), (&retry, 996, 1), (&hedging, 996, 1)] {
        let flaky = Flaky::new(&[UNAVAILABLE]);
        let client = Client::with(&flaky, config, |builder| builder.retry_buffer_size(1_000));
        let request = || Request::new(Bytes::from(vec![7; size]));
        let result = client.request(request()).wait();
        assert_eq!(flaky.count(), attempts);
        if attempts == 1 {
            let why = "its requests are more than retry_buffer_size keeps for another";
            let expected = format!("failed at the first attempt, and {why}; the last: asked to");
            assert_eq!(result.unwrap_err().message(), expected);
        }
        flaky.steps.lock().unwrap().push_back(UNAVAILABLE);
        let mut inbound = client.channel.server_streaming::<Raw, Bytes, Bytes>(&client.method, request());
        assert_eq!(collect(&mut inbound).is_ok(), attempts == 2);
        assert_eq!(flaky.count(), 2 * attempts);
    }
}

#[test]
fn the_error_of_a_call_has_a_bounded_number_of_attempts_in_it() {
    let steps: Vec<Step> = (0..12)
        .map(|n| Step::Fail(if n % 2 == 0 { Code::Unavailable } else { Code::Aborted }, None))
        .collect();
    let config = retry(12, "").replace(r#"["UNAVAILABLE"]"#, r#"["UNAVAILABLE", "ABORTED"]"#);
    let client = Client::with(&Flaky::new(&steps), &config, |builder| builder.max_call_attempts(12));
    let status = client.unary().wait().unwrap_err();
    assert!(status.message().starts_with("failed after 12 attempts; the last: asked to"), "{status}");
    assert_eq!(status.message().matches(" x ").count(), 8, "{status}");
}

#[test]
fn a_call_may_have_less_of_it_kept_than_the_channel_says() {
    let flaky = Flaky::new(&[UNAVAILABLE, Step::FailBehind(3)]);
    let client = Client::new(&flaky, &retry(5, ""));
    let request = Request::new(()).with_retry_buffer_size(1_000);
    let (outbound, mut inbound) = client.channel.bidi_streaming::<Raw, Bytes, Bytes>(&client.method, request);
    outbound.send(Bytes::from(vec![1; 500])).wait().unwrap();
    eventually("the second attempt is under way", || flaky.count() == 2);
    outbound.send(Bytes::from(vec![2; 500])).wait().unwrap();
    outbound.send(Bytes::from(vec![3; 500])).wait().unwrap();
    inbound.message().wait().unwrap_err();
    assert_eq!(flaky.count(), 2);
}

#[test]
fn a_large_stream_with_a_policy_flows_and_is_held_up_by_its_reader() {
    let flaky = Flaky::new(&[UNAVAILABLE]);
    let client = Client::new(&flaky, &retry(5, ""));
    let (outbound, mut inbound) = client.bidi();
    // Before that, more than is kept would make the first attempt the last.
    eventually("the second attempt is under way", || flaky.count() == 2);
    const COUNT: usize = 1_000;
    let message = Bytes::from(vec![7; 16 * 1024]);
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            for _ in 0..COUNT {
                outbound.send(message.clone()).wait().unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    assert!(settled(&sent) < COUNT, "nobody has read, and yet everything was sent");
    assert_eq!(collect(&mut inbound).unwrap().len(), COUNT);
    sender.join().unwrap();
}

#[test]
fn the_deadline_holds_between_attempts() {
    before_a_timeout("the first attempt fails", |timeout| {
        let flaky = Flaky::new(&[UNAVAILABLE, UNAVAILABLE]);
        let client = Client::new(&flaky, &retry(5, "").replace("0.01s", "600s"));
        let request = Request::new(Bytes::from_static(b"a")).with_timeout(timeout);
        let status = client.request(request).wait().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(flaky.count() <= 1);
        status.message().contains("status UNAVAILABLE: asked to")
    });
}

#[test]
fn a_call_that_is_dropped_between_attempts_makes_no_more() {
    let flaky = Flaky::new(&[UNAVAILABLE]);
    let client = Client::new(&flaky, &retry(5, "").replace("0.01s", "0.5s"));
    let call = client.unary();
    eventually("the first attempt has come", || flaky.count() == 1);
    drop(call);
    // Another call that takes longer than the back-off of the first.
    flaky.steps.lock().unwrap().extend([UNAVAILABLE, UNAVAILABLE]);
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
    assert_eq!(flaky.count(), 4);
}

/// Tells of each attempt that has ended.
struct Ended(Mutex<mpsc::Sender<()>>);

struct UntilEnd(mpsc::Sender<()>);

impl StatsHandler for Ended {
    fn begin(&self, _: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        Some(Box::new(UntilEnd(self.0.lock().unwrap().clone())))
    }
}

impl CallStats for UntilEnd {
    fn handle(&mut self, event: &CallEvent<'_>) {
        if let CallEvent::End { .. } = event {
            let _ = self.0.send(());
        }
    }
}

#[test]
fn a_call_between_attempts_ends_with_its_channel() {
    let flaky = Flaky::new(&[UNAVAILABLE]);
    let (sender, ended) = mpsc::channel();
    let config = retry(5, "").replace("0.01s", "600s");
    let client = Client::with(&flaky, &config, |builder| builder.stats_handler(Ended(Mutex::new(sender))));
    let call = client.unary();
    ended.recv().unwrap();
    client.channel.close();
    let status = call.wait().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.message().contains("the channel was closed"), "{status}");
    assert_eq!(flaky.count(), 1);
}

#[test]
fn hedging_answers_with_the_first_that_does_and_cancels_the_others() {
    let flaky = Flaky::new(&[Step::Hang]);
    let client = Client::new(&flaky, &hedging(3, "0.02s"));
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
    eventually("the first attempt is cancelled", || flaky.dropped.load(Ordering::SeqCst) == 1);
    assert_eq!(flaky.attempts()[..2], [None, Some("1".to_owned())]);

    let flaky = Flaky::new(&[Step::Hang, Step::Hang, Step::Echo]);
    let client = Client::new(&flaky, &hedging(3, "0s"));
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
    assert_eq!(flaky.count(), 3);
    eventually("two attempts are cancelled", || flaky.dropped.load(Ordering::SeqCst) == 2);
}

#[test]
fn a_non_fatal_failure_brings_the_next_hedged_attempt_and_a_fatal_one_ends_the_call() {
    let flaky = Flaky::new(&[UNAVAILABLE, UNAVAILABLE]);
    let client = Client::new(&flaky, &hedging(4, "60s"));
    assert_eq!(client.unary().wait().unwrap().message(), "hello");
    assert_eq!(flaky.count(), 3);

    let flaky = Flaky::new(&[UNAVAILABLE, Step::Fail(Code::Aborted, None)]);
    let client = Client::new(&flaky, &hedging(4, "60s"));
    let status = client.unary().wait().unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(
        status.message(),
        "failed after 2 attempts; the last: asked to (before it: 1 x UNAVAILABLE: asked to)"
    );
}

#[test]
fn all_hedged_attempts_of_a_stream_get_its_messages() {
    let flaky = Flaky::new(&[Step::Hang, Step::FailBehind(1)]);
    let client = Client::new(&flaky, &hedging(3, "0s"));
    let (outbound, mut inbound) = client.bidi();
    for text in ["one", "two", "three"] {
        outbound.send(Bytes::from(text)).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap(), text);
    }
    outbound.finish();
    assert_eq!(inbound.message().wait().unwrap(), None);
    assert_eq!(flaky.count(), 3);
    eventually("the one that hangs is cancelled", || flaky.dropped.load(Ordering::SeqCst) == 1);
}

#[test]
fn attempts_that_were_cancelled_are_no_part_of_the_error() {
    let flaky = Flaky::new(&[Step::Hang, Step::Hang, Step::FailBehindOthers(2)]);
    let client = Client::new(&flaky, &hedging(3, "0s"));
    let status = client.unary().wait().unwrap_err();
    assert_eq!(status.message(), "failed after 3 attempts; the last: asked to");
}

/// Drops every call, and counts them.
#[derive(Clone, Debug, Default)]
struct Dropping(Arc<AtomicUsize>);

impl BalancerBuilder for Dropping {
    fn name(&self) -> &str {
        "dropping"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(self.clone())
    }
}

impl Balancer for Dropping {
    fn handle_resolution(&mut self, _: Update, controller: &mut dyn Controller) -> Result<(), BadResolution> {
        controller.publish(ConnectivityState::Ready, Arc::new(self.clone()));
        Ok(())
    }

    fn handle_resolver_error(&mut self, _: &ResolveError, _: &mut dyn Controller) {}

    fn handle_subchannel(&mut self, _: SubchannelId, _: SubchannelEvent, _: &mut dyn Controller) {}

    fn exit_idle(&mut self, _: &mut dyn Controller) {}
}

impl Picker for Dropping {
    fn pick(&self, _: &PickInfo<'_>) -> Pick {
        self.0.fetch_add(1, Ordering::SeqCst);
        Pick::Drop(Status::unavailable("dropped"))
    }
}

#[test]
fn a_call_that_the_balancer_drops_is_not_tried_again() {
    let policy = Dropping::default();
    let config = retry(5, r#", "loadBalancingConfig": [{"dropping": {}}]"#);
    let client = Client::with(&Flaky::default(), &config, |builder| builder.balancer(policy.clone()));
    let status = client.unary().wait().unwrap_err();
    assert_eq!(status.message(), "dropped");
    assert_eq!(policy.0.load(Ordering::SeqCst), 1);
}
