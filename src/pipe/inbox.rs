//! [`Inbox`]: messages received from one peer and not yet taken by the application.

use std::collections::VecDeque;

use crate::message::Message;

/// The inbound queue of one peer. When it is full its carrier stops reading, and the kernel holds the peer back.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<Message>,
    mark: usize,
    /// The carrier has been told to stop reading.
    paused: bool,
    /// Keep only the newest message.
    conflate: bool,
}

impl Inbox {
    /// A queue for `mark` messages, or for the newest one only.
    pub(crate) const fn new(mark: usize, conflate: bool) -> Self {
        Self { queue: VecDeque::new(), mark, paused: false, conflate }
    }

    /// Takes all of `messages` in, leaving it empty, and tells how many older ones were replaced.
    pub(crate) fn accept(&mut self, messages: &mut Vec<Message>) -> usize {
        if self.conflate {
            return self.accept_newest(messages);
        }
        if self.queue.is_empty() {
            // Both keep their memory: the deque becomes the vector and the vector the deque.
            let queue = std::mem::take(&mut self.queue);
            self.queue = VecDeque::from(std::mem::replace(messages, Vec::from(queue)));
        } else {
            self.queue.extend(messages.drain(..));
        }
        0
    }

    fn accept_newest(&mut self, messages: &mut Vec<Message>) -> usize {
        let Some(newest) = messages.pop() else { return 0 };
        let replaced = messages.len() + self.queue.len();
        messages.clear();
        self.queue.clear();
        self.queue.push_back(newest);
        replaced
    }

    /// How many more messages may come before the queue is full. Zero means that the carrier has to pause, and that it
    /// will be resumed.
    pub(crate) fn room_or_pause(&mut self) -> usize {
        if self.conflate {
            return usize::MAX;
        }
        let room = self.mark.saturating_sub(self.queue.len());
        self.paused = room == 0;
        room
    }

    /// The oldest message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.queue.pop_front()
    }

    /// Whether a carrier that paused should read again, which it is to be told once.
    #[inline]
    pub(crate) fn resumes(&mut self) -> bool {
        let resumes = self.paused && self.queue.len() <= self.mark / 2;
        self.paused &= !resumes;
        resumes
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops everything and tells how much it was.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = self.queue.len();
        self.queue = VecDeque::new();
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(names: &[&str]) -> Vec<Message> {
        names.iter().map(|name| Message::from(*name)).collect()
    }

    #[test]
    fn pauses_at_the_mark_and_resumes_at_half() {
        let mut inbox = Inbox::new(4, false);
        inbox.accept(&mut messages(&["a", "b", "c", "d"]));
        assert_eq!(inbox.room_or_pause(), 0);
        assert_eq!(inbox.pop().unwrap(), "a");
        assert!(!inbox.resumes());
        assert_eq!(inbox.pop().unwrap(), "b");
        assert!(inbox.resumes());
        assert!(!inbox.resumes(), "told once");
        assert_eq!(inbox.room_or_pause(), 2);
    }

    #[test]
    fn keeps_order_whether_it_was_empty_or_not() {
        let mut inbox = Inbox::new(10, false);
        inbox.accept(&mut messages(&["a", "b"]));
        inbox.accept(&mut messages(&["c"]));
        let all: Vec<Message> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(all, ["a", "b", "c"]);
    }

    #[test]
    fn conflating_keeps_the_newest() {
        let mut inbox = Inbox::new(1, true);
        assert_eq!(inbox.accept(&mut messages(&["a", "b"])), 1);
        assert_eq!(inbox.accept(&mut messages(&["c"])), 1);
        assert_eq!(inbox.room_or_pause(), usize::MAX);
        assert_eq!(inbox.pop().unwrap(), "c");
        assert!(inbox.is_empty());
    }
}
