//! Files that no `mod` names: code that nobody compiles, and that rots unseen.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::source::{Declaration, Source};
use crate::workspace::{Manifest, Workspace};

/// Finds the Rust files that no crate of the workspace reaches.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let is_root = |source: &&Source| {
        workspace.manifest_of(&source.path).is_some_and(|manifest| is_root(manifest, &source.path))
    };
    let mut open: Vec<&Source> = workspace.sources.iter().filter(is_root).collect();
    while let Some(source) = open.pop() {
        if !reached.insert(source.path.as_str()) {
            continue;
        }
        let declared = source.declarations().into_iter().flat_map(|found| found.files(&source.path));
        let included = source.includes().into_iter().map(|file| format!("{}{file}", folder(&source.path)));
        open.extend(declared.chain(included).filter_map(|path| workspace.source(&path)));
    }
    let is_orphan = |source: &&Source| !reached.contains(source.path.as_str());
    let orphans = workspace.sources.iter().filter(is_orphan);
    orphans
        .map(|source| {
            Finding::new(
                &source.path,
                1,
                "no `mod` names this file",
                "declare it in its parent module, or delete it",
            )
        })
        .collect()
}

/// Whether cargo takes a file for the root of a target.
fn is_root(manifest: &Manifest, path: &str) -> bool {
    let Some(path) = path.strip_prefix(&manifest.folder) else { return false };
    let parts: Vec<&str> = path.split('/').collect();
    manifest.targets.iter().any(|target| target == path)
        || match parts[..] {
            ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
            ["src", "bin", _] | ["tests" | "benches" | "examples", _] => true,
            ["src", "bin", _, file] | ["tests" | "benches" | "examples", _, file] => file == "main.rs",
            _ => false,
        }
}

/// The folder of a file, with a `/` at its end.
fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

impl Declaration {
    /// Where its file may be, when it stands in the file at `path`.
    pub(crate) fn files(&self, path: &str) -> [String; 2] {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        let is_folders_own = matches!(&path[folder(path).len()..], "mod.rs" | "lib.rs" | "main.rs")
            // The root of a test, bench, example or small program.
            || ["tests/", "benches/", "examples/", "src/bin/"].iter().any(|own| folder(path).ends_with(own));
        let base = if is_folders_own { folder(path).to_owned() } else { format!("{stem}/") };
        let scope: String = self.scope.iter().map(|module| format!("{module}/")).collect();
        [format!("{base}{scope}{}.rs", self.name), format!("{base}{scope}{}/mod.rs", self.name)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphans(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        check(&Workspace::new(files.collect())).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_file_without_a_mod_is_found() {
        let found = orphans(&[
            ("Cargo.toml", ""),
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod b;"),
            ("src/a/b.rs", ""),
            ("src/a/c.rs", ""),
        ]);
        assert_eq!(
            found,
            ["src/a/c.rs:1: no `mod` names this file; declare it in its parent module, or delete it"]
        );
    }

    #[test]
    fn every_way_to_name_a_file_counts() {
        let found = orphans(&[
            ("Cargo.toml", "[[bin]]\npath = \"odd/place.rs\""),
            ("build.rs", ""),
            ("src/lib.rs", "mod a; mod inline { mod d; } include!(\"generated.rs\");"),
            ("src/a/mod.rs", "#[cfg(test)] mod b;"),
            ("src/a/b.rs", ""),
            ("src/inline/d.rs", ""),
            ("src/generated.rs", ""),
            ("src/bin/tool/main.rs", "mod e;"),
            ("src/bin/tool/e.rs", ""),
            ("tests/one.rs", "mod support;"),
            ("tests/support/mod.rs", ""),
            ("odd/place.rs", ""),
            ("inner/Cargo.toml", ""),
            ("inner/src/main.rs", ""),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
