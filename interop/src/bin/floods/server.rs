//! The server that is flooded, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

use lariat::codec::Raw;
use lariat::generated::bytes::Bytes;
use lariat::server::{Handler, Service};
use lariat::{Engine, Inbound, Outbound, Request, Response, Server, Status, Wait};

use crate::process::Process;

/// What makes this program the server.
pub(crate) const ARGUMENT: &str = "serve";

/// A service of raw octets with what floods need: `Unary` answers with the request, `Download` sends large messages
/// without end, `Upload` takes messages until there are no more.
struct Target;

impl Service for Target {
    fn name(&self) -> &str {
        "flood.Target"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![
            Handler::unary::<Raw, _, _, _, _>("Unary", async |request: Request<Bytes>| {
                Ok(Response::new(request.into_message()))
            }),
            Handler::server_streaming::<Raw, _, _, _, _>("Download", download),
            Handler::client_streaming::<Raw, _, _, _, _>("Upload", upload),
        ]
    }
}

async fn download(_: Request<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
    loop {
        outbound.send(Bytes::from_static(&[7; 64 * 1024])).await?;
    }
}

async fn upload(mut inbound: Inbound<Bytes>) -> Result<Response<Bytes>, Status> {
    while inbound.message().await?.is_some() {}
    Ok(Response::new(Bytes::new()))
}

/// Serves until the process is ended.
pub(crate) fn serve() -> ExitCode {
    let engine = Engine::builder().threads(1).build().expect("a loop of its own");
    match Server::builder().plaintext().engine(&engine).add_service(Target).bind("127.0.0.1:0") {
        Ok(server) => {
            println!("{}", server.local_address());
            server.stopped().wait();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A server that runs; it ends when this is dropped.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: String,
}

impl ServerProcess {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args([ARGUMENT, ""])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be run again");
        let mut address = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut address).expect("the server prints its address");
        }
        ServerProcess { child, address: address.trim().to_owned() }
    }

    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself, which the flood has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
