//! What can go wrong before any call is made: a channel or server that cannot be built or started.

use std::fmt;
use std::io;

use crate::net::{Address, AddressError};

/// Why a channel or a server could not be built or started.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Neither plaintext nor another kind of transport security was chosen.
    SecurityNotChosen {
        /// What was being built.
        what: &'static str,
    },
    /// The text is no address to listen on.
    Address(AddressError),
    /// The system refused to listen there.
    Bind {
        /// Where.
        address: Address,
        /// What the system said.
        error: io::Error,
    },
    /// The text is no target of a channel.
    Target(TargetError),
    /// Two services, or two methods of a service, have the same name.
    DuplicateMethod {
        /// The path that both would answer.
        path: String,
    },
    /// A certificate, a key or another part of credentials cannot be used.
    Credentials(CredentialsError),
    /// An option has a value that cannot work.
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with the value, and what would be right.
        why: String,
    },
    /// The event loops could not be started.
    Engine(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::SecurityNotChosen { what } => write!(
                f,
                "the {what}'s transport security was not chosen: call tls(..), or plaintext() for connections \
                 without it"
            ),
            Error::Address(error) => error.fmt(f),
            Error::Bind { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Error::Target(error) => error.fmt(f),
            Error::DuplicateMethod { path } => {
                write!(f, "the method {path} was added twice; each service can be added once")
            }
            Error::Credentials(error) => error.fmt(f),
            Error::Option { option, why } => write!(f, "{option}: {why}"),
            Error::Engine(error) => write!(f, "the event loops could not be started: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind { error, .. } | Error::Engine(error) => Some(error),
            Error::Address(error) => Some(error),
            Error::Target(error) => Some(error),
            Error::Credentials(error) => Some(error),
            _ => None,
        }
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Error::Address(error)
    }
}

impl From<CredentialsError> for Error {
    fn from(error: CredentialsError) -> Self {
        Error::Credentials(error)
    }
}

/// Credentials that cannot be used: which part of them, why it cannot, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsError {
    what: String,
    why: String,
    advice: String,
}

impl CredentialsError {
    pub(crate) fn new(what: impl fmt::Display, why: impl Into<String>, advice: impl Into<String>) -> Self {
        CredentialsError { what: what.to_string(), why: why.into(), advice: advice.into() }
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid credentials: {}: {}; {}", self.what, self.why, self.advice)
    }
}

impl std::error::Error for CredentialsError {}

/// A target that cannot be used: what was given, why it cannot, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    target: String,
    why: String,
    advice: String,
}

impl TargetError {
    /// An error about `target`: why it cannot be used, and what to write instead.
    pub fn new(target: impl fmt::Display, why: impl Into<String>, advice: impl Into<String>) -> Self {
        TargetError { target: target.to_string(), why: why.into(), advice: advice.into() }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid target {:?}: {}; {}", self.target, self.why, self.advice)
    }
}

impl std::error::Error for TargetError {}
