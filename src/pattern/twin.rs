//! [`Subscriptions`] and [`Interests`] against a naive twin: lists that are searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Added, Interests, Removed, Subscriptions};
use crate::options::Options;
use crate::slots::{Id, Slots};

/// Runs a program of subscriptions and messages, and then has everybody leave. Panics if the trie and its twin disagree.
///
/// A step is an octet that says what is to be done (its lower three bits) and by which peer (the others), and a topic: an
/// octet that says how many of the next ones are repeated (its lower half) and how often (its upper half, plus one).
pub(crate) fn run(program: &[u8]) {
    let mut pair = Pair::new();
    let mut steps = program;
    while let Some((step, rest)) = steps.split_first() {
        let (topic, rest) = topic(rest);
        pair.step(step % 8, usize::from(step / 8), topic);
        steps = rest;
    }
    pair.check();
    for peer in 0..PEERS {
        pair.leave(peer);
        pair.check();
    }
    assert!(pair.twin.is_empty());
}

fn topic(octets: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some((&shape, rest)) = octets.split_first() else { return (Vec::new(), octets) };
    let (piece, rest) = rest.split_at(rest.len().min(usize::from(shape % 16)));
    (piece.repeat(1 + usize::from(shape / 16)), rest)
}

struct Pair {
    subscriptions: Subscriptions,
    /// The peers that have each topic.
    twin: BTreeMap<Vec<u8>, BTreeSet<Id>>,
    /// What the first peer has asked for, as it keeps it itself, and how often.
    interests: Interests,
    counts: BTreeMap<Vec<u8>, u32>,
    slots: Slots<()>,
    peers: Vec<Id>,
}

impl Pair {
    fn new() -> Self {
        let mut slots = Slots::new();
        let peers = (0..PEERS).map(|_| slots.insert(())).collect();
        Self {
            subscriptions: Subscriptions::new(&Options::default()),
            twin: BTreeMap::new(),
            interests: Interests::default(),
            counts: BTreeMap::new(),
            slots,
            peers,
        }
    }

    fn step(&mut self, what: u8, peer: usize, topic: Vec<u8>) {
        match what {
            0..=2 => self.subscribe(peer, topic),
            3 | 4 => self.cancel(peer, &topic),
            5 => self.publish(&topic),
            6 => self.check(),
            _ => self.leave(peer),
        }
    }

    fn subscribe(&mut self, peer: usize, topic: Vec<u8>) {
        let id = self.peers[peer];
        let expected = match self.twin.get(&topic) {
            None => Added::First,
            Some(peers) if peers.contains(&id) => Added::Again,
            Some(_) => Added::Another,
        };
        assert_eq!(self.subscriptions.add(id, &topic), expected);
        self.twin.entry(topic.clone()).or_default().insert(id);
        if peer == 0 {
            self.interests.add(&topic);
            *self.counts.entry(topic).or_default() += 1;
        }
    }

    fn cancel(&mut self, peer: usize, topic: &[u8]) {
        let id = self.peers[peer];
        let had = self.twin.get_mut(topic).is_some_and(|peers| peers.remove(&id));
        let last = had && self.twin[topic].is_empty();
        let expected = match (had, last) {
            (false, _) => Removed::Unknown,
            (true, false) => Removed::OneOf,
            (true, true) => Removed::Last,
        };
        assert_eq!(self.subscriptions.remove(id, topic), expected);
        self.twin.retain(|_, peers| !peers.is_empty());
        if peer == 0 {
            let last = self.counts.get_mut(topic).is_some_and(|count| {
                *count -= 1;
                *count == 0
            });
            assert_eq!(self.interests.remove(topic), last);
            self.counts.retain(|_, count| *count > 0);
        }
    }

    fn publish(&self, octets: &[u8]) {
        let mut matching = vec![self.peers[0]]; // which is to be forgotten
        self.subscriptions.matching(octets, &mut matching);
        matching.sort_unstable();
        let subscribed = self.twin.iter().filter(|(topic, _)| octets.starts_with(topic));
        let expected: BTreeSet<Id> = subscribed.flat_map(|(_, peers)| peers).copied().collect();
        assert!(matching.iter().eq(&expected), "each peer once: {matching:?} instead of {expected:?}");
        let wanted = self.counts.keys().any(|topic| octets.starts_with(topic));
        assert_eq!(self.interests.wants(octets), wanted);
    }

    /// A peer leaves, and another comes in its place.
    fn leave(&mut self, peer: usize) {
        let id = self.peers[peer];
        let had = self.twin.iter().filter(|(_, peers)| peers.contains(&id));
        let had: Vec<_> = had.map(|(topic, peers)| (topic.clone(), peers.len() == 1)).collect();
        if had.len() % 2 == 0 {
            assert_eq!(self.subscriptions.take(id), had);
        } else {
            self.subscriptions.forget(id);
        }
        self.twin.values_mut().for_each(|peers| _ = peers.remove(&id));
        self.twin.retain(|_, peers| !peers.is_empty());
        self.slots.remove(id);
        self.peers[peer] = self.slots.insert(());
    }

    fn check(&self) {
        self.subscriptions.check();
        let subscribers: BTreeSet<&Id> = self.twin.values().flatten().collect();
        assert_eq!(self.subscriptions.peers(), subscribers.len());
        self.twin.keys().for_each(|topic| self.publish(topic));

        self.interests.check();
        let mut topics: Vec<_> = self.interests.topics().collect();
        topics.sort_unstable();
        assert!(topics.iter().eq(self.counts.keys()));
    }
}

/// As many as a step can name.
const PEERS: usize = 32;

#[cfg(test)]
mod tests {
    use quickcheck::{Gen, QuickCheck};

    use super::*;

    #[test]
    fn nobody_can_tell_a_trie_from_its_twin() {
        QuickCheck::new().rng(Gen::new(300)).quickcheck(check as fn(Vec<(u8, u8, Vec<u8>)>));

        /// Few peers, few letters, and short topics, so that they overlap.
        fn check(steps: Vec<(u8, u8, Vec<u8>)>) {
            let step = |(what, shape, letters): (u8, u8, Vec<u8>)| {
                let letters: Vec<u8> = letters.iter().take(4).map(|letter| b'a' + letter % 3).collect();
                let repeated = if shape < 64 { shape & 0xF0 } else { 0 };
                [&[what % 40, repeated + letters.len() as u8][..], &letters].concat()
            };
            run(&steps.into_iter().flat_map(step).collect::<Vec<u8>>());
        }
    }
}
