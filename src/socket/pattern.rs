//! [`Pattern`]: what distinguishes one type of socket from another.

use super::pipes::Pipes;
use crate::error::RecvError;
use crate::message::Message;
use crate::slots::Id;

/// How a socket routes. Each type of socket implements this in its own file; all else is common to all types.
///
/// All methods run under the core lock and must not block. What a type does not do it leaves to the default.
pub(crate) trait Pattern: Send {
    /// Queues a message with the peer, or peers, it is for. False if there is no room.
    fn send(&mut self, _pipes: &mut Pipes, _message: &Message) -> bool {
        false
    }

    /// Whether [`Pattern::send`] would find room.
    fn can_send(&self) -> bool {
        false
    }

    /// Takes the message whose turn it is, or tells that there is none.
    fn recv(&mut self, _pipes: &mut Pipes) -> Result<Message, RecvError> {
        Err(RecvError::Empty)
    }

    /// Whether [`Pattern::recv`] would find a message.
    fn can_recv(&self) -> bool {
        false
    }

    /// Whether this type receives at all. If not, whatever peers send is dropped.
    fn receives(&self) -> bool {
        false
    }

    /// The peer may be sent to: it is new or back, or its full queue has drained.
    fn writable(&mut self, _pipes: &mut Pipes, _peer: Id) {}

    /// The peer has messages.
    fn readable(&mut self, _peer: Id) {}

    /// The connection of the peer is lost, and it has not got these messages. `expected` tells whether it may come
    /// back.
    fn lost(&mut self, _pipes: &mut Pipes, _peer: Id, _unsent: Vec<Message>, _expected: bool) {}

    /// The peer is to be sent nothing more.
    fn leave(&mut self, _peer: Id) {}

    /// How many messages are accepted and with no peer.
    fn waiting(&self) -> usize {
        0
    }

    /// Gives up the messages that are with no peer.
    fn drain(&mut self) -> Vec<Message> {
        Vec::new()
    }
}
