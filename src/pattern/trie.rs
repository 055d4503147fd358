//! [`Trie`]: values under prefixes, found by the topics that begin with them.

use slab::Slab;

/// Keeps values under octet-string prefixes, and finds all those whose prefix a topic begins with.
///
/// A path that does not branch is one edge, however long it is, so there are never more than two places for each
/// stored prefix. To find what matches takes one pass over the topic and a binary search at each fork on the way, no
/// matter how many prefixes are stored. Prefixes come from strangers, and may be nested thousands deep: nothing here
/// recurses.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    /// The root is always there, for the empty prefix.
    places: Slab<Place<V>>,
    /// How many places are occupied.
    len: usize,
}

/// Names an occupied place in a [`Trie`]. It stands for the same prefix until that is removed, whatever else comes and
/// goes; after that it may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(u32);

/// Where edges meet, or a stored prefix ends, or both.
#[derive(Debug)]
struct Place<V> {
    /// The root is its own.
    parent: Node,
    /// What this place adds to the prefix of its parent. Empty for the root alone.
    label: Box<[u8]>,
    /// The places below, each by the first octet of its label, in order of that.
    children: Vec<(u8, Node)>,
    /// If there is none, this place is only a fork.
    value: Option<V>,
}

impl<V> Trie<V> {
    pub(crate) fn new() -> Self {
        let mut places = Slab::new();
        let root = places.insert(Place::new(ROOT, &[]));
        debug_assert_eq!(root, ROOT.index());
        Self { places, len: 0 }
    }

    /// The node for a prefix. If that is new, its value is the default.
    pub(crate) fn insert(&mut self, prefix: &[u8]) -> Node
    where
        V: Default,
    {
        let (above, rest) = self.descend(prefix);
        let node = if rest.is_empty() { above } else { self.grow(above, rest) };
        let value = &mut self.place_mut(node).value;
        if value.is_none() {
            *value = Some(V::default());
            self.len += 1;
        }
        node
    }

    /// The node for a prefix, if it is stored.
    pub(crate) fn find(&self, prefix: &[u8]) -> Option<Node> {
        let (node, rest) = self.descend(prefix);
        (rest.is_empty() && self.place(node).value.is_some()).then_some(node)
    }

    #[cfg(test)]
    pub(crate) fn value(&self, node: Node) -> &V {
        self.place(node).value.as_ref().expect(OCCUPIED)
    }

    #[inline]
    pub(crate) fn value_mut(&mut self, node: Node) -> &mut V {
        self.place_mut(node).value.as_mut().expect(OCCUPIED)
    }

    /// Removes a prefix, and each place that is not needed without it.
    pub(crate) fn remove(&mut self, node: Node) -> Option<V> {
        let value = self.places.get_mut(node.index())?.value.take()?;
        self.len -= 1;
        let place = self.place(node);
        if place.children.is_empty() && node != ROOT {
            let parent = place.parent;
            self.cut(node);
            self.join(parent);
        } else {
            self.join(node);
        }
        if self.places.len() == 1 && self.places.capacity() > SPARE {
            self.places.shrink_to_fit();
        }
        Some(value)
    }

    /// The prefix a node stands for.
    pub(crate) fn prefix(&self, node: Node) -> Vec<u8> {
        let mut prefix = Vec::new();
        let mut at = node;
        // Upwards, and so from back to front.
        while at != ROOT {
            let place = self.place(at);
            prefix.extend(place.label.iter().rev());
            at = place.parent;
        }
        prefix.reverse();
        prefix
    }

    /// The values of all stored prefixes of a topic, shortest first.
    #[inline]
    pub(crate) fn matches<'a, 't>(&'a self, topic: &'t [u8]) -> Matches<'a, 't, V> {
        Matches { trie: self, next: Some((ROOT, topic)) }
    }

    /// All stored prefixes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Node, &V)> {
        self.places
            .iter()
            .filter_map(|(index, place)| place.value.as_ref().map(|value| (Node(index as u32), value)))
    }

    /// How many prefixes are stored.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn place(&self, node: Node) -> &Place<V> {
        &self.places[node.index()]
    }

    #[inline]
    fn place_mut(&mut self, node: Node) -> &mut Place<V> {
        &mut self.places[node.index()]
    }

    /// Follows one edge along `rest`, if there is one it begins with. Tells where that leads and what then remains.
    #[inline]
    fn step<'t>(&self, at: Node, rest: &'t [u8]) -> Option<(Node, &'t [u8])> {
        let place = self.place(at);
        let slot = place.slot(*rest.first()?).ok()?;
        let (_, child) = place.children[slot];
        Some((child, rest.strip_prefix(&*self.place(child).label)?))
    }

    /// Follows the edges along `prefix` as far as there are any. Tells where that leads and what then remains.
    fn descend<'t>(&self, prefix: &'t [u8]) -> (Node, &'t [u8]) {
        let mut end = (ROOT, prefix);
        while let Some(next) = self.step(end.0, end.1) {
            end = next;
        }
        end
    }

    /// Makes a place for what remained when no edge led further from `above`.
    fn grow(&mut self, above: Node, rest: &[u8]) -> Node {
        let Ok(slot) = self.place(above).slot(rest[0]) else { return self.hang(above, rest) };
        let (_, child) = self.place(above).children[slot];
        let label = &self.place(child).label;
        let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let fork = self.split(child, common);
        if common == rest.len() { fork } else { self.hang(fork, &rest[common..]) }
    }

    /// Adds a place below `parent`, which has no child yet that begins like `label`.
    fn hang(&mut self, parent: Node, label: &[u8]) -> Node {
        let node = self.add(Place::new(parent, label));
        let above = self.place_mut(parent);
        let (Ok(slot) | Err(slot)) = above.slot(label[0]);
        above.children.insert(slot, (label[0], node));
        node
    }

    /// Puts a fork into the edge to `below`, behind `at` octets, some but not all of its label. It is the fork that
    /// gets a new node: the one below may be known to somebody.
    fn split(&mut self, below: Node, at: usize) -> Node {
        let place = self.place_mut(below);
        let parent = place.parent;
        let (upper, lower) = place.label.split_at(at);
        let first = upper[0];
        let mut fork = Place::new(parent, upper);
        fork.children = vec![(lower[0], below)];
        place.label = lower.into();
        let fork = self.add(fork);
        self.place_mut(below).parent = fork;
        self.place_mut(parent).redirect(first, fork);
        fork
    }

    /// Makes one edge of two, if they meet at `node` and nothing else is there.
    fn join(&mut self, node: Node) {
        let place = self.place(node);
        let &[(_, child)] = &place.children[..] else { return };
        if place.value.is_some() || node == ROOT {
            return;
        }
        let upper = self.places.remove(node.index());
        let below = self.place_mut(child);
        below.label = [&*upper.label, &*below.label].concat().into();
        below.parent = upper.parent;
        self.place_mut(upper.parent).redirect(upper.label[0], child);
    }

    /// Removes a place that has nothing below.
    fn cut(&mut self, leaf: Node) {
        let leaf = self.places.remove(leaf.index());
        let above = self.place_mut(leaf.parent);
        if let Ok(slot) = above.slot(leaf.label[0]) {
            above.children.remove(slot);
        }
        let children = above.children.len();
        if children < above.children.capacity() / 4 {
            above.children.shrink_to(2 * children);
        }
    }

    fn add(&mut self, place: Place<V>) -> Node {
        let index = self.places.insert(place);
        Node(u32::try_from(index).expect("fewer than 2^32 places fit in memory"))
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Place<V> {
    fn new(parent: Node, label: &[u8]) -> Self {
        Self { parent, label: label.into(), children: Vec::new(), value: None }
    }

    /// Where the child stands whose label begins with this octet, or where it would.
    #[inline]
    fn slot(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |(first, _)| *first)
    }

    /// Replaces the child whose label begins with this octet.
    fn redirect(&mut self, first: u8, child: Node) {
        if let Ok(slot) = self.slot(first) {
            self.children[slot].1 = child;
        }
    }
}

impl Node {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Walks down along a topic, made by [`Trie::matches`].
pub(crate) struct Matches<'a, 't, V> {
    trie: &'a Trie<V>,
    /// The place to look at next, and what of the topic lies behind it.
    next: Option<(Node, &'t [u8])>,
}

impl<'a, V> Iterator for Matches<'a, '_, V> {
    type Item = &'a V;

    #[inline]
    fn next(&mut self) -> Option<&'a V> {
        loop {
            let (at, rest) = self.next?;
            self.next = self.trie.step(at, rest);
            let value = self.trie.place(at).value.as_ref();
            if value.is_some() {
                return value;
            }
        }
    }
}

/// The place of the empty prefix.
const ROOT: Node = Node(0);

/// What whoever keeps a node has to know.
const OCCUPIED: &str = "a node is not used after its prefix was removed";

/// For how many places an empty trie may keep the memory, so that the first few to come do not cost an allocation each.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quickcheck::{Arbitrary, Gen, QuickCheck};

    use super::*;

    /// Checks what must hold between any two calls.
    fn check<V>(trie: &Trie<V>) {
        for (index, place) in &trie.places {
            let node = Node(index as u32);
            let fork = place.value.is_none();
            assert!(node == ROOT || !fork || place.children.len() >= 2, "a fork that does not branch");
            assert_eq!(node == ROOT, place.label.is_empty());
            assert!(place.children.is_sorted_by(|a, b| a.0 < b.0));
            for (first, child) in &place.children {
                assert_eq!(trie.place(*child).parent, node);
                assert_eq!(trie.place(*child).label[0], *first);
            }
        }
        let children: usize = trie.places.iter().map(|(_, place)| place.children.len()).sum();
        assert_eq!(children + 1, trie.places.len(), "each but the root hangs somewhere");
        assert!(trie.places.len() <= 2 * trie.len() + 1);
        let occupied = trie.iter().count();
        assert_eq!((trie.len(), trie.is_empty()), (occupied, occupied == 0));
    }

    fn matches(trie: &Trie<u32>, topic: &[u8]) -> Vec<u32> {
        trie.matches(topic).copied().collect()
    }

    fn trie<const N: usize>(prefixes: [&str; N]) -> (Trie<u32>, [Node; N]) {
        let mut trie = Trie::new();
        let nodes = prefixes.map(|prefix| trie.insert(prefix.as_bytes()));
        for (node, value) in nodes.iter().zip(0..) {
            *trie.value_mut(*node) = value;
        }
        check(&trie);
        (trie, nodes)
    }

    #[test]
    fn the_prefixes_of_a_topic_match_it_shortest_first() {
        let (trie, _) =
            trie(["weather.berlin", "weather", "", "weather.bern", "west", "weather.berlin.mitte"]);
        assert_eq!(matches(&trie, b"weather.berlin"), [2, 1, 0]);
        assert_eq!(matches(&trie, b"weather.berlin.mitte.now"), [2, 1, 0, 5]);
        assert_eq!(matches(&trie, b"weather.ber"), [2, 1]);
        assert_eq!(matches(&trie, b"western"), [2, 4]);
        assert_eq!(matches(&trie, b""), [2]);
    }

    #[test]
    fn nothing_matches_in_an_empty_trie() {
        let mut trie = Trie::<u32>::default();
        assert_eq!(matches(&trie, b""), []);
        assert_eq!(matches(&trie, b"topic"), []);
        assert_eq!(trie.find(b""), None);
        assert_eq!(trie.remove(ROOT), None);
        assert!(trie.is_empty());
        check(&trie);
    }

    #[test]
    fn a_prefix_is_stored_once() {
        let (mut trie, [node]) = trie(["topic"]);
        *trie.value_mut(node) = 7;
        assert_eq!(trie.insert(b"topic"), node);
        assert_eq!((trie.len(), *trie.value(node)), (1, 7));
        assert_eq!(trie.remove(node), Some(7));
        assert_eq!(trie.remove(node), None);
        assert_eq!((trie.len(), trie.find(b"topic")), (0, None));
    }

    #[test]
    fn nodes_survive_splits_and_merges_of_their_edges() {
        let (mut trie, [long]) = trie(["abcdef"]);
        let above = trie.insert(b"abc");
        let beside = trie.insert(b"abxy");
        check(&trie);
        assert_eq!(trie.find(b"ab"), None, "a fork is not stored");
        let fork = trie.insert(b"ab");
        let below = trie.insert(b"abcdefgh");
        check(&trie);
        for (node, prefix) in
            [(long, "abcdef"), (above, "abc"), (beside, "abxy"), (fork, "ab"), (below, "abcdefgh")]
        {
            assert_eq!(trie.prefix(node), prefix.as_bytes());
        }
        for node in [fork, beside, above, long] {
            assert!(trie.remove(node).is_some());
            check(&trie);
            assert_eq!(trie.prefix(below), b"abcdefgh");
        }
        assert_eq!(trie.places.len(), 2, "one edge is left");
        assert_eq!(trie.find(b"abcdefgh"), Some(below));
    }

    #[test]
    fn every_octet_may_branch() {
        let mut trie = Trie::new();
        let octets = || (0..=255_u8).map(|octet| octet.wrapping_mul(167));
        let nodes: Vec<Node> = octets().map(|octet| trie.insert(&[b'x', octet])).collect();
        for (node, octet) in nodes.iter().zip(octets()) {
            *trie.value_mut(*node) = octet.into();
        }
        check(&trie);
        octets().for_each(|octet| assert_eq!(matches(&trie, &[b'x', octet, 1]), [octet.into()]));
        for (node, octet) in nodes.into_iter().zip(octets()) {
            assert_eq!(trie.remove(node), Some(octet.into()));
            check(&trie);
        }
        assert_eq!(trie.places.len(), 1);
    }

    /// A stack that held a frame for each of these would overflow.
    #[test]
    fn prefixes_may_be_long_and_nested_deep() {
        let topic = vec![b'a'; 100_000];
        let mut trie = Trie::<u32>::new();
        let longest = trie.insert(&topic);
        for len in (0..topic.len()).step_by(25) {
            trie.insert(&topic[..len]);
        }
        assert_eq!(trie.len(), 4001);
        check(&trie);
        let small_stack = std::thread::Builder::new().stack_size(64 * 1024);
        let thread = small_stack.spawn(move || {
            assert_eq!(trie.matches(&topic).count(), 4001);
            assert_eq!(trie.find(&topic), Some(longest));
            assert!(trie.prefix(longest) == topic);
            let mut other = Trie::<u32>::new();
            let nodes: Vec<Node> = (0..3000).map(|len| other.insert(&topic[..len])).collect();
            assert!(nodes.into_iter().all(|node| other.remove(node).is_some()));
            assert_eq!(other.places.len(), 1);
            drop(trie);
        });
        thread.expect("a thread can be started").join().expect("nothing recurses");
    }

    #[test]
    fn many_prefixes_take_little_memory_and_give_it_back() {
        assert!(size_of::<Place<u32>>() <= 56);
        let name = |number: u32| format!("market.{}.symbol.{number}", number % 17);
        let mut trie = Trie::new();
        let nodes: Vec<Node> = (0..100_000).map(|number| trie.insert(name(number).as_bytes())).collect();
        for (node, number) in nodes.iter().zip(0..) {
            *trie.value_mut(*node) = number;
        }
        check(&trie);
        assert_eq!(trie.len(), 100_000);
        assert_eq!(matches(&trie, b"market.0.symbol.17017.bid"), [17, 170, 17017]);
        let labels: usize = trie.places.iter().map(|(_, place)| place.label.len()).sum();
        assert!(labels < 5 * trie.len(), "{labels} octets of labels");
        assert!(nodes.into_iter().zip(0..).all(|(node, number)| trie.remove(node) == Some(number)));
        assert_eq!(trie.places.len(), 1);
        assert!(trie.places.capacity() <= SPARE);
    }

    /// Few letters, so that prefixes overlap.
    #[derive(Clone, Debug)]
    struct Word(Vec<u8>);

    impl Arbitrary for Word {
        fn arbitrary(g: &mut Gen) -> Self {
            let len = usize::arbitrary(g) % 9;
            Self((0..len).map(|_| b'a' + u8::arbitrary(g) % 3).collect())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Word),
        /// Which of the stored prefixes, modulo how many there are.
        Remove(usize),
    }

    impl Arbitrary for Step {
        fn arbitrary(g: &mut Gen) -> Self {
            match u8::arbitrary(g) % 5 {
                0..=2 => Self::Insert(Word::arbitrary(g)),
                _ => Self::Remove(usize::arbitrary(g)),
            }
        }
    }

    /// The twin is a sorted map that is searched from end to end.
    type Twin = BTreeMap<Vec<u8>, (Node, u32)>;

    fn apply(trie: &mut Trie<u32>, twin: &mut Twin, step: Step, serial: u32) {
        match step {
            Step::Insert(Word(word)) => {
                let node = trie.insert(&word);
                match twin.get(&word) {
                    Some(known) => assert_eq!((node, *trie.value(node)), *known),
                    None => {
                        assert_eq!(*trie.value(node), 0);
                        *trie.value_mut(node) = serial;
                        twin.insert(word, (node, serial));
                    }
                }
            }
            Step::Remove(index) => {
                let Some(word) = twin.keys().nth(index % twin.len().max(1)).cloned() else { return };
                let (node, value) = twin.remove(&word).expect("it was just found");
                assert_eq!(trie.remove(node), Some(value));
                assert_eq!(trie.find(&word), None);
            }
        }
    }

    fn compare(trie: &Trie<u32>, twin: &Twin, topics: &[Word]) {
        check(trie);
        assert_eq!(trie.len(), twin.len());
        for (word, (node, value)) in twin {
            assert_eq!(trie.prefix(*node), *word);
            assert_eq!(trie.value(*node), value);
        }
        for topic in twin.keys().chain(topics.iter().map(|word| &word.0)) {
            assert_eq!(trie.find(topic), twin.get(topic).map(|(node, _)| *node));
            let prefixes = twin.iter().filter(|(prefix, _)| topic.starts_with(prefix));
            assert_eq!(matches(trie, topic), prefixes.map(|(_, (_, value))| *value).collect::<Vec<_>>());
        }
        let mut stored: Vec<_> = trie.iter().map(|(node, value)| (node, *value)).collect();
        let mut expected: Vec<_> = twin.values().copied().collect();
        stored.sort_unstable();
        expected.sort_unstable();
        assert_eq!(stored, expected);
    }

    #[test]
    fn a_trie_is_a_sorted_map() {
        fn run(steps: Vec<Step>, topics: Vec<Word>) {
            let mut trie = Trie::new();
            let mut twin = Twin::new();
            for (step, serial) in steps.into_iter().zip(1..) {
                apply(&mut trie, &mut twin, step, serial);
                compare(&trie, &twin, &topics);
            }
            while !twin.is_empty() {
                let middle = twin.len() / 2;
                apply(&mut trie, &mut twin, Step::Remove(middle), 0);
                compare(&trie, &twin, &topics);
            }
            assert_eq!(trie.places.len(), 1, "only the root is left");
        }
        QuickCheck::new().rng(Gen::new(60)).quickcheck(run as fn(_, _));
    }
}
