//! What the benchmarks share: how long they run, the header lists of a gRPC call, and a service on loopback.
//!
//! `cargo bench -p lariat-benches` runs them all, `--bench hpack` one file, and `-- repeated` those with that word
//! in their name. Numbers drift with the machine by 30 % and more: compare runs made one right after the other.

mod echo;
pub mod header_lists;

pub use echo::{Echo, EchoClient};

use criterion::Criterion;
use std::time::Duration;

/// Benchmarks of a few seconds each: long enough to see a change of some percent, short enough to run all.
pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
