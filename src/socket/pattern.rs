//! [`Pattern`]: what distinguishes one type of socket from another.

use bytes::Bytes;

use super::pipes::Pipes;
use crate::error::{ConnectError, Received, Refusal};
use crate::message::Message;
use crate::pattern::{Balancer, FairQueue};
use crate::peer::Rejection;
use crate::slots::Id;
use crate::zmtp::PeerInfo;

/// How a socket routes. Each type of socket implements this in its own file; all else is common to all types.
///
/// All methods run under the core lock and must not block. What a type does not do it leaves to the default.
pub(crate) trait Pattern: Send {
    /// Who spreads messages over all peers, if this type sends to each in turn and to another what a lost one has not got.
    /// Whatever has to do with sending follows from it by default.
    fn outgoing(&self) -> Option<&Balancer> {
        None
    }

    /// As [`Pattern::outgoing`], to be changed.
    fn outgoing_mut(&mut self) -> Option<&mut Balancer> {
        None
    }

    /// Queues a message with the peer, or peers, it is for. One that [is full](Refusal::is_full) has the caller wait, or try
    /// later.
    #[inline]
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let outgoing = self.outgoing_mut().ok_or(Refusal::Full)?;
        outgoing.send(pipes, message).map(|()| Sent::Message)
    }

    /// Whether [`Pattern::send`] would take a message now.
    fn can_send(&self, pipes: &Pipes) -> bool {
        self.outgoing().is_some_and(|outgoing| outgoing.has_room(pipes))
    }

    /// The queue of those that have messages, if this type receives from all of them in turn. Whatever has to do with
    /// receiving follows from it by default.
    fn incoming(&self) -> Option<&FairQueue> {
        None
    }

    /// As [`Pattern::incoming`], to be changed.
    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        None
    }

    /// Takes the message whose turn it is, into what was [`Empty`](crate::RecvError::Empty) before. If it stays so the caller waits, or tries
    /// later.
    #[inline]
    fn recv(&mut self, pipes: &mut Pipes, into: &mut Received) {
        if let Some(incoming) = self.incoming_mut() {
            incoming.recv(pipes, into);
        }
    }

    /// Whether [`Pattern::recv`] would have something to tell.
    fn can_recv(&self) -> bool {
        self.incoming().is_some_and(|incoming| !incoming.is_empty())
    }

    /// Whether this type receives at all. If not, whatever peers send is dropped.
    fn receives(&self) -> bool {
        self.incoming().is_some()
    }

    /// Whether sending and receiving take turns, so that each may end the waits of others.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Which request it is that a REQ has asked last, if it has given that up or not.
    fn turn(&self) -> u64 {
        0
    }

    /// Whether a message that was just refused has ended a turn all the same.
    fn has_moved_on(&mut self) -> bool {
        false
    }

    /// `connect` has made a peer, which has no connection yet, and perhaps given it a name.
    fn claim(&mut self, _peer: Id, _name: Option<Bytes>) -> Result<(), ConnectError> {
        Ok(())
    }

    /// A peer has a new connection, the handshake being complete.
    fn attach(&mut self, _pipes: &mut Pipes, _peer: Id, _info: &PeerInfo) -> Result<(), Rejection> {
        Ok(())
    }

    /// The routing id that the socket has given to a peer.
    fn name(&self, _peer: Id) -> Option<Bytes> {
        None
    }

    /// Messages have come from a peer. Those that are left go into its inbox. Returns how many were discarded.
    fn arrive(&mut self, _pipes: &mut Pipes, _peer: Id, messages: &mut Vec<Message>) -> usize {
        if self.receives() { 0 } else { messages.drain(..).count() }
    }

    /// The peer may be sent to: it is new or back, or its full queue has drained.
    fn writable(&mut self, pipes: &mut Pipes, peer: Id) {
        if let Some(outgoing) = self.outgoing_mut() {
            outgoing.join(pipes, peer);
        }
    }

    /// The peer has messages.
    fn readable(&mut self, peer: Id) {
        if let Some(incoming) = self.incoming_mut() {
            incoming.join(peer);
        }
    }

    /// The connection of the peer is lost, and it has not got these messages. `expected` tells whether it keeps its
    /// queue until it is back. Returns how many of them are still to be sent; the others are dropped.
    fn lost(&mut self, pipes: &mut Pipes, peer: Id, unsent: Vec<Message>, expected: bool) -> usize {
        self.outgoing_mut().map_or(0, |outgoing| outgoing.lose(pipes, peer, unsent, expected))
    }

    /// Whether what a lost peer has not got is good for anybody else: for another peer, or for the caller of `close`.
    fn keeps(&self, _peer: Id) -> bool {
        self.outgoing().is_some()
    }

    /// The peer is to be sent nothing more.
    fn leave(&mut self, peer: Id) {
        if let Some(outgoing) = self.outgoing_mut() {
            outgoing.leave(peer);
        }
    }

    /// The peer is gone for good.
    fn gone(&mut self, _peer: Id) {}

    /// How many messages are accepted and with no peer.
    fn homeless(&self) -> usize {
        self.outgoing().map_or(0, Balancer::homeless)
    }

    /// Octets that these take.
    fn homeless_octets(&self) -> usize {
        self.outgoing().map_or(0, Balancer::homeless_octets)
    }

    /// Gives up the messages that are with no peer.
    fn drain(&mut self) -> Vec<Message> {
        self.outgoing_mut().map_or_else(Vec::new, Balancer::drain)
    }

    /// How many peers have a subscription.
    fn subscribers(&self) -> usize {
        0
    }

    /// Does what only sockets of this type can be asked for.
    fn obey(&mut self, _pipes: &mut Pipes, _wish: Wish) {
        debug_assert!(false, "asked of a socket that cannot do it");
    }
}

/// What came of [`Pattern::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The message is queued, or accounted for.
    Message,
    /// It was none, but a subscription, which is done.
    Subscription,
}

/// What some types of sockets can be asked for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// SUB, XSUB: messages that begin with this. XPUB: the same for the peer whose message was received last.
    Subscribe(Bytes),
    /// The end of that.
    Unsubscribe(Bytes),
    /// REQ: to be done with what was asked, if it is still this.
    Abandon(u64),
}
