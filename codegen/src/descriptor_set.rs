//! `FILE_DESCRIPTOR_SET`: encoded descriptors, as octets and as Rust source.

use std::fmt::Write;

use prost::DecodeError;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field};

use crate::schema::SchemaFile;

/// `FileDescriptorSet.file`, in google/protobuf/descriptor.proto.
const FILE: u32 = 1;
/// `FileDescriptorProto.source_code_info`, in google/protobuf/descriptor.proto.
const SOURCE_CODE_INFO: u32 = 9;
/// Octets in one line of source. Escaped they take up to four columns each.
const OCTETS_PER_LINE: usize = 48;

/// An encoded `FileDescriptorProto` without its source locations, which are most of its size. Fields that
/// this crate doesn't know are kept.
pub(crate) fn without_source_info(encoded: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while rest.has_remaining() {
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        if number != SOURCE_CODE_INFO {
            let (kept, _) = field.split_at(field.len() - rest.len());
            out.extend_from_slice(kept);
        }
    }
    Ok(out)
}

/// The files as an encoded `FileDescriptorSet`.
pub(crate) fn encode<'a>(files: impl IntoIterator<Item = &'a SchemaFile>) -> Vec<u8> {
    let mut out = Vec::new();
    for file in files {
        encode_key(FILE, WireType::LengthDelimited, &mut out);
        encode_varint(file.encoded.len() as u64, &mut out);
        out.extend_from_slice(&file.encoded);
    }
    out
}

/// The constant `FILE_DESCRIPTOR_SET` as Rust source.
///
/// The octets stand in the source itself rather than in a file beside it: a protoc plugin can return text
/// alone, and code that is checked in stays one file.
pub(crate) fn constant(octets: &[u8], out: &mut String) {
    out.push_str(
        "/// The descriptors of this package and of everything that it imports: an encoded\n\
         /// `google.protobuf.FileDescriptorSet`, as server reflection needs it.\n\
         #[allow(dead_code)]\n\
         pub const FILE_DESCRIPTOR_SET: &[u8] = b\"",
    );
    for line in octets.chunks(OCTETS_PER_LINE) {
        out.push_str("\\\n    ");
        for (position, &octet) in line.iter().enumerate() {
            match octet {
                b'"' => out.push_str("\\\""),
                b'\\' => out.push_str("\\\\"),
                // A line's first blank would be taken for indentation.
                b' ' if position == 0 => out.push_str("\\x20"),
                b' '..=b'~' => out.push(char::from(octet)),
                _ => {
                    // Writing to a String can't fail.
                    let _ = write!(out, "\\x{octet:02x}");
                }
            }
        }
    }
    out.push_str("\";\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_locations_are_dropped_and_unknown_fields_kept() {
        let field = |number: u32, content: &[u8]| {
            let mut out = Vec::new();
            encode_key(number, WireType::LengthDelimited, &mut out);
            encode_varint(content.len() as u64, &mut out);
            out.extend_from_slice(content);
            out
        };
        let name = field(1, b"a.proto");
        let unknown = field(5000, b"custom");
        let encoded = [name.clone(), field(SOURCE_CODE_INFO, b"\x0a\x00"), unknown.clone()].concat();
        assert_eq!(without_source_info(&encoded).ok(), Some([name, unknown].concat()));
    }

    #[test]
    fn a_truncated_descriptor_is_an_error() {
        assert!(without_source_info(b"\x0a\x05ab").is_err());
    }

    #[test]
    fn every_octet_survives_its_way_through_source_code() {
        let octets: Vec<u8> = (0..=255).cycle().take(600).collect();
        let mut source = String::new();
        constant(&octets, &mut source);
        let (_, literal) = source.split_once("b\"").expect("a byte string");
        let mut chars = literal.strip_suffix("\";\n").expect("its end").chars().peekable();
        let mut decoded = Vec::new();
        while let Some(c) = chars.next() {
            match (c, if c == '\\' { chars.next() } else { None }) {
                ('\\', Some('\n')) => while chars.next_if_eq(&' ').is_some() {},
                ('\\', Some('x')) => {
                    let digits: String = chars.by_ref().take(2).collect();
                    decoded.push(u8::from_str_radix(&digits, 16).expect("hexadecimal"));
                }
                ('\\', Some(escaped)) => decoded.push(escaped as u8),
                _ => decoded.push(c as u8),
            }
        }
        assert_eq!(decoded, octets);
    }
}
