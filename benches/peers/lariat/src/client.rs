//! Lariat's client under load, on a current-thread engine.
//!
//! - `lariat-client unary ADDR CONNS INFLIGHT CALLS SIZE`: CALLS calls in all, INFLIGHT at once on each of CONNS
//!   connections, with names of SIZE octets.
//! - `lariat-client down ADDR COUNT SIZE`: one server stream of COUNT chunks of SIZE octets.
//! - `lariat-client bidi ADDR COUNT SIZE`: COUNT chunks to and fro on one stream, sent as fast as they are taken.
//!
//! The last line is JSON: kind, n, per_s, mb_s (payload received), client_cpu_us (per call or chunk), and p50_us,
//! p99_us and p999_us of the time that a call or a chunk's way there and back took (for `down`: between two chunks).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::try_join;
use futures_util::stream::FuturesUnordered;
use lariat::{Channel, Engine, Status};

use helloworld::{Chunk, DownloadRequest, GreeterClient, HelloRequest};

mod helloworld {
    lariat::include_proto!("helloworld");
}

const USAGE: &str =
    "usage: lariat-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | bidi ADDR COUNT SIZE";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, addr, numbers @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    let engine = Engine::builder().current_thread().build()?;
    let client = || -> Result<GreeterClient, lariat::Error> {
        let channel = Channel::builder(format!("passthrough:///{addr}"))
            .plaintext()
            .engine(&engine)
            .max_receive_message_size(usize::MAX >> 1)
            .build()?;
        Ok(GreeterClient::new(channel))
    };
    match (kind.as_str(), numbers.as_slice()) {
        ("unary", &[connections, in_flight, calls, size]) => {
            let clients = (0..connections).map(|_| client()).collect::<Result<Vec<_>, _>>()?;
            engine.block_on(unary(&clients, in_flight, calls, size))?;
        }
        ("down", &[count, size]) => engine.block_on(down(client()?, count, size))?,
        ("bidi", &[count, size]) => engine.block_on(bidi(client()?, count, size))?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

async fn unary(clients: &[GreeterClient], in_flight: usize, calls: usize, size: usize) -> Result<(), Status> {
    let name = "x".repeat(size);
    for client in clients {
        // Connections are made before the clock starts.
        client.say_hello(HelloRequest { name: name.clone() }).await?;
    }
    let left = Cell::new(calls);
    let run = RefCell::new(Run::start("unary", calls));
    let mut lanes: FuturesUnordered<_> = clients
        .iter()
        .flat_map(|client| std::iter::repeat_n(client, in_flight))
        .map(|client| async {
            while left.get() > 0 {
                left.set(left.get() - 1);
                let started = Instant::now();
                let reply = client.say_hello(HelloRequest { name: name.clone() }).await?;
                run.borrow_mut().took(started.elapsed(), reply.message().message.len());
            }
            Ok::<(), Status>(())
        })
        .collect();
    while let Some(lane) = lanes.next().await {
        lane?;
    }
    run.borrow_mut().report();
    Ok(())
}

async fn down(client: GreeterClient, count: usize, size: usize) -> Result<(), Status> {
    client.say_hello(HelloRequest { name: "x".into() }).await?;
    let mut run = Run::start("down", count);
    let mut previous = Instant::now();
    let mut inbound = client.download(DownloadRequest { count: count as u32, size: size as u32 });
    while let Some(chunk) = inbound.message().await? {
        let now = Instant::now();
        run.took(now - previous, chunk.payload.len());
        previous = now;
    }
    run.report();
    Ok(())
}

async fn bidi(client: GreeterClient, count: usize, size: usize) -> Result<(), Status> {
    client.say_hello(HelloRequest { name: "x".into() }).await?;
    let chunk = Chunk { payload: vec![b'x'; size].into() };
    let mut run = Run::start("bidi", count);
    let sent = RefCell::new(VecDeque::new());
    let (outbound, mut inbound) = client.echo(());
    let send = async {
        for _ in 0..count {
            sent.borrow_mut().push_back(Instant::now());
            outbound.send(chunk.clone()).await?;
        }
        outbound.finish();
        Ok::<(), Status>(())
    };
    let receive = async {
        while let Some(chunk) = inbound.message().await? {
            let started = sent.borrow_mut().pop_front();
            run.took(started.map_or(Duration::ZERO, |started| started.elapsed()), chunk.payload.len());
        }
        Ok::<(), Status>(())
    };
    try_join(send, receive).await?;
    run.report();
    Ok(())
}

/// What was measured since its start.
struct Run {
    kind: &'static str,
    started: Instant,
    cpu_at_start: Duration,
    nanoseconds: Vec<u64>,
    octets: usize,
}

impl Run {
    fn start(kind: &'static str, expected: usize) -> Self {
        let nanoseconds = Vec::with_capacity(expected);
        Self { kind, started: Instant::now(), cpu_at_start: cpu_time(), nanoseconds, octets: 0 }
    }

    fn took(&mut self, time: Duration, octets: usize) {
        self.nanoseconds.push(time.as_nanos() as u64);
        self.octets += octets;
    }

    fn report(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = cpu_time() - self.cpu_at_start;
        self.nanoseconds.sort_unstable();
        let n = self.nanoseconds.len();
        let quantile = |q: f64| {
            let index = (n.saturating_sub(1) as f64 * q) as usize;
            self.nanoseconds.get(index).map_or(0.0, |&time| time as f64 / 1e3)
        };
        println!(
            "{{\"kind\":\"{}\",\"n\":{n},\"per_s\":{:.0},\"mb_s\":{:.1},\"client_cpu_us\":{:.3},\"p50_us\":{:.1},\
             \"p99_us\":{:.1},\"p999_us\":{:.1}}}",
            self.kind,
            n as f64 / seconds,
            self.octets as f64 / 1e6 / seconds,
            cpu.as_secs_f64() * 1e6 / n.max(1) as f64,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
        );
    }
}

/// CPU time of all threads of this process, which live as long as it does. Zero where the system doesn't tell.
fn cpu_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let statistics = fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
