//! Many large calls, whose failures and latencies are counted.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lariat::Wait;
use lariat_interop::payload;
use lariat_interop::testing::{SimpleRequest, TestServiceClient};

use crate::check::{Checked, expect_zeros};
use crate::{Test, connect};

struct Soak {
    iterations: usize,
    threads: usize,
    max_failures: usize,
    max_latency: Duration,
    overall: Duration,
    pause: Duration,
    request_size: i32,
    response_size: i32,
}

/// All calls on one channel.
pub(crate) fn rpc_soak(test: &Test) -> Checked {
    Soak::new(test)?.run(|| Ok(test.client.clone()))
}

/// A channel for each call.
pub(crate) fn channel_soak(test: &Test) -> Checked {
    Soak::new(test)?.run(|| Ok(TestServiceClient::new(connect(&test.flags)?)))
}

impl Soak {
    fn new(test: &Test) -> Result<Soak, Box<dyn Error>> {
        let flags = &test.flags;
        Ok(Soak {
            iterations: flags.get("soak_iterations")?,
            threads: flags.get::<usize>("soak_num_threads")?.max(1),
            max_failures: flags.get("soak_max_failures")?,
            max_latency: Duration::from_millis(flags.get("soak_per_iteration_max_acceptable_latency_ms")?),
            overall: Duration::from_secs(flags.get("soak_overall_timeout_seconds")?),
            pause: Duration::from_millis(flags.get("soak_min_time_ms_between_rpcs")?),
            request_size: flags.get("soak_request_size")?,
            response_size: flags.get("soak_response_size")?,
        })
    }

    fn run(&self, client: impl Fn() -> Result<TestServiceClient, Box<dyn Error>> + Sync) -> Checked {
        let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let latencies = Mutex::new(Vec::new());
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < self.iterations
                        && started.elapsed() < self.overall
                    {
                        let began = Instant::now();
                        let outcome = client().and_then(|client| self.call(&client));
                        let latency = began.elapsed();
                        if let Ok(mut latencies) = latencies.lock() {
                            latencies.push(latency);
                        }
                        if let Err(error) = outcome {
                            eprintln!("soak: {error}");
                            failures.fetch_add(1, Ordering::Relaxed);
                        } else if latency > self.max_latency {
                            eprintln!("soak: a call took {latency:?}");
                            failures.fetch_add(1, Ordering::Relaxed);
                        }
                        std::thread::sleep(self.pause.saturating_sub(began.elapsed()));
                    }
                });
            }
        });
        let mut latencies = latencies.into_inner().map_err(|_| "a thread panicked")?;
        latencies.sort_unstable();
        let failures = failures.into_inner();
        if let Some(last) = latencies.len().checked_sub(1) {
            let [p50, p90, p100] = [50, 90, 100].map(|percent| latencies[last * percent / 100]);
            println!(
                "soak: {} calls, {failures} failed, p50 {p50:?}, p90 {p90:?}, max {p100:?}",
                latencies.len()
            );
        }
        if latencies.len() < self.iterations {
            return Err(format!(
                "{} of {} calls within {:?}",
                latencies.len(),
                self.iterations,
                self.overall
            )
            .into());
        }
        if failures > self.max_failures {
            return Err(format!("{failures} failures, {} are acceptable", self.max_failures).into());
        }
        Ok(())
    }

    fn call(&self, client: &TestServiceClient) -> Checked {
        let payload = Some(payload::of_size(self.request_size)?);
        let request = SimpleRequest { response_size: self.response_size, payload, ..Default::default() };
        let response =
            client.unary_call(lariat::Request::new(request).with_timeout(crate::CALL_TIME)).wait()?;
        expect_zeros(response.message().payload.as_ref(), self.response_size as usize)
    }
}
