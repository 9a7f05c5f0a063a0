//! The measured service on tonic.
//!
//! `tonic-server --port P [--threads N]`: on tokio's current-thread runtime, or with N on the multi-thread one.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use helloworld::greeter_server::{Greeter, GreeterServer};
use helloworld::{Chunk, DownloadRequest, HelloReply, HelloRequest};

#[allow(missing_docs)]
mod helloworld {
    tonic::include_proto!("helloworld");
}

struct Measured;

#[tonic::async_trait]
impl Greeter for Measured {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let message = format!("Hello {}", request.into_inner().name);
        Ok(Response::new(HelloReply { message }))
    }

    type DownloadStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let DownloadRequest { count, size } = request.into_inner();
        let chunk = Chunk { payload: vec![b'x'; size as usize].into() };
        Ok(Response::new(Box::pin(tokio_stream::iter((0..count).map(move |_| Ok(chunk.clone()))))))
    }

    type EchoStream = Streaming<Chunk>;

    async fn echo(&self, request: Request<Streaming<Chunk>>) -> Result<Response<Self::EchoStream>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

async fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], port)))?.with_nodelay(Some(true));
    println!("listening on {}", incoming.local_addr()?);
    Server::builder().add_service(GreeterServer::new(Measured)).serve_with_incoming(incoming).await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let port = option("--port").ok_or("usage: tonic-server --port P [--threads N]")?.parse()?;
    let runtime = match option("--threads") {
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        Some(threads) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.parse()?)
            .enable_all()
            .build()?,
    };
    runtime.block_on(serve(port))
}
