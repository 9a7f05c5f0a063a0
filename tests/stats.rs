//! What stats handlers of both sides are told, over loopback.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lariat::stats::{Begin, CallEvent, CallStats, StatsHandler};
use lariat::{Channel, Request, Server, Wait};
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
            CallEvent::OutHeader { metadata } => format!("head out {}", metadata.len()),
            CallEvent::InHeader { metadata } => format!("head in {}", metadata.get("key").unwrap_or("-")),
            CallEvent::OutPayload { octets } => format!("{octets} out"),
            CallEvent::InPayload { octets } => format!("{octets} in"),
            CallEvent::OutTrailer => "trailers out".to_owned(),
            CallEvent::InTrailer { metadata } => format!("trailers in {}", metadata.len()),
            CallEvent::End { status: Ok(()) } => "OK".to_owned(),
            CallEvent::End { status: Err(status) } => status.code().to_string(),
            other => format!("{other:?}"),
        };
        self.log.0.lock().unwrap()[self.index].push(line);
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
            "Unary Unary 0, head in value, 8 in, head out 1, 8 out, trailers out, OK",
            "Unary Unary 0, head in -, 4 in, trailers out, FAILED_PRECONDITION",
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
             trailers out, OK"]
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

#[test]
fn an_attempt_that_no_server_processed_is_made_once_more_and_told_of_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(refuse));
    let log = Log::default();
    let channel = Channel::builder(target).plaintext().stats_handler(log.clone()).build().unwrap();
    EchoClient::new(channel).unary("a").wait().unwrap_err();
    assert_eq!(
        log.calls(2),
        [
            "Unary Unary 0, picked, head out 0, 1 out, UNAVAILABLE",
            "Unary Unary 0 again, picked, head out 0, 1 out, UNAVAILABLE",
        ]
    );
}
