//! Who may import whom: the edge table of `ARCHITECTURE.md`, for the parts of the engine and for the crates around it.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::source::{Path, Source};
use crate::workspace::{Kind, Manifest, Workspace};

/// A part of the engine, and what it may import.
struct Part {
    name: &'static str,
    parts: &'static [&'static str],
    packages: &'static [&'static str],
}

/// The parts of the root package: the modules of `src/lib.rs`.
const PARTS: [Part; 11] = [
    Part { name: "rpc", parts: &["frame"], packages: &["base64", "bytes", "flate2", "prost", "zstd"] },
    Part {
        name: "net",
        parts: &["frame"],
        packages: &[
            "bytes",
            "crossbeam_channel",
            "mio",
            "rustix",
            "rustls",
            "rustls_pki_types",
            "slab",
            "socket2",
            "webpki",
        ],
    },
    Part { name: "call", parts: &["frame", "http2", "rpc", "net"], packages: &["bytes", "slab"] },
    Part { name: "engine", parts: &["net", "call"], packages: &["rustix"] },
    Part { name: "blocking", parts: &["call"], packages: &[] },
    Part { name: "error", parts: &["net"], packages: &[] },
    Part {
        name: "credentials",
        parts: &["rpc", "net", "call", "blocking", "error"],
        packages: &["base64", "rustls", "rustls_native_certs", "rustls_pki_types", "serde_json", "webpki"],
    },
    Part {
        name: "client",
        parts: SIDE,
        packages: &["arc_swap", "base64", "bytes", "domain", "prost", "serde_json", "slab", "xxhash_rust"],
    },
    Part { name: "server", parts: SIDE, packages: &["bytes", "slab"] },
    Part {
        name: "etcd",
        parts: &["rpc", "net", "call", "engine", "blocking", "error", "client"],
        packages: &["prost", "serde_json"],
    },
    Part { name: "services", parts: &["rpc", "call", "engine", "server"], packages: &[] },
];

/// What either side of a call may import: everything below, never the other side.
const SIDE: &[&str] = &["frame", "http2", "rpc", "net", "call", "engine", "blocking", "error", "credentials"];

/// Of `frame` the event loops need the output buffer and nothing that knows what a frame is.
const NET_IMPORTS_OF_FRAME: &str = "WriteBuf";

/// Parts that are crates of their own.
const CRATES_OF_PARTS: [(&str, &str); 2] = [("frame", "lariat_frame"), ("http2", "lariat_http2")];

/// The crates, and the packages that each may depend on, apart from its tests.
const CRATES: [(&str, &[&str]); 9] = [
    ("lariat-frame", &["bytes"]),
    ("lariat-http2", &["bytes", "lariat-frame", "slab"]),
    (
        "lariat",
        &[
            "arc-swap",
            "base64",
            "bytes",
            "crossbeam-channel",
            "domain",
            "flate2",
            "lariat-frame",
            "lariat-http2",
            "mio",
            "prost",
            "rustix",
            "rustls",
            "rustls-native-certs",
            "rustls-pki-types",
            "rustls-webpki",
            "serde_json",
            "slab",
            "socket2",
            "xxhash-rust",
            "zstd",
        ],
    ),
    ("lariat-codegen", &["prost", "prost-build", "prost-types", "protox"]),
    ("lariat-hpack-tests", &["hpack", "lariat-frame", "serde_json"]),
    // These use the engine as anybody would: by its public face.
    ("lariat-examples", &["lariat", "lariat-codegen"]),
    ("lariat-interop", &["lariat", "lariat-codegen", "lariat-frame"]),
    (
        "lariat-benches",
        &["bytes", "criterion", "lariat", "lariat-codegen", "lariat-frame", "lariat-http2", "prost"],
    ),
    ("lariat-fuzz", &["lariat", "lariat-frame", "lariat-http2", "libfuzzer-sys"]),
];

/// Workspaces of foreign programs, which Lariat is measured or tested against.
const FOREIGN: [&str; 2] = ["benches/peers/", "interop/tonic/"];

const TABLE: &str = "the edge table of ARCHITECTURE.md";

/// Finds imports between parts of the root package that the table does not list.
pub(crate) fn check_parts(workspace: &Workspace) -> Vec<Finding> {
    let Some(manifest) = workspace.manifest("lariat") else { return Vec::new() };
    let exports = workspace.source("src/lib.rs").map(exports).unwrap_or_default();
    // Tests of several parts together are none themselves.
    let is_in_a_part = |source: &&Source| {
        !workspace.is_test(&source.path) || module_of(&source.path).is_some_and(|m| is_of_part(&m))
    };
    let sources = workspace.sources.iter().filter(is_in_a_part);
    sources.flat_map(|source| check_source(source, manifest, &exports)).collect()
}

/// The names at the crate's root that come from its parts.
fn exports(root: &Source) -> BTreeMap<String, String> {
    let is_part = |path: &Path| path.segments.first().is_some_and(|first| part(first).is_some());
    let paths = root.paths().into_iter().filter(is_part);
    paths.map(|path| (path.name, path.segments[0].clone())).collect()
}

fn is_of_part(module: &[String]) -> bool {
    module.first().is_some_and(|first| part(first).is_some())
}

fn part(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.name == name)
}

fn check_source(source: &Source, manifest: &Manifest, exports: &BTreeMap<String, String>) -> Vec<Finding> {
    let Some(module) = module_of(&source.path).filter(|module| !module.is_empty()) else { return Vec::new() };
    let finding = |line, rule: String, advice: String| Finding::new(&source.path, line, rule, advice);
    let Some(part) = part(&module[0]) else {
        let rule = format!("{} is no part of {TABLE}", module[0]);
        return vec![finding(1, rule, "add it there and to tests/tidy, or move the file".to_owned())];
    };
    let mut findings = Vec::new();
    for path in source.paths() {
        let inner = path.in_crate(&module).and_then(|segments| segments.into_iter().next());
        let target = match (&inner, path.package()) {
            (Some(first), _) => PARTS
                .iter()
                .map(|part| part.name)
                .find(|name| name == first)
                .or_else(|| exports.get(first).map(String::as_str)),
            (None, Some(package)) => {
                CRATES_OF_PARTS.iter().find(|(_, name)| *name == package).map(|(part, _)| *part)
            }
            (None, None) => None,
        };
        let line = path.line;
        match (target, inner, path.package()) {
            (Some("frame"), ..)
                if part.name == "net"
                    && path.segments.get(1).map(String::as_str) != Some(NET_IMPORTS_OF_FRAME) =>
            {
                let rule = format!("net imports {}", path.segments.join("::"));
                let advice = format!("of frame, {TABLE} gives it {NET_IMPORTS_OF_FRAME} alone");
                findings.push(finding(line, rule, advice));
            }
            (Some(target), ..) if target == part.name || part.parts.contains(&target) => {}
            (Some(target), ..) => {
                let rule = format!("{} imports {target} ({})", part.name, path.segments.join("::"));
                let advice = format!(
                    "{TABLE} lets it import {}: move what both need down, or turn the call around",
                    part.parts.join(", ")
                );
                findings.push(finding(line, rule, advice));
            }
            (None, Some(first), _) => {
                let rule = format!("crate::{first} belongs to no part");
                findings.push(finding(line, rule, "name the part it comes from".to_owned()));
            }
            (None, None, Some(package)) if !path.in_test && is_dependency(manifest, package) => {
                if !part.packages.contains(&package) {
                    let rule = format!("{} uses the package {package}", part.name);
                    let advice = format!("{TABLE} gives it {}", list(part.packages));
                    findings.push(finding(line, rule, advice));
                }
            }
            (None, None, _) => {}
        }
    }
    findings
}

fn is_dependency(manifest: &Manifest, name: &str) -> bool {
    manifest.dependencies.iter().any(|dependency| dependency.package.replace('-', "_") == name)
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The module that a file of the root package is; empty for its root.
fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let segments = path.split('/').filter(|segment| *segment != "lib");
    Some(segments.map(str::to_owned).collect())
}

/// Finds dependencies of the crates that the table does not list.
pub(crate) fn check_crates(workspace: &Workspace) -> Vec<Finding> {
    let own = workspace
        .manifests
        .iter()
        .filter(|manifest| !FOREIGN.iter().any(|folder| manifest.folder.starts_with(folder)));
    own.flat_map(check_manifest).collect()
}

fn check_manifest(manifest: &Manifest) -> Vec<Finding> {
    let Some(package) = &manifest.package else { return Vec::new() };
    let place = format!("{}Cargo.toml", manifest.folder);
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| name == package) else {
        let advice = "add it there and to tests/tidy with what it may depend on";
        return vec![Finding::new(&place, 1, format!("{package} is no crate of {TABLE}"), advice)];
    };
    let dependencies = manifest.dependencies.iter().filter(|dependency| dependency.kind != Kind::Dev);
    dependencies
        .filter(|dependency| !allowed.contains(&dependency.package.as_str()))
        .map(|dependency| {
            let rule = format!("{package} depends on {}", dependency.package);
            Finding::new(&place, dependency.line, rule, format!("{TABLE} gives it {}", list(allowed)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"lariat\"\n[dependencies]\nbytes = \"1\"\nmio = \"1\"\n\
                            lariat-frame = \"1\"\nlariat-http2 = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
    const ROOT: &str =
        "mod net; pub use net::Address; pub use rpc::{Status as Outcome}; mod error; pub use error::Error;";

    fn findings(path: &str, text: &str) -> Vec<String> {
        let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", ROOT), (path, text)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        check_parts(&Workspace::new(files.into())).iter().map(Finding::to_string).collect()
    }

    #[track_caller]
    fn assert_found(path: &str, text: &str, expected: &str) {
        let found = findings(path, text);
        assert!(matches!(&found[..], [only] if only.starts_with(expected)), "{found:?}");
    }

    #[test]
    fn an_edge_outside_the_table_is_found_however_it_is_written() {
        assert_found("src/net/a.rs", "use crate::rpc::Status;", "src/net/a.rs:1: net imports rpc");
        assert_found("src/net/a.rs", "\nfn f() { crate::engine::g() }", "src/net/a.rs:2: net imports engine");
        assert_found("src/rpc/a.rs", "use crate::{\nnet::{Peer}};", "src/rpc/a.rs:2: rpc imports net");
        assert_found("src/rpc/a.rs", "use super::super::net::Peer;", "src/rpc/a.rs:1: rpc imports net");
        assert_found("src/rpc/mod.rs", "use super::net::Peer;", "src/rpc/mod.rs:1: rpc imports net");
        assert_found(
            "src/client/a.rs",
            "use crate::server::Server;",
            "src/client/a.rs:1: client imports server",
        );
        assert_found(
            "src/server/a.rs",
            "use crate::client::Channel;",
            "src/server/a.rs:1: server imports client",
        );
        assert_found(
            "src/error.rs",
            "enum E { A(crate::client::B) }",
            "src/error.rs:1: error imports client",
        );
        assert_found("src/rpc/a.rs", "use lariat_http2::Event;", "src/rpc/a.rs:1: rpc imports http2");
    }

    #[test]
    fn names_at_the_root_count_for_the_part_they_come_from() {
        assert_found(
            "src/rpc/a.rs",
            "use crate::Address;",
            "src/rpc/a.rs:1: rpc imports net (crate::Address)",
        );
        assert_found("src/net/a.rs", "use crate::Outcome;", "src/net/a.rs:1: net imports rpc");
        assert_found(
            "src/net/a.rs",
            "use crate::Nothing;",
            "src/net/a.rs:1: crate::Nothing belongs to no part",
        );
    }

    #[test]
    fn net_sees_nothing_of_frame_but_the_output_buffer() {
        assert_found(
            "src/net/a.rs",
            "use lariat_frame::{WriteBuf, Frame};",
            "src/net/a.rs:1: net imports lariat_frame::Frame",
        );
        assert_eq!(findings("src/net/a.rs", "use lariat_frame::WriteBuf;"), [""; 0]);
    }

    #[test]
    fn packages_are_edges_too_except_in_tests() {
        assert_found("src/client/a.rs", "use mio::Poll;", "src/client/a.rs:1: client uses the package mio");
        assert_found("src/rpc/a.rs", "fn f(p: ::mio::Poll) {}", "src/rpc/a.rs:1: rpc uses the package mio");
        assert_eq!(findings("src/rpc/a.rs", "#[cfg(test)] mod tests { use proptest::prelude::*; }"), [""; 0]);
    }

    #[test]
    fn edges_of_the_table_words_in_comments_and_own_modules_are_let_through() {
        let text = "//! As [`crate::server`] does.\nuse crate::net::Peer; use super::b::C; use crate::Error;\n\
                    use bytes::Bytes; use std::sync::Arc; use lariat_http2::Event; const A: &str = \"crate::server\";";
        assert_eq!(findings("src/client/a.rs", text), [""; 0]);
    }

    #[test]
    fn a_module_that_is_no_part_is_found() {
        assert_found("src/misc.rs", "", "src/misc.rs:1: misc is no part");
    }

    #[test]
    fn dependencies_outside_the_table_are_found() {
        let text = "[package]\nname = \"lariat-frame\"\n[dependencies]\nbytes = \"1\"\nslab = \"1\"\n\
                    [dev-dependencies]\nproptest = \"1\"\n";
        let found =
            Manifest::new("frame/Cargo.toml", text).map(|manifest| check_manifest(&manifest)).unwrap();
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "frame/Cargo.toml:5: lariat-frame depends on slab; the edge table of ARCHITECTURE.md gives it bytes"
            ]
        );
        let unknown = Manifest::new("x/Cargo.toml", "[package]\nname = \"lariat-x\"\n").unwrap();
        assert_eq!(check_manifest(&unknown).len(), 1);
    }
}
