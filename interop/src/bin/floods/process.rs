//! [`Process`]: what another process uses, by what the kernel tells of it.

use std::fs;
use std::time::Duration;

pub(crate) struct Process {
    id: u32,
}

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Process { id }
    }

    /// Memory that is resident now, in octets.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that was resident since [`forget_peak`](Self::forget_peak), in octets.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Makes the memory that is resident now the peak (proc_pid_clear_refs(5)).
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id), "5").expect("the peak can be forgotten");
    }

    /// Processor time, of user and system together.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = self.read("stat");
        // What stands before is the name in parentheses, which may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux tells it to programs in hundredths of a second on every system in use.
        Duration::from_millis(ticks * 10)
    }

    fn status(&self, field: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.id)).unwrap_or_default()
    }
}
