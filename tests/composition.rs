//! What stands around a call, all of it at once: interceptors, retries, statistics, call credentials and compression,
//! and in which order each sees the call.
#![cfg(feature = "gzip")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lariat::client::ConnectivityState;
use lariat::codec::Raw;
use lariat::credentials::{CallCredentials, CallTarget, ChannelCredentials, MetadataFuture, SecurityLevel};
use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next};
use lariat::server::{Handler, Service};
use lariat::stats::{Begin, CallEvent, CallStats, StatsHandler};
use lariat::{Channel, Inbound, Metadata, Outbound, Request, Response, Server, Status, Wait, sleep};
use support::eventually;

/// What one side has seen of its calls, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// What was seen when the last of it is this.
    #[track_caller]
    fn until(&self, last: &str) -> Vec<String> {
        eventually(last, || self.0.lock().unwrap().last().is_some_and(|line| line == last));
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The stats handler, the interceptor and the credentials of one side, which note what they see.
#[derive(Clone)]
struct Around(Log);

struct Call(Log);

impl StatsHandler for Around {
    fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        self.0.note(format!("stats: begin {}", begin.previous_attempts));
        Some(Box::new(Call(self.0.clone())))
    }
}

impl CallStats for Call {
    fn handle(&mut self, event: &CallEvent<'_>) {
        let head = |metadata: &Metadata, compression: &Option<&str>| {
            let token = metadata.get("token").unwrap_or("no token");
            format!("{}, {token}", compression.unwrap_or("not compressed"))
        };
        self.0.note(match event {
            CallEvent::OutHeader { metadata, compression, .. } => {
                format!("stats: head out, {}", head(metadata, compression))
            }
            CallEvent::InHeader { metadata, compression, .. } => {
                format!("stats: head in, {}", head(metadata, compression))
            }
            CallEvent::OutPayload { .. } => "stats: message out".to_owned(),
            CallEvent::InPayload { .. } => "stats: message in".to_owned(),
            CallEvent::OutTrailer { .. } => "stats: trailers out".to_owned(),
            CallEvent::InTrailer { .. } => "stats: trailers in".to_owned(),
            CallEvent::End { status, .. } => format!("stats: end {}", status.is_ok()),
            other => format!("{other:?}"),
        });
    }
}

impl Interceptor for Around {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        self.0.note(format!("interceptor: request, compressed {}", request.message().was_compressed()));
        let result = next.unary(request).await;
        self.0.note(format!("interceptor: outcome {}", result.is_ok()));
        result
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        self.0.note("interceptor: stream");
        let [requests, responses] = [(); 2].map(|()| self.0.clone());
        let messages = messages
            .map_requests(move |message| {
                requests.note(format!("interceptor: request, compressed {}", message.was_compressed()));
                Ok(message)
            })
            .map_responses(move |message| {
                responses.note(format!("interceptor: response, compressed {}", message.was_compressed()));
                Ok(message)
            });
        let result = next.stream(request, messages).await;
        self.0.note(format!("interceptor: outcome {}", result.is_ok()));
        result
    }
}

/// A new token each time; every second one takes a while to get.
#[derive(Clone, Default)]
struct Tokens {
    log: Log,
    asked: Arc<AtomicUsize>,
}

impl CallCredentials for Tokens {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let log = self.log.clone();
        Box::pin(async move {
            if number.is_multiple_of(2) {
                sleep(std::time::Duration::from_millis(2)).await;
            }
            log.note(format!("credentials: token {number}"));
            let mut metadata = Metadata::new();
            metadata.insert("token", &format!("token {number}"))?;
            Ok(metadata)
        })
    }

    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::None
    }
}

/// `test.Expiring`: takes token 2 and later ones.
#[derive(Clone)]
struct Expiring(Log);

impl Expiring {
    fn check(&self, metadata: &Metadata) -> Result<(), Status> {
        let token = metadata.get("token").unwrap_or("no token");
        self.0.note(format!("handler: {token}"));
        match token {
            "token 1" => Err(Status::unauthenticated("the token has expired")),
            _ => Ok(()),
        }
    }

    async fn unary(self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.check(request.metadata())?;
        Ok(Response::new(request.into_message()))
    }

    async fn chat(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        while let Some(message) = inbound.message().await? {
            self.check(inbound.metadata())?;
            outbound.send(message).await?;
        }
        Ok(())
    }
}

impl Service for Expiring {
    fn name(&self) -> &str {
        "test.Expiring"
    }

    fn methods(&self) -> Vec<Handler> {
        let [a, b] = [self.clone(), self.clone()];
        vec![
            Handler::unary::<Raw, _, _, _, _>("Unary", move |request| a.clone().unary(request)),
            Handler::bidi_streaming::<Raw, _, _, _, _>("Chat", move |i, o| b.clone().chat(i, o)),
        ]
    }
}

const RETRY: &str = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
    "backoffMultiplier": 1, "retryableStatusCodes": ["UNAUTHENTICATED"]}}]}"#;

/// A client and a server with all of it around their calls.
fn pair() -> (Server, Channel, Log, Log) {
    let (at_client, at_server) = (Log::default(), Log::default());
    let server = Server::builder()
        .plaintext()
        .add_service(Expiring(at_server.clone()))
        .interceptor(Around(at_server.clone()))
        .stats_handler(Around(at_server.clone()))
        .bind("127.0.0.1:0")
        .unwrap();
    let tokens = Tokens { log: at_client.clone(), asked: Arc::default() };
    let channel = Channel::builder(server.local_address().to_string())
        .credentials(ChannelCredentials::plaintext().with_call_credentials(tokens))
        .default_service_config(RETRY)
        .compression("gzip")
        .interceptor(Around(at_client.clone()))
        .stats_handler(Around(at_client.clone()))
        .build()
        .unwrap();
    channel.connect();
    eventually("the channel is ready", || channel.state() == ConnectivityState::Ready);
    (server, channel, at_client, at_server)
}

#[test]
fn a_unary_call_passes_interceptors_once_and_statistics_and_credentials_with_each_attempt() {
    let (_server, channel, at_client, at_server) = pair();
    let method = channel.method("/test.Expiring/Unary");
    let message = Bytes::from(vec![b'x'; 1000]);
    let response = channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(message.clone())).wait().unwrap();
    assert_eq!((response.message(), response.was_compressed()), (&message, true));
    assert_eq!(
        at_client.until("interceptor: outcome true"),
        [
            "interceptor: request, compressed false",
            "stats: begin 0",
            "credentials: token 1",
            "stats: head out, gzip, no token",
            "stats: message out",
            "stats: trailers in",
            "stats: end false",
            "stats: begin 1",
            "credentials: token 2",
            "stats: head out, gzip, no token",
            "stats: message out",
            "stats: head in, gzip, no token",
            "stats: message in",
            "stats: trailers in",
            "stats: end true",
            "interceptor: outcome true",
        ]
    );
    assert_eq!(
        at_server.until("stats: end true"),
        [
            "stats: begin 0",
            "stats: head in, gzip, token 1",
            "stats: message in",
            "interceptor: request, compressed true",
            "handler: token 1",
            "interceptor: outcome false",
            "stats: trailers out",
            "stats: end false",
            "stats: begin 0",
            "stats: head in, gzip, token 2",
            "stats: message in",
            "interceptor: request, compressed true",
            "handler: token 2",
            "interceptor: outcome true",
            "stats: head out, gzip, no token",
            "stats: message out",
            "stats: trailers out",
            "stats: end true",
        ]
    );
}

#[test]
fn a_stream_passes_interceptors_once_and_statistics_and_credentials_with_each_attempt() {
    let (_server, channel, at_client, at_server) = pair();
    let method = channel.method("/test.Expiring/Chat");
    let (outbound, mut inbound) = channel.bidi_streaming::<Raw, Bytes, Bytes>(&method, Request::new(()));
    let message = Bytes::from(vec![b'x'; 1000]);
    outbound.send(message.clone()).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap(), Some(message));
    assert!(inbound.was_compressed());
    outbound.finish();
    assert_eq!(inbound.message().wait().unwrap(), None);
    let seen = at_client.until("interceptor: outcome true");
    let of = |who: &str| -> Vec<_> { seen.iter().filter(|line| line.starts_with(who)).cloned().collect() };
    // The interceptor's end of the stream and the attempts run on their own: each has its order.
    assert_eq!(
        of("interceptor"),
        [
            "interceptor: stream",
            "interceptor: request, compressed false",
            "interceptor: response, compressed true",
            "interceptor: outcome true",
        ]
    );
    let attempts: Vec<_> = seen.iter().filter(|line| !line.starts_with("interceptor")).collect();
    assert_eq!(
        attempts,
        [
            "stats: begin 0",
            "credentials: token 1",
            "stats: head out, gzip, no token",
            "stats: message out",
            "stats: trailers in",
            "stats: end false",
            "stats: begin 1",
            "credentials: token 2",
            "stats: head out, gzip, no token",
            "stats: message out",
            "stats: head in, gzip, no token",
            "stats: message in",
            "stats: trailers in",
            "stats: end true",
        ]
    );
    assert_eq!(seen[0], "interceptor: stream");
    let seen = at_server.until("stats: end true");
    let second = seen.iter().rposition(|line| line == "stats: begin 0").unwrap();
    assert_eq!(
        seen[second..],
        [
            "stats: begin 0",
            "stats: head in, gzip, token 2",
            "interceptor: stream",
            "stats: message in",
            "interceptor: request, compressed true",
            "handler: token 2",
            "interceptor: response, compressed false",
            "stats: head out, gzip, no token",
            "stats: message out",
            "interceptor: outcome true",
            "stats: trailers out",
            "stats: end true",
        ]
    );
}

#[test]
fn each_hedged_attempt_has_credentials_of_its_own() {
    let log = Log::default();
    let server = Server::builder().plaintext().add_service(Expiring(log.clone()));
    let server = server.bind("127.0.0.1:0").unwrap();
    let tokens = Tokens::default();
    let channel = Channel::builder(server.local_address().to_string())
        .credentials(ChannelCredentials::plaintext().with_call_credentials(tokens.clone()))
        .default_service_config(
            r#"{"methodConfig": [{"name": [{}], "hedgingPolicy": {
                "maxAttempts": 2, "hedgingDelay": "0s", "nonFatalStatusCodes": ["UNAUTHENTICATED"]}}]}"#,
        )
        .build()
        .unwrap();
    let method = channel.method("/test.Expiring/Unary");
    let request = Request::new(Bytes::from_static(b"x"));
    channel.unary::<Raw, Bytes, Bytes>(&method, request).wait().unwrap();
    assert_eq!(tokens.asked.load(Ordering::SeqCst), 2);
    assert_eq!(log.until("handler: token 2"), ["handler: token 1", "handler: token 2"]);
}

#[test]
fn credentials_do_not_change_where_calls_go() {
    let servers: Vec<(Server, Log)> = (0..2)
        .map(|_| {
            let log = Log::default();
            let server = Server::builder().plaintext().add_service(Expiring(log.clone()));
            (server.bind("127.0.0.1:0").unwrap(), log)
        })
        .collect();
    let target = servers.iter().map(|(server, _)| server.local_address().to_string());
    let channel = Channel::builder(format!("ipv4:{}", target.collect::<Vec<_>>().join(",")))
        .credentials(ChannelCredentials::plaintext().with_call_credentials(Tokens::default()))
        .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
        .build()
        .unwrap();
    let method = channel.method("/test.Expiring/Unary");
    let call = || {
        let request = Request::new(Bytes::from_static(b"x"));
        let _ = channel.unary::<Raw, Bytes, Bytes>(&method, request).wait();
    };
    // Both are connected when each has served a call.
    let served = |index: usize| servers[index].1.0.lock().unwrap().len();
    eventually("both backends serve", || {
        call();
        served(0) > 0 && served(1) > 0
    });
    let before = [served(0), served(1)];
    (0..20).for_each(|_| call());
    assert_eq!([served(0) - before[0], served(1) - before[1]], [10, 10]);
}
