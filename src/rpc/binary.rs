//! Values of `-bin` metadata: base64 on the wire (PROTOCOL-HTTP2.md, "Custom-Metadata").

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Written without padding, as gRPC asks for; read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The end of every key whose values are binary.
pub(crate) const SUFFIX: &str = "-bin";

/// Whether values under this key are binary.
pub(crate) fn is_binary_key(key: &[u8]) -> bool {
    key.ends_with(SUFFIX.as_bytes())
}

/// The wire form of a binary value.
pub(crate) fn encode(value: &[u8]) -> String {
    BASE64.encode(value)
}

/// The binary value of one piece, or `None` if it is not base64.
pub(crate) fn decode(piece: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(piece.trim_ascii()).ok()
}

/// The values that one received field holds: a field may carry several, joined by commas.
pub(crate) fn pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|octet| *octet == b',')
}

/// Whether this received field should be binary and has a piece that is not base64. Allocates nothing.
#[inline]
pub(crate) fn is_malformed(key: &[u8], value: &[u8]) -> bool {
    is_binary_key(key) && !pieces(value).all(is_valid_piece)
}

fn is_valid_piece(piece: &[u8]) -> bool {
    let piece = piece.trim_ascii();
    let digits = piece.iter().take_while(|octet| is_base64_digit(**octet)).count();
    let padding = &piece[digits..];
    let padding_allowed = (4 - digits % 4) % 4;
    digits % 4 != 1 && padding.len() <= padding_allowed && padding.iter().all(|octet| *octet == b'=')
}

fn is_base64_digit(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_is_not_written_and_not_needed() {
        assert_eq!(encode(b"a"), "YQ");
        assert_eq!(decode(b"YQ"), Some(b"a".to_vec()));
        assert_eq!(decode(b"YQ=="), Some(b"a".to_vec()));
        assert_eq!(decode(b" YQ== "), Some(b"a".to_vec()));
        assert_eq!(decode(b""), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for piece in ["Y", "YQ=Q", "YQ===", "Y Q", "Y-_Q", "=", "YWJj="] {
            assert_eq!(decode(piece.as_bytes()), None, "{piece:?}");
            assert!(!is_valid_piece(piece.as_bytes()), "{piece:?}");
        }
    }

    #[test]
    fn a_binary_field_is_malformed_if_one_of_its_pieces_is() {
        assert!(!is_malformed(b"a-bin", b"YQ==, YmI,,Y2Nj"));
        assert!(is_malformed(b"a-bin", b"YQ==, Y,Y2Nj"));
        assert!(!is_malformed(b"a", b"Y"));
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = encode(&value);
            prop_assert!(is_valid_piece(text.as_bytes()));
            prop_assert_eq!(decode(text.as_bytes()), Some(value));
        }

        #[test]
        fn the_check_agrees_with_the_decoder(piece in "[A-Za-z0-9+/=_ -]{0,12}") {
            prop_assert_eq!(is_valid_piece(piece.as_bytes()), decode(piece.as_bytes()).is_some());
        }
    }
}
