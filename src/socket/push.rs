//! PUSH: spreads work over PULL peers.

use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use super::{Conflates, Kind, Sends, sealed};
use crate::error::Refusal;
use crate::message::Message;
use crate::options::Options;
use crate::pattern::Balancer;
use crate::slots::Id;
use crate::zmtp::SocketType;

/// The sending end of a pipeline: each message goes to one of the connected [`Pull`](super::Pull) peers.
///
/// Peers that have room take turns, strictly. A peer whose queue is full is passed over until half of it has drained;
/// when all are full, or there is none, `send` waits. What a lost peer had not wholly received goes to another.
#[derive(Debug)]
pub enum Push {}

impl sealed::Kind for Push {
    const TYPE: SocketType = SocketType::Push;
}

impl Kind for Push {}
impl Sends for Push {}
impl Conflates for Push {}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Balancing(Balancer::new(options.send_mark(), options.conflate)))
}

struct Balancing(Balancer);

impl Pattern for Balancing {
    #[inline]
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        self.0.send(pipes, message).map(|()| Sent::Message)
    }

    fn can_send(&self, pipes: &Pipes) -> bool {
        self.0.has_room(pipes)
    }

    fn writable(&mut self, pipes: &mut Pipes, peer: Id) {
        self.0.join(pipes, peer);
    }

    fn lost(&mut self, pipes: &mut Pipes, peer: Id, unsent: Vec<Message>, expected: bool) -> usize {
        self.0.lose(pipes, peer, unsent, expected)
    }

    fn keeps(&self, _: Id) -> bool {
        true
    }

    fn leave(&mut self, peer: Id) {
        self.0.leave(peer);
    }

    fn homeless(&self) -> usize {
        self.0.homeless()
    }

    fn homeless_octets(&self) -> usize {
        self.0.homeless_octets()
    }

    fn drain(&mut self) -> Vec<Message> {
        self.0.drain()
    }
}
