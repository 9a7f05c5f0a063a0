//! Channels and registrations with etcd: a real one over loopback, if its program is at hand (`LARIAT_ETCD` names it,
//! else it is looked for in `PATH`), and a scripted one for what cannot be had of a real one at will.

#[path = "tls/certificates.rs"]
mod certificates;
mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use certificates::Authority;
use lariat::client::ConnectivityState;
use lariat::codec::Raw;
use lariat::credentials::ClientTls;
use lariat::etcd::{Entry, Etcd};
use lariat::server::{Handler, Service};
use lariat::{Channel, Code, Inbound, Outbound, Request, Response, Server, Status, Wait};
use support::etcd_program::program;
use support::*;

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#;

/// A cluster of one member, with its own folder, which can be killed and started again.
struct Member {
    program: PathBuf,
    folder: PathBuf,
    client_url: String,
    peer_url: String,
    /// Who vouches for it, if it is reached over TLS. The files are beside its folder.
    authority: Option<Authority>,
    process: Option<Child>,
}

impl Member {
    fn start(program: PathBuf, name: &str) -> Member {
        Member::start_with(program, name, None)
    }

    /// With an authority, it is reached over TLS.
    fn start_with(program: PathBuf, name: &str, authority: Option<Authority>) -> Member {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("etcd-{name}-{}", std::process::id()));
        // Of an address that nobody else uses, so that nobody takes the port before etcd does, or while it is down.
        let url = || format!("http://{}", TcpListener::bind(own_address()).unwrap().local_addr().unwrap());
        let (client_url, peer_url) = (url(), url());
        let mut member = Member { program, folder, client_url, peer_url, authority, process: None };
        if let Some(authority) = &member.authority {
            member.client_url = member.client_url.replace("http://", "https://");
            let host = member.client_url.trim_start_matches("https://").rsplit_once(':').unwrap().0;
            let certified = authority.issue(&[host]);
            let files =
                [("ca.pem", &authority.pem), ("cert.pem", &certified.chain), ("key.pem", &certified.key)];
            for (name, content) in files {
                std::fs::write(member.folder.with_extension(name), content).unwrap();
            }
        }
        member.run();
        member
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.program);
        if self.authority.is_some() {
            command.arg("--cert-file").arg(self.folder.with_extension("cert.pem"));
            command.arg("--key-file").arg(self.folder.with_extension("key.pem"));
        }
        let process = command
            .arg("--data-dir")
            .arg(&self.folder)
            .args(["--listen-client-urls", &self.client_url, "--advertise-client-urls", &self.client_url])
            .args(["--listen-peer-urls", &self.peer_url, "--initial-advertise-peer-urls", &self.peer_url])
            .args(["--initial-cluster", &format!("default={}", self.peer_url), "--log-level", "fatal"])
            .args(["--unsafe-no-fsync"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        self.process = Some(process);
        eventually("etcd answers", || self.try_control(&["get", "x"]).is_some());
    }

    /// Ends it without a chance to say anything.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn forget_everything(&self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    fn etcd(&self) -> Etcd {
        let address = self.client_url.trim_start_matches("http://").trim_start_matches("https://");
        match &self.authority {
            None => Etcd::new([address]).plaintext(),
            Some(authority) => {
                let tls = ClientTls::new().roots(authority.roots());
                Etcd::new([address]).channel(move |channel| channel.tls(tls.clone()))
            }
        }
    }

    fn try_control(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(self.program.with_file_name("etcdctl"));
        if self.authority.is_some() {
            command.arg("--cacert").arg(self.folder.with_extension("ca.pem"));
        }
        let output = command
            .args(["--endpoints", &self.client_url, "--command-timeout", "2s"])
            .args(arguments)
            .env("ETCDCTL_API", "3")
            .output()
            .expect("etcdctl beside etcd");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What etcd's own tool prints.
    fn control(&self, arguments: &[&str]) -> String {
        self.try_control(arguments).unwrap_or_else(|| panic!("etcdctl {arguments:?} failed"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let _ = std::fs::remove_file(self.folder.with_extension(name));
        }
    }
}

struct Backend {
    echo: Echo,
    server: Server,
}

impl Backend {
    fn start() -> Backend {
        let echo = Echo::default();
        Backend { server: serve(&echo), echo }
    }

    fn address(&self) -> String {
        self.server.local_address().to_string()
    }

    fn entry(&self) -> Entry {
        Entry::new(self.address())
    }

    fn calls(&self) -> usize {
        self.echo.seen.started.load(Ordering::SeqCst)
    }
}

fn channel(etcd: Etcd) -> EchoClient {
    let channel = Channel::builder("etcd:///greeter").resolver(etcd).default_service_config(ROUND_ROBIN);
    EchoClient::new(
        channel.wait_for_ready(true).timeout(Duration::from_secs(20)).plaintext().build().unwrap(),
    )
}

/// Calls until exactly these of the backends get calls, and returns how long that took.
#[track_caller]
fn follows(client: &EchoClient, backends: &[&Backend], expected: &[bool]) -> Duration {
    let start = Instant::now();
    loop {
        let before: Vec<usize> = backends.iter().map(|backend| backend.calls()).collect();
        for _ in 0..4 * backends.len() {
            client.unary("x").wait().unwrap();
        }
        let called: Vec<bool> =
            backends.iter().zip(before).map(|(backend, before)| backend.calls() > before).collect();
        if called == expected {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "calls go to {called:?} and not to {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_channel_follows_servers_that_register_and_deregister() {
    let Some(program) = program() else { return };
    let member = Member::start(program, "register");
    let (a, b) = (Backend::start(), Backend::start());
    let client = channel(member.etcd());
    // A call that comes before any server is there waits for one.
    let early = client.unary("x");
    let registered_a = member.etcd().register("greeter", a.entry()).unwrap();
    registered_a.registered().wait();
    assert!(registered_a.failure().is_none());
    early.wait().unwrap();
    follows(&client, &[&a, &b], &[true, false]);

    let registered_b = member.etcd().register("greeter", b.entry()).unwrap();
    follows(&client, &[&a, &b], &[true, true]);
    assert_eq!(registered_b.key(), format!("greeter/{}", b.address()));
    let value = member.control(&["get", "--print-value-only", registered_b.key()]);
    assert_eq!(Entry::parse(value.trim().as_bytes()), Ok(b.entry()));

    registered_a.deregister().wait().unwrap();
    follows(&client, &[&a, &b], &[false, true]);
    // A drop deregisters, too, in the background.
    drop(registered_b);
    eventually("the last entry is gone", || member.control(&["get", "--prefix", "greeter"]).is_empty());
    let fails = || {
        let call = client.request(Request::new(Bytes::new()).with_wait_for_ready(false)).wait();
        call.is_err_and(|status| status.code() == Code::Unavailable)
    };
    eventually("calls fail without a server", fails);
}

#[test]
fn a_cluster_is_reached_over_tls_by_whoever_trusts_its_authority() {
    let Some(program) = program() else { return };
    let member = Member::start_with(program, "tls", Some(Authority::new("authority of etcd")));
    let a = Backend::start();
    let registration = member.etcd().register("greeter", a.entry()).unwrap();
    registration.registered().wait();
    let client = channel(member.etcd());
    follows(&client, &[&a], &[true]);
    assert!(member.control(&["get", "--prefix", "greeter/", "--keys-only"]).contains(&a.address()));
    // The backends' security is another matter, and so is whom others trust.
    let tls = ClientTls::new().roots(Authority::new("another authority").roots());
    let address = member.client_url.trim_start_matches("https://").to_owned();
    let stranger = channel(Etcd::new([address]).channel(move |channel| channel.tls(tls.clone())));
    let status = stranger.request(Request::new(Bytes::new()).with_wait_for_ready(false)).wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("UnknownIssuer"), "{status}");
}

/// How soon a channel follows.
const SOON: Duration = Duration::from_secs(2);

/// Fails unless one of five rounds takes no longer than this: a machine that has other work to do may be late, but what
/// is on time once does not wait for anything else.
#[track_caller]
fn takes_at_most(limit: Duration, mut round: impl FnMut() -> Duration) {
    let rounds: Vec<Duration> = (0..5).map(|_| round()).take_while(|took| *took > limit).collect();
    assert!(rounds.len() < 5, "more than {limit:?} each time: {rounds:?}");
}

#[test]
fn a_channel_follows_within_two_seconds() {
    let Some(program) = program() else { return };
    let mut member = Member::start(program, "soon");
    let (a, b) = (Backend::start(), Backend::start());
    let _registration = member.etcd().register("greeter", a.entry()).unwrap();
    let client = channel(member.etcd());
    let both = || follows(&client, &[&a, &b], &[true, true]);
    let first = || follows(&client, &[&a, &b], &[true, false]);
    first();
    takes_at_most(SOON, || {
        let second = member.etcd().register("greeter", b.entry()).unwrap();
        let registered = both();
        second.deregister().wait().unwrap();
        registered.max(first())
    });
    let put = |member: &Member, option: &str| {
        let value = format!(r#"{{"Op":0,"Addr":"{}","Metadata":null}}"#, b.address());
        member.control(&["put", &format!("greeter/{}", b.address()), &value, option]);
    };
    // The time to live, and then that.
    takes_at_most(Duration::from_secs(2) + SOON, || {
        let start = Instant::now();
        let granted = member.control(&["lease", "grant", "2"]);
        let lease = granted.split(' ').nth(1).expect("the lease's id");
        put(&member, &format!("--lease={lease}"));
        both();
        first();
        start.elapsed()
    });
    takes_at_most(SOON, || {
        member.kill();
        member.run();
        put(&member, "--lease=0");
        let followed = both();
        member.control(&["del", &format!("greeter/{}", b.address())]);
        first();
        followed
    });
}

#[test]
fn a_server_that_dies_without_a_word_is_left_when_its_lease_is_over() {
    let Some(program) = program() else { return };
    let member = Member::start(program, "lease");
    let (a, b) = (Backend::start(), Backend::start());
    let _registration = member.etcd().register("greeter", a.entry()).unwrap();
    // As the Go package would put it, under a lease that nobody keeps alive.
    let granted = member.control(&["lease", "grant", "2"]);
    let lease = granted.split(' ').nth(1).expect("the lease's id");
    let value = format!(r#"{{"Op":0,"Addr":"{}","Metadata":null}}"#, b.address());
    member.control(&["put", &format!("greeter/{}", b.address()), &value, &format!("--lease={lease}")]);
    let client = channel(member.etcd());
    follows(&client, &[&a, &b], &[true, true]);
    follows(&client, &[&a, &b], &[true, false]);
}

#[test]
fn a_registration_outlives_its_lease() {
    let Some(program) = program() else { return };
    let member = Member::start(program, "keepalive");
    let registration =
        member.etcd().lease(Duration::from_secs(2)).register("greeter", Entry::new("a:1")).unwrap();
    registration.registered().wait();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert!(!member.control(&["get", registration.key()]).is_empty());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn channels_and_registrations_survive_a_restart_of_etcd() {
    let Some(program) = program() else { return };
    let mut member = Member::start(program, "restart");
    let (a, b) = (Backend::start(), Backend::start());
    let registration = member.etcd().register("greeter", a.entry()).unwrap();
    let client = channel(member.etcd());
    follows(&client, &[&a, &b], &[true, false]);

    member.kill();
    eventually("the registration knows", || registration.failure().is_some());
    // What is known is still true, as far as anybody can tell.
    (0..10).for_each(|_| drop(client.unary("x").wait().unwrap()));

    member.run();
    let _second = member.etcd().register("greeter", b.entry()).unwrap();
    follows(&client, &[&a, &b], &[true, true]);
    registration.registered().wait();

    // It comes back with nothing that it knew.
    member.kill();
    member.forget_everything();
    member.run();
    eventually("the entry is back", || !member.control(&["get", registration.key()]).is_empty());
    follows(&client, &[&a, &b], &[true, true]);
    registration.deregister().wait().unwrap();
    follows(&client, &[&a, &b], &[false, true]);
}

#[test]
fn a_channel_goes_on_after_a_compaction() {
    let Some(program) = program() else { return };
    let mut member = Member::start(program, "compaction");
    let (a, b) = (Backend::start(), Backend::start());
    let registration = member.etcd().register("greeter", a.entry()).unwrap();
    let client = channel(member.etcd());
    follows(&client, &[&a, &b], &[true, false]);

    let compact = || {
        (0..20).for_each(|number| drop(member.control(&["put", "elsewhere", &number.to_string()])));
        let status = member.control(&["endpoint", "status", "--write-out", "fields"]);
        let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
        member.control(&["compaction", revision.expect("a revision")]);
    };
    compact();
    let second = member.etcd().register("greeter", b.entry()).unwrap();
    follows(&client, &[&a, &b], &[true, true]);

    // Also when it was away meanwhile.
    compact();
    member.kill();
    member.run();
    registration.registered().wait();
    second.deregister().wait().unwrap();
    follows(&client, &[&a, &b], &[true, false]);
}

#[test]
fn the_next_member_is_asked_when_one_is_not_there() {
    let Some(program) = program() else { return };
    let member = Member::start(program, "members");
    let a = Backend::start();
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let present = member.client_url.trim_start_matches("http://");
    let registration = Etcd::new([&*absent, present]).plaintext().register("greeter", a.entry()).unwrap();
    registration.registered().wait();
    let target = format!("etcd://{absent},{present}/greeter");
    let channel = Channel::builder(target).resolver(Etcd::default().plaintext()).plaintext().build().unwrap();
    EchoClient::new(channel).request(Request::new(Bytes::new()).with_wait_for_ready(true)).wait().unwrap();
}

#[test]
fn what_is_missing_is_named_when_a_channel_or_a_registration_is_made() {
    let build = |target: &str, etcd: Etcd| {
        Channel::builder(target).resolver(etcd).plaintext().build().unwrap_err().to_string()
    };
    for (error, part) in [
        (build("etcd:///greeter", Etcd::default().plaintext()), "no member of the etcd cluster is named"),
        (build("etcd://127.0.0.1:1/greeter", Etcd::default()), "transport security was not chosen"),
        (build("etcd://127.0.0.1:x/greeter", Etcd::default().plaintext()), "\"x\" is not a number"),
        (build("etcd:///greeter?a", Etcd::new(["127.0.0.1:1"]).plaintext()), "it has a query"),
    ] {
        assert!(error.contains(part) && error.contains("etcd:///name"), "{error} lacks {part}");
    }
    let error = Etcd::default().plaintext().register("greeter", Entry::new("a:1")).unwrap_err().to_string();
    assert!(error.contains("Etcd::new"), "{error}");
}

/// What a scripted etcd does when it is asked to watch.
#[derive(Clone, Copy)]
enum Watch {
    /// The changes from there on are forgotten.
    Compacted,
    /// It ends the watch for another reason.
    Cancelled,
    /// It ends the stream.
    Ended,
    /// It says nothing.
    Quiet,
}

/// An etcd with one entry, whose watches go as a script says.
#[derive(Clone, Default)]
struct Scripted {
    entry: String,
    /// The first reading gets an answer that is larger than any should be.
    begins_large: bool,
    script: Arc<Mutex<Vec<Watch>>>,
    reads: Arc<AtomicUsize>,
    /// The revisions from which changes were wanted.
    watched: Arc<Mutex<Vec<Bytes>>>,
}

/// A protobuf field that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128);
    [&[number << 3 | 2, length], content].concat()
}

impl Scripted {
    fn serve(&self) -> Server {
        let [kv, watch] = ["etcdserverpb.KV", "etcdserverpb.Watch"].map(|name| Api(name, self.clone()));
        Server::builder().plaintext().add_service(kv).add_service(watch).bind("127.0.0.1:0").unwrap()
    }

    async fn range(self, _: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 0 && self.begins_large {
            // In a field that nobody knows, so that only the length is wrong with it.
            let mut large = vec![15 << 3 | 2, 0x80, 0x80, 0x80, 0x08];
            large.resize(large.len() + 16 * 1024 * 1024, 0);
            return Ok(Response::new(large.into()));
        }
        let kv = [field(1, b"greeter/a"), field(5, self.entry.as_bytes())].concat();
        // The header has the revision 41.
        Ok(Response::new([field(1, &[3 << 3, 41]), field(2, &kv)].concat().into()))
    }

    async fn watch(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        let request = inbound.message().await?.ok_or_else(|| Status::invalid_argument("no request"))?;
        self.watched.lock().unwrap().push(request);
        assert_eq!(inbound.metadata().get("hasleader"), Some("true"));
        let created = Bytes::from_static(&[3 << 3, 1]);
        outbound.send(created).await?;
        let next = self.script.lock().unwrap().pop().unwrap_or(Watch::Quiet);
        let cancelled = [4 << 3, 1];
        match next {
            Watch::Compacted => outbound.send([&cancelled[..], &[5 << 3, 60]].concat().into()).await?,
            Watch::Cancelled => {
                outbound.send([&cancelled[..], &field(6, b"no leader")].concat().into()).await?
            }
            Watch::Ended => {}
            Watch::Quiet => drop(inbound.message().await?),
        }
        Ok(())
    }
}

/// One of the services of an etcd.
struct Api(&'static str, Scripted);

impl Service for Api {
    fn name(&self) -> &str {
        self.0
    }

    fn methods(&self) -> Vec<Handler> {
        let scripted = self.1.clone();
        match self.0 {
            "etcdserverpb.KV" => {
                vec![Handler::unary::<Raw, _, _, _, _>("Range", move |request| {
                    scripted.clone().range(request)
                })]
            }
            _ => vec![Handler::bidi_streaming::<Raw, _, _, _, _>("Watch", move |inbound, outbound| {
                scripted.clone().watch(inbound, outbound)
            })],
        }
    }
}

#[test]
fn everything_is_read_again_when_a_watch_ends() {
    let backend = Backend::start();
    let scripted = Scripted {
        entry: backend.entry().to_json(),
        script: Arc::new(Mutex::new(vec![Watch::Ended, Watch::Cancelled, Watch::Compacted])),
        ..Scripted::default()
    };
    let server = scripted.serve();
    let client = channel(Etcd::new([server.local_address().to_string()]).plaintext());
    client.unary("x").wait().unwrap();
    eventually("the fourth watch stays", || scripted.watched.lock().unwrap().len() == 4);
    assert_eq!(scripted.reads.load(Ordering::SeqCst), 4);
    for request in scripted.watched.lock().unwrap().iter() {
        // create_request {key "greeter/", range_end "greeter0", start_revision 42, fragment}
        let create = [&field(1, b"greeter/")[..], &field(2, b"greeter0"), &[3 << 3, 42, 8 << 3, 1]].concat();
        assert_eq!(request[..], field(1, &create));
    }
    // The backend was the same all the time, so its connection is.
    client.unary("x").wait().unwrap();
    assert_eq!(backend.server.stats().connections_accepted, 1);

    // When nobody asks any more, nobody watches.
    client.channel.close();
    eventually("the channel ends", || client.channel.state() == ConnectivityState::Shutdown);
    eventually("the connection to etcd is gone", || server.connections() == 0);
}

#[test]
fn a_response_of_etcd_that_is_too_large_is_refused_and_etcd_asked_again() {
    let backend = Backend::start();
    let scripted = Scripted { entry: backend.entry().to_json(), begins_large: true, ..Scripted::default() };
    let server = scripted.serve();
    let client = channel(Etcd::new([server.local_address().to_string()]).plaintext());
    let request = Request::new(Bytes::new()).with_wait_for_ready(false);
    let status = client.request(request).wait().unwrap_err();
    let why = "etcd cannot be asked for \"greeter/\": status RESOURCE_EXHAUSTED";
    assert!(status.message().contains(why) && status.message().contains("16777216"), "{status}");
    client.request(Request::new(Bytes::new()).with_wait_for_ready(true)).wait().unwrap();
    assert_eq!(scripted.reads.load(Ordering::SeqCst), 2);
}

#[test]
fn host_names_in_entries_are_looked_up_again_when_a_connection_is_lost() {
    let (before, after) = (Backend::start(), Backend::start());
    let scripted = Scripted { entry: Entry::new("backend.invalid:1").to_json(), ..Scripted::default() };
    let server = scripted.serve();
    let leads_to = Arc::new(Mutex::new(before.address()));
    let answer = Arc::clone(&leads_to);
    let etcd = Etcd::new([server.local_address().to_string()]).plaintext().look_up_by(move |name| {
        assert_eq!(name, "backend.invalid:1");
        Ok(vec![answer.lock().unwrap().parse().unwrap()])
    });
    let channel = Channel::builder("etcd:///greeter")
        .resolver(etcd)
        .min_resolution_interval(Duration::from_millis(1))
        .plaintext();
    let client = EchoClient::new(channel.build().unwrap());
    let call =
        || client.request(Request::new(Bytes::new()).with_wait_for_ready(true).with_timeout(PATIENCE)).wait();
    call().unwrap();
    assert_eq!(before.calls(), 1);
    // The name leads elsewhere from now on, of which nobody is told.
    *leads_to.lock().unwrap() = after.address();
    before.server.graceful_stop(PATIENCE).wait();
    call().unwrap();
    assert_eq!(after.calls(), 1);
    // What the answer is made of was read once; the name alone was looked up again.
    assert_eq!(scripted.reads.load(Ordering::SeqCst), 1);
}
