//! What the closed-loop clients in Rust measure, and the line of JSON that they end with: kind, n, octets (payload
//! received), per_s, mb_s, client_cpu_us (user and system, per call or chunk), and p50_us, p99_us and p999_us.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// What was measured since its start.
pub struct Run {
    kind: &'static str,
    started: Instant,
    cpu_at_start: Duration,
    nanoseconds: Vec<u64>,
    octets: usize,
}

impl Run {
    /// Starts the clocks, with room for as many calls or chunks as are expected.
    pub fn start(kind: &'static str, expected: usize) -> Self {
        // Written once, so that the kernel's work for fresh memory is not taken for the client's.
        let mut nanoseconds = vec![1; expected];
        nanoseconds.clear();
        Self { kind, started: Instant::now(), cpu_at_start: cpu_time(), nanoseconds, octets: 0 }
    }

    /// Counts a call or chunk that took so long and brought so many octets of payload.
    pub fn took(&mut self, time: Duration, octets: usize) {
        self.nanoseconds.push(time.as_nanos() as u64);
        self.octets += octets;
    }

    /// Prints the line.
    pub fn report(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = cpu_time() - self.cpu_at_start;
        self.nanoseconds.sort_unstable();
        let n = self.nanoseconds.len();
        let quantile = |q: f64| {
            let index = (n.saturating_sub(1) as f64 * q) as usize;
            self.nanoseconds.get(index).map_or(0.0, |&time| time as f64 / 1e3)
        };
        println!(
            "{{\"kind\":\"{}\",\"n\":{n},\"octets\":{},\"per_s\":{:.0},\"mb_s\":{:.1},\"client_cpu_us\":{:.3},\
             \"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1}}}",
            self.kind,
            self.octets,
            n as f64 / seconds,
            self.octets as f64 / 1e6 / seconds,
            cpu.as_secs_f64() * 1e6 / n.max(1) as f64,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
        );
    }
}

/// Runs all of these beside each other, until one fails. A lone one runs by itself: `FuturesUnordered` has itself
/// polled once more whenever it has polled all that it holds.
pub async fn all<F: Future<Output = Result<(), E>>, E>(mut futures: Vec<F>) -> Result<(), E> {
    if futures.len() > 1 {
        let mut futures = FuturesUnordered::from_iter(futures);
        while let Some(result) = futures.next().await {
            result?;
        }
        return Ok(());
    }
    match futures.pop() {
        Some(alone) => alone.await,
        None => Ok(()),
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
