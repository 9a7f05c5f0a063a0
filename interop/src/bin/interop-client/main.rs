//! The client of the gRPC interoperability tests.
//!
//! `interop-client --server_port=N --test_case=NAME`; several names, separated by commas, run one after the other.
//! Prints `ok NAME` for each that passes, and ends with status 1 at the first that does not.

mod cancellation;
mod check;
mod compression;
mod credentials;
mod http2;
mod metadata;
mod orca;
mod soak;
mod status;
mod streaming;
mod unary;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lariat::client::ChannelBuilder;
use lariat::credentials::{ClientTls, RootCertificates};
use lariat::{Channel, Request, Wait};
use lariat_interop::flags::Flags;
use lariat_interop::testing::{TestServiceClient, UnimplementedServiceClient};

use check::Checked;

const FLAGS: [(&str, &str); 16] = [
    ("server_host", "localhost"),
    ("server_port", "10000"),
    ("server_host_override", ""),
    ("test_case", "large_unary"),
    ("use_tls", "false"),
    ("ca_file", ""),
    ("additional_metadata", ""),
    ("service_config_json", ""),
    ("soak_iterations", "10"),
    ("soak_max_failures", "0"),
    ("soak_per_iteration_max_acceptable_latency_ms", "1000"),
    ("soak_overall_timeout_seconds", "10"),
    ("soak_min_time_ms_between_rpcs", "0"),
    ("soak_request_size", "271828"),
    ("soak_response_size", "314159"),
    ("soak_num_threads", "1"),
];

/// Bounds each call, so that a server that never answers cannot hold up the run.
const CALL_TIME: Duration = Duration::from_secs(30);

/// A test case by its name.
type Case = (&'static str, fn(&Test) -> Checked);

const CASES: &[Case] = &[
    ("empty_unary", unary::empty_unary),
    ("large_unary", unary::large_unary),
    ("concurrent_large_unary", unary::concurrent_large_unary),
    ("pick_first_unary", unary::pick_first_unary),
    ("long_lived_channel", unary::long_lived_channel),
    ("client_streaming", streaming::client_streaming),
    ("server_streaming", streaming::server_streaming),
    ("ping_pong", streaming::ping_pong),
    ("empty_stream", streaming::empty_stream),
    ("client_compressed_unary", compression::client_compressed_unary),
    ("server_compressed_unary", compression::server_compressed_unary),
    ("client_compressed_streaming", compression::client_compressed_streaming),
    ("server_compressed_streaming", compression::server_compressed_streaming),
    ("per_rpc_creds", credentials::per_rpc_creds),
    ("custom_metadata", metadata::custom_metadata),
    ("status_code_and_message", status::status_code_and_message),
    ("special_status_message", status::special_status_message),
    ("unimplemented_method", status::unimplemented_method),
    ("unimplemented_service", status::unimplemented_service),
    ("cancel_after_begin", cancellation::cancel_after_begin),
    ("cancel_after_first_response", cancellation::cancel_after_first_response),
    ("timeout_on_sleeping_server", cancellation::timeout_on_sleeping_server),
    ("orca_per_rpc", orca::orca_per_rpc),
    ("orca_oob", orca::orca_oob),
    ("rpc_soak", soak::rpc_soak),
    ("channel_soak", soak::channel_soak),
    ("goaway", http2::goaway),
    ("rst_after_header", http2::rst_after_header),
    ("rst_during_data", http2::rst_during_data),
    ("rst_after_data", http2::rst_after_data),
    ("ping", http2::ping),
    ("max_streams", http2::max_streams),
    ("data_frame_padding", http2::data_frame_padding),
    ("no_df_padding_sanity_test", http2::data_frame_padding),
];

/// The server under test, and how to reach it.
struct Test {
    flags: Flags,
    channel: Channel,
    client: TestServiceClient,
    /// What the policy of the load reports was told, if the service config chooses that policy.
    reports: Arc<orca::Reports>,
    unimplemented: UnimplementedServiceClient,
}

impl Test {
    fn new(flags: Flags) -> Result<Test, Box<dyn Error>> {
        let reports = Arc::new(orca::Reports::default());
        let channel = builder(&flags)?.balancer(orca::BackendMetrics(Arc::clone(&reports))).build()?;
        let client = TestServiceClient::new(channel.clone());
        let unimplemented = UnimplementedServiceClient::new(channel.clone());
        Ok(Test { flags, channel, client, reports, unimplemented })
    }

    /// A request whose call ends in a reasonable time, with the metadata that the flags add.
    fn request<T>(&self, message: T) -> Result<Request<T>, Box<dyn Error>> {
        let mut request = Request::new(message).with_timeout(CALL_TIME);
        let additional = self.flags.text("additional_metadata");
        for pair in additional.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once(':')
                .ok_or_else(|| format!("--additional_metadata: {pair} is not KEY:VALUE"))?;
            request.metadata_mut().append(key, value)?;
        }
        Ok(request)
    }
}

fn connect(flags: &Flags) -> Result<Channel, Box<dyn Error>> {
    Ok(builder(flags)?.build()?)
}

fn builder(flags: &Flags) -> Result<ChannelBuilder, Box<dyn Error>> {
    let target = format!("dns:///{}:{}", flags.text("server_host"), flags.get::<u16>("server_port")?);
    let builder = Channel::builder(target);
    let name = flags.text("server_host_override");
    let builder = match flags.get("use_tls")? {
        false if name.is_empty() => builder.plaintext(),
        false => builder.plaintext().authority(name),
        true => {
            let mut tls = ClientTls::new();
            if !flags.text("ca_file").is_empty() {
                tls = tls.roots(RootCertificates::from_pem_file(flags.text("ca_file"))?);
            }
            if !name.is_empty() {
                tls = tls.server_name(name);
            }
            builder.tls(tls)
        }
    };
    let service_config = flags.text("service_config_json");
    match service_config.is_empty() {
        true => Ok(builder),
        false => Ok(builder.default_service_config(service_config)),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let test = Test::new(Flags::from_args(&FLAGS)?)?;
    for name in test.flags.text("test_case").split(',') {
        let Some((_, case)) = CASES.iter().find(|(other, _)| *other == name) else {
            let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
            return Err(format!("--test_case={name} is not known; there are {}", names.join(", ")).into());
        };
        case(&test).map_err(|error| format!("FAILED {name}: {error}"))?;
        println!("ok {name}");
    }
    test.channel.close();
    // What the close has to tell the server leaves before the process does.
    while test.channel.state() != lariat::client::ConnectivityState::Shutdown {
        test.channel.state_change(test.channel.state()).wait();
    }
    Ok(())
}
