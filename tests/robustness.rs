//! The places where calls were once lost: queues, panics of user code, peers that do not read, threads that end.

mod support;

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use lariat::codec::{Codec, Payload, Raw};
use lariat::server::{Handler, Service};
use lariat::{Channel, Code, Engine, Inbound, Outbound, Request, Response, Server, Status, Wait};
use lariat_frame::hpack::{Encoder, HeaderList, Indexing};
use lariat_frame::{PREFACE, StreamId, encode};
use support::*;

const MS: Duration = Duration::from_millis(1);

/// Runs `work` on a thread of its own and fails if it doesn't end.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("took too long or panicked: {what}"))
}

#[test]
fn a_call_that_waits_for_a_free_stream_ends_at_its_deadline() {
    let server = builder(&Echo::default()).max_concurrent_streams(1).bind("127.0.0.1:0").unwrap();
    let client = client(&server);
    let (outbound, mut inbound) = client.chat();
    outbound.send("x".into()).wait().unwrap();
    inbound.message().wait().unwrap();
    let request = Request::new(Bytes::from("late")).with_timeout(200 * MS);
    let call = client.request(request);
    let status = ends("a call with a deadline", move || call.wait()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    drop(outbound);
    drop(inbound);
    assert_eq!(client.unary("after").wait().unwrap().into_message(), "after");
}

/// `test.Spin`: a method whose handler is never done and asks to be polled again each time it is.
struct Spin;

impl Service for Spin {
    fn name(&self) -> &str {
        "test.Spin"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![Handler::unary::<Raw, Bytes, Bytes, _, _>("Spin", |_| {
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
        })]
    }
}

#[test]
fn a_handler_that_wakes_itself_without_end_leaves_room_for_other_connections() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let server = builder(&Echo::default()).add_service(Spin).engine(&engine).bind("127.0.0.1:0").unwrap();
    let spinning = client(&server);
    let spin = spinning.channel.method("/test.Spin/Spin");
    let call = spinning.channel.unary::<Raw, Bytes, Bytes>(&spin, Request::new(Bytes::new()));
    let other = client(&server);
    for _ in 0..20 {
        let request = Request::new(Bytes::from("small")).with_timeout(PATIENCE);
        assert_eq!(other.request(request).wait().unwrap().into_message(), "small");
    }
    drop(call);
}

#[test]
fn calls_that_wait_for_a_free_stream_are_served_in_turn() {
    let server = builder(&Echo::default()).max_concurrent_streams(2).bind("127.0.0.1:0").unwrap();
    let client = client(&server);
    let calls: Vec<_> = (0..50).map(|i| client.unary(format!("{i}"))).collect();
    for (i, call) in calls.into_iter().enumerate() {
        let response = ends("a call in the queue", move || call.wait()).unwrap();
        assert_eq!(response.into_message(), format!("{i}"));
    }
}

/// A codec that panics on what begins with `panic`.
struct Fragile;

impl Codec<Bytes> for Fragile {
    const SUBTYPE: &'static str = "";
    fn encoded_len(message: &Bytes) -> usize {
        message.len()
    }
    fn encode(message: &Bytes, out: &mut Vec<u8>) {
        out.extend_from_slice(&message[..message.len() / 2]);
        assert!(!message.starts_with(b"encode"), "asked to panic while encoding");
        out.extend_from_slice(&message[message.len() / 2..]);
    }
    fn decode(payload: Payload<'_>) -> Result<Bytes, Status> {
        assert!(!payload.as_ref().starts_with(b"decode"), "asked to panic while decoding");
        Ok(Bytes::copy_from_slice(payload.as_ref()))
    }
}

struct FragileEcho;

impl Service for FragileEcho {
    fn name(&self) -> &str {
        "test.Fragile"
    }
    fn methods(&self) -> Vec<Handler> {
        vec![
            Handler::unary::<Fragile, _, _, _, _>("Unary", |request: Request<Bytes>| async move {
                Ok(Response::new(request.into_message()))
            }),
            Handler::unary::<Fragile, _, _, _, _>("Bad", |_: Request<Bytes>| async move {
                Ok(Response::new(Bytes::from("encode badly")))
            }),
            Handler::bidi_streaming::<Fragile, _, _, _, _>(
                "Chat",
                |mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>| async move {
                    while let Some(message) = inbound.message().await? {
                        outbound.send(message).await?;
                    }
                    Ok(())
                },
            ),
        ]
    }
}

fn fragile() -> (Engine, Server, Engine, Channel) {
    let engine = Engine::builder().threads(1).build().unwrap();
    let server = Server::builder()
        .plaintext()
        .engine(&engine)
        .add_service(FragileEcho)
        .add_service(Echo::default())
        .bind("127.0.0.1:0")
        .unwrap();
    let mine = Engine::builder().threads(1).build().unwrap();
    let channel =
        Channel::builder(server.local_address().to_string()).plaintext().engine(&mine).build().unwrap();
    (engine, server, mine, channel)
}

fn still_serves(channel: &Channel) {
    let client = EchoClient::new(channel.clone());
    let call = client.unary("after");
    let response = ends("a call after a panic", move || call.wait()).unwrap();
    assert_eq!(response.into_message(), "after");
}

#[test]
fn a_codec_that_panics_while_a_server_decodes_a_stream_ends_that_call_only() {
    let (_engine, _server, _mine, channel) = fragile();
    still_serves(&channel);
    let (outbound, mut inbound) =
        channel.bidi_streaming::<Raw, Bytes, Bytes>(&channel.method("/test.Fragile/Chat"), Request::new(()));
    outbound.send("decode".into()).wait().unwrap();
    let status = ends("the call", move || inbound.message().wait()).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    still_serves(&channel);
}

#[test]
fn a_codec_that_panics_while_a_client_decodes_ends_that_call_only() {
    let (_engine, _server, _mine, channel) = fragile();
    still_serves(&channel);
    let call = channel
        .unary::<Fragile, Bytes, Bytes>(&channel.method("/test.Echo/Unary"), Request::new("decode".into()));
    let status = ends("the call", move || call.wait()).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    still_serves(&channel);
}

#[test]
fn a_codec_that_panics_while_a_server_encodes_a_response_ends_that_call_only() {
    let (_engine, _server, _mine, channel) = fragile();
    still_serves(&channel);
    let other = EchoClient::new(channel.clone()).unary("wait300");
    let call =
        channel.unary::<Raw, Bytes, Bytes>(&channel.method("/test.Fragile/Bad"), Request::new("x".into()));
    let status = ends("the call", move || call.wait()).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(other.wait().unwrap().into_message(), "wait300", "calls beside it go on");
    still_serves(&channel);
}

#[test]
fn a_codec_that_panics_in_send_leaves_no_half_message_behind() {
    let (_engine, _server, _mine, channel) = fragile();
    still_serves(&channel);
    let (outbound, mut inbound) = channel
        .bidi_streaming::<Fragile, Bytes, Bytes>(&channel.method("/test.Fragile/Chat"), Request::new(()));
    for _ in 0..50 {
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            outbound.send("encode this".into()).wait()
        }));
        assert!(sent.is_err());
        outbound.send("fine".into()).wait().unwrap();
    }
    drop(outbound);
    let count = ends("the echoes", move || {
        let mut count = 0;
        while let Some(message) = inbound.message().wait().unwrap() {
            assert_eq!(message, "fine");
            count += 1;
        }
        count
    });
    assert_eq!(count, 50);
    still_serves(&channel);
}

/// A waker of an executor that fails.
struct Bad;

impl std::task::Wake for Bad {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("asked to panic while waking");
    }
}

#[test]
fn a_waker_of_stopped_that_panics_does_not_stop_the_loop() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let first = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let mut stopped = std::pin::pin!(first.stopped());
    let waker = std::task::Waker::from(std::sync::Arc::new(Bad));
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(stopped.as_mut().poll(&mut cx).is_pending());
    drop(first.stop());
    let second = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let request = Request::new(Bytes::from("after")).with_timeout(PATIENCE);
    assert_eq!(client(&second).request(request).wait().unwrap().into_message(), "after");
}

#[test]
fn a_loop_may_look_for_events_without_end() {
    let engine = Engine::builder().current_thread().busy_poll(Duration::MAX).build().unwrap();
    engine.block_on(lariat::sleep(MS));
}

#[test]
fn a_waker_that_panics_does_not_stop_the_loop() {
    let (_engine, _server, _mine, channel) = fragile();
    still_serves(&channel);
    let mut call = EchoClient::new(channel.clone()).unary("wait50");
    let waker = std::task::Waker::from(std::sync::Arc::new(Bad));
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut call).poll(&mut cx).is_pending());
    std::thread::sleep(300 * MS);
    still_serves(&channel);
}

/// HEADERS that open a call.
fn open_call(octets: &mut Vec<u8>, encoder: &mut Encoder, stream: u32, path: &str) {
    let mut list = HeaderList::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        list.push(name.as_bytes(), value.as_bytes(), Indexing::Skip);
    }
    let mut block = Vec::new();
    encoder.encode(list.iter(), &mut block);
    encode::headers(octets, StreamId::new(stream), &block, 16_384, false);
}

#[test]
fn a_peer_that_does_not_read_cannot_keep_a_server_from_stopping() {
    let server = serve(&Echo::default());
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    let mut octets = PREFACE.to_vec();
    encode::settings(&mut octets, &[(4, 0x7fff_ffff)]);
    encode::window_update(&mut octets, StreamId::ZERO, 0x7fff_0000);
    let mut encoder = Encoder::new(4_096);
    open_call(&mut octets, &mut encoder, 1, "/test.Echo/Download");
    let mut message = 100_000u32.to_be_bytes().to_vec();
    message.resize(10_000, 7);
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(&message);
    encode::data_header(&mut octets, StreamId::new(1), body.len(), true);
    octets.extend_from_slice(&body);
    socket.write_all(&octets).unwrap();
    std::thread::sleep(1_500 * MS);
    ends("the stop", move || drop(server));
    drop(socket);
}

#[test]
fn a_client_kept_in_a_thread_local_may_outlive_the_threads_other_values() {
    thread_local! {
        static KEPT: RefCell<Option<EchoClient>> = const { RefCell::new(None) };
    }
    let server = serve(&Echo::default());
    let address = server.local_address().to_string();
    std::thread::spawn(move || {
        KEPT.with_borrow_mut(|kept| {
            let client = kept.insert(connect(&address));
            client.unary("x").wait().unwrap();
        });
    })
    .join()
    .unwrap();
    assert_eq!(client(&server).unary("y").wait().unwrap().into_message(), "y");
}

#[test]
fn endless_durations_are_no_panic() {
    let mut sleep = std::pin::pin!(lariat::sleep(Duration::MAX));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    let server = builder(&Echo::default())
        .max_connection_age(Duration::MAX, Some(Duration::MAX))
        .max_connection_idle(Duration::MAX)
        .keepalive(Duration::MAX, Duration::MAX)
        .keepalive_enforcement(Duration::MAX, false)
        .bind("127.0.0.1:0")
        .unwrap();
    let channel = Channel::builder(server.local_address().to_string())
        .plaintext()
        .timeout(Duration::MAX)
        .idle_timeout(Some(Duration::MAX))
        .min_connect_timeout(Duration::MAX)
        .keepalive(Duration::MAX, Duration::MAX, true)
        .build()
        .unwrap();
    let call = EchoClient::new(channel).unary("x");
    assert_eq!(ends("the call", move || call.wait()).unwrap().into_message(), "x");
}

#[test]
fn an_address_is_free_again_once_its_server_is_dropped() {
    let server = serve_alone(&Echo::default());
    let address = server.local_address().to_string();
    drop(server);
    for _ in 0..200 {
        builder(&Echo::default()).bind(&address).expect("the address is free");
    }
}

#[test]
fn a_server_that_ends_a_call_early_leaves_no_stream_behind() {
    let server = builder(&Echo::default()).max_concurrent_streams(4).bind("127.0.0.1:0").unwrap();
    let client = client(&server);
    let mut kept = Vec::new();
    for _ in 0..20 {
        let (outbound, mut inbound) = client.chat();
        outbound.send("abort".into()).wait().unwrap();
        let status = ends("the call", move || inbound.message().wait()).unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        kept.push(outbound);
    }
    assert_eq!(client.unary("after").wait().unwrap().into_message(), "after");
}

#[test]
fn response_headers_that_are_too_large_end_the_call_and_its_handler() {
    struct Large(mpsc::Sender<Status>);
    impl Service for Large {
        fn name(&self) -> &str {
            "test.Large"
        }
        fn methods(&self) -> Vec<Handler> {
            let told = self.0.clone();
            let serve = move |_: Inbound<Bytes>, outbound: Outbound<Bytes>| {
                let told = told.clone();
                std::thread::spawn(move || {
                    let mut headers = lariat::Metadata::new();
                    headers.insert("large", &"x".repeat(40_000)).unwrap();
                    outbound.send_headers(headers).unwrap();
                    loop {
                        if let Err(status) = outbound.send(vec![0; 20_000].into()).wait() {
                            return told.send(status);
                        }
                    }
                });
                std::future::pending()
            };
            vec![Handler::bidi_streaming::<Raw, _, _, _, _>("Chat", serve)]
        }
    }
    let (sender, receiver) = mpsc::channel();
    let server = Server::builder().plaintext().add_service(Large(sender)).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build().unwrap();
    let (_outbound, mut inbound) =
        channel.bidi_streaming::<Raw, Bytes, Bytes>(&channel.method("/test.Large/Chat"), Request::new(()));
    let status = ends("the call", move || inbound.message().wait()).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(receiver.recv_timeout(PATIENCE).expect("the sender is told").code(), Code::Internal);
}

#[test]
fn many_calls_may_wait_for_a_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = connect(&listener.local_addr().unwrap().to_string());
    let calls: Vec<_> = (0..30_000).map(|_| client.unary("x")).collect();
    client.channel.close();
    for call in calls {
        assert_eq!(call.wait().unwrap_err().code(), Code::Cancelled);
    }
}
