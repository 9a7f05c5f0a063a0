//! Generates clients, servers and messages from the files in `proto`.

fn main() -> Result<(), lariat_codegen::Error> {
    lariat_codegen::compile(&["proto/helloworld.proto", "proto/route_guide.proto"], &["proto"])
}
