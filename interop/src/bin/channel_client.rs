//! Checks the channel against three backends of another implementation; `README.md` lists the checks.
//!
//! `channel_client ADDR ADDR ADDR [CHECK ...]`; prints a line for each check, ends with status 1 if one failed. Whoever
//! runs it, which `channel.sh` does, kills or starts a backend when it prints `kill N` or `start N`, and says so by a
//! line on its standard input.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lariat::client::backoff::BackoffConfig;
use lariat::{Channel, Code, Request, Status, Wait};
use lariat_interop::helloworld::{GreeterClient, HelloRequest};

/// Bounds each call, and each wait for something to come true.
const CALL_TIME: Duration = Duration::from_secs(20);
/// Threads that make calls while a backend is killed and started.
const CALLERS: usize = 8;

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#;
const RETRIED: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}],
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.02s", "maxBackoff": "0.1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}"#;
const HEALTH: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "helloworld.Greeter"}}"#;
const BY_LOAD: &str = r#"{"loadBalancingConfig": [{"weighted_round_robin": {
    "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}}]}"#;
const BY_LOAD_OUT_OF_BAND: &str = r#"{"loadBalancingConfig": [{"weighted_round_robin": {
    "enableOobLoadReport": true, "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}}]}"#;

type Checked = Result<(), Box<dyn Error>>;

/// Name and what to do.
type Check = (&'static str, fn(&Backends) -> Checked);

const CHECKS: [Check; 9] = [
    ("round_robin", round_robin),
    ("backend_killed_and_started", backend_killed_and_started),
    ("retry_with_pushback", retry_with_pushback),
    ("retry_without_pushback", retry_without_pushback),
    ("pushback_stops_retries", pushback_stops_retries),
    ("attempts_are_limited", attempts_are_limited),
    ("health", health),
    ("weighted_per_call", weighted_per_call),
    ("weighted_out_of_band", weighted_out_of_band),
];

/// The backends, whose names are their places.
struct Backends {
    addresses: [String; 3],
    /// A channel to each alone.
    each: Vec<GreeterClient>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, second, third, wanted @ ..] = arguments.as_slice() else {
        return Err("usage: channel_client ADDR ADDR ADDR [CHECK ...]".into());
    };
    let backends = Backends::new([first, second, third].map(String::clone))?;
    let mut code = ExitCode::SUCCESS;
    for (name, check) in CHECKS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == name) {
            continue;
        }
        match check(&backends) {
            Ok(()) => println!("ok {name}"),
            Err(why) => {
                println!("FAILED {name}: {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn round_robin(backends: &Backends) -> Checked {
    let all = backends.balanced(ROUND_ROBIN)?;
    await_spread(&all, &[0, 1, 2])?;
    expect("calls of 300", spread(&all, 300)?, [100; 3])
}

fn backend_killed_and_started(backends: &Backends) -> Checked {
    let all = backends.balanced(RETRIED)?;
    await_spread(&all, &[0, 1, 2])?;
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        say(&all, "x")?;
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), Status>(())
                })
            })
            .collect();
        let played: Checked = (|| {
            ask_for("kill 2")?;
            await_spread(&all, &[0, 1])?;
            await_calls(&made, 1_000);
            ask_for("start 2")?;
            await_spread(&all, &[0, 1, 2])?;
            await_calls(&made, 1_000);
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            let outcome = caller.join().map_err(|_| "a caller panicked")?;
            outcome.map_err(|status| format!("a call failed: {status}"))?;
        }
        played
    })?;
    expect("calls of 300 after it returned", spread(&all, 300)?, [100; 3])
}

fn retry_with_pushback(backends: &Backends) -> Checked {
    let attempts = backends.attempts("pushback", "2:300", Ok("0"))?;
    expect_previous(&attempts, &["", "1", "2"])?;
    let told = Duration::from_millis(300);
    for pair in attempts.windows(2) {
        let waited = pair[1].at - pair[0].at;
        // Both times are cut to milliseconds.
        if waited + Duration::from_millis(1) < told {
            return Err(
                format!("the server said to wait {told:?}, the next attempt came after {waited:?}").into()
            );
        }
    }
    Ok(())
}

fn retry_without_pushback(backends: &Backends) -> Checked {
    expect_previous(&backends.attempts("plain", "3:", Ok("0"))?, &["", "1", "2", "3"])
}

fn pushback_stops_retries(backends: &Backends) -> Checked {
    for (key, pushback) in [("negative", "-1"), ("nonsense", "soon")] {
        let attempts = backends.attempts(key, &format!("1:{pushback}"), Err("failure 1 of 1"))?;
        expect_previous(&attempts, &[""])?;
    }
    Ok(())
}

fn attempts_are_limited(backends: &Backends) -> Checked {
    let attempts = backends.attempts("limit", "9:", Err("failure 5 of 9"))?;
    expect_previous(&attempts, &["", "1", "2", "3", "4"])
}

fn health(backends: &Backends) -> Checked {
    let all = backends.balanced(HEALTH)?;
    await_spread(&all, &[0, 1, 2])?;
    expect("calls of 90 with all healthy", spread(&all, 90)?, [30; 3])?;
    say(&backends.each[1], "status:NOT_SERVING")?;
    await_spread(&all, &[0, 2])?;
    expect("calls of 90 with one unhealthy", spread(&all, 90)?, [45, 0, 45])?;
    say(&backends.each[0], "status:NOT_SERVING")?;
    say(&backends.each[2], "status:NOT_SERVING")?;
    let status = eventually("calls fail when no backend is healthy", || Ok(say(&all, "x").err()))?;
    expect("code with none healthy", status.code(), Code::Unavailable)?;
    if !status.message().contains("NOT_SERVING") {
        return Err(format!("the status does not name the reason: {status}").into());
    }
    backends.each.iter().try_for_each(|backend| say(backend, "status:SERVING").map(drop))?;
    eventually("calls succeed again", || Ok(say(&all, "x").ok()))?;
    await_spread(&all, &[0, 1, 2])?;
    expect("calls of 90 with all healthy again", spread(&all, 90)?, [30; 3])
}

fn weighted_per_call(backends: &Backends) -> Checked {
    backends.load(["0.1", "0.3", "0.9"])?;
    let all = backends.balanced(BY_LOAD)?;
    await_shares(&all, [900, 300, 100])?;
    // What changes with the next report changes the shares.
    backends.load(["0.6", "0.2", "0.6"])?;
    await_shares(&all, [260, 780, 260])
}

fn weighted_out_of_band(backends: &Backends) -> Checked {
    for (loads, shares) in
        [(["0.8", "0.4", "0.2"], [200, 400, 800]), (["0.2", "0.4", "0.8"], [800, 400, 200])]
    {
        backends.load(loads)?;
        // grpc-go's reports come when a stream begins, so that each load needs a channel of its own.
        await_shares(&backends.balanced(BY_LOAD_OUT_OF_BAND)?, shares)?;
    }
    Ok(())
}

/// A call with `x-fail`, as the backend saw it.
#[derive(Debug)]
struct Attempt {
    previous: String,
    /// How long after the first.
    at: Duration,
}

impl Backends {
    fn new(addresses: [String; 3]) -> Result<Backends, Box<dyn Error>> {
        let each = addresses.iter().map(|address| connect(&format!("ipv4:{address}"), "{}"));
        let each = each.collect::<Result<_, _>>()?;
        Ok(Backends { addresses, each })
    }

    /// A channel to all of them with this service config.
    fn balanced(&self, service_config: &str) -> Result<GreeterClient, Box<dyn Error>> {
        connect(&format!("ipv4:{}", self.addresses.join(",")), service_config)
    }

    /// Has each backend report this load from now on.
    fn load(&self, utilizations: [&str; 3]) -> Checked {
        for (backend, utilization) in self.each.iter().zip(utilizations) {
            say(backend, &format!("load:{utilization}"))?;
        }
        Ok(())
    }

    /// Makes a call that the first backend fails as told, expects its reply or its status message, and asks the
    /// backend for the attempts it saw.
    fn attempts(
        &self,
        key: &str,
        fail: &str,
        outcome: Result<&str, &str>,
    ) -> Result<Vec<Attempt>, Box<dyn Error>> {
        let retried = connect(&format!("ipv4:{}", self.addresses[0]), RETRIED)?;
        let key = format!("{key}-{}", std::process::id());
        let mut request = request("x");
        request.metadata_mut().insert("x-fail", &format!("{key}:{fail}"))?;
        match (retried.say_hello(request).wait(), outcome) {
            (Ok(reply), Ok(expected)) => expect("reply", reply.message().message.as_str(), expected)?,
            (Err(status), Err(expected)) => {
                expect("code", status.code(), Code::Unavailable)?;
                if !status.message().contains(expected) {
                    return Err(
                        format!("the status is not that of the last attempt, {expected}: {status}").into()
                    );
                }
            }
            (Ok(_), Err(_)) => return Err("the call succeeded".into()),
            (Err(status), Ok(_)) => return Err(status.into()),
        }
        let seen = say(&self.each[0], &format!("attempts:{key}"))?;
        let attempts = seen.split(' ').map(|attempt| {
            let (previous, at) =
                attempt.split_once('@').ok_or_else(|| format!("not PREVIOUS@MS: {attempt}"))?;
            Ok(Attempt { previous: previous.to_owned(), at: Duration::from_millis(at.parse()?) })
        });
        attempts.collect()
    }
}

fn connect(target: &str, service_config: &str) -> Result<GreeterClient, Box<dyn Error>> {
    let backoff = BackoffConfig { base_delay: Duration::from_millis(100), ..BackoffConfig::default() };
    let channel = Channel::builder(target)
        .plaintext()
        .default_service_config(service_config)
        .backoff(BackoffConfig { max_delay: Duration::from_millis(500), ..backoff });
    Ok(GreeterClient::new(channel.build()?))
}

fn request(name: &str) -> Request<HelloRequest> {
    Request::new(HelloRequest { name: name.to_owned() }).with_timeout(CALL_TIME)
}

fn say(client: &GreeterClient, name: &str) -> Result<String, Status> {
    Ok(client.say_hello(request(name)).wait()?.into_message().message)
}

/// Makes this many calls, one after the other, and counts which backend answered.
fn spread(client: &GreeterClient, calls: usize) -> Result<[usize; 3], Box<dyn Error>> {
    let mut counts = [0; 3];
    for _ in 0..calls {
        let name = say(client, "x")?;
        let place: usize = name.parse()?;
        *counts.get_mut(place).ok_or_else(|| format!("no backend is called {name}"))? += 1;
    }
    Ok(counts)
}

/// Waits until exactly these backends get calls.
fn await_spread(client: &GreeterClient, expected: &[usize]) -> Checked {
    eventually(&format!("calls reach the backends {expected:?} and no other"), || {
        let counts = spread(client, 12)?;
        let reached = (0..3).filter(|place| counts[*place] > 0);
        Ok(reached.eq(expected.iter().copied()).then_some(()))
    })
}

/// Waits until the calls are shared like this, each share to within a fiftieth of all.
fn await_shares(client: &GreeterClient, expected: [usize; 3]) -> Checked {
    let calls: usize = expected.iter().sum();
    let mut latest = [0; 3];
    let shared = eventually("calls are shared by the load", || {
        latest = spread(client, calls)?;
        let close = latest.iter().zip(expected).all(|(count, share)| count.abs_diff(share) <= calls / 50);
        Ok(close.then_some(()))
    });
    shared.map_err(|why| format!("{why}: {latest:?} rather than {expected:?}").into())
}

/// Waits until this many more calls have been made.
fn await_calls(made: &AtomicUsize, more: usize) {
    let enough = made.load(Ordering::Relaxed) + more;
    let begin = Instant::now();
    while made.load(Ordering::Relaxed) < enough && begin.elapsed() < CALL_TIME {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tries until there is something, within a bound.
fn eventually<T>(
    what: &str,
    mut attempt: impl FnMut() -> Result<Option<T>, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let begin = Instant::now();
    while begin.elapsed() < CALL_TIME {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("not within {CALL_TIME:?}: {what}").into())
}

/// Asks whoever runs this program for something, and waits until it is done.
fn ask_for(what: &str) -> Checked {
    println!("{what}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer)? {
        0 => Err(format!("nobody did what was asked for: {what}").into()),
        _ => Ok(()),
    }
}

fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}").into())
}

fn expect_previous(attempts: &[Attempt], expected: &[&str]) -> Checked {
    let previous: Vec<&str> = attempts.iter().map(|attempt| attempt.previous.as_str()).collect();
    expect("grpc-previous-rpc-attempts of the attempts", previous.as_slice(), expected)
}
