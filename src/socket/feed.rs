//! [`Feed`]: events on their way to one monitor, and [`Feeds`]: all monitors of a socket.
//!
//! The lock of a feed is taken last, after that of the core, and held for no call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::error::MonitorError;
use crate::lock::lock;
use crate::monitor::{Dropped, Event};
use crate::pipe::{Ticket, Waiters, Wakes};

/// Events that a monitor has not taken yet, the oldest of which give way to new ones.
pub(super) struct Feed {
    mark: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// Events that have given way since the monitor last took one.
    missed: u64,
    /// Nothing more will come.
    over: bool,
    readers: Waiters,
}

impl Feed {
    fn new(mark: usize) -> Self {
        Self { mark, state: Mutex::default() }
    }

    fn push(&self, event: Event, wakes: &mut Wakes) {
        let mut state = lock(&self.state);
        if state.events.len() >= self.mark {
            state.events.pop_front();
            state.missed += 1;
        }
        state.events.push_back(event);
        state.readers.wake_all(wakes);
    }

    fn end(&self, wakes: &mut Wakes) {
        let mut state = lock(&self.state);
        state.over = true;
        state.readers.wake_all(wakes);
    }

    /// Takes the oldest event.
    pub(super) fn take(&self) -> Result<Event, MonitorError> {
        lock(&self.state).take()
    }

    /// Takes the oldest event; if there is none the operation waits, from that very moment on.
    pub(super) fn poll_take(&self, ticket: &mut Ticket, waker: &Waker) -> Poll<Result<Event, MonitorError>> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let result = state.take();
        if !matches!(result, Err(MonitorError::Empty)) {
            return Poll::Ready(result);
        }
        let before = state.readers.wait(ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// The operation waits no longer.
    pub(super) fn leave(&self, ticket: &mut Ticket) {
        // All readers are woken together, so there is nothing to pass on.
        let left = lock(&self.state).readers.leave(ticket);
        drop(left);
    }
}

impl State {
    fn take(&mut self) -> Result<Event, MonitorError> {
        match std::mem::take(&mut self.missed) {
            0 => {}
            events => return Ok(Event::Missed { events }),
        }
        let nothing = if self.over { MonitorError::Closed } else { MonitorError::Empty };
        self.events.pop_front().ok_or(nothing)
    }
}

/// The monitors of a socket, and what of its losses they know.
#[derive(Default)]
pub(super) struct Feeds {
    feeds: Vec<Weak<Feed>>,
    /// The losses that monitors were told of.
    told: Dropped,
    /// When they may be told again.
    next: Option<Instant>,
    /// There are losses they are yet to be told of.
    owes: bool,
}

impl Feeds {
    /// A new feed, which gets what happens from now on. So much was dropped before.
    pub(super) fn open(&mut self, mark: usize, dropped: Dropped, wakes: &mut Wakes) -> Arc<Feed> {
        // Those that are there already have their own idea of what was told.
        self.settle(dropped, wakes);
        let feed = Arc::new(Feed::new(mark));
        self.feeds.push(Arc::downgrade(&feed));
        feed
    }

    /// Whether there may be monitors.
    #[inline]
    pub(super) fn any(&self) -> bool {
        !self.feeds.is_empty()
    }

    /// Whether monitors are to be told of losses, when it is time.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.owes
    }

    /// Tells every monitor of an event, which is not even made if there is none.
    pub(super) fn tell(&mut self, event: impl FnOnce() -> Event, wakes: &mut Wakes) {
        self.feeds.retain(|feed| feed.strong_count() > 0);
        let Some((last, others)) = self.feeds.split_last() else { return };
        let event = event();
        others.iter().filter_map(Weak::upgrade).for_each(|feed| feed.push(event.clone(), wakes));
        if let Some(feed) = last.upgrade() {
            feed.push(event, wakes);
        }
    }

    /// So much has been dropped: tells of what is new, but not too often.
    pub(super) fn tell_dropped(&mut self, dropped: Dropped, wakes: &mut Wakes) {
        self.owes = self.any() && dropped != self.told;
        if !self.owes {
            return;
        }
        let now = clock::now();
        if self.next.is_none_or(|next| next <= now) {
            self.settle(dropped, wakes);
            self.next = now.checked_add(PAUSE);
        }
    }

    /// The socket is over, and so much was dropped.
    pub(super) fn end(&mut self, dropped: Dropped, wakes: &mut Wakes) {
        self.settle(dropped, wakes);
        for feed in std::mem::take(&mut self.feeds).iter().filter_map(Weak::upgrade) {
            feed.end(wakes);
        }
    }

    /// Tells of what is new at once.
    fn settle(&mut self, dropped: Dropped, wakes: &mut Wakes) {
        let before = std::mem::replace(&mut self.told, dropped);
        self.owes = false;
        if dropped != before {
            self.tell(|| Event::Dropped { messages: dropped - before }, wakes);
        }
    }
}

/// The shortest time between two events about losses.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn retrying(ms: u64) -> Event {
        let endpoint = "tcp://127.0.0.1:1".parse().unwrap();
        Event::Retrying { endpoint, after: Duration::from_millis(ms) }
    }

    /// What there is, in short: the pause of an attempt, a negative number of missed ones.
    fn all(feed: &Feed) -> Vec<i64> {
        let number = |event| match event {
            Event::Retrying { after, .. } => after.as_millis() as i64,
            Event::Missed { events } => -(events as i64),
            Event::Dropped { messages } => 1000 + messages.total() as i64,
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| feed.take().ok()).map(number).collect()
    }

    fn told(feeds: &mut Feeds, count: u64) {
        let mut wakes = Wakes::default();
        (0..count).for_each(|ms| feeds.tell(|| retrying(ms), &mut wakes));
        wakes.wake();
    }

    #[test]
    fn the_oldest_events_give_way_and_are_counted_in_their_place() {
        let mut feeds = Feeds::default();
        let [wide, narrow] = [5, 2].map(|mark| feeds.open(mark, Dropped::default(), &mut Wakes::default()));
        told(&mut feeds, 5);
        assert_eq!(all(&wide), [0, 1, 2, 3, 4]);
        assert_eq!(all(&narrow), [-3, 3, 4]);
        told(&mut feeds, 1);
        assert_eq!(all(&narrow), [0], "they are told of once");
    }

    #[test]
    fn nobody_is_told_of_what_was_before_or_pays_for_what_nobody_hears() {
        let mut feeds = Feeds::default();
        feeds.tell(|| panic!("made for nobody"), &mut Wakes::default());
        let feed = feeds.open(5, Dropped { overflowed: 7, ..Dropped::default() }, &mut Wakes::default());
        assert_eq!(all(&feed), []);
        drop(feed);
        feeds.tell(|| panic!("made for nobody"), &mut Wakes::default());
        assert!(!feeds.any());
    }

    #[test]
    fn losses_are_told_at_once_then_together_and_the_last_at_the_end() {
        let dropped = |overflowed| Dropped { overflowed, ..Dropped::default() };
        let mut feeds = Feeds::default();
        let mut wakes = Wakes::default();
        let feed = feeds.open(5, dropped(0), &mut wakes);
        feeds.tell_dropped(dropped(0), &mut wakes);
        assert_eq!(all(&feed), []);
        feeds.tell_dropped(dropped(1), &mut wakes);
        assert_eq!(all(&feed), [1001]);
        feeds.next = Instant::now().checked_add(Duration::from_secs(100));
        feeds.tell_dropped(dropped(3), &mut wakes);
        assert!(feeds.owes() && all(&feed).is_empty());
        feeds.next = Some(Instant::now());
        feeds.tell_dropped(dropped(6), &mut wakes);
        assert_eq!(all(&feed), [1005]);
        feeds.tell_dropped(dropped(8), &mut wakes);
        assert!(feeds.owes());
        feeds.end(dropped(9), &mut wakes);
        assert_eq!(all(&feed), [1003]);
        assert_eq!(feed.take().unwrap_err(), MonitorError::Closed);
        wakes.wake();
    }

    #[test]
    fn nothing_is_owed_to_a_monitor_that_is_gone() {
        let dropped = |overflowed| Dropped { overflowed, ..Dropped::default() };
        let mut feeds = Feeds::default();
        let mut wakes = Wakes::default();
        let feed = feeds.open(5, dropped(0), &mut wakes);
        feeds.next = Instant::now().checked_add(Duration::from_secs(100));
        feeds.tell_dropped(dropped(1), &mut wakes);
        drop(feed);
        feeds.tell(|| panic!("made for nobody"), &mut wakes);
        assert!(feeds.owes() && !feeds.any());
        feeds.tell_dropped(dropped(1), &mut wakes);
        assert!(!feeds.owes());
        wakes.wake();
    }
}
