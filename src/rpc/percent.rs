//! The percent-encoding of `grpc-message` (PROTOCOL-HTTP2.md, "Responses").

/// Whether [`encode`] would change this message.
pub(crate) fn needs_encoding(message: &str) -> bool {
    message.starts_with(' ') || message.ends_with(' ') || !message.bytes().all(is_plain)
}

/// Appends the message: octets outside of %x20-%x7E and the percent sign as `%XX`, the others as they are. A space at
/// either end is escaped too, since a field value must not begin or end with one (RFC 9113 §8.2.1).
pub(crate) fn encode(message: &str, out: &mut Vec<u8>) {
    out.reserve(message.len());
    let last = message.len().saturating_sub(1);
    for (index, octet) in message.bytes().enumerate() {
        let at_an_end = index == 0 || index == last;
        if is_plain(octet) && !(octet == b' ' && at_an_end) {
            out.push(octet);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
        }
    }
}

/// The message that this value stands for. Lenient, because a message is there to be read: an escape that is none is
/// kept as it is, and octets that are not UTF-8 become U+FFFD.
pub(crate) fn decode(value: &[u8]) -> String {
    if !value.contains(&b'%') {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after) {
            (b'%', [high, low, after_escape @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    octets.push(high << 4 | low);
                    rest = after_escape;
                }
                _ => octets.push(octet),
            },
            _ => octets.push(octet),
        }
    }
    String::from_utf8(octets).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn is_plain(octet: u8) -> bool {
    matches!(octet, b' '..=b'~') && octet != b'%'
}

fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(message: &str) -> String {
        let mut out = Vec::new();
        encode(message, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn printable_ascii_stays_as_it_is() {
        let message: String = ('!'..='~').chain(" .".chars()).filter(|c| *c != '%').collect();
        assert!(!needs_encoding(&message));
        assert_eq!(encoded(&message), message);
    }

    #[test]
    fn the_rest_is_escaped_in_upper_case() {
        assert!(needs_encoding("100%"));
        assert_eq!(encoded("100%"), "100%25");
        assert_eq!(encoded("a\tb\r\nc\u{7f}\0"), "a%09b%0D%0Ac%7F%00");
        assert_eq!(encoded("☺"), "%E2%98%BA");
    }

    #[test]
    fn a_space_is_escaped_at_the_ends_only() {
        assert_eq!(encoded(" a b "), "%20a b%20");
        assert_eq!(encoded(" "), "%20");
        assert_eq!(encoded(""), "");
    }

    #[test]
    fn escapes_of_either_case_are_read() {
        assert_eq!(decode(b"%E2%98%BA %e2%98%ba"), "☺ ☺");
    }

    #[test]
    fn broken_escapes_are_kept() {
        for value in ["%", "%%", "%1", "%zz", "%G0", "a%", "%2"] {
            assert_eq!(decode(value.as_bytes()), value);
        }
        assert_eq!(decode(b"%%41"), "%A");
    }

    #[test]
    fn octets_that_are_not_utf_8_are_replaced() {
        assert_eq!(decode(b"%FFx"), "\u{fffd}x");
        assert_eq!(decode(b"\xFFx"), "\u{fffd}x");
    }

    proptest! {
        #[test]
        fn every_message_comes_back(message in any::<String>()) {
            let value = encoded(&message);
            prop_assert!(value.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
            prop_assert_eq!(needs_encoding(&message), value != message);
            prop_assert_eq!(decode(value.as_bytes()), message);
        }

        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&value);
        }
    }
}
