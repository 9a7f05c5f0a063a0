//! [`Scheduler`]: whose turn it is to send queued DATA.

use crate::streams::{Link, StreamKey, Streams};

/// The streams with queued DATA that their own window allows to send, each once, in the order of their turns.
///
/// A list through the records of the streams themselves: joining and leaving take constant time and no memory.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    first: Option<StreamKey>,
    last: Option<StreamKey>,
}

impl Scheduler {
    /// Whether no stream waits for its turn.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The stream whose turn it is.
    #[inline]
    pub(crate) fn first(&self) -> Option<StreamKey> {
        self.first
    }

    /// Lets a stream join behind all others, unless it is in the list already.
    pub(crate) fn join(&mut self, streams: &mut Streams, key: StreamKey) {
        let Some(stream) = streams.get_mut(key).filter(|stream| !stream.link.listed) else { return };
        stream.link = Link { listed: true, previous: self.last, next: None };
        match self.last.and_then(|last| streams.get_mut(last)) {
            Some(last) => last.link.next = Some(key),
            None => self.first = Some(key),
        }
        self.last = Some(key);
    }

    /// Lets a stream leave, if it is in the list.
    pub(crate) fn leave(&mut self, streams: &mut Streams, key: StreamKey) {
        let Some(stream) = streams.get_mut(key).filter(|stream| stream.link.listed) else { return };
        let Link { previous, next, .. } = std::mem::take(&mut stream.link);
        match previous.and_then(|previous| streams.get_mut(previous)) {
            Some(previous) => previous.link.next = next,
            None => self.first = next,
        }
        match next.and_then(|next| streams.get_mut(next)) {
            Some(next) => next.link.previous = previous,
            None => self.last = previous,
        }
    }

    /// Ends the turn of a stream: all others come before its next one.
    pub(crate) fn rotate(&mut self, streams: &mut Streams, key: StreamKey) {
        if self.last != Some(key) {
            self.leave(streams, key);
            self.join(streams, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Expected;
    use lariat_frame::StreamId;

    fn order(scheduler: &Scheduler, streams: &Streams) -> Vec<u32> {
        let next = |key: &StreamKey| streams.get(*key).and_then(|stream| stream.link.next);
        std::iter::successors(scheduler.first(), next).map(|key| key.id().get()).collect()
    }

    #[test]
    fn streams_join_behind_leave_anywhere_and_take_turns() {
        let mut streams = Streams::new(1);
        let mut scheduler = Scheduler::default();
        let keys: Vec<StreamKey> =
            [1, 3, 5, 7].map(|id| streams.insert(StreamId::new(id), Expected::Content).0).to_vec();
        for &key in &keys {
            scheduler.join(&mut streams, key);
            scheduler.join(&mut streams, key);
        }
        assert_eq!(order(&scheduler, &streams), [1, 3, 5, 7]);
        scheduler.leave(&mut streams, keys[1]);
        scheduler.leave(&mut streams, keys[1]);
        assert_eq!(order(&scheduler, &streams), [1, 5, 7]);
        scheduler.rotate(&mut streams, keys[0]);
        assert_eq!(order(&scheduler, &streams), [5, 7, 1]);
        scheduler.leave(&mut streams, keys[0]);
        scheduler.leave(&mut streams, keys[2]);
        scheduler.rotate(&mut streams, keys[3]);
        assert_eq!(order(&scheduler, &streams), [7]);
        scheduler.leave(&mut streams, keys[3]);
        assert!(scheduler.is_empty());
        scheduler.join(&mut streams, keys[1]);
        assert_eq!(order(&scheduler, &streams), [3]);
    }
}
