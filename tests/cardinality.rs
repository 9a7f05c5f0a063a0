//! Calls whose other side sends another number of messages than the method has, over loopback: each side ends them with
//! INTERNAL.

mod support;

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::{Channel, Code, Inbound, Outbound, Request, Server, Status, Wait};
use support::{Echo, client, serve};

/// `test.Answers`: sends as many responses as the first octet of the first request says, whatever the method is.
struct Answers;

async fn answer(mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
    let count = inbound.message().await?.map_or(0, |message| message[0]);
    while inbound.message().await?.is_some() {}
    for _ in 0..count {
        outbound.send(Bytes::from_static(b"answer")).await?;
    }
    Ok(())
}

impl Service for Answers {
    fn name(&self) -> &str {
        "test.Answers"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![Handler::bidi_streaming::<Raw, _, _, _, _>("Call", answer)]
    }
}

#[test]
fn a_client_wants_one_response_unless_the_method_streams_them() {
    let server = Server::builder().plaintext().add_service(Answers).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build().unwrap();
    let method = channel.method("/test.Answers/Call");
    for count in 0..4 {
        let message = Bytes::from(vec![count]);
        let unary = channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(message.clone())).wait();
        let (outbound, call) = channel.client_streaming::<Raw, Bytes, Bytes>(&method, Request::new(()));
        outbound.send(message.clone()).wait().unwrap();
        outbound.finish();
        for result in [unary, call.wait()] {
            let code = result.map_or_else(|status| status.code(), |_| Code::Ok);
            assert_eq!(code, if count == 1 { Code::Ok } else { Code::Internal }, "{count} responses");
        }
        let request = Request::new(message.clone());
        let mut download = channel.server_streaming::<Raw, Bytes, Bytes>(&method, request);
        let (outbound, mut chat) = channel.bidi_streaming::<Raw, Bytes, Bytes>(&method, Request::new(()));
        outbound.send(message).wait().unwrap();
        outbound.finish();
        for inbound in [&mut download, &mut chat] {
            let received = std::iter::from_fn(|| inbound.message().wait().unwrap()).count();
            assert_eq!(received, usize::from(count));
        }
    }
}

#[test]
fn a_server_wants_one_request_unless_the_method_streams_them() {
    let server = serve(&Echo::default());
    let channel = client(&server).channel;
    for count in 0..4 {
        for (path, is_streaming) in [("Unary", false), ("Download", false), ("Upload", true), ("Chat", true)]
        {
            let method = channel.method(format!("/test.Echo/{path}"));
            let (outbound, mut inbound) =
                channel.bidi_streaming::<Raw, Bytes, Bytes>(&method, Request::new(()));
            for _ in 0..count {
                // A server that has had enough takes no more.
                let _ = outbound.send(Bytes::from_static(&[0, 0, 0, 1])).wait();
            }
            outbound.finish();
            let result = std::iter::from_fn(|| inbound.message().wait().transpose()).find_map(Result::err);
            let code = result.map_or(Code::Ok, |status| status.code());
            let is_right = is_streaming || count == 1;
            assert_eq!(
                code,
                if is_right { Code::Ok } else { Code::Internal },
                "{path} with {count} requests"
            );
        }
    }
}
