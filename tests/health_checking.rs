//! A channel that watches its backends, over loopback: their health (gRFC A17), and their load (gRFC A51).

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lariat::client::ConnectivityState;
use lariat::client::resolver::Manual;
use lariat::codec::Raw;
use lariat::server::{Handler, Service};
use lariat::services::LoadReport;
use lariat::{Channel, Code, Outbound, Request, Server, Status, Wait};
use support::*;

/// A service with one method that sends what the test says, to as many streams as there are.
#[derive(Clone)]
struct Watched {
    service: &'static str,
    method: &'static str,
    streams: Arc<Mutex<Vec<Arc<Outbound<Bytes>>>>>,
    requests: Arc<Mutex<Vec<Bytes>>>,
    begun: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Watched {
    fn new(service: &'static str, method: &'static str) -> Self {
        Watched {
            service,
            method,
            streams: Arc::default(),
            requests: Arc::default(),
            begun: Arc::default(),
            open: Arc::default(),
        }
    }

    fn health() -> Self {
        Watched::new("grpc.health.v1.Health", "Watch")
    }

    async fn watch(self, request: Request<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let _open = Open(self.open.clone());
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_message());
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(outbound));
        self.begun.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    fn send(&self, octets: impl Into<Bytes>) {
        let octets = octets.into();
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Those of connections that are gone take nothing.
            let _ = stream.send(octets.clone()).wait();
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Service for Watched {
    fn name(&self) -> &str {
        self.service
    }

    fn methods(&self) -> Vec<Handler> {
        let this = self.clone();
        vec![Handler::server_streaming::<Raw, _, _, _, _>(self.method, move |r, o| this.clone().watch(r, o))]
    }
}

/// `HealthCheckResponse` with SERVING and with NOT_SERVING.
const SERVING: &[u8] = &[8, 1];
const NOT_SERVING: &[u8] = &[8, 2];

const CONFIG: &str =
    r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "s"}}"#;

fn serve_with(echo: &Echo, watched: &Watched) -> Server {
    builder(echo).add_service(watched.clone()).bind("127.0.0.1:0").unwrap()
}

fn channel(servers: &[&Server], service_config: &str, idle_timeout: Option<Duration>) -> EchoClient {
    let manual = Manual::new("test");
    manual.update(servers.iter().map(|server| server.local_address().clone()).collect());
    let channel = Channel::builder("test:///echo")
        .resolver(manual)
        .default_service_config(service_config)
        .idle_timeout(idle_timeout)
        .plaintext()
        .build();
    EchoClient::new(channel.unwrap())
}

#[test]
fn calls_go_to_backends_that_say_they_serve_and_follow_their_changes() {
    let echos = [Echo::default(), Echo::default()];
    let watched = [Watched::health(), Watched::health()];
    let servers: Vec<Server> =
        echos.iter().zip(&watched).map(|(echo, watched)| serve_with(echo, watched)).collect();
    let client = channel(&[&servers[0], &servers[1]], CONFIG, None);
    let first = client.unary("x");
    eventually("both are watched", || watched.iter().all(|watched| watched.begun() == 1));
    assert_eq!(watched[0].requests.lock().unwrap()[0], &b"\x0a\x01s"[..]);
    assert_eq!(client.channel.state(), ConnectivityState::Connecting);
    watched[0].send(SERVING);
    first.wait().unwrap();
    let started = |i: usize| echos[i].seen.started.load(Ordering::SeqCst);
    (0..10).for_each(|_| drop(client.unary("x").wait().unwrap()));
    assert_eq!((started(0), started(1)), (11, 0));

    watched[1].send(SERVING);
    eventually("the second gets calls", || {
        client.unary("x").wait().unwrap();
        started(1) > 0
    });
    watched[0].send(NOT_SERVING);
    eventually("the first gets no more calls", || {
        let before = started(0);
        (0..4).for_each(|_| drop(client.unary("x").wait().unwrap()));
        started(0) == before
    });
    watched[1].send(NOT_SERVING);
    eventually("the channel fails", || client.channel.state() == ConnectivityState::TransientFailure);
    let status = client.unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("NOT_SERVING"), "{status:?}");
    watched[0].send(SERVING);
    eventually("the channel recovers", || client.channel.state() == ConnectivityState::Ready);
    client.unary("x").wait().unwrap();
}

#[test]
fn a_backend_without_health_checking_gets_calls() {
    let server = serve(&Echo::default());
    channel(&[&server], CONFIG, None).unary("x").wait().unwrap();
}

#[test]
fn pick_first_alone_does_not_ask() {
    let watched = Watched::health();
    let server = serve_with(&Echo::default(), &watched);
    let client = channel(&[&server], r#"{"healthCheckConfig": {"serviceName": "s"}}"#, None);
    client.unary("x").wait().unwrap();
    assert_eq!(watched.begun(), 0);
}

#[test]
fn a_watch_keeps_neither_a_channel_from_going_idle_nor_a_server_from_stopping() {
    let watched = Watched::health();
    let server = serve_with(&Echo::default(), &watched);
    let client = channel(&[&server], CONFIG, Some(Duration::from_millis(50)));
    let call = client.unary("x");
    eventually("the backend is watched", || watched.begun() == 1);
    watched.send(SERVING);
    call.wait().unwrap();
    eventually("the channel is idle", || client.channel.state() == ConnectivityState::Idle);
    eventually("the watch has ended", || watched.open.load(Ordering::SeqCst) == 0);

    let client = channel(&[&server], CONFIG, None);
    let call = client.unary("x");
    eventually("the backend is watched", || watched.begun() == 2);
    watched.send(SERVING);
    call.wait().unwrap();
    // Nothing but the watch is under way, so that this has not to wait for its limit.
    assert!(server.graceful_stop(Duration::from_secs(60)).wait(), "the watch was cut off");
}

#[test]
fn load_reports_out_of_band_weigh_backends() {
    let echos = [Echo::default(), Echo::default()];
    let load = || Watched::new("xds.service.orca.v3.OpenRcaService", "StreamCoreMetrics");
    let watched = [load(), load()];
    let servers: Vec<Server> =
        echos.iter().zip(&watched).map(|(echo, watched)| serve_with(echo, watched)).collect();
    let config = r#"{"loadBalancingConfig": [{"weighted_round_robin": {"enableOobLoadReport": true,
        "oobReportingPeriod": "0.5s", "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}}]}"#;
    let client = channel(&[&servers[0], &servers[1]], config, None);
    client.unary("x").wait().unwrap();
    eventually("both are watched", || watched.iter().all(|watched| watched.begun() == 1));
    // `report_interval` of half a second.
    assert_eq!(watched[0].requests.lock().unwrap()[0], &b"\x0a\x06\x10\x80\xca\xb5\xee\x01"[..]);
    let report = |application_utilization| {
        use lariat::generated::prost::Message;
        LoadReport { rps_fractional: 100.0, application_utilization, ..LoadReport::default() }.encode_to_vec()
    };
    watched[0].send(report(0.1));
    watched[1].send(report(0.9));
    eventually("the first gets nine calls of ten", || {
        let started = |i: usize| echos[i].seen.started.load(Ordering::SeqCst);
        let before = [started(0), started(1)];
        (0..100).for_each(|_| drop(client.unary("x").wait().unwrap()));
        let calls = [started(0) - before[0], started(1) - before[1]];
        calls[0].abs_diff(90) <= 2 && calls[1].abs_diff(10) <= 2
    });
}
