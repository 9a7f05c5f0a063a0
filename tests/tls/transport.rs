//! Octets over TLS: large, in small pieces, and to the end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::dialer::Dialed;
use lariat::credentials::{ClientTls, ServerTls, TlsVersion};
use lariat::{Address, Channel, Code, Server, Wait};

use super::certificates::Authority;
use super::who::{echo, serve, target};
use crate::support::EchoClient;

fn pair() -> (Server, ClientTls) {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    (server, ClientTls::new().roots(authority.roots()))
}

#[test]
fn a_message_of_64_mib_comes_back_unharmed() {
    let (server, tls) = pair();
    let message: Vec<u8> = (0..64 * 1024 * 1024_u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect();
    let message = Bytes::from(message);
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = echo(&server, tls.clone().max_version(version));
        let response = client.unary(message.clone()).wait().unwrap();
        assert!(response.message() == &message, "{} octets", response.message().len());
    }
}

#[test]
fn streams_go_both_ways_at_once() {
    let (server, tls) = pair();
    let client = echo(&server, tls);
    let (outbound, mut inbound) = client.chat();
    let sender = std::thread::spawn(move || {
        for size in (0..200).map(|n| n * 331) {
            outbound.send(Bytes::from(vec![size as u8; size])).wait().unwrap();
        }
        outbound.finish();
    });
    let mut received = 0;
    while let Some(message) = inbound.message().wait().unwrap() {
        assert_eq!(message, vec![(received * 331) as u8; received * 331]);
        received += 1;
    }
    assert_eq!(received, 200);
    sender.join().unwrap();
}

/// Passes octets on in pieces of this size, to one connection after the other, and cuts the server's off after `limit`.
fn relay(server: &Server, piece: usize, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    let address = server.local_address().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(&address).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(from, to, piece, usize::MAX));
            std::thread::spawn(move || pass(server, client, piece, limit));
        }
    });
    target
}

fn pass(mut from: TcpStream, mut to: TcpStream, piece: usize, mut limit: usize) {
    let mut buffer = vec![0; piece];
    to.set_nodelay(true).unwrap();
    while limit > 0 {
        let Ok(count @ 1..) = from.read(&mut buffer) else { break };
        let count = count.min(limit);
        limit -= count;
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn records_may_come_in_pieces_of_any_size() {
    let (server, tls) = pair();
    for piece in [1, 7, 1000] {
        let channel = Channel::builder(relay(&server, piece, usize::MAX)).tls(tls.clone()).build().unwrap();
        let client = EchoClient::new(channel);
        let message = Bytes::from(vec![piece as u8; 20_000]);
        assert_eq!(client.unary(message.clone()).wait().unwrap().message(), &message);
    }
}

#[test]
fn octets_that_end_without_close_notify_are_a_lost_connection() {
    let (server, tls) = pair();
    // Enough for the handshake and the server's SETTINGS, and not for the answer.
    let channel = Channel::builder(relay(&server, 1000, 8_000)).tls(tls).build().unwrap();
    let status = EchoClient::new(channel).unary(vec![1; 100_000]).wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("close_notify"), "{status}");
}

#[test]
fn a_graceful_stop_lets_calls_finish_over_tls() {
    let (server, tls) = pair();
    let client = echo(&server, tls);
    client.unary("first").wait().unwrap();
    let call = client.unary("wait100");
    crate::support::eventually("the connection is there", || server.connections() == 1);
    client.unary("second").wait().unwrap();
    assert!(server.graceful_stop(Duration::from_secs(20)).wait());
    assert_eq!(call.wait().unwrap().message(), &Bytes::from("wait100"));
    let _ = target(&server);
}

#[test]
fn a_dialer_of_ones_own_makes_the_connections_that_tls_secures() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["greeter.example.com"]).identity()));
    let tls = ClientTls::new().roots(authority.roots());
    let address = server.local_address().to_string();
    let dial =
        move |_: &Address, _: Instant| -> io::Result<Dialed> { Ok(TcpStream::connect(&address)?.into()) };
    // The name in the certificate has to be that of the target, whatever the dialer connects to.
    let channel = |authority: &str| {
        let builder = Channel::builder("192.0.2.1:50051").authority(authority);
        EchoClient::new(builder.dialer(dial.clone()).tls(tls.clone()).build().unwrap())
    };
    let client = channel("greeter.example.com");
    let message = Bytes::from(vec![7; 100_000]);
    let response = client.unary(message.clone()).wait().unwrap();
    assert_eq!(response.message(), &message);
    let status = channel("other.example.com").unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("other.example.com"), "{status}");
    // One end of a pair of sockets has no address, and is secured all the same.
    let relay = relay(&server, 1_000, usize::MAX);
    let dial = move |_: &Address, _: Instant| -> io::Result<Dialed> {
        let (ours, theirs) = UnixStream::pair()?;
        let server = TcpStream::connect(relay.replace("localhost", "127.0.0.1"))?;
        let (mut from, mut to) = (theirs.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || io::copy(&mut from, &mut to));
        let (mut from, mut to) = (server, theirs);
        std::thread::spawn(move || io::copy(&mut from, &mut to));
        Ok(ours.into())
    };
    let builder = Channel::builder("192.0.2.1:50051").authority("greeter.example.com").dialer(dial);
    let client = EchoClient::new(builder.tls(tls.clone()).build().unwrap());
    assert_eq!(client.unary(message.clone()).wait().unwrap().message(), &message);
}
