//! `AttemptedCall`: a call and its attempts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::AttemptLimits;
use super::pushback::Pushback;
use super::schedule::{Action, Attempt, Failure, Schedule, Verdict};
use super::token_bucket::TokenBucket;
use crate::call::{Carrier, CompressedMessage, OutboundStream, Place, Receiver};
use crate::client::control::{Control, Hold};
use crate::client::pending::{Body, Call, PendingCall};
use crate::client::random::Xorshift;
use crate::client::service_config::AttemptPolicy;
use crate::net::{Alarm, LoopHandle, Peer, clock};
use crate::rpc::{Metadata, Payload, Status};

/// What servers learn of an attempt: how many there were before.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Characters of the message of each attempt that stay in the error of the call.
const MAX_BRIEF: usize = 100;
/// Attempts before the last, of those that differ, that stay in the error of the call.
const MAX_EARLIER: usize = 8;

/// What the attempts of all calls of a channel share.
pub(in crate::client) type SharedBucket = Arc<Mutex<TokenBucket>>;

/// A call of which there may be several attempts. Its user's side is told what the one that becomes the call receives,
/// and of the others nothing.
pub(in crate::client) struct AttemptedCall {
    control: Hold,
    user: Arc<dyn Receiver>,
    bucket: Option<SharedBucket>,
    state: Mutex<State>,
}

struct State {
    schedule: Schedule,
    is_hedged: bool,
    /// The user's call, until its end was told.
    call: Option<PendingCall>,
    /// The attempts under way. They hold the call; it is theirs to let go of it.
    attempts: Vec<(Attempt, Arc<Call<AttemptReceiver>>)>,
    /// How the latest failed.
    latest: Option<Status>,
    /// How those that failed before it did, in brief; the same in a row once, with how often.
    earlier: Vec<(String, u32)>,
    /// When the call looks after itself. The alarm holds the call, not the call the alarm: if the loop that would ring
    /// it ends, so does the call.
    alarm: Option<(Instant, Weak<Alarm>)>,
    /// Has the call look after itself. The channel has it, too, while the call waits for its next attempt.
    nudge: Waker,
    place: Place,
    random: Xorshift,
}

/// What is done when the state is unlocked, since it may lead back to the call.
enum Work {
    Start(PendingCall),
    Cancel(Arc<Call<AttemptReceiver>>),
    Commit(Arc<Call<AttemptReceiver>>),
    End(PendingCall, Result<Metadata, Status>),
}

impl AttemptedCall {
    /// Starts the first attempt of a call.
    pub(in crate::client) fn start(
        control: &Arc<Control>,
        call: PendingCall,
        policy: Option<AttemptPolicy>,
        limits: AttemptLimits,
        bucket: Option<SharedBucket>,
    ) {
        let user = call.receiver();
        let buffer = control.retry_buffer(call.rare.as_deref());
        let (outbound, is_overfull) = match &call.body {
            Body::Stream(outbound) => (Some(Arc::clone(outbound)), false),
            Body::Message(message, ..) => (None, message.len() > buffer),
        };
        let home = control.home().clone();
        let (control, random) = (Hold::for_call(Arc::clone(control)), Xorshift::new(control.next_seed()));
        let this = Arc::new_cyclic(|this| {
            let nudge = Waker::from(Arc::new(Nudge { call: Weak::clone(this), home }));
            let state = State {
                is_hedged: matches!(policy, Some(AttemptPolicy::Hedging(_))),
                schedule: Schedule::new(policy, limits.max_attempts),
                call: Some(call),
                attempts: Vec::new(),
                latest: None,
                earlier: Vec::new(),
                alarm: None,
                nudge,
                place: None,
                random,
            };
            AttemptedCall { control, user, bucket, state: Mutex::new(state) }
        });
        let nudge = this.lock().nudge.clone();
        if let Some(outbound) = outbound {
            outbound.attach(Carrier::Task(nudge.clone()));
            outbound.keep(buffer);
        }
        match this.user.attach(Carrier::Task(nudge)) {
            true => this.update(|state, bucket, now| {
                if is_overfull {
                    state.schedule.handle_full();
                }
                state.schedule.start(now, bucket);
                None
            }),
            false => this.update(|state, _, _| state.end(Err(Status::cancelled("the call was dropped")))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and does what follows from that, at last what the change itself asks for.
    fn update(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State, Option<&mut TokenBucket>, Instant) -> Option<Work>,
    ) {
        let now = clock::now();
        let mut state = self.lock();
        let last = {
            let mut bucket =
                self.bucket.as_ref().map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner));
            change(&mut state, bucket.as_deref_mut(), now)
        };
        let mut work = Vec::new();
        while let Some(action) = state.schedule.poll_action() {
            work.extend(self.prepare(&mut state, action));
        }
        work.extend(last);
        self.set_alarm(&mut state);
        drop(state);
        for work in work {
            self.perform(work);
        }
    }

    fn prepare(self: &Arc<Self>, state: &mut State, action: Action) -> Option<Work> {
        match action {
            Action::Start(attempt) => self.make(state, attempt).map(Work::Start),
            Action::Cancel(attempt) => state.remove(attempt).map(|call| {
                call.receiver.is_cancelled.store(true, Ordering::Release);
                Work::Cancel(call)
            }),
            Action::Commit(attempt) => state.attempt(attempt).map(|call| {
                call.receiver.is_committed.store(true, Ordering::Release);
                Work::Commit(Arc::clone(call))
            }),
            Action::GiveUp => {
                let status =
                    state.latest.take().unwrap_or_else(|| Status::unavailable("no attempt was made"));
                state.end(Err(status))
            }
        }
    }

    fn perform(self: &Arc<Self>, work: Work) {
        match work {
            Work::Start(attempt) => self.control.start(attempt),
            Work::Cancel(attempt) => attempt.receiver.notify(),
            Work::Commit(attempt) => {
                if let (Some(outbound), Body::Stream(copy)) = (self.outbound(), &attempt.body) {
                    outbound.settle(copy);
                }
                let carrier = attempt.receiver.carrier();
                if let Some(carrier) = carrier
                    && !self.user.attach(carrier)
                {
                    attempt.receiver.notify();
                }
            }
            Work::End(call, result) => call.end(result),
        }
    }

    /// An attempt as the control plane and the connections know it.
    fn make(self: &Arc<Self>, state: &mut State, attempt: Attempt) -> Option<PendingCall> {
        let call = state.call.as_ref()?;
        let mut metadata = call.metadata.clone();
        if attempt > 0 {
            // The key is a valid one, and a number a valid value.
            let _ = metadata.insert(PREVIOUS_ATTEMPTS, &attempt.to_string());
        }
        let made = Arc::new(Call {
            method: call.method.clone(),
            subtype: call.subtype,
            metadata,
            deadline: call.deadline,
            wait_for_ready: Some(call.wait_for_ready),
            max_receive_message_size: Some(call.max_receive_message_size),
            responses: call.responses,
            credentials: call.credentials.clone(),
            encoding: call.encoding,
            rare: None,
            body: match &call.body {
                Body::Message(message, length) => Body::Message(message.clone(), *length),
                Body::Stream(outbound) => Body::Stream(outbound.copy()),
            },
            receiver: AttemptReceiver {
                call: Arc::clone(self),
                attempt,
                carrier: Mutex::new(None),
                is_committed: AtomicBool::new(false),
                is_cancelled: AtomicBool::new(false),
                is_dropped: AtomicBool::new(false),
            },
        });
        let pending = call.attempt(made.clone(), attempt, state.is_hedged);
        state.attempts.push((attempt, made));
        Some(pending)
    }

    fn outbound(&self) -> Option<Arc<OutboundStream>> {
        match self.lock().call.as_ref().map(|call| &call.body) {
            Some(Body::Stream(outbound)) => Some(Arc::clone(outbound)),
            _ => None,
        }
    }

    fn set_alarm(self: &Arc<Self>, state: &mut State) {
        let deadline = state.call.as_ref().and_then(|call| call.deadline);
        // The attempts keep to the deadline themselves.
        let deadline = deadline.filter(|_| state.schedule.is_between_attempts());
        let due = [state.schedule.poll_timeout(), deadline].into_iter().flatten().min();
        match state.call.is_some() && state.schedule.is_between_attempts() {
            true => self.control.await_close(&mut state.place, &state.nudge),
            false => self.control.leave_close(state.place.take()),
        }
        if due == state.alarm.as_ref().map(|(due, _)| *due) {
            return;
        }
        let home = self.control.home();
        if let Some(alarm) = state.alarm.take().and_then(|(_, alarm)| alarm.upgrade())
            && alarm.silence()
        {
            home.silence(alarm);
        }
        state.alarm = due.map(|due| {
            let alarm = Arc::new(Alarm::default());
            // It has not rung yet.
            let _ = alarm.poll(&Waker::from(Arc::clone(self)));
            let known = Arc::downgrade(&alarm);
            home.sleep(due, alarm);
            (due, known)
        });
    }

    /// It is time for something, or the user has done something.
    fn look(self: &Arc<Self>) {
        self.update(|state, bucket, now| {
            if state.alarm.as_ref().is_some_and(|(due, _)| *due <= now) {
                state.alarm = None;
            }
            let call = state.call.as_ref()?;
            if state.schedule.is_committed() {
                // The attempt's carrier is told what the user told this one before it knew the other.
                state.attempts.iter().for_each(|(_, attempt)| attempt.receiver.notify());
                return None;
            }
            if self.user.is_abandoned() {
                state.schedule.cancel();
                return state.end(Err(Status::cancelled("the call was dropped")));
            }
            if state.schedule.is_between_attempts() && self.control.is_closed() {
                state.schedule.cancel();
                return state.end(Err(Status::cancelled("the channel was closed")));
            }
            if state.schedule.is_between_attempts() && call.has_expired(now) {
                let latest = state.latest.take().map_or_else(String::new, |status| status.to_string());
                return state.end(Err(Status::deadline_exceeded(format!(
                    "the deadline passed while the call waited for its next attempt; the last ended with {latest}"
                ))));
            }
            if let Body::Stream(outbound) = &call.body
                && outbound.is_overfull()
            {
                state.schedule.handle_full();
            }
            state.schedule.handle_timeout(now, bucket);
            None
        });
    }

    fn handle_headers(self: &Arc<Self>, attempt: Attempt) {
        self.update(|state, _, _| {
            state.schedule.handle_headers(attempt);
            None
        });
    }

    /// `is_last`: no attempt may follow, whatever the policy says.
    fn handle_end(self: &Arc<Self>, attempt: Attempt, result: Result<Metadata, Status>, is_last: bool) {
        self.update(|state, bucket, now| {
            let was_under_way = state.remove(attempt).is_some();
            let verdict = match &result {
                Ok(_) => state.schedule.handle_success(attempt, bucket),
                Err(_) if is_last || state.call.as_ref().is_some_and(|call| call.has_expired(now)) => {
                    state.schedule.cancel();
                    Verdict::Final
                }
                Err(status) => {
                    let failure = Failure { code: status.code(), pushback: Pushback::of(status.metadata()) };
                    let random = state.random.next_f64();
                    state.schedule.handle_failure(now, attempt, failure, bucket, random)
                }
            };
            match (verdict, result) {
                (Verdict::Final, result) => state.end(result),
                (Verdict::Open, result) => {
                    // How one ends that was cancelled, since another is the call, is of no interest.
                    if let Err(status) = result
                        && was_under_way
                    {
                        state.note(status);
                    }
                    None
                }
            }
        });
    }
}

impl State {
    fn attempt(&self, attempt: Attempt) -> Option<&Arc<Call<AttemptReceiver>>> {
        self.attempts.iter().find(|(other, _)| *other == attempt).map(|(_, call)| call)
    }

    fn remove(&mut self, attempt: Attempt) -> Option<Arc<Call<AttemptReceiver>>> {
        let index = self.attempts.iter().position(|(other, _)| *other == attempt)?;
        Some(self.attempts.swap_remove(index).1)
    }

    /// The end of the user's call, if it was not told before.
    fn end(&mut self, result: Result<Metadata, Status>) -> Option<Work> {
        let call = self.call.take()?;
        Some(Work::End(call, result.map_err(|status| self.describe(status))))
    }

    /// An attempt has failed that another may follow.
    fn note(&mut self, status: Status) {
        if let Some(before) = self.latest.replace(status) {
            self.keep(&before);
        }
    }

    fn keep(&mut self, status: &Status) {
        let brief = brief(status);
        let has_room = self.earlier.len() < MAX_EARLIER;
        match self.earlier.last_mut() {
            Some((last, count)) if *last == brief => *count += 1,
            _ if has_room => self.earlier.push((brief, 1)),
            _ => {}
        }
    }

    /// The same status, with what became of the attempts in its message.
    fn describe(&mut self, status: Status) -> Status {
        if let Some(before) = self.latest.take() {
            self.keep(&before);
        }
        let attempts = match (self.schedule.started(), self.schedule.stopped()) {
            (0 | 1, None) => return status,
            (0 | 1, Some(why)) => format!("failed at the first attempt, and {why}"),
            (count, None) => format!("failed after {count} attempts"),
            (count, Some(why)) => format!("failed after {count} attempts, and {why}"),
        };
        let last = status.message();
        let message = match &self.earlier[..] {
            [] => format!("{attempts}; the last: {last}"),
            [(same, _)] if *same == brief(&status) => format!("{attempts}; each time: {last}"),
            earlier => {
                let earlier: Vec<String> =
                    earlier.iter().map(|(brief, count)| format!("{count} x {brief}")).collect();
                format!("{attempts}; the last: {last} (before it: {})", earlier.join("; "))
            }
        };
        Status::new(status.code(), message)
            .with_details(status.details().to_vec())
            .with_metadata(status.metadata().clone())
    }
}

/// What is kept of how an attempt failed.
fn brief(status: &Status) -> String {
    let message = status.message();
    match message.char_indices().nth(MAX_BRIEF) {
        Some((end, _)) => format!("{}: {}...", status.code(), &message[..end]),
        None => format!("{}: {message}", status.code()),
    }
}

/// Rings for the call's next moment.
impl Drop for AttemptedCall {
    fn drop(&mut self) {
        let place = self.lock().place.take();
        self.control.leave_close(place);
    }
}

impl Wake for AttemptedCall {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

/// What the user's side of a call wakes. It may do so under its locks, so the call looks after it on its loop.
struct Nudge {
    call: Weak<AttemptedCall>,
    home: LoopHandle,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(call) = self.call.upgrade() {
            let alarm = Arc::new(Alarm::default());
            // It has not rung yet.
            let _ = alarm.poll(&Waker::from(call));
            self.home.sleep(clock::now(), alarm);
        }
    }
}

/// Where an attempt's response goes.
struct AttemptReceiver {
    call: Arc<AttemptedCall>,
    attempt: Attempt,
    carrier: Mutex<Option<Carrier>>,
    /// The attempt is the call: its user is told everything.
    is_committed: AtomicBool,
    /// Another attempt is the call, or the call is over.
    is_cancelled: AtomicBool,
    /// The balancer has dropped the attempt, and the call with it (gRFC A6).
    is_dropped: AtomicBool,
}

impl AttemptReceiver {
    fn carrier(&self) -> Option<Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the attempt's connection look at it.
    fn notify(&self) {
        if let Some(carrier) = self.carrier() {
            carrier.notify();
        }
    }

    fn is_committed(&self) -> bool {
        self.is_committed.load(Ordering::Acquire)
    }
}

impl Receiver for AttemptReceiver {
    fn attach(&self, carrier: Carrier) -> bool {
        *self.carrier.lock().unwrap_or_else(PoisonError::into_inner) = Some(carrier.clone());
        if self.is_committed() {
            return self.call.user.attach(carrier);
        }
        if let Some(peer) = carrier.peer() {
            // Of attempts that all fail the last is the one to know.
            self.call.user.handle_peer(peer);
        }
        !self.is_abandoned()
    }

    fn handle_peer(&self, peer: &Peer) {
        self.call.user.handle_peer(peer);
    }

    fn handle_headers(&self, headers: Metadata) {
        self.call.handle_headers(self.attempt);
        if self.is_committed() {
            self.call.user.handle_headers(headers);
        }
    }

    fn handle_message(&self, payload: Payload<'_>, octets: usize) -> Result<(), Status> {
        match self.is_committed() {
            true => self.call.user.handle_message(payload, octets),
            false => Ok(()),
        }
    }

    fn handle_compressed(&self, message: CompressedMessage, octets: usize) -> Result<Option<usize>, Status> {
        match self.is_committed() {
            true => self.call.user.handle_compressed(message, octets),
            false => Ok(None),
        }
    }

    fn handle_end(&self, result: Result<Metadata, Status>) {
        self.call.handle_end(self.attempt, result, self.is_dropped.load(Ordering::Acquire));
    }

    fn handle_drop(&self) {
        self.is_dropped.store(true, Ordering::Release);
    }

    fn cancel(&self, _status: Status) {
        self.is_cancelled.store(true, Ordering::Release);
        self.notify();
    }

    fn take_consumed(&self) -> usize {
        if self.is_committed() { self.call.user.take_consumed() } else { 0 }
    }

    fn is_abandoned(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire) || self.call.user.is_abandoned()
    }
}
