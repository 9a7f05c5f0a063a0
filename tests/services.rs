//! The services that a server has beside the user's own, over loopback: health, and load reports.

mod support;

use std::time::Duration;

use lariat::client::resolver::Manual;
use lariat::codec::Prost;
use lariat::services::{
    Health, HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, LoadRecorder,
    LoadReport, LoadReportRequest, LoadReports, LoadTrailers, ServingStatus,
};
use lariat::{Channel, Code, Inbound, Request, Server, Status, Wait};
use support::*;

fn health_server() -> (Health, Server, Channel) {
    let health = Health::new();
    let server = builder(&Echo::default()).add_service(health.clone()).bind("127.0.0.1:0").unwrap();
    let channel = channel_to(&server);
    (health, server, channel)
}

fn channel_to(server: &Server) -> Channel {
    let target = format!("passthrough:///{}", server.local_address());
    Channel::builder(target).plaintext().build().unwrap()
}

fn about(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest { service: service.to_owned() })
}

fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let method = channel.method("/grpc.health.v1.Health/Check");
    let response = channel.unary::<Prost, _, HealthCheckResponse>(&method, about(service)).wait()?;
    Ok(response.message().status())
}

fn watch(channel: &Channel, service: &str) -> Inbound<HealthCheckResponse> {
    channel.server_streaming::<Prost, _, _>(&channel.method("/grpc.health.v1.Health/Watch"), about(service))
}

fn next(inbound: &mut Inbound<HealthCheckResponse>) -> ServingStatus {
    inbound.message().wait().unwrap().unwrap().status()
}

fn list(channel: &Channel) -> Result<HealthListResponse, Status> {
    let method = channel.method("/grpc.health.v1.Health/List");
    let request = Request::new(HealthListRequest {});
    Ok(channel.unary::<Prost, _, _>(&method, request).wait()?.into_message())
}

#[test]
fn check_says_what_is_known_of_a_service() {
    let (health, _server, channel) = health_server();
    assert_eq!(check(&channel, "").unwrap(), ServingStatus::Serving);
    assert_eq!(check(&channel, "s").unwrap_err().code(), Code::NotFound);
    health.set("s", ServingStatus::NotServing);
    assert_eq!(check(&channel, "s").unwrap(), ServingStatus::NotServing);
}

#[test]
fn watch_tells_of_changes_alone_and_of_services_that_nobody_spoke_of_yet() {
    let (health, _server, channel) = health_server();
    let (mut whole, mut one) = (watch(&channel, ""), watch(&channel, "s"));
    assert_eq!(next(&mut whole), ServingStatus::Serving);
    assert_eq!(next(&mut one), ServingStatus::ServiceUnknown);
    health.set("other", ServingStatus::NotServing);
    health.set("s", ServingStatus::Serving);
    assert_eq!(next(&mut one), ServingStatus::Serving);
    health.set("s", ServingStatus::Serving);
    health.set("s", ServingStatus::NotServing);
    assert_eq!(next(&mut one), ServingStatus::NotServing);
    health.set("", ServingStatus::NotServing);
    assert_eq!(next(&mut whole), ServingStatus::NotServing);
}

#[test]
fn a_server_that_shuts_down_says_so_of_all_services_until_it_resumes() {
    let (health, _server, channel) = health_server();
    health.set("s", ServingStatus::Serving);
    let mut one = watch(&channel, "s");
    assert_eq!(next(&mut one), ServingStatus::Serving);
    health.shut_down();
    health.set("s", ServingStatus::Serving);
    assert_eq!(next(&mut one), ServingStatus::NotServing);
    assert_eq!(check(&channel, "").unwrap(), ServingStatus::NotServing);
    health.resume();
    assert_eq!(next(&mut one), ServingStatus::Serving);
    assert_eq!(check(&channel, "").unwrap(), ServingStatus::Serving);
}

#[test]
fn a_hundred_services_are_listed_and_no_more() {
    let (health, _server, channel) = health_server();
    (1..100).for_each(|number| health.set(format!("s{number}"), ServingStatus::NotServing));
    let listed = list(&channel).unwrap();
    assert_eq!(listed.statuses.len(), 100);
    assert_eq!(listed.statuses[""].status(), ServingStatus::Serving);
    assert_eq!(listed.statuses["s7"].status(), ServingStatus::NotServing);
    health.set("s100", ServingStatus::NotServing);
    assert_eq!(list(&channel).unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn a_channel_follows_the_health_of_its_backends() {
    let echos = [Echo::default(), Echo::default()];
    let health = [Health::new(), Health::new()];
    let bind = |i: usize| builder(&echos[i]).add_service(health[i].clone()).bind("127.0.0.1:0").unwrap();
    let servers = [bind(0), bind(1)];
    let manual = Manual::new("test");
    manual.update(servers.iter().map(|server| server.local_address().clone()).collect());
    let config =
        r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}"#;
    let channel = Channel::builder("test:///echo")
        .resolver(manual)
        .default_service_config(config)
        .plaintext()
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    let started = |i: usize| echos[i].seen.started.load(std::sync::atomic::Ordering::SeqCst);
    let calls = || {
        let before = [started(0), started(1)];
        (0..10).for_each(|_| drop(client.unary("x").wait().unwrap()));
        [started(0) - before[0], started(1) - before[1]]
    };
    eventually("both get calls", || calls() == [5, 5]);
    health[0].set("", ServingStatus::NotServing);
    eventually("the second gets all calls", || calls() == [0, 10]);
    health[1].shut_down();
    eventually("calls fail", || client.unary("x").wait().is_err());
    assert_eq!(client.unary("x").wait().unwrap_err().code(), Code::Unavailable);
    health[0].set("", ServingStatus::Serving);
    health[1].resume();
    eventually("calls succeed", || client.unary("x").wait().is_ok());
    eventually("both get calls again", || calls() == [5, 5]);
}

#[test]
fn load_is_reported_at_once_and_as_often_as_the_server_allows() {
    let load = LoadRecorder::new();
    load.update(|report| report.rps_fractional = 1.0);
    let reports = LoadReports::new(&load).min_interval(Duration::from_millis(20));
    let server = builder(&Echo::default()).add_service(reports).bind("127.0.0.1:0").unwrap();
    let channel = channel_to(&server);
    let method = channel.method("/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics");
    let request = Request::new(LoadReportRequest::new(Duration::from_millis(1)));
    let begin = std::time::Instant::now();
    let mut inbound: Inbound<LoadReport> = channel.server_streaming::<Prost, _, _>(&method, request);
    assert_eq!(inbound.message().wait().unwrap().unwrap().rps_fractional, 1.0);
    load.update(|report| report.rps_fractional = 2.0);
    let mut reports = 1;
    let mut next = || {
        reports += 1;
        inbound.message().wait().unwrap().unwrap().rps_fractional
    };
    // The next one may have been made before that.
    while next() != 2.0 {}
    for _ in 0..4 {
        assert_eq!(next(), 2.0);
    }
    assert!(begin.elapsed() >= Duration::from_millis(20) * (reports - 1));
}

#[test]
fn calls_carry_a_load_report_however_they_end() {
    let load = LoadRecorder::new();
    load.update(|report| report.application_utilization = 0.5);
    let health = Health::new();
    let server = Server::builder()
        .plaintext()
        .interceptor(LoadTrailers::new(&load))
        .add_service(health)
        .bind("127.0.0.1:0")
        .unwrap();
    let channel = channel_to(&server);
    let method = channel.method("/grpc.health.v1.Health/Check");
    let call = |service| channel.unary::<Prost, _, HealthCheckResponse>(&method, about(service)).wait();
    assert_eq!(LoadReport::of_trailers(call("").unwrap().trailers()), Some(load.report()));
    assert_eq!(LoadReport::of_trailers(call("unknown").unwrap_err().metadata()), Some(load.report()));
}
