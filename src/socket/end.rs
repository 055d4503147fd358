//! [`End`]: a socket without its type, for those who pass messages on and do not care where from or where to.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::{Core, Phase};
use super::wait::Receiving;
use super::{Kind, Socket};
use crate::context::Engine;
use crate::error::Refusal;
use crate::message::Message;
use crate::pipe::Ticket;

/// A socket of any type.
#[derive(Clone, Copy)]
pub(crate) struct End<'a>(&'a Core);

impl<'a, T: Kind> From<&'a Socket<T>> for End<'a> {
    fn from(socket: &'a Socket<T>) -> Self {
        Self(&socket.core)
    }
}

impl<'a> End<'a> {
    /// Whether both are one socket.
    pub(crate) fn is(self, other: Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }

    /// The reactor that the socket lives on.
    pub(crate) fn engine(self) -> &'a Engine {
        &self.0.engine
    }

    pub(crate) fn try_send(self, message: &Message) -> Result<(), Refusal> {
        self.0.try_send(message)
    }

    /// Waits for a message, and for the next one when it is polled again.
    pub(crate) fn receiving(self) -> Receiving<'a> {
        Receiving::new(self.0)
    }

    /// A place to wait for room.
    pub(crate) fn room(self) -> Room<'a> {
        Room { core: self.0, ticket: Ticket::default() }
    }

    /// Waits until the socket is closed.
    pub(crate) fn closing(self) -> Closing<'a> {
        Closing { core: self.0, ticket: Ticket::default() }
    }
}

/// Waits for room, for one message after the other.
pub(crate) struct Room<'a> {
    core: &'a Core,
    ticket: Ticket,
}

impl Room<'_> {
    /// Sends the message, or waits while there is no room for it.
    pub(crate) fn poll_send(
        &mut self,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        match self.core.try_send(message) {
            Err(Refusal::Full) => {}
            result => return Poll::Ready(result),
        }
        match self.core.send_or_wait(message, &mut self.ticket, context.waker()) {
            Err(Refusal::Full) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        // All senders are woken together, so there is nothing to pass on.
        let left = self.core.lock().senders.leave(&mut self.ticket);
        drop(left);
    }
}

/// Waits until the socket is closed.
pub(crate) struct Closing<'a> {
    core: &'a Core,
    ticket: Ticket,
}

impl Future for Closing<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let mut state = this.core.lock();
        if state.phase != Phase::Open {
            return Poll::Ready(());
        }
        // Those who wait for peers are woken by little else.
        let before = state.connecting.wait(&mut this.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let left = self.core.lock().connecting.leave(&mut self.ticket);
        drop(left);
    }
}
