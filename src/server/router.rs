//! Finds the handler of a path.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use lariat_frame::hpack::HeaderList;

use super::handler::{Handler, Service};
use super::interception::behind;
use crate::Error;
use crate::call::interceptor::Chain;
use crate::rpc::response_head;

/// A method as the sessions use it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) handler: Handler,
    /// The head of its responses.
    pub(super) head: Arc<HeaderList>,
}

/// All methods of a server, by path.
#[derive(Debug, Default)]
pub(super) struct Router {
    routes: Vec<Route>,
    paths: HashMap<String, u32, BuildHasherDefault<PathHasher>>,
    services: Vec<String>,
    fallback: Option<u32>,
}

impl Router {
    pub(super) fn add_service(&mut self, service: &dyn Service) -> Result<(), Error> {
        let name = service.name();
        self.services.push(name.to_owned());
        for handler in service.methods() {
            let path = format!("/{name}/{}", handler.name());
            let id = self.add_route(handler);
            if self.paths.insert(path.clone(), id).is_some() {
                return Err(Error::DuplicateMethod { path });
            }
        }
        Ok(())
    }

    /// Serves every path that no service has.
    pub(super) fn set_fallback(&mut self, handler: Handler) {
        self.fallback = Some(self.add_route(handler));
    }

    /// Puts all handlers behind interceptors.
    pub(super) fn intercept(&mut self, chain: &Arc<Chain>) {
        let mut paths: HashMap<u32, &String> = self.paths.iter().map(|(path, id)| (*id, path)).collect();
        for (id, route) in (0..).zip(&mut self.routes) {
            route.handler = behind(chain, &route.handler, paths.remove(&id).cloned());
        }
    }

    fn add_route(&mut self, handler: Handler) -> u32 {
        let head = response_head::template(handler.subtype());
        self.routes.push(Route { handler, head });
        self.routes.len() as u32 - 1
    }

    pub(super) fn find(&self, path: &str) -> Option<u32> {
        self.paths.get(path).copied().or(self.fallback)
    }

    pub(super) fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service == name)
    }

    pub(super) fn route(&self, id: u32) -> &Route {
        &self.routes[id as usize]
    }
}

/// FNV-1a. The table holds the server's own paths only, so a peer cannot fill it with collisions.
struct PathHasher(u64);

impl Default for PathHasher {
    fn default() -> Self {
        PathHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for PathHasher {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
