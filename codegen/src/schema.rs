//! The compiled `.proto` files: what code is generated from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_build::Module;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::Compiler;

use crate::Error;
use crate::descriptor_set;

/// One `.proto` file after compilation.
pub(crate) struct SchemaFile {
    pub(crate) descriptor: FileDescriptorProto,
    /// The same descriptor encoded, without source locations. Unlike the decoded form it still holds custom
    /// options, which clients of server reflection want to see.
    pub(crate) encoded: Vec<u8>,
}

impl SchemaFile {
    /// A file from its encoded `FileDescriptorProto`.
    pub(crate) fn decode(encoded: &[u8]) -> Result<Self, Error> {
        let descriptor = FileDescriptorProto::decode(encoded)?;
        Ok(Self { descriptor, encoded: descriptor_set::without_source_info(encoded)? })
    }

    /// The Rust module that the file's package becomes.
    pub(crate) fn module(&self) -> Module {
        Module::from_protobuf_package_name(self.descriptor.package())
    }
}

/// Compiled `.proto` files, each after everything that it imports.
pub(crate) struct Schema {
    pub(crate) files: Vec<SchemaFile>,
}

impl Schema {
    /// Compiles `.proto` files. Also returns the paths of all files that were read.
    pub(crate) fn compile(
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(Self, BTreeSet<PathBuf>), Error> {
        let mut compiler = Compiler::new(includes)?;
        compiler.include_imports(true).include_source_info(true).open_files(protos)?;
        let paths = compiler.files().filter_map(|file| file.path()).map(Path::to_owned).collect();
        let pool = compiler.descriptor_pool();
        let files =
            pool.files().map(|file| SchemaFile::decode(&file.encode_to_vec())).collect::<Result<_, _>>()?;
        Ok((Self { files }, paths))
    }

    /// Takes files that something else has compiled.
    pub(crate) fn from_set(set: FileDescriptorSet) -> Result<Self, Error> {
        Self::decode(set.file.iter().map(Message::encode_to_vec))
    }

    /// Takes encoded files that something else has compiled.
    pub(crate) fn decode(files: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, Error> {
        let files = files.into_iter().map(|file| SchemaFile::decode(&file)).collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    /// The files of a module and everything that they import, directly or not, in the order of the schema.
    pub(crate) fn closure(&self, module: &Module) -> impl Iterator<Item = &SchemaFile> {
        let mut wanted = BTreeSet::new();
        // Imports come before their importers, so one walk from the end sees every importer first.
        for file in self.files.iter().rev() {
            if file.module() == *module || wanted.contains(file.descriptor.name()) {
                wanted.insert(file.descriptor.name());
                wanted.extend(file.descriptor.dependency.iter().map(String::as_str));
            }
        }
        self.files.iter().filter(move |file| wanted.contains(file.descriptor.name()))
    }
}
