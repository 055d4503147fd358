//! PAIR: talks to one peer.

use bytes::Bytes;

use super::pattern::Pattern;
use super::pipes::Pipes;
use super::{Kind, Receives, Sends, sealed};
use crate::error::ConnectError;
use crate::options::Options;
use crate::pattern::{Balancer, FairQueue};
use crate::peer::Rejection;
use crate::slots::Id;
use crate::zmtp::{PeerInfo, SocketType};

/// One end of a link between two: sends to its only peer and receives from it, in any order.
///
/// A second peer is refused while the first is there: its connection is dropped, and a second
/// [`connect`](super::Socket::connect) fails with [`Occupied`](ConnectError::Occupied). A peer that was connected to
/// stays the only one until it is disconnected from, also while it is away.
#[derive(Debug)]
pub enum Pair {}

impl sealed::Kind for Pair {
    const TYPE: SocketType = SocketType::Pair;
}

impl Kind for Pair {}
impl Sends for Pair {}
impl Receives for Pair {}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Pairing {
        peer: None,
        outgoing: Balancer::new(options.send_mark(), false),
        incoming: FairQueue::default(),
    })
}

struct Pairing {
    peer: Option<Id>,
    /// Of one peer; it keeps for the next what the last one has not got.
    outgoing: Balancer,
    /// Of one peer, and of former ones whose messages are not all received.
    incoming: FairQueue,
}

impl Pairing {
    fn leave(&mut self, peer: Id) {
        self.peer = self.peer.filter(|present| *present != peer);
        self.outgoing.leave(peer);
    }
}

impl Pattern for Pairing {
    fn outgoing(&self) -> Option<&Balancer> {
        Some(&self.outgoing)
    }

    fn outgoing_mut(&mut self) -> Option<&mut Balancer> {
        Some(&mut self.outgoing)
    }

    fn incoming(&self) -> Option<&FairQueue> {
        Some(&self.incoming)
    }

    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        Some(&mut self.incoming)
    }

    fn claim(&mut self, peer: Id, _: Option<Bytes>) -> Result<(), ConnectError> {
        if self.peer.is_some() {
            return Err(ConnectError::Occupied);
        }
        self.peer = Some(peer);
        Ok(())
    }

    fn attach(&mut self, _: &mut Pipes, peer: Id, _: &PeerInfo) -> Result<(), Rejection> {
        if *self.peer.get_or_insert(peer) == peer { Ok(()) } else { Err(Rejection::Occupied) }
    }

    fn leave(&mut self, peer: Id) {
        self.leave(peer);
    }

    fn gone(&mut self, peer: Id) {
        self.leave(peer);
    }
}
