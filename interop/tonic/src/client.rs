//! The client of the gRPC interoperability tests on tonic.
//!
//! `tonic-interop-client --server_port=N --test_case=NAME[,NAME...]`; prints `ok NAME` for each that passes.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use testing::test_service_client::TestServiceClient;
use testing::unimplemented_service_client::UnimplementedServiceClient;
use testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest,
};

mod testing {
    tonic::include_proto!("grpc.testing");
}

type Checked = Result<(), Box<dyn Error>>;

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const REQUESTS: [i32; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];
const LARGE_REQUEST: i32 = 271_828;
const LARGE_RESPONSE: i32 = 314_159;

/// The value of `--name=value`.
fn flag(name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    std::env::args().find_map(|argument| argument.strip_prefix(&prefix).map(str::to_owned))
}

async fn connect() -> Result<Channel, Box<dyn Error>> {
    let use_tls = flag("use_tls").as_deref() == Some("true");
    let host = flag("server_host").unwrap_or_else(|| "localhost".to_owned());
    let port = flag("server_port").ok_or("--server_port=N is missing")?;
    let scheme = if use_tls { "https" } else { "http" };
    let mut endpoint =
        Endpoint::from_shared(format!("{scheme}://{host}:{port}"))?.timeout(Duration::from_secs(30));
    if use_tls {
        let roots = Certificate::from_pem(std::fs::read(flag("ca_file").unwrap_or_default())?);
        let name = flag("server_host_override").unwrap_or(host);
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(roots).domain_name(name))?;
    }
    Ok(endpoint.connect().await?)
}

fn payload(size: i32) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size as usize] })
}

fn large_request() -> SimpleRequest {
    SimpleRequest { response_size: LARGE_RESPONSE, payload: payload(LARGE_REQUEST), ..Default::default() }
}

fn ask(request: i32, response: i32) -> StreamingOutputCallRequest {
    let response_parameters = vec![ResponseParameters { size: response, ..Default::default() }];
    StreamingOutputCallRequest { response_parameters, payload: payload(request), ..Default::default() }
}

fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, found {found:?}").into())
    }
}

fn expect_status<T>(result: Result<T, Status>, code: Code, message: Option<&str>) -> Checked {
    let Err(status) = result else { return Err(format!("expected {code:?}, found OK").into()) };
    expect("status", status.code(), code)?;
    message.map_or(Ok(()), |message| expect("status message", status.message(), message))
}

struct Test {
    channel: Channel,
    client: TestServiceClient<Channel>,
}

impl Test {
    async fn run(&mut self, name: &str) -> Checked {
        match name {
            "empty_unary" => {
                self.client.empty_call(Empty {}).await?;
                Ok(())
            }
            "large_unary" => self.large_unary().await,
            "client_streaming" => self.client_streaming().await,
            "server_streaming" => self.server_streaming().await,
            "ping_pong" => self.ping_pong().await,
            "empty_stream" => {
                let mut responses = self.client.full_duplex_call(tokio_stream::empty()).await?.into_inner();
                expect("whether a message came", responses.message().await?.is_some(), false)
            }
            "custom_metadata" => self.custom_metadata().await,
            "status_code_and_message" => self.status_code_and_message().await,
            "special_status_message" => {
                self.status("\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n")
                    .await
            }
            "unimplemented_method" => {
                expect_status(self.client.unimplemented_call(Empty {}).await, Code::Unimplemented, None)
            }
            "unimplemented_service" => {
                let mut client = UnimplementedServiceClient::new(self.channel.clone());
                expect_status(client.unimplemented_call(Empty {}).await, Code::Unimplemented, None)
            }
            "timeout_on_sleeping_server" => self.timeout_on_sleeping_server().await,
            "concurrent_large_unary" => self.concurrent_large_unary().await,
            "client_compressed_unary" => self.client_compressed_unary().await,
            "server_compressed_unary" => self.server_compressed_unary().await,
            "rpc_soak" => {
                for _ in 0..10 {
                    self.large_unary().await?;
                }
                Ok(())
            }
            "channel_soak" => {
                for _ in 0..10 {
                    let channel = connect().await?;
                    Test { client: TestServiceClient::new(channel.clone()), channel }.large_unary().await?;
                }
                Ok(())
            }
            other => Err(format!("--test_case={other} is not known").into()),
        }
    }

    async fn large_unary(&mut self) -> Checked {
        let response = self.client.unary_call(large_request()).await?.into_inner();
        expect("payload", response.payload, payload(LARGE_RESPONSE))
    }

    async fn concurrent_large_unary(&mut self) -> Checked {
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let mut client = self.client.clone();
                tokio::spawn(async move { client.unary_call(large_request()).await })
            })
            .collect();
        for call in calls {
            expect("payload", call.await??.into_inner().payload, payload(LARGE_RESPONSE))?;
        }
        Ok(())
    }

    async fn client_streaming(&mut self) -> Checked {
        let requests =
            REQUESTS.map(|size| StreamingInputCallRequest { payload: payload(size), ..Default::default() });
        let response = self.client.streaming_input_call(tokio_stream::iter(requests)).await?.into_inner();
        expect("sizes together", response.aggregated_payload_size, REQUESTS.iter().sum())
    }

    async fn server_streaming(&mut self) -> Checked {
        let response_parameters =
            RESPONSES.map(|size| ResponseParameters { size, ..Default::default() }).to_vec();
        let request = StreamingOutputCallRequest { response_parameters, ..Default::default() };
        let mut responses = self.client.streaming_output_call(request).await?.into_inner();
        for size in RESPONSES {
            let response = responses.message().await?.ok_or("the stream ended early")?;
            expect("payload", response.payload, payload(size))?;
        }
        expect("whether more came", responses.message().await?.is_some(), false)
    }

    async fn ping_pong(&mut self) -> Checked {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(ask(REQUESTS[0], RESPONSES[0])).await?;
        let mut responses = self.client.full_duplex_call(ReceiverStream::new(receiver)).await?.into_inner();
        for index in 0..REQUESTS.len() {
            let response = responses.message().await?.ok_or("the stream ended early")?;
            expect("payload", response.payload, payload(RESPONSES[index]))?;
            if let Some(size) = REQUESTS.get(index + 1) {
                sender.send(ask(*size, RESPONSES[index + 1])).await?;
            }
        }
        drop(sender);
        expect("whether more came", responses.message().await?.is_some(), false)
    }

    async fn custom_metadata(&mut self) -> Checked {
        let mut request = Request::new(tokio_stream::once(ask(1, 1)));
        request.metadata_mut().insert(INITIAL, "test_initial_metadata_value".parse()?);
        request.metadata_mut().insert_bin(TRAILING, MetadataValue::from_bytes(b"\xab\xab\xab"));
        let response = self.client.full_duplex_call(request).await?;
        let header = response.metadata().get(INITIAL).map(|value| value.as_encoded_bytes().to_vec());
        expect("header", header.as_deref(), Some(&b"test_initial_metadata_value"[..]))?;
        let mut responses = response.into_inner();
        expect("whether a message came", responses.message().await?.is_some(), true)?;
        expect("whether more came", responses.message().await?.is_some(), false)?;
        let trailers = responses.trailers().await?.ok_or("no trailers")?;
        let trailer = trailers.get_bin(TRAILING).map(|value| value.to_bytes()).transpose()?;
        expect("trailer", trailer.as_deref(), Some(&b"\xab\xab\xab"[..]))
    }

    async fn status(&mut self, message: &str) -> Checked {
        let response_status = Some(EchoStatus { code: Code::Unknown as i32, message: message.to_owned() });
        let request = SimpleRequest { response_status, ..Default::default() };
        expect_status(self.client.unary_call(request).await, Code::Unknown, Some(message))
    }

    async fn status_code_and_message(&mut self) -> Checked {
        let message = "test status message";
        self.status(message).await?;
        let response_status = Some(EchoStatus { code: Code::Unknown as i32, message: message.to_owned() });
        let request = StreamingOutputCallRequest { response_status, ..Default::default() };
        let end = async {
            let mut responses = self.client.full_duplex_call(tokio_stream::once(request)).await?.into_inner();
            responses.message().await
        };
        expect_status(end.await, Code::Unknown, Some(message))
    }

    async fn timeout_on_sleeping_server(&mut self) -> Checked {
        let (sender, receiver) = mpsc::channel(1);
        let request = StreamingOutputCallRequest { payload: payload(27_182), ..Default::default() };
        sender.send(request).await?;
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.set_timeout(Duration::from_millis(1));
        let end = async { self.client.full_duplex_call(request).await?.into_inner().message().await };
        // tonic's own timer tells CANCELLED.
        let code = end.await.map(|_| ()).map_err(|status| status.code());
        drop(sender);
        expect(
            "whether the deadline ended it",
            matches!(code, Err(Code::DeadlineExceeded | Code::Cancelled)),
            true,
        )
    }

    async fn client_compressed_unary(&mut self) -> Checked {
        let wants = |value| SimpleRequest {
            expect_compressed: Some(testing::BoolValue { value }),
            ..large_request()
        };
        // The probe: it says that it is compressed and is not.
        expect_status(self.client.unary_call(wants(true)).await, Code::InvalidArgument, None)?;
        // A server answers by the algorithm of the request unless told otherwise.
        let mut compressing = self.client.clone().send_compressed(CompressionEncoding::Gzip);
        compressing = compressing.accept_compressed(CompressionEncoding::Gzip);
        let response = compressing.unary_call(wants(true)).await?.into_inner();
        expect("payload", response.payload, payload(LARGE_RESPONSE))?;
        let response = self.client.unary_call(wants(false)).await?.into_inner();
        expect("payload", response.payload, payload(LARGE_RESPONSE))
    }

    async fn server_compressed_unary(&mut self) -> Checked {
        let mut accepting = self.client.clone().accept_compressed(CompressionEncoding::Gzip);
        for value in [true, false] {
            let response_compressed = Some(testing::BoolValue { value });
            let request = SimpleRequest { response_compressed, ..large_request() };
            let response = accepting.unary_call(request).await?.into_inner();
            expect("payload", response.payload, payload(LARGE_RESPONSE))?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let channel = connect().await?;
    let mut test = Test { client: TestServiceClient::new(channel.clone()), channel };
    for name in flag("test_case").unwrap_or_else(|| "large_unary".to_owned()).split(',') {
        test.run(name).await.map_err(|error| format!("FAILED {name}: {error}"))?;
        println!("ok {name}");
    }
    Ok(())
}
