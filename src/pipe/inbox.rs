//! [`Inbox`]: messages received from one peer and not yet taken by the application.

use std::collections::VecDeque;

use crate::error::Received;
use crate::message::{Message, Space};
use crate::options::Mark;
use crate::shield::shielded;

/// The inbound queue of one peer. When it is full its carrier stops reading, and the kernel holds the peer back.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<Message>,
    /// What came while there was something in the queue, as it came: none if that is empty.
    behind: VecDeque<Vec<Message>>,
    /// How many messages that is.
    behind_len: usize,
    /// Octets that the messages hold outside of the queue.
    outside: usize,
    mark: Mark,
    /// How many messages do not count for the mark, and how many octets they take, about.
    notices: usize,
    notice_octets: usize,
    /// The carrier has been told to stop reading.
    paused: bool,
    /// Keep only the newest message.
    conflate: bool,
}

impl Inbox {
    /// A queue with this mark, or for the newest message only.
    pub(crate) const fn new(mark: Mark, conflate: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            behind: VecDeque::new(),
            behind_len: 0,
            outside: 0,
            mark,
            notices: 0,
            notice_octets: 0,
            paused: false,
            conflate,
        }
    }

    /// Takes all of `messages` in, leaving it empty, and tells how many older ones were replaced.
    pub(crate) fn accept(&mut self, messages: &mut Vec<Message>) -> usize {
        if self.conflate {
            return self.accept_newest(messages);
        }
        self.outside +=
            messages.iter().filter(|message| !message.is_inline()).map(Message::outside).sum::<usize>();
        if self.queue.is_empty() {
            // Both keep their memory: the deque becomes the vector and the vector the deque.
            let queue = std::mem::take(&mut self.queue);
            self.queue = VecDeque::from(std::mem::replace(messages, Vec::from(queue)));
        } else if messages.len() < CHUNK && self.behind.back().is_none_or(|last| last.len() < CHUNK) {
            // A vector of its own would take more memory than they do.
            self.behind_len += if self.behind.is_empty() { 0 } else { messages.len() };
            match self.behind.back_mut() {
                Some(last) => last.append(messages),
                None => self.queue.extend(messages.drain(..)),
            }
        } else {
            self.behind_len += messages.len();
            self.behind.push_back(std::mem::take(messages));
        }
        0
    }

    fn accept_newest(&mut self, messages: &mut Vec<Message>) -> usize {
        let Some(newest) = messages.pop() else { return 0 };
        let replaced = messages.len() + self.queue.len();
        shielded(|| messages.clear());
        shielded(|| self.queue.clear());
        self.outside = newest.outside();
        self.queue.push_back(newest);
        replaced
    }

    /// Takes in what the socket itself has to tell. It does not count for the mark, unless there is more of that than
    /// anybody can want: who does not look at it shall still be reached by what the peer asks for.
    pub(crate) fn notice(&mut self, message: Message) {
        if self.notice_octets <= NOTICE_OCTETS {
            self.notices += 1;
            self.notice_octets += message.weight();
        }
        self.outside += message.outside();
        match self.behind.back_mut() {
            Some(last) => {
                last.push(message);
                self.behind_len += 1;
            }
            None => self.queue.push_back(message),
        }
    }

    /// How much more may come before the queue is full. Nothing means that the carrier has to pause, and that it will be
    /// resumed.
    pub(crate) fn room_or_pause(&mut self) -> Space {
        if self.conflate {
            return Space::ENDLESS;
        }
        let octets = self.mark.octets.saturating_sub(self.counted_octets());
        let messages = self.mark.messages.saturating_sub(self.counted());
        let space = Space { messages, octets }.within(octets);
        self.paused = space.is_none();
        space
    }

    /// Whether the carrier has been told to stop reading.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it was told so because of how large the messages are, and not how many.
    pub(crate) fn is_heavy(&self) -> bool {
        self.paused && (self.counted() < self.mark.messages || self.notice_octets > NOTICE_OCTETS)
    }

    /// Takes the oldest message out; false if there is none. What it holds outside is taken off `total`, which is that of all
    /// inboxes.
    #[inline]
    pub(crate) fn pop(&mut self, total: &mut usize, into: &mut Received) -> bool {
        let Some(oldest) = self.queue.front_mut() else { return false };
        // Most hold nothing, and it costs next to nothing to see that.
        if !oldest.is_inline() {
            let outside = oldest.outside();
            self.outside -= outside;
            *total -= outside;
        }
        *into = Ok(std::mem::take(oldest));
        self.queue.pop_front();
        if self.queue.is_empty() {
            self.go_on_behind();
        }
        if self.notices > 0 {
            self.forget_notice();
        }
        true
    }

    /// Whether a carrier that paused should read again, which it is to be told once.
    #[inline]
    pub(crate) fn resumes(&mut self) -> bool {
        let resumes = self.paused
            && self.counted() <= self.mark.messages / 2
            && self.counted_octets() <= self.mark.octets / 2;
        self.paused &= !resumes;
        resumes
    }

    /// What came next takes the place of the queue that has run out.
    fn go_on_behind(&mut self) {
        if let Some(next) = self.behind.pop_front() {
            self.behind_len -= next.len();
            self.queue = VecDeque::from(next);
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.behind_len
    }

    /// Octets that the messages take.
    pub(crate) fn octets(&self) -> usize {
        self.len() * Message::WEIGHT + self.outside
    }

    /// Those of them that the messages hold outside of the queue.
    #[inline]
    pub(crate) fn outside(&self) -> usize {
        self.outside
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops everything and tells how much it was.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = self.len();
        let (queue, behind) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.behind));
        shielded(|| drop(queue));
        behind.into_iter().for_each(|messages| _ = shielded(|| drop(messages)));
        self.behind_len = 0;
        (self.outside, self.notices, self.notice_octets) = (0, 0, 0);
        dropped
    }

    /// Messages that count for the mark.
    #[inline]
    fn counted(&self) -> usize {
        self.len() - self.notices
    }

    /// Octets that count for the mark.
    fn counted_octets(&self) -> usize {
        self.octets().saturating_sub(self.notice_octets)
    }

    /// A message was taken. It is only known how many notices there are, and not which they are: those that are left may
    /// count for the mark a little early or late.
    #[cold]
    fn forget_notice(&mut self) {
        self.notice_octets -= self.notice_octets / self.notices;
        self.notices -= 1;
    }
}

/// So many messages are put behind others as they came, and not one by one.
const CHUNK: usize = 32;

/// Octets of notices that may wait without counting for the mark.
const NOTICE_OCTETS: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::error::RecvError;

    fn pop(inbox: &mut Inbox) -> Option<Message> {
        let mut total = inbox.outside();
        let mut message = Err(RecvError::Empty);
        assert_eq!(inbox.pop(&mut total, &mut message), message.is_ok());
        assert_eq!(total, inbox.outside());
        message.ok()
    }

    fn messages(names: &[&str]) -> Vec<Message> {
        names.iter().map(|name| Message::from(*name)).collect()
    }

    #[test]
    fn pauses_at_the_mark_and_resumes_at_half() {
        let mut inbox = Inbox::new(Mark::of(4), false);
        inbox.accept(&mut messages(&["a", "b", "c", "d"]));
        assert!(inbox.room_or_pause().is_none() && !inbox.is_heavy());
        assert_eq!(pop(&mut inbox).unwrap(), "a");
        assert!(!inbox.resumes());
        assert_eq!(pop(&mut inbox).unwrap(), "b");
        assert!(inbox.resumes());
        assert!(!inbox.resumes(), "told once");
        assert_eq!(inbox.room_or_pause().messages, 2);
    }

    /// However they come: a vector for each would take several times what they do.
    #[test]
    fn messages_that_come_one_by_one_are_kept_together() {
        let mut inbox = Inbox::new(Mark::of(usize::MAX), false);
        let name = |number: usize| number.to_string();
        inbox.accept(&mut messages(&["0"]));
        let chunk: Vec<String> = (1..=CHUNK).map(name).collect();
        inbox.accept(&mut chunk.iter().map(|name| Message::from(name.as_str())).collect());
        (CHUNK + 1..1000).for_each(|number| _ = inbox.accept(&mut messages(&[&name(number)])));
        assert!(inbox.behind.len() <= 1000 / CHUNK + 1, "{} vectors", inbox.behind.len());
        assert_eq!((inbox.len(), inbox.octets()), (1000, 1000 * Message::WEIGHT));
        assert!((0..1000).all(|number| pop(&mut inbox).unwrap() == *name(number)));
        assert!(inbox.is_empty());
    }

    #[test]
    fn pauses_at_so_many_octets_and_resumes_at_half() {
        let large = |len: usize| Message::from(vec![7; len - Message::WEIGHT]);
        let mut inbox = Inbox::new(Mark { messages: 100, octets: 4000 }, false);
        assert_eq!(inbox.room_or_pause(), Space { messages: 56, octets: 4000 });
        inbox.accept(&mut vec![large(1000), large(1000), large(999)]);
        assert_eq!(inbox.octets(), 2999);
        assert_eq!(inbox.room_or_pause(), Space { messages: 14, octets: 1001 });
        inbox.accept(&mut vec![large(1001)]);
        assert!(inbox.room_or_pause().is_none() && inbox.is_heavy());
        pop(&mut inbox);
        assert!(!inbox.resumes());
        pop(&mut inbox);
        assert!(inbox.resumes());
        inbox.accept(&mut vec![large(1 << 20)]);
        assert!(inbox.room_or_pause().is_none(), "the last may be as large as it likes");
        inbox.clear();
        assert!(inbox.resumes());
        assert_eq!((inbox.octets(), inbox.room_or_pause().octets), (0, 4000));
    }

    #[test]
    fn one_message_fits_always() {
        let mut inbox = Inbox::new(Mark { messages: 100, octets: 1 }, false);
        assert_eq!(inbox.room_or_pause().messages, 1);
        inbox.accept(&mut vec![Message::new()]);
        assert!(inbox.room_or_pause().is_none());
        pop(&mut inbox);
        assert!(inbox.resumes());
    }

    #[test]
    fn octets_are_those_of_what_is_left() {
        let parts: Message = (0..1000).map(|_| Bytes::new()).collect();
        assert_eq!(parts.weight(), Message::WEIGHT + 32_000, "a part takes memory also when it is empty");
        let mut inbox = Inbox::new(Mark { messages: 100, octets: 100_000 }, false);
        let all =
            [Message::from("small"), vec![1; Message::INLINE + 1].into(), parts, Message::from(["", "b"])];
        inbox.accept(&mut all.to_vec());
        inbox.notice(vec![2; 100].into());
        let mut left: Vec<usize> = all.iter().map(Message::weight).collect();
        left.push(Message::WEIGHT + 100);
        for taken in 0..=left.len() {
            assert_eq!(inbox.octets(), left[taken..].iter().sum::<usize>());
            pop(&mut inbox);
        }
    }

    #[test]
    fn keeps_order_whether_it_was_empty_or_not() {
        let mut inbox = Inbox::new(Mark::of(10), false);
        inbox.accept(&mut messages(&["a", "b"]));
        inbox.accept(&mut messages(&["c"]));
        let all: Vec<Message> = std::iter::from_fn(|| pop(&mut inbox)).collect();
        assert_eq!(all, ["a", "b", "c"]);
    }

    #[test]
    fn notices_do_not_count_until_they_are_too_many() {
        let mut inbox = Inbox::new(Mark { messages: 2, octets: 1000 }, false);
        (0..100).for_each(|_| inbox.notice("n".into()));
        assert_eq!(inbox.room_or_pause(), Space { messages: 2, octets: 1000 });
        inbox.accept(&mut messages(&["a", "b"]));
        assert!(inbox.room_or_pause().is_none() && !inbox.is_heavy());
        (0..101).for_each(|_| drop(pop(&mut inbox)));
        assert!(inbox.resumes());
        assert_eq!(inbox.room_or_pause().messages, 1);

        let large = Message::from(vec![0; 1 << 20]);
        let most = (0..100).take_while(|_| {
            inbox.notice(large.clone());
            !inbox.room_or_pause().is_none()
        });
        assert_eq!(most.count(), 16, "the seventeenth counts");
        assert!(inbox.is_heavy());
    }

    #[test]
    fn what_comes_behind_others_keeps_its_place_however_much_it_is() {
        let numbered =
            |from: usize, to: usize| (from..to).map(|n| Message::from(n.to_string())).collect::<Vec<_>>();
        let mut inbox = Inbox::new(Mark::of(1000), false);
        let mut next = 0;
        for (count, pops) in [(10, 3), (CHUNK, 2), (1, 4), (3 * CHUNK, 60), (CHUNK - 1, 1), (2, 0)] {
            inbox.accept(&mut numbered(next, next + count));
            inbox.notice((next + count).to_string().into());
            next += count + 1;
            let first = next - inbox.len();
            (first..first + pops).for_each(|n| assert_eq!(pop(&mut inbox).unwrap(), n.to_string().as_str()));
        }
        let first = next - inbox.len();
        (first..next).for_each(|n| assert_eq!(pop(&mut inbox).unwrap(), n.to_string().as_str()));
        assert!(inbox.is_empty() && pop(&mut inbox).is_none());
        inbox.accept(&mut numbered(0, 2));
        inbox.accept(&mut numbered(0, CHUNK));
        assert_eq!((inbox.clear(), inbox.len(), inbox.is_empty()), (CHUNK + 2, 0, true));
    }

    #[test]
    fn conflating_keeps_the_newest() {
        let mut inbox = Inbox::new(Mark { messages: 1, octets: 1 }, true);
        assert_eq!(inbox.accept(&mut messages(&["a", "b"])), 1);
        assert_eq!(inbox.accept(&mut messages(&["c"])), 1);
        assert_eq!(inbox.room_or_pause(), Space::ENDLESS);
        assert_eq!(pop(&mut inbox).unwrap(), "c");
        assert!(inbox.is_empty());
    }
}
