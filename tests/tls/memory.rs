//! What a TLS connection without calls holds, exactly: the server's engine runs on the test's thread, where what is
//! allocated and not freed is counted, so that the client's share is not in it.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use lariat::credentials::{ClientTls, ServerTls, TlsVersion};
use lariat::{Channel, Engine, Server};

use super::certificates::Authority;
use crate::support::{Echo, EchoClient};

const CONNECTIONS: usize = 100;
/// Longer than a connection keeps the memory of its calls for the next ones.
const REST: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server holds for each of the connections, in octets, after a call on each and a rest.
fn octets_of_an_idle_connection(version: Option<TlsVersion>) -> i64 {
    let engine = Engine::builder().current_thread().build().unwrap();
    let mut builder = Server::builder().engine(&engine).add_service(Echo::default());
    let authority = Authority::new("authority");
    builder = match version {
        Some(_) => builder.tls(ServerTls::new(authority.issue(&["localhost"]).identity())),
        None => builder.plaintext(),
    };
    let server = builder.bind("127.0.0.1:0").unwrap();
    let port = server.local_address().to_string().rsplit_once(':').unwrap().1.to_owned();
    let run = |time| measure(|| engine.block_on(lariat::sleep(time))).bytes_current;
    run(Duration::from_millis(20));

    let (answered, all_answered) = channel();
    let (done, may_end) = channel::<()>();
    let client = std::thread::spawn(move || {
        let engine = Engine::builder().current_thread().build().unwrap();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let builder = Channel::builder(format!("localhost:{port}")).engine(&engine);
                let builder = match version {
                    Some(version) => {
                        builder.tls(ClientTls::new().roots(authority.roots()).max_version(version))
                    }
                    None => builder.plaintext(),
                };
                EchoClient::new(builder.build().unwrap())
            })
            .collect();
        engine.block_on(async {
            for client in &clients {
                assert_eq!(client.unary("hello").await.unwrap().into_message(), "hello");
            }
        });
        answered.send(()).unwrap();
        may_end.recv().unwrap_err();
    });
    let begin = Instant::now();
    let mut live = 0;
    while all_answered.try_recv().is_err() {
        assert!(begin.elapsed() < PATIENCE, "the calls were not answered");
        live += run(Duration::from_millis(2));
    }
    live += run(REST);
    assert_eq!(server.connections(), CONNECTIONS);
    drop(done);
    client.join().unwrap();
    live / CONNECTIONS as i64
}

/// What TLS may add to an idle connection, in octets: the state of rustls with its keys, and a session that may be
/// resumed. The buffers of records are the loop's.
const TLS: i64 = 3_456;

#[test]
fn an_idle_connection_holds_its_keys_and_no_buffers() {
    let plaintext = octets_of_an_idle_connection(None);
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let added = octets_of_an_idle_connection(Some(version)) - plaintext;
        println!("{version}: {added} octets beside the {plaintext} of plaintext");
        assert!((1..=TLS).contains(&added), "{version}: {added} octets");
    }
}
