//! Gives every item of a file its documentation.
//!
//! prost-build copies the comments that a descriptor's source locations hold. They are rewritten beforehand,
//! so that messages and services get the same treatment: each item ends up with exactly one location, whose
//! comment is sound as a Rust doc comment and never empty.

use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto, SourceCodeInfo,
};

use crate::comments;

// Field numbers of google/protobuf/descriptor.proto: a location's path is made of them and of indices.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

/// Replaces the source locations of a file by one documented location for each of its items.
pub(crate) fn document(file: &mut FileDescriptorProto) {
    let mut written = file.source_code_info.take().unwrap_or_default().location;
    // Stable: of several locations of one item the first one counts.
    written.sort_by(|a, b| a.path.cmp(&b.path));
    let mut documents = Documents { written, path: Vec::new(), location: Vec::new() };
    let package = file.package().to_owned();
    documents
        .each(FILE_MESSAGE, &file.message_type, |documents, message| documents.message(&package, message));
    documents.each(FILE_ENUM, &file.enum_type, |documents, item| documents.enumeration(&package, item));
    documents.each(FILE_SERVICE, &file.service, |documents, service| documents.service(&package, service));
    file.source_code_info = Some(SourceCodeInfo { location: documents.location });
}

/// One walk over the items of a file.
struct Documents {
    /// Locations as the `.proto` compiler wrote them, sorted by path.
    written: Vec<Location>,
    /// The path of the item where the walk is.
    path: Vec<i32>,
    /// Locations of the items seen so far.
    location: Vec<Location>,
}

impl Documents {
    /// Visits the items that the field `number` of the current item holds.
    fn each<T>(&mut self, number: i32, items: &[T], mut visit: impl FnMut(&mut Self, &T)) {
        for (index, item) in (0..).zip(items) {
            self.path.extend([number, index]);
            visit(self, item);
            self.path.truncate(self.path.len().saturating_sub(2));
        }
    }

    /// Documents the current item: with its own comment, or else with what `describe` says.
    fn add(&mut self, describe: impl FnOnce() -> String) {
        let first = self.written.partition_point(|location| location.path < self.path);
        let comment =
            self.written.iter().skip(first).take_while(|location| location.path == self.path).find_map(
                |location| comments::markdown(location.leading_comments(), location.trailing_comments()),
            );
        self.location.push(Location {
            path: self.path.clone(),
            leading_comments: Some(comment.unwrap_or_else(describe)),
            ..Location::default()
        });
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = qualified(scope, message.name());
        self.add(|| format!("The message `{name}`."));
        self.each(MESSAGE_FIELD, &message.field, |documents, field| {
            documents.add(|| format!("The field `{}`, number {}.", field.name(), field.number()));
        });
        self.each(MESSAGE_ONEOF, &message.oneof_decl, |documents, oneof| {
            documents.add(|| format!("The oneof `{}`: at most one of its fields is set.", oneof.name()));
        });
        self.each(MESSAGE_NESTED, &message.nested_type, |documents, nested| documents.message(&name, nested));
        self.each(MESSAGE_ENUM, &message.enum_type, |documents, item| documents.enumeration(&name, item));
    }

    fn enumeration(&mut self, scope: &str, item: &EnumDescriptorProto) {
        self.add(|| format!("The enum `{}`.", qualified(scope, item.name())));
        self.each(ENUM_VALUE, &item.value, |documents, value| {
            documents.add(|| format!("The value `{}`, number {}.", value.name(), value.number()));
        });
    }

    fn service(&mut self, scope: &str, service: &ServiceDescriptorProto) {
        let name = qualified(scope, service.name());
        self.add(|| format!("The service `{name}`."));
        self.each(SERVICE_METHOD, &service.method, |documents, method| {
            documents.add(|| format!("The rpc `{name}/{}`.", method.name()));
        });
    }
}

/// A protobuf name with the package or message around it.
fn qualified(scope: &str, name: &str) -> String {
    match scope.is_empty() {
        true => name.to_owned(),
        false => format!("{scope}.{name}"),
    }
}
