//! What befalls a channel and its backends in service: backends that die and return, that are all down, that are
//! restarted one after the other under load, that accept and say nothing, and that send every caller away.

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::backoff::BackoffConfig;
use lariat::client::resolver::{Manual, Resolution};
use lariat::client::{ChannelBuilder, Method};
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::{Address, Channel, Code, Request, Response, Server, Status, Wait};
use lariat_frame::WriteBuf;
use lariat_frame::hpack::{HeaderList, Indexing};
use lariat_http2::{Config, Connection, Event, HeaderBlock};

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#;
const ROUND_ROBIN_WITH_RETRIES: &str = r#"{
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.01s",
            "maxBackoff": "0.1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }]
}"#;

/// Bounds every call, so that a scene that hangs fails instead.
const CALL_TIME: Duration = Duration::from_secs(30);

/// `test.Name`: answers with the name of the backend.
struct Name(Bytes);

impl Service for Name {
    fn name(&self) -> &str {
        "test.Name"
    }

    fn methods(&self) -> Vec<Handler> {
        let name = self.0.clone();
        vec![Handler::unary::<Raw, Bytes, Bytes, _, _>("Get", move |_| {
            let name = name.clone();
            async move { Ok(Response::new(name)) }
        })]
    }
}

/// A backend that can be stopped and started again at its address.
struct Backend {
    name: String,
    address: SocketAddr,
    server: Option<Server>,
}

impl Backend {
    fn start(name: &str) -> Backend {
        let server = serve(name, "127.0.0.1:0");
        let Address::Tcp(address) = *server.local_address() else { panic!("a TCP address") };
        Backend { name: name.to_owned(), address, server: Some(server) }
    }

    /// At once: connections are closed under the calls.
    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().wait();
        }
    }

    /// Lets the calls end and starts a new server.
    fn restart(&mut self) {
        if let Some(server) = self.server.take() {
            assert!(server.graceful_stop(CALL_TIME).wait(), "calls were cut off");
        }
        self.server = Some(serve(&self.name, &self.address.to_string()));
    }
}

fn serve(name: &str, address: &str) -> Server {
    let service = Name(Bytes::copy_from_slice(name.as_bytes()));
    Server::builder().plaintext().add_service(service).bind(address).expect("an address on loopback")
}

struct Client {
    channel: Channel,
    get: Method,
}

impl Client {
    /// A channel to these backends that tries again soon.
    fn new(
        addresses: &[SocketAddr],
        config: &str,
        more: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
    ) -> Client {
        let backends = Manual::new("scene");
        backends.update(addresses.iter().map(|address| Address::Tcp(*address)).collect::<Resolution>());
        let backoff = BackoffConfig { base_delay: Duration::from_millis(50), ..BackoffConfig::default() };
        let builder = Channel::builder("scene:///names")
            .resolver(backends)
            .plaintext()
            .backoff(backoff)
            .default_service_config(config);
        let channel = more(builder).build().expect("a valid channel");
        Client { get: channel.method("/test.Name/Get"), channel }
    }

    fn call(&self, wait_for_ready: bool) -> Result<String, Status> {
        let request = Request::new(Bytes::new()).with_timeout(CALL_TIME).with_wait_for_ready(wait_for_ready);
        let response = self.channel.unary::<Raw, Bytes, Bytes>(&self.get, request).wait()?;
        Ok(String::from_utf8_lossy(response.message()).into_owned())
    }

    /// Who answers so many calls, and how many of them.
    fn answers(&self, calls: usize) -> HashMap<String, usize> {
        let mut answers = HashMap::new();
        for _ in 0..calls {
            *answers.entry(self.call(true).expect("an answer")).or_default() += 1;
        }
        answers
    }
}

#[test]
fn a_backend_that_dies_and_returns_costs_no_call_and_gets_its_share_again() {
    let mut backends = ["a", "b", "c"].map(Backend::start);
    let addresses = backends.each_ref().map(|backend| backend.address);
    let client = Client::new(&addresses, ROUND_ROBIN_WITH_RETRIES, |builder| builder);
    support::eventually("calls reach all three", || client.answers(6).len() == 3);

    let done = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    let after = |more: usize| {
        let target = calls.load(Ordering::SeqCst) + more;
        support::eventually("calls go on", || calls.load(Ordering::SeqCst) >= target);
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    client.call(false).unwrap_or_else(|status| panic!("a call failed: {status}"));
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        after(200);
        backends[1].stop();
        after(200);
        assert!(!client.answers(30).contains_key("b"), "an answer of a backend that is gone");
        backends[1].restart();
        support::eventually("the one that returned is called", || client.answers(6).contains_key("b"));
        after(200);
        done.store(true, Ordering::SeqCst);
    });
    // By turns again: a third each, but for where the count begins.
    let answers = client.answers(30);
    assert!(answers.values().all(|count| (9..=11).contains(count)), "{answers:?}");
}

#[test]
fn when_all_backends_are_down_attempts_back_off_and_the_first_call_after_that_succeeds() {
    // Accepts and closes: what a port does whose server is about to fail.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let started = Instant::now();
    let closing = std::thread::spawn(move || {
        for _ in 0..5 {
            drop(listener.accept().unwrap());
        }
        started.elapsed()
    });
    let client = Client::new(&[address], ROUND_ROBIN, |builder| builder);
    let status = client.call(false).expect_err("nobody serves");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(&address.to_string()), "no word of {address}: {status}");
    // 50 ms, then 1.6 times as long each time, less a fifth at most: never sooner.
    let least = Duration::from_millis(50 + 64 + 102 + 163);
    let took = closing.join().unwrap();
    assert!(took >= least, "five attempts in {took:?}");
    let _server = serve("a", &address.to_string());
    assert_eq!(client.call(true).unwrap(), "a");
}

#[test]
fn a_rolling_restart_under_load_fails_none_of_a_hundred_thousand_calls() {
    const CALLS: usize = 100_000;
    const CALLERS: usize = 16;
    let mut backends = ["a", "b", "c"].map(Backend::start);
    let addresses = backends.each_ref().map(|backend| backend.address);
    let client = Client::new(&addresses, ROUND_ROBIN, |builder| builder);
    let calls = AtomicUsize::new(0);
    let mut restarts = 0;
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while calls.fetch_add(1, Ordering::SeqCst) < CALLS {
                    client.call(false).unwrap_or_else(|status| panic!("a call failed: {status}"));
                }
            });
        }
        while calls.load(Ordering::SeqCst) < CALLS {
            for backend in &mut backends {
                let so_far = calls.load(Ordering::SeqCst);
                backend.restart();
                restarts += 1;
                // The next one goes when this one serves again, or all would be gone at once.
                let goes_on = || calls.load(Ordering::SeqCst) >= (so_far + 500).min(CALLS);
                support::eventually("calls go on", goes_on);
                support::eventually("it serves", || {
                    calls.load(Ordering::SeqCst) >= CALLS || client.answers(9).contains_key(&backend.name)
                });
            }
        }
    });
    assert!(restarts >= 6, "{restarts} restarts are no test");
}

#[test]
fn a_backend_that_accepts_and_never_sends_settings_is_given_up_for_the_next() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = Backend::start("good");
    let addresses = [silent.local_addr().unwrap(), good.address];
    let config = r#"{"loadBalancingConfig": [{"pick_first": {}}]}"#;
    let client =
        Client::new(&addresses, config, |builder| builder.min_connect_timeout(Duration::from_secs(2)));
    assert_eq!(client.call(false).unwrap(), "good");

    let alone = Client::new(&addresses[..1], config, |builder| {
        builder.min_connect_timeout(Duration::from_millis(100))
    });
    let status = alone.call(false).expect_err("nobody speaks");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("SETTINGS"), "{status}");
}

#[test]
fn a_backend_that_sends_goaway_after_each_few_calls_costs_none() {
    const CALLS: usize = 500;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    std::thread::spawn({
        let connections = Arc::clone(&connections);
        move || {
            for socket in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || answer_a_few(socket, 7));
            }
        }
    });
    let client = Client::new(&[address], ROUND_ROBIN, |builder| builder);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while made.fetch_add(1, Ordering::SeqCst) < CALLS {
                    client.call(false).unwrap_or_else(|status| panic!("a call failed: {status}"));
                }
            });
        }
    });
    assert!(connections.load(Ordering::SeqCst) >= CALLS / 14, "too few connections for so many farewells");
}

/// Answers calls of `test.Name` on one connection, and shuts it down in order after so many of them.
fn answer_a_few(mut socket: TcpStream, few: usize) {
    let now = Instant::now;
    let mut out = WriteBuf::new();
    let mut connection = Connection::server(Config::default(), now(), 0, &mut out);
    let mut head = HeaderList::new();
    head.push(b":status", b"200", Indexing::Index);
    head.push(b"content-type", b"application/grpc", Indexing::Index);
    let mut trailers = HeaderList::new();
    trailers.push(b"grpc-status", b"0", Indexing::Index);
    let (mut input, mut buffer, mut answered) = (Vec::new(), [0; 16_384], 0);
    loop {
        connection.poll_output(now(), &mut out);
        while let Some(octets) = out.contiguous().map(<[u8]>::to_vec) {
            if octets.is_empty() || socket.write_all(&octets).is_err() {
                break;
            }
            out.advance(octets.len());
        }
        connection.handle_flushed();
        if connection.is_closed() {
            return;
        }
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => input.extend_from_slice(&buffer[..count]),
            _ => return,
        }
        let mut rest = &input[..];
        while let Some(event) = connection.handle_input(now(), &mut rest, &mut out) {
            if let Event::Headers { stream, end_stream: true, .. }
            | Event::Data { stream, end_stream: true, .. } = event
            {
                let message = Bytes::from_static(b"\0\0\0\0\x04away");
                let _ = connection.send_headers(stream, HeaderBlock::from(&head), false, &mut out);
                let _ = connection.send_data(stream, message, false, &mut out);
                let _ = connection.send_headers(stream, HeaderBlock::from(&trailers), true, &mut out);
                answered += 1;
                if answered == few {
                    connection.shutdown(now(), "enough", &mut out);
                }
            }
        }
        input = rest.to_vec();
        while connection.poll_event().is_some() {}
    }
}
