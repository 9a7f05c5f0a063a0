//! `Code`: the seventeen status codes of gRPC (`doc/statuscodes.md`).

use std::fmt;

/// The outcome of a call, as `grpc-status` carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// The call succeeded.
    Ok = 0,
    /// The call was cancelled, usually by its caller.
    Cancelled = 1,
    /// The error is of an unknown kind, or its code is not one of these.
    Unknown = 2,
    /// The caller gave an argument that is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call was complete.
    DeadlineExceeded = 4,
    /// The entity that was asked for does not exist.
    NotFound = 5,
    /// The entity that was to be created exists.
    AlreadyExists = 6,
    /// The caller is known and not allowed to do this.
    PermissionDenied = 7,
    /// A quota, a size limit or a resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs; retrying alone will not help.
    FailedPrecondition = 9,
    /// The call lost a race; retry at a higher level.
    Aborted = 10,
    /// The call went past the valid range, as a read after the end of a file.
    OutOfRange = 11,
    /// The method is not implemented or not enabled here.
    Unimplemented = 12,
    /// An invariant is broken: something is wrong in one of the two programs or between them.
    Internal = 13,
    /// The service cannot be reached now; retrying with backoff may help.
    Unavailable = 14,
    /// Data is lost or corrupt beyond repair.
    DataLoss = 15,
    /// The caller did not prove who it is.
    Unauthenticated = 16,
}

impl Code {
    /// Every code, in the order of its number.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code of this number; every number that gRPC does not define is [`Code::Unknown`].
    pub fn from_i32(number: i32) -> Self {
        usize::try_from(number).ok().and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Code::Unknown)
    }

    /// The code that a `grpc-status` value names, or `None` if the value is not a decimal number.
    ///
    /// Numbers that gRPC does not define are [`Code::Unknown`], as in [`Code::from_i32`].
    pub fn from_ascii(value: &[u8]) -> Option<Self> {
        // A longer number could only be an undefined code or one with leading zeros, and both are not sent.
        const MAX_DIGITS: usize = 9;
        if value.is_empty() || value.len() > MAX_DIGITS || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = value.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
        Some(Self::from_i32(number))
    }

    /// The value of `grpc-status` for this code: decimal, without leading zeros.
    pub fn as_ascii(self) -> &'static str {
        match self {
            Code::Ok => "0",
            Code::Cancelled => "1",
            Code::Unknown => "2",
            Code::InvalidArgument => "3",
            Code::DeadlineExceeded => "4",
            Code::NotFound => "5",
            Code::AlreadyExists => "6",
            Code::PermissionDenied => "7",
            Code::ResourceExhausted => "8",
            Code::FailedPrecondition => "9",
            Code::Aborted => "10",
            Code::OutOfRange => "11",
            Code::Unimplemented => "12",
            Code::Internal => "13",
            Code::Unavailable => "14",
            Code::DataLoss => "15",
            Code::Unauthenticated => "16",
        }
    }

    /// Whether a failure with this code says something of the call itself: it may come from a server alone, as of a
    /// client's own machinery it would be taken for the server's answer (gRFC A54).
    pub(crate) fn is_for_servers(self) -> bool {
        matches!(
            self,
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::DataLoss
        )
    }

    /// The name in gRPC's documents and service configs, as `DEADLINE_EXCEEDED`.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The code of this [`name`](Code::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<i32> for Code {
    fn from(number: i32) -> Self {
        Self::from_i32(number)
    }
}

impl From<Code> for i32 {
    fn from(code: Code) -> Self {
        code as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_number_its_digits_and_its_name() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(i32::from(code), number as i32);
            assert_eq!(Code::from_i32(number as i32), code);
            assert_eq!(code.as_ascii(), number.to_string());
            assert_eq!(Code::from_ascii(code.as_ascii().as_bytes()), Some(code));
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
    }

    #[test]
    fn undefined_numbers_are_unknown() {
        for number in [-1, 17, 99, i32::MAX, i32::MIN] {
            assert_eq!(Code::from_i32(number), Code::Unknown);
        }
        assert_eq!(Code::from_ascii(b"17"), Some(Code::Unknown));
    }

    #[test]
    fn only_decimal_numbers_are_a_grpc_status() {
        for value in ["", "-1", "+1", " 1", "1 ", "OK", "0x1", "1.0", "1000000000"] {
            assert_eq!(Code::from_ascii(value.as_bytes()), None, "{value:?}");
        }
    }
}
