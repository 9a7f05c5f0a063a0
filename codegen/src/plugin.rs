//! The same code generation as a plugin of `protoc` or `buf`.
//!
//! `protoc` finds the binary `protoc-gen-lariat` in the `PATH`:
//!
//! ```text
//! cargo install lariat-codegen
//! protoc --lariat_out=src/generated --lariat_opt=build_client=false -I proto proto/helloworld.proto
//! ```
//!
//! Options are separated by commas; a comma inside of a value is written `\,`. They are named as those of
//! [`Builder`]:
//!
//! | option | value |
//! |---|---|
//! | `build_client`, `build_server`, `generate_default_stubs`, `emit_package`, `compile_well_known_types` | `true` or `false`; the name alone means `true` |
//! | `bytes`, `btree_map`, `boxed`, `disable_comments`, `skip_debug` | a protobuf path |
//! | `type_attribute`, `message_attribute`, `enum_attribute`, `field_attribute` | a protobuf path, `=`, the attribute |
//! | `extern_path` | a protobuf path, `=`, a Rust path |
//! | `lariat_path`, `codec_path`, `prost_path` | a Rust path |
//! | `include_file` | a file name |
//!
//! One Rust file is generated for each package that has a file on the command line. It holds the whole
//! package as far as `protoc` has read it, so all files of a package should be given in one run.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::compiler::CodeGeneratorResponse;
use prost_types::compiler::code_generator_response::{Feature, File};

use crate::schema::Schema;
use crate::{Builder, Error};

/// `google.protobuf.compiler.CodeGeneratorRequest`, with descriptors left encoded: decoded ones lose custom
/// options.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "1")]
    file_to_generate: Vec<String>,
    #[prost(string, tag = "2")]
    parameter: String,
    #[prost(bytes = "vec", repeated, tag = "15")]
    proto_file: Vec<Vec<u8>>,
}

/// Answers an encoded `CodeGeneratorRequest` by an encoded `CodeGeneratorResponse`.
///
/// # Errors
///
/// When the request is malformed. What is wrong with its content (an unknown option, say) is told to `protoc`
/// in the response.
pub fn respond(request: &[u8]) -> Result<Vec<u8>, Error> {
    let request = Request::decode(request)?;
    let mut response = CodeGeneratorResponse {
        supported_features: Some(Feature::Proto3Optional as u64),
        ..Default::default()
    };
    match generate(request) {
        Ok(files) => response.file = files,
        Err(error) => response.error = Some(error.to_string()),
    }
    Ok(response.encode_to_vec())
}

fn generate(request: Request) -> Result<Vec<File>, Error> {
    let builder = configure(&request.parameter)?;
    let schema = Schema::decode(request.proto_file)?;
    let wanted: BTreeSet<_> = schema
        .files
        .iter()
        .filter(|file| request.file_to_generate.iter().any(|name| name == file.descriptor.name()))
        .map(|file| file.module())
        .collect();
    let files = builder.generate(&schema, |module| wanted.contains(module))?;
    let file = |(name, content): (std::ffi::OsString, String)| File {
        name: Some(name.to_string_lossy().into_owned()),
        content: Some(content),
        ..File::default()
    };
    Ok(files.into_iter().map(file).collect())
}

/// The options that a parameter string asks for.
fn configure(parameter: &str) -> Result<Builder, Error> {
    let mut builder = crate::configure();
    for option in split(parameter) {
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        builder = match name {
            "build_client" => builder.build_client(boolean(name, value)?),
            "build_server" => builder.build_server(boolean(name, value)?),
            "generate_default_stubs" => builder.generate_default_stubs(boolean(name, value)?),
            "emit_package" => builder.emit_package(boolean(name, value)?),
            "compile_well_known_types" => builder.compile_well_known_types(boolean(name, value)?),
            "bytes" => builder.bytes(present(name, value)?),
            "btree_map" => builder.btree_map(present(name, value)?),
            "boxed" => builder.boxed(present(name, value)?),
            "disable_comments" => builder.disable_comments(present(name, value)?),
            "skip_debug" => builder.skip_debug(present(name, value)?),
            "lariat_path" => builder.lariat_path(present(name, value)?),
            "codec_path" => builder.codec_path(present(name, value)?),
            "prost_path" => builder.prost_path(present(name, value)?),
            "include_file" => builder.include_file(present(name, value)?),
            "type_attribute" => {
                pair(name, value).map(|(path, attribute)| builder.type_attribute(path, attribute))?
            }
            "message_attribute" => {
                pair(name, value).map(|(path, attribute)| builder.message_attribute(path, attribute))?
            }
            "enum_attribute" => {
                pair(name, value).map(|(path, attribute)| builder.enum_attribute(path, attribute))?
            }
            "field_attribute" => {
                pair(name, value).map(|(path, attribute)| builder.field_attribute(path, attribute))?
            }
            "extern_path" => pair(name, value).map(|(proto, rust)| builder.extern_path(proto, rust))?,
            _ => {
                return Err(Error::parameter(format!(
                    "unknown option {name:?}; known are {}",
                    KNOWN.join(", ")
                )));
            }
        };
    }
    Ok(builder)
}

const KNOWN: [&str; 19] = [
    "build_client",
    "build_server",
    "generate_default_stubs",
    "emit_package",
    "compile_well_known_types",
    "bytes",
    "btree_map",
    "boxed",
    "disable_comments",
    "skip_debug",
    "lariat_path",
    "codec_path",
    "prost_path",
    "include_file",
    "type_attribute",
    "message_attribute",
    "enum_attribute",
    "field_attribute",
    "extern_path",
];

/// Splits a parameter string at its commas, other than those after a backslash.
fn split(parameter: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut chars = parameter.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' => options.push(String::new()),
            _ => {
                let c = if c == '\\' { chars.next_if_eq(&',').unwrap_or(c) } else { c };
                options.iter_mut().next_back().into_iter().for_each(|option| option.push(c));
            }
        }
    }
    options.retain(|option| !option.is_empty());
    options
}

fn boolean(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::parameter(format!("option {name} is true or false, not {value:?}"))),
    }
}

fn present<'a>(name: &str, value: &'a str) -> Result<&'a str, Error> {
    match value {
        "" => Err(Error::parameter(format!("option {name} needs a value: {name}=.."))),
        _ => Ok(value),
    }
}

fn pair<'a>(name: &str, value: &'a str) -> Result<(&'a str, &'a str), Error> {
    match value.split_once('=') {
        Some((path, value)) if !path.is_empty() && !value.is_empty() => Ok((path, value)),
        _ => Err(Error::parameter(format!("option {name} needs a path and a value: {name}=path=value"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_split_at_its_commas_but_not_at_escaped_ones() {
        assert_eq!(split("a,b=c,,d"), ["a", "b=c", "d"]);
        assert_eq!(split(r"type_attribute=.=#[derive(A\, B)],x"), ["type_attribute=.=#[derive(A, B)]", "x"]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn a_malformed_option_is_named_with_what_is_expected() {
        let message = |parameter| configure(parameter).err().map(|error| error.to_string());
        assert_eq!(
            message("build_client=maybe"),
            Some("option build_client is true or false, not \"maybe\"".to_owned())
        );
        assert_eq!(message("bytes"), Some("option bytes needs a value: bytes=..".to_owned()));
        assert_eq!(
            message("extern_path=.a"),
            Some("option extern_path needs a path and a value: extern_path=path=value".to_owned())
        );
        assert!(
            message("colour=red")
                .is_some_and(|text| text.starts_with("unknown option \"colour\"; known are "))
        );
    }

    #[test]
    fn every_known_option_is_accepted() {
        for name in KNOWN {
            let accepted = [name.to_owned(), format!("{name}=.a"), format!("{name}=.a=b")]
                .iter()
                .any(|parameter| configure(parameter).is_ok());
            assert!(accepted, "{name}");
        }
    }
}
