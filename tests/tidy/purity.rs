//! The pure parts: given the same input they do the same, on any machine and at any time. So they have no clock, lock,
//! thread or socket, and touch nothing of the world around them.

use crate::finding::Finding;
use crate::source::Source;
use crate::workspace::Workspace;

/// Files and folders that must be pure: the machines of the wire, and that of a channel's control plane.
const PURE: [&str; 14] = [
    "frame/src/",
    "http2/src/",
    "src/rpc/",
    "src/client/backoff.rs",
    "src/client/balancer/",
    "src/client/core/",
    "src/client/random.rs",
    "src/client/resolver/schedule.rs",
    "src/client/service_config/",
    "src/client/subchannel.rs",
    "src/client/watch.rs",
    "src/etcd/api.rs",
    "src/etcd/backends.rs",
    "src/etcd/entry.rs",
];

/// Modules of the standard library that reach out of the machine.
const IMPURE: [(&str, &str); 6] = [
    ("thread", "a thread"),
    ("net", "a socket"),
    ("fs", "a file"),
    ("process", "a process"),
    ("env", "the environment"),
    ("os", "the operating system"),
];

/// The one thing in `std::sync` that neither waits nor is changed from elsewhere.
const PURE_SYNC: [&str; 2] = ["Arc", "Weak"];

/// Finds impure code in the pure parts; their tests may do as they like.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let is_pure = |source: &&Source| PURE.iter().any(|pure| source.path.starts_with(pure));
    let sources = workspace.sources.iter().filter(is_pure).filter(|source| !workspace.is_test(&source.path));
    sources.flat_map(check_source).collect()
}

/// The one place of the engine that reads the time, so that a simulation can have a time of its own.
const CLOCK: &str = "src/net/clock.rs";

/// Finds other places that do.
pub(crate) fn check_clock(workspace: &Workspace) -> Vec<Finding> {
    let is_engine = |source: &&Source| source.path.starts_with("src/") && source.path != CLOCK;
    let sources =
        workspace.sources.iter().filter(is_engine).filter(|source| !workspace.is_test(&source.path));
    let advice = "use crate::net::clock::now";
    let finding =
        |path: &str, line| Finding::new(path, line, "a clock of its own (Instant::now)".to_owned(), advice);
    sources
        .flat_map(|source| {
            let reads = source.paths().into_iter().filter(|path| !path.in_test);
            let reads =
                reads.filter(|path| path.segments.ends_with(&["Instant".to_owned(), "now".to_owned()]));
            reads.map(|path| finding(&source.path, path.line)).collect::<Vec<_>>()
        })
        .collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line, what: &str| {
        let advice = "take what it gives as an argument, or do it in net, client or server";
        findings.push(Finding::new(&source.path, line, format!("{what} in a pure part"), advice));
    };
    for path in source.paths().iter().filter(|path| !path.in_test) {
        let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["std" | "core", module, ..] if IMPURE.iter().any(|(name, _)| *name == module) => {
                find(path.line, IMPURE.iter().find(|(name, _)| *name == module).map_or("", |(_, what)| what));
            }
            ["std" | "core", "sync", "atomic", ..] => find(path.line, "an atomic"),
            ["std" | "core", "sync", item, ..] if !PURE_SYNC.contains(&item) => find(path.line, "a lock"),
            [.., "Instant", "now"] => find(path.line, "a clock (Instant::now)"),
            _ => {}
        }
    }
    for (place, token) in source.code() {
        let Some(ident) = token.ident() else { continue };
        match ident {
            "SystemTime" | "UNIX_EPOCH" => find(token.line, "a clock (SystemTime)"),
            "elapsed" if place > 0 && source.is_at(place - 1, &[".", "elapsed", "("]) => {
                find(token.line, "a clock (elapsed)");
            }
            "print" | "println" | "eprint" | "eprintln" | "dbg" if source.is_at(place + 1, &["!"]) => {
                find(token.line, "output");
            }
            "thread_local" => find(token.line, "a thread (thread_local)"),
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let found = check_source(&Source::new("frame/src/a.rs", text));
        let advice = "; take what it gives as an argument, or do it in net, client or server";
        found.iter().map(|found| found.to_string().replace(advice, "")).collect()
    }

    #[test]
    fn clocks_locks_atomics_threads_and_sockets_are_found() {
        for (text, what) in [
            ("let a = Instant::now();", "a clock (Instant::now)"),
            ("let a = std::time::Instant::now();", "a clock (Instant::now)"),
            ("let a = start.elapsed();", "a clock (elapsed)"),
            ("use std::time::SystemTime;", "a clock (SystemTime)"),
            ("use std::sync::{Arc, Mutex};", "a lock"),
            ("static A: std::sync::OnceLock<u8> = x;", "a lock"),
            ("use std::sync::atomic::AtomicBool;", "an atomic"),
            ("use std::thread;", "a thread"),
            ("std::thread::spawn(f);", "a thread"),
            ("use std::net::TcpStream;", "a socket"),
            ("use std::{fs::File};", "a file"),
            ("println!();", "output"),
        ] {
            assert_eq!(findings(&format!("\n{text}")), [format!("frame/src/a.rs:2: {what} in a pure part")]);
        }
    }

    #[test]
    fn time_as_an_argument_shared_ownership_and_tests_are_let_through() {
        let text = "use std::sync::{Arc, Weak}; use std::time::{Duration, Instant};
            /// Not `Instant::now`.
            fn f(now: Instant) -> Duration { now.saturating_duration_since(self.elapsed) }
            #[cfg(test)] mod tests { use std::thread; fn g() { Instant::now(); } }";
        assert_eq!(findings(text), [""; 0]);
    }
}
