//! Generates Lariat clients and servers from `.proto` files.
//!
//! The compiler for `.proto` files is written in Rust, so users install no `protoc`. A `build.rs` needs one
//! line:
//!
//! ```no_run
//! fn main() -> Result<(), lariat_codegen::Error> {
//!     lariat_codegen::compile(&["proto/helloworld.proto"], &["proto"])
//! }
//! ```
//!
//! and the crate includes what was generated, one module per protobuf package:
//!
//! ```ignore
//! pub mod helloworld {
//!     lariat::include_proto!("helloworld");
//! }
//! ```
//!
//! The module holds the messages (plain structs that implement `prost::Message`) and, for a service
//! `Greeter`:
//!
//! | item | what it is |
//! |---|---|
//! | `GreeterClient` | the client: one method per rpc, over a `lariat::Channel` |
//! | `trait Greeter` | what a server implements: one async method per rpc |
//! | `GreeterServer` | turns an implementation of the trait into a service for `lariat::Server::builder().add_service(..)` |
//! | `FILE_DESCRIPTOR_SET` | the descriptors of the package and all it imports, for server reflection |
//!
//! # Names
//!
//! Rpc names become snake case, message and service names upper camel case. A name that is already taken gets
//! a trailing underscore: the rpc `New` is called `new_`, because a client's constructor is `new`; the client
//! of the service `Greeter` is `GreeterClient_` when the package has a message `GreeterClient`. A file with
//! no package becomes the module `_`.
//!
//! # Comments
//!
//! Comments in the `.proto` file become doc comments. Code blocks in them are marked as text, so that they
//! never run as doctests, and what rustdoc would read as a link or as HTML is escaped. Items without a
//! comment get a sentence that says what they are, so that generated code builds under
//! `#![deny(missing_docs)]`.
//!
//! # Deprecation
//!
//! What `option deprecated = true` marks carries `#[deprecated]` where it is called: the client and its
//! methods, fields, enum values. Server traits only say so in their documentation, since whoever still serves
//! a deprecated rpc does right.
//!
//! # With protoc or buf
//!
//! The binary `protoc-gen-lariat` of this crate does the same as a plugin of `protoc`; see [`plugin`].

mod builder;
mod comments;
mod descriptor_set;
mod docs;
mod error;
mod names;
pub mod plugin;
mod schema;
mod service;

use std::path::Path;

pub use builder::Builder;
pub use error::Error;

/// Compiles `.proto` files in a `build.rs`, with the default options.
///
/// `protos` are the files to compile, `includes` the directories in which they and their imports are looked
/// up, in that order. The result is written to the directory that cargo names in `OUT_DIR`, one file per
/// protobuf package, for `lariat::include_proto!`. Cargo is told to run the build script again when one of
/// the files or imports changes.
///
/// # Errors
///
/// A mistake in a `.proto` file is reported with file, line and column. Other errors are a file that is in
/// none of the include directories, and an output directory that can't be written.
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    configure().compile(protos, includes)
}

/// The options of code generation, to be changed before [`Builder::compile`].
///
/// ```no_run
/// fn main() -> Result<(), lariat_codegen::Error> {
///     lariat_codegen::configure()
///         .build_client(false)
///         .bytes(".storage.v1.Block.content")
///         .compile(&["proto/storage.proto"], &["proto"])
/// }
/// ```
pub fn configure() -> Builder {
    Builder::new()
}
