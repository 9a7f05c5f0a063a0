//! Generates the measured service.

fn main() -> Result<(), lariat_codegen::Error> {
    // Chunks are taken out of the receive buffer without a copy.
    lariat_codegen::configure().bytes(".").compile(&["helloworld.proto"], &["../proto"])
}
