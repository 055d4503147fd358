//! [`Batch`]: encoded messages, ready to be written in one gathered write.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

use crate::message::{Content, Message};
use crate::shield::shielded;
use crate::zmtp::frame::{Header, header_len, put_header};

/// Messages encoded as ZMTP frames, in order.
///
/// Frame headers and small bodies are copied one behind the other; large bodies are kept by reference and spliced in
/// when the batch is written. Nothing is stored per message: where one ends is found by walking the frame headers,
/// which only happens when it matters (a write that stopped half-way, a lost peer).
#[derive(Debug, Default)]
pub(crate) struct Batch {
    copied: Vec<u8>,
    shared: VecDeque<Shared>,
    messages: usize,
    /// Where the first message begins: what lies before was shed.
    front: Place,
    /// The offset behind the last message.
    end: usize,
}

/// A body kept by reference.
#[derive(Debug)]
struct Shared {
    /// How many copied octets stand before this body.
    at: usize,
    body: Bytes,
}

/// A place in a batch: how many octets, of both kinds, lie before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    copied: usize,
    /// How many shared bodies lie wholly before.
    bodies: usize,
    /// Octets of the next shared body that lie before.
    within: usize,
    /// All of the above together.
    pub(crate) offset: usize,
}

impl Batch {
    /// Encodes a message behind the others and tells how many octets it took.
    #[inline(always)] // as what calls it, for it is most of that
    pub(crate) fn push(&mut self, message: &Message) -> usize {
        let before = self.end;
        match message.content() {
            Content::Short(body) => self.copy(false, body),
            Content::Delimited(body) => {
                self.copy(true, &[]);
                self.copy(false, body);
            }
            Content::Shared(body) => self.frame(false, body),
            Content::Many(parts) => self.frames(parts),
        }
        self.messages += 1;
        self.end - before
    }

    /// Gives up the oldest message.
    pub(crate) fn shed(&mut self) {
        let Some(front) = self.message_end(self.front) else { return };
        self.release(self.front, front);
        self.front = front;
        self.messages -= 1;
        if front.copied >= COMPACT && front.copied * 2 >= self.copied.len() {
            self.compact();
        }
    }

    /// Where the first message begins.
    pub(crate) fn front(&self) -> Place {
        self.front
    }

    /// The offset behind the last message.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Whole messages in the batch.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Octets in the batch, as they will be written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end - self.front.offset
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether large bodies are gathered, so that a long write costs no copying.
    #[inline]
    pub(crate) fn gathers(&self) -> bool {
        !self.shared.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.copied.clear();
        self.messages = 0;
        self.front = Place::default();
        self.end = 0;
        if !self.shared.is_empty() {
            shielded(|| self.shared.clear());
        }
    }

    /// Gives unused memory back; for a peer that has fallen idle.
    pub(crate) fn trim(&mut self) {
        self.copied.shrink_to(self.copied.len());
        self.shared.shrink_to(self.shared.len());
    }

    /// Points `slices` at the octets behind `place`, no more than `limit` of them, and tells how many slices it used.
    pub(crate) fn gather<'a>(&'a self, place: Place, limit: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let Place { mut copied, mut bodies, mut within, .. } = place;
        let mut left = limit;
        let mut used = 0;
        while used < slices.len() && left > 0 {
            let border = self.shared.get(bodies).map_or(self.copied.len(), |shared| shared.at);
            let slice = if copied < border {
                let slice = &self.copied[copied..border];
                copied = border;
                slice
            } else if let Some(shared) = self.shared.get(bodies) {
                let slice = &shared.body[within..];
                bodies += 1;
                within = 0;
                slice
            } else {
                break;
            };
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            slices[used] = IoSlice::new(slice);
            used += 1;
        }
        used
    }

    /// The place `octets` behind `place`.
    pub(crate) fn advance(&self, place: Place, octets: usize) -> Place {
        let mut place = place;
        let mut left = octets;
        while left > 0 {
            let border = self.shared.get(place.bodies).map_or(self.copied.len(), |shared| shared.at);
            let step = if place.copied < border {
                let step = left.min(border - place.copied);
                place.copied += step;
                step
            } else if let Some(shared) = self.shared.get(place.bodies) {
                let step = left.min(shared.body.len() - place.within);
                place.within += step;
                if place.within == shared.body.len() {
                    place.within = 0;
                    place.bodies += 1;
                }
                step
            } else {
                debug_assert!(false, "{left} octets past the end of the batch");
                break;
            };
            left -= step;
            place.offset += step;
        }
        place
    }

    /// Where the message ends that begins at `place`.
    pub(crate) fn message_end(&self, place: Place) -> Option<Place> {
        let mut frame = self.frame_at(place)?;
        while frame.more {
            frame = self.frame_at(frame.end)?;
        }
        Some(frame.end)
    }

    /// Lets go of the large bodies between two places, which are written and not looked at again.
    pub(crate) fn release(&mut self, from: Place, to: Place) {
        for shared in self.shared.range_mut(from.bodies..to.bodies) {
            let body = std::mem::take(&mut shared.body);
            shielded(|| drop(body));
        }
    }

    /// The messages from `place` on, which must be the beginning of one.
    pub(crate) fn messages_from(&self, place: Place) -> Messages<'_> {
        Messages { batch: self, place }
    }

    /// Gives back the memory of what was shed.
    fn compact(&mut self) {
        let front = std::mem::take(&mut self.front);
        self.copied.drain(..front.copied);
        shielded(|| drop(self.shared.drain(..front.bodies)));
        self.shared.iter_mut().for_each(|shared| shared.at -= front.copied);
        self.end -= front.offset;
    }

    fn frames(&mut self, parts: &[Bytes]) {
        for (index, part) in parts.iter().enumerate() {
            self.frame(index + 1 < parts.len(), part);
        }
    }

    fn frame(&mut self, more: bool, body: &Bytes) {
        if body.len() < SHARE {
            return self.copy(more, body);
        }
        put_header(&mut self.copied, more, body.len());
        self.shared.push_back(Shared { at: self.copied.len(), body: body.clone() });
        self.end += header_len(body.len()) + body.len();
    }

    #[inline]
    fn copy(&mut self, more: bool, body: &[u8]) {
        put_header(&mut self.copied, more, body.len());
        self.copied.extend_from_slice(body);
        self.end += header_len(body.len()) + body.len();
    }

    /// The frame that begins at `place`.
    fn frame_at(&self, place: Place) -> Option<Frame> {
        let header = Header::parse(&self.copied[place.copied..]).ok().flatten()?;
        let len = header.len as usize;
        let body = place.copied + header.size;
        let shared = self.shared.get(place.bodies).is_some_and(|shared| shared.at == body);
        let body = if shared { Body::Shared(place.bodies) } else { Body::Copied(body..body + len) };
        Some(Frame { more: header.is_more(), body, end: self.advance(place, header.size + len) })
    }

    fn body(&self, frame: &Frame) -> Bytes {
        match &frame.body {
            Body::Shared(index) => self.shared[*index].body.clone(),
            Body::Copied(range) => Bytes::copy_from_slice(&self.copied[range.clone()]),
        }
    }
}

/// Where the parts of a frame are.
struct Frame {
    more: bool,
    body: Body,
    end: Place,
}

enum Body {
    Copied(Range<usize>),
    /// Which of the shared bodies it is.
    Shared(usize),
}

/// Decodes the messages of a [`Batch`] again, made by [`Batch::messages_from`].
pub(crate) struct Messages<'a> {
    batch: &'a Batch,
    place: Place,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let mut parts = Vec::new();
        loop {
            let frame = self.batch.frame_at(self.place)?;
            parts.push(self.batch.body(&frame));
            self.place = frame.end;
            if !frame.more {
                return Some(Message::from(parts));
            }
        }
    }
}

/// Bodies from this length on are kept by reference. Below it, a copy into the batch costs less than one more slice in
/// the gathered write.
const SHARE: usize = 4 * 1024;

/// Octets of shed messages to keep before it is worth moving the rest.
const COMPACT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(batch: &Batch, place: Place) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.gather(place, usize::MAX, &mut slices);
        slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    fn samples() -> Vec<Message> {
        let large = vec![b'l'; SHARE + 5];
        vec![
            Message::from("a"),
            Message::new(),
            Message::from(large.clone()),
            Message::from([Bytes::new(), Bytes::from(large.clone()), Bytes::from_static(b"z"), Bytes::new()]),
            Message::from(vec![b'm'; 300]),
            Message::from(large),
        ]
    }

    #[test]
    fn encodes_frames_as_libzmq_does() {
        let mut batch = Batch::default();
        batch.push(&Message::from(["A", "", "bc"]));
        batch.push(&Message::from(vec![7; 256]));
        let mut expected = b"\x01\x01A\x01\x00\x00\x02bc\x02\0\0\0\0\0\0\x01\0".to_vec();
        expected.extend([7; 256]);
        assert_eq!(octets(&batch, Place::default()), expected);
        assert_eq!((batch.len(), batch.messages()), (expected.len(), 2));
    }

    #[test]
    fn gathering_from_any_place_gives_the_rest() {
        let mut batch = Batch::default();
        for message in samples() {
            batch.push(&message);
        }
        let all = octets(&batch, Place::default());
        assert_eq!(all.len(), batch.len());
        for cut in 0..=all.len() {
            let place = batch.advance(Place::default(), cut);
            assert_eq!(place.offset, cut);
            assert!(octets(&batch, place) == all[cut..], "cut at {cut}");
        }
    }

    #[test]
    fn a_limit_cuts_the_gathered_write() {
        let mut batch = Batch::default();
        batch.push(&Message::from(vec![1; SHARE]));
        batch.push(&Message::from(vec![2; SHARE]));
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.gather(Place::default(), SHARE + 20, &mut slices);
        assert_eq!(slices[..used].iter().map(|slice| slice.len()).sum::<usize>(), SHARE + 20);
    }

    #[test]
    fn shedding_leaves_the_newer_messages() {
        let mut batch = Batch::default();
        let messages: Vec<Message> = (0..100).flat_map(|_| samples()).collect();
        messages.iter().for_each(|message| _ = batch.push(message));
        for shed in 0..messages.len() {
            let back: Vec<Message> = batch.messages_from(batch.front()).collect();
            assert!(back == messages[shed..], "{shed} are shed");
            let mut rest = Batch::default();
            back.iter().for_each(|message| _ = rest.push(message));
            assert_eq!((batch.len(), batch.messages()), (rest.len(), rest.messages()));
            batch.shed();
        }
        assert!(batch.is_empty());
        assert!(batch.copied.len() < COMPACT * 2);
    }

    #[test]
    fn walking_gives_the_messages_back() {
        let mut batch = Batch::default();
        for message in samples() {
            batch.push(&message);
        }
        let back: Vec<Message> = batch.messages_from(Place::default()).collect();
        assert_eq!(back, samples());
    }
}
