//! Generates the services from .proto files, as every peer here does: those of the examples, and the test service.

fn main() -> Result<(), lariat_codegen::Error> {
    lariat_codegen::compile(&["helloworld.proto", "route_guide.proto"], &["../examples/proto"])?;
    // Some methods are there to be unimplemented.
    lariat_codegen::configure().generate_default_stubs(true).compile(&["test.proto"], &["proto"])
}
