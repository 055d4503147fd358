//! REP: answers one request after the other.

use bytes::Bytes;

use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use super::{Kind, Receives, Sends, sealed};
use crate::error::{RecvError, Refusal};
use crate::message::Message;
use crate::options::Options;
use crate::pattern::{FairQueue, Pipes as _};
use crate::slots::Id;
use crate::zmtp::SocketType;

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
    /// Who waits for an answer, and what goes around it.
    asked: Option<(Id, Vec<Bytes>)>,
}

impl Pattern for Answering {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let (peer, envelope) = self.asked.take().ok_or(Refusal::OutOfTurn)?;
        if !pipes.is_connected(peer) {
            pipes.stats.dropped.disconnected += 1;
        } else if pipes.is_full(peer) {
            pipes.stats.dropped.overflowed += 1;
        } else {
            pipes.push(peer, &message.clone().behind(&envelope));
        }
        Ok(Sent::Message)
    }

    fn can_send(&self, _: &Pipes) -> bool {
        self.asked.is_some()
    }

    fn recv(&mut self, pipes: &mut Pipes) -> Result<Message, RecvError> {
        if self.asked.is_some() {
            return Err(RecvError::OutOfTurn);
        }
        loop {
            let Some((peer, request)) = self.incoming.recv_from(pipes) else { return Err(RecvError::Empty) };
            // It was looked at when it came.
            let Some(delimiter) = delimiter(&request) else { continue };
            let parts = request.into_parts();
            self.asked = Some((peer, parts[..=delimiter].to_vec()));
            return Ok(Message::from(&parts[delimiter + 1..]));
        }
    }

    fn can_recv(&self) -> bool {
        self.asked.is_none() && !self.incoming.is_empty()
    }

    fn receives(&self) -> bool {
        true
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn arrive(&mut self, _: &mut Pipes, _: Id, messages: &mut Vec<Message>) -> usize {
        let came = messages.len();
        messages.retain(|message| delimiter(message).is_some());
        came - messages.len()
    }

    fn readable(&mut self, peer: Id) {
        self.incoming.join(peer);
    }
}

/// Where the empty part is that ends the envelope (28/REQREP). Something must follow it.
fn delimiter(message: &Message) -> Option<usize> {
    let place = message.parts().position(<[u8]>::is_empty)?;
    (place + 1 < message.len()).then_some(place)
}
