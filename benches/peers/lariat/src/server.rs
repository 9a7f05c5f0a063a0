//! The measured service on Lariat.
//!
//! `lariat-server --port P [--threads N] [--spin MICROSECONDS] [--methods N]`: N event loops, one by default, that look
//! for events so long before they sleep, by default not at all; and so many methods more that nobody calls.

use std::error::Error;
use std::time::Duration;

use lariat::codec::Prost;
use lariat::server::{Handler, Service};
use lariat::{Engine, Inbound, Outbound, Request, Response, Server, Status, Wait};

use helloworld::{Chunk, DownloadRequest, Greeter, GreeterServer, HelloReply, HelloRequest};

mod helloworld {
    lariat::include_proto!("helloworld");
}

struct Measured;

impl Greeter for Measured {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.message().name) }))
    }

    async fn download(
        &self,
        request: Request<DownloadRequest>,
        outbound: Outbound<Chunk>,
    ) -> Result<(), Status> {
        let DownloadRequest { count, size } = request.into_message();
        let chunk = Chunk { payload: vec![b'x'; size as usize].into() };
        for _ in 0..count {
            outbound.send(chunk.clone()).await?;
        }
        Ok(())
    }

    async fn echo(&self, mut inbound: Inbound<Chunk>, outbound: Outbound<Chunk>) -> Result<(), Status> {
        while let Some(chunk) = inbound.message().await? {
            outbound.send(chunk).await?;
        }
        Ok(())
    }
}

/// Methods that nobody calls.
struct Unused(usize);

impl Service for Unused {
    fn name(&self) -> &str {
        "helloworld.Unused"
    }

    fn methods(&self) -> Vec<Handler> {
        let refuse =
            |_: Request<HelloRequest>| async { Err::<Response<HelloReply>, _>(Status::internal("unused")) };
        (0..self.0).map(|n| Handler::unary::<Prost, _, _, _, _>(format!("Unused{n}"), refuse)).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let usage = "usage: lariat-server --port P [--threads N] [--spin MICROSECONDS] [--methods N]";
    let port = option("--port").ok_or(usage)?;
    let spin = option("--spin").map_or(Ok(0), |spin| spin.parse())?;
    let threads = option("--threads").map_or(Ok(1), |threads| threads.parse())?;
    let methods = option("--methods").map_or(Ok(0), |methods| methods.parse())?;
    let server = Server::builder()
        .plaintext()
        .engine(&Engine::builder().threads(threads).busy_poll(Duration::from_micros(spin)).build()?)
        .add_service(GreeterServer::new(Measured))
        .add_service(Unused(methods))
        .bind(&format!("127.0.0.1:{port}"))?;
    println!("listening on {}", server.local_address());
    server.stopped().wait();
    Ok(())
}
