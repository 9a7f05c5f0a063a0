//! The server of the interop matrix: Greeter and RouteGuide with the rules of `README.md`.
//!
//! `peer_server [--addr A]`

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lariat::{Code, Inbound, Metadata, Outbound, Request, Response, Server, Status, Wait};
use lariat_interop::helloworld::{Greeter, GreeterServer, HelloReply, HelloRequest};
use lariat_interop::routeguide::{
    Feature, Point, Rectangle, RouteGuide, RouteGuideServer, RouteNote, RouteSummary,
};

fn main() -> Result<(), lariat::Error> {
    let addr = std::env::args().skip_while(|argument| argument != "--addr").nth(1);
    let server = Server::builder()
        .plaintext()
        .add_service(GreeterServer::new(Names::default()))
        .add_service(RouteGuideServer::new(Places))
        .bind(addr.as_deref().unwrap_or("127.0.0.1:0"))?;
    println!("listening on {}", server.local_address());
    server.stopped().wait();
    Ok(())
}

/// Answers names by the rules of `README.md`.
#[derive(Default)]
struct Names {
    cancelled: Cancelled,
}

/// The `x-watch` keys of calls that were cancelled before their handler ended.
type Cancelled = Arc<Mutex<HashSet<String>>>;

impl Greeter for Names {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let watch = Watch::new(&self.cancelled, request.metadata());
        let (header, trailer) = echoes(request.metadata())?;
        let name = &request.message().name;
        let message = match name.strip_prefix("cancelled:") {
            Some(key) => watch.has_seen(key).to_string(),
            None => greet(name).await?,
        };
        watch.end();
        let mut response = Response::new(HelloReply { message });
        response.metadata_mut().merge(&header);
        response.trailers_mut().merge(&trailer);
        Ok(response)
    }

    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        let watch = Watch::new(&self.cancelled, request.metadata());
        let (header, trailer) = echoes(request.metadata())?;
        outbound.send_headers(header)?;
        outbound.set_trailers(trailer);
        let name = &request.message().name;
        if name.starts_with("status:") {
            outbound.send(HelloReply { message: "Hello before the end".into() }).await?;
        }
        for _ in 0..3 {
            outbound.send(HelloReply { message: greet(name).await? }).await?;
        }
        watch.end();
        Ok(())
    }

    async fn say_hello_bidi_stream(
        &self,
        mut inbound: Inbound<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        let watch = Watch::new(&self.cancelled, inbound.metadata());
        let (header, trailer) = echoes(inbound.metadata())?;
        outbound.send_headers(header)?;
        outbound.set_trailers(trailer);
        while let Some(request) = inbound.message().await? {
            outbound.send(HelloReply { message: greet(&request.name).await? }).await?;
        }
        watch.end();
        Ok(())
    }
}

/// Notes the call's `x-watch` key when the handler is dropped before it ended, which is how a cancellation is seen.
struct Watch {
    cancelled: Cancelled,
    key: Option<String>,
}

impl Watch {
    fn new(cancelled: &Cancelled, metadata: &Metadata) -> Self {
        Self { cancelled: Arc::clone(cancelled), key: metadata.get("x-watch").map(str::to_owned) }
    }

    fn has_seen(&self, key: &str) -> bool {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn end(mut self) {
        self.key = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
    }
}

/// Applies the rules that are the same for all three methods.
async fn greet(name: &str) -> Result<String, Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument("request missing required field: name"));
    }
    if let Some((code, message)) = name.strip_prefix("status:").and_then(|rest| rest.split_once(':')) {
        let code = code.parse().map_or(Code::InvalidArgument, Code::from_i32);
        return Err(Status::new(code, message));
    }
    if let Some(milliseconds) = name.strip_prefix("delay:") {
        let milliseconds =
            milliseconds.parse().map_err(|_| Status::invalid_argument("delay:MILLISECONDS"))?;
        lariat::sleep(Duration::from_millis(milliseconds)).await;
    }
    Ok(format!("Hello {name}"))
}

/// The header and the trailer that the request's `x-echo` and `x-echo-bin` ask for.
fn echoes(received: &Metadata) -> Result<(Metadata, Metadata), Status> {
    let refuse = |error: lariat::metadata::MetadataError| Status::internal(error.to_string());
    let (mut header, mut trailer) = (Metadata::new(), Metadata::new());
    for value in received.get_all("x-echo") {
        header.append("x-echo", value).map_err(refuse)?;
        trailer.append("x-echo-trailer", value).map_err(refuse)?;
    }
    for value in received.get_all_bin("x-echo-bin") {
        header.append_bin("x-echo-bin", &value).map_err(refuse)?;
    }
    Ok((header, trailer))
}

/// The places that this server knows, in degrees times 10^7.
const FEATURES: [(&str, Point); 3] = [
    ("Old Mill", Point { latitude: 407_838_351, longitude: -746_143_763 }),
    ("Ferry Landing", Point { latitude: 413_628_156, longitude: -749_015_468 }),
    ("Signal Hill", Point { latitude: 419_999_544, longitude: -740_371_136 }),
];

/// The RouteGuide service; each RouteChat call keeps its own notes.
struct Places;

impl RouteGuide for Places {
    async fn get_feature(&self, request: Request<Point>) -> Result<Response<Feature>, Status> {
        let point = request.into_message();
        let name = name_at(&point).unwrap_or_default().to_owned();
        Ok(Response::new(Feature { name, location: Some(point) }))
    }

    async fn list_features(
        &self,
        request: Request<Rectangle>,
        outbound: Outbound<Feature>,
    ) -> Result<(), Status> {
        for (name, location) in FEATURES {
            if contains(request.message(), &location) {
                outbound.send(Feature { name: name.into(), location: Some(location) }).await?;
            }
        }
        Ok(())
    }

    async fn record_route(&self, mut inbound: Inbound<Point>) -> Result<Response<RouteSummary>, Status> {
        let started = Instant::now();
        let mut summary = RouteSummary::default();
        let mut length = 0.0;
        let mut previous = None;
        while let Some(point) = inbound.message().await? {
            summary.point_count += 1;
            summary.feature_count += i32::from(name_at(&point).is_some());
            if let Some(previous) = previous.replace(point) {
                length += metres(&previous, &point);
            }
        }
        summary.distance = length as i32;
        summary.elapsed_time = started.elapsed().as_secs() as i32;
        Ok(Response::new(summary))
    }

    async fn route_chat(
        &self,
        mut inbound: Inbound<RouteNote>,
        outbound: Outbound<RouteNote>,
    ) -> Result<(), Status> {
        let mut notes: HashMap<(i32, i32), Vec<RouteNote>> = HashMap::new();
        while let Some(note) = inbound.message().await? {
            let here = note.location.unwrap_or_default();
            let earlier = notes.entry((here.latitude, here.longitude)).or_default();
            for note in earlier.iter() {
                outbound.send(note.clone()).await?;
            }
            earlier.push(note);
        }
        Ok(())
    }
}

fn name_at(point: &Point) -> Option<&'static str> {
    FEATURES.iter().find(|(_, location)| location == point).map(|&(name, _)| name)
}

fn contains(area: &Rectangle, point: &Point) -> bool {
    let between = |value: i32, a: i32, b: i32| (a.min(b)..=a.max(b)).contains(&value);
    let (lo, hi) = (area.lo.unwrap_or_default(), area.hi.unwrap_or_default());
    between(point.latitude, lo.latitude, hi.latitude) && between(point.longitude, lo.longitude, hi.longitude)
}

/// The great-circle distance between two points (haversine formula).
fn metres(a: &Point, b: &Point) -> f64 {
    const EARTH_RADIUS: f64 = 6_371_000.0;
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let latitudes = (radians(a.latitude), radians(b.latitude));
    let longitude = radians(b.longitude) - radians(a.longitude);
    let h = ((latitudes.1 - latitudes.0) / 2.0).sin().powi(2)
        + latitudes.0.cos() * latitudes.1.cos() * (longitude / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS * h.sqrt().asin()
}
