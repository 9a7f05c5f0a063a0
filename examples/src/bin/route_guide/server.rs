//! The server.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lariat::{Engine, Inbound, Outbound, Request, Response, Server, Status};

use crate::features;
use crate::routeguide::{Feature, Point, Rectangle, RouteGuide, RouteGuideServer, RouteNote, RouteSummary};

/// How many notes are kept. The oldest ones go first, so that visitors can't fill the memory.
const MAX_NOTES: usize = 1000;

/// Starts a route guide. It runs until the returned value is dropped.
pub(crate) fn start(address: &str, threads: Option<usize>) -> Result<Server, Box<dyn Error>> {
    let mut server = Server::builder().plaintext().add_service(RouteGuideServer::new(Guide::default()));
    if let Some(threads) = threads {
        server = server.engine(&Engine::builder().threads(threads).build()?);
    }
    Ok(server.bind(address)?)
}

/// The guide, with the notes that all its visitors have left.
#[derive(Default)]
struct Guide {
    notes: Mutex<VecDeque<RouteNote>>,
}

impl RouteGuide for Guide {
    async fn get_feature(&self, request: Request<Point>) -> Result<Response<Feature>, Status> {
        let point = request.into_message();
        let nothing = || Feature { name: String::new(), location: Some(point) };
        Ok(Response::new(features::at(point).unwrap_or_else(nothing)))
    }

    async fn list_features(
        &self,
        request: Request<Rectangle>,
        outbound: Outbound<Feature>,
    ) -> Result<(), Status> {
        for feature in features::inside(request.message()) {
            // Waits when the client reads more slowly than we send.
            outbound.send(feature).await?;
        }
        Ok(())
    }

    async fn record_route(&self, mut inbound: Inbound<Point>) -> Result<Response<RouteSummary>, Status> {
        let started = Instant::now();
        let mut summary = RouteSummary::default();
        let mut distance = 0.0;
        let mut previous = None;
        while let Some(point) = inbound.message().await? {
            summary.point_count += 1;
            if features::at(point).is_some() {
                summary.feature_count += 1;
            }
            if let Some(previous) = previous.replace(point) {
                distance += features::distance(previous, point);
            }
        }
        summary.distance = distance as i32;
        summary.elapsed_time = started.elapsed().as_secs().try_into().unwrap_or(i32::MAX);
        Ok(Response::new(summary))
    }

    async fn route_chat(
        &self,
        mut inbound: Inbound<RouteNote>,
        outbound: Outbound<RouteNote>,
    ) -> Result<(), Status> {
        while let Some(note) = inbound.message().await? {
            for earlier in self.leave(note) {
                outbound.send(earlier).await?;
            }
        }
        Ok(())
    }
}

impl Guide {
    /// Keeps a note and returns those that were left at the same point before.
    fn leave(&self, note: RouteNote) -> Vec<RouteNote> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = notes.iter().filter(|earlier| earlier.location == note.location).cloned().collect();
        if notes.len() == MAX_NOTES {
            notes.pop_front();
        }
        notes.push_back(note);
        earlier
    }
}
