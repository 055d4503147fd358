//! [`Subscriptions`]: who has subscribed to what, as publishers keep it, and [`Interests`], as subscribers do.

use std::collections::{HashMap, HashSet};

use slab::Slab;

use super::trie::{Node, Trie};
use crate::limit::Limit;
use crate::options::Options;
use crate::slots::Id;

/// Which peers have subscribed to which topics.
///
/// For each peer this is a set: the first CANCEL of a topic ends it, however often it was subscribed to. Subscribers
/// count, and publishers do not, as libzmq has it on both sides; 23/ZMTP says otherwise.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// The most topics of one peer.
    max_topics: usize,
    /// The most octets that all of them take.
    max_octets: usize,
    topics: Trie<Peers>,
    /// The peers of the topics that more than one has.
    crowds: Slab<Vec<Id>>,
    peers: HashMap<Id, Held>,
}

/// The peers that have subscribed to a topic. Most topics are of one peer: it costs no allocation, and no look at one.
#[derive(Clone, Copy, Debug, Default)]
enum Peers {
    #[default]
    Nobody,
    One(Id),
    /// The index in [`Subscriptions::crowds`].
    Crowd(u32),
}

/// What one peer has subscribed to.
#[derive(Debug, Default)]
struct Held {
    topics: HashSet<Node>,
    octets: usize,
}

/// What came of [`Subscriptions::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Nobody had this topic before.
    First,
    /// Others had it already.
    Another,
    /// This peer had it already.
    Again,
    /// That would be more than one peer may have.
    Beyond(Limit),
}

/// What came of [`Subscriptions::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// Nobody has this topic any more.
    Last,
    /// Others still have it.
    OneOf,
    /// The peer did not have it.
    Unknown,
}

impl Subscriptions {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max_topics: options.max_subscriptions,
            max_octets: options.max_topic_bytes,
            topics: Trie::default(),
            crowds: Slab::new(),
            peers: HashMap::new(),
        }
    }

    /// The peer subscribes to a topic.
    pub(crate) fn add(&mut self, peer: Id, topic: &[u8]) -> Added {
        let known = self.topics.find(topic);
        let (topics, octets) = match self.peers.get(&peer) {
            Some(held) if known.is_some_and(|node| held.topics.contains(&node)) => return Added::Again,
            Some(held) => (held.topics.len(), held.octets),
            None => (0, 0),
        };
        if topics >= self.max_topics {
            return Added::Beyond(Limit::Subscriptions);
        }
        if octets + topic.len() + OVERHEAD > self.max_octets {
            return Added::Beyond(Limit::TopicBytes);
        }
        let node = self.topics.insert(topic);
        let held = self.peers.entry(peer).or_default();
        held.topics.insert(node);
        held.octets += topic.len() + OVERHEAD;
        let peers = self.topics.value_mut(node);
        match *peers {
            Peers::Nobody => {
                *peers = Peers::One(peer);
                return Added::First;
            }
            Peers::One(other) => {
                let crowd = self.crowds.insert(vec![other, peer]);
                *peers = Peers::Crowd(u32::try_from(crowd).expect("there are fewer crowds than nodes"));
            }
            Peers::Crowd(crowd) => self.crowds[crowd as usize].push(peer),
        }
        Added::Another
    }

    /// The peer does not want a topic any more.
    pub(crate) fn remove(&mut self, peer: Id, topic: &[u8]) -> Removed {
        let Some(held) = self.peers.get_mut(&peer) else { return Removed::Unknown };
        let Some(node) = self.topics.find(topic).filter(|node| held.topics.remove(node)) else {
            return Removed::Unknown;
        };
        held.octets -= topic.len() + OVERHEAD;
        if held.topics.is_empty() {
            self.peers.remove(&peer);
        }
        if self.release(peer, node) { Removed::Last } else { Removed::OneOf }
    }

    /// The peer is gone.
    pub(crate) fn forget(&mut self, peer: Id) {
        for node in self.end(peer) {
            self.release(peer, node);
        }
    }

    /// As [`Subscriptions::forget`]; returns the topics it had, and whether each was the last.
    pub(crate) fn take(&mut self, peer: Id) -> Vec<(Vec<u8>, bool)> {
        let nodes = self.end(peer);
        let mut topics: Vec<_> =
            nodes.into_iter().map(|node| (self.topics.prefix(node), self.release(peer, node))).collect();
        topics.sort();
        topics
    }

    /// The topics of a peer that is gone. They come in the order in which they lie in memory: in any other it takes ten
    /// times as long to remove a million of them, while all others wait.
    fn end(&mut self, peer: Id) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.peers.remove(&peer).unwrap_or_default().topics.into_iter().collect();
        nodes.sort_unstable();
        nodes
    }

    /// How many peers have a subscription.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Puts the peers that have subscribed to what the octets begin with into `peers`, each once.
    pub(crate) fn matching(&self, octets: &[u8], peers: &mut Vec<Id>) {
        peers.clear();
        let mut topics = 0;
        for subscribed in self.topics.matches(octets) {
            match *subscribed {
                Peers::Nobody => {}
                Peers::One(peer) => peers.push(peer),
                Peers::Crowd(crowd) => peers.extend_from_slice(&self.crowds[crowd as usize]),
            }
            topics += 1;
        }
        if topics > 1 {
            peers.sort_unstable();
            peers.dedup();
        }
    }

    /// Checks what must hold between any two calls.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn check(&self) {
        self.topics.check();
        let (mut crowds, mut subscribed) = (0, 0);
        for (node, peers) in self.topics.iter() {
            let peers = match peers {
                Peers::Nobody => panic!("a topic that nobody has"),
                Peers::One(peer) => std::slice::from_ref(peer),
                Peers::Crowd(crowd) => &self.crowds[*crowd as usize],
            };
            crowds += usize::from(peers.len() > 1);
            subscribed += peers.len();
            assert!(peers.iter().all(|peer| self.peers[peer].topics.contains(&node)));
        }
        assert_eq!(crowds, self.crowds.len(), "one is no crowd");
        assert_eq!(subscribed, self.peers.values().map(|held| held.topics.len()).sum::<usize>());
        for held in self.peers.values() {
            let octets = held.topics.iter().map(|node| self.topics.prefix(*node).len() + OVERHEAD);
            assert_eq!(held.octets, octets.sum::<usize>());
            assert!(!held.topics.is_empty(), "who has subscribed to nothing is no subscriber");
        }
    }

    /// True if nobody is left who has the topic.
    fn release(&mut self, peer: Id, node: Node) -> bool {
        let peers = self.topics.value_mut(node);
        if let Peers::Crowd(index) = *peers {
            let crowd = &mut self.crowds[index as usize];
            if let Some(place) = crowd.iter().position(|other| *other == peer) {
                crowd.swap_remove(place);
            }
            if let [last] = crowd[..] {
                *peers = Peers::One(last);
                self.crowds.remove(index as usize);
            }
            return false;
        }
        self.topics.remove(node);
        true
    }
}

/// What a subscriber has subscribed to, and how often.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    topics: Trie<u32>,
}

impl Interests {
    /// Subscribes to a topic.
    pub(crate) fn add(&mut self, topic: &[u8]) {
        let node = self.topics.insert(topic);
        *self.topics.value_mut(node) += 1;
    }

    /// Takes one subscription to a topic back. True if that was the last of it.
    pub(crate) fn remove(&mut self, topic: &[u8]) -> bool {
        let Some(node) = self.topics.find(topic) else { return false };
        let count = self.topics.value_mut(node);
        *count -= 1;
        let last = *count == 0;
        if last {
            self.topics.remove(node);
        }
        last
    }

    /// Whether the octets begin with a topic.
    pub(crate) fn wants(&self, octets: &[u8]) -> bool {
        self.topics.matches(octets).next().is_some()
    }

    /// Checks what must hold between any two calls.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn check(&self) {
        self.topics.check();
        assert!(self.topics.iter().all(|(_, count)| *count > 0));
    }

    /// Each topic once.
    pub(crate) fn topics(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.topics.iter().map(|(node, _)| self.topics.prefix(node))
    }
}

/// What one subscription takes beside its topic, about.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    fn peers() -> (Id, Id) {
        let mut slots = Slots::new();
        (slots.insert(()), slots.insert(()))
    }

    fn matching(subscriptions: &Subscriptions, octets: &[u8]) -> Vec<Id> {
        let mut peers = Vec::new();
        subscriptions.matching(octets, &mut peers);
        peers
    }

    #[test]
    fn a_peer_has_a_topic_once_however_often_it_subscribes() {
        let (a, b) = peers();
        let mut subscriptions = Subscriptions::new(&Options::default());
        assert_eq!(subscriptions.add(a, b"A"), Added::First);
        assert_eq!(subscriptions.add(a, b"A"), Added::Again);
        assert_eq!(subscriptions.add(b, b"A"), Added::Another);
        assert_eq!(subscriptions.remove(a, b"A"), Removed::OneOf);
        assert_eq!(subscriptions.remove(a, b"A"), Removed::Unknown, "no underflow");
        assert_eq!(matching(&subscriptions, b"AB"), [b]);
        assert_eq!(subscriptions.remove(b, b"A"), Removed::Last);
        assert_eq!(subscriptions.peers(), 0);
    }

    #[test]
    fn a_topic_may_have_nobody_or_one_or_a_crowd() {
        let mut slots = Slots::new();
        let ids: Vec<Id> = (0..5).map(|_| slots.insert(())).collect();
        let mut subscriptions = Subscriptions::new(&Options::default());
        for (count, id) in ids.iter().enumerate() {
            let expected = if count == 0 { Added::First } else { Added::Another };
            assert_eq!(subscriptions.add(*id, b"A"), expected);
            assert_eq!(matching(&subscriptions, b"A"), ids[..=count]);
        }
        assert_eq!(subscriptions.crowds.len(), 1);
        for (left, id) in ids.iter().enumerate().skip(1).rev() {
            assert_eq!(subscriptions.remove(*id, b"A"), Removed::OneOf);
            assert_eq!(matching(&subscriptions, b"A"), ids[..left]);
        }
        assert!(subscriptions.crowds.is_empty(), "one is no crowd");
        assert_eq!(subscriptions.take(ids[0]), [(b"A".to_vec(), true)]);
        assert_eq!(matching(&subscriptions, b"A"), []);
    }

    #[test]
    fn overlapping_topics_name_a_peer_once() {
        let (a, b) = peers();
        let mut subscriptions = Subscriptions::new(&Options::default());
        for topic in [&b""[..], b"A", b"AB"] {
            subscriptions.add(a, topic);
        }
        subscriptions.add(b, b"AB");
        assert_eq!(matching(&subscriptions, b"ABC"), [a, b]);
        assert_eq!(matching(&subscriptions, b"B"), [a]);
        assert_eq!(
            subscriptions.take(a),
            [(b"".to_vec(), true), (b"A".to_vec(), true), (b"AB".to_vec(), false)]
        );
        assert_eq!(matching(&subscriptions, b"ABC"), [b]);
    }

    #[test]
    fn what_one_peer_may_subscribe_to_has_a_limit() {
        let (a, b) = peers();
        const LIMIT: usize = 10_000;
        let options = Options { max_topic_bytes: LIMIT, max_subscriptions: 20, ..Options::default() };
        let mut subscriptions = Subscriptions::new(&options);
        let topic = |n: u32| [&n.to_be_bytes()[..], &[0; 1000]].concat();
        let [most, large] = [Limit::Subscriptions, Limit::TopicBytes].map(Added::Beyond);
        let first = (0..).find(|&n| subscriptions.add(a, &topic(n)) == large);
        assert_eq!(first, Some((LIMIT / (1004 + OVERHEAD)) as u32));
        assert_eq!(subscriptions.add(a, &topic(0)), Added::Again, "what it has already costs nothing");
        assert_eq!(subscriptions.add(b, &vec![0; LIMIT]), large);
        assert_eq!(subscriptions.peers(), 1, "who has subscribed to nothing is no subscriber");
        assert_eq!(subscriptions.add(b, b"B"), Added::First, "others are not concerned");
        subscriptions.forget(a);
        let refused = (0..).find(|&n: &u32| subscriptions.add(a, &n.to_be_bytes()) == most);
        assert_eq!(refused, Some(20));
        subscriptions.remove(a, &7u32.to_be_bytes());
        assert_eq!(subscriptions.add(a, b"A"), Added::First);
        assert_eq!(subscriptions.add(a, b"B"), most);
    }

    #[test]
    fn the_subscription_to_everything_outlives_any_number_of_others() {
        let (a, _) = peers();
        let mut subscriptions = Subscriptions::new(&Options::default());
        let topic = |n: u8| [b"topic."[..].to_vec(), vec![n]].concat();
        subscriptions.add(a, b"");
        (0..200).for_each(|n| _ = subscriptions.add(a, &topic(n)));
        (0..200).for_each(|n| assert_eq!(subscriptions.remove(a, &topic(n)), Removed::Last));
        assert_eq!(matching(&subscriptions, b"A"), [a]);
        assert_eq!(subscriptions.take(a), [(b"".to_vec(), true)]);
    }

    #[test]
    fn interests_are_counted() {
        let mut interests = Interests::default();
        interests.add(b"A");
        interests.add(b"A");
        assert!(interests.wants(b"AB") && !interests.wants(b"B"));
        assert!(!interests.remove(b"A"));
        assert!(interests.wants(b"AB"));
        assert!(interests.remove(b"A"));
        assert!(!interests.wants(b"AB") && !interests.remove(b"A"));
    }
}
