//! Interceptors on both sides, over loopback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next, on_request};
use lariat::server::{MethodKind, Service};
use lariat::{
    CancellationToken, Channel, Code, Engine, Metadata, Request, Response, Server, Status, Wait, sleep,
};

mod support;
use support::{Echo, EchoClient, builder, client, connect, eventually, serve, settled};

/// What interceptors saw, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Logs what passes, under a name.
struct Watch {
    name: &'static str,
    log: Log,
}

impl Interceptor for Watch {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        self.log.add(format!("{} > {} {:?}", self.name, next.path(), next.kind()));
        let result = next.unary(request).await;
        let outcome = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.log.add(format!("{} < {outcome}", self.name));
        result
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        self.log.add(format!("{} > {} {:?}", self.name, next.path(), next.kind()));
        let (requests, responses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = Arc::clone(counter);
            move |message| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(message)
            }
        };
        let messages = messages.map_requests(count(&requests)).map_responses(count(&responses));
        let result = next.stream(request, messages).await;
        let outcome = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let [requests, responses] = [requests, responses].map(|counter| counter.load(Ordering::SeqCst));
        self.log.add(format!("{} < {outcome} after {requests} and {responses}", self.name));
        result
    }
}

/// A server and a client with the interceptors that the closures add.
fn pair(
    echo: &Echo,
    server: impl FnOnce(lariat::server::ServerBuilder) -> lariat::server::ServerBuilder,
    channel: impl FnOnce(lariat::client::ChannelBuilder) -> lariat::client::ChannelBuilder,
) -> (Server, EchoClient) {
    let server = server(builder(echo)).bind("127.0.0.1:0").unwrap();
    let target = server.local_address().to_string();
    let client = EchoClient::new(channel(Channel::builder(target).plaintext()).build().unwrap());
    (server, client)
}

/// Both sides with a [`Watch`].
fn watched(echo: &Echo) -> (Server, EchoClient, Log) {
    let log = Log::default();
    let watch = |name| Watch { name, log: log.clone() };
    let (server, client) = pair(
        echo,
        |server| server.interceptor(watch("server")),
        |channel| channel.interceptor(watch("client")),
    );
    (server, client, log)
}

#[test]
fn the_first_interceptor_is_the_outermost_on_both_sides() {
    let log = Log::default();
    let watch = |name| Watch { name, log: log.clone() };
    let echo = Echo::default();
    let server = Server::builder()
        .plaintext()
        .add_service(echo.clone().with_interceptor(watch("service")))
        .interceptor(watch("server 1"))
        .interceptor(watch("server 2"))
        .bind("127.0.0.1:0")
        .unwrap();
    let channel = Channel::builder(server.local_address().to_string())
        .plaintext()
        .interceptor(watch("client 1"))
        .interceptor(watch("client 2"))
        .build()
        .unwrap();
    let response = EchoClient::new(channel).unary("hello").wait().unwrap();
    assert_eq!(response.message(), "hello");
    assert_eq!(
        log.take(),
        [
            "client 1 > /test.Echo/Unary Unary",
            "client 2 > /test.Echo/Unary Unary",
            "server 1 > /test.Echo/Unary Unary",
            "server 2 > /test.Echo/Unary Unary",
            "service > /test.Echo/Unary Unary",
            "service < OK",
            "server 2 < OK",
            "server 1 < OK",
            "client 2 < OK",
            "client 1 < OK",
        ]
    );
}

#[test]
fn all_kinds_of_calls_pass_interceptors_unchanged() {
    let (_server, client, log) = watched(&Echo::default());
    let status = client.unary("fail").wait().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "asked to fail: 100% \u{263a}");
    assert_eq!((status.details(), status.metadata().get("why")), (&b"\x08\x09"[..], Some("because")));

    let mut inbound = client.download(3, 100);
    let mut count = 0;
    while let Some(message) = inbound.message().wait().unwrap() {
        assert_eq!(message.len(), 100);
        count += 1;
    }
    assert_eq!(count, 3);

    let (outbound, call) = client.upload();
    for _ in 0..4 {
        outbound.send(Bytes::from_static(b"12345")).wait().unwrap();
    }
    outbound.finish();
    assert_eq!(call.wait().unwrap().message(), "20");

    let (outbound, mut inbound) = client.chat();
    outbound.send(Bytes::from_static(b"headers")).wait().unwrap();
    assert_eq!(inbound.headers().wait().unwrap().get("early"), Some("yes"));
    outbound.send(Bytes::from_static(b"one")).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "one");
    outbound.finish();
    assert_eq!(inbound.message().wait().unwrap(), None);
    assert_eq!(inbound.trailers().get("last"), Some("word"));

    let (outbound, mut inbound) = client.chat();
    outbound.send(Bytes::from_static(b"abort")).wait().unwrap();
    let status = inbound.message().wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "asked to abort"));
    assert_eq!(status.metadata().get("last"), Some("word"));

    let expected = [
        ("Unary Unary", "FAILED_PRECONDITION"),
        ("Download ServerStreaming", "OK after 1 and 3"),
        ("Upload ClientStreaming", "OK after 4 and 1"),
        ("Chat BidiStreaming", "OK after 2 and 1"),
        ("Chat BidiStreaming", "ABORTED after 1 and 0"),
    ];
    let expected = expected.iter().flat_map(|(method, outcome)| {
        [
            format!("client > /test.Echo/{method}"),
            format!("server > /test.Echo/{method}"),
            format!("server < {outcome}"),
            format!("client < {outcome}"),
        ]
    });
    assert_eq!(log.take(), expected.collect::<Vec<_>>());
}

/// Changes whatever can be changed.
struct Change;

impl Interceptor for Change {
    async fn unary(
        &self,
        mut request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        request.metadata_mut().append("key", "added")?;
        if request.message().decode::<Raw, Bytes>()? == "refuse" {
            return Err(Status::permission_denied("by the interceptor"));
        }
        let mut response = next
            .unary(request)
            .await
            .map_err(|status| Status::new(Code::Unknown, format!("changed: {}", status.message())))?;
        let text = response.message().decode::<Raw, Bytes>()?;
        let louder = Bytes::from([&text[..], b"!"].concat());
        response.message_mut().set::<Raw, Bytes>(&louder);
        response.metadata_mut().insert("header", "added")?;
        response.trailers_mut().append("trailer", "added")?;
        Ok(response)
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        let twice = |message: EncodedMessage| {
            Ok(EncodedMessage::from_bytes([&message.as_bytes()[..], message.as_bytes()].concat()))
        };
        let messages = messages.map_requests(twice).map_headers(|mut headers| {
            headers.insert("header", "added")?;
            Ok(headers)
        });
        let mut trailers = next.stream(request, messages).await?;
        trailers.insert("trailer", "added")?;
        Ok(trailers)
    }
}

fn changed_by(client: &EchoClient) {
    let response = client.unary("metadata").wait().unwrap();
    assert_eq!(response.message(), "metadata!");
    assert_eq!(response.metadata().get_all("key").collect::<Vec<_>>(), ["added"]);
    assert_eq!(response.metadata().get("header"), Some("added"));
    assert_eq!(response.trailers().get_all("trailer").collect::<Vec<_>>(), ["added", "added"]);
    let status = client.unary("refuse").wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "by the interceptor"));
    let status = client.unary("fail").wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unknown, "changed: asked to fail: 100% \u{263a}"));

    let (outbound, mut inbound) = client.chat();
    outbound.send(Bytes::from_static(b"ab")).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "abab");
    assert_eq!(inbound.headers().wait().unwrap().get("header"), Some("added"));
    outbound.finish();
    assert_eq!(inbound.message().wait().unwrap(), None);
    assert_eq!(inbound.trailers().get("last"), Some("word"));
    assert_eq!(inbound.trailers().get("trailer"), Some("added"));
}

#[test]
fn a_server_interceptor_changes_metadata_messages_trailers_and_status() {
    let (_server, client) = pair(&Echo::default(), |server| server.interceptor(Change), |channel| channel);
    changed_by(&client);
}

#[test]
fn a_client_interceptor_changes_metadata_messages_trailers_and_status() {
    let (_server, client) = pair(&Echo::default(), |server| server, |channel| channel.interceptor(Change));
    changed_by(&client);
}

/// Tries again with another message when a call fails.
struct Again;

impl Interceptor for Again {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        for _ in 0..3 {
            let Err(status) = next.unary(request.clone()).await else { panic!("it was asked to fail") };
            assert_eq!(status.code(), Code::FailedPrecondition);
        }
        next.unary(request.map(|_| EncodedMessage::new::<Raw, Bytes>(&Bytes::from_static(b"better")))).await
    }
}

#[test]
fn an_interceptor_may_go_on_more_than_once() {
    for at_server in [false, true] {
        let echo = Echo::default();
        let (_server, client) = pair(
            &echo,
            |server| if at_server { server.interceptor(Again) } else { server },
            |channel| if at_server { channel } else { channel.interceptor(Again) },
        );
        assert_eq!(client.unary("fail").wait().unwrap().message(), "better");
        assert_eq!(echo.seen.started.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn a_closure_can_refuse_calls_of_every_kind() {
    let echo = Echo::default();
    let guard = on_request(|request: &mut Request<()>| match request.metadata().get("token") {
        Some("secret") => Ok(()),
        _ => Err(Status::unauthenticated("no token")),
    });
    let (_server, client) = pair(&echo, |server| server.interceptor(guard), |channel| channel);
    assert_eq!(client.unary("a").wait().unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(client.download(1, 4).message().wait().unwrap_err().code(), Code::Unauthenticated);
    let (_outbound, call) = client.upload();
    assert_eq!(call.wait().unwrap_err().code(), Code::Unauthenticated);
    let (_outbound, mut inbound) = client.chat();
    assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(echo.seen.started.load(Ordering::SeqCst), 0);

    let token = on_request(|request: &mut Request<()>| {
        request.metadata_mut().insert("token", "secret")?;
        Ok(())
    });
    let target = client.channel.target().to_owned();
    let channel = Channel::builder(target).plaintext().interceptor(token).build().unwrap();
    assert_eq!(EchoClient::new(channel).unary("a").wait().unwrap().message(), "a");
}

#[test]
fn streams_behind_interceptors_are_held_up_by_slow_readers_and_lose_nothing() {
    let (_server, client, _) = watched(&Echo::default());
    // More than all windows and buffers on the way hold.
    const COUNT: usize = 2_000;
    let message = Bytes::from(vec![7; 16 * 1024]);
    let (outbound, mut inbound) = client.chat();
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
    let mut count = 0;
    while let Some(message) = inbound.message().wait().unwrap() {
        assert_eq!(message.len(), 16 * 1024);
        count += 1;
    }
    sender.join().unwrap();
    assert_eq!(count, COUNT);
}

/// Waits for a minute before each call.
struct Slow(Arc<AtomicUsize>);

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Interceptor for Slow {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let _count = CountDrop(Arc::clone(&self.0));
        sleep(Duration::from_secs(60)).await;
        next.unary(request).await
    }
}

#[test]
fn an_interceptor_is_dropped_with_its_call_and_at_its_deadline() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let slow = Slow(Arc::clone(&dropped));
    let (_server, client) = pair(&Echo::default(), |server| server, |channel| channel.interceptor(slow));
    drop(client.unary("a"));
    let request = Request::new(Bytes::from_static(b"a")).with_timeout(Duration::from_millis(20));
    let status = client.request(request).wait().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let token = CancellationToken::new();
    let call = client.request(Request::new(Bytes::from_static(b"a")).with_cancellation(token.clone()));
    token.cancel();
    assert_eq!(call.wait().unwrap_err().code(), Code::Cancelled);
    // A call that ends before its interceptor has begun never makes the future that is counted.
    eventually("the interceptors' futures are dropped", || (1..=3).contains(&dropped.load(Ordering::SeqCst)));
}

#[test]
fn a_servers_interceptor_is_dropped_when_the_client_cancels() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let slow = Slow(Arc::clone(&dropped));
    let (_server, client) = pair(&Echo::default(), |server| server.interceptor(slow), |channel| channel);
    let request = Request::new(Bytes::from_static(b"a")).with_timeout(Duration::from_millis(50));
    assert_eq!(client.request(request).wait().unwrap_err().code(), Code::DeadlineExceeded);
    eventually("the interceptor's future is dropped", || dropped.load(Ordering::SeqCst) == 1);
}

#[test]
fn an_interceptor_that_panics_ends_its_call_alone() {
    let explosive = || {
        on_request(|request: &mut Request<()>| match request.metadata().contains_key("boom") {
            true => panic!("asked to"),
            false => Ok(()),
        })
    };
    let echo = Echo::default();
    let (_server, at_client) = pair(&echo, |server| server, |channel| channel.interceptor(explosive()));
    let (_other, at_server) = pair(&echo, |server| server.interceptor(explosive()), |channel| channel);
    for client in [at_client, at_server] {
        let mut request = Request::new(Bytes::from_static(b"a"));
        request.metadata_mut().insert("boom", "yes").unwrap();
        let status = client.request(request).wait().unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("panicked"), "{status}");
        assert_eq!(client.unary("a").wait().unwrap().message(), "a");
    }
}

#[test]
fn on_a_current_thread_engine_interceptors_of_both_sides_run_on_that_thread() {
    let engine = Engine::builder().current_thread().build().unwrap();
    let threads = Arc::new(Mutex::new(Vec::new()));
    let note = || {
        let threads = Arc::clone(&threads);
        on_request(move |_: &mut Request<()>| {
            threads.lock().unwrap().push(std::thread::current().id());
            Ok(())
        })
    };
    let server = builder(&Echo::default()).engine(&engine).interceptor(note()).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string())
        .plaintext()
        .engine(&engine)
        .interceptor(note())
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    engine.block_on(client.unary("a")).unwrap();
    assert_eq!(*threads.lock().unwrap(), vec![std::thread::current().id(); 2]);
}

#[test]
fn the_interceptor_of_an_unknown_services_handler_sees_the_path() {
    let log = Log::default();
    let server = Server::builder()
        .plaintext()
        .unknown_service_handler(|mut inbound, outbound| async move {
            while let Some(message) = inbound.message().await? {
                outbound.send(message).await?;
            }
            Ok(())
        })
        .interceptor(Watch { name: "proxy", log: log.clone() })
        .bind("127.0.0.1:0")
        .unwrap();
    assert_eq!(client(&server).unary("a").wait().unwrap().message(), "a");
    assert_eq!(
        log.take(),
        [
            format!("proxy > /test.Echo/Unary {:?}", MethodKind::BidiStreaming).as_str(),
            "proxy < OK after 1 and 1"
        ]
    );
}

#[test]
fn a_cancellation_token_ends_the_calls_that_were_made_with_it() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = connect(&server.local_address().to_string());
    let token = CancellationToken::new();
    let unary = client.request(Request::new(Bytes::from_static(b"wait")).with_cancellation(token.clone()));
    let (outbound, mut inbound) = client.chat_with(Request::new(()).with_cancellation(token.clone()));
    outbound.send(Bytes::from_static(b"one")).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "one");
    eventually("both handlers run", || echo.seen.started.load(Ordering::SeqCst) == 2);
    token.cancel();
    assert_eq!(unary.wait().unwrap_err().code(), Code::Cancelled);
    assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Cancelled);
    eventually("both handlers are dropped", || echo.seen.dropped.load(Ordering::SeqCst) == 2);
    let late = client.request(Request::new(Bytes::from_static(b"a")).with_cancellation(token));
    assert_eq!(late.wait().unwrap_err().code(), Code::Cancelled);
    assert_eq!(client.unary("a").wait().unwrap().message(), "a");
}
