//! [`Honest`]: a client that makes one small call after the other, and how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lariat::codec::Raw;
use lariat::generated::bytes::Bytes;
use lariat::{Channel, Request, Wait};

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Latencies>,
}

/// What the calls took.
pub(crate) struct Latencies {
    /// In order.
    times: Vec<Duration>,
    pub(crate) failed: usize,
}

impl Honest {
    /// Connects, and calls until it is stopped.
    pub(crate) fn start(address: &str) -> Self {
        let channel = Channel::builder(address).plaintext().build().expect("a valid address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut client = Client { channel, latencies: Latencies { times: Vec::new(), failed: 0 } };
        // The first call connects, which is none of the flood's business.
        client.call();
        client.latencies.times.clear();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                client.call();
                std::thread::sleep(PAUSE);
            }
            client.latencies.times.sort();
            client.latencies
        });
        Honest { stop, thread }
    }

    pub(crate) fn stop(self) -> Latencies {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client does not panic")
    }
}

struct Client {
    channel: Channel,
    latencies: Latencies,
}

impl Client {
    fn call(&mut self) {
        let method = self.channel.method("/flood.Target/Unary");
        let request = Request::new(Bytes::from_static(&[1; 100])).with_timeout(DEADLINE);
        let begin = Instant::now();
        let result = self.channel.unary::<Raw, Bytes, Bytes>(&method, request).wait();
        self.latencies.times.push(begin.elapsed());
        if let Err(status) = result {
            eprintln!("an honest call failed: {status}");
            self.latencies.failed += 1;
        }
    }
}

impl Latencies {
    /// What so many hundredths of the calls took at most.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        let place = (self.times.len() * hundredths / 100).min(self.times.len().saturating_sub(1));
        self.times.get(place).copied().unwrap_or_default()
    }
}
