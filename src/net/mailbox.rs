//! How threads reach a loop: messages over a channel, and a wake-up only if the loop sleeps.
//!
//! A note from the loop's own thread takes neither: it goes into a queue of that thread which the loop empties before
//! the turn ends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::address::Address;
use super::alarm::Alarm;
use super::listener::BoundListener;
use super::peer::PeerAddress;
use super::security::Security;
use super::session::{Session, Task};
use super::socket::Socket;
use super::stats::{Counters, LoopStats};

/// A place on a loop: index and generation, so that a note to what is gone reaches nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// "Look at this slot": what a waker says to a session or task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) token: Token,
    pub(crate) slot: u32,
}

/// Names a listener across loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId(u64);

pub(super) enum Message {
    Note(Note),
    /// The future of `block_on` wants to be polled.
    Main,
    Adopt(Socket, PeerAddress, Box<dyn Session>, Security),
    Connect(Address, Instant, Box<dyn Session>, Security),
    Listen(ListenerId, BoundListener),
    CloseListener(ListenerId),
    Spawn(Box<dyn Task>),
    Sleep(Instant, Arc<Alarm>),
    /// Much memory was freed.
    Freed,
    /// For what it does to the channel.
    Nothing,
    /// Nobody waits for this alarm any more.
    Silence(Arc<Alarm>),
    Stop,
}

/// The address of a loop. Cheap to clone; works from any thread.
#[derive(Clone)]
pub(crate) struct LoopHandle {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    sender: Sender<Message>,
    waker: mio::Waker,
    sleeping: AtomicBool,
    /// The channel may hold messages. A flag, since the loop looks in each turn and rarely finds any.
    posted: AtomicBool,
    /// Connections on the loop, for placing new ones.
    connections: AtomicUsize,
    /// Counted by those who wake the loop, each of whom has made a system call anyway.
    wake_ups: AtomicU64,
    counters: Counters,
}

/// The loop's end of its mailbox.
pub(super) struct Mailbox {
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

struct Local {
    id: u64,
    handle: LoopHandle,
    notes: VecDeque<Note>,
    main: bool,
}

thread_local! {
    /// The loop that runs on this thread, while it does.
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
    /// Whether `LOCAL` has notes, or `main` is set. Apart from it, since the loop looks several times a turn.
    static NOTED: Cell<bool> = const { Cell::new(false) };
}

impl Local {
    /// Keeps `NOTED` true to what is here.
    fn tell(&self) {
        NOTED.set(self.main || !self.notes.is_empty());
    }
}

/// Whether the calling thread is inside an event loop, where blocking would stop everything that the loop serves.
pub fn on_event_loop() -> bool {
    with_local(|local| local.is_some()).unwrap_or(false)
}

/// `None` when the thread is ending and its own values are being dropped: no loop runs on it any more.
fn with_local<R>(look: impl FnOnce(&mut Option<Local>) -> R) -> Option<R> {
    LOCAL.try_with(|local| look(&mut local.borrow_mut())).ok()
}

pub(super) fn mailbox(waker: mio::Waker) -> (LoopHandle, Mailbox) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let shared = Arc::new(Shared {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        sender,
        waker,
        sleeping: AtomicBool::new(false),
        posted: AtomicBool::new(false),
        connections: AtomicUsize::new(0),
        wake_ups: AtomicU64::new(0),
        counters: Counters::default(),
    });
    (LoopHandle { shared: Arc::clone(&shared) }, Mailbox { receiver, shared })
}

impl ListenerId {
    pub(crate) fn next() -> ListenerId {
        ListenerId(NEXT_ID.fetch_add(1, Ordering::Relaxed))
    }
}

impl LoopHandle {
    /// The loop that runs on this thread.
    pub(crate) fn current() -> Option<LoopHandle> {
        with_local(|local| local.as_ref().map(|local| local.handle.clone())).flatten()
    }

    /// Has `handle_wake(slot)` of the session or task at `note.token` called soon.
    pub(crate) fn wake(&self, note: Note) {
        if !self.on_own_thread(|local| local.notes.push_back(note)) {
            self.post(Message::Note(note));
        }
    }

    pub(super) fn wake_main(&self) {
        if !self.on_own_thread(|local| local.main = true) {
            self.post(Message::Main);
        }
    }

    /// Does something to this loop's own queue if the calling thread is the loop's. False if it is not.
    fn on_own_thread(&self, work: impl FnOnce(&mut Local)) -> bool {
        let own = with_local(|local| match local {
            Some(local) if local.id == self.shared.id => {
                work(local);
                local.tell();
                true
            }
            _ => false,
        });
        own == Some(true)
    }

    /// Takes over a connected socket.
    pub(crate) fn adopt(
        &self,
        socket: Socket,
        peer: PeerAddress,
        session: Box<dyn Session>,
        security: Security,
    ) {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.post(Message::Adopt(socket, peer, session, security));
    }

    /// Connects without blocking; the session learns how it went by `handle_open` or `handle_closed`. By the deadline
    /// the connection has to be secured, too.
    pub(crate) fn connect(
        &self,
        address: Address,
        deadline: Instant,
        session: Box<dyn Session>,
        security: Security,
    ) {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.post(Message::Connect(address, deadline, session, security));
    }

    pub(crate) fn listen(&self, id: ListenerId, listener: BoundListener) {
        self.post(Message::Listen(id, listener));
    }

    pub(crate) fn close_listener(&self, id: ListenerId) {
        self.post(Message::CloseListener(id));
    }

    pub(crate) fn spawn(&self, task: Box<dyn Task>) {
        self.post(Message::Spawn(task));
    }

    pub(crate) fn sleep(&self, deadline: Instant, alarm: Arc<Alarm>) {
        self.post(Message::Sleep(deadline, alarm));
    }

    /// Gives up a [`LoopHandle::sleep`].
    pub(crate) fn silence(&self, alarm: Arc<Alarm>) {
        self.post(Message::Silence(alarm));
    }

    /// Much memory was freed on the loop's thread, which the system should have back.
    pub(crate) fn freed(&self) {
        self.post(Message::Freed);
    }

    /// Ends the loop: its sessions are told, its sockets closed.
    pub(crate) fn stop(&self) {
        self.post(Message::Stop);
    }

    /// How many connections the loop has or is about to have.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    pub(super) fn connection_closed(&self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> LoopStats {
        let wake_ups = self.shared.wake_ups.load(Ordering::Relaxed);
        LoopStats { wake_ups, connections: self.connections() as u64, ..self.shared.counters.snapshot() }
    }

    /// Where the loop counts.
    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether the calling thread is this loop's.
    pub(crate) fn is_current(&self) -> bool {
        self.on_own_thread(|_| {})
    }

    fn post(&self, message: Message) {
        // An error means that the loop is gone; what was posted is dropped, and its `Drop` tells whoever waits for it.
        if self.shared.sender.send(message).is_ok() {
            self.shared.posted.store(true, Ordering::Release);
            self.shared.wake_if_asleep();
        }
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopHandle({})", self.shared.id)
    }
}

impl Shared {
    fn wake_if_asleep(&self) {
        // Pairs with `Mailbox::fall_asleep`: either the loop sees the message, or we see that it sleeps.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst) {
            // It fails only when the kernel is out of memory for an eventfd write; the loop then wakes at its next
            // event.
            let _ = self.waker.wake();
            self.wake_ups.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Mailbox {
    /// Says that the loop is about to sleep. False if a message came in at the last moment: then it must not.
    pub(super) fn fall_asleep(&self) -> bool {
        self.shared.sleeping.store(true, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::SeqCst);
        let may_sleep = !self.has_messages();
        if !may_sleep {
            self.wake_up();
        }
        may_sleep
    }

    pub(super) fn wake_up(&self) {
        self.shared.sleeping.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_messages(&self) -> bool {
        self.shared.posted.load(Ordering::Relaxed)
    }

    /// The next message. After `None` nothing has to be received until [`has_messages`](Mailbox::has_messages).
    pub(super) fn receive(&self) -> Option<Message> {
        self.receiver.try_recv().ok().or_else(|| {
            // Who posts now says so afterwards, so that nothing is missed.
            self.shared.posted.swap(false, Ordering::Acquire);
            let message = self.receiver.try_recv().ok()?;
            self.shared.posted.store(true, Ordering::Relaxed);
            Some(message)
        })
    }

    /// Has the queues of messages and notes put the next ones into new memory.
    pub(super) fn move_queues(&self) {
        /// The channel allocates room for so many at a time, and keeps the last.
        const BLOCK: usize = 31;
        let handle = LoopHandle { shared: Arc::clone(&self.shared) };
        (0..BLOCK).for_each(|_| handle.post(Message::Nothing));
        with_local(|local| {
            if let Some(local) = local {
                local.notes = local.notes.iter().copied().collect();
            }
        });
    }

    /// Marks this thread as the loop's, until the guard is dropped. `None` if a loop already runs on this thread.
    pub(super) fn enter(&self) -> Option<EnteredThread> {
        LOCAL.with_borrow_mut(|local| {
            if local.is_some() {
                return None;
            }
            let handle = LoopHandle { shared: Arc::clone(&self.shared) };
            let local =
                local.insert(Local { id: self.shared.id, handle, notes: VecDeque::new(), main: true });
            local.tell();
            Some(EnteredThread { _private: () })
        })
    }
}

/// While it lives, the calling thread is a loop's.
pub(super) struct EnteredThread {
    _private: (),
}

impl EnteredThread {
    /// The next note from this thread.
    #[inline]
    pub(super) fn take_note(&self) -> Option<Note> {
        if self.has_notes() { self.update(|local| local.notes.pop_front()).flatten() } else { None }
    }

    /// Whether there are notes, or the future of `block_on` was woken.
    #[inline]
    pub(super) fn has_notes(&self) -> bool {
        NOTED.get()
    }

    /// Whether the future of `block_on` was woken since the last look.
    #[inline]
    pub(super) fn take_main(&self) -> bool {
        self.has_notes() && self.update(|local| std::mem::take(&mut local.main)) == Some(true)
    }

    /// Whether the future of `block_on` is to be polled.
    #[inline]
    pub(super) fn is_main_woken(&self) -> bool {
        self.has_notes() && self.update(|local| local.main) == Some(true)
    }

    pub(super) fn set_main(&self) {
        self.update(|local| local.main = true);
    }

    fn update<R>(&self, work: impl FnOnce(&mut Local) -> R) -> Option<R> {
        LOCAL.with_borrow_mut(|local| {
            local.as_mut().map(|local| {
                let result = work(local);
                local.tell();
                result
            })
        })
    }
}

impl Drop for EnteredThread {
    fn drop(&mut self) {
        // Notes for which the last turn had no time wait in the mailbox until the loop is run again.
        NOTED.set(false);
        if let Some(Local { handle, notes, .. }) = LOCAL.with_borrow_mut(Option::take) {
            notes.into_iter().for_each(|note| handle.post(Message::Note(note)));
        }
    }
}
