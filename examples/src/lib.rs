//! What the examples share: their command line, services and certificates. Each example is one program with the same
//! three ways to run it:
//!
//! ```text
//! helloworld                                  the server and the client in one process
//! helloworld server --addr 127.0.0.1:50051    the server alone
//! helloworld client --addr 127.0.0.1:50051    the client alone
//! ```

pub mod certificates;
mod command_line;
mod named_echo;
mod pair;

pub use command_line::{Example, Flag, Options, Role, UsageError};
pub use named_echo::NamedEcho;

/// The service of most examples, as `build.rs` generated it from `proto/echo.proto`.
pub mod echo {
    lariat::include_proto!("grpc.examples.echo");
}

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
