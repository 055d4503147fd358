//! Who waits: wakers in a queue, and wakers on their way to be called.

use std::collections::VecDeque;
use std::task::Waker;

use crate::shield::shielded;

/// The operations that wait for one condition, first come first served.
///
/// Every kind of caller waits here: a blocked thread, a future, a poller. Each is a [`Waker`] with a [`Ticket`].
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Sorted by ticket: who waits again before it was woken keeps its place.
    queue: VecDeque<(u64, Waker)>,
    next: u64,
}

/// The place of one operation in a queue of [`Waiters`].
#[derive(Debug, Default)]
pub(crate) struct Ticket(Option<u64>);

/// What [`Waiters::leave`] leaves, to be dropped when no lock is held.
#[derive(Debug)]
pub(crate) struct Left {
    /// The operation had been woken and has not come back since: if it leaves without taking what it was woken for,
    /// somebody else must be woken.
    pub(crate) woken: bool,
    _waker: Option<Waker>,
}

impl Waiters {
    /// Registers the waker, or renews it if the operation is still in the queue. Returns the waker it had before, to be
    /// dropped when no lock is held.
    #[must_use = "a waker is somebody else's, and dropping it may run their code"]
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: Waker) -> Option<Waker> {
        if let Some(place) = self.place(ticket) {
            return Some(std::mem::replace(&mut self.queue[place].1, waker));
        }
        ticket.0 = Some(self.next);
        self.queue.push_back((self.next, waker));
        self.next += 1;
        None
    }

    /// Takes the operation out of the queue.
    #[must_use = "a waker is somebody else's, and dropping it may run their code"]
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) -> Left {
        let place = self.place(ticket);
        let waited = ticket.0.take().is_some();
        let waker = place.and_then(|place| self.queue.remove(place)).map(|(_, waker)| waker);
        Left { woken: waited && waker.is_none(), _waker: waker }
    }

    /// Takes up to `count` operations out of the queue, to be woken.
    #[inline]
    pub(crate) fn wake(&mut self, count: usize, wakes: &mut Wakes) {
        if self.queue.is_empty() {
            return;
        }
        for _ in 0..count.min(self.queue.len()) {
            if let Some((_, waker)) = self.queue.pop_front() {
                wakes.push(waker);
            }
        }
    }

    /// Takes all operations out of the queue, to be woken.
    #[inline]
    pub(crate) fn wake_all(&mut self, wakes: &mut Wakes) {
        self.wake(self.queue.len(), wakes);
    }

    fn place(&self, ticket: &Ticket) -> Option<usize> {
        self.queue.binary_search_by_key(&ticket.0?, |(number, _)| *number).ok()
    }
}

/// Wakers that were taken out of their queues under a lock, to be called once every lock is released.
#[must_use = "somebody waits for this wake-up"]
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// Kept apart because one is by far the commonest number, and costs no allocation here.
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    #[inline]
    pub(crate) fn append(&mut self, other: Self) {
        if self.first.is_none() {
            *self = other; // as a rule neither has any
        } else {
            other.first.into_iter().chain(other.rest).for_each(|waker| self.push(waker));
        }
    }

    /// Calls them, each whatever the others do. No lock may be held: a waker is somebody else's code.
    #[inline]
    pub(crate) fn wake(self) {
        let Some(first) = self.first else { return };
        shielded(|| first.wake());
        self.rest.into_iter().for_each(|waker| _ = shielded(|| waker.wake()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn wake(waiters: &mut Waiters, count: usize) {
        let mut wakes = Wakes::default();
        waiters.wake(count, &mut wakes);
        wakes.wake();
    }

    #[test]
    fn wakes_in_the_order_of_arrival() {
        let bells: Vec<Arc<Bell>> = (0..3).map(|_| Arc::default()).collect();
        let mut tickets: Vec<Ticket> = (0..3).map(|_| Ticket::default()).collect();
        let mut waiters = Waiters::default();
        for (bell, ticket) in bells.iter().zip(&mut tickets) {
            assert!(waiters.wait(ticket, Waker::from(bell.clone())).is_none());
        }
        assert!(waiters.wait(&mut tickets[0], Waker::from(bells[0].clone())).is_some());
        wake(&mut waiters, 2);
        assert_eq!(bells.iter().map(|bell| bell.rung()).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn leaving_tells_whether_a_wake_up_must_be_passed_on() {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell);
        let mut waiters = Waiters::default();
        let (mut woken, mut waiting, mut never) = (Ticket::default(), Ticket::default(), Ticket::default());
        assert!(waiters.wait(&mut woken, waker.clone()).is_none());
        assert!(waiters.wait(&mut waiting, waker).is_none());
        wake(&mut waiters, 1);
        assert!(waiters.leave(&mut woken).woken);
        assert!(!waiters.leave(&mut waiting).woken);
        assert!(!waiters.leave(&mut never).woken);
        assert!(!waiters.leave(&mut woken).woken, "told once");
    }
}
