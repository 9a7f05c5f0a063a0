//! A service on loopback with protobuf messages, and its client.

use bytes::Bytes;
use lariat::client::Method;
use lariat::codec::Prost;
use lariat::server::{Handler, Service};
use lariat::{Channel, Engine, Inbound, Outbound, Request, Response, Server, Status, UnaryCall};

/// `bench.Echo`: answers with a greeting, a stream of chunks, or what it gets.
///
/// Its messages are those of protobuf's wrappers: a string (`google.protobuf.StringValue`) and octets
/// (`google.protobuf.BytesValue`).
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Echo {
    /// Starts a server of this service on a free loopback port.
    ///
    /// # Errors
    ///
    /// When the system has no such port.
    pub fn serve(engine: &Engine) -> Result<Server, lariat::Error> {
        Server::builder().plaintext().engine(engine).add_service(Echo).bind("127.0.0.1:0")
    }
}

async fn say_hello(request: Request<String>) -> Result<Response<String>, Status> {
    Ok(Response::new(format!("Hello {}", request.message())))
}

/// Sends as many chunks as the first four octets of the request say, each as large as the request.
async fn download(request: Request<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
    let chunk = request.into_message();
    let count =
        chunk.first_chunk().ok_or_else(|| Status::invalid_argument("a count of four octets is missing"))?;
    for _ in 0..u32::from_be_bytes(*count) {
        outbound.send(chunk.clone()).await?;
    }
    Ok(())
}

async fn echo(mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
    while let Some(chunk) = inbound.message().await? {
        outbound.send(chunk).await?;
    }
    Ok(())
}

impl Service for Echo {
    fn name(&self) -> &str {
        "bench.Echo"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![
            Handler::unary::<Prost, _, _, _, _>("SayHello", say_hello),
            Handler::server_streaming::<Prost, _, _, _, _>("Download", download),
            Handler::bidi_streaming::<Prost, _, _, _, _>("Echo", echo),
        ]
    }
}

/// The client of [`Echo`].
#[derive(Clone, Debug)]
pub struct EchoClient {
    channel: Channel,
    say_hello: Method,
    download: Method,
    echo: Method,
}

impl EchoClient {
    /// A client of this server.
    ///
    /// # Errors
    ///
    /// When the server's address makes no target.
    pub fn connect(server: &Server, engine: &Engine) -> Result<EchoClient, lariat::Error> {
        let target = server.local_address().to_string();
        let channel = Channel::builder(target).plaintext().engine(engine).build()?;
        Ok(EchoClient {
            say_hello: channel.method("/bench.Echo/SayHello"),
            download: channel.method("/bench.Echo/Download"),
            echo: channel.method("/bench.Echo/Echo"),
            channel,
        })
    }

    /// Greets a name of ten octets.
    pub fn say_hello(&self) -> UnaryCall<String> {
        self.channel.unary::<Prost, _, _>(&self.say_hello, Request::new("0123456789".to_owned()))
    }

    /// Asks for `count` chunks of `size` octets, which are four at least.
    pub fn download(&self, count: u32, size: usize) -> Inbound<Bytes> {
        let mut chunk = count.to_be_bytes().to_vec();
        chunk.resize(size.max(chunk.len()), 7);
        self.channel.server_streaming::<Prost, _, _>(&self.download, Request::new(Bytes::from(chunk)))
    }

    /// Opens a stream each way.
    pub fn echo(&self) -> (Outbound<Bytes>, Inbound<Bytes>) {
        self.channel.bidi_streaming::<Prost, _, _>(&self.echo, Request::new(()))
    }
}
