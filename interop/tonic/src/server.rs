//! The server of the gRPC interoperability tests on tonic.
//!
//! `tonic-interop-server --port=N [--use_tls=true --tls_cert_file=F --tls_key_file=F]`

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

use testing::test_service_server::{TestService, TestServiceServer};
use testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

mod testing {
    tonic::include_proto!("grpc.testing");
}

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

type Responses = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

struct Test;

fn payload(size: i32) -> Result<Option<Payload>, Status> {
    let octets = usize::try_from(size).map_err(|_| Status::invalid_argument("a negative size"))?;
    Ok(Some(Payload { r#type: 0, body: vec![0; octets] }))
}

fn check_status(asked: Option<&EchoStatus>) -> Result<(), Status> {
    match asked {
        Some(EchoStatus { code, message }) if *code != 0 => Err(Status::new(Code::from_i32(*code), message)),
        _ => Ok(()),
    }
}

fn echo_header(from: &MetadataMap, to: &mut MetadataMap) {
    if let Some(value) = from.get(INITIAL) {
        to.insert(INITIAL, value.clone());
    }
}

/// Sends what is asked for; tonic ends a stream with trailers of its own choice only by a status.
async fn send_all(
    asked: &[ResponseParameters],
    sender: &mpsc::Sender<Result<StreamingOutputCallResponse, Status>>,
) -> Result<(), Status> {
    for parameters in asked {
        if let Ok(pause @ 1..) = u64::try_from(parameters.interval_us) {
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
        let response = StreamingOutputCallResponse { payload: payload(parameters.size)? };
        if sender.send(Ok(response)).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl TestService for Test {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let asked = request.get_ref();
        check_status(asked.response_status.as_ref())?;
        let mut response =
            Response::new(SimpleResponse { payload: payload(asked.response_size)?, ..Default::default() });
        echo_header(request.metadata(), response.metadata_mut());
        Ok(response)
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Responses>, Status> {
        let request = request.into_inner();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let end = send_all(&request.response_parameters, &sender).await;
            if let Err(status) = end.and_then(|()| check_status(request.response_status.as_ref())) {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut inbound = request.into_inner();
        let mut size = 0;
        while let Some(request) = inbound.message().await? {
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: size as i32 }))
    }

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let trailer = request.metadata().get_bin(TRAILING).cloned();
        let mut header = MetadataMap::new();
        echo_header(request.metadata(), &mut header);
        let mut inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let end = async {
                while let Some(request) = inbound.next().await {
                    let request = request?;
                    check_status(request.response_status.as_ref())?;
                    send_all(&request.response_parameters, &sender).await?;
                }
                Ok(())
            };
            match (end.await, trailer) {
                (Err(status), _) => drop(sender.send(Err(status)).await),
                (Ok(()), Some(value)) => {
                    let mut ok = Status::new(Code::Ok, "");
                    ok.metadata_mut().insert_bin(TRAILING, value);
                    drop(sender.send(Err(ok)).await);
                }
                (Ok(()), None) => {}
            }
        });
        let mut response: Response<Responses> = Response::new(Box::pin(ReceiverStream::new(receiver)));
        *response.metadata_mut() = header;
        Ok(response)
    }

    async fn half_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let mut inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(4);
        let mut asked = Vec::new();
        while let Some(request) = inbound.message().await? {
            asked.extend(request.response_parameters);
        }
        tokio::spawn(async move { send_all(&asked, &sender).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// The value of `--name=value`.
fn flag(name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    std::env::args().find_map(|argument| argument.strip_prefix(&prefix).map(str::to_owned))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = flag("port").ok_or("--port=N is missing")?.parse()?;
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], port).into())?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let service = TestServiceServer::new(Test)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let mut server = Server::builder();
    if flag("use_tls").as_deref() == Some("true") {
        let read = |name| std::fs::read(flag(name).unwrap_or_default());
        let identity = Identity::from_pem(read("tls_cert_file")?, read("tls_key_file")?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    println!("listening on {address}");
    server.add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}
