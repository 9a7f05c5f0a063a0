//! Generates the services from the examples' .proto files, as every peer here does.

fn main() -> Result<(), lariat_codegen::Error> {
    lariat_codegen::compile(&["helloworld.proto", "route_guide.proto"], &["../examples/proto"])
}
