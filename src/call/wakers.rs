//! [`Wakers`]: those who wait for the same thing.

use std::task::Waker;

use slab::Slab;

/// The wakers of futures that wait for the same thing, with a place for each until it is dropped: one that is given up
/// leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    places: Slab<Option<Waker>>,
}

/// A future's place, once it has one.
pub(crate) type Place = Option<usize>;

impl Wakers {
    /// Keeps the waker in the future's place.
    pub(crate) fn keep(&mut self, place: &mut Place, waker: &Waker) {
        let index = *place.get_or_insert_with(|| self.places.insert(None));
        match &mut self.places[index] {
            Some(kept) => kept.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Gives up the place of a future that is dropped.
    pub(crate) fn leave(&mut self, place: Place) {
        if let Some(index) = place {
            self.places.remove(index);
        }
    }

    /// All wakers, to be woken without the lock.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        self.places.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
