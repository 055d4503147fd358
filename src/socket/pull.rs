//! PULL: collects work from PUSH peers.

use super::pattern::Pattern;
use super::{Conflates, Kind, Receives, sealed};
use crate::options::Options;
use crate::pattern::FairQueue;
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
    fn incoming(&self) -> Option<&FairQueue> {
        Some(&self.0)
    }

    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        Some(&mut self.0)
    }
}
