//! Names that are looked up by a DNS server of the test's own, over loopback. Its answers are written here, octet by
//! octet.

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lariat::client::ChannelBuilder;
use lariat::client::resolver::Dns;
use lariat::{Channel, Code, Request, Server, Status, Wait};
use support::*;

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;

const HOST: &str = "greeter.test";
const CONFIG: &str = "_grpc_config.greeter.test";

/// What the server does about a question.
#[derive(Clone)]
enum Reply {
    /// Records of these types with these data, for the name of the question.
    Records(Vec<(u16, Vec<u8>)>),
    /// The same over TCP; over UDP that there is more than fits.
    OverTcp(Vec<(u16, Vec<u8>)>),
    /// This response code.
    Code(u8),
    Silence,
    /// These datagrams, and then the records.
    Noise(Vec<Vec<u8>>, Vec<(u16, Vec<u8>)>),
    /// Over UDP that there is more than fits; over TCP these octets and the end.
    Cut(Vec<u8>),
}

struct Shared {
    zone: Mutex<HashMap<(String, u16), Reply>>,
    asked: Mutex<Vec<(String, u16, &'static str)>>,
    stops: AtomicBool,
}

/// A DNS server on a port of its own, for UDP and TCP.
struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl DnsServer {
    fn start() -> Self {
        let (listener, socket) = (0..100)
            .find_map(|_| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                // The port may be taken for UDP.
                let socket = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
                Some((listener, socket))
            })
            .unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            asked: Mutex::default(),
            stops: AtomicBool::new(false),
        });
        let (udp, tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || {
            let mut datagram = [0; 600];
            while let Ok((octets, peer)) = socket.recv_from(&mut datagram) {
                if udp.stops.load(Ordering::SeqCst) {
                    return;
                }
                for reply in udp.answer(&datagram[..octets], "UDP") {
                    let _ = socket.send_to(&reply, peer);
                }
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if tcp.stops.load(Ordering::SeqCst) {
                    return;
                }
                let _ = tcp.serve_stream(&mut stream);
            }
        });
        DnsServer { address, shared }
    }

    /// From now on this is known of the name.
    fn set(&self, name: &str, record_type: u16, reply: Reply) {
        self.shared.zone.lock().unwrap().insert((name.to_owned(), record_type), reply);
    }

    fn has_addresses(&self, addresses: &[[u8; 4]]) {
        self.set(HOST, A, records(addresses));
    }

    fn has_config(&self, choices: &str) {
        self.set(CONFIG, TXT, Reply::Records(vec![text(&format!("grpc_config={choices}"))]));
    }

    fn asked(&self, name: &str, record_type: u16) -> Vec<&'static str> {
        let asked = self.shared.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(other, other_type, _)| other == name && *other_type == record_type)
            .map(|(_, _, transport)| *transport)
            .collect()
    }

    /// A channel to `greeter.test` at the port of this address, which asks this server.
    fn channel(&self, port: u16, dns: Dns) -> ChannelBuilder {
        let target = format!("dns://{}/{HOST}:{port}", self.address);
        Channel::builder(target)
            .resolver(dns.timeout(Duration::from_secs(20)))
            .min_resolution_interval(Duration::from_millis(20))
            .without_proxy()
            .plaintext()
    }

    /// Why calls fail when the name is looked up.
    fn failure(&self, dns: Dns) -> String {
        let target = format!("dns://{}/{HOST}:1", self.address);
        let channel = Channel::builder(target).resolver(dns).without_proxy().plaintext().build().unwrap();
        let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let prefix =
            format!("dns://{0}/{HOST}:1: name resolution failed: cannot resolve \"{HOST}\": ", self.address);
        let suffix = format!(", asking {}", self.address);
        let why = status.message().strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
        why.unwrap_or_else(|| panic!("{status}")).to_owned()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.address);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// What goes out for this question.
    fn answer(&self, question: &[u8], transport: &'static str) -> Vec<Vec<u8>> {
        let (name, record_type) = read_question(question);
        self.asked.lock().unwrap().push((name.clone(), record_type, transport));
        let zone = self.zone.lock().unwrap();
        let is_known = zone.keys().any(|(other, _)| *other == name);
        let reply = zone.get(&(name, record_type)).cloned();
        drop(zone);
        let is_udp = transport == "UDP";
        match reply {
            None if is_known => vec![message(question, 0x8180, &[])],
            None => vec![message(question, 0x8183, &[])],
            Some(Reply::Records(records)) => vec![message(question, 0x8180, &records)],
            Some(Reply::OverTcp(_) | Reply::Cut(_)) if is_udp => vec![message(question, 0x8380, &[])],
            Some(Reply::OverTcp(records)) => vec![message(question, 0x8180, &records)],
            Some(Reply::Cut(octets)) => vec![octets],
            Some(Reply::Code(code)) => vec![message(question, 0x8180 | u16::from(code), &[])],
            Some(Reply::Silence) => vec![],
            Some(Reply::Noise(mut datagrams, records)) => {
                // What is forged with everything right but the identifier, or the question.
                let mut forged = message(question, 0x8180, &[(A, vec![127, 9, 9, 9])]);
                forged[0] ^= 0xff;
                datagrams.push(forged);
                let mut forged = message(question, 0x8180, &[(A, vec![127, 9, 9, 9])]);
                forged[13] ^= 1;
                datagrams.push(forged);
                datagrams.push(message(question, 0x8180, &records));
                datagrams
            }
        }
    }

    fn serve_stream(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        for reply in self.answer(&question, "TCP") {
            let is_whole = reply.len() > 12;
            let length = if is_whole { reply.len() as u16 } else { 500 };
            stream.write_all(&length.to_be_bytes())?;
            stream.write_all(&reply)?;
        }
        Ok(())
    }
}

fn read_question(octets: &[u8]) -> (String, u16) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while octets[at] != 0 {
        let length = usize::from(octets[at]);
        labels.push(String::from_utf8(octets[at + 1..at + 1 + length].to_vec()).unwrap());
        at += 1 + length;
    }
    (labels.join("."), u16::from_be_bytes([octets[at + 1], octets[at + 2]]))
}

/// The question once more, with these flags and records (RFC 1035 §4.1).
fn message(question: &[u8], flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut octets = question.to_vec();
    octets[2..4].copy_from_slice(&flags.to_be_bytes());
    octets[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (record_type, data) in records {
        octets.extend([0xc0, 12]);
        octets.extend(record_type.to_be_bytes());
        octets.extend([0, 1, 0, 0, 0, 60]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
    }
    octets
}

fn records(addresses: &[[u8; 4]]) -> Reply {
    Reply::Records(addresses.iter().map(|address| (A, address.to_vec())).collect())
}

/// A TXT record, whose strings have 255 octets at most.
fn text(text: &str) -> (u16, Vec<u8>) {
    let strings = text.as_bytes().chunks(255).map(|chunk| [&[chunk.len() as u8], chunk].concat());
    (TXT, strings.flatten().collect())
}

/// A server at each of the addresses, all at the same port.
fn backends(addresses: &[&str]) -> (u16, Vec<(Server, Echo)>) {
    for _ in 0..100 {
        let mut port = 0;
        let all: Option<Vec<_>> = addresses
            .iter()
            .map(|address| {
                let echo = Echo::default();
                let server = builder(&echo).bind(&format!("{address}:{port}")).ok()?;
                port = server.local_address().to_string().rsplit_once(':')?.1.parse().ok()?;
                Some((server, echo))
            })
            .collect();
        if let Some(all) = all {
            return (port, all);
        }
    }
    panic!("no port is free at all addresses");
}

/// A call that waits for a backend.
fn call(client: &EchoClient) -> Result<(), Status> {
    let request = Request::new(Bytes::from("x")).with_timeout(Duration::from_secs(30));
    client.request(request.with_wait_for_ready(true)).wait().map(|_| ())
}

fn started(echo: &Echo) -> usize {
    echo.seen.started.load(Ordering::SeqCst)
}

#[test]
fn the_server_of_the_target_is_asked_for_addresses_of_both_families() {
    let (port, backends) = backends(&["127.0.0.1"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1]]);
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    call(&client).unwrap();
    assert_eq!(started(&backends[0].1), 1);
    assert_eq!((dns.asked(HOST, A), dns.asked(HOST, AAAA)), (vec!["UDP"], vec!["UDP"]));
    // Service configs are not looked for unless that is wanted.
    assert!(dns.asked(CONFIG, TXT).is_empty());
}

#[test]
fn addresses_of_one_family_suffice_and_those_of_an_alias_have_its_name() {
    let (port, backends) = backends(&["::1"]);
    let dns = DnsServer::start();
    let other = [&[5][..], b"other", &[0]].concat();
    let mut loopback = vec![0; 16];
    loopback[15] = 1;
    dns.set(HOST, A, Reply::Code(2));
    dns.set(HOST, AAAA, Reply::Records(vec![(AAAA, loopback.clone())]));
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    call(&client).unwrap();
    assert_eq!(started(&backends[0].1), 1);
    // The name is an alias of another, and the address is not that other's.
    dns.set(HOST, AAAA, Reply::Records(vec![(CNAME, other), (AAAA, loopback)]));
    dns.set(HOST, A, Reply::Records(vec![]));
    assert_eq!(dns.failure(Dns::new()), "the name has no address");
}

#[test]
fn a_channel_follows_an_answer_that_changes_when_its_connection_is_lost() {
    let (port, mut backends) = backends(&["127.0.0.1", "127.0.0.2"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1]]);
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    call(&client).unwrap();
    dns.has_addresses(&[[127, 0, 0, 2]]);
    let (first, first_echo) = backends.remove(0);
    first.graceful_stop(Duration::from_secs(10)).wait();
    for _ in 0..20 {
        call(&client).unwrap();
    }
    assert_eq!((started(&first_echo), started(&backends[0].1)), (1, 20));
}

#[test]
fn a_channel_that_asks_from_time_to_time_finds_further_backends_while_all_connections_hold() {
    let (port, backends) = backends(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1]]);
    let channel = dns
        .channel(port, Dns::new())
        .refresh_interval(Duration::from_millis(20))
        .default_service_config(r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#);
    let client = EchoClient::new(channel.build().unwrap());
    call(&client).unwrap();
    dns.has_addresses(&[[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]]);
    eventually("every backend gets calls", || {
        call(&client).unwrap();
        backends.iter().all(|(_, echo)| started(echo) > 0)
    });
    dns.has_addresses(&[[127, 0, 0, 3]]);
    eventually("calls go to the one that is left", || {
        let before = started(&backends[2].1);
        (0..4).for_each(|_| call(&client).unwrap());
        started(&backends[2].1) == before + 4
    });
}

#[test]
fn an_answer_that_does_not_fit_into_a_datagram_is_fetched_over_tcp() {
    let (port, backends) = backends(&["127.0.0.1"]);
    let dns = DnsServer::start();
    // Some 16 KiB, though it is the same address again and again.
    dns.set(HOST, A, Reply::OverTcp(vec![(A, vec![127, 0, 0, 1]); 1_000]));
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    call(&client).unwrap();
    assert_eq!(started(&backends[0].1), 1);
    assert_eq!(dns.asked(HOST, A), ["UDP", "TCP"]);
    dns.set(HOST, A, Reply::Cut(vec![1, 2, 3]));
    assert_eq!(dns.failure(Dns::new()), "over TCP: the server closed the connection");
    dns.set(HOST, A, Reply::Cut(vec![0; 100]));
    assert_eq!(dns.failure(Dns::new()), "over TCP: what arrived is no answer");
}

#[test]
fn failures_say_what_the_server_said() {
    let dns = DnsServer::start();
    assert_eq!(dns.failure(Dns::new()), "there is no such name (NXDOMAIN)");
    dns.set(HOST, A, Reply::Code(2));
    assert_eq!(dns.failure(Dns::new()), "the server answered SERVFAIL");
    dns.set(HOST, A, Reply::Records(vec![(A, vec![127, 0, 0])]));
    assert!(dns.failure(Dns::new()).starts_with("the answer is malformed"));
    dns.set(HOST, A, Reply::Records(vec![]));
    assert_eq!(dns.failure(Dns::new()), "the name has no address");
}

#[test]
fn a_server_that_does_not_answer_is_asked_twice() {
    let dns = DnsServer::start();
    dns.set(HOST, A, Reply::Silence);
    let failure = dns.failure(Dns::new().timeout(Duration::from_millis(50)));
    assert_eq!(failure, "no answer within 50ms");
    eventually("it was asked twice", || dns.asked(HOST, A).len() == 2);
}

#[test]
fn datagrams_that_are_no_answer_are_passed_over() {
    let (port, backends) = backends(&["127.0.0.1"]);
    let dns = DnsServer::start();
    let noise = vec![vec![], vec![0xff; 500], b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()];
    dns.set(HOST, A, Reply::Noise(noise, vec![(A, vec![127, 0, 0, 1])]));
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    call(&client).unwrap();
    assert_eq!(started(&backends[0].1), 1);
}

#[test]
fn no_more_than_a_hundred_datagrams_that_are_no_answer_are_put_up_with() {
    let dns = DnsServer::start();
    dns.set(HOST, A, Reply::Noise(vec![vec![0xff; 20]; 150], vec![(A, vec![127, 0, 0, 1])]));
    assert_eq!(dns.failure(Dns::new()), "100 datagrams arrived that are no answer");
}

const ROUND_ROBIN: &str =
    r#"{"clientLanguage": ["rust"], "serviceConfig": {"loadBalancingConfig": [{"round_robin": {}}]}}"#;

#[test]
fn a_service_config_comes_by_txt_if_that_is_wanted() {
    let (port, backends) = backends(&["127.0.0.1", "127.0.0.2"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1], [127, 0, 0, 2]]);
    // Long enough for several strings, and for TCP.
    let go = r#"{"clientLanguage": ["go"], "serviceConfig": {"loadBalancingPolicy": "pick_first"}}"#;
    let choices = format!("grpc_config=[{}, {ROUND_ROBIN}]", [go; 10].join(", "));
    dns.set(CONFIG, TXT, Reply::OverTcp(vec![text("v=spf1 -all"), text(&choices)]));
    let client = EchoClient::new(dns.channel(port, Dns::new().service_configs()).build().unwrap());
    eventually("calls are spread by round_robin", || {
        call(&client).unwrap();
        backends.iter().all(|(_, echo)| started(echo) > 0)
    });
    assert_eq!(dns.asked(CONFIG, TXT), ["UDP", "TCP"]);
    // Without it pick_first keeps to one.
    let before: Vec<usize> = backends.iter().map(|(_, echo)| started(echo)).collect();
    let client = EchoClient::new(dns.channel(port, Dns::new()).build().unwrap());
    (0..10).for_each(|_| call(&client).unwrap());
    let now = backends.iter().map(|(_, echo)| started(echo));
    let more: Vec<usize> = now.zip(before).map(|(now, before)| now - before).collect();
    assert!(more.contains(&10), "{more:?}");
}

#[test]
fn a_name_without_a_service_config_is_none_the_worse() {
    let (port, _backends) = backends(&["127.0.0.1"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1]]);
    for reply in [None, Some(Reply::Records(vec![text("v=spf1 -all")])), Some(Reply::Code(2))] {
        if let Some(reply) = reply {
            dns.set(CONFIG, TXT, reply);
        }
        call(&EchoClient::new(dns.channel(port, Dns::new().service_configs()).build().unwrap())).unwrap();
    }
}

#[test]
fn a_txt_record_that_cannot_be_read_fails_calls_until_it_can() {
    let (port, _backends) = backends(&["127.0.0.1"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1]]);
    dns.has_config("[{}]");
    let channel = dns.channel(port, Dns::new().service_configs()).build().unwrap();
    let client = EchoClient::new(channel.clone());
    let status = client.unary("x").wait().unwrap_err();
    let why = "in the TXT record of _grpc_config.greeter.test: [0].serviceConfig: found nothing; it must be an object";
    assert!(status.message().ends_with(why), "{status}");
    dns.has_config(&format!("[{ROUND_ROBIN}]"));
    channel.reset_connect_backoff();
    call(&client).unwrap();
}

#[test]
fn the_service_config_stays_while_the_server_does_not_answer_for_it() {
    let (port, backends) = backends(&["127.0.0.1", "127.0.0.2"]);
    let dns = DnsServer::start();
    dns.has_addresses(&[[127, 0, 0, 1], [127, 0, 0, 2]]);
    dns.has_config(&format!("[{ROUND_ROBIN}]"));
    let channel = dns.channel(port, Dns::new().service_configs()).refresh_interval(Duration::from_millis(20));
    let client = EchoClient::new(channel.build().unwrap());
    let is_spread = || {
        call(&client).unwrap();
        let before: Vec<usize> = backends.iter().map(|(_, echo)| started(echo)).collect();
        (0..10).for_each(|_| call(&client).unwrap());
        backends.iter().zip(before).all(|((_, echo), before)| started(echo) == before + 5)
    };
    eventually("calls are spread", is_spread);
    dns.set(CONFIG, TXT, Reply::Code(2));
    let asked = dns.asked(CONFIG, TXT).len();
    eventually("the server was asked again, twice", || dns.asked(CONFIG, TXT).len() > asked + 2);
    // As is seen between two refreshes, after each of which the turns begin anew.
    eventually("calls are still spread", is_spread);
}
