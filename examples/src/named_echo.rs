//! Servers that say their names, for examples of how calls are spread.

use lariat::server::ServerBuilder;
use lariat::{Error, Request, Response, Server, Status};

use crate::echo::{Echo, EchoRequest, EchoResponse, EchoServer};

/// An echo that adds who it is: `hello (from a)`.
pub struct NamedEcho {
    name: String,
}

impl NamedEcho {
    /// Starts a server with such an echo, and says where it listens.
    ///
    /// # Errors
    ///
    /// When the system refuses the address.
    pub fn serve(name: &str, address: &str) -> Result<Server, Error> {
        NamedEcho::serve_beside(Server::builder(), name, address)
    }

    /// Starts a server that has such an echo beside what its builder has already.
    ///
    /// # Errors
    ///
    /// When the system refuses the address.
    pub fn serve_beside(builder: ServerBuilder, name: &str, address: &str) -> Result<Server, Error> {
        let echo = NamedEcho { name: name.to_owned() };
        let server = builder.plaintext().add_service(EchoServer::new(echo)).bind(address)?;
        println!("{name}: listening on {}", server.local_address());
        Ok(server)
    }
}

impl Echo for NamedEcho {
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let message = format!("{} (from {})", request.into_message().message, self.name);
        Ok(Response::new(EchoResponse { message }))
    }
}
