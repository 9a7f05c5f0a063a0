//! What failed calls say: of what, where and why.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use lariat::{Engine, Request, Status, Wait};
use support::*;

#[track_caller]
fn says(status: &Status, expected: &str) {
    assert_eq!(status.to_string(), expected);
}

fn failed(client: &EchoClient) -> Status {
    client.unary("a").wait().unwrap_err()
}

fn with_timeout(message: &'static str) -> Request<Bytes> {
    Request::new(Bytes::from_static(message.as_bytes())).with_timeout(Duration::from_millis(100))
}

/// A server that does this with each of its connections, and its address.
fn raw(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

#[test]
fn a_server_that_is_not_there() {
    // Of an address that no other test uses, which might listen at the port by then.
    let port = TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap().port();
    let target = format!("dns:///127.0.0.77:{port}");
    let client = connect(&target);
    let why = format!(
        "{target}: connections to all backends failing; last error: 127.0.0.77:{port}: \
         Connection refused (os error 111)"
    );
    says(&failed(&client), &format!("status UNAVAILABLE: {why}"));
    let patient = client.request(with_timeout("a").with_wait_for_ready(true)).wait().unwrap_err();
    let waited = format!("the deadline passed while the call waited for a connection to {target}");
    says(
        &patient,
        &format!("status DEADLINE_EXCEEDED: {waited} (channel state TRANSIENT_FAILURE); latest error: {why}"),
    );
}

#[test]
fn a_name_that_means_nothing() {
    let status = failed(&connect("dns:///no-such-host.invalid:1"));
    let text = status.to_string();
    assert!(
        text.starts_with(
            "status UNAVAILABLE: dns:///no-such-host.invalid:1: name resolution failed: \
             cannot resolve \"no-such-host.invalid\": "
        ),
        "{text}"
    );
}

#[test]
fn a_server_that_sends_the_client_away() {
    let address = raw(|mut stream| {
        // SETTINGS first. When the request is there: GOAWAY with ENHANCE_YOUR_CALM, which leaves stream 1 alone.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        let (mut buffer, mut seen) = ([0; 4096], Vec::new());
        while !seen.windows(6).any(|window| window == b"\0\0\0\0\x01a") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&buffer[..read]),
            }
        }
        let mut goaway = vec![0, 0, 22, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11];
        goaway.extend_from_slice(b"too_many_pings");
        stream.write_all(&goaway).unwrap();
    });
    let text = failed(&connect(&address)).to_string();
    assert!(text.starts_with(&format!("status UNAVAILABLE: {address}: ")), "{text}");
    assert!(text.ends_with("goaway: code: ENHANCE_YOUR_CALM, debug data: \"too_many_pings\""), "{text}");
}

#[test]
fn a_server_that_hangs_up() {
    let address = raw(drop);
    let text = failed(&connect(&address)).to_string();
    let begin = format!("status UNAVAILABLE: {address}: connections to all backends failing; last error: ");
    assert!(text.starts_with(&begin), "{text}");
}

#[test]
fn a_server_of_another_time() {
    let address = raw(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.read(&mut [0; 100]);
    });
    says(
        &failed(&connect(&address)),
        &format!(
            "status UNAVAILABLE: {address}: connections to all backends failing; last error: {address}: \
             the server speaks HTTP/1 where HTTP/2 is expected: \"HTTP/1.1 400 Bad Request\""
        ),
    );
}

#[test]
fn a_server_that_stops_in_the_middle() {
    let echo = Echo::default();
    let server = serve(&echo);
    let address = server.local_address().to_string();
    let call = client(&server).unary("wait");
    eventually("the call is there", || echo.seen.started.load(Ordering::SeqCst) == 1);
    server.stop().wait();
    let text = call.wait().unwrap_err().to_string();
    assert!(text.starts_with(&format!("status UNAVAILABLE: {address}: ")), "{text}");
    assert!(text.contains("NO_ERROR, debug data: \"the server was stopped\""), "{text}");
}

#[test]
fn a_server_that_takes_too_long() {
    // The server's loop runs only as long as this thread has it run, so that it never sees a deadline first.
    let engine = Engine::builder().current_thread().build().unwrap();
    let server = builder(&Echo::default()).engine(&engine).bind("127.0.0.1:0").unwrap();
    let address = server.local_address().to_string();
    let client = client(&server);
    engine.block_on(client.unary("a")).unwrap();
    says(
        &client.request(with_timeout("a")).wait().unwrap_err(),
        &format!(
            "status DEADLINE_EXCEEDED: the deadline passed while the call was with {address}, \
             which had not answered"
        ),
    );
    before_a_timeout("the response begins", |timeout| {
        let (outbound, mut inbound) = client.chat_with(Request::new(()).with_timeout(timeout));
        let begun = engine.block_on(async {
            outbound.send(Bytes::from_static(b"a")).await?;
            inbound.message().await
        });
        if begun.is_err() {
            return false;
        }
        says(
            &inbound.message().wait().unwrap_err(),
            &format!(
                "status DEADLINE_EXCEEDED: the deadline passed while the call was with {address}, \
                 whose response had begun"
            ),
        );
        true
    });
}

#[test]
fn a_limit_and_a_method_that_is_not_there() {
    let server = serve(&Echo::default());
    let client = client(&server);
    says(
        &client.unary(vec![0; 5_000_000]).wait().unwrap_err(),
        "status RESOURCE_EXHAUSTED: received message larger than max (5000000 vs. 4194304); \
         max_receive_message_size sets the limit, or a client's service config by maxResponseMessageBytes",
    );
    let unknown = client.channel.method("/test.Nobody/Anything");
    let call = client.channel.unary::<lariat::codec::Raw, Bytes, Bytes>(&unknown, Request::new(Bytes::new()));
    says(&call.wait().unwrap_err(), "status UNIMPLEMENTED: unknown service test.Nobody");
}

#[test]
fn a_channel_that_is_closed() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    let call = client.unary("wait");
    eventually("the call is there", || echo.seen.started.load(Ordering::SeqCst) == 1);
    client.channel.close();
    says(&call.wait().unwrap_err(), "status CANCELLED: the channel was closed");
    let text = failed(&client).to_string();
    assert!(text.starts_with("status CANCELLED: ") && text.contains("the channel "), "{text}");
}
