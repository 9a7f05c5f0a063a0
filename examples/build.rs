//! Generates clients, servers and messages from the files in `proto`.

fn main() -> Result<(), lariat_codegen::Error> {
    lariat_codegen::compile(
        &["proto/helloworld.proto", "proto/route_guide.proto", "proto/error_details.proto"],
        &["proto"],
    )?;
    // Most examples serve one or two methods of the four.
    lariat_codegen::configure().generate_default_stubs(true).compile(&["proto/echo.proto"], &["proto"])
}
