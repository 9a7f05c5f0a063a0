//! [`Workspace`]: the project's files as they lie on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::source::Source;

/// Folders whose content is not written by hand.
const SKIPPED: [&str; 5] = ["target", ".git", "__pycache__", "corpus", "artifacts"];

/// Every text file of the project.
pub(crate) struct Workspace {
    /// By path, relative to the project's folder and with `/`.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) sources: Vec<Source>,
    pub(crate) manifests: Vec<Manifest>,
    /// Modules that are declared under `#[cfg(test)]`.
    test_files: BTreeSet<String>,
}

/// A `Cargo.toml`, as far as the rules need it.
pub(crate) struct Manifest {
    /// The folder it lies in: empty for the project's own, else with a `/` at the end.
    pub(crate) folder: String,
    /// The package, if it has one.
    pub(crate) package: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Targets that are named by path.
    pub(crate) targets: Vec<String>,
}

/// A line of a `[dependencies]` section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) package: String,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// When a dependency is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// The project that this test belongs to.
pub(crate) static PROJECT: LazyLock<Workspace> =
    LazyLock::new(|| Workspace::read(Path::new(env!("CARGO_MANIFEST_DIR"))));

impl Workspace {
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files);
        Workspace::new(files)
    }

    pub(crate) fn new(files: BTreeMap<String, String>) -> Self {
        let is_source = |path: &str| path.ends_with(".rs");
        let sources: Vec<Source> = files
            .iter()
            .filter(|(path, _)| is_source(path))
            .map(|(path, text)| Source::new(path.as_str(), text.as_str()))
            .collect();
        let test_files = files_for_tests(&sources);
        let manifests = files.iter().filter_map(|(path, text)| Manifest::new(path, text)).collect();
        Workspace { files, sources, manifests, test_files }
    }

    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }

    pub(crate) fn manifest(&self, package: &str) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.package.as_deref() == Some(package))
    }

    /// The crate that a file belongs to.
    pub(crate) fn manifest_of(&self, path: &str) -> Option<&Manifest> {
        let around = self.manifests.iter().filter(|manifest| path.starts_with(&manifest.folder));
        around.max_by_key(|manifest| manifest.folder.len())
    }

    /// Whether nothing but tests runs a file's code: a module under `#[cfg(test)]`, or the bodies of fuzz targets.
    pub(crate) fn is_test(&self, path: &str) -> bool {
        path.ends_with("/fuzz.rs") || self.test_files.contains(path)
    }
}

/// Where the modules may be that are declared for tests, and the modules of those.
fn files_for_tests(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let known = found.len();
        for source in sources {
            let all = found.contains(&source.path);
            let declared = source.declarations().into_iter().filter(|declared| all || declared.in_test);
            found.extend(declared.flat_map(|declared| declared.files(&source.path)));
        }
        if found.len() == known {
            return found;
        }
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let kind = entry.file_type().expect("a known type of file");
        // In a linked worktree `.git` is a file.
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{prefix}{name}/"), files);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.insert(format!("{prefix}{name}"), text);
        }
    }
}

impl Manifest {
    pub(crate) fn new(path: &str, text: &str) -> Option<Self> {
        let folder =
            path.strip_suffix("Cargo.toml").filter(|folder| folder.is_empty() || folder.ends_with('/'))?;
        let mut manifest = Manifest {
            folder: folder.to_owned(),
            package: None,
            dependencies: Vec::new(),
            targets: Vec::new(),
        };
        let mut section = "";
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(header) = content.strip_prefix('[') {
                section = header.trim_matches(['[', ']']);
                if let Some((kind, package)) = section
                    .rsplit_once('.')
                    .and_then(|(section, package)| Some((dependency_kind(section)?, package)))
                {
                    manifest.dependencies.push(Dependency { package: package.to_owned(), kind, line });
                }
                continue;
            }
            let Some((key, value)) = content.split_once('=').filter(|_| !content.starts_with('#')) else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            if let Some(kind) = dependency_kind(section) {
                let package = key.split('.').next().unwrap_or(key).to_owned();
                manifest.dependencies.push(Dependency { package, kind, line });
            } else if section == "package" && key == "name" {
                manifest.package = Some(value.to_owned());
            } else if key == "path" && matches!(section, "bin" | "lib" | "test" | "bench" | "example") {
                manifest.targets.push(value.to_owned());
            }
        }
        Some(manifest)
    }
}

/// What a section's dependencies are for; `None` for other sections, also for the versions that a workspace shares.
fn dependency_kind(section: &str) -> Option<Kind> {
    match section.rsplit('.').next().unwrap_or(section) {
        _ if section.starts_with("workspace") => None,
        "dependencies" => Some(Kind::Normal),
        "build-dependencies" => Some(Kind::Build),
        "dev-dependencies" => Some(Kind::Dev),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_its_package_dependencies_and_targets() {
        let text = "[workspace.dependencies]\na = \"1\"\n[package]\nname = \"p\"\n[dependencies]\n# c = 1\n\
                    bytes.workspace = true\nd = { path = \"d\" }\n[dev-dependencies.e]\nversion = \"1\"\n\
                    [target.'cfg(unix)'.build-dependencies]\nf = \"1\"\n[[bin]]\npath = \"g.rs\"\n";
        let manifest = Manifest::new("x/Cargo.toml", text).expect("a manifest");
        assert_eq!((manifest.folder.as_str(), manifest.package.as_deref()), ("x/", Some("p")));
        let found: Vec<_> = manifest
            .dependencies
            .iter()
            .map(|found| (found.package.as_str(), found.kind, found.line))
            .collect();
        assert_eq!(
            found,
            [("bytes", Kind::Normal, 7), ("d", Kind::Normal, 8), ("e", Kind::Dev, 9), ("f", Kind::Build, 12)]
        );
        assert_eq!(manifest.targets, ["g.rs"]);
    }

    #[test]
    fn a_file_belongs_to_the_nearest_manifest() {
        let files = ["Cargo.toml", "a/Cargo.toml"].map(|path| (path.to_owned(), String::new()));
        let workspace = Workspace::new(files.into());
        let folder = |path| workspace.manifest_of(path).map(|manifest| manifest.folder.as_str());
        assert_eq!((folder("src/lib.rs"), folder("a/src/lib.rs")), (Some(""), Some("a/")));
    }
}
