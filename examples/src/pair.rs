//! Examples of one server and one client.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lariat::server::ServerBuilder;
use lariat::{Engine, Server, Wait};

use crate::{Example, Role};

impl Example {
    /// Runs the server that `serve` adds its services to, the client that `call` makes, or both.
    pub fn run_pair(
        &self,
        serve: impl Fn(ServerBuilder) -> ServerBuilder,
        call: impl Fn(&str) -> Result<(), Box<dyn Error>>,
    ) -> ExitCode {
        let start = |address: &str, threads: Option<usize>| -> Result<Server, Box<dyn Error>> {
            let mut server = serve(Server::builder());
            if let Some(threads) = threads {
                server = server.engine(&Engine::builder().threads(threads).build()?);
            }
            let server = server.bind(address)?;
            println!("listening on {}", server.local_address());
            Ok(server)
        };
        self.run(|role| match role {
            Role::Both => {
                let server = start("127.0.0.1:0", None)?;
                call(&server.local_address().to_string())?;
                server.graceful_stop(Duration::from_secs(5)).wait();
                println!("server stopped");
                Ok(())
            }
            Role::Server { address, threads } => {
                start(&address, threads)?.stopped().wait();
                Ok(())
            }
            Role::Client { address, .. } => call(&address),
        })
    }
}
