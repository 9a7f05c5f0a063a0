//! The protoc plugin: reads a `CodeGeneratorRequest` from standard input, writes a `CodeGeneratorResponse`.

use std::error::Error;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::process::ExitCode;

const USAGE: &str = "\
protoc-gen-lariat is a plugin: protoc or buf starts it. With it in the PATH, run

    protoc --lariat_out=DIR [--lariat_opt=OPTION[=VALUE]] -I INCLUDE FILE.proto

The documentation of the crate lariat-codegen lists the options.
";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--version") => println!("protoc-gen-lariat {}", env!("CARGO_PKG_VERSION")),
        Some("--help" | "-h") => print!("{USAGE}"),
        Some(argument) => {
            eprintln!("protoc-gen-lariat: unknown argument {argument:?}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
        None if stdin().is_terminal() => print!("{USAGE}"),
        None => {
            if let Err(error) = answer() {
                eprintln!("protoc-gen-lariat: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn answer() -> Result<(), Box<dyn Error>> {
    let mut request = Vec::new();
    stdin().read_to_end(&mut request)?;
    stdout().write_all(&lariat_codegen::plugin::respond(&request)?)?;
    Ok(())
}
