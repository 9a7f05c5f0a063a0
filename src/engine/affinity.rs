//! The core that a loop's thread is pinned to.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core that this process may run on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    number: usize,
}

impl Core {
    /// The core with this number.
    pub(super) fn find(number: usize) -> io::Result<Core> {
        let allowed = allowed()?;
        if allowed.contains(&number) {
            return Ok(Core { number });
        }
        let allowed: Vec<_> = allowed.iter().map(usize::to_string).collect();
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "core {number} is not among those that this process may run on: {}; choose one of them",
                allowed.join(", ")
            ),
        ))
    }

    /// Pins the calling thread. If the core was taken from the process meanwhile, the thread stays where it was.
    pub(super) fn pin_thread(self) {
        let mut cores = CpuSet::new();
        cores.set(self.number);
        let _ = sched_setaffinity(None, &cores);
    }
}

/// The numbers of the cores that the calling thread may run on.
fn allowed() -> io::Result<Vec<usize>> {
    let cores = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&number| cores.is_set(number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_core_alone_and_a_core_that_is_not_there_is_named() {
        let last = *allowed().unwrap().last().expect("there is a core");
        let pinned = std::thread::spawn(move || {
            Core::find(last).unwrap().pin_thread();
            allowed().unwrap()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
        let error = Core::find(99_999).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("core 99999 is not among those"), "{error}");
    }
}
