//! Generates the service from the .proto file, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["helloworld.proto"], ["../proto"])?;
    // Chunks are taken out of the receive buffer without a copy.
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../proto");
    Ok(())
}
