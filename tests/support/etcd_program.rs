//! Where etcd's program is, for the tests that need one.

use std::path::PathBuf;

/// The program, or `None` with the reason printed why a test is skipped, which is a failure where
/// `LARIAT_REQUIRE_ETCD` is set.
pub(crate) fn program() -> Option<PathBuf> {
    let found = match std::env::var_os("LARIAT_ETCD") {
        Some(path) => Some(PathBuf::from(path)),
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("etcd"))
            .find(|path| path.is_file()),
    };
    if found.is_none() {
        assert!(std::env::var_os("LARIAT_REQUIRE_ETCD").is_none(), "there is no etcd, and it is required");
        eprintln!("skipped: there is no etcd in PATH, and LARIAT_ETCD does not name one");
    }
    found
}
