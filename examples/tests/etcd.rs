//! Runs the example that finds servers in etcd and reads what it prints, if there is an etcd: `LARIAT_ETCD` names its
//! program, else it is looked for in `PATH`.

#[path = "../../tests/support/etcd_program.rs"]
mod etcd_program;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself, which is no less well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn name_resolving_etcd_follows_servers_that_come_and_go() {
    let Some(program) = etcd_program::program() else { return };
    // Of an address that nobody else uses, so that nobody takes the ports before etcd does.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.{high}.{low}.1:0");
    let free = || TcpListener::bind(&address).expect("a free port").local_addr().expect("its address");
    let (client, peer) = (free(), format!("http://{}", free()));
    let url = format!("http://{client}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("etcd-{}", std::process::id()));
    let etcd = Command::new(program)
        .arg("--data-dir")
        .arg(&folder)
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"])
        .args(["--log-level", "fatal"])
        .stderr(Stdio::null())
        .spawn()
        .map(Etcd)
        .expect("etcd starts");
    // The example waits for etcd by itself.
    let mut example = Command::new(env!("CARGO_BIN_EXE_name_resolving_etcd"))
        .env("ETCD", client.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = BufReader::new(example.stdout.take().expect("its standard output"));
    let lines: Vec<String> = stdout.lines().map(|line| line.expect("UTF-8")).collect();
    let lines: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.contains("listening on") && !line.contains("registering in"))
        .collect();
    assert!(example.wait().expect("it ends").success());
    drop(etcd);
    drop(std::fs::remove_dir_all(folder));
    assert_eq!(
        lines,
        [
            "a: registered",
            "client: answers come from a",
            "b: registered",
            "client: answers come from a and b",
            "client: answers come from a",
        ]
    );
}
