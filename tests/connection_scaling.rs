//! Further connections of a subchannel whose streams are all in use (gRFC A105), over loopback.

mod support;

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::dialer::Dialed;
use lariat::client::resolver::{Manual, Resolution};
use lariat::client::{ChannelBuilder, ConnectivityState};
use lariat::credentials::{CallCredentials, CallTarget, MetadataFuture, SecurityLevel};
use lariat::{Address, Channel, Code, Inbound, Outbound, Request, Server, Status, UnaryCall, Wait};
use support::*;

/// No call takes so long; one that hangs ends by it.
const LONG: Duration = Duration::from_secs(30);

/// A server that allows so many streams on a connection.
fn server(streams: u32) -> Server {
    builder(&Echo::default()).max_concurrent_streams(streams).bind("127.0.0.1:0").unwrap()
}

fn connections(server: &Server) -> u64 {
    server.stats().connections_accepted
}

fn scaling(most: u32) -> String {
    format!(r#"{{"connectionScaling": {{"maxConnectionsPerSubchannel": {most}}}}}"#)
}

fn channel(server: &Server, most: u32) -> ChannelBuilder {
    let target = format!("ipv4:{}", server.local_address());
    Channel::builder(target).default_service_config(scaling(most)).plaintext()
}

type Chat = (Outbound<Bytes>, Inbound<Bytes>);

/// A stream that is open, and stays so until it is dropped.
fn chat(client: &EchoClient) -> Chat {
    let (outbound, mut inbound) = client.chat_with(Request::new(()).with_timeout(LONG));
    outbound.send("open".into()).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "open");
    (outbound, inbound)
}

/// A call that is to get its stream in the end.
fn call(client: &EchoClient, message: &str) -> UnaryCall<Bytes> {
    client.request(Request::new(Bytes::from(message.to_owned())).with_timeout(LONG))
}

/// A call finds no stream: it waits, until its time is over.
fn finds_no_stream(client: &EchoClient) {
    let request = Request::new(Bytes::from("x")).with_timeout(Duration::from_millis(50));
    let status = client.request(request).wait().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let why = "the deadline passed while the server ran as many calls as it allows at once";
    assert!(status.message().contains(why), "{status}");
}

#[test]
fn calls_beyond_the_streams_of_a_connection_go_to_a_further_one() {
    let server = server(2);
    let client = EchoClient::new(channel(&server, 2).build().unwrap());
    let mut chats: Vec<Chat> = (0..4).map(|_| chat(&client)).collect();
    assert_eq!(connections(&server), 2);
    finds_no_stream(&client);
    // The stream of a call that ends serves the one that waits.
    let waits = call(&client, "x");
    drop(chats.pop());
    assert_eq!(waits.wait().unwrap().into_message(), "x");
    for _ in 0..20 {
        call(&client, "x").wait().unwrap();
    }
    assert_eq!(connections(&server), 2);
}

#[test]
fn without_further_connections_calls_wait_for_a_stream() {
    let server = server(2);
    let client = EchoClient::new(channel(&server, 1).build().unwrap());
    let mut chats: Vec<Chat> = (0..2).map(|_| chat(&client)).collect();
    finds_no_stream(&client);
    let waits = call(&client, "x");
    drop(chats.pop());
    assert_eq!(waits.wait().unwrap().into_message(), "x");
    assert_eq!(connections(&server), 1);
}

#[test]
fn one_call_after_another_needs_one_connection() {
    let server = server(1);
    let client = EchoClient::new(channel(&server, 10).build().unwrap());
    for _ in 0..200 {
        call(&client, "x").wait().unwrap();
    }
    assert_eq!(connections(&server), 1);
}

#[test]
fn many_calls_at_once_share_all_connections_and_none_is_refused() {
    let server = server(3);
    let client = EchoClient::new(channel(&server, 4).build().unwrap());
    for _ in 0..5 {
        let calls: Vec<_> = (0..200).map(|i| call(&client, &format!("{i}"))).collect();
        for (i, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait().unwrap().into_message(), format!("{i}"));
        }
    }
    assert_eq!(connections(&server), 4);
    assert_eq!(server.stats().streams_refused, 0);
}

#[test]
fn a_call_that_waits_and_is_dropped_leaves_its_turn_to_the_next() {
    let server = server(1);
    let client = EchoClient::new(channel(&server, 2).build().unwrap());
    let mut chats: Vec<Chat> = (0..2).map(|_| chat(&client)).collect();
    let (first, second) = (call(&client, "first"), call(&client, "second"));
    drop(first);
    drop(chats.pop());
    assert_eq!(second.wait().unwrap().into_message(), "second");
}

#[test]
fn the_loss_of_a_connection_leaves_the_others_and_their_calls_alone() {
    let server = server(1);
    let address = server.local_address().to_string();
    let dialed: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let keep = Arc::clone(&dialed);
    let dial = move |_: &Address, _: Instant| -> io::Result<Dialed> {
        let stream = TcpStream::connect(&address)?;
        keep.lock().unwrap().push(stream.try_clone()?);
        Ok(stream.into())
    };
    let channel = channel(&server, 2).dialer(dial).build().unwrap();
    let client = EchoClient::new(channel.clone());
    let (first, (outbound, mut inbound)) = (chat(&client), chat(&client));
    let (_first_outbound, mut first) = first;
    dialed.lock().unwrap()[0].shutdown(Shutdown::Both).unwrap();
    assert_eq!(first.message().wait().unwrap_err().code(), Code::Unavailable);
    assert_eq!(channel.state(), ConnectivityState::Ready);
    outbound.send("still".into()).wait().unwrap();
    assert_eq!(inbound.message().wait().unwrap().unwrap(), "still");
    // There is room for another connection again, and need of it.
    assert_eq!(call(&client, "x").wait().unwrap().into_message(), "x");
    assert_eq!(connections(&server), 3);
    // With all of them lost, the channel makes new ones.
    dialed.lock().unwrap().iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Unavailable);
    eventually("calls succeed again", || call(&client, "x").wait().is_ok());
}

#[test]
fn a_service_config_that_comes_later_frees_the_calls_that_wait() {
    let server = server(1);
    let resolved = |config: String| -> Resolution {
        let mut resolution: Resolution = [server.local_address().clone()].into_iter().collect();
        resolution.service_config = Some(Ok(config));
        resolution
    };
    let manual = Manual::new("test");
    let channel = Channel::builder("test:///x").resolver(manual.clone()).plaintext().build().unwrap();
    let client = EchoClient::new(channel);
    manual.update(resolved(scaling(1)));
    let first = chat(&client);
    let waits = call(&client, "x");
    finds_no_stream(&client);
    manual.update(resolved(scaling(2)));
    assert_eq!(waits.wait().unwrap().into_message(), "x");
    assert_eq!(connections(&server), 2);
    // The call from before counts where it is.
    let second = chat(&client);
    finds_no_stream(&client);
    // Fewer connections are allowed now; those that are there stay.
    manual.update(resolved(scaling(1)));
    drop((first, second));
    let _chats = (chat(&client), chat(&client));
    assert_eq!(connections(&server), 2);
}

#[test]
fn calls_that_wait_for_a_stream_end_with_the_channel() {
    let server = server(1);
    let channel = channel(&server, 2).build().unwrap();
    let client = EchoClient::new(channel.clone());
    let _chats = (chat(&client), chat(&client));
    let waits = call(&client, "x");
    finds_no_stream(&client);
    channel.close();
    assert_eq!(waits.wait().unwrap_err().code(), Code::Cancelled);
}

/// Call credentials that have none to give.
struct Refusing;

impl CallCredentials for Refusing {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        Box::pin(std::future::ready(Err(Status::unauthenticated("no token"))))
    }

    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::None
    }
}

#[test]
fn calls_that_fail_as_soon_as_they_have_a_stream_make_room_for_each_other() {
    let server = server(1);
    let client = EchoClient::new(channel(&server, 2).build().unwrap());
    let chats: Vec<Chat> = (0..2).map(|_| chat(&client)).collect();
    let request = || {
        let request = Request::new(Bytes::from("x")).with_timeout(LONG);
        client.request(request.with_call_credentials(Refusing))
    };
    // So many that one within the other would be too many for a stack.
    let calls: Vec<_> = (0..20_000).map(|_| request()).collect();
    let behind = call(&client, "x");
    drop(chats);
    for refused in calls {
        assert_eq!(refused.wait().unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(behind.wait().unwrap().into_message(), "x");
}
