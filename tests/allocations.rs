//! Heap allocations of a call in steady state, counted exactly.
//!
//! Server and client each run an engine on a thread of their own. The allocator counts by thread, so that each
//! side's share is known and other tests do not disturb it. The messages are numbers, which allocate nothing.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use lariat::client::Method;
use lariat::codec::{Codec, Payload, Raw};
use lariat::server::{Handler, Service};
use lariat::{Channel, Engine, Inbound, Outbound, Request, Response, Server, Status, Wait};

/// Calls or messages of one count.
const COUNTED: usize = 2_000;
/// What a count may hold besides its calls: the start of `block_on`, the setting up of a stream, queues that grow. A
/// connection gives no memory back while calls begin, so that a busy machine makes no difference.
const FIXED: u64 = 40;
/// Calls before the count, for memory that is made once and used again.
const WARM_UP: usize = 500;

/// Octets of a message that takes many frames.
const LARGE: usize = 256 * 1024;
/// Octets that are allocated for a message before it is known to be whole (`MAX_FIRST_ALLOCATION` of the deframer).
const FIRST: usize = 64 * 1024;
/// Octets of incomplete frames that wait for the next read, while a large message is received: some frames of 16 KiB,
/// as the kernel cuts it, and far less than another copy of the message.
const INCOMPLETE: usize = LARGE / 4;
/// What may be allocated for a large message besides its octets, such as for the queue that it waits in.
const AROUND: usize = 8 * 1024;

/// Numbers as eight octets.
struct Fixed;

impl Codec<u64> for Fixed {
    const SUBTYPE: &'static str = "fixed";

    fn encoded_len(_: &u64) -> usize {
        8
    }

    fn encode(message: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&message.to_be_bytes());
    }

    fn decode(payload: Payload<'_>) -> Result<u64, Status> {
        let octets = payload.as_ref().try_into().map_err(|_| Status::internal("not eight octets"))?;
        Ok(u64::from_be_bytes(octets))
    }
}

/// Lets the server's thread run its engine until the handlers have counted down.
#[derive(Default)]
struct Countdown {
    left: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Countdown {
    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }

    async fn end(&self) {
        std::future::poll_fn(|cx| {
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            if self.left.load(Ordering::SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// `test.Numbers`: answers with the numbers it gets.
#[derive(Clone)]
struct Numbers {
    countdown: Arc<Countdown>,
}

impl Numbers {
    async fn ready(self, request: Request<u64>) -> Result<Response<u64>, Status> {
        self.countdown.count();
        Ok(Response::new(request.into_message()))
    }

    async fn waiting(self, request: Request<u64>) -> Result<Response<u64>, Status> {
        yield_once().await;
        self.ready(request).await
    }

    async fn download(self, request: Request<u64>, outbound: Outbound<u64>) -> Result<(), Status> {
        for number in 0..request.into_message() {
            outbound.send(number).await?;
            self.countdown.count();
        }
        Ok(())
    }

    /// A large message for one that it gets, an empty one for the next, which says that the large one has arrived.
    async fn bulk(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        let message = Bytes::from(vec![7; LARGE]);
        while inbound.message().await?.is_some() {
            outbound.send(message.clone()).await?;
            inbound.message().await?;
            outbound.send(Bytes::new()).await?;
            self.countdown.count();
        }
        Ok(())
    }

    async fn upload(self, mut inbound: Inbound<u64>) -> Result<Response<u64>, Status> {
        let mut sum = 0;
        while let Some(number) = inbound.message().await? {
            sum += number;
            self.countdown.count();
        }
        Ok(Response::new(sum))
    }

    async fn chat(self, mut inbound: Inbound<u64>, outbound: Outbound<u64>) -> Result<(), Status> {
        while let Some(number) = inbound.message().await? {
            outbound.send(number).await?;
            self.countdown.count();
        }
        Ok(())
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Service for Numbers {
    fn name(&self) -> &str {
        "test.Numbers"
    }

    fn methods(&self) -> Vec<Handler> {
        let [a, b, c, d, e, f] = std::array::from_fn(|_| self.clone());
        vec![
            Handler::unary::<Fixed, _, _, _, _>("Ready", move |request| a.clone().ready(request)),
            Handler::unary::<Fixed, _, _, _, _>("Waiting", move |request| b.clone().waiting(request)),
            Handler::server_streaming::<Fixed, _, _, _, _>("Download", move |r, o| c.clone().download(r, o)),
            Handler::client_streaming::<Fixed, _, _, _, _>("Upload", move |i| d.clone().upload(i)),
            Handler::bidi_streaming::<Fixed, _, _, _, _>("Chat", move |i, o| e.clone().chat(i, o)),
            Handler::bidi_streaming::<Raw, _, _, _, _>("Bulk", move |i, o| f.clone().bulk(i, o)),
        ]
    }
}

/// Allocations for [`COUNTED`] calls or messages.
#[derive(Debug)]
struct Allocations {
    server: u64,
    client: u64,
    server_octets: u64,
    client_octets: u64,
}

impl Allocations {
    /// Counts those of `run(channel, method, n)`, which makes the server count `n` times.
    fn of<F: Future<Output = ()>>(
        method: &str,
        run: impl Fn(Channel, Method, usize) -> F + Sync,
    ) -> Allocations {
        Allocations::with("{}", method, run)
    }

    /// The same on a channel with this service config.
    fn with<F: Future<Output = ()>>(
        service_config: &str,
        method: &str,
        run: impl Fn(Channel, Method, usize) -> F + Sync,
    ) -> Allocations {
        let countdown = Arc::new(Countdown::default());
        let engine = Engine::builder().current_thread().build().unwrap();
        let server = Server::builder()
            .plaintext()
            .engine(&engine)
            .max_concurrent_streams(1_000)
            .add_service(Numbers { countdown: Arc::clone(&countdown) })
            .bind("127.0.0.1:0")
            .unwrap();
        let target = server.local_address().to_string();
        let begin = Barrier::new(2);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let engine = Engine::builder().current_thread().build().unwrap();
                let channel = Channel::builder(target)
                    .plaintext()
                    .engine(&engine)
                    .default_service_config(service_config)
                    .build()
                    .unwrap();
                let method = channel.method(format!("/test.Numbers/{method}"));
                let count = |n| {
                    begin.wait();
                    measure(|| engine.block_on(run(channel.clone(), method.clone(), n)))
                };
                count(WARM_UP);
                count(COUNTED)
            });
            let count = |n| {
                countdown.left.store(n, Ordering::SeqCst);
                begin.wait();
                measure(|| engine.block_on(countdown.end()))
            };
            count(WARM_UP);
            let server: AllocationInfo = count(COUNTED);
            let client: AllocationInfo = client.join().unwrap();
            Allocations {
                server: server.count_total,
                client: client.count_total,
                server_octets: server.bytes_total,
                client_octets: client.bytes_total,
            }
        })
    }

    /// Fails when either side allocates more than so often a call or message.
    fn assert_at_most(&self, what: &str, server: u64, client: u64) {
        let per_call = |total: u64| total as f64 / COUNTED as f64;
        println!("{what}: server {}, client {}", per_call(self.server), per_call(self.client));
        let allowed = |each: u64| each * COUNTED as u64 + FIXED;
        assert!(
            self.server <= allowed(server),
            "{what}: {} on the server, not {server}",
            per_call(self.server)
        );
        assert!(
            self.client <= allowed(client),
            "{what}: {} on the client, not {client}",
            per_call(self.client)
        );
    }
}

async fn one_by_one(channel: Channel, method: Method, calls: usize) {
    for number in 0..calls as u64 {
        let response = channel.unary::<Fixed, u64, u64>(&method, Request::new(number)).await.unwrap();
        assert_eq!(response.into_message(), number);
    }
}

#[test]
fn a_unary_call_allocates_nothing_on_the_server_and_twice_on_the_client() {
    Allocations::of("Ready", one_by_one).assert_at_most("unary, one at a time", 0, 2);
}

#[test]
fn a_service_config_and_any_policy_pick_without_an_allocation() {
    // Without a timeout: calls that happen to have the same one left begin with the same block of literals, which the
    // server remembers when it comes for the second time.
    for policy in ["pick_first", "round_robin", "weighted_round_robin", "least_request_experimental"] {
        let config = format!(
            r#"{{"loadBalancingConfig": [{{"{policy}": {{}}}}],
                "methodConfig": [{{"name": [{{"service": "test.Numbers"}}], "waitForReady": true}}]}}"#
        );
        Allocations::with(&config, "Ready", one_by_one).assert_at_most(policy, 0, 2);
    }
    let ring = r#"{"loadBalancingConfig": [{"ring_hash_experimental": {"requestHashHeader": "user"}}]}"#;
    let run = |channel: Channel, method: Method, calls| async move {
        for number in 0..calls as u64 {
            let mut request = Request::new(number);
            // Metadata costs what it costs; it is the same without the policy.
            request.metadata_mut().insert("user", "someone").unwrap();
            channel.unary::<Fixed, u64, u64>(&method, request).await.unwrap();
        }
    };
    let hashed = Allocations::with(ring, "Ready", run);
    let plain = Allocations::of("Ready", run);
    assert!(hashed.client <= plain.client + FIXED, "{hashed:?}, without the policy {plain:?}");
}

#[test]
fn a_unary_call_among_a_hundred_allocates_no_more_than_one_alone() {
    let run = |channel: Channel, method: Method, calls| async move {
        let mut under_way = Vec::with_capacity(100);
        for wave in 0..calls as u64 / 100 {
            let call = |_| channel.unary::<Fixed, u64, u64>(&method, Request::new(wave));
            under_way.extend((0..100).map(call));
            for call in under_way.drain(..) {
                assert_eq!(call.await.unwrap().into_message(), wave);
            }
        }
    };
    Allocations::of("Ready", run).assert_at_most("unary, 100 at once", 0, 2);
}

#[test]
fn a_handler_that_waits_allocates_no_more_than_one_that_does_not() {
    Allocations::of("Waiting", one_by_one).assert_at_most("unary, waiting handler", 0, 2);
}

#[test]
fn a_deadline_on_each_call_costs_no_allocation() {
    let run = |channel: Channel, method: Method, calls| async move {
        for number in 0..calls as u64 {
            // Each call's timeout differs, so that no two header blocks are the same.
            let timeout = Duration::from_millis(10_000 + number);
            let request = Request::new(number).with_timeout(timeout);
            channel.unary::<Fixed, u64, u64>(&method, request).await.unwrap();
        }
    };
    Allocations::of("Ready", run).assert_at_most("unary with a deadline", 0, 2);
}

#[test]
fn a_message_of_a_server_stream_allocates_on_neither_side() {
    let run = |channel: Channel, method: Method, messages| async move {
        let mut inbound = channel.server_streaming::<Fixed, u64, u64>(&method, Request::new(messages as u64));
        while inbound.message().await.unwrap().is_some() {}
    };
    Allocations::of("Download", run).assert_at_most("server stream, a message", 0, 0);
}

/// Every copy of a large message needs memory of its size. Where it is sent that is taken once, by the codec's own
/// copy; where it is received the message is put together, in memory that an earlier one has left, and read there.
#[test]
fn a_large_message_takes_its_memory_once_where_it_is_sent_and_not_anew_where_it_is_received() {
    let run = |channel: Channel, method: Method, messages| async move {
        let (outbound, mut inbound) = channel.bidi_streaming::<Raw, Bytes, Bytes>(&method, Request::new(()));
        for _ in 0..messages {
            for expected in [LARGE, 0] {
                outbound.send(Bytes::new()).await.unwrap();
                assert_eq!(inbound.message().await.unwrap().map(|message| message.len()), Some(expected));
            }
        }
    };
    let Allocations { server_octets, client_octets, .. } = Allocations::of("Bulk", run);
    let per_message = |total: u64| total / COUNTED as u64;
    let (server, client) = (per_message(server_octets), per_message(client_octets));
    println!("a large message: server {server} octets, client {client}");
    assert!((LARGE..LARGE + AROUND).contains(&(server as usize)), "{server} octets on the server");
    assert!(client as usize <= FIRST + INCOMPLETE + AROUND, "{client} octets on the client");
}

#[test]
fn a_message_of_a_client_stream_allocates_on_neither_side() {
    let run = |channel: Channel, method: Method, messages| async move {
        let (outbound, reply) = channel.client_streaming::<Fixed, u64, u64>(&method, Request::new(()));
        for number in 0..messages as u64 {
            outbound.send(number).await.unwrap();
        }
        outbound.finish();
        let sum = (0..messages as u64).sum::<u64>();
        assert_eq!(reply.await.unwrap().into_message(), sum);
    };
    Allocations::of("Upload", run).assert_at_most("client stream, a message", 0, 0);
}

#[test]
fn a_message_of_a_bidi_stream_allocates_on_neither_side() {
    let run = |channel: Channel, method: Method, messages| async move {
        let (outbound, inbound) = channel.bidi_streaming::<Fixed, u64, u64>(&method, Request::new(()));
        let mut inbound = pin!(inbound);
        for number in 0..messages as u64 {
            outbound.send(number).await.unwrap();
            assert_eq!(inbound.message().await.unwrap(), Some(number));
        }
    };
    Allocations::of("Chat", run).assert_at_most("bidi stream, a message each way", 0, 0);
}

#[test]
fn a_call_from_a_plain_thread_allocates_twice_there() {
    let countdown = Arc::new(Countdown { left: AtomicUsize::new(usize::MAX), waker: Mutex::default() });
    let server =
        Server::builder().plaintext().add_service(Numbers { countdown }).bind("127.0.0.1:0").unwrap();
    let channel = Channel::builder(server.local_address().to_string()).plaintext().build().unwrap();
    let method = channel.method("/test.Numbers/Ready");
    let call = || channel.unary::<Fixed, u64, u64>(&method, Request::new(1)).wait().unwrap();
    (0..WARM_UP).for_each(|_| drop(call()));
    let count = measure(|| (0..COUNTED).for_each(|_| drop(call()))).count_total;
    println!("wait() on a plain thread: {} on that thread", count as f64 / COUNTED as f64);
    // The loop's channel takes memory for so many calls at a time.
    let blocks = COUNTED as u64 / 31;
    assert!(count <= 2 * COUNTED as u64 + blocks + FIXED, "{count} allocations");
}
