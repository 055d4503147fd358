//! [`Trie`]: values under prefixes, found by the topics that begin with them.

mod labels;
mod places;

use labels::Labels;
use places::Places;

/// Keeps values under octet-string prefixes, and finds all those whose prefix a topic begins with.
///
/// A path that does not branch is one edge, so there are never more than two places for each stored prefix, unless it is very
/// long: then it is several edges, for an edge is copied when a prefix that ends in it comes or goes. To find what matches
/// takes one pass over the topic and a look at up to 256 octets at each fork on the way, eight at a time, no matter how many
/// prefixes are stored. Prefixes come from strangers, and may be nested thousands deep: nothing here recurses.
///
/// With many prefixes it is the memory that a match waits for. So all that it looks at is packed: half a cache line for
/// each place, as long as its label is short, and one octet by which it is found among its siblings, which stand beside
/// it.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    places: Places<V>,
    labels: Labels,
    /// How many places are occupied.
    len: usize,
}

/// Names an occupied place in a [`Trie`]. It stands for the same prefix until that is removed, whatever else comes and
/// goes; after that it may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(u32);

impl<V> Trie<V> {
    pub(crate) fn new() -> Self {
        Self { places: Places::new(), labels: Labels::default(), len: 0 }
    }

    /// The node for a prefix. If that is new, its value is the default.
    pub(crate) fn insert(&mut self, prefix: &[u8]) -> Node
    where
        V: Default,
    {
        let (above, rest) = self.descend(prefix);
        let above = self.places.node(above);
        let node = if rest.is_empty() { above } else { self.grow(above, rest) };
        let at = self.places.at(node);
        let value = &mut self.places.get_mut(at).value;
        if value.is_none() {
            *value = Some(V::default());
            self.len += 1;
        }
        self.places.pack_if_sparse();
        node
    }

    /// The node for a prefix, if it is stored.
    pub(crate) fn find(&self, prefix: &[u8]) -> Option<Node> {
        let (at, rest) = self.descend(prefix);
        (rest.is_empty() && self.places.get(at).value.is_some()).then(|| self.places.node(at))
    }

    #[cfg(test)]
    pub(crate) fn value(&self, node: Node) -> &V {
        self.places.get(self.places.at(node)).value.as_ref().expect(OCCUPIED)
    }

    #[inline]
    pub(crate) fn value_mut(&mut self, node: Node) -> &mut V {
        self.places.get_mut(self.places.at(node)).value.as_mut().expect(OCCUPIED)
    }

    /// Removes a prefix, and each place that is not needed without it.
    pub(crate) fn remove(&mut self, node: Node) -> Option<V> {
        let at = self.places.find(node)?;
        let value = self.places.get_mut(at).value.take()?;
        self.len -= 1;
        let mut end = node;
        while end != ROOT && self.is_idle(end) {
            let parent = self.places.parent(end);
            self.take_label(end);
            self.places.remove(end);
            end = parent;
        }
        self.join(end);
        if self.places.len() == 1 && self.places.capacity() > SPARE {
            // The empty prefix may still be stored, at the root.
            let everything = self.places.get_mut(Places::<V>::ROOT).value.take();
            *self = Self { len: self.len, ..Self::new() };
            self.places.get_mut(Places::<V>::ROOT).value = everything;
        }
        self.places.pack_if_sparse();
        Some(value)
    }

    /// The prefix a node stands for.
    pub(crate) fn prefix(&self, node: Node) -> Vec<u8> {
        let mut prefix = Vec::new();
        let mut at = node;
        // Upwards, and so from back to front.
        while at != ROOT {
            prefix.extend(self.label(self.places.at(at)).iter().rev());
            at = self.places.parent(at);
        }
        prefix.reverse();
        prefix
    }

    /// The values of all stored prefixes of a topic, shortest first.
    #[inline]
    pub(crate) fn matches<'a, 't>(&'a self, topic: &'t [u8]) -> Matches<'a, 't, V> {
        Matches { trie: self, next: Some((Places::<V>::ROOT, topic)) }
    }

    /// All stored prefixes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Node, &V)> {
        self.places.nodes().filter_map(|node| {
            let place = self.places.get(self.places.at(node));
            place.value.as_ref().map(|value| (node, value))
        })
    }

    /// How many prefixes are stored.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Checks what must hold between any two calls.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn check(&self) {
        self.places.check();
        let (mut long, mut edges, mut links) = (0, 0, 0);
        for node in self.places.nodes() {
            let at = self.places.at(node);
            let place = self.places.get(at);
            edges += place.below().len();
            let label = self.label(at);
            let fork = node != ROOT && place.value.is_none();
            let joined = |below: usize| label.len() + self.label(below).len();
            match place.below().len() {
                0 => assert!(!fork, "nothing ends here"),
                1 if fork => assert!(joined(place.below().start) > LONGEST, "a fork that does not branch"),
                _ => {}
            }
            links += usize::from(fork && place.below().len() == 1);
            assert_eq!(node == ROOT, label.is_empty());
            assert!(label.len() <= LONGEST);
            assert!(node == ROOT || label[0] == self.places.first(at));
            long += if label.len() > labels::Label::SHORT { label.len() } else { 0 };
        }
        assert_eq!(long, self.labels.len());
        assert_eq!(edges + 1, self.places.len(), "each but the root hangs somewhere");
        assert!(self.places.len() <= 2 * self.len() + links + 1);
        let occupied = self.iter().count();
        assert_eq!((self.len(), self.is_empty()), (occupied, occupied == 0));
    }

    #[inline]
    fn label(&self, at: usize) -> &[u8] {
        self.labels.get(&self.places.get(at).label)
    }

    /// Follows one edge along `rest`, if there is one it begins with. Tells where that leads and what then remains.
    #[inline]
    fn step<'t>(&self, at: usize, rest: &'t [u8]) -> Option<(usize, &'t [u8])> {
        let (first, rest) = rest.split_first()?;
        let below = self.places.below(at, *first)?;
        let (_, label) = self.label(below).split_first()?;
        // An edge of one octet is frequent where there are many.
        Some((below, if label.is_empty() { rest } else { rest.strip_prefix(label)? }))
    }

    /// Follows the edges along `prefix` as far as there are any. Tells where that leads and what then remains.
    fn descend<'t>(&self, prefix: &'t [u8]) -> (usize, &'t [u8]) {
        let mut end = (Places::<V>::ROOT, prefix);
        while let Some(next) = self.step(end.0, end.1) {
            end = next;
        }
        end
    }

    /// Makes a place for what remained when no edge led further from `above`.
    fn grow(&mut self, above: Node, rest: &[u8]) -> Node {
        let Some(below) = self.places.below(self.places.at(above), rest[0]) else {
            return self.hang(above, rest);
        };
        let common = self.label(below).iter().zip(rest).take_while(|(a, b)| a == b).count();
        let fork = self.split(self.places.node(below), common);
        if common == rest.len() { fork } else { self.hang(fork, &rest[common..]) }
    }

    /// Adds a place below `parent`, which has none yet that begins like `label`; and as many above it as its length asks for.
    fn hang(&mut self, parent: Node, label: &[u8]) -> Node {
        label.chunks(LONGEST).fold(parent, |above, label| {
            let kept = self.labels.keep(label);
            self.places.insert(above, label[0], kept)
        })
    }

    /// Whether nothing ends at a place, nor below it.
    fn is_idle(&self, node: Node) -> bool {
        let place = self.places.get(self.places.at(node));
        place.value.is_none() && place.below().is_empty()
    }

    /// Puts a fork into the edge to `below`, behind `at` octets, some but not all of its label. It is the fork that
    /// gets a new node: the one below may be known to somebody.
    fn split(&mut self, below: Node, at: usize) -> Node {
        let label = self.take_label(below);
        let (upper, lower) = label.split_at(at);
        let kept = self.labels.keep(upper);
        let fork = self.places.insert_above(below, kept, lower[0]);
        self.set_label(below, lower);
        // Where the path goes on in several edges, the shorter ones may now be joined with the next.
        self.join(self.places.parent(fork));
        self.join(below);
        fork
    }

    /// Makes one edge of two, if they meet at `node`, nothing else is there, and it is not too long.
    fn join(&mut self, node: Node) {
        let at = self.places.at(node);
        let place = self.places.get(at);
        if place.below().len() != 1 || place.value.is_some() || node == ROOT {
            return;
        }
        let down = place.below().start;
        if self.label(at).len() + self.label(down).len() > LONGEST {
            return;
        }
        let below = self.places.node(down);
        let label = [self.take_label(node), self.take_label(below)].concat();
        self.places.remove_above(below);
        self.set_label(below, &label);
    }

    fn set_label(&mut self, node: Node, label: &[u8]) {
        let at = self.places.at(node);
        self.places.get_mut(at).label = self.labels.keep(label);
    }

    /// Takes the label from a place, which gets another or goes.
    fn take_label(&mut self, node: Node) -> Vec<u8> {
        let at = self.places.at(node);
        let label = std::mem::take(&mut self.places.get_mut(at).label);
        let octets = self.labels.get(&label).to_vec();
        self.labels.release(label);
        if self.labels.are_sparse(self.places.room()) {
            self.labels.compact(self.places.iter_mut().map(|place| &mut place.label));
        }
        octets
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self::new()
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
    next: Option<(usize, &'t [u8])>,
}

impl<'a, V> Iterator for Matches<'a, '_, V> {
    type Item = &'a V;

    #[inline]
    fn next(&mut self) -> Option<&'a V> {
        loop {
            let (at, rest) = self.next?;
            self.next = self.trie.step(at, rest);
            let value = self.trie.places.get(at).value.as_ref();
            if value.is_some() {
                return value;
            }
        }
    }
}

/// The place of the empty prefix.
const ROOT: Node = Node(0);

/// How many octets an edge may have.
const LONGEST: usize = 4096;

/// What whoever keeps a node has to know.
const OCCUPIED: &str = "a node is not used after its prefix was removed";

/// For how many places an empty trie may keep the memory, so that the first few to come do not cost an allocation each.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quickcheck::{Arbitrary, Gen, QuickCheck};

    use super::places::Place;
    use super::*;

    fn matches(trie: &Trie<u32>, topic: &[u8]) -> Vec<u32> {
        trie.matches(topic).copied().collect()
    }

    fn trie<const N: usize>(prefixes: [&str; N]) -> (Trie<u32>, [Node; N]) {
        let mut trie = Trie::new();
        let nodes = prefixes.map(|prefix| trie.insert(prefix.as_bytes()));
        for (node, value) in nodes.iter().zip(0..) {
            *trie.value_mut(*node) = value;
        }
        trie.check();
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
        trie.check();
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
        trie.check();
        assert_eq!(trie.find(b"ab"), None, "a fork is not stored");
        let fork = trie.insert(b"ab");
        let below = trie.insert(b"abcdefgh");
        trie.check();
        for (node, prefix) in
            [(long, "abcdef"), (above, "abc"), (beside, "abxy"), (fork, "ab"), (below, "abcdefgh")]
        {
            assert_eq!(trie.prefix(node), prefix.as_bytes());
        }
        for node in [fork, beside, above, long] {
            assert!(trie.remove(node).is_some());
            trie.check();
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
        trie.check();
        octets().for_each(|octet| assert_eq!(matches(&trie, &[b'x', octet, 1]), [octet.into()]));
        for (node, octet) in nodes.into_iter().zip(octets()) {
            assert_eq!(trie.remove(node), Some(octet.into()));
            trie.check();
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
        trie.check();
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
        assert_eq!(size_of::<Place<[u32; 2]>>(), 32);
        let name = |number: u32| format!("market.{}.symbol.{number}", number % 17);
        let mut trie = Trie::new();
        let nodes: Vec<Node> = (0..100_000).map(|number| trie.insert(name(number).as_bytes())).collect();
        for (node, number) in nodes.iter().zip(0..) {
            *trie.value_mut(*node) = number;
        }
        trie.check();
        assert_eq!(trie.len(), 100_000);
        assert_eq!(matches(&trie, b"market.0.symbol.17017.bid"), [17, 170, 17017]);
        assert_eq!(trie.labels.len(), 0, "all fit into their places");
        assert!(trie.places.room() < 3 * trie.len() / 2, "room for {} places", trie.places.room());
        assert!(nodes.into_iter().zip(0..).all(|(node, number)| trie.remove(node) == Some(number)));
        assert_eq!(trie.places.len(), 1);
        assert!(trie.places.capacity() <= SPARE);
    }

    /// However many stand side by side: those of one number do not leave behind what those of another cannot use.
    #[test]
    fn prefixes_that_come_and_go_leave_no_room_behind() {
        let mut trie = Trie::new();
        let stays = trie.insert(b"stays");
        *trie.value_mut(stays) = 7;
        for abreast in [5_u32, 193, 9, 129, 17, 65, 33] {
            let name =
                |number: u32| [&(number / abreast).to_be_bytes()[..], &[(number % abreast) as u8]].concat();
            let nodes: Vec<Node> = (0..5000).map(|number| trie.insert(&name(number))).collect();
            nodes.iter().zip(0..).for_each(|(node, number)| *trie.value_mut(*node) = number);
            trie.check();
            assert!((0..5000).all(|number| matches(&trie, &name(number)) == [number]));
            assert!(nodes.into_iter().zip(0..).all(|(node, number)| trie.remove(node) == Some(number)));
            trie.check();
            assert!(trie.places.capacity() <= 4 * SPARE, "room for {} places", trie.places.capacity());
        }
        assert_eq!(matches(&trie, b"stays"), [7]);
    }

    /// What is copied when a prefix comes or goes is never more than an edge.
    #[test]
    fn prefixes_that_are_longer_than_an_edge_come_and_go() {
        let block = |kind: usize| vec![kind as u8; 1 + kind * (LONGEST / 2 + 1)];
        let mut trie = Trie::new();
        let mut twin = BTreeMap::<Vec<u8>, u32>::new();
        let mut random = 1_usize;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % limit
        };
        for step in 0..600 {
            let prefix: Vec<u8> = (0..=below(4)).flat_map(|_| block(below(4))).collect();
            if step % 5 < 3 {
                let node = trie.insert(&prefix);
                *trie.value_mut(node) = step;
                twin.insert(prefix.clone(), step);
            } else {
                let removed = trie.find(&prefix).and_then(|node| trie.remove(node));
                assert_eq!(removed, twin.remove(&prefix));
            }
            trie.check();
            let topic = [&prefix[..], &block(below(4))].concat();
            let expected: Vec<u32> =
                (0..=topic.len()).filter_map(|len| twin.get(&topic[..len]).copied()).collect();
            assert_eq!(matches(&trie, &topic), expected);
        }
        for prefix in twin.keys() {
            let node = trie.find(prefix).unwrap();
            assert_eq!(trie.prefix(node), *prefix);
            trie.remove(node).unwrap();
            trie.check();
        }
        assert_eq!(trie.places.len(), 1);
    }

    #[test]
    fn the_empty_prefix_outlives_any_number_of_others() {
        let mut trie = Trie::new();
        let everything = trie.insert(b"");
        *trie.value_mut(everything) = 7;
        let nodes: Vec<Node> = (0..10 * SPARE as u32).map(|n| trie.insert(&n.to_be_bytes())).collect();
        assert!(nodes.into_iter().all(|node| trie.remove(node).is_some()));
        trie.check();
        assert!(trie.places.capacity() <= SPARE);
        assert_eq!((trie.find(b""), matches(&trie, b"A")), (Some(everything), vec![7]));
        assert_eq!(trie.remove(everything), Some(7));
        trie.check();
    }

    #[test]
    fn long_labels_come_and_go() {
        let name = |number: u32| format!("{:08x}-{number:030}", number.wrapping_mul(2_654_435_769));
        let mut trie = Trie::new();
        let nodes: Vec<Node> = (0..2000).map(|number| trie.insert(name(number).as_bytes())).collect();
        for (node, number) in nodes.iter().zip(0..) {
            *trie.value_mut(*node) = number;
        }
        trie.check();
        for (node, number) in nodes.iter().zip(0..).filter(|(_, number)| number % 10 > 0) {
            assert_eq!(trie.remove(*node), Some(number));
        }
        trie.check();
        for (node, number) in nodes.iter().zip(0..).step_by(10) {
            assert_eq!(trie.prefix(*node), name(number).as_bytes());
            assert_eq!(matches(&trie, format!("{}.", name(number)).as_bytes()), [number]);
        }
    }

    /// Few letters, so that prefixes overlap, and some of them in runs, so that labels are short and long.
    #[derive(Clone, Debug)]
    struct Word(Vec<u8>);

    impl Arbitrary for Word {
        fn arbitrary(g: &mut Gen) -> Self {
            let len = usize::arbitrary(g) % 9;
            let run = |letter: u8| vec![b'a' + letter % 3; if letter < 32 { 7 } else { 1 }];
            Self((0..len).flat_map(|_| run(u8::arbitrary(g))).collect())
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
        trie.check();
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
