//! PULL: collects work from PUSH peers.

use super::pattern::Pattern;
use super::pipes::Pipes;
use super::{Conflates, Kind, Receives, sealed};
use crate::error::RecvError;
use crate::message::Message;
use crate::options::Options;
use crate::pattern::FairQueue;
use crate::slots::Id;
use crate::zmtp::SocketType;

/// The receiving end of a pipeline: takes messages from all connected [`Push`](super::Push) peers.
///
/// Peers that have messages take turns, so that a busy one cannot keep the others waiting. When the queue of a peer is
/// full, it is not read from any more, and the sender feels that in turn; nothing is dropped.
#[derive(Debug)]
pub enum Pull {}

impl sealed::Kind for Pull {
    const TYPE: SocketType = SocketType::Pull;
}

impl Kind for Pull {}
impl Receives for Pull {}
impl Conflates for Pull {}

pub(super) fn pattern(_: &Options) -> Box<dyn Pattern> {
    Box::new(Collecting(FairQueue::default()))
}

struct Collecting(FairQueue);

impl Pattern for Collecting {
    #[inline]
    fn recv(&mut self, pipes: &mut Pipes) -> Result<Message, RecvError> {
        self.0.recv(pipes).ok_or(RecvError::Empty)
    }

    fn can_recv(&self) -> bool {
        !self.0.is_empty()
    }

    fn receives(&self) -> bool {
        true
    }

    fn readable(&mut self, peer: Id) {
        self.0.join(peer);
    }
}
