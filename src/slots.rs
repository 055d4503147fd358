//! A slab whose keys carry a generation, so that a late event cannot reach the next tenant of a slot.

use slab::Slab;

/// Names one tenant of a [`Slots`]: where it lives, and which tenant of that place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// Packs the id into one word, for a poll token.
    pub(crate) fn to_bits(self) -> usize {
        (self.generation as usize) << 32 | self.index as usize
    }

    /// The inverse of [`Id::to_bits`].
    pub(crate) fn from_bits(bits: usize) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A slab keyed by [`Id`].
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slab: Slab<(u32, T)>,
    generation: u32,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { slab: Slab::new(), generation: 0 }
    }

    pub(crate) fn insert(&mut self, tenant: T) -> Id {
        self.insert_with(|_| tenant)
    }

    /// Inserts a tenant that has to know its own id.
    pub(crate) fn insert_with(&mut self, tenant: impl FnOnce(Id) -> T) -> Id {
        self.generation = self.generation.wrapping_add(1) & MAX_GENERATION;
        let entry = self.slab.vacant_entry();
        let id = Id {
            index: u32::try_from(entry.key()).expect("fewer than 2^32 slots fit in memory"),
            generation: self.generation,
        };
        entry.insert((self.generation, tenant(id)));
        id
    }

    /// How many tenants there are.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        match self.slab.get(id.index as usize) {
            Some((generation, tenant)) if *generation == id.generation => Some(tenant),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.slab.get_mut(id.index as usize) {
            Some((generation, tenant)) if *generation == id.generation => Some(tenant),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        Some(self.slab.remove(id.index as usize).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slab.iter().map(|(index, (generation, tenant))| {
            (Id { index: index as u32, generation: *generation }, tenant)
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.slab.iter_mut().map(|(index, (generation, tenant))| {
            (Id { index: index as u32, generation: *generation }, tenant)
        })
    }
}

/// Some of the ids of one [`Slots`]. To find one takes one look. Of a slot it knows the latest tenant: who was there before is
/// gone.
#[derive(Debug, Default)]
pub(crate) struct IdSet(Vec<Option<Id>>);

impl IdSet {
    /// Adds an id. False if it is there already.
    pub(crate) fn insert(&mut self, id: Id) -> bool {
        let place = id.index as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place].replace(id) != Some(id)
    }

    /// Takes an id out. False if it is not there.
    pub(crate) fn remove(&mut self, id: Id) -> bool {
        self.0
            .get_mut(id.index as usize)
            .is_some_and(|tenant| tenant.take_if(|tenant| *tenant == id).is_some())
    }
}

/// Keeps a packed [`Id`] clear of the few highest tokens, which the reactor uses for itself.
const MAX_GENERATION: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_reach_the_next_tenant() {
        let mut slots = Slots::new();
        let old = slots.insert('a');
        assert_eq!(slots.remove(old), Some('a'));
        let new = slots.insert('b');
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&'b'));
    }

    #[test]
    fn a_set_knows_the_tenants_that_were_put_into_it() {
        let mut slots = Slots::new();
        let (old, other) = (slots.insert('a'), slots.insert('b'));
        let mut set = IdSet::default();
        assert!(set.insert(other) && !set.insert(other) && !set.remove(old));
        assert!(set.insert(old));
        slots.remove(old);
        let new = slots.insert('c');
        assert!(!set.remove(new) && set.insert(new), "it is another");
        assert!(!set.remove(old), "and has taken its place");
        assert!(set.remove(new) && set.remove(other) && !set.remove(other));
    }

    #[test]
    fn bits_and_back() {
        let mut slots = Slots::new();
        let ids = [slots.insert(()), slots.insert(()), slots.insert(())];
        for id in ids {
            assert_eq!(Id::from_bits(id.to_bits()), id);
        }
    }
}
