//! Tells stats handlers what becomes of calls: the outermost interceptor of a server that has any.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::call::interceptor::{EncodedMessage, Interceptor, Messages, Next};
use crate::call::stats::{Begin, CallEvent, CallStats, StatsHandlers};
use crate::call::{Request, Response};
use crate::rpc::{Metadata, Status};

pub(super) struct Watch {
    handlers: StatsHandlers,
}

impl Watch {
    pub(super) fn new(handlers: StatsHandlers) -> Self {
        Watch { handlers }
    }

    fn begin(&self, next: &Next<'_>) -> Option<Watched> {
        let stats = self.handlers.begin(&Begin::new(next.path(), next.kind()))?;
        Some(Watched { stats: Arc::new(Mutex::new(stats)), ended: false })
    }
}

impl Interceptor for Watch {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let Some(mut watched) = self.begin(&next) else { return next.unary(request).await };
        watched.tell(&CallEvent::InHeader { metadata: request.metadata() });
        watched.tell(&CallEvent::InPayload { octets: request.message().len() });
        let result = next.unary(request).await;
        if let Ok(response) = &result {
            watched.tell(&CallEvent::OutHeader { metadata: response.metadata() });
            watched.tell(&CallEvent::OutPayload { octets: response.message().len() });
        }
        watched.end(result.as_ref().map(|_| ()));
        result
    }

    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        let Some(mut watched) = self.begin(&next) else { return next.stream(request, messages).await };
        watched.tell(&CallEvent::InHeader { metadata: request.metadata() });
        let [requests, headers, responses] = [(); 3].map(|()| Arc::clone(&watched.stats));
        let messages = messages
            .map_requests(move |message| {
                lock(&requests).handle(&CallEvent::InPayload { octets: message.len() });
                Ok(message)
            })
            .map_headers(move |metadata| {
                lock(&headers).handle(&CallEvent::OutHeader { metadata: &metadata });
                Ok(metadata)
            })
            .map_responses(move |message| {
                lock(&responses).handle(&CallEvent::OutPayload { octets: message.len() });
                Ok(message)
            });
        let result = next.stream(request, messages).await;
        watched.end(result.as_ref().map(|_| ()));
        result
    }
}

/// A call somebody wants to know of.
struct Watched {
    stats: Arc<Mutex<Box<dyn CallStats>>>,
    ended: bool,
}

impl Watched {
    fn tell(&self, event: &CallEvent<'_>) {
        lock(&self.stats).handle(event);
    }

    fn end(&mut self, status: Result<(), &Status>) {
        self.ended = true;
        self.tell(&CallEvent::OutTrailer);
        self.tell(&CallEvent::End { status });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended {
            let status = match std::thread::panicking() {
                true => Status::internal("the handler panicked"),
                false => Status::cancelled("the call was cancelled, or its deadline passed"),
            };
            self.tell(&CallEvent::End { status: Err(&status) });
        }
    }
}

fn lock(stats: &Mutex<Box<dyn CallStats>>) -> MutexGuard<'_, Box<dyn CallStats>> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}
