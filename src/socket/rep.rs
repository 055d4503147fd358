//! REP: answers one request after the other.

use std::collections::HashMap;

use bytes::Bytes;

use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use super::{Kind, Receives, Sends, sealed};
use crate::error::{Received, RecvError, Refusal};
use crate::message::Message;
use crate::options::Options;
use crate::pattern::{FairQueue, Pipes as _};
use crate::peer::Rejection;
use crate::slots::Id;
use crate::zmtp::{PeerInfo, SocketType};

/// The answering end of request and reply: `recv` takes a request from one of its [`Req`](super::Req) or
/// [`Dealer`](super::Dealer) peers, and the next `send` goes back to it. They take turns; out of turn they fail with
/// `OutOfTurn`.
///
/// Peers with requests are served in turn. An answer to a peer that is gone, or whose queue is full, is dropped and
/// counted, and the socket goes on. What stands around a request, however many routers it came through, goes around its
/// answer; a message without that envelope is discarded.
#[derive(Debug)]
pub enum Rep {}

impl sealed::Kind for Rep {
    const TYPE: SocketType = SocketType::Rep;
}

impl Kind for Rep {}
impl Sends for Rep {}
impl Receives for Rep {}

pub(super) fn pattern(_: &Options) -> Box<dyn Pattern> {
    Box::new(Answering::default())
}

#[derive(Default)]
struct Answering {
    incoming: FairQueue,
    asked: Option<Asked>,
    /// How many requests of a peer that has come back are left from before: their answers would go to somebody who has
    /// not asked, or asks something else by now.
    former: HashMap<Id, usize>,
}

/// Who waits for an answer.
struct Asked {
    peer: Id,
    /// What goes around the answer, but for the empty part that ends it: none if it came from a REQ that nobody is in front of.
    envelope: Vec<Bytes>,
    /// The connection is lost that the request came on, whatever connection the peer has now.
    lost: bool,
}

impl Answering {
    /// Whether the request of this peer whose turn it is has come on a connection that is lost.
    fn is_former(&mut self, peer: Id) -> bool {
        let Some(left) = self.former.get_mut(&peer) else { return false };
        *left -= 1;
        if *left == 0 {
            self.former.remove(&peer);
        }
        true
    }
}

impl Pattern for Answering {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let Asked { peer, envelope, lost } = self.asked.take().ok_or(Refusal::OutOfTurn)?;
        if lost || !pipes.is_connected(peer) {
            pipes.stats.dropped.disconnected += 1;
        } else if pipes.is_full(peer) {
            pipes.stats.dropped.overflowed += 1;
        } else {
            let reply = message.clone().delimited();
            pipes.push(peer, &if envelope.is_empty() { reply } else { reply.behind(&envelope) });
        }
        Ok(Sent::Message)
    }

    fn can_send(&self, _: &Pipes) -> bool {
        self.asked.is_some()
    }

    fn incoming(&self) -> Option<&FairQueue> {
        Some(&self.incoming)
    }

    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        Some(&mut self.incoming)
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Received) {
        if self.asked.is_some() {
            *into = Err(RecvError::OutOfTurn);
            return;
        }
        loop {
            let mut received = Err(RecvError::Empty);
            let (Some(peer), Ok(request)) = (self.incoming.recv(pipes, &mut received), received) else {
                return;
            };
            let lost = self.is_former(peer);
            // It was looked at when it came.
            let (envelope, body) = match request.undelimited() {
                Ok(body) => (Vec::new(), body),
                Err(request) => {
                    let Some(delimiter) = delimiter(&request) else { continue };
                    let mut parts = request.into_parts();
                    let body = Message::from(&parts[delimiter + 1..]);
                    parts.truncate(delimiter);
                    (parts, body)
                }
            };
            self.asked = Some(Asked { peer, envelope, lost });
            *into = Ok(body);
            return;
        }
    }

    fn can_recv(&self) -> bool {
        self.asked.is_none() && !self.incoming.is_empty()
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn attach(&mut self, pipes: &mut Pipes, peer: Id, _: &PeerInfo) -> Result<(), Rejection> {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.peer == peer) {
            asked.lost = true;
        }
        let unread = pipes.unread(peer);
        if unread > 0 {
            self.former.insert(peer, unread);
        }
        Ok(())
    }

    fn arrive(&mut self, _: &mut Pipes, _: Id, messages: &mut Vec<Message>) -> usize {
        let came = messages.len();
        messages.retain(|message| delimiter(message).is_some());
        came - messages.len()
    }

    fn gone(&mut self, peer: Id) {
        self.former.remove(&peer);
    }
}

/// Where the empty part is that ends the envelope (28/REQREP). Something must follow it.
fn delimiter(message: &Message) -> Option<usize> {
    let place = message.parts().position(<[u8]>::is_empty)?;
    (place + 1 < message.len()).then_some(place)
}
