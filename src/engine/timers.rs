//! [`Timers`]: the deadlines of everything the reactor looks after, earliest first.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::slots::Id;

/// At most one deadline for each thing; what it is about, the thing itself knows.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Id)>,
    deadlines: HashMap<Id, Instant>,
}

impl Timers {
    /// Sets, moves or clears the deadline of one thing.
    pub(crate) fn set(&mut self, id: Id, deadline: Option<Instant>) {
        let before = match deadline {
            Some(deadline) => self.deadlines.insert(id, deadline),
            None => self.deadlines.remove(&id),
        };
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.queue.insert((deadline, id));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out one thing whose deadline has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Id> {
        let (deadline, id) = *self.queue.first()?;
        if deadline > now {
            return None;
        }
        self.set(id, None);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::slots::Slots;

    #[test]
    fn the_earliest_comes_first_and_a_moved_deadline_counts_once() {
        let mut slots = Slots::new();
        let [a, b, c] = [slots.insert(()), slots.insert(()), slots.insert(())];
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut timers = Timers::default();
        timers.set(a, at(1));
        timers.set(b, at(2));
        timers.set(c, at(3));
        timers.set(a, at(4));
        timers.set(c, None);
        assert_eq!(timers.next(), at(2));
        assert_eq!(timers.due(start), None);
        let late = start + Duration::from_secs(9);
        assert_eq!([timers.due(late), timers.due(late), timers.due(late)], [Some(b), Some(a), None]);
        assert_eq!(timers.next(), None);
    }
}
