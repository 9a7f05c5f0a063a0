//! `TestService` as the interoperability tests want it served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lariat::services::{LoadRecorder, LoadReport};
use lariat::{Code, Inbound, Metadata, Outbound, Request, Response, Status, sleep};

use crate::payload;
use crate::testing::{
    BoolValue, EchoStatus, Empty, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse, TestOrcaReport, TestService,
};

/// What comes back as a header and as a trailer.
const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// What the tokens of the tests begin with; a name follows.
pub const TOKEN_PREFIX: &str = "interop-token-of-";
/// What those tokens are good for.
pub const TOKEN_SCOPE: &str = "interop";

/// The service.
#[derive(Debug)]
pub struct Test {
    server_id: String,
    running: Arc<AtomicUsize>,
    load: LoadRecorder,
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
        Test { server_id, running: Arc::default(), load: LoadRecorder::new() }
    }

    /// What clients have told the service to report of its load, out of band.
    pub fn load(&self) -> &LoadRecorder {
        &self.load
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
        check_compressed(asked.expect_compressed.as_ref(), request.was_compressed())?;
        check_status(asked.response_status.as_ref())?;
        let payload = Some(payload::of_size(asked.response_size)?);
        let server_id = if asked.fill_server_id { self.server_id.clone() } else { String::new() };
        let username = if asked.fill_username { caller(request.metadata())? } else { String::new() };
        let oauth_scope = if asked.fill_oauth_scope { TOKEN_SCOPE.to_owned() } else { String::new() };
        let answer = SimpleResponse { payload, server_id, username, oauth_scope, ..Default::default() };
        let mut response = match &asked.response_compressed {
            None => Response::new(answer),
            Some(BoolValue { value: true }) => Response::new(answer).with_compression("gzip"),
            Some(BoolValue { value: false }) => Response::new(answer).with_compression("identity"),
        };
        *response.metadata_mut() = header;
        *response.trailers_mut() = trailer;
        if let Some(asked) = &asked.orca_per_query_report {
            load_report(asked).add_to_trailers(response.trailers_mut());
        }
        Ok(response)
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
        mut outbound: Outbound<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        let _running = self.begin();
        let request = request.into_message();
        if request.response_parameters.iter().any(is_to_be_compressed) {
            outbound.set_compression("gzip")?;
        }
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
            check_compressed(request.expect_compressed.as_ref(), inbound.was_compressed())?;
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
            if let Some(asked) = &request.orca_oob_report {
                self.load.update(|report| *report = load_report(asked));
            }
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
        let response = StreamingOutputCallResponse { payload: Some(payload::of_size(parameters.size)?) };
        match is_to_be_compressed(parameters) {
            true => outbound.send(response).await?,
            false => outbound.send_uncompressed(response).await?,
        }
    }
    Ok(())
}

fn is_to_be_compressed(parameters: &ResponseParameters) -> bool {
    parameters.compressed.is_some_and(|compressed| compressed.value)
}

/// Whether a message came as its sender says it did.
fn check_compressed(expected: Option<&BoolValue>, found: bool) -> Result<(), Status> {
    match expected {
        Some(expected) if expected.value != found => Err(Status::invalid_argument(format!(
            "the message says that it is {}compressed, and is not so",
            if expected.value { "" } else { "not " }
        ))),
        _ => Ok(()),
    }
}

/// Who calls, by the token: one that this server takes for genuine begins with [`TOKEN_PREFIX`].
fn caller(metadata: &Metadata) -> Result<String, Status> {
    let token = metadata.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let name = token.and_then(|token| token.strip_prefix(TOKEN_PREFIX));
    name.map(str::to_owned).ok_or_else(|| Status::unauthenticated("no token that this server knows"))
}

/// The load that a client wants reported.
fn load_report(asked: &TestOrcaReport) -> LoadReport {
    LoadReport {
        cpu_utilization: asked.cpu_utilization,
        mem_utilization: asked.memory_utilization,
        request_cost: asked.request_cost.clone(),
        utilization: asked.utilization.clone(),
        ..LoadReport::default()
    }
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
    let refuse = |error: lariat::metadata::MetadataError| Status::internal(error.to_string());
    let (mut header, mut trailer) = (Metadata::new(), Metadata::new());
    for value in received.get_all(INITIAL) {
        header.append(INITIAL, value).map_err(refuse)?;
    }
    for value in received.get_all_bin(TRAILING) {
        trailer.append_bin(TRAILING, &value).map_err(refuse)?;
    }
    Ok((header, trailer))
}
