//! What a client may ask of one call, and what it learns of it, over loopback.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::ChannelBuilder;
use lariat::codec::Raw;
use lariat::interceptor::on_request;
use lariat::{CancellationToken, Channel, Code, Incoming, PeerAddress, Request, Server, Status, Wait};
use lariat_frame::hpack::{Decoder, HeaderList};
use support::{Echo, EchoClient, PATIENCE, client, connect, eventually, serve};

fn behind_an_interceptor(server: &Server) -> EchoClient {
    let target = server.local_address().to_string();
    let interceptor = on_request(|_| Ok(()));
    EchoClient::new(Channel::builder(target).plaintext().interceptor(interceptor).build().unwrap())
}

#[test]
fn the_peer_of_a_call_is_the_server_it_was_sent_to() {
    let server = serve(&Echo::default());
    let address = server.local_address().to_string();
    for client in [client(&server), behind_an_interceptor(&server)] {
        let response = client.unary("a").wait().unwrap();
        let peer = response.peer().expect("a peer");
        assert_eq!(peer.to_string(), address);
        assert!(matches!(peer.address(), PeerAddress::Tcp(_)));
        assert_eq!(
            response.map(|_| ()).peer().unwrap().to_string(),
            address,
            "another message, the same peer"
        );

        let (outbound, mut inbound) = client.chat();
        assert!(inbound.peer().is_none(), "nobody has answered");
        outbound.send(Bytes::from_static(b"a")).wait().unwrap();
        inbound.message().wait().unwrap();
        assert_eq!(inbound.peer().unwrap().to_string(), address);
        drop((outbound, inbound));

        let mut inbound = client.download(1, 4);
        inbound.headers().wait().unwrap();
        assert_eq!(inbound.peer().unwrap().to_string(), address);

        let (outbound, call) = client.upload();
        outbound.finish();
        assert_eq!(call.wait().unwrap().peer().unwrap().to_string(), address);
    }
}

#[test]
fn a_call_that_fails_has_a_peer_if_it_had_a_connection() {
    let server = serve(&Echo::default());
    let address = server.local_address().to_string();
    for client in [client(&server), behind_an_interceptor(&server)] {
        let mut call = client.unary("fail");
        (&mut call).wait().unwrap_err();
        assert_eq!(call.peer().unwrap().to_string(), address);

        let unknown = client.channel.method("/test.Echo/Unknown");
        let request = Request::new(Bytes::new());
        let mut inbound = client.channel.server_streaming::<Raw, Bytes, Bytes>(&unknown, request);
        inbound.message().wait().unwrap_err();
        assert_eq!(inbound.peer().unwrap().to_string(), address);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut call = connect(&nobody.to_string()).unary("a");
    (&mut call).wait().unwrap_err();
    assert!(call.peer().is_none());
}

/// How the calls of a test ended, in order, as their hooks were told.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Code>>>);

impl Ends {
    fn of<T>(&self, request: Request<T>) -> Request<T> {
        let ends = Arc::clone(&self.0);
        request.on_finish(move |result| {
            ends.lock().unwrap().push(result.map_or_else(Status::code, |()| Code::Ok));
        })
    }

    #[track_caller]
    fn assert(&self, code: Code) {
        eventually("the hook was told", || !self.0.lock().unwrap().is_empty());
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), [code]);
    }
}

fn message(text: &'static str) -> Request<Bytes> {
    Request::new(Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_hook_is_told_once_however_the_call_ends() {
    let (echo, ends) = (Echo::default(), Ends::default());
    let server = serve(&echo);
    for client in [client(&server), behind_an_interceptor(&server)] {
        client.request(ends.of(message("a"))).wait().unwrap();
        ends.assert(Code::Ok);
        client.request(ends.of(message("fail"))).wait().unwrap_err();
        ends.assert(Code::FailedPrecondition);
        client.request(ends.of(message("wait").with_timeout(Duration::from_millis(20)))).wait().unwrap_err();
        ends.assert(Code::DeadlineExceeded);
        drop(client.request(ends.of(message("wait"))));
        ends.assert(Code::Cancelled);
        let token = CancellationToken::new();
        let call = client.request(ends.of(message("wait").with_cancellation(token.clone())));
        token.cancel();
        call.wait().unwrap_err();
        ends.assert(Code::Cancelled);
        client.request(ends.of(message("too large").with_max_send_message_size(1))).wait().unwrap_err();
        ends.assert(Code::ResourceExhausted);

        let (outbound, mut inbound) = client.chat_with(ends.of(Request::new(())));
        outbound.finish();
        assert!(inbound.message().wait().unwrap().is_none());
        ends.assert(Code::Ok);
        // Dropping the other one first would end the call well.
        let (_outbound, inbound) = client.chat_with(ends.of(Request::new(())));
        drop(inbound);
        ends.assert(Code::Cancelled);
    }
}

#[test]
fn a_hook_is_told_of_a_call_that_never_had_a_connection() {
    let ends = Ends::default();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    connect(&nobody).request(ends.of(message("a"))).wait().unwrap_err();
    ends.assert(Code::Unavailable);
    let client = connect(&nobody);
    let call = client.request(ends.of(message("a").with_wait_for_ready(true)));
    client.channel.close();
    call.wait().unwrap_err();
    ends.assert(Code::Cancelled);
}

#[test]
fn hooks_are_told_of_the_call_and_not_of_its_attempts() {
    let ends = Ends::default();
    let server = serve(&Echo::default());
    let retry = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["FAILED_PRECONDITION"]}}]}"#;
    let channel =
        Channel::builder(server.local_address().to_string()).plaintext().default_service_config(retry);
    let client = EchoClient::new(channel.build().unwrap());
    let mut call = client.request(ends.of(message("fail")));
    (&mut call).wait().unwrap_err();
    ends.assert(Code::FailedPrecondition);
    assert_eq!(call.peer().unwrap().to_string(), server.local_address().to_string());
}

#[test]
fn a_hook_that_panics_ends_neither_its_call_nor_the_loop() {
    let (ends, server) = (Ends::default(), serve(&Echo::default()));
    let client = client(&server);
    let request = ends.of(message("a").on_finish(|_| panic!("asked to panic")));
    client.request(request.clone()).wait().unwrap();
    ends.assert(Code::Ok);
    client.request(request).wait().unwrap();
    ends.assert(Code::Ok);
}

#[test]
fn a_plaintext_call_may_have_any_authority_that_is_one() {
    let server = serve(&Echo::default());
    for client in [client(&server), behind_an_interceptor(&server)] {
        client.request(message("a").with_authority("other.example:80")).wait().unwrap();
        for wrong in ["", "a b", "a\r\nb", "\u{e9}"] {
            let status = client.request(message("a").with_authority(wrong)).wait().unwrap_err();
            assert_eq!(status.code(), Code::Internal, "{wrong}: {status}");
        }
    }
}

#[test]
fn the_server_reads_the_authority_of_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = connect(&listener.local_addr().unwrap().to_string());
    let call = client.request(message("a").with_authority("other.example"));
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    stream.read_exact(&mut [0; 24]).unwrap();
    let head = loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).unwrap();
        let [a, b, c, kind, ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).unwrap();
        if kind == 1 {
            break payload;
        }
    };
    let mut fields = HeaderList::new();
    Decoder::new(4096).decode(&head, &mut fields).unwrap();
    assert_eq!(fields.get(b":authority"), Some(&b"other.example"[..]));
    drop(call);
}

/// An upload of which the service config allows no more than the first and the last message.
fn upload_with_one_too_large(algorithm: &'static str, channel: ChannelBuilder) {
    let config = r#"{"methodConfig": [{"name": [{}], "maxRequestMessageBytes": 100}]}"#;
    let client = EchoClient::new(channel.default_service_config(config).build().unwrap());
    // From now on the channel has its config.
    client.unary("a").wait().unwrap();
    let (outbound, call) = client.upload_with(Request::new(()).with_compression(algorithm));
    let small = || outbound.send(Bytes::from_static(b"small"));
    small().wait().unwrap();
    let refused = outbound.send(random_octets(200)).wait();
    // Behind an interceptor it is the call that fails, which whoever sends may learn of later.
    let _ = small().wait();
    drop(outbound);
    let code = refused.map_or_else(|status| status.code(), |()| call.wait().unwrap_err().code());
    assert_eq!(code, Code::ResourceExhausted);
}

/// What no algorithm makes smaller.
fn random_octets(count: usize) -> Bytes {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
#[cfg(feature = "gzip")]
fn the_service_config_limits_messages_that_are_compressed_as_well() {
    let server = serve(&Echo::default());
    let channel = || Channel::builder(server.local_address().to_string()).plaintext();
    upload_with_one_too_large("gzip", channel());
    upload_with_one_too_large("gzip", channel().interceptor(on_request(|_| Ok(()))));
}

#[test]
fn a_message_that_is_too_large_behind_an_interceptor_fails_its_call() {
    let server = serve(&Echo::default());
    let channel = || Channel::builder(server.local_address().to_string()).plaintext();
    upload_with_one_too_large("identity", channel());
    upload_with_one_too_large("identity", channel().interceptor(on_request(|_| Ok(()))));
}

#[test]
fn what_a_call_chooses_comes_before_the_channel_s_default_with_interceptors_and_without() {
    let server = serve(&Echo::default());
    let target = server.local_address().to_string();
    let brief = PATIENCE / 2;
    let channel = || {
        let channel = Channel::builder(&target).plaintext().timeout(brief).wait_for_ready(true);
        channel.max_send_message_size(4).max_receive_message_size(4)
    };
    for channel in [channel(), channel().interceptor(on_request(|_| Ok(())))] {
        let client = EchoClient::new(channel.build().unwrap());
        let left = |request: Request<Bytes>| {
            let request = request.with_max_send_message_size(100).with_max_receive_message_size(100);
            let response = client.request(request).wait().unwrap();
            std::str::from_utf8(response.message()).unwrap().parse::<u128>().unwrap()
        };
        assert!(left(message("deadline")) <= brief.as_millis());
        assert!(left(message("deadline").with_timeout(PATIENCE)) > brief.as_millis());
        assert!(left(message("deadline").with_deadline(Instant::now() + PATIENCE)) > brief.as_millis());

        let failed = |request: Request<Bytes>| client.request(request).wait().unwrap_err().code();
        let small = || message("five!");
        assert_eq!(failed(small()), Code::ResourceExhausted);
        assert_eq!(failed(small().with_max_send_message_size(5)), Code::ResourceExhausted);
        assert_eq!(failed(small().with_max_receive_message_size(5)), Code::ResourceExhausted);

        let request = Request::new(()).with_timeout(PATIENCE);
        let request = request.with_max_send_message_size(5).with_max_receive_message_size(5);
        let (outbound, mut inbound) = client.chat_with(request);
        outbound.send(Bytes::from_static(b"five!")).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap(), "five!");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let channel = || Channel::builder(&nobody).plaintext().wait_for_ready(true);
    for channel in [channel(), channel().interceptor(on_request(|_| Ok(())))] {
        let client = EchoClient::new(channel.build().unwrap());
        let status = client.request(message("a").with_wait_for_ready(false)).wait().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}

#[test]
fn a_call_within_another_has_the_channel_s_timeout_as_well_as_the_other_s_deadline() {
    let server = serve(&Echo::default());
    let target = server.local_address().to_string();
    let client =
        EchoClient::new(Channel::builder(&target).plaintext().timeout(PATIENCE / 2).build().unwrap());
    for (outer, expected) in [(PATIENCE, PATIENCE / 2), (PATIENCE / 4, PATIENCE / 4)] {
        let within = Deadline(Instant::now() + outer);
        let response = client.request(message("deadline").within(&within)).wait().unwrap();
        let left: u128 = std::str::from_utf8(response.message()).unwrap().parse().unwrap();
        assert!(left <= expected.as_millis(), "{left}");
    }
}

/// What the handler of another call knows of it.
struct Deadline(Instant);

impl Incoming for Deadline {
    fn deadline(&self) -> Option<Instant> {
        Some(self.0)
    }

    fn cancellation(&self) -> Option<&CancellationToken> {
        None
    }
}
