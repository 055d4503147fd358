//! DEALER: spreads messages over its peers, and collects theirs.

use super::pattern::Pattern;
use super::{Conflates, Identifies, Kind, Receives, Sends, sealed};
use crate::options::Options;
use crate::pattern::{Balancer, FairQueue};
use crate::zmtp::SocketType;

/// Asks and answers without taking turns: what it sends goes to one of its [`Rep`](super::Rep),
/// [`Router`](super::Router) or [`Dealer`] peers, as a [`Push`](super::Push) sends it; what comes from any of them is
/// received as a [`Pull`](super::Pull) receives it.
///
/// It adds nothing to messages and takes nothing away. A REP expects the envelope that a REQ would put around a request:
/// one empty part before the body.
#[derive(Debug)]
pub enum Dealer {}

impl sealed::Kind for Dealer {
    const TYPE: SocketType = SocketType::Dealer;
}

impl Kind for Dealer {}
impl Sends for Dealer {}
impl Receives for Dealer {}
impl Conflates for Dealer {}
impl Identifies for Dealer {}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Dealing {
        outgoing: Balancer::new(options.send_mark(), options.conflate),
        incoming: FairQueue::default(),
    })
}

struct Dealing {
    outgoing: Balancer,
    incoming: FairQueue,
}

impl Pattern for Dealing {
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
}
