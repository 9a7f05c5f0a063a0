//! [`World`]: a client and a server on a network in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::client::{ChannelBuilder, Method};
use crate::net::EventLoop;
use crate::net::simulation::{Entered, Fault, Network, Weather};
use crate::rpc::{Code, Raw};
use crate::server::{Handler, ServerBuilder, Service};
use crate::{Channel, Engine, Inbound, Outbound, Request, Response, Server, Status, UnaryCall, sleep};

/// After the calls everything must be gone within this time: what lingers does so for a second, and what pings notices
/// a dead wire in twelve.
const SETTLING: Duration = Duration::from_secs(60);

const ADDRESS: &str = "127.0.0.1:1";

pub(super) struct World {
    pub(super) network: Network,
    pub(super) weather: Weather,
    pub(super) channel: Channel,
    pub(super) ledger: Arc<Ledger>,
    /// The last of them serves.
    servers: RefCell<Vec<Server>>,
    engines: [Engine; 2],
    _entered: Entered,
}

/// What the handlers were asked, by the name each call gives itself.
#[derive(Default)]
pub(super) struct Ledger {
    /// Of each run, how many attempts the call said had gone before.
    runs: Mutex<HashMap<Bytes, Vec<usize>>>,
}

impl Ledger {
    /// How often a handler ran for the call of this name.
    pub(super) fn runs(&self, name: &Bytes) -> usize {
        self.attempts(name).len()
    }

    /// What each of those runs was told: how many attempts had gone before.
    pub(super) fn attempts(&self, name: &Bytes) -> Vec<usize> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// Notes a run, and returns how many there are.
    fn note(&self, request: &Request<Bytes>) -> usize {
        let previous = request.metadata().get("grpc-previous-rpc-attempts");
        let previous = previous.map_or(0, |text| text.parse().expect("a number of attempts"));
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = runs.entry(request.message().clone()).or_default();
        runs.push(previous);
        runs.len()
    }
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather, faults: Vec<Fault>) -> World {
        World::with(seed, weather, faults, |server| server, |channel| channel)
    }

    pub(super) fn with(
        seed: u64,
        weather: Weather,
        faults: Vec<Fault>,
        server: impl FnOnce(ServerBuilder) -> ServerBuilder,
        channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
    ) -> World {
        let network = Network::new(seed, weather, faults);
        let entered = network.enter();
        let engines = [0, 1].map(|_| Engine::builder().current_thread().build().unwrap());
        let ledger = Arc::new(Ledger::default());
        let server = server(serve(&engines[1], &ledger)).bind(ADDRESS).unwrap();
        let builder = Channel::builder(format!("passthrough:///{ADDRESS}"))
            .plaintext()
            .engine(&engines[0])
            .keepalive(Duration::from_secs(10), Duration::from_secs(2), true);
        let channel = channel(builder).build().unwrap();
        World { network, weather, channel, ledger, servers: vec![server].into(), engines, _entered: entered }
    }

    /// Another server takes the place of the one that serves, which stops gracefully: ready when its calls have ended.
    pub(super) async fn restart(&self) {
        let stopped = {
            let mut servers = self.servers.borrow_mut();
            let next = serve(&self.engines[1], &self.ledger).bind(ADDRESS).unwrap();
            let stopped = servers.last().map(|server| {
                // Its time limit would be kept by the clock of the system, so the rest of it is waited for without one.
                drop(server.graceful_stop(Duration::MAX));
                server.stopped()
            });
            servers.push(next);
            stopped
        };
        if let Some(stopped) = stopped {
            stopped.await;
        }
    }

    /// Ends the server, and whatever calls it has.
    pub(super) fn stop(&self) {
        self.servers.borrow().iter().for_each(|server| drop(server.stop()));
    }

    /// How many connections the server has had.
    pub(super) fn connections_accepted(&self) -> u64 {
        self.servers.borrow().last().map_or(0, |server| server.stats().connections_accepted)
    }

    /// Lets both engines run for so long.
    pub(super) fn pass(&self, time: Duration) {
        self.on_loops(|network, loops| network.run_for(loops, time));
    }

    /// Lets both engines run until the future is ready.
    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        self.on_loops(|network, loops| network.run(loops, future))
    }

    /// Checks that the calls left nothing behind, closes both sides, and checks that nothing is left at all.
    pub(super) fn end(self) {
        self.pass(Duration::from_secs(1));
        let audits = self.on_loops(|_, loops| [0, 1].map(|side| loops[side].audit()));
        for audit in audits.iter().flatten() {
            assert_eq!(
                (audit.calls, audit.streams, audit.queued),
                (0, 0, 0),
                "left in an open connection: {audit:?}"
            );
        }
        if let ([client], [server]) = (&audits[0][..], &audits[1][..]) {
            // What one side may send is what the other is ready to take, no octet more or less.
            assert_eq!(client.send_window, server.receive_window, "credit from client to server");
            assert_eq!(server.send_window, client.receive_window, "credit from server to client");
        }
        self.channel.close();
        self.stop();
        self.pass(SETTLING);
        for (side, left) in
            self.on_loops(|_, loops| [0, 1].map(|side| loops[side].census())).into_iter().enumerate()
        {
            assert_eq!(left, [0; 4], "connections, listeners, tasks and timers left on engine {side}");
        }
    }

    fn on_loops<R>(&self, work: impl FnOnce(&Network, &mut [&mut EventLoop]) -> R) -> R {
        self.engines[0].with_loop(|client| {
            self.engines[1].with_loop(|server| work(&self.network, &mut [client, server]))
        })
    }

    fn method(&self, name: &str) -> Method {
        self.channel.method(format!("/test.Test/{name}"))
    }

    /// Answers with what it gets.
    pub(super) fn echo(&self, request: Request<Bytes>) -> UnaryCall<Bytes> {
        self.channel.unary::<Raw, _, _>(&self.method("Echo"), request)
    }

    /// Answers so many milliseconds later, in the network's time.
    pub(super) fn slow(&self, request: Request<Bytes>) -> UnaryCall<Bytes> {
        self.channel.unary::<Raw, _, _>(&self.method("Slow"), request)
    }

    /// Fails without a response so many times as the first octet says, and then answers with what it gets.
    pub(super) fn flaky(&self, request: Request<Bytes>) -> UnaryCall<Bytes> {
        self.channel.unary::<Raw, _, _>(&self.method("Flaky"), request)
    }

    /// Fails as the first octet says; else answers with what it gets, and then fails or ends well as the second says.
    pub(super) fn begin(&self, request: Request<Bytes>) -> Inbound<Bytes> {
        self.channel.server_streaming::<Raw, _, _>(&self.method("Begin"), request)
    }

    /// Answers with the octets that it was sent, in all.
    pub(super) fn collect(&self) -> (Outbound<Bytes>, UnaryCall<Bytes>) {
        self.channel.client_streaming::<Raw, _, _>(&self.method("Collect"), Request::new(()))
    }

    /// Answers with what it gets, eight times.
    pub(super) fn repeat(&self, request: Request<Bytes>) -> Inbound<Bytes> {
        self.channel.server_streaming::<Raw, _, _>(&self.method("Repeat"), request)
    }

    /// Answers each message with itself.
    pub(super) fn chat(&self) -> (Outbound<Bytes>, Inbound<Bytes>) {
        self.channel.bidi_streaming::<Raw, _, _>(&self.method("Chat"), Request::new(()))
    }
}

fn serve(engine: &Engine, ledger: &Arc<Ledger>) -> ServerBuilder {
    Server::builder()
        .plaintext()
        .engine(engine)
        .keepalive_enforcement(Duration::from_secs(1), true)
        .keepalive(Duration::from_secs(10), Duration::from_secs(2))
        .add_service(Test { ledger: Arc::clone(ledger) })
}

struct Test {
    ledger: Arc<Ledger>,
}

impl Service for Test {
    fn name(&self) -> &str {
        "test.Test"
    }

    fn methods(&self) -> Vec<Handler> {
        let [for_echo, for_slow, for_flaky, for_begin] = [(); 4].map(|()| Arc::clone(&self.ledger));
        vec![
            Handler::unary::<Raw, Bytes, Bytes, _, _>("Echo", move |request| {
                for_echo.note(&request);
                async move { Ok(Response::new(request.into_message())) }
            }),
            Handler::unary::<Raw, Bytes, Bytes, _, _>("Slow", move |request| {
                for_slow.note(&request);
                async move {
                    sleep(Duration::from_millis(40)).await;
                    Ok(Response::new(request.into_message()))
                }
            }),
            Handler::unary::<Raw, Bytes, Bytes, _, _>("Flaky", move |request| {
                let run = for_flaky.note(&request);
                async move {
                    match run <= usize::from(request.message()[0]) {
                        true => Err(Status::unavailable("not yet")),
                        false => Ok(Response::new(request.into_message())),
                    }
                }
            }),
            Handler::server_streaming::<Raw, Bytes, Bytes, _, _>("Begin", move |request, outbound| {
                let run = for_begin.note(&request);
                async move {
                    let [failures, then_fails] = [0, 1].map(|octet| usize::from(request.message()[octet]));
                    if run <= failures {
                        return Err(Status::unavailable("not yet"));
                    }
                    outbound.send(request.into_message()).await?;
                    sleep(Duration::from_millis(10)).await;
                    if then_fails > 0 { Err(Status::unavailable("no more")) } else { Ok(()) }
                }
            }),
            Handler::client_streaming::<Raw, Bytes, Bytes, _, _>("Collect", |mut inbound| async move {
                let mut octets = 0;
                while let Some(message) = inbound.message().await? {
                    octets += message.len() as u64;
                }
                Ok(Response::new(Bytes::copy_from_slice(&octets.to_be_bytes())))
            }),
            Handler::server_streaming::<Raw, Bytes, Bytes, _, _>("Repeat", |request, outbound| async move {
                for _ in 0..8 {
                    outbound.send(request.message().clone()).await?;
                }
                Ok(())
            }),
            Handler::bidi_streaming::<Raw, Bytes, Bytes, _, _>("Chat", |mut inbound, outbound| async move {
                while let Some(message) = inbound.message().await? {
                    outbound.send(message).await?;
                }
                Ok(())
            }),
        ]
    }
}

/// Whether a call may end so when its connection fails or its time runs out: by words of this library or the
/// transport, never by what looks like the server's answer.
pub(super) fn is_loss(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// Ready when all of the futures are.
pub(super) struct All<'a>(pub(super) Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>);

impl Future for All<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
