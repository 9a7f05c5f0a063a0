//! All four kinds of calls between our client and our server over loopback sockets.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::{Code, Engine, Request, Wait};
use support::*;

#[test]
fn a_unary_call_is_answered_by_wait_and_by_await() {
    let echo = Echo::default();
    let server = serve(&echo);
    let client = client(&server);
    assert_eq!(client.unary("hello").wait().unwrap().into_message(), "hello");
    let both = async { (client.unary("one").await, client.unary("two").await) };
    let (one, two) = both.wait();
    assert_eq!((one.unwrap().into_message(), two.unwrap().into_message()), ("one".into(), "two".into()));
}

#[test]
fn an_empty_message_is_a_message() {
    let server = serve(&Echo::default());
    assert_eq!(client(&server).unary("").wait().unwrap().into_message(), "");
}

#[test]
fn many_threads_share_one_channel() {
    let server = serve(&Echo::default());
    let client = client(&server);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for call in 0..200 {
                    let text = format!("{thread}/{call}");
                    assert_eq!(client.unary(text.clone()).wait().unwrap().into_message(), text);
                }
            });
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_server_stream_arrives_whole_and_in_order() {
    let server = serve(&Echo::default());
    for (count, size) in [(0, 4), (1, 4), (5_000, 1_000), (40, 300_000)] {
        let mut inbound = client(&server).download(count, size);
        let mut received = 0;
        while let Some(message) = inbound.message().wait().unwrap() {
            assert_eq!(message.len(), size);
            received += 1;
        }
        assert_eq!(received, count);
    }
}

#[test]
fn a_client_stream_is_answered_once() {
    let server = serve(&Echo::default());
    let (outbound, reply) = client(&server).upload();
    for _ in 0..100 {
        outbound.send(Bytes::from(vec![1; 50_000])).wait().unwrap();
    }
    outbound.finish();
    assert_eq!(reply.wait().unwrap().into_message(), "5000000");
    let (outbound, reply) = client(&server).upload();
    outbound.finish();
    assert_eq!(reply.wait().unwrap().into_message(), "0");
}

#[test]
fn a_bidi_stream_goes_both_ways_at_once() {
    let server = serve(&Echo::default());
    let (outbound, mut inbound) = client(&server).chat();
    for turn in 0..200 {
        outbound.send(Bytes::from(format!("{turn}"))).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap().unwrap(), format!("{turn}"));
    }
    let writer = std::thread::spawn(move || {
        for _ in 0..2_000 {
            outbound.send(Bytes::from(vec![3; 10_000])).wait().unwrap();
        }
    });
    let mut received = 0;
    while let Some(message) = inbound.message().wait().unwrap() {
        assert_eq!(message.len(), 10_000);
        received += 1;
    }
    writer.join().unwrap();
    assert_eq!(received, 2_000);
    assert_eq!(inbound.trailers().get("last"), Some("word"));
}

#[test]
fn metadata_go_both_ways_in_order() {
    let server = serve(&Echo::default());
    let mut request = Request::new(Bytes::from("metadata"));
    request.metadata_mut().append("key", "one").unwrap();
    request.metadata_mut().append("key", "two").unwrap();
    request.metadata_mut().append_bin("key-bin", &[0, 255, 7]).unwrap();
    let response = client(&server).request(request).wait().unwrap();
    assert_eq!(response.metadata().get_all("key").collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(response.metadata().get_bin("key-bin").unwrap(), [0, 255, 7]);
    assert_eq!(response.trailers().get_all("trailer").collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_status_carries_code_message_details_and_trailers() {
    let server = serve(&Echo::default());
    let status = client(&server).unary("fail").wait().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "asked to fail: 100% \u{263a}");
    assert_eq!(status.details(), b"\x08\x09");
    assert_eq!(status.metadata().get("why"), Some("because"));
}

#[test]
fn a_stream_can_send_its_headers_early_and_end_with_an_error() {
    let server = serve(&Echo::default());
    let (outbound, mut inbound) = client(&server).chat();
    outbound.send("headers".into()).wait().unwrap();
    assert_eq!(inbound.headers().wait().unwrap().get("early"), Some("yes"));
    outbound.send("x".into()).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "x");
    outbound.send("abort".into()).wait().unwrap();
    let status = inbound.message().wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "asked to abort"));
    assert_eq!(status.metadata().get("last"), Some("word"));
}

#[test]
fn unknown_methods_and_services_are_unimplemented() {
    let server = serve(&Echo::default());
    let channel = client(&server).channel;
    for (path, text) in [
        ("/test.Echo/Nothing", "unknown method Nothing for service test.Echo"),
        ("/no.Such/Thing", "unknown service no.Such"),
    ] {
        let method = channel.method(path);
        let call = channel.unary::<lariat::codec::Raw, Bytes, Bytes>(&method, Request::new("x".into()));
        let status = call.wait().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));
    }
}

#[test]
fn an_unknown_service_handler_serves_what_nobody_else_does() {
    let echo = Echo::default();
    let server = builder(&echo)
        .unknown_service_handler(|mut inbound, outbound| async move {
            while let Some(message) = inbound.message().await? {
                outbound.send(message).await?;
            }
            Ok(())
        })
        .bind("127.0.0.1:0")
        .unwrap();
    let client = client(&server);
    let method = client.channel.method("/no.Such/Thing");
    let call =
        client.channel.unary::<lariat::codec::Raw, Bytes, Bytes>(&method, Request::new("proxied".into()));
    assert_eq!(call.wait().unwrap().into_message(), "proxied");
    assert_eq!(client.unary("own").wait().unwrap().into_message(), "own");
}

#[test]
fn a_panic_in_a_handler_ends_its_call_and_nothing_else() {
    let server = serve(&Echo::default());
    let client = client(&server);
    let waiting = client.unary("wait300");
    let status = client.unary("panic").wait().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "the handler panicked"));
    assert_eq!(waiting.wait().unwrap().into_message(), "wait300");
}

#[test]
fn the_current_thread_engine_runs_client_and_handler_on_the_calling_thread() {
    let engine = Engine::builder().current_thread().build().unwrap();
    let echo = Echo::default();
    let server = builder(&echo).engine(&engine).bind("127.0.0.1:0").unwrap();
    let channel = lariat::Channel::builder(server.local_address().to_string());
    let client = EchoClient::new(channel.plaintext().engine(&engine).build().unwrap());
    let thread = engine.block_on(async { client.unary("thread").await.unwrap().into_message() });
    assert_eq!(thread, format!("{:?}", std::thread::current().id()));
    engine.block_on(async {
        let (outbound, mut inbound) = client.chat();
        for turn in 0..100 {
            outbound.send(Bytes::from(format!("{turn}"))).await.unwrap();
            assert_eq!(inbound.message().await.unwrap().unwrap(), format!("{turn}"));
        }
        let begin = Instant::now();
        lariat::sleep(Duration::from_millis(30)).await;
        assert!(begin.elapsed() >= Duration::from_millis(30));
    });
    engine.block_on(server.graceful_stop(Duration::from_secs(5)));
}

#[test]
fn messages_of_64_mib_pass_both_ways_when_the_limits_allow() {
    const SIZE: usize = 64 * 1024 * 1024;
    let server = builder(&Echo::default()).max_receive_message_size(SIZE).bind("127.0.0.1:0").unwrap();
    let message = Bytes::from((0..SIZE).map(|i| (i / 4096) as u8).collect::<Vec<_>>());
    let request = Request::new(message.clone()).with_max_receive_message_size(SIZE);
    let response = client(&server).request(request).wait().unwrap();
    assert!(response.message() == &message);
}

#[test]
fn a_message_over_the_limit_is_refused_with_the_limit_in_the_text() {
    let server = serve(&Echo::default());
    let client = client(&server);
    let large = Bytes::from(vec![0; 4 * 1024 * 1024 + 1]);
    let status = client.unary(large.clone()).wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("4194305 vs. 4194304"), "{status}");
    let request = Request::new(Bytes::from("12345")).with_max_send_message_size(4);
    let status = client.request(request).wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let request = Request::new(Bytes::from("12345")).with_max_receive_message_size(4);
    let status = client.request(request).wait().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}
