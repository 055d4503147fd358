//! [`Balancer`]: sends to all peers in turn, and takes back what a lost one has not got.

use std::collections::VecDeque;

use super::Pipes;
use super::rotation::Rotation;
use crate::error::Refusal;
use crate::message::Message;
use crate::options::Mark;
use crate::shield::shielded;
use crate::slots::Id;

/// Spreads messages over the peers that have room, strictly in turn.
///
/// What a lost peer was not wholly given comes back here and goes, in order and before anything new, to whoever has
/// room next. A lost peer that is being dialled again still counts: while no other peer has room, as many messages as
/// its queue would hold may wait here for its return.
#[derive(Debug)]
pub(crate) struct Balancer {
    rotation: Rotation,
    /// Messages that no peer has room for. Not empty only while the rotation is.
    returned: VecDeque<Message>,
    /// Octets that these take.
    octets: usize,
    /// Lost peers that are expected back.
    lost: Vec<Id>,
    /// How much each of them makes room for.
    mark: Mark,
    /// Each queue keeps its newest message only, and so has room always.
    conflate: bool,
}

impl Balancer {
    /// A balancer over queues with this mark, or over such as keep their newest message only.
    pub(crate) fn new(mark: Mark, conflate: bool) -> Self {
        let rotation = Rotation::default();
        Self { rotation, returned: VecDeque::new(), octets: 0, lost: Vec::new(), mark, conflate }
    }

    /// Gives the message to the next peer in turn. Refused if there is no room for it.
    #[inline]
    pub(crate) fn send(&mut self, pipes: &mut impl Pipes, message: &Message) -> Result<(), Refusal> {
        match self.rotation.current() {
            Some(peer) => {
                self.push(pipes, peer, message);
                Ok(())
            }
            None => self.keep(pipes, message),
        }
    }

    /// Whether there is room for a message.
    pub(crate) fn has_room(&self, pipes: &impl Pipes) -> bool {
        !self.rotation.is_empty() || (self.has_spare() && self.is_light(pipes))
    }

    /// The peer has room: it is new, is back, or has got rid of enough of what it had.
    pub(crate) fn join(&mut self, pipes: &mut impl Pipes, peer: Id) {
        self.lost.retain(|lost| *lost != peer);
        self.rotation.join(peer);
        self.place(pipes);
    }

    /// The peer is lost, and has not got these messages. `expected` tells whether it may come back. Returns how many of
    /// them are kept.
    pub(crate) fn lose(
        &mut self,
        pipes: &mut impl Pipes,
        peer: Id,
        mut unsent: Vec<Message>,
        expected: bool,
    ) -> usize {
        if self.conflate {
            // The newest message waits for the return of its peer; with another it would be out of place. And a queue
            // with room for the next one always keeps its turn.
            let newest = if expected { unsent.pop() } else { None };
            newest.iter().for_each(|message| _ = pipes.push(peer, message));
            if !expected {
                self.leave(peer);
            }
            return usize::from(newest.is_some());
        }
        let kept = unsent.len();
        self.rotation.leave(peer);
        self.lost.retain(|lost| *lost != peer);
        if expected {
            self.lost.push(peer);
        }
        // They were accepted before anything that waits already.
        for message in unsent.into_iter().rev() {
            self.octets += message.weight();
            self.returned.push_front(message);
        }
        self.place(pipes);
        kept
    }

    /// The peer is to be given nothing more.
    pub(crate) fn leave(&mut self, peer: Id) {
        self.rotation.leave(peer);
        self.lost.retain(|lost| *lost != peer);
    }

    /// How many messages are accepted and with no peer: they wait for one with room.
    pub(crate) fn homeless(&self) -> usize {
        self.returned.len()
    }

    /// Octets that these take.
    pub(crate) fn homeless_octets(&self) -> usize {
        self.octets
    }

    /// Gives up on the messages that wait.
    pub(crate) fn drain(&mut self) -> Vec<Message> {
        self.octets = 0;
        std::mem::take(&mut self.returned).into()
    }

    /// Gives what waits to peers with room.
    fn place(&mut self, pipes: &mut impl Pipes) {
        while let Some(peer) = self.rotation.current() {
            let Some(message) = self.returned.pop_front() else { break };
            self.octets -= message.weight();
            self.push(pipes, peer, &message);
            shielded(|| drop(message));
        }
    }

    #[inline]
    fn push(&mut self, pipes: &mut impl Pipes, peer: Id, message: &Message) {
        if pipes.push(peer, message) {
            self.rotation.advance();
        } else {
            self.rotation.retire();
        }
    }

    /// Keeps a message for the return of a lost peer, if one is expected.
    #[cold]
    fn keep(&mut self, pipes: &impl Pipes, message: &Message) -> Result<(), Refusal> {
        if !self.has_spare() {
            return Err(pipes.refusal(None));
        }
        if !self.is_light(pipes) {
            return Err(Refusal::FullOfBytes);
        }
        self.octets += message.weight();
        self.returned.push_back(message.clone());
        Ok(())
    }

    /// Whether the queues of lost peers would hold one message more than wait.
    fn has_spare(&self) -> bool {
        self.returned.len() < self.lost.len().saturating_mul(self.mark.messages)
    }

    /// Whether what waits has not as many octets as it may have.
    fn is_light(&self, pipes: &impl Pipes) -> bool {
        let own = self.octets < self.lost.len().saturating_mul(self.mark.octets);
        self.returned.is_empty() || (own && pipes.takes(self.octets))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;
    use crate::error::Received;
    use crate::slots::Slots;

    /// Queues without a wire, each for `mark` messages.
    #[derive(Default)]
    struct Queues {
        mark: usize,
        /// The most octets that the socket may have.
        most: usize,
        queues: HashMap<Id, VecDeque<Message>>,
    }

    impl Pipes for Queues {
        fn push(&mut self, peer: Id, message: &Message) -> bool {
            let queue = self.queues.entry(peer).or_default();
            assert!(queue.len() < self.mark, "pushed to a full queue");
            queue.push_back(message.clone());
            queue.len() < self.mark
        }

        fn pop(&mut self, peer: Id, into: &mut Received) -> bool {
            let popped = self.queues.get_mut(&peer).and_then(VecDeque::pop_front);
            popped.map(|message| *into = Ok(message)).is_some()
        }

        fn is_dry(&self, peer: Id) -> bool {
            self.queues.get(&peer).is_none_or(VecDeque::is_empty)
        }

        fn has_room(&self, peer: Id) -> bool {
            !self.is_full(peer)
        }

        fn is_full(&self, peer: Id) -> bool {
            self.queues.get(&peer).is_some_and(|queue| queue.len() >= self.mark)
        }

        fn refusal(&self, _: Option<Id>) -> Refusal {
            Refusal::Full
        }

        fn takes(&self, octets: usize) -> bool {
            octets < self.most
        }

        fn shed(&mut self, peer: Id) -> bool {
            self.queues.get_mut(&peer).and_then(VecDeque::pop_front).is_some()
        }

        fn sever(&mut self, _: Id) -> bool {
            false
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send,
        Join(usize),
        Lose(usize, bool),
        /// A peer gets everything that is queued for it.
        Drain(usize),
    }

    impl Arbitrary for Step {
        fn arbitrary(g: &mut Gen) -> Self {
            let peer = usize::arbitrary(g) % PEERS;
            match u8::arbitrary(g) % 16 {
                0..=9 => Self::Send,
                10..=11 => Self::Join(peer),
                12..=13 => Self::Lose(peer, bool::arbitrary(g)),
                _ => Self::Drain(peer),
            }
        }
    }

    const PEERS: usize = 4;

    quickcheck! {
        /// Whatever happens to the peers, each accepted message is in one place, and each peer gets its share in order
        /// as long as nobody is lost.
        fn no_message_is_lost_or_doubled(mark: u8, steps: Vec<Step>) -> bool {
            let mut slots = Slots::new();
            let ids: Vec<Id> = (0..PEERS).map(|_| slots.insert(())).collect();
            let mut pipes = Queues { mark: 1 + usize::from(mark % 5), most: usize::MAX, ..Queues::default() };
            let mut balancer = Balancer::new(Mark::of(pipes.mark), false);
            let mut here = [false; PEERS];
            let (mut accepted, mut got) = (0u32, Vec::new());
            for step in steps {
                match step {
                    Step::Send => {
                        let room = balancer.has_room(&pipes);
                        if balancer.send(&mut pipes, &Message::from(&accepted.to_be_bytes())).is_ok() != room {
                            return false;
                        }
                        accepted += u32::from(room);
                    }
                    Step::Join(peer) if !here[peer] => {
                        here[peer] = true;
                        balancer.join(&mut pipes, ids[peer]);
                    }
                    Step::Lose(peer, expected) if here[peer] => {
                        here[peer] = false;
                        let unsent = pipes.queues.remove(&ids[peer]).unwrap_or_default();
                        balancer.lose(&mut pipes, ids[peer], unsent.into(), expected);
                    }
                    Step::Drain(peer) if here[peer] => {
                        got.extend(pipes.queues.remove(&ids[peer]).unwrap_or_default());
                        balancer.join(&mut pipes, ids[peer]);
                    }
                    _ => {}
                }
            }
            got.extend(pipes.queues.into_values().flatten());
            got.extend(balancer.drain());
            let mut numbers: Vec<Vec<u8>> = got.into_iter().map(|message| message.into_bytes().to_vec()).collect();
            numbers.sort();
            numbers == (0..accepted).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>()
        }
    }

    #[test]
    fn what_comes_back_goes_out_before_anything_new_and_in_order() {
        let mut slots = Slots::new();
        let [lost, other] = [slots.insert(()), slots.insert(())];
        let mut pipes = Queues { mark: 3, most: usize::MAX, ..Queues::default() };
        let mut balancer = Balancer::new(Mark::of(3), false);
        balancer.join(&mut pipes, lost);
        for name in ["a", "b"] {
            balancer.send(&mut pipes, &name.into()).unwrap();
        }
        let unsent = pipes.queues.remove(&lost).unwrap_or_default();
        balancer.lose(&mut pipes, lost, unsent.into(), true);
        balancer.send(&mut pipes, &"c".into()).expect("the mark of the lost peer makes room for three");
        assert_eq!(balancer.send(&mut pipes, &"d".into()), Err(Refusal::Full), "and not for four");
        balancer.join(&mut pipes, other);
        assert_eq!(pipes.queues[&other], ["a", "b", "c"].map(Message::from));
        assert_eq!((balancer.homeless(), balancer.homeless_octets()), (0, 0));
    }

    #[test]
    fn what_waits_for_lost_peers_has_a_limit_in_octets() {
        let mut slots = Slots::new();
        let (first, second) = (slots.insert(()), slots.insert(()));
        let mut pipes = Queues { mark: 100, most: 2000, ..Queues::default() };
        let mut balancer = Balancer::new(Mark { messages: 100, octets: 700 }, false);
        for peer in [first, second] {
            balancer.join(&mut pipes, peer);
            balancer.lose(&mut pipes, peer, Vec::new(), true);
        }
        let large = Message::from(vec![7; 500 - Message::WEIGHT]);
        let fill = |balancer: &mut Balancer, pipes: &mut Queues| {
            (0..100).take_while(|_| balancer.send(pipes, &large) != Err(Refusal::FullOfBytes)).count()
        };
        assert_eq!(fill(&mut balancer, &mut pipes), 3, "for each of the two as much as its queue would hold");
        assert!(!balancer.has_room(&pipes));
        assert_eq!(balancer.homeless_octets(), 1500);
        balancer.drain();
        pipes.most = 1000;
        assert_eq!(fill(&mut balancer, &mut pipes), 2, "and not more than the socket may have");
    }
}
