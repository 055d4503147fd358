//! [`Decoder`]: messages out of frames. The hot path of receiving.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::Violation;
use super::frame::{Header, LONG_HEADER};
use super::handshake::Limits;
use crate::message::{Message, Space};

/// Reads the stream of frames that follows the handshake.
///
/// A frame up to [`LARGE`] is taken when all of it is there, with one copy out of the input. The body of a larger one
/// is taken as it comes, into a buffer of its own. Frames are handled in a loop, never by recursion.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The most octets a message may have.
    message_limit: usize,
    /// The most octets that one of its parts may have; never more than the message.
    frame_limit: usize,
    /// The most parts a message may have.
    parts_limit: usize,
    /// What is there of a message of several parts.
    parts: Vec<Bytes>,
    /// How many octets those parts have together; never more than the limit.
    octets: usize,
    /// Where the small parts of one message are put, so that they share an allocation.
    block: BytesMut,
    /// A large body under way. Boxed because an idle connection has none.
    large: Option<Box<Large>>,
}

/// How far the decoder came.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    /// The body of the command it stopped behind, if it did.
    pub(crate) command: Option<&'a [u8]>,
    /// What it did not take.
    pub(crate) rest: &'a [u8],
}

/// A large body under way, for whoever reads to fill.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    /// How many octets of it are there.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) filled: usize,
    /// Where the next ones go: as many as are missing, as far as there is room for them. Never empty.
    pub(crate) spare: &'a mut [u8],
}

/// What became of one frame.
enum Frame<'a> {
    /// Too little of it is there.
    Starved,
    /// It belonged to a message, and this is what follows.
    Taken(&'a [u8]),
    /// It was a command of this body, and this is what follows.
    Command(&'a [u8], &'a [u8]),
}

/// A large body and what its header said.
#[derive(Debug)]
struct Large {
    /// What has come, and behind it zeros for what comes next: each octet is zeroed once, however small the pieces that come.
    buffer: Vec<u8>,
    filled: usize,
    /// The declared size: where the body ends, and never a reason to allocate.
    len: usize,
    more: bool,
}

impl Decoder {
    /// A decoder at the start of a message.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            message_limit: limits.message,
            frame_limit: limits.frame.min(limits.message),
            parts_limit: limits.parts,
            parts: Vec::new(),
            octets: 0,
            block: BytesMut::new(),
            large: None,
        }
    }

    /// Takes frames and appends whole messages, until the room for them is used up or a command has come.
    pub(crate) fn decode<'a>(
        &mut self,
        input: &'a [u8],
        room: &mut Space,
        messages: &mut Vec<Message>,
    ) -> Result<Decoded<'a>, Violation> {
        let mut rest = input;
        loop {
            let before = messages.len();
            rest = self.short_messages(rest, before.saturating_add(room.messages), messages);
            *room = room.after(messages.len() - before, 0);
            if room.is_none() {
                break;
            }
            let before = messages.len();
            match self.frame(rest, messages)? {
                Frame::Starved => break,
                Frame::Taken(tail) => rest = tail,
                Frame::Command(body, rest) => return Ok(Decoded { command: Some(body), rest }),
            }
            if let Some(message) = messages.get(before) {
                *room = room.after(1, message.outside());
            }
        }
        Ok(Decoded { command: None, rest })
    }

    /// The short cut of small messages: takes those that fit inside of a [`Message`], one part alone or behind an empty one, one
    /// message behind the other, until there are `full` of them. Whatever else there is must take the long way.
    fn short_messages<'a>(&self, input: &'a [u8], full: usize, messages: &mut Vec<Message>) -> &'a [u8] {
        let mut rest = input;
        if !self.parts.is_empty() || self.large.is_some() {
            return rest;
        }
        let limit = Message::INLINE.min(self.frame_limit);
        while messages.len() < full {
            let (delimited, len, behind) = match rest {
                [LAST_SHORT, len, behind @ ..] => (false, len, behind),
                [MORE_SHORT, 0, LAST_SHORT, len, behind @ ..] if self.parts_limit > 1 => (true, len, behind),
                _ => break,
            };
            let size = usize::from(*len);
            if size > limit || size > behind.len() {
                break;
            }
            // As a rule more follows, and a copy of one size for all is cheaper than one of just what is there.
            match (delimited, behind.first_chunk()) {
                (false, Some(bytes)) => {
                    // Filled where it stays: see `Message::fill`.
                    messages.push(Message::new());
                    messages.last_mut().into_iter().for_each(|message| message.fill(bytes, *len));
                }
                (false, None) => messages.push(Message::from(&behind[..size])),
                (true, _) => messages.push(Message::from(&behind[..size]).delimited()),
            }
            rest = &behind[size..];
        }
        rest
    }

    /// The large body under way, with room made for some of what is missing.
    pub(crate) fn body(&mut self) -> Option<Body<'_>> {
        let large = self.large.as_deref_mut()?;
        large.make_room(1);
        Some(Body {
            #[cfg(any(test, feature = "fuzzing"))]
            filled: large.filled,
            spare: &mut large.buffer[large.filled..],
        })
    }

    /// So many octets of the large body have come. Completes its frame if that was all, and with it perhaps a message.
    pub(crate) fn body_grew(&mut self, octets: usize, messages: &mut Vec<Message>) {
        self.large.iter_mut().for_each(|large| large.filled += octets);
        if let Some(Large { buffer, more, .. }) =
            self.large.take_if(|large| large.missing() == 0).map(|large| *large)
        {
            self.push(buffer.into(), more, messages);
        }
    }

    /// The octets of memory it holds beside its own size: what there is of a message.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| size_of::<Large>() + large.buffer.capacity());
        self.parts.capacity() * size_of::<Bytes>() + self.octets + self.block.capacity() + large
    }

    /// Takes one frame of any kind, or what there is of a large body.
    fn frame<'a>(&mut self, input: &'a [u8], messages: &mut Vec<Message>) -> Result<Frame<'a>, Violation> {
        if self.large.is_some() {
            return Ok(self.fill(input, messages));
        }
        let Some(header) = Header::parse(input)? else { return Ok(Frame::Starved) };
        let len = self.admit(header)?;
        let rest = &input[header.size..];
        if len > LARGE {
            self.large = Some(Box::new(Large { buffer: Vec::new(), filled: 0, len, more: header.is_more() }));
            return Ok(Frame::Taken(rest));
        }
        let Some((body, rest)) = rest.split_at_checked(len) else { return Ok(Frame::Starved) };
        if header.is_command() {
            return Ok(Frame::Command(body, rest));
        }
        self.part(body, header.is_more(), messages);
        Ok(Frame::Taken(rest))
    }

    /// How long the body is going to be, if a frame of this header is welcome. Asked as soon as the size is there: what
    /// is too much is refused before it comes.
    fn admit(&self, header: Header) -> Result<usize, Violation> {
        if header.is_command() {
            return header.len_within(LARGE).ok_or(Violation::CommandTooLarge { limit: LARGE });
        }
        if self.parts.len() >= self.parts_limit {
            return Err(Violation::TooManyParts { limit: self.parts_limit });
        }
        // Where parts have no limit of their own, one that is too large is told as a message that is.
        if self.frame_limit < self.message_limit && header.len_within(self.frame_limit).is_none() {
            return Err(Violation::FrameTooLarge { limit: self.frame_limit });
        }
        let left = self.message_limit - self.octets;
        header.len_within(left).ok_or(Violation::MessageTooLarge { limit: self.message_limit })
    }

    /// Takes what there is of the large body under way.
    fn fill<'a>(&mut self, input: &'a [u8], messages: &mut Vec<Message>) -> Frame<'a> {
        let Some(large) = self.large.as_deref_mut().filter(|_| !input.is_empty()) else {
            return Frame::Starved;
        };
        let (body, rest) = input.split_at(input.len().min(large.missing()));
        large.make_room(body.len());
        large.buffer[large.filled..][..body.len()].copy_from_slice(body);
        self.body_grew(body.len(), messages);
        Frame::Taken(rest)
    }

    /// Takes a part that is all there.
    fn part(&mut self, body: &[u8], more: bool, messages: &mut Vec<Message>) {
        if !more && self.parts.is_empty() {
            messages.push(Message::from(body));
        } else {
            let part = self.keep(body);
            self.push(part, more, messages);
        }
    }

    /// Copies a part: into the block of its message if it is small, else into an allocation of its own, so that a part
    /// which is kept for long holds on to little more than itself.
    fn keep(&mut self, body: &[u8]) -> Bytes {
        match body.len() {
            0 => Bytes::new(),
            1..=SMALL => {
                if self.block.capacity() < body.len() {
                    // As much as has come, so that no peer makes us take much more memory than it sends.
                    let octets = self.octets.clamp(LEAST_BLOCK, BLOCK).max(body.len());
                    self.block = BytesMut::with_capacity(octets);
                }
                self.block.extend_from_slice(body);
                self.block.split().freeze()
            }
            _ => Bytes::copy_from_slice(body),
        }
    }

    /// Adds a part to its message, which the last one completes.
    fn push(&mut self, part: Bytes, more: bool, messages: &mut Vec<Message>) {
        self.octets += part.len();
        self.parts.push(part);
        if !more {
            messages.push(Message::from(mem::take(&mut self.parts)));
            self.octets = 0;
            self.block = BytesMut::new();
        }
    }
}

impl Large {
    /// How many octets are still to come.
    fn missing(&self) -> usize {
        self.len.saturating_sub(self.filled)
    }

    /// Makes room for the next `octets`, of those that are missing. Grows in steps that double with what has come, so
    /// that a peer has to send half of what it makes us allocate, and ends with no octet to spare.
    fn make_room(&mut self, octets: usize) {
        if self.buffer.len() - self.filled < octets {
            let step = octets.max(STEP).max(self.filled).min(self.missing());
            self.buffer.reserve_exact(self.filled + step - self.buffer.len());
            self.buffer.resize(self.filled + step, 0);
        }
    }
}

/// The largest body, in octets, that is taken only when all of it is there, and the largest command.
pub(crate) const LARGE: usize = 16 * 1024;
/// How many octets a caller must be able to present at once. The largest frame that is taken only as a whole has so
/// many, so fewer are left untaken, unless it is for want of room.
pub(crate) const LOOKAHEAD: usize = LONG_HEADER + LARGE;

/// The flags of a short frame that is a message, or the last part of one.
const LAST_SHORT: u8 = 0;

/// The flags of a short frame that belongs to a message, and that others follow.
const MORE_SHORT: u8 = 1;
/// The largest part that shares a block.
const SMALL: usize = 256;
/// The least octets of a block: enough for an envelope and a few small parts.
const LEAST_BLOCK: usize = 128;
/// The most octets of a block, unless one part takes more.
const BLOCK: usize = 1024;
/// The least by which the buffer of a large body grows.
const STEP: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::frame::put_header;

    const LIMITS: Limits = Limits { frame: 1 << 20, message: 1 << 20, parts: 1000, handshake: 0 };

    fn endless() -> Space {
        Space::ENDLESS
    }

    /// What a new decoder makes of `input`, and how much it leaves.
    fn decode(limits: Limits, input: &[u8]) -> (Vec<Message>, Result<usize, Violation>) {
        let mut messages = Vec::new();
        let left = Decoder::new(limits).decode(input, &mut endless(), &mut messages).map(|decoded| {
            assert_eq!(decoded.command, None);
            decoded.rest.len()
        });
        (messages, left)
    }

    fn refusal(limits: Limits, input: &[u8]) -> Violation {
        let (messages, result) = decode(limits, input);
        assert!(messages.is_empty());
        result.unwrap_err()
    }

    #[test]
    fn takes_whole_frames_only() {
        let input = b"\x00\x01A\x00\x00\x00\x02BC\x00\x02D";
        assert_eq!(decode(LIMITS, input), (vec!["A".into(), "".into(), "BC".into()], Ok(3)));
    }

    #[test]
    fn accepts_a_long_size_for_a_short_body() {
        assert_eq!(decode(LIMITS, b"\x02\0\0\0\0\0\0\0\x05hello"), (vec!["hello".into()], Ok(0)));
    }

    #[test]
    fn keeps_empty_parts_wherever_they_are() {
        let input = b"\x01\0\x01\x01A\x01\0\x00\0\x01\x01B\x00\0";
        assert_eq!(decode(LIMITS, input), (vec![Message::from(["", "A", "", ""]), ["B", ""].into()], Ok(0)));
    }

    #[test]
    fn stops_when_the_room_is_full() {
        let mut messages = vec![Message::new()];
        let mut room = Space { messages: 1, octets: usize::MAX };
        let decoded = Decoder::new(LIMITS).decode(b"\0\0\0\0\0\0", &mut room, &mut messages).unwrap();
        assert_eq!((decoded.rest.len(), decoded.command), (4, None));
        assert_eq!((messages.len(), room.is_none()), (2, true));
    }

    #[test]
    fn stops_when_so_many_octets_are_taken_whatever_the_messages_are_like() {
        let small = b"\x00\x01s".to_vec();
        let single = [&b"\x00\x64"[..], &[7; 100]].concat();
        let parts = [b"\x01\0".repeat(10), b"\x00\0".to_vec()].concat();
        let kinds = [(small, 72), (single, 72 + 100), (parts, 72 + 11 * 32)];
        for octets in (1..2000).step_by(7) {
            for first in 0..3 {
                let order: Vec<usize> = (0..200).map(|n| (first + n * (n + 1) / 2) % 3).collect();
                let input: Vec<u8> = order.iter().flat_map(|kind| kinds[*kind].0.clone()).collect();
                let mut room = Space::ENDLESS.within(octets);
                let mut messages = Vec::new();
                Decoder::new(LIMITS).decode(&input, &mut room, &mut messages).unwrap();
                let taken: usize = messages.iter().map(Message::weight).sum();
                let last = kinds[order[messages.len() - 1]].1;
                assert!(taken >= octets && taken - last < octets, "{taken} of {octets}");
                assert_eq!(room.octets, 0);
            }
        }
    }

    #[test]
    fn stops_behind_a_command_between_two_parts() {
        let (mut decoder, mut messages) = (Decoder::new(LIMITS), Vec::new());
        let Decoded { command, rest } =
            decoder.decode(b"\x01\x01A\x04\x05\x04PONG\x00\x01B", &mut endless(), &mut messages).unwrap();
        assert_eq!((command, messages.len()), (Some(&b"\x04PONG"[..]), 0));
        assert_eq!(decoder.decode(rest, &mut endless(), &mut messages).unwrap().rest, b"");
        assert_eq!(messages, [Message::from(["A", "B"])]);
    }

    #[test]
    fn frames_the_size_of_the_borders_come_through() {
        for len in
            [Message::INLINE, Message::INLINE + 1, 255, 256, SMALL + 1, LARGE, LARGE + 1, STEP, 3 * STEP + 1]
        {
            let body = vec![7; len];
            let mut input = Vec::new();
            for more in [false, true, false] {
                put_header(&mut input, more, len);
                input.extend_from_slice(&body);
            }
            let (messages, result) = decode(LIMITS, &input);
            assert_eq!(messages, [Message::from(&body[..]), [&body[..], &body].into()]);
            assert_eq!(result, Ok(0), "{len} octets");
        }
    }

    #[test]
    fn what_small_parts_are_put_in_is_not_much_larger_than_they_are() {
        let mut decoder = Decoder::new(LIMITS);
        let mut taken = 0;
        for _ in 0..200 {
            let before = decoder.block.capacity();
            decoder
                .decode(b"\x01\x1D01234567890123456789012345678", &mut endless(), &mut Vec::new())
                .unwrap();
            let after = decoder.block.capacity();
            taken += if after > before { after + 29 } else { 0 };
            assert!(taken <= LEAST_BLOCK + 3 * decoder.octets, "{taken} for {}", decoder.octets);
        }
    }

    #[test]
    fn small_parts_share_an_allocation() {
        let (messages, _) = decode(LIMITS, b"\x01\x02ab\x01\0\x00\x02cd");
        let parts = messages[0].clone().into_parts();
        assert_eq!(parts[0].as_ptr().wrapping_add(2), parts[2].as_ptr());
    }

    #[test]
    fn a_part_beyond_the_limit_is_refused_by_its_size() {
        let limits = Limits { message: 10, ..LIMITS };
        let refused = Violation::MessageTooLarge { limit: 10 };
        assert_eq!(decode(limits, b"\x00\x0A0123456789").1, Ok(0));
        assert_eq!(refusal(limits, b"\x00\x0B"), refused);
        assert_eq!(refusal(limits, b"\x01\x0A0123456789\x00\x01"), refused);
        assert_eq!(refusal(limits, b"\x01\x04abcd\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), refused);
        let next = b"\x01\x04abcd\x00\x06efghij\x00\x0A0123456789";
        assert_eq!(decode(limits, next).0.len(), 2, "the count starts anew with every message");
    }

    #[test]
    fn each_part_has_a_limit_of_its_own_within_that_of_the_message() {
        let limits = Limits { frame: 4, message: 10, ..LIMITS };
        let refused = Violation::FrameTooLarge { limit: 4 };
        assert_eq!(decode(limits, b"\x00\x04abcd\x01\x04abcd\x01\x04efgh\x00\x02ij").0.len(), 2);
        assert_eq!(refusal(limits, b"\x00\x05"), refused);
        assert_eq!(refusal(limits, b"\x01\x04abcd\x00\x05"), refused, "what came before is discarded");
        assert_eq!(refusal(limits, b"\x01\x01a\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), refused);
        let all = Violation::MessageTooLarge { limit: 10 };
        assert_eq!(refusal(limits, b"\x01\x04abcd\x01\x04efgh\x00\x03"), all);
        let none = Limits { frame: 100, ..limits };
        assert_eq!(refusal(none, b"\x00\x0B"), all, "no part can be larger than its message");
    }

    #[test]
    fn parts_without_end_are_refused_without_recursion() {
        let mut input = b"\x01\x00".repeat(100_000);
        input.extend_from_slice(b"\x00\x00");
        assert_eq!(refusal(LIMITS, &input), Violation::TooManyParts { limit: 1000 });

        let patient = Limits { parts: 100_001, ..LIMITS };
        assert_eq!(decode(patient, &input).0[0].len(), 100_001);
        assert_eq!(decode(LIMITS, &input[input.len() - 2 * 1000..]).0[0].len(), 1000);
    }

    #[test]
    fn a_large_command_is_refused_by_its_size() {
        let refused = Violation::CommandTooLarge { limit: LARGE };
        assert_eq!(refusal(LIMITS, b"\x06\0\0\0\0\0\0\x40\x01"), refused);
        assert_eq!(decode(LIMITS, b"\x06\0\0\0\0\0\0\x40\x00").1, Ok(9));
    }

    #[test]
    fn a_declared_size_allocates_nothing() {
        let mut decoder = Decoder::new(Limits { frame: usize::MAX, message: usize::MAX, ..LIMITS });
        let input = b"\x02\x00\x00\x01\x00\x00\x00\x00\x000123456789";
        assert_eq!(decoder.decode(input, &mut endless(), &mut Vec::new()).unwrap().rest, b"");
        let Body { filled, spare } = decoder.body().unwrap();
        assert_eq!((filled, spare.len()), (10, STEP - 10));
        assert_eq!(decoder.large.unwrap().buffer.capacity(), STEP);
    }

    #[test]
    fn a_large_body_grows_by_doubling_and_ends_with_nothing_to_spare() {
        let (mut decoder, mut messages) = (Decoder::new(LIMITS), Vec::new());
        decoder.decode(b"\x02\0\0\0\0\0\x05\0\0", &mut endless(), &mut messages).unwrap();
        let mut steps = Vec::new();
        while let Some(Body { filled, spare }) = decoder.body() {
            let missing = spare.len();
            steps.push(missing / 1024);
            spare.fill(7);
            assert_eq!(decoder.large.as_ref().unwrap().buffer.capacity(), filled + missing);
            decoder.body_grew(missing, &mut messages);
        }
        assert_eq!(steps, [64, 64, 128, 64]);
        assert_eq!(messages, [Message::from(vec![7; 320 * 1024])]);
    }

    #[test]
    fn is_small_while_it_is_idle() {
        assert!(size_of::<Decoder>() <= 96);
    }
}
