//! What callers wait for, as futures. A blocking call waits for the same futures as its `async` twin.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::core::{Core, Phase};
use crate::context::{Attendance, left_behind};
use crate::error::{RecvError, Refusal, SendError, WaitError};
use crate::message::Message;
use crate::pipe::{Ticket, Wakes};

/// Waits for room, and sends.
pub(super) struct Sending<'a> {
    core: &'a Core,
    /// Gone once it is sent.
    message: Option<Message>,
    ticket: Ticket,
}

impl<'a> Sending<'a> {
    pub(super) fn new(core: &'a Core, message: Message) -> Self {
        Self { core, message: Some(message), ticket: Ticket::default() }
    }

    /// Gives up and takes the message back.
    pub(super) fn give_up(mut self, reason: Refusal) -> Result<(), SendError> {
        self.message.take().map_or(Ok(()), |message| Err(SendError::new(message, reason)))
    }

    /// Tries once, and waits if there is no room.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(message) = self.message.take() else { return Poll::Ready(Ok(())) };
        match self.core.try_send(&message) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Refusal::Full) => {
                self.message = Some(message);
                self.wait(context.waker());
                Poll::Pending
            }
            Err(reason) => Poll::Ready(Err(SendError::new(message, reason))),
        }
    }
}

impl Sending<'_> {
    fn wait(&mut self, waker: &Waker) {
        let mine = waker.clone();
        let mut state = self.core.lock();
        if state.phase == Phase::Open && !state.pattern.can_send() {
            let before = state.senders.wait(&mut self.ticket, mine);
            drop(state);
            drop(before);
        } else {
            // Things have changed since: try again.
            drop(state);
            waker.wake_by_ref();
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_send(context)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        // All senders are woken together, so there is nothing to pass on.
        let left = self.core.lock().senders.leave(&mut self.ticket);
        drop(left);
    }
}

/// Waits for a message.
pub(super) struct Receiving<'a> {
    core: &'a Core,
    ticket: Ticket,
}

impl<'a> Receiving<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { core, ticket: Ticket::default() }
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, RecvError>> {
        let waker = context.waker().clone();
        let mut state = self.core.lock();
        let result = state.recv();
        if let Err(RecvError::Empty) = result {
            let before = state.receivers.wait(&mut self.ticket, waker);
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        let left = state.receivers.leave(&mut self.ticket);
        let resume = state.pipes.take_resume();
        drop(state);
        drop(left);
        if let Some(carrier) = resume {
            carrier.resume();
        }
        Poll::Ready(result)
    }
}

impl Future for Receiving<'_> {
    type Output = Result<Message, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_recv(context)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let mut state = self.core.lock();
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

/// Waits until so many peers are connected.
pub(super) struct Connecting<'a> {
    core: &'a Core,
    peers: usize,
    ticket: Ticket,
}

impl<'a> Connecting<'a> {
    pub(super) fn new(core: &'a Core, peers: usize) -> Self {
        Self { core, peers, ticket: Ticket::default() }
    }
}

impl Future for Connecting<'_> {
    type Output = Result<(), WaitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let mut state = this.core.lock();
        if state.phase != Phase::Open {
            return Poll::Ready(Err(WaitError::Closed));
        }
        if state.pipes.stats.peers >= this.peers {
            return Poll::Ready(Ok(()));
        }
        let before = state.connecting.wait(&mut this.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let left = self.core.lock().connecting.leave(&mut self.ticket);
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

impl<F: Future + Unpin> Future for Attended<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let result = Pin::new(&mut this.wait).poll(context);
        if result.is_ready() {
            this.attendance = None;
        } else {
            this.attendance.get_or_insert_with(|| this.core.engine.attendance());
            // Help before you wait: what this task has sent must not lie about while it sleeps.
            left_behind::flush();
        }
        result
    }
}
