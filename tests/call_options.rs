//! What a client may ask of one call, and what it learns of it, over loopback.

mod support;

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::interceptor::on_request;
use lariat::{Channel, PeerAddress, Request, Server, Wait};
use support::{Echo, EchoClient, client, serve};

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
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut call = support::connect(&nobody.to_string()).unary("a");
    (&mut call).wait().unwrap_err();
    assert!(call.peer().is_none());
}
