//! Generates the measured service.

fn main() -> Result<(), lariat_codegen::Error> {
    // Chunks are taken out of the receive buffer without a copy.
    let client = std::env::var_os("CARGO_FEATURE_CLIENT").is_some();
    lariat_codegen::configure().build_client(client).bytes(".").compile(&["helloworld.proto"], &["../proto"])
}
