//! What callers wait for, as futures. A blocking call waits for the same futures as its `async` twin.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::core::Core;
use super::deadline;
use super::pattern::Wish;
use super::state::{Phase, State};
use crate::context::{Attendance, left_behind};
use crate::error::{RecvError, Refusal, RequestError, SendError, Unmet, WaitError};
use crate::message::Message;
use crate::pipe::{Ticket, Waiters, Wakes};

/// Waits for something that may not come about.
pub(super) trait Wait: Future + Unpin {
    /// Waits no longer, for this reason.
    fn end(&mut self, unmet: Unmet) -> Self::Output;
}

impl Core {
    /// Waits on the calling thread.
    pub(super) fn block_on<W: Wait>(&self, mut wait: W, deadline: Option<Instant>) -> W::Output {
        self.engine.block_on(&mut wait, deadline).unwrap_or_else(|unmet| wait.end(unmet))
    }
}

/// Waits for room, for one message after the other.
pub(crate) struct Room<'a> {
    place: Place<'a>,
    /// Whose turn it was that was sent last.
    turn: u64,
}

impl<'a> Room<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { place: Place::new(core, |state| &mut state.senders), turn: 0 }
    }

    /// Sends the message, or waits while there is no room for it.
    pub(crate) fn poll_send(
        &mut self,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        let Place { core, ticket, .. } = &mut self.place;
        match core.send_or_wait(message, ticket, context.waker()) {
            Err(refusal) if refusal.is_full() => Poll::Pending,
            result => Poll::Ready(result.map(|turn| self.turn = turn)),
        }
    }
}

/// Waits for room, and sends.
pub(super) struct Sending<'a> {
    room: Room<'a>,
    /// Gone once it is sent.
    message: Option<Message>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(core: &'a Core, message: Message) -> Self {
        Self { room: Room::new(core), message: Some(message) }
    }

    /// Gives up and takes the message back.
    fn give_up(&mut self, reason: Refusal) -> Result<(), SendError> {
        self.message.take().map_or(Ok(()), |message| Err(SendError::new(message, reason)))
    }

    /// Tries once, and waits if there is no room.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(message) = self.message.take() else { return Poll::Ready(Ok(())) };
        match self.room.poll_send(&message, context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|reason| SendError::new(message, reason))),
            Poll::Pending => {
                self.message = Some(message);
                Poll::Pending
            }
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_send(context)
    }
}

impl Wait for Sending<'_> {
    fn end(&mut self, unmet: Unmet) -> Self::Output {
        self.give_up(unmet.into())
    }
}

/// Waits for a message.
pub(crate) struct Receiving<'a> {
    core: &'a Core,
    ticket: Ticket,
    /// The request that the message has to answer.
    turn: Option<u64>,
}

impl<'a> Receiving<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { core, ticket: Ticket::default(), turn: None }
    }

    /// Waits for the answer to this request.
    fn answer(core: &'a Core, turn: u64) -> Self {
        Self { core, ticket: Ticket::default(), turn: Some(turn) }
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, RecvError>> {
        let mut received = Err(RecvError::Empty);
        self.core.recv_or_wait(self.turn, &mut self.ticket, context.waker(), &mut received);
        if let Err(RecvError::Empty) = received { Poll::Pending } else { Poll::Ready(received) }
    }
}

impl Future for Receiving<'_> {
    type Output = Result<Message, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_recv(context)
    }
}

impl Wait for Receiving<'_> {
    fn end(&mut self, unmet: Unmet) -> Self::Output {
        Err(unmet.into())
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let Some(mut state) = self.core.enter() else { return };
        let left = state.receivers.leave(&mut self.ticket);
        if left.woken && state.pattern.can_recv() {
            // Woken for a message that it does not take: somebody else is to have it.
            state.receivers.wake(1, &mut wakes);
        }
        drop(state);
        drop(left);
        wakes.wake();
    }
}

/// Asks, and waits for the answer. What it has asked is given up with it.
pub(super) struct Asking<'a> {
    core: &'a Core,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Sending(Sending<'a>),
    Receiving(Receiving<'a>),
    Done,
}

impl<'a> Asking<'a> {
    pub(super) fn new(core: &'a Core, message: Message) -> Self {
        Self { core, stage: Stage::Sending(Sending::new(core, message)) }
    }
}

impl Wait for Asking<'_> {
    fn end(&mut self, unmet: Unmet) -> Self::Output {
        if let Stage::Sending(sending) = &mut self.stage {
            sending.give_up(unmet.into())?;
        }
        Err(RecvError::from(unmet).into())
    }
}

impl Future for Asking<'_> {
    type Output = Result<Message, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Sending(sending) = &mut this.stage {
            match Pin::new(&mut *sending).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {
                    let turn = sending.room.turn;
                    this.stage = Stage::Receiving(Receiving::answer(this.core, turn));
                }
                Poll::Ready(Err(error)) => {
                    this.stage = Stage::Done;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
        let Stage::Receiving(receiving) = &mut this.stage else { return Poll::Pending };
        let Poll::Ready(answer) = Pin::new(receiving).poll(context) else { return Poll::Pending };
        this.stage = Stage::Done;
        Poll::Ready(answer.map_err(Into::into))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Stage::Receiving(Receiving { turn: Some(turn), .. }) = self.stage {
            self.core.obey(Wish::Abandon(turn));
        }
    }
}

/// Waits until there are so many peers of some kind.
pub(super) struct Gathering<'a> {
    place: Place<'a>,
    wanted: usize,
    count: fn(&State) -> usize,
}

impl<'a> Gathering<'a> {
    /// Waits until so many peers are connected.
    pub(super) fn connected(core: &'a Core, wanted: usize) -> Self {
        Self { place: Place::of_connecting(core), wanted, count: |state| state.pipes.stats.peers }
    }

    /// Waits until so many peers have a subscription.
    pub(super) fn subscribed(core: &'a Core, wanted: usize) -> Self {
        Self { place: Place::of_connecting(core), wanted, count: |state| state.pattern.subscribers() }
    }

    /// Blocks until that is so, for `timeout` at the longest.
    pub(super) fn block(self, timeout: Duration) -> Result<(), WaitError> {
        self.place.core.block_on(self, deadline(Some(timeout)))
    }
}

impl Wait for Gathering<'_> {
    fn end(&mut self, unmet: Unmet) -> Self::Output {
        Err(unmet.into())
    }
}

impl Future for Gathering<'_> {
    type Output = Result<(), WaitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { place, wanted, count } = &mut *self;
        place.poll_until(context, |state| match state.phase {
            Phase::Open => (count(state) >= *wanted).then_some(Ok(())),
            _ => Some(Err(WaitError::Closed)),
        })
    }
}

/// A place in one of a socket's queues, which is left with it. Only for queues in which all are woken together, so that
/// who leaves has nothing to pass on.
pub(super) struct Place<'a> {
    pub(super) core: &'a Core,
    queue: fn(&mut State) -> &mut Waiters,
    ticket: Ticket,
}

impl<'a> Place<'a> {
    fn new(core: &'a Core, queue: fn(&mut State) -> &mut Waiters) -> Self {
        Self { core, queue, ticket: Ticket::default() }
    }

    /// Among those who wait for peers.
    pub(super) fn of_connecting(core: &'a Core) -> Self {
        Self::new(core, |state| &mut state.connecting)
    }

    /// Among those who wait for everything to be written.
    pub(super) fn of_draining(core: &'a Core) -> Self {
        Self::new(core, |state| &mut state.draining)
    }

    /// Waits here while there is nothing to tell.
    pub(super) fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        look: impl FnOnce(&State) -> Option<T>,
    ) -> Poll<T> {
        let waker = context.waker().clone();
        // In a fork that does not get in, whoever polls finds out when it is about to wait.
        let Some(mut state) = self.core.enter() else { return Poll::Pending };
        if let Some(seen) = look(&state) {
            return Poll::Ready(seen);
        }
        let before = (self.queue)(&mut state).wait(&mut self.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = self.core.enter().map(|mut state| (self.queue)(&mut state).leave(&mut self.ticket));
        drop(left);
    }
}

/// A wait under somebody else's executor: while it lasts, the I/O thread runs the reactor.
pub(super) struct Attended<'a, F> {
    core: &'a Core,
    wait: F,
    attendance: Option<Attendance>,
}

impl<'a, F> Attended<'a, F> {
    pub(super) fn new(core: &'a Core, wait: F) -> Self {
        Self { core, wait, attendance: None }
    }
}

impl<F: Wait> Future for Attended<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let result = Pin::new(&mut this.wait).poll(context);
        if result.is_ready() {
            this.attendance = None;
        } else {
            if this.core.engine.is_forked() {
                return Poll::Ready(this.wait.end(Unmet::Forked));
            }
            this.attendance.get_or_insert_with(|| this.core.engine.attendance());
            // Help before you wait: what this task has sent must not lie about while it sleeps.
            left_behind::flush();
        }
        result
    }
}
