//! A server that runs out of file descriptors.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use helloworld::{GreeterClient, HelloRequest};
use lariat::{Channel, Code, Engine, Wait};

/// The generated client.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

/// For whatever should happen soon, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program with so many descriptors, and the address that it prints.
fn server_with(
    descriptors: u32,
    program: impl AsRef<OsStr>,
    arguments: &[&str],
) -> (Server, impl Iterator<Item = String>, String) {
    let mut server = Command::new("sh")
        .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")])
        .arg(program)
        .args(arguments)
        .env(STARTED, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Server)
        .unwrap();
    let mut output = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let listening = output.find(|line| line.contains("listening on ")).unwrap();
    let address = listening.rsplit(' ').next().unwrap().to_owned();
    (server, output, address)
}

#[test]
fn connections_take_nine_tenths_of_the_descriptors_at_most() {
    let arguments = ["server", "--addr", "127.0.0.1:0", "--threads", "1"];
    let (_server, _, address) = server_with(200, env!("CARGO_BIN_EXE_helloworld"), &arguments);
    let mut sockets: Vec<_> = (0..181).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let timeout = Some(PATIENCE);
    let mut octets = [0; 9];
    // The server's SETTINGS come on every connection that it keeps, and the end at once on the one too many.
    for (index, socket) in sockets.iter_mut().enumerate() {
        socket.set_read_timeout(timeout).unwrap();
        assert_eq!(socket.read_exact(&mut octets).is_ok(), index < 180, "connection {index}");
    }
}

/// Says that this process was started by a test of this file.
const STARTED: &str = "LARIAT_SERVER_OF_FEW_DESCRIPTORS";

/// Serves nothing, and says for each line of input how many accepts have failed and how many turns the loop took.
#[test]
#[ignore = "the process of the server, which the test of a server without descriptors starts"]
fn server_of_few_descriptors() {
    if std::env::var_os(STARTED).is_none() {
        return;
    }
    let engine = Engine::builder().threads(1).build().unwrap();
    let server = lariat::Server::builder().plaintext().engine(&engine).bind("127.0.0.1:0").unwrap();
    println!("listening on {}", server.local_address());
    for _ in std::io::stdin().lines() {
        println!("{} {}", server.stats().accepts_failed, engine.stats()[0].turns);
    }
}

#[test]
fn a_server_without_descriptors_neither_ends_nor_spins() {
    let arguments = ["--exact", "server_of_few_descriptors", "--ignored", "--nocapture"];
    let (mut server, mut output, address) = server_with(40, std::env::current_exe().unwrap(), &arguments);
    let mut input = server.0.stdin.take().unwrap();
    // The accepts that have failed and the turns of the loop, once so many have failed.
    let mut after = |failures: u64| {
        let begin = Instant::now();
        loop {
            input.write_all(b"\n").unwrap();
            let line = output.next().unwrap();
            let (failed, turns) = line.split_once(' ').unwrap();
            let (failed, turns): (u64, u64) = (failed.parse().unwrap(), turns.parse().unwrap());
            if failed >= failures {
                return (failed, turns);
            }
            assert!(begin.elapsed() < PATIENCE, "{failed} accepts have failed, and no more");
            std::thread::sleep(Duration::from_millis(5));
        }
    };

    let begin = Instant::now();
    let hungry: Vec<_> = (0..80).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let (failed, turns) = after(5);
    let (failed_then, turns_then) = after(failed + 3);
    // Pauses of 5, 10, 20 ms and so on lie between them, so that eight take no less than this on any machine.
    assert!(begin.elapsed() >= Duration::from_millis(5 * ((1 << 7) - 1)), "the server does not pause");
    let (failures, turns) = (failed_then - failed, turns_then - turns);
    assert!(turns <= 10 * failures, "{turns} turns for {failures} accepts that failed: the server spins");

    drop(hungry);
    let greeter = GreeterClient::new(Channel::builder(address).plaintext().build().unwrap());
    let status = greeter.say_hello(HelloRequest::default()).wait().unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "it has no services, and says so: {status}");
}
