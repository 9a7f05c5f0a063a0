//! The server of the gRPC interoperability tests; it serves `helloworld.Greeter`, too.
//!
//! `interop-server --port=N`

use std::process::ExitCode;
use std::time::Duration;

use lariat::{Code, Inbound, Metadata, Outbound, Request, Response, Server, Status, Wait, sleep};
use lariat_interop::flags::Flags;
use lariat_interop::helloworld::{Greeter, GreeterServer, HelloReply, HelloRequest};
use lariat_interop::payload;
use lariat_interop::testing::{
    EchoStatus, Empty, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse, TestService,
    TestServiceServer,
};

const FLAGS: [(&str, &str); 1] = [("port", "10000")];

/// What comes back as a header and as a trailer.
const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

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
    let server = Server::builder()
        .plaintext()
        .add_service(TestServiceServer::new(Test { server_id }))
        .add_service(GreeterServer::new(Hello))
        .bind(&format!("127.0.0.1:{}", flags.get::<u16>("port")?))?;
    println!("listening on {}", server.local_address());
    server.stopped().wait();
    Ok(())
}

struct Test {
    server_id: String,
}

impl TestService for Test {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let (header, trailer) = echo(request.metadata())?;
        let asked = request.message();
        check_status(asked.response_status.as_ref())?;
        let payload = Some(payload::of_size(asked.response_size)?);
        let server_id = if asked.fill_server_id { self.server_id.clone() } else { String::new() };
        let mut response = Response::new(SimpleResponse { payload, server_id, ..Default::default() });
        *response.metadata_mut() = header;
        *response.trailers_mut() = trailer;
        Ok(response)
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
        outbound: Outbound<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        let request = request.into_message();
        send_all(&request.response_parameters, &outbound).await?;
        check_status(request.response_status.as_ref())
    }

    async fn streaming_input_call(
        &self,
        mut inbound: Inbound<StreamingInputCallRequest>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut size = 0;
        while let Some(request) = inbound.message().await? {
            size += payload::size(request.payload.as_ref());
        }
        let aggregated_payload_size =
            i32::try_from(size).map_err(|_| Status::out_of_range(format!("{size} octets cannot be told")))?;
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size }))
    }

    async fn full_duplex_call(
        &self,
        mut inbound: Inbound<StreamingOutputCallRequest>,
        outbound: Outbound<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        let (header, trailer) = echo(inbound.metadata())?;
        outbound.set_trailers(trailer);
        if !header.is_empty() {
            outbound.send_headers(header)?;
        }
        while let Some(request) = inbound.message().await? {
            check_status(request.response_status.as_ref())?;
            send_all(&request.response_parameters, &outbound).await?;
        }
        Ok(())
    }

    async fn half_duplex_call(
        &self,
        mut inbound: Inbound<StreamingOutputCallRequest>,
        outbound: Outbound<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        let mut asked = Vec::new();
        while let Some(request) = inbound.message().await? {
            asked.extend(request.response_parameters);
        }
        send_all(&asked, &outbound).await
    }
}

async fn send_all(
    asked: &[ResponseParameters],
    outbound: &Outbound<StreamingOutputCallResponse>,
) -> Result<(), Status> {
    for parameters in asked {
        if let Ok(pause @ 1..) = u64::try_from(parameters.interval_us) {
            sleep(Duration::from_micros(pause)).await;
        }
        let payload = Some(payload::of_size(parameters.size)?);
        outbound.send(StreamingOutputCallResponse { payload }).await?;
    }
    Ok(())
}

/// Ends the call if its request says how.
fn check_status(asked: Option<&EchoStatus>) -> Result<(), Status> {
    match asked {
        Some(EchoStatus { code, message }) if *code != 0 => {
            Err(Status::new(Code::from_i32(*code), message.as_str()))
        }
        _ => Ok(()),
    }
}

/// The header and the trailer that a request's metadata ask for.
fn echo(received: &Metadata) -> Result<(Metadata, Metadata), Status> {
    let refuse = |error: lariat::rpc::MetadataError| Status::internal(error.to_string());
    let (mut header, mut trailer) = (Metadata::new(), Metadata::new());
    for value in received.get_all(INITIAL) {
        header.append(INITIAL, value).map_err(refuse)?;
    }
    for value in received.get_all_bin(TRAILING) {
        trailer.append_bin(TRAILING, &value).map_err(refuse)?;
    }
    Ok((header, trailer))
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
