//! Traces of the machine that a change was made on: paths that exist nowhere else, and hosts that nobody else can
//! reach.

use std::env;

use crate::finding::Finding;
use crate::workspace::Workspace;

/// Where people and build machines keep their files. In two pieces, so that this file names none.
const FOLDERS: [&str; 4] =
    [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/"), concat!("/", "work/")];

/// Hosts that texts may link to. A mirror of a registry is what has no place here: whoever builds this has another one.
const HOSTS: [&str; 15] = [
    "crates.io",
    "datatracker.ietf.org",
    "docs.rs",
    "example.com",
    "github.com",
    "grpc.io",
    "keepachangelog.com",
    "localhost",
    "semver.org",
    "static.crates.io",
    "www.apache.org",
    "www.example.com",
    "www.rfc-editor.org",
    "www.w3.org",
    "127.0.0.1",
];

/// Finds paths of a machine and hosts that are not listed, in every text file.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let here = folders_of_this_machine();
    let folders: Vec<&str> = FOLDERS.into_iter().chain(here.iter().map(String::as_str)).collect();
    let mut findings = Vec::new();
    for (path, text) in &workspace.files {
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(folder) = folders.iter().find(|folder| names_folder(content, folder)) {
                let advice = "write a path relative to the project, or let the environment say it";
                findings.push(Finding::new(path, line, format!("a path of one machine ({folder})"), advice));
            }
            if let Some(host) = hosts(content).find(|host| !HOSTS.contains(host)) {
                let advice =
                    "name the public one, or add the host to tests/tidy/traces.rs if anybody can reach it";
                findings.push(Finding::new(
                    path,
                    line,
                    format!("a host that is not listed ({host})"),
                    advice,
                ));
            }
        }
    }
    findings
}

/// The folders in which this test was built and is run, if they are more than a folder or two deep.
fn folders_of_this_machine() -> Vec<String> {
    let own = Some(env!("CARGO_MANIFEST_DIR").to_owned());
    let folders = ["HOME", "CARGO_HOME", "RUSTUP_HOME"].map(|name| env::var(name).ok());
    let deep = |folder: &String| folder.matches('/').count() > 1;
    folders.into_iter().chain([own]).flatten().filter(deep).map(|folder| format!("{folder}/")).collect()
}

/// Whether a line has the folder at the beginning of a path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~/}".contains(c))
    })
}

/// The hosts of a line's URLs. Names without a dot are nobody's.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    let behind = line.split("http://").skip(1).chain(line.split("https://").skip(1));
    behind.filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))).unwrap_or(rest.len());
        let host = rest[..end].trim_matches('.');
        host.contains('.').then_some(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let workspace = Workspace::new([("a.md".to_owned(), text.to_owned())].into());
        check(&workspace)
            .iter()
            .map(|found| found.to_string().split(';').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in FOLDERS {
            let found = findings(&format!("\nsee `{folder}me/file`"));
            assert_eq!(found, [format!("a.md:2: a path of one machine ({folder})")]);
            assert_eq!(findings(&format!("$PREFIX{folder}x ..{folder}x")), [""; 0]);
        }
        let own = env!("CARGO_MANIFEST_DIR");
        assert!(!findings(&format!("{own}/src")).is_empty());
    }

    #[test]
    fn hosts_that_are_not_listed_are_found() {
        let scheme = concat!("https:", "//");
        let found = findings(&format!("index = \"sparse+{scheme}mirror.internal:8443/index/\""));
        assert_eq!(found, ["a.md:1: a host that is not listed (mirror.internal)"]);
        assert_eq!(findings("https://github.com/x, http://localhost:80/, http://a, https://..."), [""; 0]);
    }
}
