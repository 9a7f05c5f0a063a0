//! `TestService` as the interoperability tests want it served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lariat::{Code, Inbound, Metadata, Outbound, Request, Response, Status, sleep};

use crate::payload;
use crate::testing::{
    EchoStatus, Empty, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse, TestService,
};

/// What comes back as a header and as a trailer.
const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// The service.
#[derive(Debug)]
pub struct Test {
    server_id: String,
    running: Arc<AtomicUsize>,
}

/// A handler at work, counted until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Test {
    /// A service that calls its server by this name.
    pub fn new(server_id: String) -> Test {
        Test { server_id, running: Arc::default() }
    }

    /// How many handlers run, now and later.
    pub fn running(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.running)
    }

    fn begin(&self) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }
}

impl TestService for Test {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        let _running = self.begin();
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let _running = self.begin();
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
        let _running = self.begin();
        let request = request.into_message();
        send_all(&request.response_parameters, &outbound).await?;
        check_status(request.response_status.as_ref())
    }

    async fn streaming_input_call(
        &self,
        mut inbound: Inbound<StreamingInputCallRequest>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let _running = self.begin();
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
        let _running = self.begin();
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
        let _running = self.begin();
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
