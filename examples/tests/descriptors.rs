//! A server that runs out of file descriptors.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use helloworld::{GreeterClient, HelloRequest};
use lariat::{Channel, Wait};

/// The generated client.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time of a process, in clock ticks of 10 ms.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

/// The helloworld server with so many descriptors, and its address.
fn server_with(descriptors: u32) -> (Server, String) {
    let script = format!("ulimit -n {descriptors}; exec \"$0\" server --addr 127.0.0.1:0 --threads 1");
    let mut server = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_helloworld")])
        .stdout(Stdio::piped())
        .spawn()
        .map(Server)
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    (server, address)
}

#[test]
fn connections_take_nine_tenths_of_the_descriptors_at_most() {
    let (_server, address) = server_with(200);
    let mut sockets: Vec<_> = (0..181).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let timeout = Some(Duration::from_secs(10));
    let mut octets = [0; 9];
    // The server's SETTINGS come on every connection that it keeps, and the end at once on the one too many.
    for (index, socket) in sockets.iter_mut().enumerate() {
        socket.set_read_timeout(timeout).unwrap();
        assert_eq!(socket.read_exact(&mut octets).is_ok(), index < 180, "connection {index}");
    }
}

#[test]
fn a_server_without_descriptors_neither_ends_nor_spins() {
    let (server, address) = server_with(40);

    let hungry: Vec<_> = (0..80).map(|_| TcpStream::connect(&address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let before = ticks(server.0.id());
    std::thread::sleep(Duration::from_secs(1));
    let spent = ticks(server.0.id()) - before;
    assert!(spent < 50, "{spent} ticks of 10 ms in a second: the server spins");

    drop(hungry);
    let greeter = GreeterClient::new(Channel::builder(address).plaintext().build().unwrap());
    let reply = greeter.say_hello(HelloRequest { name: "again".into() }).wait().unwrap();
    assert_eq!(reply.message().message, "Hello again");
}
