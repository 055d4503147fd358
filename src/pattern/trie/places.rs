//! [`Places`]: the places of a trie, packed and found by the octets that lead to them.

use std::ops::Range;

use slab::Slab;

use super::Node;
use super::labels::Label;

/// The places of a [`Trie`](super::Trie). Those below one stand side by side, in order of the octets their labels begin
/// with, and so move when others come and go. Runs of about the same length share their memory, one after the other.
#[derive(Debug)]
pub(super) struct Places<V> {
    places: Vec<Place<V>>,
    /// What the label of each place begins with. Apart from the places, so that to choose among them takes one look at
    /// memory.
    octets: Vec<u8>,
    /// Whose each place is.
    nodes: Vec<Node>,
    /// Where each node is found.
    homes: Slab<Home>,
    /// The starts of runs nobody has, for each size.
    free: [Vec<u32>; SIZES.len()],
}

/// Where edges meet, or a stored prefix ends, or both. Aligned so that none of this size lies across two cache lines.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Place<V> {
    /// If there is none, this place is only a fork.
    pub(super) value: Option<V>,
    /// The run of the places below.
    start: u32,
    len: u16,
    /// What this place adds to the prefix of the one above. Empty for the root alone.
    pub(super) label: Label,
}

#[derive(Debug)]
struct Home {
    /// The index of its place.
    at: u32,
    /// The root is its own.
    parent: Node,
}

/// Places side by side.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    len: u16,
}

impl<V> Places<V> {
    /// The root alone, which is `Node(0)` and stands at [`Places::ROOT`] forever.
    pub(super) fn new() -> Self {
        let mut places = Self {
            places: Vec::new(),
            octets: Vec::new(),
            nodes: Vec::new(),
            homes: Slab::new(),
            free: Default::default(),
        };
        let run = places.resize(Run::NONE, 1);
        let node = places.name(run.start, Node(0));
        places.nodes[Self::ROOT] = node;
        places
    }

    pub(super) const ROOT: usize = 0;

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.homes.len()
    }

    /// For how many places there is memory.
    pub(super) fn capacity(&self) -> usize {
        self.places.capacity()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> &Place<V> {
        &self.places[at]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> &mut Place<V> {
        &mut self.places[at]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Place<V>> {
        self.places.iter_mut()
    }

    /// The nodes of all places, in no order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.homes.iter().map(|(index, _)| Node(index as u32))
    }

    /// Where the place of a node stands at present.
    pub(super) fn find(&self, node: Node) -> Option<usize> {
        self.homes.get(node.index()).map(|home| home.at as usize)
    }

    pub(super) fn at(&self, node: Node) -> usize {
        self.homes[node.index()].at as usize
    }

    pub(super) fn node(&self, at: usize) -> Node {
        self.nodes[at]
    }

    pub(super) fn parent(&self, node: Node) -> Node {
        self.homes[node.index()].parent
    }

    /// Where the place stands that is below another, and whose label begins with this octet.
    #[inline]
    pub(super) fn below(&self, at: usize, first: u8) -> Option<usize> {
        let Range { start: mut from, end } = self.places[at].below();
        while from < end {
            let octets = self.octets.get(from..)?.first_chunk()?;
            if let Some(place) = position(*octets, first) {
                return Some(from + place).filter(|place| *place < end);
            }
            from += ABREAST;
        }
        None
    }

    /// Adds a place below another that has none yet that begins with this octet.
    pub(super) fn insert(&mut self, parent: Node, first: u8, label: Label) -> Node {
        let run = self.run(parent);
        let run = self.resize(run, run.len + 1);
        let range = run.range();
        let end = range.end - 1;
        let slot = range.start + self.octets[range.start..end].partition_point(|octet| *octet < first);
        let node = self.name(end as u32, parent);
        self.places[end].label = label;
        self.octets[end] = first;
        self.nodes[end] = node;
        self.places[slot..=end].rotate_right(1);
        self.octets[slot..=end].rotate_right(1);
        self.nodes[slot..=end].rotate_right(1);
        self.settle(slot..range.end);
        self.set_run(parent, run);
        node
    }

    /// Removes a place that has nothing below and no value.
    pub(super) fn remove(&mut self, leaf: Node) {
        let Home { at, parent } = self.homes.remove(leaf.index());
        let at = at as usize;
        let run = self.run(parent);
        let end = run.range().end;
        self.places[at] = Place::default();
        self.places[at..end].rotate_left(1);
        self.octets[at..end].rotate_left(1);
        self.nodes[at..end].rotate_left(1);
        self.settle(at..end - 1);
        let run = self.resize(run, run.len - 1);
        self.set_run(parent, run);
    }

    /// Puts a place between another and the one above it. `first` is what the label of the one below begins with now.
    pub(super) fn insert_above(&mut self, below: Node, label: Label, first: u8) -> Node {
        let at = self.at(below);
        let run = self.resize(Run::NONE, 1);
        let node = self.name(at as u32, self.parent(below));
        let fork = Place { value: None, start: run.start, len: run.len, label };
        let down = run.range().start;
        self.places[down] = std::mem::replace(&mut self.places[at], fork);
        self.octets[down] = first;
        self.nodes[down] = below;
        self.nodes[at] = node;
        self.homes[below.index()] = Home { at: run.start, parent: node };
        node
    }

    /// Removes a place that has no value, and only one below, which takes its position.
    pub(super) fn remove_above(&mut self, below: Node) {
        let down = self.at(below);
        let Home { at, parent } = self.homes.remove(self.parent(below).index());
        let run = self.places[at as usize].run();
        self.places[at as usize] = std::mem::take(&mut self.places[down]);
        self.nodes[at as usize] = below;
        self.homes[below.index()] = Home { at, parent };
        self.release(run);
    }

    /// A new node, whose place stands at `at`.
    fn name(&mut self, at: u32, parent: Node) -> Node {
        let index = self.homes.insert(Home { at, parent });
        Node(u32::try_from(index).expect("fewer than 2^32 places fit in memory"))
    }

    fn run(&self, node: Node) -> Run {
        self.places[self.at(node)].run()
    }

    fn set_run(&mut self, node: Node, run: Run) {
        let at = self.at(node);
        let place = &mut self.places[at];
        (place.start, place.len) = (run.start, run.len);
    }

    /// The places of this range have come to stand where they do now.
    fn settle(&mut self, range: Range<usize>) {
        for at in range {
            self.homes[self.nodes[at].index()].at = at as u32;
        }
    }

    /// Moves a run to where it has room for so many places and not many more. New ones stand at its end, unused.
    fn resize(&mut self, run: Run, len: u16) -> Run {
        let size = size(len);
        if size == self::size(run.len) {
            return Run { len, ..run };
        }
        let new = Run { start: self.acquire(size), len };
        let kept = len.min(run.len);
        for (from, to) in run.range().zip(new.range()) {
            self.places[to] = std::mem::take(&mut self.places[from]);
            self.octets[to] = self.octets[from];
            self.nodes[to] = self.nodes[from];
        }
        self.settle(Run { len: kept, ..new }.range());
        self.release(run);
        new
    }

    /// Moves all runs together if more than half of the room is taken by nothing, or by the slack of runs. A run that is given
    /// up is only of use to others of its size, so that who lets many of one size come and go, then many of another, would
    /// leave ever more of them behind.
    ///
    /// Packed, runs take no more than one and a half times what they have: it takes many changes until the next time.
    pub(super) fn pack_if_sparse(&mut self) {
        if self.places.len() > LOOSE.max(2 * self.len()) {
            self.pack();
        }
    }

    fn pack(&mut self) {
        // What all runs have that somebody has. Not by a look at each: they are many, or have been.
        let loose = self.free.iter().zip(SIZES).map(|(starts, size)| starts.len() * usize::from(size));
        let room = self.places.len() - loose.sum::<usize>();
        let mut places = std::mem::replace(&mut self.places, Vec::with_capacity(room));
        let octets = std::mem::replace(&mut self.octets, Vec::with_capacity(room + ABREAST));
        let nodes = std::mem::replace(&mut self.nodes, Vec::with_capacity(room));
        self.free = Default::default();
        self.acquire(size(1));
        let mut take = |this: &mut Self, from: usize, to: usize| {
            this.places[to] = std::mem::take(&mut places[from]);
            this.octets[to] = octets[from];
            this.nodes[to] = nodes[from];
        };
        take(self, Self::ROOT, Self::ROOT);
        // What stands below a place is moved behind all that was moved before, and so is come to in its turn.
        let mut at = 0;
        while at < self.places.len() {
            let run = self.places[at].run();
            let new = Run { start: self.acquire(size(run.len)), ..run };
            run.range().zip(new.range()).for_each(|(from, to)| take(self, from, to));
            self.places[at].start = new.start;
            self.settle(new.range());
            at += 1;
        }
    }

    /// The start of a run of the size.
    fn acquire(&mut self, size: usize) -> u32 {
        let room = usize::from(SIZES[size]);
        if room == 0 {
            return Run::NONE.start;
        }
        self.free[size].pop().unwrap_or_else(|| {
            let start = self.places.len();
            self.places.resize_with(start + room, Place::default);
            self.nodes.resize(start + room, Node(0));
            self.octets.resize(start + room + ABREAST, 0);
            u32::try_from(start).expect("fewer than 2^32 places fit in memory")
        })
    }

    fn release(&mut self, run: Run) {
        if run.len > 0 {
            self.free[size(run.len)].push(run.start);
        }
    }

    /// Checks what must hold between any two calls.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn check(&self) {
        let mut runs = vec![(Self::ROOT as u32, size(1))];
        for (index, home) in &self.homes {
            assert_eq!(self.nodes[home.at as usize].index(), index);
            let run = self.places[home.at as usize].run();
            assert!(self.octets[run.range()].is_sorted_by(|a, b| a < b));
            for at in run.range() {
                assert_eq!(self.parent(self.nodes[at]).index(), index);
                assert_eq!(self.below(home.at as usize, self.octets[at]), Some(at));
            }
            runs.extend((run.len > 0).then(|| (run.start, size(run.len))));
        }
        for (size, starts) in self.free.iter().enumerate() {
            runs.extend(starts.iter().map(|start| (*start, size)));
        }
        runs.sort_unstable();
        let mut end = 0;
        for (start, size) in runs {
            assert_eq!(start as usize, end, "runs neither overlap nor get lost");
            end += usize::from(SIZES[size]);
        }
        assert_eq!((self.places.len(), self.nodes.len()), (end, end));
        assert!(self.places.len() <= LOOSE.max(2 * self.len()), "more than half of the room is loose");
    }

    /// What the label of a place begins with, as far as the one above knows.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn first(&self, at: usize) -> u8 {
        self.octets[at]
    }

    /// How many places there are and might be.
    pub(super) fn room(&self) -> usize {
        self.places.len()
    }
}

impl<V> Place<V> {
    /// Where the places below stand.
    #[inline]
    pub(super) fn below(&self) -> Range<usize> {
        self.run().range()
    }

    #[inline]
    fn run(&self) -> Run {
        Run { start: self.start, len: self.len }
    }
}

impl<V> Default for Place<V> {
    fn default() -> Self {
        Self { value: None, start: Run::NONE.start, len: Run::NONE.len, label: Label::default() }
    }
}

impl Run {
    const NONE: Self = Self { start: 0, len: 0 };

    #[inline]
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.len)
    }
}

/// Where an octet comes first, all compared at a time and without a branch: there is nothing that could be predicted.
#[inline]
fn position(octets: [u8; ABREAST], octet: u8) -> Option<usize> {
    const LOWEST: u64 = u64::from_ne_bytes([1; ABREAST]);
    let differences = u64::from_le_bytes(octets) ^ u64::from_le_bytes([octet; ABREAST]);
    // The highest bit of each octet that is zero, and perhaps of some behind the first that is.
    let zeros = differences.wrapping_sub(LOWEST) & !differences & LOWEST << 7;
    (zeros != 0).then_some(zeros.trailing_zeros() as usize / 8)
}

/// Which of [`SIZES`] a run of the length takes.
fn size(len: u16) -> usize {
    SIZES.partition_point(|size| *size < len)
}

/// How many octets are compared at a time. There are always as many, so some follow the last run.
const ABREAST: usize = 8;

/// Room that may always be loose.
const LOOSE: usize = 64;

/// For how many places there is room in a run.
const SIZES: [u16; 17] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_found_abreast() {
        let octets = [7, 0, 255, 128, 1, 127, 0, 7];
        for octet in 0..=255 {
            assert_eq!(position(octets, octet), octets.iter().position(|other| *other == octet), "{octet}");
            assert_eq!(position([octet; ABREAST], octet), Some(0));
            assert_eq!(position([octet ^ 1; ABREAST], octet), None);
        }
    }
}
