//! The loop itself: one thread, its sockets, its timers, its mailbox.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lariat_frame::WriteBuf;
use slab::Slab;

use super::allocator;
use super::clock;
use super::connection::{Buffers, Connection, Edge, Next};
use super::large_messages::{FORGET_AFTER, LargeMessages};
use super::listener::{Accepted, Listener};
use super::mailbox::{self, EnteredThread, ListenerId, LoopHandle, Mailbox, Message, Note, Token};
use super::peer::PeerAddress;
#[cfg(test)]
use super::session::Audit;
use super::session::{CloseReason, Ring, Session, Task, Turn};
#[cfg(test)]
use super::simulation::Network;
use super::socket::{Socket, SocketOptions};
use super::timers::Timers;
use super::wake_timer::WakeTimer;

/// Readiness events taken from the kernel at once.
const EVENTS: usize = 1024;
/// The buffer that all of a loop's sockets are read into. Larger saves system calls on bulk transfers, smaller stays in
/// the processor's cache. It must hold the largest frame we accept, and some.
const READ_BUFFER: usize = 128 * 1024;
/// Mailbox messages and notes handled before sockets get their turn again.
const MESSAGES_PER_TURN: usize = 4096;
/// So many connections make a burst, if all others are no more than that.
const BURST: usize = 64;
/// How long after a burst its memory goes back to the system: the next one may follow at once.
const BURST_OVER: Duration = Duration::from_secs(1);
/// How long after that the tables move to where memory is free by then.
const TABLES_MOVE: Duration = Duration::from_millis(100);
/// The token of the mailbox's waker; no entry has it, since generations start at 1.
const WAKER: mio::Token = mio::Token(0);
/// That of the timer, which no entry has for the same reason.
const WAKE_TIMER: mio::Token = mio::Token(1);

/// How a loop waits, and what its sockets are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoopOptions {
    /// For how long the loop looks for events again and again before it sleeps until one comes.
    pub(crate) spin: Duration,
    pub(crate) sockets: SocketOptions,
}

/// One event loop. It runs on the thread that calls [`EventLoop::run`] or [`EventLoop::block_on`].
pub(crate) struct EventLoop {
    poll: mio::Poll,
    wake_timer: WakeTimer,
    events: mio::Events,
    mailbox: Mailbox,
    buffers: Buffers,
    /// Connections and listeners to go on with although no event came: their budget was used up.
    again: Vec<Token>,
    /// Connections whose session was called this turn.
    touched: Vec<Token>,
    parts: Parts,
    options: LoopOptions,
    /// The most entries since memory was last given back to the system.
    most_entries: usize,
    /// A timer is set that does so.
    gives_back: bool,
    stopped: bool,
    /// In place of the kernel.
    #[cfg(test)]
    network: Option<Network>,
}

/// What is needed to drive an entry, apart from the entry.
struct Parts {
    entries: Slab<Slot>,
    generation: u32,
    timers: Timers<Ring>,
    handle: LoopHandle,
    large_messages: LargeMessages,
    now: Instant,
}

struct Slot {
    generation: u32,
    entry: Entry,
}

enum Entry {
    Connection(Box<Connection>),
    Listener(Box<Listener>),
    Task(Box<dyn Task>),
}

impl EventLoop {
    pub(crate) fn new(options: LoopOptions) -> io::Result<(EventLoop, LoopHandle)> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let (handle, mailbox) = mailbox::mailbox(waker);
        let now = clock::now();
        let event_loop = EventLoop {
            wake_timer: WakeTimer::new(poll.registry(), WAKE_TIMER)?,
            poll,
            events: mio::Events::with_capacity(EVENTS),
            mailbox,
            buffers: Buffers { octets: vec![0; READ_BUFFER], plain: Vec::new() },
            again: Vec::new(),
            touched: Vec::new(),
            parts: Parts {
                entries: Slab::new(),
                generation: 0,
                timers: Timers::new(now),
                handle: handle.clone(),
                large_messages: LargeMessages::default(),
                now,
            },
            options,
            most_entries: 0,
            gives_back: false,
            stopped: false,
            #[cfg(test)]
            network: Network::current(),
        };
        Ok((event_loop, handle))
    }

    /// One turn in a simulation. When it wants the next one, if nothing happens before.
    #[cfg(test)]
    pub(super) fn step(&mut self) -> Option<Instant> {
        let Some(thread) = self.mailbox.enter() else { panic!("loops of a simulation take turns") };
        thread.take_main();
        self.turn(&thread);
        let now = self.parts.now;
        match self.may_sleep(&thread) {
            true => self.parts.timers.next_expiry().map(|due| due.max(now)),
            false => Some(now),
        }
    }

    /// What each open session holds.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> Vec<Audit> {
        let entries = self.parts.entries.iter();
        entries
            .filter_map(|(_, slot)| match &slot.entry {
                Entry::Connection(connection) => connection.audit(),
                _ => None,
            })
            .collect()
    }

    /// Connections, listeners, tasks and timers that the loop has.
    #[cfg(test)]
    pub(crate) fn census(&self) -> [usize; 4] {
        let count =
            |is: fn(&Entry) -> bool| self.parts.entries.iter().filter(|(_, slot)| is(&slot.entry)).count();
        [
            count(|entry| matches!(entry, Entry::Connection(_))),
            count(|entry| matches!(entry, Entry::Listener(_))),
            count(|entry| matches!(entry, Entry::Task(_))),
            self.parts.timers.len(),
        ]
    }

    /// Runs until [`LoopHandle::stop`].
    pub(crate) fn run(&mut self) {
        let Some(thread) = self.mailbox.enter() else { return };
        while !self.stopped {
            thread.take_main();
            self.turn(&thread);
        }
        self.close_all();
    }

    /// Runs until `future` is ready, polling it on this thread.
    ///
    /// # Panics
    ///
    /// When called on a thread that already runs an event loop: the outer loop could never go on.
    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let Some(thread) = self.mailbox.enter() else {
            panic!("block_on was called inside an event loop; await the future instead");
        };
        let waker = Waker::from(Arc::new(MainWaker { handle: self.parts.handle.clone() }));
        let mut cx = Context::from_waker(&waker);
        let mut future = std::pin::pin!(future);
        thread.set_main();
        loop {
            if thread.take_main() {
                let polled = future.as_mut().poll(&mut cx);
                // That took time.
                self.parts.now = clock::now();
                if let Poll::Ready(output) = polled {
                    // What the future's last steps left to send goes out before the loop pauses.
                    self.handle_notes(&thread);
                    self.finish_touched();
                    return output;
                }
            }
            self.turn(&thread);
        }
    }

    /// Waits for something to do, and does it.
    fn turn(&mut self, thread: &EnteredThread) {
        // What the future of `block_on` has just asked for leaves before the loop sleeps.
        self.handle_notes(thread);
        self.finish_touched();
        self.parts.handle.counters().turns.add(1);
        let polled = self.wait_for_events(thread);
        self.mailbox.wake_up();
        self.parts.now = clock::now();
        if let Err(error) = polled {
            // Interrupted by a signal: nothing was lost. Anything else is a programming error that waiting cannot mend.
            assert!(error.kind() == io::ErrorKind::Interrupted, "epoll failed: {error}");
            return;
        }
        self.handle_events();
        if self.parts.timers.is_due(self.parts.now) {
            self.handle_timers();
        }
        if self.mailbox.has_messages() {
            self.handle_messages(thread);
        }
        self.handle_notes(thread);
        if !thread.is_main_woken() {
            self.finish_touched();
        }
        // Else the future of `block_on` comes first: what it answers is written together with the rest.
    }

    /// Polls once if there is something to do already. Otherwise until there is: at first without sleeping, if the loop
    /// was told to, then asleep.
    fn wait_for_events(&mut self, thread: &EnteredThread) -> io::Result<()> {
        if !self.options.spin.is_zero() && !self.has_work(thread) && self.spin()? {
            return Ok(());
        }
        if !self.may_sleep(thread) {
            return self.poll(false);
        }
        if let Some(due) = self.parts.timers.next_expiry() {
            self.wake_timer.wake_at(due, self.parts.now)?;
        }
        self.poll(true)
    }

    fn has_work(&self, thread: &EnteredThread) -> bool {
        !self.again.is_empty() || thread.has_notes() || self.stopped
    }

    /// Whether there is nothing to do. From then on messages wake the loop.
    fn may_sleep(&mut self, thread: &EnteredThread) -> bool {
        !self.has_work(thread) && self.mailbox.fall_asleep()
    }

    /// Polls without sleeping until something comes or the time for that is over. Whether something came.
    fn spin(&mut self) -> io::Result<bool> {
        let due = self.parts.timers.next_expiry();
        let end = clock::later(clock::now(), self.options.spin);
        loop {
            self.poll(false)?;
            let now = clock::now();
            self.parts.now = now;
            if !self.events.is_empty() || self.mailbox.has_messages() || due.is_some_and(|due| due <= now) {
                return Ok(true);
            }
            if now >= end {
                return Ok(false);
            }
        }
    }

    fn poll(&mut self, sleeps: bool) -> io::Result<()> {
        let counters = self.parts.handle.counters();
        counters.polls.add(1);
        counters.sleeps.add(u64::from(sleeps));
        counters.timers.set(self.parts.timers.len() as u64);
        #[cfg(test)]
        if self.network.is_some() {
            // Time passes when all loops of the simulation wait for it.
            return Ok(());
        }
        self.poll.poll(&mut self.events, (!sleeps).then_some(Duration::ZERO))
    }

    fn handle_events(&mut self) {
        if !self.again.is_empty() {
            self.go_on();
        }
        #[cfg(test)]
        if let Some(network) = &self.network {
            for (token, edge) in network.take_edges() {
                self.handle_edge(unpack(token), edge);
            }
        }
        let events = std::mem::replace(&mut self.events, mio::Events::with_capacity(0));
        for event in &events {
            if event.token() == WAKE_TIMER {
                continue;
            }
            self.parts.handle.counters().events.add(1);
            if event.token() == WAKER {
                continue;
            }
            let read_closed = event.is_error() || event.is_read_closed();
            let edge = Edge {
                readable: event.is_readable() || read_closed,
                read_closed,
                writable: event.is_writable() || event.is_error() || event.is_write_closed(),
            };
            self.handle_edge(unpack(event.token()), edge);
        }
        self.events = events;
    }

    /// Goes on with what had used up its budget.
    fn go_on(&mut self) {
        for token in std::mem::take(&mut self.again) {
            match self.parts.get(token) {
                Some(Slot { entry: Entry::Listener(_), .. }) => self.accept(token),
                Some(Slot { entry: Entry::Connection(connection), .. }) => {
                    connection.queued_again = false;
                    self.read(token);
                }
                Some(Slot { entry: Entry::Task(_), .. }) | None => {}
            }
        }
    }

    fn handle_edge(&mut self, token: Token, edge: Edge) {
        let Some((slot, mut turn)) = self.parts.entry(token) else { return };
        match &mut slot.entry {
            Entry::Connection(connection) if connection.is_connecting() => {
                self.handle_connected(token, edge);
            }
            Entry::Connection(connection) => {
                connection.set_ready(edge);
                touch(&mut self.touched, connection, token);
                if edge.readable {
                    let buffers = &mut self.buffers;
                    let next =
                        drive(connection, &mut turn, |connection, turn| connection.read(turn, buffers));
                    self.follow(token, next);
                }
            }
            Entry::Listener(_) => self.accept(token),
            Entry::Task(_) => {}
        }
    }

    fn handle_connected(&mut self, token: Token, edge: Edge) {
        let Some((connection, mut turn)) = self.parts.connection(token) else { return };
        match connection.connected() {
            Ok(None) => {}
            Ok(Some(peer)) => {
                // What the peer sent at once, and its end, have raised the same edge as the end of the connect.
                connection.set_ready(Edge { readable: true, writable: true, ..edge });
                self.start(token, peer);
                self.read(token);
            }
            Err(error) => {
                let next = drive(connection, &mut turn, |connection, turn| {
                    connection.fail(turn, CloseReason::ConnectFailed(error))
                });
                self.follow(token, next);
            }
        }
    }

    /// The socket is connected.
    fn start(&mut self, token: Token, peer: PeerAddress) {
        let Some((connection, mut turn)) = self.parts.connection(token) else { return };
        touch(&mut self.touched, connection, token);
        let next = drive(connection, &mut turn, |connection, turn| connection.start(turn, peer));
        self.follow(token, next);
    }

    fn read(&mut self, token: Token) {
        let buffers = &mut self.buffers;
        let Some((connection, mut turn)) = self.parts.connection(token) else { return };
        touch(&mut self.touched, connection, token);
        let next = drive(connection, &mut turn, |connection, turn| connection.read(turn, buffers));
        self.follow(token, next);
    }

    fn accept(&mut self, token: Token) {
        let Some(Slot { entry: Entry::Listener(listener), .. }) = self.parts.get(token) else { return };
        match listener.accept() {
            Accepted::All | Accepted::Paused => {}
            Accepted::More => self.again.push(token),
            Accepted::Pause(pause) => {
                self.parts.timers.set(self.parts.now + pause, Ring::Listener(token));
            }
        }
    }

    fn handle_timers(&mut self) {
        while let Some(alarm) = self.parts.timers.expire(self.parts.now) {
            match alarm {
                Ring::Session(note) => self.ring(note),
                Ring::Sleep(alarm) => {
                    guard(|| alarm.ring());
                }
                Ring::Listener(token) => {
                    if let Some(Slot { entry: Entry::Listener(listener), .. }) = self.parts.get(token) {
                        listener.resume();
                    }
                    self.accept(token);
                }
                Ring::BurstOver => self.give_back(),
                Ring::TablesMove => self.move_tables(),
                Ring::LargeMessages => {
                    if self.parts.large_messages.forget() {
                        self.parts.timers.set(self.parts.now + FORGET_AFTER, Ring::LargeMessages);
                    }
                }
                Ring::Connection(token) => self.time_out(token),
            }
        }
    }

    fn time_out(&mut self, token: Token) {
        let buffers = &mut self.buffers;
        let Some((connection, mut turn)) = self.parts.connection(token) else { return };
        touch(&mut self.touched, connection, token);
        let next = drive(connection, &mut turn, |connection, turn| connection.time_out(turn, buffers));
        self.follow(token, next);
    }

    fn ring(&mut self, note: Note) {
        self.call(
            note,
            |connection, turn| {
                connection.handle_timer(turn, note.slot);
                Next::Wait
            },
            |task, turn| task.handle_timer(turn, note.slot),
        );
    }

    #[inline]
    fn handle_notes(&mut self, thread: &EnteredThread) {
        if thread.has_notes() {
            self.take_notes(thread);
        }
    }

    fn take_notes(&mut self, thread: &EnteredThread) {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(note) = thread.take_note() else { return };
            self.handle_note(note);
        }
    }

    fn handle_note(&mut self, note: Note) {
        self.call(
            note,
            |connection, turn| connection.handle_wake(turn, note.slot),
            |task, turn| task.handle_wake(turn, note.slot),
        );
    }

    /// Has the connection or task to which a note or timer belongs look at it.
    #[inline]
    fn call(
        &mut self,
        note: Note,
        tell_connection: impl FnOnce(&mut Connection, &mut Turn<'_>) -> Next,
        tell_task: impl FnOnce(&mut dyn Task, &mut Turn<'_>),
    ) {
        let Some((slot, mut turn)) = self.parts.entry(note.token) else { return };
        match &mut slot.entry {
            Entry::Connection(connection) => {
                touch(&mut self.touched, connection, note.token);
                let next = drive(connection, &mut turn, tell_connection);
                self.follow(note.token, next);
            }
            Entry::Task(task) => {
                let done = guard(|| tell_task(&mut **task, &mut turn));
                self.retire(note.token, done);
            }
            Entry::Listener(_) => {}
        }
    }

    fn handle_messages(&mut self, thread: &EnteredThread) {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = self.mailbox.receive() else { return };
            self.parts.handle.counters().messages.add(1);
            match message {
                Message::Note(note) => self.handle_note(note),
                Message::Main => thread.set_main(),
                Message::Adopt(socket, peer, session, security) => {
                    let connection = Connection::accepted(socket, session, security);
                    if let Some(token) = self.insert_connection(connection) {
                        self.start(token, peer);
                    }
                }
                Message::Connect(address, deadline, session, security) => match Socket::connect(&address) {
                    Ok(socket) => {
                        if let Some(timeout) = session.user_timeout() {
                            // Without the option a dead peer is noticed by keepalive alone.
                            let _ = socket.set_user_timeout(timeout);
                        }
                        self.start_connect(Connection::connecting(socket, session, security), deadline);
                    }
                    Err(error) => self.refuse(session, CloseReason::ConnectFailed(error)),
                },
                Message::Listen(id, bound) => {
                    let listener = Entry::Listener(Box::new(Listener::new(id, bound)));
                    let token = self.parts.insert(listener);
                    self.register_listener(token);
                }
                Message::CloseListener(id) => {
                    if let Some(token) = self.parts.listener(id) {
                        self.remove(token);
                    }
                }
                Message::Spawn(task) => {
                    let token = self.parts.insert(Entry::Task(task));
                    if let Some((Slot { entry: Entry::Task(task), .. }, mut turn)) = self.parts.entry(token) {
                        let done = guard(|| task.handle_start(&mut turn));
                        self.retire(token, done);
                    }
                }
                Message::Sleep(deadline, alarm) => {
                    let timer = self.parts.timers.set(deadline, Ring::Sleep(Arc::clone(&alarm)));
                    alarm.set_timer(timer);
                }
                Message::Nothing => {}
                Message::Freed => self.end_burst(),
                Message::Silence(alarm) => {
                    if let Some(timer) = alarm.timer() {
                        self.parts.timers.cancel(timer);
                    }
                }
                Message::Stop => self.stopped = true,
            }
        }
    }

    fn register_listener(&mut self, token: Token) {
        let registry = self.poll.registry();
        if let Some(Slot { entry: Entry::Listener(listener), .. }) = self.parts.get(token)
            && listener.register(registry, pack(token)).is_err()
        {
            // Out of kernel memory for one more watch: closing the listener tells its clients at least.
            self.remove(token);
            return;
        }
        self.accept(token);
    }

    fn start_connect(&mut self, connection: Connection, deadline: Instant) {
        if let Some(token) = self.insert_connection(connection) {
            let timer = self.parts.timers.set(deadline, Ring::Connection(token));
            if let Some((connection, _)) = self.parts.connection(token) {
                connection.timer = Some(timer);
            }
        }
    }

    fn insert_connection(&mut self, connection: Connection) -> Option<Token> {
        let token = self.parts.insert(Entry::Connection(Box::new(connection)));
        self.most_entries = self.most_entries.max(self.parts.entries.len());
        let registry = self.poll.registry();
        let (connection, mut turn) = self.parts.connection(token)?;
        if let Err(error) = connection.register(&self.options.sockets, registry, pack(token)) {
            let next = drive(connection, &mut turn, |connection, turn| {
                connection.fail(turn, CloseReason::Io(error))
            });
            self.follow(token, next);
            return None;
        }
        connection.begin(&mut turn);
        Some(token)
    }

    /// The session's connection never came to be.
    fn refuse(&mut self, mut session: Box<dyn Session>, reason: CloseReason) {
        let token = Token { index: u32::MAX, generation: 0 };
        let mut turn = self.parts.turn(token);
        guard(move || session.handle_closed(&mut turn, &WriteBuf::new(), reason));
        self.parts.handle.connection_closed();
    }

    /// Collects and writes the output of each connection that was touched.
    #[inline]
    fn finish_touched(&mut self) {
        if !self.touched.is_empty() {
            self.finish_all();
        }
    }

    fn finish_all(&mut self) {
        let mut at = 0;
        while let Some(&token) = self.touched.get(at) {
            at += 1;
            let Some((connection, mut turn)) = self.parts.connection(token) else { continue };
            connection.touched = false;
            if connection.is_connecting() {
                continue;
            }
            let buffers = &mut self.buffers;
            let next = drive(connection, &mut turn, |connection, turn| connection.finish_turn(turn, buffers));
            self.follow(token, next);
        }
        self.touched.clear();
    }

    #[inline]
    fn follow(&mut self, token: Token, next: Next) {
        if next != Next::Wait {
            self.see_to(token, next);
        }
    }

    fn see_to(&mut self, token: Token, next: Next) {
        match next {
            Next::Wait => {}
            Next::Again => {
                if let Some((connection, _)) = self.parts.connection(token)
                    && !connection.queued_again
                {
                    connection.queued_again = true;
                    self.again.push(token);
                }
            }
            Next::LingerUntil(deadline) => {
                let timer = self.parts.timers.set(deadline, Ring::Connection(token));
                if let Some((connection, _)) = self.parts.connection(token)
                    && let Some(earlier) = connection.timer.replace(timer)
                {
                    self.parts.timers.cancel(earlier);
                }
                // What the peer sent before it saw our end may be waiting already.
                self.read(token);
            }
            Next::Close => self.remove(token),
        }
    }

    fn remove(&mut self, token: Token) {
        if self.parts.get(token).is_none() {
            return;
        }
        let entry = self.parts.entries.remove(token.index as usize).entry;
        if let Entry::Connection(connection) = &entry {
            if let Some(timer) = connection.timer {
                self.parts.timers.cancel(timer);
            }
            self.parts.handle.connection_closed();
        }
        guard(move || drop(entry));
        let now = self.parts.entries.len();
        if self.most_entries >= BURST + 2 * now {
            self.end_burst();
        }
    }

    /// Has memory given back to the system after a while.
    #[cold]
    fn end_burst(&mut self) {
        if !std::mem::replace(&mut self.gives_back, true) {
            self.parts.timers.set(self.parts.now + BURST_OVER, Ring::BurstOver);
        }
    }

    /// Gives back to the system what a burst has needed.
    fn give_back(&mut self) {
        self.gives_back = false;
        self.most_entries = self.parts.entries.len();
        allocator::keep_chunks_in_front();
        self.parts.timers.set(self.parts.now + TABLES_MOVE, Ring::TablesMove);
    }

    /// Tables that grew in a burst lie in the midst of what it has left.
    fn move_tables(&mut self) {
        self.parts.entries = std::mem::take(&mut self.parts.entries).into_iter().collect();
        self.parts.timers.shrink();
        self.mailbox.move_queues();
        self.again = self.again.as_slice().to_vec();
        self.touched = self.touched.as_slice().to_vec();
        allocator::keep_chunks_in_front();
    }

    /// Drops a task that has ended, or that panicked (`done` is `None` then).
    fn retire(&mut self, token: Token, done: Option<()>) {
        if let Some(Slot { entry: Entry::Task(task), .. }) = self.parts.get(token)
            && (done.is_none() || task.is_finished())
        {
            self.remove(token);
        }
    }

    fn close_all(&mut self) {
        for index in 0..self.parts.entries.capacity() {
            let Some(slot) = self.parts.entries.get(index) else { continue };
            let token = Token { index: index as u32, generation: slot.generation };
            if let Some((connection, mut turn)) = self.parts.connection(token) {
                guard(|| connection.fail(&mut turn, CloseReason::EngineStopped));
            }
            self.remove(token);
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // A loop that no `block_on` runs again never saw the stop; whoever waits for its calls is told even so.
        self.close_all();
    }
}

/// Runs what may reach the user's code (a codec, a waker, the drop of a value), whose panic must not end the loop and
/// with it everything else that the loop serves. `None` if it panicked.
fn guard<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Has a connection do something. A panic closes it: its session may be in any state.
#[inline]
fn drive(
    connection: &mut Connection,
    turn: &mut Turn<'_>,
    work: impl FnOnce(&mut Connection, &mut Turn<'_>) -> Next,
) -> Next {
    guard(|| work(connection, turn)).unwrap_or_else(|| fail_for_panic(connection, turn))
}

#[cold]
fn fail_for_panic(connection: &mut Connection, turn: &mut Turn<'_>) -> Next {
    let panicked = CloseReason::Io(io::Error::other("a codec or waker of the application panicked"));
    guard(|| connection.fail(turn, panicked)).unwrap_or(Next::Close)
}

/// Notes that a connection is to be finished in this turn.
#[inline]
fn touch(touched: &mut Vec<Token>, connection: &mut Connection, token: Token) {
    if !connection.touched {
        connection.touched = true;
        touched.push(token);
    }
}

impl Parts {
    fn insert(&mut self, entry: Entry) -> Token {
        // Generation 0 belongs to the waker's token.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        let generation = self.generation;
        Token { index: self.entries.insert(Slot { generation, entry }) as u32, generation }
    }

    fn get(&mut self, token: Token) -> Option<&mut Slot> {
        self.entries.get_mut(token.index as usize).filter(|slot| slot.generation == token.generation)
    }

    fn listener(&self, id: ListenerId) -> Option<Token> {
        self.entries.iter().find_map(|(index, slot)| match &slot.entry {
            Entry::Listener(listener) if listener.id == id => {
                Some(Token { index: index as u32, generation: slot.generation })
            }
            _ => None,
        })
    }

    fn turn(&mut self, token: Token) -> Turn<'_> {
        let Parts { timers, handle, large_messages, now, .. } = self;
        Turn { now: *now, token, handle, timers, counters: handle.counters(), large_messages }
    }

    fn entry(&mut self, token: Token) -> Option<(&mut Slot, Turn<'_>)> {
        let Parts { entries, timers, handle, large_messages, now, .. } = self;
        let slot =
            entries.get_mut(token.index as usize).filter(|slot| slot.generation == token.generation)?;
        let counters = handle.counters();
        Some((slot, Turn { now: *now, token, handle, timers, counters, large_messages }))
    }

    fn connection(&mut self, token: Token) -> Option<(&mut Connection, Turn<'_>)> {
        match self.entry(token)? {
            (Slot { entry: Entry::Connection(connection), .. }, turn) => Some((connection, turn)),
            _ => None,
        }
    }
}

/// Wakes the future of `block_on`.
struct MainWaker {
    handle: LoopHandle,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.handle.wake_main();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.handle.wake_main();
    }
}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("lariat needs a 64-bit target: a loop's tokens are two numbers of 32 bits in a usize");

fn pack(token: Token) -> mio::Token {
    mio::Token((token.generation as usize) << 32 | token.index as usize)
}

fn unpack(token: mio::Token) -> Token {
    Token { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
}
