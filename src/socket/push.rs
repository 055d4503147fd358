//! PUSH: spreads work over PULL peers.

use super::pattern::Pattern;
use super::{Conflates, Kind, Sends, sealed};
use crate::options::Options;
use crate::pattern::Balancer;
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
    fn outgoing(&self) -> Option<&Balancer> {
        Some(&self.0)
    }

    fn outgoing_mut(&mut self) -> Option<&mut Balancer> {
        Some(&mut self.0)
    }
}
