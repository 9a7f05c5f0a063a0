//! What stats handlers of both sides are told, over loopback.

mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use lariat::client::dialer::Dialed;
use lariat::credentials::{CallCredentials, CallTarget, MetadataFuture, SecurityLevel};
use lariat::stats::{
    Begin, CallEvent, CallStats, ConnectionBegin, ConnectionStats, MessageSize, StatsHandler,
};
use lariat::{Address, Channel, Code, Metadata, Peer, PeerAddress, Request, Server, Wait};
use support::*;

/// Writes down what it is told, call by call.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Vec<String>>>>);

struct Call {
    log: Log,
    index: usize,
}

impl StatsHandler for Log {
    fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        let mut calls = self.0.lock().unwrap();
        let method = begin.path.rsplit('/').next().unwrap_or_default();
        let again = if begin.is_transparent_retry { " again" } else { "" };
        calls.push(vec![format!("{method} {:?} {}{again}", begin.kind, begin.previous_attempts)]);
        Some(Box::new(Call { log: self.clone(), index: calls.len() - 1 }))
    }
}

impl CallStats for Call {
    fn handle(&mut self, event: &CallEvent<'_>) {
        let line = match event {
            CallEvent::DelayedPickComplete => "picked".to_owned(),
            CallEvent::OutHeader { metadata, compression, .. } => {
                format!("{}head out {}", by(compression), metadata.len())
            }
            CallEvent::InHeader { metadata, compression, .. } => {
                format!("{}head in {}", by(compression), metadata.get("key").unwrap_or("-"))
            }
            CallEvent::OutPayload { size, .. } => format!("{} out", octets(size)),
            CallEvent::InPayload { size, .. } => format!("{} in", octets(size)),
            CallEvent::OutTrailer { metadata, .. } => format!("trailers out {}", metadata.len()),
            CallEvent::InTrailer { metadata, .. } => format!("trailers in {}", metadata.len()),
            CallEvent::End { status: Ok(()), .. } => "OK".to_owned(),
            CallEvent::End { status: Err(status), .. } => status.code().to_string(),
            other => format!("{other:?}"),
        };
        self.log.0.lock().unwrap()[self.index].push(line);
    }
}

fn by(compression: &Option<&str>) -> String {
    compression.map_or(String::new(), |algorithm| format!("{algorithm} "))
}

/// The octets of a message, and the fewer ones of a compressed one.
fn octets(size: &MessageSize) -> String {
    assert_eq!(size.wire_length(), size.compressed_length + 5);
    match size.length {
        Some(length) if length == size.compressed_length => length.to_string(),
        Some(length) => {
            assert!(size.compressed_length < length);
            format!("{length} compressed")
        }
        None => "compressed".to_owned(),
    }
}

impl Log {
    /// The calls that have ended, when there are as many.
    #[track_caller]
    fn calls(&self, count: usize) -> Vec<String> {
        eventually("all calls have ended", || {
            let calls = self.0.lock().unwrap();
            let ended = |call: &Vec<String>| {
                let last = call.last().map_or("", String::as_str);
                last == "OK" || last.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            };
            calls.len() == count && calls.iter().all(ended)
        });
        self.0.lock().unwrap().drain(..).map(|call| call.join(", ")).collect()
    }
}

struct Pair {
    echo: Echo,
    _server: Server,
    client: EchoClient,
    at_server: Log,
    at_client: Log,
}

fn pair(service_config: &str) -> Pair {
    let (echo, at_server, at_client) = (Echo::default(), Log::default(), Log::default());
    let server = builder(&echo).stats_handler(at_server.clone()).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string())
        .plaintext()
        .default_service_config(service_config)
        .stats_handler(at_client.clone())
        .build()
        .unwrap();
    channel.connect();
    eventually("the channel is ready", || channel.state() == lariat::client::ConnectivityState::Ready);
    Pair { echo, _server: server, client: EchoClient::new(channel), at_server, at_client }
}

#[test]
fn unary_calls_are_told_of_on_both_sides() {
    let Pair { client, at_server, at_client, _server, .. } = pair("{}");
    let mut request = Request::new(Bytes::from_static(b"metadata"));
    request.metadata_mut().insert("key", "value").unwrap();
    client.request(request).wait().unwrap();
    client.unary("fail").wait().unwrap_err();
    assert_eq!(
        at_client.calls(2),
        [
            "Unary Unary 0, head out 1, 8 out, head in value, 8 in, trailers in 1, OK",
            "Unary Unary 0, head out 0, 4 out, trailers in 1, FAILED_PRECONDITION",
        ]
    );
    assert_eq!(
        at_server.calls(2),
        [
            "Unary Unary 0, head in value, 8 in, head out 1, 8 out, trailers out 1, OK",
            "Unary Unary 0, head in -, 4 in, trailers out 1, FAILED_PRECONDITION",
        ]
    );
}

#[test]
fn messages_of_streams_are_told_of_one_by_one() {
    let Pair { client, at_server, at_client, _server, .. } = pair("{}");
    let (outbound, mut inbound) = client.chat();
    for size in [3, 20_000, 0] {
        outbound.send(Bytes::from(vec![b'x'; size])).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap().len(), size);
    }
    outbound.finish();
    assert!(inbound.message().wait().unwrap().is_none());
    assert_eq!(
        at_client.calls(1),
        ["Chat BidiStreaming 0, head out 0, 3 out, head in -, 3 in, 20000 out, 20000 in, 0 out, 0 in, \
             trailers in 1, OK"]
    );
    assert_eq!(
        at_server.calls(1),
        ["Chat BidiStreaming 0, head in -, 3 in, head out 0, 3 out, 20000 in, 20000 out, 0 in, 0 out, \
             trailers out 1, OK"]
    );
}

#[test]
fn a_call_that_is_cancelled_ends_on_both_sides() {
    let Pair { echo, client, at_server, at_client, _server, .. } = pair("{}");
    let call = client.unary("wait");
    eventually("the call is there", || echo.seen.started.load(Ordering::SeqCst) == 1);
    drop(call);
    assert_eq!(at_client.calls(1), ["Unary Unary 0, head out 0, 4 out, CANCELLED"]);
    assert_eq!(at_server.calls(1), ["Unary Unary 0, head in -, 4 in, CANCELLED"]);
}

#[test]
fn each_attempt_is_told_of() {
    let retry = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["FAILED_PRECONDITION"]}}]}"#;
    let Pair { client, at_client, _server, .. } = pair(retry);
    client.unary("fail").wait().unwrap_err();
    let attempt = |previous: u32| {
        // The second and the third tell the server which they are.
        let metadata = previous.min(1);
        format!("Unary Unary {previous}, head out {metadata}, 4 out, trailers in 1, FAILED_PRECONDITION")
    };
    assert_eq!(at_client.calls(3), [attempt(0), attempt(1), attempt(2)]);
}

#[test]
fn a_call_that_waits_for_its_connection_says_when_it_has_one() {
    let log = Log::default();
    let server = serve(&Echo::default());
    let target = server.local_address().to_string();
    let channel = Channel::builder(target).plaintext().stats_handler(log.clone()).build().unwrap();
    EchoClient::new(channel).unary("a").wait().unwrap();
    assert_eq!(
        log.calls(1),
        ["Unary Unary 0, picked, head out 0, 1 out, head in -, 1 in, trailers in 0, OK"]
    );
}

/// Sends SETTINGS to each connection and, when a request is there, GOAWAY that says that it was not processed.
fn refuse(mut stream: TcpStream) {
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    while !seen.windows(6).any(|window| window == b"\0\0\0\0\x01a") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
        }
    }
    stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    // Until the client hangs up, so that it sees the frame.
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Call credentials that count how often they were asked.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl CallCredentials for Asked {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(Metadata::new())))
    }

    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::None
    }
}

#[test]
fn an_attempt_that_no_server_processed_is_made_once_more_and_told_of_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(refuse));
    let log = Log::default();
    let channel = Channel::builder(target).plaintext().stats_handler(log.clone()).build().unwrap();
    let asked = Asked::default();
    let request = Request::new(Bytes::from_static(b"a")).with_call_credentials(asked.clone());
    EchoClient::new(channel).request(request).wait().unwrap_err();
    assert_eq!(asked.0.load(Ordering::SeqCst), 2, "each attempt has credentials of its own");
    assert_eq!(
        log.calls(2),
        [
            "Unary Unary 0, picked, head out 0, 1 out, UNAVAILABLE",
            "Unary Unary 0 again, picked, head out 0, 1 out, UNAVAILABLE",
        ]
    );
}

#[test]
fn compressed_messages_have_two_sizes_where_both_are_known() {
    let Pair { client, at_server, at_client, _server, .. } = pair("{}");
    let message = || Bytes::from(vec![b'x'; 1000]);
    client.request(Request::new(message()).with_compression("gzip")).wait().unwrap();
    let (outbound, mut inbound) = client.chat_with(Request::new(()).with_compression("gzip"));
    outbound.send(message()).wait().unwrap();
    inbound.message().wait().unwrap();
    outbound.send_uncompressed(message()).wait().unwrap();
    inbound.message().wait().unwrap();
    outbound.finish();
    assert!(inbound.message().wait().unwrap().is_none());
    assert_eq!(
        at_client.calls(2),
        [
            "Unary Unary 0, gzip head out 0, 1000 compressed out, gzip head in -, 1000 compressed in, \
             trailers in 0, OK",
            "Chat BidiStreaming 0, gzip head out 0, compressed out, gzip head in -, compressed in, \
             1000 out, compressed in, trailers in 1, OK",
        ]
    );
    assert_eq!(
        at_server.calls(2),
        [
            "Unary Unary 0, gzip head in -, 1000 compressed in, gzip head out 0, 1000 compressed out, \
             trailers out 0, OK",
            "Chat BidiStreaming 0, gzip head in -, compressed in, gzip head out 0, compressed out, \
             1000 in, compressed out, trailers out 1, OK",
        ]
    );
}

#[test]
fn calls_that_reach_no_handler_are_told_of_on_the_server() {
    let (echo, log) = (Echo::default(), Log::default());
    let server = builder(&echo)
        .accept_compression(["gzip"])
        .max_receive_message_size(100)
        .stats_handler(log.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build().unwrap();
    let nowhere = channel.method("/test.Echo/Nowhere");
    let call = channel.unary::<lariat::codec::Raw, _, Bytes>(&nowhere, Request::new(Bytes::new()));
    assert_eq!(call.wait().unwrap_err().code(), Code::Unimplemented);
    let client = EchoClient::new(channel);
    let status = client.unary(vec![0; 101]).wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let deflated = Request::new(Bytes::from(vec![0; 50])).with_compression("deflate");
    assert_eq!(client.request(deflated).wait().unwrap_err().code(), Code::Unimplemented);
    let bomb = Request::new(Bytes::from(vec![0; 10_000])).with_compression("gzip");
    assert_eq!(client.request(bomb).wait().unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(
        log.calls(4),
        [
            "Nowhere BidiStreaming 0, head in -, trailers out 0, UNIMPLEMENTED",
            "Unary Unary 0, head in -, trailers out 0, RESOURCE_EXHAUSTED",
            "Unary BidiStreaming 0, deflate head in -, trailers out 0, UNIMPLEMENTED",
            "Unary Unary 0, gzip head in -, trailers out 0, RESOURCE_EXHAUSTED",
        ]
    );
    assert_eq!(echo.seen.started.load(Ordering::SeqCst), 0);
}

#[test]
fn calls_of_a_client_that_closes_its_connection_are_told_of_as_cancelled() {
    let (echo, log) = (Echo::default(), Log::default());
    let server = builder(&echo).stats_handler(log.clone()).bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    let end = socket.try_clone().unwrap();
    let dialed = Mutex::new(Some(socket));
    let dial = move |_: &Address, _: Instant| -> io::Result<Dialed> {
        let socket = dialed.lock().unwrap().take();
        socket.map(Dialed::from).ok_or_else(|| io::Error::other("there is but one connection"))
    };
    let channel = Channel::builder(server.local_address().to_string()).plaintext().dialer(dial);
    let (_outbound, _inbound) = EchoClient::new(channel.build().unwrap()).chat();
    eventually("the handler runs", || echo.seen.started.load(Ordering::SeqCst) == 1);
    end.shutdown(Shutdown::Write).unwrap();
    assert_eq!(log.calls(1), ["Chat BidiStreaming 0, head in -, CANCELLED"]);
}

/// Writes down the peers of connections, and how many there are.
#[derive(Clone, Default)]
struct Connections {
    seen: Arc<Mutex<Vec<(bool, Peer)>>>,
    open: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<Peer>>>,
}

struct Connection(Arc<AtomicUsize>);

struct Heads(Arc<Mutex<Vec<Peer>>>, bool);

impl StatsHandler for Connections {
    fn begin(&self, begin: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        Some(Box::new(Heads(Arc::clone(&self.heads), begin.is_client)))
    }

    fn begin_connection(&self, begin: &ConnectionBegin<'_>) -> Option<Box<dyn ConnectionStats>> {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().unwrap().push((begin.is_client, begin.peer.clone()));
        Some(Box::new(Connection(Arc::clone(&self.open))))
    }
}

impl CallStats for Heads {
    fn handle(&mut self, event: &CallEvent<'_>) {
        match (event, self.1) {
            (CallEvent::OutHeader { peer, .. }, true) | (CallEvent::InHeader { peer, .. }, false) => {
                self.0.lock().unwrap().push((*peer).clone());
            }
            _ => {}
        }
    }
}

impl ConnectionStats for Connection {
    fn handle_end(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn connections_are_told_of_on_both_sides_with_both_of_their_addresses() {
    let (at_server, at_client) = (Connections::default(), Connections::default());
    // Two handlers each: both are told.
    let other = Connections::default();
    let server = builder(&Echo::default())
        .stats_handler(at_server.clone())
        .stats_handler(other.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let target = server.local_address().to_string();
    let channel = Channel::builder(&target)
        .plaintext()
        .stats_handler(at_client.clone())
        .stats_handler(other.clone())
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    client.unary("a").wait().unwrap();
    client.unary("a").wait().unwrap();
    assert_eq!(other.open.load(Ordering::SeqCst), 2);
    let one = |log: &Connections| {
        let seen = std::mem::take(&mut *log.seen.lock().unwrap());
        let [(is_client, peer)] = &seen[..] else { panic!("{seen:?}") };
        // Calls are told with the same ends.
        let heads = log.heads.lock().unwrap();
        assert_eq!(heads.len(), 2);
        assert!(heads.iter().all(|head| head.local_address() == peer.local_address()));
        (*is_client, peer.address().clone(), peer.local_address().cloned().unwrap())
    };
    let (is_client, server_address, client_address) = one(&at_client);
    assert!(is_client);
    assert_eq!(server_address, PeerAddress::Tcp(target.parse().unwrap()));
    assert_eq!(one(&at_server), (false, client_address, server_address));
    drop(client);
    eventually("all connections have ended", || {
        [&at_server, &at_client, &other].iter().all(|log| log.open.load(Ordering::SeqCst) == 0)
    });
}

/// A handler that wants to know of nothing.
struct Deaf;

impl StatsHandler for Deaf {
    fn begin(&self, _: &Begin<'_>) -> Option<Box<dyn CallStats>> {
        None
    }
}

#[test]
fn a_handler_may_decline_what_another_wants() {
    let log = Log::default();
    let server = builder(&Echo::default()).stats_handler(Deaf).stats_handler(log.clone());
    let server = server.bind("127.0.0.1:0").unwrap();
    client(&server).unary("a").wait().unwrap();
    assert_eq!(log.calls(1), ["Unary Unary 0, head in -, 1 in, head out 0, 1 out, trailers out 0, OK"]);
}
