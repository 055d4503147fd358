//! [`Labels`]: what a trie has written at its edges.

/// Keeps the labels that are too long for a [`Label`] itself, one behind the other, so that to compare one takes one
/// look at memory and not two.
#[derive(Debug, Default)]
pub(super) struct Labels {
    octets: Vec<u8>,
    /// How many of the octets belong to no label any more.
    waste: usize,
}

/// A few octets, or where they are. Made of nothing but octets, so that it can stand anywhere in a place.
#[derive(Debug)]
pub(super) enum Label {
    Short { len: u8, octets: [u8; Self::SHORT] },
    Long { start: [u8; 6], len: [u8; 6] },
}

impl Labels {
    /// A label of these octets.
    pub(super) fn keep(&mut self, label: &[u8]) -> Label {
        let mut octets = [0; Label::SHORT];
        if let Some(short) = octets.get_mut(..label.len()) {
            short.copy_from_slice(label);
            return Label::Short { len: label.len() as u8, octets };
        }
        let start = self.octets.len();
        self.octets.extend_from_slice(label);
        Label::Long { start: pack(start), len: pack(label.len()) }
    }

    #[inline]
    pub(super) fn get<'a>(&'a self, label: &'a Label) -> &'a [u8] {
        match label {
            Label::Short { len, octets } => &octets[..usize::from(*len)],
            Label::Long { start, len } => &self.octets[unpack(*start)..][..unpack(*len)],
        }
    }

    /// The label is not needed any more.
    pub(super) fn release(&mut self, label: Label) {
        if let Label::Long { len, .. } = label {
            self.waste += unpack(len);
        }
    }

    /// Whether more octets are kept for nothing than for the labels there are, and so many that it is worth a look at all
    /// places, of which there are as many as this. Prefixes come from strangers: a few long ones that come and go among many
    /// short ones must not cost a look at all of these each time.
    pub(super) fn are_sparse(&self, places: usize) -> bool {
        self.waste > SPARE.max(self.octets.len() / 2).max(places * PER_PLACE)
    }

    /// Gives up what belongs to no label. These must be all.
    pub(super) fn compact<'a>(&mut self, labels: impl Iterator<Item = &'a mut Label>) {
        let octets = Vec::with_capacity(self.octets.len() - self.waste);
        let old = std::mem::replace(self, Self { octets, waste: 0 });
        for label in labels {
            *label = self.keep(old.get(label));
        }
    }

    /// How many octets are kept for the labels there are.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.waste
    }
}

impl Label {
    /// How many octets a label has that is not kept elsewhere, at most.
    pub(super) const SHORT: usize = 12;
}

impl Default for Label {
    fn default() -> Self {
        Self::Short { len: 0, octets: [0; Self::SHORT] }
    }
}

/// The lower six octets of a number, which are enough for whatever fits in memory.
fn pack(number: usize) -> [u8; 6] {
    let mut octets = [0; 6];
    octets.copy_from_slice(&(number as u64).to_le_bytes()[..6]);
    octets
}

#[inline]
fn unpack(octets: [u8; 6]) -> usize {
    let [a, b, c, d, e, f] = octets;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) as usize
}

/// How many octets may always be kept for nothing.
const SPARE: usize = 4096;

/// How many octets may be kept for nothing for each place, which takes some three times as many.
const PER_PLACE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_any_length_are_kept() {
        let octets: Vec<u8> = (0..=255).collect();
        let mut labels = Labels::default();
        let kept: Vec<Label> = (0..octets.len()).map(|len| labels.keep(&octets[..len])).collect();
        for (len, label) in kept.iter().enumerate() {
            assert_eq!(labels.get(label), &octets[..len]);
            assert_eq!(matches!(label, Label::Short { .. }), len <= Label::SHORT);
        }
    }

    #[test]
    fn what_labels_leave_behind_is_given_up() {
        let mut labels = Labels::default();
        let name = |number: usize| vec![number as u8; 10 + number % 60];
        let mut kept: Vec<Option<Label>> = (0..1000).map(|number| Some(labels.keep(&name(number)))).collect();
        let full = labels.octets.len();
        for number in (0..1000).rev() {
            labels.release(kept[number].take().unwrap());
            if labels.are_sparse(0) {
                labels.compact(kept.iter_mut().flatten());
                assert_eq!((labels.octets.len(), labels.waste), (labels.len(), 0));
            }
            for (number, label) in kept.iter().enumerate().take(number) {
                assert_eq!(labels.get(label.as_ref().unwrap()), name(number));
            }
        }
        assert_eq!(labels.len(), 0);
        assert!(full > 4 * SPARE && labels.octets.len() <= 2 * SPARE);
    }

    #[test]
    fn among_many_places_a_few_long_labels_may_come_and_go() {
        let (mut labels, places) = (Labels::default(), 100_000);
        let long = [7; 5000];
        let mut times = 0;
        while !labels.are_sparse(places) {
            let label = labels.keep(&long);
            labels.release(label);
            times += 1;
        }
        assert_eq!(times, places * PER_PLACE / long.len() + 1);
    }

    #[test]
    fn numbers_are_packed() {
        for number in [0, 1, 255, 256, u32::MAX as usize, (1 << 48) - 1] {
            assert_eq!(unpack(pack(number)), number);
        }
    }
}
