//! How many descriptors the process may have open.

/// The soft limit of open files (RLIMIT_NOFILE), if there is one that the system tells.
pub(crate) fn descriptor_limit() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// Reads `/proc/self/limits` (proc_pid_limits(5)).
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number_of_its_line() {
        let limits = "Limit            Soft Limit  Hard Limit  Units\nMax open files   1024        4096        files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert!(descriptor_limit().is_none_or(|limit| limit > 0));
    }
}
