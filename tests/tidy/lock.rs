//! The lock file: what the engine is built of, down to the last package.

use std::collections::{BTreeMap, VecDeque};

use crate::finding::Finding;
use crate::workspace::Workspace;

/// What Lariat does by itself must not come in by a dependency's back door.
const FORBIDDEN: [&str; 4] = ["h2", "hyper", "tonic", "tokio"];

/// Where packages come from, for everybody who builds this.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package of a lock file.
#[derive(Default)]
struct Package {
    name: String,
    line: usize,
    dependencies: Vec<String>,
}

/// Finds foreign HTTP/2 stacks and async runtimes in the engine's tree, that of its tests included.
pub(crate) fn check_tree(workspace: &Workspace) -> Vec<Finding> {
    workspace.files.get("Cargo.lock").map_or_else(Vec::new, |text| check_tree_of("lariat", text))
}

fn check_tree_of(root: &str, text: &str) -> Vec<Finding> {
    let packages = parse(text);
    // By name alone: when there are several versions of a package, all of them count.
    let mut chains: BTreeMap<&str, String> = [(root, root.to_owned())].into();
    let mut open: VecDeque<&str> = [root].into();
    let mut findings = Vec::new();
    while let Some(name) = open.pop_front() {
        let chain = chains.get(name).cloned().unwrap_or_default();
        for package in packages.iter().filter(|package| package.name == name) {
            if FORBIDDEN.iter().any(|forbidden| is_of_family(name, forbidden)) {
                let advice = format!("do without what brings it in: {chain}");
                findings.push(Finding::new(
                    "Cargo.lock",
                    package.line,
                    format!("{name} in the engine's tree"),
                    advice,
                ));
            }
            for dependency in &package.dependencies {
                if !chains.contains_key(dependency.as_str()) {
                    chains.insert(dependency, format!("{chain} -> {dependency}"));
                    open.push_back(dependency);
                }
            }
        }
    }
    findings
}

/// `tokio` and `tokio-util`, but not `tokiox`.
fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Finds packages that do not come from the public registry, in every lock file.
pub(crate) fn check_sources(workspace: &Workspace) -> Vec<Finding> {
    let locks = workspace.files.iter().filter(|(path, _)| path.ends_with("Cargo.lock"));
    let mut findings = Vec::new();
    for (path, text) in locks {
        let sources =
            (1..).zip(text.lines()).filter_map(|(line, content)| Some((line, value_of(content, "source")?)));
        for (line, _) in sources.filter(|(_, source)| *source != SOURCE) {
            let advice = "lock it anew without a replaced registry or a git dependency";
            findings.push(Finding::new(path, line, "a package from elsewhere than crates.io", advice));
        }
    }
    findings
}

fn parse(text: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        if content == "[[package]]" {
            packages.push(Package { line, ..Package::default() });
        }
        let Some(package) = packages.last_mut() else { continue };
        if let Some(name) = value_of(content, "name") {
            package.name = name.to_owned();
        } else if let Some(dependency) = content.strip_prefix(" \"") {
            // `name`, or `name version` when there are several.
            let name = dependency.split([' ', '"']).next().unwrap_or_default();
            package.dependencies.push(name.to_owned());
        }
    }
    packages
}

fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n
[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b\",\n]\n
[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"
dependencies = [\n \"tokio-util 0.7.1\",\n]\n
[[package]]\nname = \"c\"\nversion = \"1.0.0\"\ndependencies = [\n \"hyper\",\n]\n
[[package]]\nname = \"hyper\"\nversion = \"1.0.0\"\nsource = \"registry+https://example.com/index\"\n
[[package]]\nname = \"tokio-util\"\nversion = \"0.7.1\"\n";

    #[test]
    fn a_forbidden_package_is_found_with_the_way_it_came_in() {
        let found: Vec<String> = check_tree_of("a", LOCK).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            ["Cargo.lock:30: tokio-util in the engine's tree; \
              do without what brings it in: a -> b -> tokio-util"]
        );
        assert_eq!(check_tree_of("hyper", LOCK).len(), 1);
    }

    #[test]
    fn names_that_only_begin_alike_are_let_through() {
        assert!(is_of_family("h2", "h2") && is_of_family("h2-support", "h2"));
        assert!(!is_of_family("h2spec", "h2") && !is_of_family("hyperloop", "hyper"));
    }

    #[test]
    fn packages_from_elsewhere_are_found() {
        let workspace = Workspace::new([("x/Cargo.lock".to_owned(), LOCK.to_owned())].into());
        let found: Vec<String> = check_sources(&workspace).iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("x/Cargo.lock:28: a package from elsewhere"), "{found:?}");
    }
}
