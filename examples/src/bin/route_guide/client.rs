//! The client. It runs on plain threads, so it waits for what comes with `wait()`; inside of an async
//! function it would be `await`.

use std::error::Error;
use std::thread;

use lariat::{Channel, Status, Wait};

use crate::features;
use crate::routeguide::{Point, Rectangle, RouteGuideClient, RouteNote};

const FERRY: Point = Point { latitude: 402_000_000, longitude: -741_000_000 };
const SUMMIT: Point = Point { latitude: 417_000_000, longitude: -748_000_000 };

/// Makes one call of each kind to the route guide at `address`.
pub(crate) fn travel(address: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::builder(address).plaintext().build()?;
    let guide = RouteGuideClient::new(channel);
    get_feature(&guide, Point { latitude: 411_645_008, longitude: -745_573_329 })?;
    get_feature(&guide, Point { latitude: 0, longitude: 0 })?;
    list_features(&guide)?;
    record_route(&guide)?;
    route_chat(&guide)?;
    Ok(())
}

/// One request, one response.
fn get_feature(guide: &RouteGuideClient, point: Point) -> Result<(), Status> {
    let feature = guide.get_feature(point).wait()?.into_message();
    match feature.name.as_str() {
        "" => println!("nothing at {}", place(Some(point))),
        name => println!("at {}: {name}", place(feature.location)),
    }
    Ok(())
}

/// One request, many responses.
fn list_features(guide: &RouteGuideClient) -> Result<(), Status> {
    let lo = Point { latitude: 400_000_000, longitude: -750_000_000 };
    let hi = Point { latitude: 410_000_000, longitude: -730_000_000 };
    println!("between {} and {}:", place(Some(lo)), place(Some(hi)));
    let mut features = guide.list_features(Rectangle { lo: Some(lo), hi: Some(hi) });
    while let Some(feature) = features.message().wait()? {
        println!("  {} at {}", feature.name, place(feature.location));
    }
    Ok(())
}

/// Many requests, one response.
fn record_route(guide: &RouteGuideClient) -> Result<(), Status> {
    let (points, summary) = guide.record_route(());
    for feature in features::all() {
        let Some(point) = feature.location else { continue };
        points.send(point).wait()?;
        // A rest on the way, where nothing is to be seen.
        points.send(Point { latitude: point.latitude + 10_000, ..point }).wait()?;
    }
    points.finish();
    let summary = summary.wait()?.into_message();
    println!(
        "travelled {} m over {} points, saw {} features in {} s",
        summary.distance, summary.point_count, summary.feature_count, summary.elapsed_time
    );
    Ok(())
}

/// Many requests, many responses: one thread leaves notes while the other reads those of earlier visitors.
fn route_chat(guide: &RouteGuideClient) -> Result<(), Status> {
    let (outbound, mut inbound) = guide.route_chat(());
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for (location, message) in [
                (FERRY, "the ferry runs at noon"),
                (SUMMIT, "mind the wind"),
                (FERRY, "no ferry on Sundays"),
                (SUMMIT, "no wind today"),
                (FERRY, "bring cash"),
            ] {
                let note = RouteNote { location: Some(location), message: message.to_owned() };
                outbound.send(note).wait()?;
            }
            // Dropping `outbound` tells the server that there are no more notes.
            Ok(())
        });
        while let Some(note) = inbound.message().wait()? {
            println!("found at {}: {}", place(note.location), note.message);
        }
        writer.join().unwrap_or_else(|_| Err(Status::internal("the writing thread panicked")))
    })
}

/// A point as people write it.
fn place(point: Option<Point>) -> String {
    let Point { latitude, longitude } = point.unwrap_or_default();
    format!("{:.4}, {:.4}", f64::from(latitude) / 1e7, f64::from(longitude) / 1e7)
}
