//! What gives free memory back to the system although the allocator has reasons to keep it.
//!
//! glibc returns what is free at the end of a heap. It also keeps, for each thread and each size up to 1,032 octets, up
//! to seven chunks that were freed, and counts them as used: after a burst, a few of these near the end hold all the
//! free memory before them. malloc_trim(3) would help, but cannot be called without `unsafe`, and looks through the
//! memory of the whole process. Other allocators lose nothing by what is done here but some microseconds.

use std::array;
use std::hint::black_box;

/// The sizes of which chunks are kept, and how many of each (glibc's `tcache`).
const SIZES: std::ops::RangeInclusive<usize> = 24..=1_032;
const STEP: usize = 16;
const KEPT: usize = 7;
/// Of so many chunks of a size, those that lie foremost are kept.
const CHOICE: usize = 4 * KEPT;
/// The chunks of a round come from gaps before those that were kept, and these from gaps before them.
const ROUNDS: usize = 8;
/// A freed chunk of this size has glibc join what is free side by side, and return what is free at the end
/// (`FASTBIN_CONSOLIDATION_THRESHOLD`).
const JOINS: usize = 64 * 1024;

/// Has the allocator keep other chunks for this thread than those it happens to keep: such as lie further to the front
/// of the heap.
pub(super) fn keep_chunks_in_front() {
    let mut others = Vec::with_capacity(SIZES.count() / STEP * CHOICE);
    for _ in 0..ROUNDS {
        for size in SIZES.step_by(STEP) {
            let mut chunks: [Vec<u8>; CHOICE] = array::from_fn(|_| black_box(Vec::with_capacity(size)));
            chunks.sort_unstable_by_key(|chunk| chunk.as_ptr());
            let mut chunks = chunks.into_iter();
            // Those that are freed first are kept; there is no room for the rest.
            chunks.by_ref().take(KEPT).for_each(drop);
            others.extend(chunks);
        }
        others.clear();
        drop(black_box(Vec::<u8>::with_capacity(JOINS)));
    }
}
