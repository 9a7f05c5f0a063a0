//! Mixed load for a given time, in one process: calls of all kinds, cancelled and expired ones, new channels and
//! connections that grow old. At the end nothing may have failed, and nothing may be left: no handler, no connection,
//! no descriptor, no memory.
//!
//! `soak --seconds=600 [--use_tls=true --ca_file=F --tls_cert_file=F --tls_key_file=F]`

use std::error::Error;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lariat::credentials::{ClientTls, Identity, RootCertificates, ServerTls};
use lariat::{Channel, Code, Request, Server, Status, Wait};
use lariat_interop::flags::Flags;
use lariat_interop::payload;
use lariat_interop::test_service::Test;
use lariat_interop::testing::{
    EchoStatus, Empty, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest, TestServiceClient, TestServiceServer,
};

const FLAGS: [(&str, &str); 7] = [
    ("seconds", "60"),
    ("threads", "8"),
    ("connection_age_seconds", "5"),
    ("use_tls", "false"),
    ("ca_file", ""),
    ("tls_cert_file", ""),
    ("tls_key_file", ""),
];

/// What the process may have grown by since its first tenth, in KiB: allocators keep some of what was freed.
const MOST_GROWTH: usize = 16 * 1024;
/// How long what ends on both sides may take to be gone: a closed connection lingers for a second.
const SETTLING: Duration = Duration::from_secs(5);
/// Bounds each call that is to end well.
const CALL_TIME: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match Flags::from_args(&FLAGS).map_err(Box::from).and_then(|flags| run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let (seconds, threads) = (flags.get::<u64>("seconds")?, flags.get::<usize>("threads")?);
    let service = Test::new("soak".to_owned());
    let running = service.running();
    let (builder, tls) = match flags.get("use_tls")? {
        false => (Server::builder().plaintext(), None),
        true => {
            let identity = Identity::from_pem_files(flags.text("tls_cert_file"), flags.text("tls_key_file"))?;
            let roots = RootCertificates::from_pem_file(flags.text("ca_file"))?;
            let client = ClientTls::new().roots(roots).server_name("localhost");
            (Server::builder().tls(ServerTls::new(identity)), Some(client))
        }
    };
    let server = builder
        .max_connection_age(Duration::from_secs(flags.get("connection_age_seconds")?), Some(CALL_TIME))
        .add_service(TestServiceServer::new(service))
        .bind("127.0.0.1:0")?;
    let target = format!("passthrough:///{}", server.local_address());
    let load = Load { target, tls, counts: Counts::default() };
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let channel = load.connect()?;
    let mut before = None;
    std::thread::scope(|scope| {
        for seed in 0..threads as u64 {
            let (load, channel) = (&load, channel.clone());
            scope.spawn(move || load.run_until(end, channel, Random(seed + 1)));
        }
        std::thread::sleep(Duration::from_secs(seconds) / 10);
        before = Some(Resources::of_this_process());
    });
    let took = started.elapsed();
    channel.close();
    drop(channel);
    settle(&server, &running)?;
    drop(server);
    let (before, after) = (before.unwrap_or_default(), Resources::of_this_process());

    println!("{:.0} s, {threads} threads", took.as_secs_f64());
    for (name, count) in KINDS.iter().map(|(name, _)| name).zip(&load.counts.calls) {
        println!("{name:<16} {}", count.load(Ordering::Relaxed));
    }
    println!("descriptors      {} in the first tenth, {} at the end", before.descriptors, after.descriptors);
    println!(
        "resident memory  {} KiB in the first tenth, {} KiB at the end",
        before.resident_kib, after.resident_kib
    );
    let failures = load.counts.failures.lock().map_err(|_| "a thread panicked")?;
    for failure in failures.iter().take(10) {
        println!("failed           {failure}");
    }
    if !failures.is_empty() {
        return Err(format!("{} calls did not end as they had to", failures.len()).into());
    }
    if after.descriptors > before.descriptors {
        return Err("descriptors are left".into());
    }
    if after.resident_kib > before.resident_kib + MOST_GROWTH {
        return Err("memory is left".into());
    }
    Ok(())
}

/// Waits until the server has no connection and no handler.
fn settle(server: &Server, running: &AtomicUsize) -> Result<(), String> {
    let end = Instant::now() + SETTLING;
    loop {
        let (connections, handlers) = (server.connections(), running.load(Ordering::Relaxed));
        if connections == 0 && handlers == 0 {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("{connections} connections and {handlers} handlers are left"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the system says of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Resources {
    descriptors: usize,
    resident_kib: usize,
}

impl Resources {
    fn of_this_process() -> Resources {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.and_then(|text| text.split_whitespace().next());
        Resources {
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            resident_kib: number.and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }
}

#[derive(Default)]
struct Counts {
    calls: [AtomicUsize; KINDS.len()],
    failures: Mutex<Vec<String>>,
}

struct Load {
    target: String,
    tls: Option<ClientTls>,
    counts: Counts,
}

type Outcome = Result<(), Box<dyn Error>>;

/// A kind of call by its name.
type Kind = (&'static str, fn(&Load, &TestServiceClient, &mut Random) -> Outcome);

const KINDS: [Kind; 9] = [
    ("empty", |_, client, _| {
        client.empty_call(bounded(Empty {})).wait()?;
        Ok(())
    }),
    ("unary", |_, client, random| {
        let size = random.size();
        let payload = Some(payload::of_size(random.size())?);
        let request = SimpleRequest { response_size: size, payload, ..Default::default() };
        let response = client.unary_call(bounded(request)).wait()?;
        same("size", payload::size(response.message().payload.as_ref()), size as usize)
    }),
    ("status", |_, client, _| {
        let response_status = Some(EchoStatus { code: 9, message: "as asked".into() });
        let request = SimpleRequest { response_status, ..Default::default() };
        ends_with(client.unary_call(bounded(request)).wait(), Code::FailedPrecondition)
    }),
    ("client stream", |_, client, random| {
        let (outbound, response) = client.streaming_input_call(bounded(()));
        let sizes: Vec<i32> = (0..random.below(20)).map(|_| random.size()).collect();
        for size in &sizes {
            let payload = Some(payload::of_size(*size)?);
            outbound.send(StreamingInputCallRequest { payload, ..Default::default() }).wait()?;
        }
        outbound.finish();
        same("sizes", response.wait()?.message().aggregated_payload_size, sizes.iter().sum())
    }),
    ("server stream", |_, client, random| {
        let sizes: Vec<i32> = (0..random.below(20)).map(|_| random.size()).collect();
        let mut inbound = client.streaming_output_call(bounded(ask(&sizes, 0)));
        for size in sizes {
            let message = inbound.message().wait()?.ok_or("an end too early")?;
            same("size", payload::size(message.payload.as_ref()), size as usize)?;
        }
        same("whether more came", inbound.message().wait()?.is_some(), false)
    }),
    ("bidi stream", |_, client, random| {
        let (outbound, mut inbound) = client.full_duplex_call(bounded(()));
        for _ in 0..random.below(20) {
            let size = random.size();
            outbound.send(ask(&[size], 0)).wait()?;
            let message = inbound.message().wait()?.ok_or("an end too early")?;
            same("size", payload::size(message.payload.as_ref()), size as usize)?;
        }
        outbound.finish();
        same("whether more came", inbound.message().wait()?.is_some(), false)
    }),
    ("cancelled", |_, client, random| {
        let mut inbound = client.streaming_output_call(bounded(ask(&[1_000; 100], 1_000)));
        for _ in 0..random.below(3) {
            inbound.message().wait()?;
        }
        Ok(())
    }),
    ("expired", |_, client, random| {
        let request = Request::new(ask(&[1_000; 100], 20_000));
        let timeout = Duration::from_millis(1 + random.below(20));
        let mut inbound = client.streaming_output_call(request.with_timeout(timeout));
        let end = loop {
            match inbound.message().wait() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        ends_with(end, Code::DeadlineExceeded)
    }),
    ("new channel", |load, _, _| {
        let channel = load.connect()?;
        TestServiceClient::new(channel.clone()).empty_call(bounded(Empty {})).wait()?;
        channel.close();
        Ok(())
    }),
];

impl Load {
    fn connect(&self) -> Result<Channel, lariat::Error> {
        let builder = Channel::builder(&self.target);
        match &self.tls {
            None => builder.plaintext().build(),
            Some(tls) => builder.tls(tls.clone()).build(),
        }
    }

    fn run_until(&self, end: Instant, channel: Channel, mut random: Random) {
        let client = TestServiceClient::new(channel);
        while Instant::now() < end {
            let index = random.below(KINDS.len() as u64) as usize;
            let (name, kind) = KINDS[index];
            if let Err(error) = kind(self, &client, &mut random)
                && let Ok(mut failures) = self.counts.failures.lock()
            {
                failures.push(format!("{name}: {error}"));
            }
            self.counts.calls[index].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn bounded<T>(message: T) -> Request<T> {
    Request::new(message).with_timeout(CALL_TIME)
}

fn ask(sizes: &[i32], interval_us: i32) -> StreamingOutputCallRequest {
    let response_parameters =
        sizes.iter().map(|&size| ResponseParameters { size, interval_us, ..Default::default() }).collect();
    StreamingOutputCallRequest { response_parameters, ..Default::default() }
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} in place of {expected:?}").into()) }
}

fn ends_with<T>(result: Result<T, Status>, code: Code) -> Outcome {
    match result {
        Err(status) if status.code() == code => Ok(()),
        Err(status) => Err(format!("{status} in place of {code:?}").into()),
        Ok(_) => Err(format!("OK in place of {code:?}").into()),
    }
}

/// Numbers by a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Of a payload: mostly small, now and then large.
    fn size(&mut self) -> i32 {
        let most = [100, 10_000, 300_000][[0, 0, 0, 0, 1, 1, 1, 2][self.below(8) as usize]];
        self.below(most) as i32
    }
}
