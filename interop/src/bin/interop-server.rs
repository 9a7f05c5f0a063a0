//! The server of the gRPC interoperability tests; it serves `helloworld.Greeter`, too.
//!
//! `interop-server --port=N [--use_tls=true --tls_cert_file=F --tls_key_file=F]`

use std::process::ExitCode;
use std::time::Duration;

use lariat::credentials::{Identity, ServerTls};
use lariat::services::LoadReports;
use lariat::{Inbound, Outbound, Request, Response, Server, Status, Wait};
use lariat_interop::flags::Flags;
use lariat_interop::helloworld::{Greeter, GreeterServer, HelloReply, HelloRequest};
use lariat_interop::test_service::Test;
use lariat_interop::testing::TestServiceServer;

const FLAGS: [(&str, &str); 4] =
    [("port", "10000"), ("use_tls", "false"), ("tls_cert_file", ""), ("tls_key_file", "")];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::from_args(&FLAGS)?;
    let server_id = format!("lariat-{}", std::process::id());
    let builder = match flags.get("use_tls")? {
        false => Server::builder().plaintext(),
        true => {
            let (chain, key) = (flags.text("tls_cert_file"), flags.text("tls_key_file"));
            Server::builder().tls(ServerTls::new(Identity::from_pem_files(chain, key)?))
        }
    };
    let test = Test::new(server_id);
    // The tests ask for a report each second.
    let load = LoadReports::new(test.load()).min_interval(Duration::from_secs(1));
    let server = builder
        .add_service(TestServiceServer::new(test))
        .add_service(load)
        .add_service(GreeterServer::new(Hello))
        .bind(&format!("127.0.0.1:{}", flags.get::<u16>("port")?))?;
    println!("listening on {}", server.local_address());
    server.stopped().wait();
    Ok(())
}

struct Hello;

impl Greeter for Hello {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(greet(request.message())))
    }

    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        for _ in 0..3 {
            outbound.send(greet(request.message())).await?;
        }
        Ok(())
    }

    async fn say_hello_bidi_stream(
        &self,
        mut inbound: Inbound<HelloRequest>,
        outbound: Outbound<HelloReply>,
    ) -> Result<(), Status> {
        while let Some(request) = inbound.message().await? {
            outbound.send(greet(&request)).await?;
        }
        Ok(())
    }
}

fn greet(request: &HelloRequest) -> HelloReply {
    HelloReply { message: format!("Hello {}", request.name) }
}
