//! What can go wrong while generating code.

use std::fmt;
use std::io;
use std::path::Path;

/// Why code generation failed.
///
/// Its `Debug` form equals its `Display` form, because that is what cargo prints when a build script returns
/// it.
pub struct Error(Box<Cause>);

enum Cause {
    /// The `.proto` compiler's verdict, with file, line and column where it knows them.
    Proto(protox::Error),
    /// prost-build refused its configuration or input.
    Generator(io::Error),
    /// A file could not be read or written.
    File { action: &'static str, path: String, source: io::Error },
    /// Octets that should be a protobuf descriptor are none.
    Descriptor(prost::DecodeError),
    /// `OUT_DIR` is not set and no directory was given.
    NoOutDir,
    /// A parameter of the protoc plugin.
    Parameter(String),
}

impl Error {
    pub(crate) fn generator(error: io::Error) -> Self {
        Self(Box::new(Cause::Generator(error)))
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self(Box::new(Cause::File { action, path: path.display().to_string(), source }))
    }

    pub(crate) fn no_out_dir() -> Self {
        Self(Box::new(Cause::NoOutDir))
    }

    pub(crate) fn parameter(message: String) -> Self {
        Self(Box::new(Cause::Parameter(message)))
    }
}

impl From<protox::Error> for Error {
    fn from(error: protox::Error) -> Self {
        Self(Box::new(Cause::Proto(error)))
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Self(Box::new(Cause::Descriptor(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            // Its Debug form is "file:line:column: message"; its Display form lacks the place.
            Cause::Proto(error) => {
                write!(f, "{error:?}")?;
                if error.is_file_not_found() && error.file().is_none() {
                    f.write_str(": it must exist and lie under one of the include directories")?;
                }
                Ok(())
            }
            Cause::Generator(error) => write!(f, "can't generate code: {error}"),
            Cause::File { action, path, source } => write!(f, "can't {action} {path}: {source}"),
            Cause::Descriptor(error) => write!(f, "malformed protobuf descriptor: {error}"),
            Cause::NoOutDir => f.write_str(
                "no output directory: cargo sets OUT_DIR for a build script; anywhere else, name one with out_dir()",
            ),
            Cause::Parameter(message) => f.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Cause::Proto(error) => Some(error),
            Cause::Generator(error) | Cause::File { source: error, .. } => Some(error),
            Cause::Descriptor(error) => Some(error),
            Cause::NoOutDir | Cause::Parameter(_) => None,
        }
    }
}
