//! [`Inbox`]: messages received from one peer and not yet taken by the application.

use std::collections::VecDeque;

use crate::message::Message;
use crate::shield::shielded;

/// The inbound queue of one peer. When it is full its carrier stops reading, and the kernel holds the peer back.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<Message>,
    mark: usize,
    /// How many messages do not count for the mark, and how many octets they have, about.
    notices: usize,
    notice_octets: usize,
    /// The carrier has been told to stop reading.
    paused: bool,
    /// Keep only the newest message.
    conflate: bool,
}

impl Inbox {
    /// A queue for `mark` messages, or for the newest one only.
    pub(crate) const fn new(mark: usize, conflate: bool) -> Self {
        Self { queue: VecDeque::new(), mark, notices: 0, notice_octets: 0, paused: false, conflate }
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
        shielded(|| messages.clear());
        shielded(|| self.queue.clear());
        self.queue.push_back(newest);
        replaced
    }

    /// Takes in what the socket itself has to tell. It does not count for the mark, unless there is more of that than
    /// anybody can want: who does not look at it shall still be reached by what the peer asks for.
    pub(crate) fn notice(&mut self, message: Message) {
        if self.notice_octets <= NOTICE_OCTETS {
            self.notices += 1;
            self.notice_octets += message.byte_len() + OVERHEAD;
        }
        self.queue.push_back(message);
    }

    /// How many more messages may come before the queue is full. Zero means that the carrier has to pause, and that it
    /// will be resumed.
    pub(crate) fn room_or_pause(&mut self) -> usize {
        if self.conflate {
            return usize::MAX;
        }
        let room = self.mark.saturating_sub(self.counted());
        self.paused = room == 0;
        room
    }

    /// The oldest message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front();
        if self.notices > 0 {
            self.forget_notice();
        }
        message
    }

    /// Whether a carrier that paused should read again, which it is to be told once.
    #[inline]
    pub(crate) fn resumes(&mut self) -> bool {
        let resumes = self.paused && self.counted() <= self.mark / 2;
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
        let queue = std::mem::take(&mut self.queue);
        shielded(|| drop(queue));
        (self.notices, self.notice_octets) = (0, 0);
        dropped
    }

    /// Messages that count for the mark.
    #[inline]
    fn counted(&self) -> usize {
        self.queue.len() - self.notices
    }

    /// A message was taken. It is only known how many notices there are, and not which they are: those that are left may
    /// count for the mark a little early or late.
    #[cold]
    fn forget_notice(&mut self) {
        self.notice_octets -= self.notice_octets / self.notices;
        self.notices -= 1;
    }
}

/// Octets of notices that may wait without counting for the mark.
const NOTICE_OCTETS: usize = 16 << 20;
/// What one takes beside its own octets, about.
const OVERHEAD: usize = 64;

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
    fn notices_do_not_count_until_they_are_too_many() {
        let mut inbox = Inbox::new(2, false);
        (0..100).for_each(|_| inbox.notice("n".into()));
        assert_eq!(inbox.room_or_pause(), 2);
        inbox.accept(&mut messages(&["a", "b"]));
        assert_eq!(inbox.room_or_pause(), 0);
        (0..101).for_each(|_| drop(inbox.pop()));
        assert!(inbox.resumes());
        assert_eq!(inbox.room_or_pause(), 1);

        let large = Message::from(vec![0; 1 << 20]);
        let most = (0..100).take_while(|_| {
            inbox.notice(large.clone());
            inbox.room_or_pause() > 0
        });
        assert_eq!(most.count(), 16, "the seventeenth counts");
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
