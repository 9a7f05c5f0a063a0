//! How calls end early: deadlines, cancellation, stops, lost and missing servers.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::ConnectivityState;
use lariat::codec::Raw;
use lariat::credentials::{CallCredentials, CallTarget, MetadataFuture, SecurityLevel};
use lariat::server::{Handler, Service};
use lariat::{Channel, Code, Engine, Metadata, Request, Response, Server, Wait};
use support::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    client.unary("warm").wait().unwrap();
    let started = || echo.seen.started.load(Ordering::SeqCst);
    before_a_timeout("the handler runs", |timeout| {
        let request = Request::new(Bytes::from("wait")).with_timeout(timeout);
        assert_eq!(client.request(request).wait().unwrap_err().code(), Code::DeadlineExceeded);
        started() > 1
    });
    eventually("the handler is dropped", || echo.seen.dropped.load(Ordering::SeqCst) == started() - 1);
    assert_eq!(client.unary("after").wait().unwrap().into_message(), "after");
}

#[test]
fn a_handler_sees_the_deadline_and_the_peer() {
    let server = serve(&Echo::default());
    let client = client(&server);
    let request = Request::new(Bytes::from("deadline")).with_timeout(100_000 * MS);
    let left: u64 =
        std::str::from_utf8(client.request(request).wait().unwrap().message()).unwrap().parse().unwrap();
    assert!((40_000..=100_000).contains(&left), "{left}");
    let peer = client.unary("peer").wait().unwrap().into_message();
    assert!(peer.starts_with(b"127.0.0.1:"), "{peer:?}");
}

#[test]
fn an_expired_deadline_fails_without_a_connection() {
    let client = connect("127.0.0.1:1");
    let status =
        client.request(Request::new(Bytes::from("x")).with_timeout(Duration::ZERO)).wait().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[test]
fn dropping_a_call_drops_its_handler_and_tells_its_token() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    let call = client.unary("token");
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    drop(call);
    eventually("the handler is dropped", || echo.seen.dropped.load(Ordering::SeqCst) == 1);
    eventually("the token tells", || echo.seen.cancelled.load(Ordering::SeqCst) == 1);
}

#[test]
fn dropping_a_stream_drops_its_handler() {
    let echo = Echo::default();
    let server = serve(&echo);
    let (outbound, mut inbound) = client(&server).chat();
    outbound.send("x".into()).wait().unwrap();
    inbound.message().wait().unwrap();
    drop(inbound);
    eventually("the handler is dropped", || echo.seen.dropped.load(Ordering::SeqCst) == 1);
    eventually("the sender is told", || outbound.send("y".into()).wait().is_err());
}

#[test]
fn a_stop_ends_calls_with_unavailable_and_drops_handlers() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    let call = client.unary("wait");
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    server.stop().wait();
    let status = call.wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(echo.seen.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_graceful_stop_lets_calls_finish_and_takes_no_new_ones() {
    let echo = Echo::default();
    let server = serve(&echo);
    let address = server.local_address().to_string();
    let client = client(&server);
    let call = client.unary("wait400");
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    let stop = server.graceful_stop(PATIENCE);
    let status = connect(&address).unary("late").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(call.wait().unwrap().into_message(), "wait400");
    assert!(stop.wait(), "nothing had to be cut off");
}

#[test]
fn a_graceful_stop_has_a_time_limit() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    let call = client.unary("wait");
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    let begin = Instant::now();
    assert!(!server.graceful_stop(200 * MS).wait());
    assert!(begin.elapsed() >= 200 * MS);
    assert_eq!(call.wait().unwrap_err().code(), Code::Unavailable);
}

#[test]
fn without_a_server_a_call_fails_with_the_connect_error() {
    let status = connect("127.0.0.1:1").unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("127.0.0.1:1") && status.message().contains("refused"), "{status}");
}

#[test]
fn a_call_that_waits_for_ready_is_served_by_a_server_that_comes_late() {
    let server = serve_alone(&Echo::default());
    let address = server.local_address().to_string();
    drop(server);
    let channel = Channel::builder(address.clone()).plaintext();
    let backoff = lariat::client::backoff::BackoffConfig { base_delay: 50 * MS, ..Default::default() };
    let client = EchoClient::new(channel.backoff(backoff).build().unwrap());
    let patient = client.request(Request::new(Bytes::from("x")).with_wait_for_ready(true));
    let failed = || client.channel.state() == ConnectivityState::TransientFailure;
    eventually("a connect is refused", failed);
    let impatient = Request::new(Bytes::from("x")).with_wait_for_ready(true).with_timeout(100 * MS);
    let status = client.request(impatient).wait().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("refused"), "{status}");
    let _server = builder(&Echo::default()).bind(&address).unwrap();
    assert_eq!(patient.wait().unwrap().into_message(), "x");
}

#[test]
fn a_channel_reconnects_after_its_server_was_replaced() {
    let server = serve_alone(&Echo::default());
    let address = server.local_address().to_string();
    let client = client(&server);
    client.unary("one").wait().unwrap();
    drop(server);
    let _server = builder(&Echo::default()).bind(&address).unwrap();
    let again = Request::new(Bytes::from("two")).with_wait_for_ready(true).with_timeout(PATIENCE);
    assert_eq!(client.request(again).wait().unwrap().into_message(), "two");
}

#[test]
fn the_state_of_a_channel_can_be_watched() {
    let server = serve(&Echo::default());
    let channel = client(&server).channel;
    assert_eq!(channel.state(), ConnectivityState::Idle);
    channel.connect();
    let mut state = ConnectivityState::Idle;
    while state != ConnectivityState::Ready {
        state = channel.state_change(state).wait();
    }
    channel.close();
    while state != ConnectivityState::Shutdown {
        state = channel.state_change(state).wait();
    }
    let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    eventually("the connection is closed", || server.connections() == 0);
}

#[test]
fn closing_a_channel_cancels_its_calls() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    let call = client.unary("wait");
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    client.channel.close();
    assert_eq!(call.wait().unwrap_err().code(), Code::Cancelled);
    eventually("the handler is dropped", || echo.seen.dropped.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_dropped_channel_finishes_its_calls_and_closes_its_connection() {
    let server = serve(&Echo::default());
    let call = client(&server).unary("wait200");
    assert_eq!(call.wait().unwrap().into_message(), "wait200");
    eventually("the connection is closed", || server.connections() == 0);
}

/// Call credentials that take a while.
struct Slow;

impl CallCredentials for Slow {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        Box::pin(async {
            lariat::sleep(50 * MS).await;
            Ok(Metadata::new())
        })
    }

    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::None
    }
}

/// An address at which connects are not answered, since too many wait there already, and what keeps it so.
fn unanswering() -> (String, (socket2::Socket, Vec<TcpStream>)) {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, 100 * MS).ok()).collect();
    (address.to_string(), (socket, waiting))
}

#[test]
fn a_connection_that_is_being_made_is_given_up_with_its_channel() {
    let (target, _full) = unanswering();
    for is_dropped in [true, false] {
        let engine = Engine::builder().threads(1).build().unwrap();
        let connections = || engine.stats().iter().map(|stats| stats.connections).sum::<u64>();
        let channel = Channel::builder(&target).plaintext().engine(&engine).build().unwrap();
        channel.connect();
        eventually("the connection is being made", || connections() == 1);
        match is_dropped {
            true => drop(channel),
            false => channel.close(),
        }
        // The kernel would go on for twenty seconds.
        eventually("it is given up", || connections() == 0);
    }
}

#[test]
fn a_call_that_waits_for_its_credentials_is_sent_though_its_channel_is_dropped() {
    let server = serve(&Echo::default());
    let call = client(&server).request(Request::new(Bytes::from("hello")).with_call_credentials(Slow));
    assert_eq!(call.wait().unwrap().into_message(), "hello");
    eventually("the connection is closed", || server.connections() == 0);
}

#[test]
fn unix_sockets_and_abstract_names_work() {
    let path = std::env::temp_dir().join(format!("lariat-test-{}.sock", std::process::id()));
    let names =
        [format!("unix:{}", path.display()), format!("unix-abstract:lariat-test-{}", std::process::id())];
    for name in names {
        let server = builder(&Echo::default()).bind(&name).unwrap();
        assert_eq!(connect(&name).unary("hello").wait().unwrap().into_message(), "hello");
        assert_eq!(connect(&name).unary("peer").wait().unwrap().into_message(), "unix:");
        drop(server);
    }
    eventually("the socket file is removed", || !path.exists());
}

#[test]
fn dns_and_passthrough_targets_reach_the_server() {
    let server = serve(&Echo::default());
    let lariat::Address::Tcp(address) = server.local_address() else { panic!("not TCP") };
    let port = address.port();
    for target in [
        format!("dns:///localhost:{port}"),
        format!("localhost:{port}"),
        format!("passthrough:///127.0.0.1:{port}"),
    ] {
        assert_eq!(connect(&target).unary("hello").wait().unwrap().into_message(), "hello", "{target}");
    }
}

#[test]
fn security_has_to_be_chosen() {
    let error = Channel::builder("localhost:1").build().unwrap_err().to_string();
    assert!(error.contains("plaintext()"), "{error}");
    let error = Server::builder().bind("127.0.0.1:0").unwrap_err().to_string();
    assert!(error.contains("plaintext()"), "{error}");
}

#[test]
fn a_service_added_twice_and_an_address_in_use_are_errors() {
    let echo = Echo::default();
    let error = builder(&echo).add_service(echo.clone()).bind("127.0.0.1:0").unwrap_err().to_string();
    assert!(error.contains("/test.Echo/Unary was added twice"), "{error}");
    let server = serve(&echo);
    let error = builder(&echo).bind(&server.local_address().to_string()).unwrap_err().to_string();
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
}

/// `test.Large`: a unary and a streaming method whose trailers have 5,000 octets.
struct Large;

impl Service for Large {
    fn name(&self) -> &str {
        "test.Large"
    }

    fn methods(&self) -> Vec<Handler> {
        fn trailers() -> Metadata {
            let mut trailers = Metadata::new();
            trailers.insert("large", &"x".repeat(5_000)).unwrap();
            trailers
        }
        vec![
            Handler::unary::<Raw, Bytes, Bytes, _, _>("Unary", |request| async move {
                let mut response = Response::new(request.into_message());
                *response.trailers_mut() = trailers();
                Ok(response)
            }),
            Handler::server_streaming::<Raw, Bytes, Bytes, _, _>("Stream", |request, outbound| async move {
                outbound.send(request.into_message()).await?;
                outbound.set_trailers(trailers());
                Ok(())
            }),
        ]
    }
}

#[test]
fn trailers_that_are_too_large_for_the_client_become_a_status_that_says_so() {
    let server = Server::builder().plaintext().add_service(Large).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext();
    let channel = channel.max_header_list_size(1_000).build().unwrap();
    let method = |name: &str| channel.method(format!("/test.Large/{name}"));
    let request = || Request::new(Bytes::from("x")).with_timeout(PATIENCE);
    let unary = channel.unary::<Raw, _, Bytes>(&method("Unary"), request()).wait().unwrap_err();
    let mut inbound = channel.server_streaming::<Raw, _, Bytes>(&method("Stream"), request());
    assert_eq!(inbound.message().wait().unwrap(), Some(Bytes::from("x")));
    let stream = inbound.message().wait().unwrap_err();
    for status in [unary, stream] {
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("(1000 octets) set by client: 50"), "{status}");
    }
}

#[test]
fn an_answer_that_is_too_large_for_the_client_leaves_no_stream_open() {
    let server = serve(&Echo::default());
    let channel = Channel::builder(server.local_address().to_string()).plaintext();
    let channel = channel.max_header_list_size(250).build().unwrap();
    let method = channel.method(format!("/test.Echo/{}", "Long".repeat(1_000)));
    let request = Request::new(Bytes::from("x")).with_timeout(PATIENCE);
    let status = channel.unary::<Raw, _, Bytes>(&method, request).wait().unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
}
