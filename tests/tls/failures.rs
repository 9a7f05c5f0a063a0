//! Handshakes that fail, and what either side is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lariat::credentials::{ClientTls, ServerTls, TlsVersion};
use lariat::{Channel, Code, Server};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::certificates::Authority;
use super::who::{am, connect, failure, serve, target};
use crate::support::eventually;

/// A server that tells of handshakes that fail.
fn serve_and_listen(tls: ServerTls) -> (Server, Receiver<String>) {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let server = serve(tls.on_handshake_failure(move |peer, error| {
        assert!(peer.is_local());
        sender.lock().unwrap().send(error.to_string()).unwrap();
    }));
    (server, receiver)
}

/// A client of rustls alone that offers these application protocols.
pub(super) fn raw_client(authority: &Authority, alpn: &[&str]) -> ClientConnection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

/// The configuration of a server of rustls alone that knows these application protocols.
pub(super) fn raw_server_config(authority: &Authority, alpn: &[&str]) -> Arc<ServerConfig> {
    let certified = authority.issue(&["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config =
        builder.with_no_client_auth().with_single_cert(vec![certified.der()], certified.key_der()).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A server that completes handshakes with these application protocols.
fn raw_server(authority: &Authority, alpn: &[&str]) -> String {
    let config = raw_server_config(authority, alpn);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = stream.unwrap();
            let _ = rustls::Stream::new(&mut connection, &mut stream).read(&mut [0; 1024]);
        }
    });
    target
}

#[test]
fn a_client_names_what_is_wrong_with_the_servers_certificate() {
    let authority = Authority::new("authority");
    let tls = ClientTls::new().roots(authority.roots());
    let strangers = Authority::new("strangers");
    let revoked = authority.issue(&["localhost"]);
    let lists = authority.revocation_lists(&[&revoked]);
    for (identity, parts) in [
        (strangers.issue(&["localhost"]), ["UnknownIssuer", "ClientTls::roots"]),
        (authority.issue(&["elsewhere.example"]), ["elsewhere.example", "ClientTls::server_name"]),
        (authority.issue_expired(&["localhost"]), ["expired", "the server's certificate"]),
        (revoked, ["Revoked", "the server's certificate"]),
    ] {
        let server = serve(ServerTls::new(identity.identity()));
        let text = failure(&connect(&server, tls.clone().revocation_lists(lists.clone())));
        for part in ["the TLS handshake failed", "127.0.0.1"].into_iter().chain(parts) {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_server_names_what_is_wrong_with_a_clients_certificate_and_the_client_is_told() {
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let revoked = clients.issue(&["revoked"]);
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity())
        .require_client_certificates(clients.roots())
        .revocation_lists(clients.revocation_lists(&[&revoked]));
    let (server, failures) = serve_and_listen(tls);
    let strangers = Authority::new("strangers");
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let tls = ClientTls::new().roots(authority.roots()).max_version(version);
        for (identity, told, seen) in [
            (Some(strangers.issue(&["stranger"])), "alert", "UnknownIssuer"),
            (Some(clients.issue_expired(&["late"])), "alert", "expired"),
            (None, "alert", "requires one"),
        ] {
            let tls = match identity {
                Some(identity) => tls.clone().identity(identity.identity()),
                None => tls.clone(),
            };
            let text = failure(&connect(&server, tls));
            assert!(text.contains(told), "{text}");
            let text = failures.recv().unwrap();
            assert!(text.contains(seen), "{text}");
        }
        let text = failure(&connect(&server, tls.identity(revoked.identity())));
        assert!(text.contains("revoked"), "{text}");
        let text = failures.recv().unwrap();
        assert!(text.contains("Revoked"), "{text}");
    }
}

#[test]
fn a_client_without_h2_is_refused_with_no_application_protocol() {
    let authority = Authority::new("authority");
    let (server, failures) = serve_and_listen(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let mut connection = raw_client(&authority, &["http/1.1"]);
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    let error =
        rustls::Stream::new(&mut connection, &mut socket).write(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let text = failures.recv().unwrap();
    assert!(text.contains("ALPN \"h2\""), "{text}");
}

#[test]
fn a_client_without_alpn_is_refused() {
    let authority = Authority::new("authority");
    let (server, failures) = serve_and_listen(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let mut connection = raw_client(&authority, &[]);
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    let mut received = Vec::new();
    // It sees the end of the connection, and no octet of HTTP/2.
    let result = rustls::Stream::new(&mut connection, &mut socket).read_to_end(&mut received);
    assert!(received.is_empty(), "{result:?} {received:?}");
    let text = failures.recv().unwrap();
    assert!(text.contains("the client offered no application protocol"), "{text}");
}

#[test]
fn a_server_without_h2_is_refused() {
    let authority = Authority::new("authority");
    let tls = ClientTls::new().roots(authority.roots());
    for (alpn, part) in [
        (&["http/1.1"][..], "the server sent the alert NoApplicationProtocol"),
        (&[], "chose no application protocol"),
    ] {
        let channel = Channel::builder(raw_server(&authority, alpn)).tls(tls.clone()).build().unwrap();
        let text = failure(&channel);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn versions_that_do_not_meet_are_named() {
    let authority = Authority::new("authority");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity()).min_version(TlsVersion::Tls13);
    let (server, failures) = serve_and_listen(tls);
    let tls = ClientTls::new().roots(authority.roots()).max_version(TlsVersion::Tls12);
    let text = failure(&connect(&server, tls));
    assert!(text.contains("TLS versions"), "{text}");
    let text = failures.recv().unwrap();
    assert!(text.contains("the TLS handshake failed"), "{text}");
}

#[test]
fn a_plaintext_client_of_a_tls_server_fails_and_the_server_says_why() {
    let authority = Authority::new("authority");
    let (server, failures) = serve_and_listen(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let text = failure(&Channel::builder(target(&server)).plaintext().build().unwrap());
    assert!(text.contains("TLS"), "{text}");
    let text = failures.recv().unwrap();
    assert!(text.contains("is not TLS") && text.contains("plaintext"), "{text}");
}

#[test]
fn a_tls_client_of_a_plaintext_server_fails_and_says_why() {
    let authority = Authority::new("authority");
    let server = Server::builder().plaintext().bind("127.0.0.1:0").unwrap();
    let text = failure(&connect(&server, ClientTls::new().roots(authority.roots())));
    assert!(text.contains("is not TLS") && text.contains("plaintext"), "{text}");
}

#[test]
fn a_server_that_hangs_up_during_the_handshake_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.unwrap())));
    let tls = ClientTls::new().roots(Authority::new("authority").roots());
    let text = failure(&Channel::builder(target).tls(tls).build().unwrap());
    assert!(text.contains("the TLS handshake failed") || text.contains("reset"), "{text}");
}

#[test]
fn handshake_timeout_ends_a_handshake_that_stalls() {
    let authority = Authority::new("authority");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let (server, failures) = serve_and_listen(tls.handshake_timeout(Duration::from_millis(50)));
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    // The front of a record that never ends.
    socket.write_all(&[22, 3, 1]).unwrap();
    assert!(failures.recv().unwrap().contains("did not end before its deadline"));
    assert!(matches!(socket.read(&mut [0; 16]), Ok(0) | Err(_)));
    eventually("the connection is gone", || server.connections() == 0);
}

#[test]
fn a_handshake_may_take_for_ever() {
    let authority = Authority::new("authority");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let server = serve(tls.handshake_timeout(Duration::MAX));
    let channel = connect(&server, ClientTls::new().roots(authority.roots()));
    am(&channel).unwrap();
}

#[test]
fn handshake_timeout_ends_a_handshake_that_is_dribbled() {
    let authority = Authority::new("authority");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let (server, failures) = serve_and_listen(tls.handshake_timeout(Duration::from_millis(100)));
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    // A client hello of 16 KiB, an octet at a time, until the server has had enough.
    let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    hello.resize(16 * 1024, 0);
    for octet in hello {
        if socket.write_all(&[octet]).is_err() || failures.try_recv().is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    eventually("the connection is gone", || server.connections() == 0);
}

#[test]
fn a_server_that_stalls_the_handshake_is_given_up_at_the_connect_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    let tls = ClientTls::new().roots(Authority::new("authority").roots());
    let builder = Channel::builder(target).tls(tls).min_connect_timeout(Duration::from_millis(50));
    let backoff = lariat::client::backoff::BackoffConfig {
        base_delay: Duration::from_millis(50),
        ..Default::default()
    };
    let status = am(&builder.backoff(backoff).build().unwrap()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the TLS handshake did not end before its deadline"), "{status}");
    drop(listener);
}

#[test]
fn a_handshake_that_stalls_is_given_up_when_the_channel_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    let tls = ClientTls::new().roots(Authority::new("authority").roots());
    let channel = Channel::builder(target).tls(tls).build().unwrap();
    channel.connect();
    let (mut socket, _) = listener.accept().unwrap();
    // The connect deadline is twenty seconds away.
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.read_exact(&mut [0]).expect("the client's hello");
    channel.close();
    std::io::copy(&mut socket, &mut std::io::sink()).expect("the end of the connection");
}

#[test]
fn a_server_is_stopped_although_a_handshake_stalls() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    eventually("the connection is there", || server.connections() == 1);
    // Waits for its connections to be gone.
    drop(server);
    drop(socket);
}
