//! Keys that change while a connection lives (RFC 8446 §4.6.3).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use lariat::credentials::{ClientTls, ServerCredentials, ServerTls};
use lariat::{Channel, Wait};
use rustls::{Connection, ServerConnection};

use super::certificates::Authority;
use super::failures::{raw_client, raw_server_config};
use super::who::{serve, serve_with};
use crate::support::EchoClient;

/// The content of a record with a KeyUpdate: its 5 octets, the content type, and the tag. Of what a connection of
/// HTTP/2 sends otherwise, nothing has this length: an alert is shorter, and a frame has 9 octets at least.
const KEY_UPDATE_RECORD: usize = 5 + 1 + 16;

/// Passes octets between a side in plaintext and a side over TLS, and asks the latter for new keys before each piece.
struct Relay {
    connection: Mutex<Connection>,
    secured: TcpStream,
    plain: TcpStream,
}

/// How often keys have changed.
struct KeyUpdates {
    asked: usize,
    answered: usize,
}

impl Relay {
    /// Passes on until both sides have ended.
    fn run(connection: Connection, secured: TcpStream, plain: TcpStream) -> KeyUpdates {
        secured.set_nodelay(true).unwrap();
        plain.set_nodelay(true).unwrap();
        let relay = Arc::new(Relay { connection: Mutex::new(connection), secured, plain });
        let mut ciphertext = Vec::new();
        relay.shake_hands(&mut ciphertext);
        let inward = Arc::clone(&relay);
        let inward = std::thread::spawn(move || {
            inward.decrypt_all(&mut ciphertext);
            ciphertext
        });
        let asked = relay.encrypt_all();
        KeyUpdates { asked, answered: count_key_updates(&inward.join().unwrap()) }
    }

    fn shake_hands(&self, ciphertext: &mut Vec<u8>) {
        self.send(&mut self.connection.lock().unwrap());
        while self.connection.lock().unwrap().is_handshaking() {
            assert!(self.receive(ciphertext), "the handshake ended early");
        }
    }

    fn encrypt_all(&self) -> usize {
        let mut buffer = [0; 4096];
        let mut asked = 0;
        while let Ok(count @ 1..) = (&self.plain).read(&mut buffer) {
            let mut connection = self.connection.lock().unwrap();
            connection.refresh_traffic_keys().unwrap();
            asked += 1;
            connection.writer().write_all(&buffer[..count]).unwrap();
            self.send(&mut connection);
        }
        let mut connection = self.connection.lock().unwrap();
        connection.send_close_notify();
        self.send(&mut connection);
        let _ = self.secured.shutdown(Shutdown::Write);
        asked
    }

    fn decrypt_all(&self, ciphertext: &mut Vec<u8>) {
        while self.receive(ciphertext) {}
        let _ = self.plain.shutdown(Shutdown::Write);
    }

    /// Passes on what comes next; false at the end.
    fn receive(&self, ciphertext: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        let Ok(count @ 1..) = (&self.secured).read(&mut buffer) else { return false };
        ciphertext.extend_from_slice(&buffer[..count]);
        let mut rest = &buffer[..count];
        let mut connection = self.connection.lock().unwrap();
        let mut text = Vec::new();
        while !rest.is_empty() {
            connection.read_tls(&mut rest).unwrap();
            connection.process_new_packets().unwrap();
            // It ends with an error while more may come.
            let _ = connection.reader().read_to_end(&mut text);
        }
        self.send(&mut connection);
        drop(connection);
        let _ = (&self.plain).write_all(&text);
        true
    }

    fn send(&self, connection: &mut Connection) {
        while connection.wants_write() && connection.write_tls(&mut &self.secured).is_ok() {}
    }
}

/// How many of the records hold a KeyUpdate.
fn count_key_updates(mut ciphertext: &[u8]) -> usize {
    let mut count = 0;
    while let Some(([_, _, _, high, low], rest)) = ciphertext.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        count += usize::from(length == KEY_UPDATE_RECORD);
        ciphertext = rest.get(length..).unwrap_or_default();
    }
    count
}

/// Calls the target until many keys have been used.
fn call(channel: Channel, relay: JoinHandle<KeyUpdates>) {
    let client = EchoClient::new(channel);
    for round in 0..20 {
        let message = Bytes::from(vec![round; 20_000]);
        assert_eq!(client.unary(message.clone()).wait().unwrap().message(), &message);
    }
    drop(client);
    let updates = relay.join().unwrap();
    assert!(updates.asked > 40, "{}", updates.asked);
    // One answer may stand for several requests, if nothing was sent between them.
    assert!((20..=updates.asked).contains(&updates.answered), "{} of {}", updates.answered, updates.asked);
}

#[test]
fn a_server_changes_its_keys_as_often_as_the_client_asks() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let address = server.local_address().to_string();
    let relay = std::thread::spawn(move || {
        let (plain, _) = listener.accept().unwrap();
        let connection = raw_client(&authority, &["h2"]).into();
        Relay::run(connection, TcpStream::connect(address).unwrap(), plain)
    });
    call(Channel::builder(target).plaintext().build().unwrap(), relay);
}

#[test]
fn a_client_changes_its_keys_as_often_as_the_server_asks() {
    let authority = Authority::new("authority");
    let server = serve_with(ServerCredentials::plaintext(), "127.0.0.1:0");
    let config = raw_server_config(&authority, &["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    let address = server.local_address().to_string();
    let relay = std::thread::spawn(move || {
        let (secured, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config).unwrap().into();
        Relay::run(connection, secured, TcpStream::connect(address).unwrap())
    });
    let tls = ClientTls::new().roots(authority.roots());
    call(Channel::builder(target).tls(tls).build().unwrap(), relay);
}

/// What the server says to a client that changes its keys so often and sends nothing between.
fn change_keys(times: usize) -> std::io::Result<usize> {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let mut connection = raw_client(&authority, &["h2"]);
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    for _ in 0..times {
        connection.refresh_traffic_keys().unwrap();
    }
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    // The acknowledgement of these SETTINGS behind whatever else the server says.
    let mut received = Vec::new();
    loop {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        received.extend(octet);
        if received.ends_with(b"\0\0\0\x04\x01\0\0\0\0") {
            return Ok(received.len());
        }
    }
}

#[test]
fn changes_of_keys_without_anything_else_end_the_connection_at_the_thirty_third() {
    change_keys(32).unwrap();
    // rustls has no alert for it.
    let error = change_keys(33).unwrap_err();
    let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(closed.contains(&error.kind()), "{error}");
}
