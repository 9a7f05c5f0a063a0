//! The core that a loop's thread is pinned to.

use std::io;

use core_affinity::CoreId;

/// A core that this process may run on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    id: CoreId,
}

impl Core {
    /// The core with this number.
    pub(super) fn find(number: usize) -> io::Result<Core> {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        if let Some(&id) = allowed.iter().find(|core| core.id == number) {
            return Ok(Core { id });
        }
        let allowed: Vec<_> = allowed.iter().map(|core| core.id.to_string()).collect();
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "core {number} is not among those that this process may run on: {}",
                match allowed.is_empty() {
                    true => "the system does not tell which these are".to_owned(),
                    false => allowed.join(", "),
                }
            ),
        ))
    }

    /// Pins the calling thread. If the core was taken from the process meanwhile, the thread stays where it was.
    pub(super) fn pin_thread(self) {
        core_affinity::set_for_current(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_core_alone_and_a_core_that_is_not_there_is_named() {
        let allowed = core_affinity::get_core_ids().expect("Linux tells");
        let last = allowed.last().expect("there is a core").id;
        let pinned = std::thread::spawn(move || {
            Core::find(last).unwrap().pin_thread();
            core_affinity::get_core_ids().unwrap()
        });
        assert_eq!(pinned.join().unwrap().iter().map(|core| core.id).collect::<Vec<_>>(), [last]);
        let error = Core::find(99_999).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("core 99999 is not among those"), "{error}");
    }
}
