//! [`End`]: a socket without its type, for those who pass messages on and do not care where from or where to.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::Core;
use super::state::Phase;
use super::wait::{Place, Receiving, Room};
use super::{Kind, Socket};
use crate::context::Engine;
use crate::error::Refusal;
use crate::message::Message;

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
        Room::new(self.0)
    }

    /// Waits until the socket is closed.
    pub(crate) fn closing(self) -> Closing<'a> {
        // Those who wait for peers are woken by little else.
        Closing(Place::of_connecting(self.0))
    }
}

/// Waits until the socket is closed.
pub(crate) struct Closing<'a>(Place<'a>);

impl Future for Closing<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_until(context, |state| (state.phase != Phase::Open).then_some(()))
    }
}
