//! What a case says of what it found.

use std::error::Error;
use std::fmt::Debug;

use lariat::{Code, Status};
use lariat_interop::payload;
use lariat_interop::testing::Payload;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

pub(crate) fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}").into())
}

/// The payload has this size and holds zeros.
pub(crate) fn expect_zeros(payload: Option<&Payload>, size: usize) -> Checked {
    expect("size of the payload", payload::size(payload), size)?;
    let is_zero = payload.is_none_or(|payload| payload.body.iter().all(|octet| *octet == 0));
    expect("whether the payload holds zeros alone", is_zero, true)
}

/// The call ended with this code and, if given, this message.
pub(crate) fn expect_status<T>(result: Result<T, Status>, code: Code, message: Option<&str>) -> Checked {
    let Err(status) = result else { return Err(format!("expected {code:?}, found OK").into()) };
    if status.code() != code {
        return Err(format!("expected {code:?}, found {status}").into());
    }
    match message {
        Some(message) => expect("status message", status.message(), message),
        None => Ok(()),
    }
}
