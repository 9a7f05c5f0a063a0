//! [`validate`]: whether a header list is a well-formed HTTP message part (RFC 9113 §8.2, §8.3).

use crate::HeadersKind;
use crate::violation::{self, Violation};
use lariat_frame::hpack::{Field, HeaderList};

/// What a header list is meant to be, by its place on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    Request,
    Response,
    Trailers,
}

/// What a well-formed header list says that matters to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: HeadersKind,
    /// The octets of content that must follow, if the list says so.
    pub(crate) content_length: Option<u64>,
    /// A response that has no content whatever its content-length says: 204 and 304 (RFC 9110 §6.4.1).
    pub(crate) is_bodiless: bool,
}

/// Checks a whole list.
pub(crate) fn validate(list: &HeaderList, grammar: Grammar) -> Result<Message, Violation> {
    let mut pseudo = Pseudo::default();
    let mut content_length = None;
    let mut regular = false;
    for field in list.iter() {
        check_value(field.value)?;
        match field.name {
            [] => return Err(violation::FIELD_NAME_EMPTY),
            [b':', ..] if regular => return Err(violation::PSEUDO_LATE),
            [b':', ..] => pseudo.add(&field, grammar)?,
            _ => {
                regular = true;
                check_name(field.name)?;
                check_regular(&field, &mut content_length)?;
            }
        }
    }
    let mut message = Message { kind: HeadersKind::Trailers, content_length, is_bodiless: false };
    match grammar {
        Grammar::Request => {
            pseudo.check_request()?;
            message.kind = HeadersKind::Request;
        }
        Grammar::Response => {
            let status = pseudo.status.ok_or(violation::STATUS_MISSING)?;
            message.kind = if status < 200 { HeadersKind::Informational } else { HeadersKind::Response };
            message.is_bodiless = matches!(status, 204 | 304);
        }
        // The content-length was for the head to say; in trailers it means nothing.
        Grammar::Trailers => message.content_length = None,
    }
    Ok(message)
}

/// The pseudo-header fields seen so far.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    status: Option<u16>,
}

impl<'a> Pseudo<'a> {
    fn add(&mut self, field: &Field<'a>, grammar: Grammar) -> Result<(), Violation> {
        let slot = match (grammar, field.name) {
            (Grammar::Trailers, _) => return Err(violation::PSEUDO_IN_TRAILERS),
            (Grammar::Request, b":method") => &mut self.method,
            (Grammar::Request, b":scheme") => &mut self.scheme,
            (Grammar::Request, b":path") => &mut self.path,
            (Grammar::Request, b":authority") => &mut self.authority,
            (Grammar::Response, b":status") => {
                let status = parse_status(field.value).ok_or(violation::STATUS_VALUE)?;
                return match self.status.replace(status) {
                    None => Ok(()),
                    Some(_) => Err(violation::PSEUDO_REPEATED),
                };
            }
            _ => return Err(violation::PSEUDO_UNKNOWN),
        };
        match slot.replace(field.value) {
            None => Ok(()),
            Some(_) => Err(violation::PSEUDO_REPEATED),
        }
    }

    fn check_request(&self) -> Result<(), Violation> {
        let method = self.method.filter(|method| !method.is_empty()).ok_or(violation::METHOD_MISSING)?;
        if method == b"CONNECT" {
            let valid = self.scheme.is_none() && self.path.is_none() && self.authority.is_some();
            return if valid { Ok(()) } else { Err(violation::CONNECT_FIELDS) };
        }
        self.scheme.ok_or(violation::SCHEME_MISSING)?;
        match self.path {
            None => Err(violation::PATH_MISSING),
            Some([]) => Err(violation::PATH_EMPTY),
            Some(_) => Ok(()),
        }
    }
}

fn parse_status(value: &[u8]) -> Option<u16> {
    match *value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

/// No controls, no blanks, no upper case, nothing beyond ASCII; a colon is only for pseudo-header fields (RFC 9113
/// §8.2.1).
fn check_name(name: &[u8]) -> Result<(), Violation> {
    let upper = name.iter().fold(false, |found, octet| found | octet.is_ascii_uppercase());
    let strange =
        name.iter().fold(false, |found, &octet| found | (octet <= b' ') | (octet >= 0x7f) | (octet == b':'));
    match (upper, strange) {
        (false, false) => Ok(()),
        (true, _) => Err(violation::FIELD_NAME_UPPERCASE),
        (false, true) => Err(violation::FIELD_NAME),
    }
}

fn check_value(value: &[u8]) -> Result<(), Violation> {
    // A fold looks at every octet, and at many at once.
    let forbidden =
        value.iter().fold(false, |found, &octet| found | (octet == 0) | (octet == b'\r') | (octet == b'\n'));
    if forbidden {
        return Err(violation::FIELD_VALUE);
    }
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(violation::FIELD_VALUE_BLANKS),
        _ => Ok(()),
    }
}

/// The regular fields that HTTP/2 itself has a word on.
fn check_regular(field: &Field<'_>, content_length: &mut Option<u64>) -> Result<(), Violation> {
    match field.name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(violation::CONNECTION_SPECIFIC)
        }
        b"te" if !field.value.eq_ignore_ascii_case(b"trailers") => Err(violation::TE),
        b"content-length" => {
            let length = parse_length(field.value).ok_or(violation::CONTENT_LENGTH_VALUE)?;
            match content_length.replace(length) {
                Some(other) if other != length => Err(violation::CONTENT_LENGTH_VALUE),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &octet| match octet {
        b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(octet - b'0')),
        _ => None,
    })
}
