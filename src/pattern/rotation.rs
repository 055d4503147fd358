//! [`Rotation`]: strict round robin over the peers that are ready.

use std::collections::VecDeque;

use crate::slots::{Id, IdSet};

/// A ring of peers that take turns: those with room, for load balancing; those with messages, for fair queueing.
///
/// Who joins waits for all the others to have had their turn first. Strangers decide how many they are, so that to join and
/// to have one's turn takes no longer the more there are.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    /// Who is next comes first.
    ring: VecDeque<Id>,
    members: IdSet,
}

impl Rotation {
    /// Adds a peer behind all others. Nothing changes if it takes part already.
    pub(crate) fn join(&mut self, peer: Id) {
        if self.members.insert(peer) {
            self.ring.push_back(peer);
        }
    }

    /// Takes a peer out, wherever it stands.
    pub(crate) fn leave(&mut self, peer: Id) {
        if self.members.remove(peer) {
            self.ring.retain(|other| *other != peer);
        }
    }

    /// Whose turn it is.
    #[inline]
    pub(crate) fn current(&self) -> Option<Id> {
        self.ring.front().copied()
    }

    /// Ends the turn of the current peer, which stays.
    #[inline]
    pub(crate) fn advance(&mut self) {
        // As a rule there is one.
        if self.ring.len() > 1 {
            self.ring.rotate_left(1);
        }
    }

    /// Ends the turn of the current peer and takes it out.
    pub(crate) fn retire(&mut self) {
        if let Some(peer) = self.ring.pop_front() {
            self.members.remove(peer);
        }
    }

    /// Whether nobody is ready.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;
    use crate::slots::Slots;

    fn ids(count: usize) -> Vec<Id> {
        let mut slots = Slots::new();
        (0..count).map(|_| slots.insert(())).collect()
    }

    fn turns(rotation: &mut Rotation, count: usize) -> Vec<Id> {
        (0..count)
            .filter_map(|_| {
                let turn = rotation.current();
                rotation.advance();
                turn
            })
            .collect()
    }

    #[test]
    fn everybody_has_a_turn_in_order() {
        let [a, b, c] = ids(3)[..] else { unreachable!("three were asked for") };
        let mut rotation = Rotation::default();
        [a, b, c].into_iter().for_each(|id| rotation.join(id));
        assert_eq!(turns(&mut rotation, 7), [a, b, c, a, b, c, a]);
    }

    #[test]
    fn a_newcomer_waits_for_one_round() {
        let [a, b, c] = ids(3)[..] else { unreachable!("three were asked for") };
        let mut rotation = Rotation::default();
        [a, b].into_iter().for_each(|id| rotation.join(id));
        turns(&mut rotation, 1);
        rotation.join(c);
        assert_eq!(turns(&mut rotation, 4), [b, a, c, b]);
    }

    #[test]
    fn leaving_costs_nobody_a_turn() {
        let [a, b, c] = ids(3)[..] else { unreachable!("three were asked for") };
        let mut rotation = Rotation::default();
        [a, b, c].into_iter().for_each(|id| rotation.join(id));
        turns(&mut rotation, 1);
        rotation.leave(a);
        assert_eq!(turns(&mut rotation, 2), [b, c]);
        rotation.retire();
        assert_eq!(turns(&mut rotation, 2), [c, c]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(usize),
        Leave(usize),
        Advance,
        Retire,
    }

    impl Arbitrary for Step {
        fn arbitrary(g: &mut Gen) -> Self {
            let peer = usize::arbitrary(g) % PEERS;
            match u8::arbitrary(g) % 8 {
                0..=1 => Self::Join(peer),
                2 => Self::Leave(peer),
                3..=6 => Self::Advance,
                _ => Self::Retire,
            }
        }
    }

    const PEERS: usize = 7;

    quickcheck! {
        /// The twin is a queue whose front has the turn and goes to the back.
        fn a_rotation_is_a_queue(steps: Vec<Step>) -> bool {
            let ids = ids(PEERS);
            let mut rotation = Rotation::default();
            let mut twin = VecDeque::new();
            steps.into_iter().all(|step| {
                match step {
                    Step::Join(peer) => {
                        rotation.join(ids[peer]);
                        if !twin.contains(&ids[peer]) {
                            twin.push_back(ids[peer]);
                        }
                    }
                    Step::Leave(peer) => {
                        rotation.leave(ids[peer]);
                        twin.retain(|id| *id != ids[peer]);
                    }
                    Step::Advance => {
                        rotation.advance();
                        if !twin.is_empty() {
                            twin.rotate_left(1);
                        }
                    }
                    Step::Retire => {
                        rotation.retire();
                        twin.pop_front();
                    }
                }
                rotation.current() == twin.front().copied() && rotation.is_empty() == twin.is_empty()
            })
        }
    }
}
