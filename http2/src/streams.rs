//! [`Streams`]: the open streams of a connection, and their keys.

use crate::id_table::IdTable;
use crate::send_queue::SendQueue;
use crate::state::{Expected, State};
use crate::window::{MAX_WINDOW, ReceiveWindow, Window};
use lariat_frame::StreamId;

/// Names a stream of one connection. When the stream is gone its key is of no effect anywhere, even if its place has
/// been taken by another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    index: u32,
    id: StreamId,
}

impl StreamKey {
    /// No stream: no record has this index.
    const NONE: StreamKey = StreamKey { index: u32::MAX, id: StreamId::ZERO };

    /// The stream's identifier on the wire.
    #[inline]
    pub fn id(self) -> StreamId {
        self.id
    }

    /// A small number that no other open stream of the connection has: fit as an index. It is used again once the
    /// stream is gone.
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// One open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    /// The application's word for it.
    pub(crate) token: u32,
    pub(crate) state: State,
    /// What the peer has to send next.
    pub(crate) expected: Expected,
    /// Whether this side's request or response head was sent.
    pub(crate) head_sent: bool,
    /// Whether the stream waits for the end of its request.
    pub(crate) linger: Linger,
    /// Whether the request was HEAD, so that the response's content-length is about content that won't come.
    pub(crate) is_head_request: bool,
    /// Octets of content still to come, if content-length said how many there are.
    pub(crate) content_left: Option<u64>,
    pub(crate) send: Window,
    pub(crate) receive: ReceiveWindow,
    pub(crate) queue: SendQueue,
    pub(crate) link: Link,
}

impl Stream {
    pub(crate) fn new(id: StreamId, expected: Expected) -> Self {
        Stream {
            id,
            token: 0,
            state: State::Open,
            expected,
            head_sent: false,
            linger: Linger::No,
            is_head_request: false,
            content_left: None,
            send: Window::default(),
            receive: ReceiveWindow::default(),
            queue: SendQueue::default(),
            link: Link::default(),
        }
    }
}

/// Whether a stream whose response is complete waits for the end of its request; otherwise it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Linger {
    No,
    /// It will, once the response is complete.
    Wanted,
    /// It does.
    Waiting,
    /// It did so already when last looked at.
    Overdue,
}

/// A stream's place in the scheduler's list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    pub(crate) listed: bool,
    pub(crate) previous: Option<StreamKey>,
    pub(crate) next: Option<StreamKey>,
}

/// The open streams. Their records are used again and again, so that opening and closing streams allocates nothing in
/// the long run; frames find them by one look-up, or none when the last frame was for the same stream or the stream is
/// the newest.
#[derive(Debug)]
pub(crate) struct Streams {
    /// A free record has the identifier zero.
    records: Vec<Stream>,
    /// The places of free records.
    free: Vec<u32>,
    places: IdTable,
    last: StreamKey,
    /// The stream opened last, if it is open. It enters `places` when the next one is opened: many a server's stream is
    /// gone before that.
    newest: StreamKey,
    /// No stream's send credit is over this.
    highest_credit: i64,
}

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        Streams {
            records: Vec::new(),
            free: Vec::new(),
            places: IdTable::new(seed),
            last: StreamKey::NONE,
            newest: StreamKey::NONE,
            highest_credit: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a stream.
    #[inline(always)]
    pub(crate) fn insert(&mut self, id: StreamId, expected: Expected) -> (StreamKey, &mut Stream) {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                if self.records.capacity() == 0 {
                    // Many connections have one stream at a time.
                    self.records.reserve_exact(1);
                }
                self.records.push(Stream::new(StreamId::ZERO, expected));
                // There are fewer than 2^31 identifiers.
                (self.records.len() - 1) as u32
            }
        };
        if self.newest != StreamKey::NONE {
            self.places.insert(self.newest.id.get(), self.newest.index);
        }
        self.last = StreamKey { index, id };
        self.newest = self.last;
        let record = &mut self.records[index as usize];
        // The queue of a free record is empty; taken over, it need not be dropped.
        let queue = std::mem::take(&mut record.queue);
        *record = Stream { queue, ..Stream::new(id, expected) };
        (self.last, record)
    }

    /// Frees the record of a stream; its token.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: StreamKey) -> Option<u32> {
        let stream = self.get_mut(key)?;
        stream.id = StreamId::ZERO;
        stream.queue.clear();
        let token = stream.token;
        if key == self.newest {
            self.newest = StreamKey::NONE;
        } else {
            self.places.remove(key.id.get());
        }
        self.free.push(key.index);
        self.last = StreamKey::NONE;
        Some(token)
    }

    /// The key of the open stream with this identifier.
    #[inline]
    pub(crate) fn find(&mut self, id: StreamId) -> Option<StreamKey> {
        self.find_mut(id).map(|(key, _)| key)
    }

    /// The open stream with this identifier.
    #[inline]
    pub(crate) fn find_mut(&mut self, id: StreamId) -> Option<(StreamKey, &mut Stream)> {
        if self.newest.id == id {
            self.last = self.newest;
        } else if self.last.id != id {
            let index = self.places.get(id.get())?;
            self.last = StreamKey { index, id };
        }
        let stream = self.records.get_mut(self.last.index())?;
        Some((self.last, stream))
    }

    #[inline]
    pub(crate) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.records.get(key.index()).filter(|stream| stream.id == key.id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.records.get_mut(key.index()).filter(|stream| stream.id == key.id)
    }

    /// The keys of all streams, in no order that means anything.
    pub(crate) fn keys(&self) -> Vec<StreamKey> {
        let keyed = self
            .records
            .iter()
            .enumerate()
            .map(|(index, stream)| StreamKey { index: index as u32, id: stream.id });
        keyed.filter(|key| !key.id.is_zero()).collect()
    }

    /// Notes that some stream's send credit has reached `credit`.
    #[inline]
    pub(crate) fn note_credit(&mut self, credit: i64) {
        self.highest_credit = self.highest_credit.max(credit);
    }

    /// Whether all send windows stay within bounds with this initial window size.
    pub(crate) fn windows_fit(&mut self, initial_window: u32) -> bool {
        let fits = |credit: i64| i64::from(initial_window) + credit <= i64::from(MAX_WINDOW);
        if !fits(self.highest_credit) {
            // The stream that had so much credit may be gone. This look at all streams is paid for by those that raised
            // the bound since the last one.
            let open = self.records.iter().filter(|stream| !stream.id.is_zero());
            self.highest_credit = open.map(|stream| stream.send.credit()).max().unwrap_or(0).max(0);
        }
        fits(self.highest_credit)
    }

    /// Gives memory back that many streams at once have needed.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.records = Vec::new();
            self.free = Vec::new();
        }
        self.places.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(streams: &mut Streams, id: u32) -> StreamKey {
        streams.insert(StreamId::new(id), Expected::Content).0
    }

    #[test]
    fn a_key_is_of_no_effect_after_its_place_was_taken() {
        let mut streams = Streams::new(1);
        let first = open(&mut streams, 1);
        assert_eq!(streams.find(first.id()), Some(first));
        assert!(streams.remove(first).is_some());
        assert_eq!(streams.find(first.id()), None);
        let second = open(&mut streams, 3);
        assert_eq!(second.index(), first.index());
        assert!(streams.get(first).is_none() && streams.remove(first).is_none());
        assert!(streams.get(second).is_some());
    }

    #[test]
    fn windows_fit_again_when_the_stream_with_much_credit_is_gone() {
        let mut streams = Streams::new(1);
        let key = open(&mut streams, 1);
        let stream = streams.get_mut(key).unwrap();
        assert!(stream.send.give(0, MAX_WINDOW));
        let credit = stream.send.credit();
        streams.note_credit(credit);
        assert!(streams.windows_fit(0) && !streams.windows_fit(1));
        streams.remove(key);
        assert!(streams.windows_fit(MAX_WINDOW));
    }
}
