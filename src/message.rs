//! [`Message`]: what a socket sends and receives, one or more parts of bytes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

/// A message: one or more parts, each a run of bytes that may be empty.
///
/// A message travels as one value. All its parts reach the same peer, together or not at all, and never mixed with
/// those of another message.
///
/// A single part of up to [`Message::INLINE`] bytes lives inside the value, so that small messages need no
/// allocation. A longer one is a [`Bytes`], shared and not copied when the message is cloned; many parts share one
/// allocation. A clone is therefore always cheap.
///
/// What a part owns, as [`Bytes::from_owner`] has it, is dropped wherever the message ends, perhaps on another thread and in
/// the midst of what the socket does. It may panic, but it must not call the socket.
///
/// ```
/// use ferromq::Message;
///
/// let one = Message::from("hello");
/// assert_eq!(one, b"hello");
///
/// let many = Message::from(["key", "value"]);
/// assert_eq!(many.len(), 2);
/// assert_eq!(many.part(1), Some(&b"value"[..]));
/// ```
#[derive(Clone)]
pub struct Message(Repr);

#[derive(Clone)]
enum Repr {
    Inline(Short),
    Single(Bytes),
    /// Two or more parts. An empty one in front of a short one stands in either form.
    Many(Arc<[Bytes]>),
}

/// A short part, alone or behind an empty one, as REQ and REP send it.
///
/// Its layout is that of a message that holds one, and has each field of it where a move in words and larger pieces finds it
/// whole: a read that spans two writes has to wait for both, and a message is moved several times right after it was written.
/// Such waits were most of the time of a `recv`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Short {
    bytes: [u8; Message::INLINE],
    /// How many of the bytes there are. A type with values to spare: they tell the other kinds of message, and errors, apart.
    len: char,
    /// How many empty parts stand in front: none, or one.
    delimiters: u32,
}

impl Short {
    #[inline]
    const fn new(bytes: [u8; Message::INLINE], len: u8) -> Self {
        Self { bytes, len: len as char, delimiters: 0 }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl Message {
    /// The longest single part, in bytes, that is kept inside the message itself.
    pub const INLINE: usize = 64;

    /// A message of one empty part.
    pub const fn new() -> Self {
        Self(Repr::Inline(Short::new([0; Self::INLINE], 0)))
    }

    /// How many parts the message has; never zero.
    #[allow(clippy::len_without_is_empty)] // it would always answer "no"
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline(short) => 1 + short.delimiters as usize,
            Repr::Single(_) => 1,
            Repr::Many(parts) => parts.len(),
        }
    }

    /// The bytes of all parts together, without any framing.
    pub fn byte_len(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// The part at `index`, if there is one.
    pub fn part(&self, index: usize) -> Option<&[u8]> {
        match &self.0 {
            Repr::Inline(short) => match (short.delimiters as usize).checked_sub(index) {
                Some(0) => Some(short.as_slice()),
                Some(_) => Some(&[]),
                None => None,
            },
            Repr::Single(bytes) => (index == 0).then_some(&bytes[..]),
            Repr::Many(parts) => parts.get(index).map(|part| &part[..]),
        }
    }

    /// The parts, in order.
    pub fn parts(&self) -> Parts<'_> {
        match &self.0 {
            Repr::Inline(short) => {
                Parts { delimiters: short.delimiters, only: Some(short.as_slice()), many: [].iter() }
            }
            Repr::Single(bytes) => Parts { delimiters: 0, only: Some(bytes), many: [].iter() },
            Repr::Many(parts) => Parts { delimiters: 0, only: None, many: parts.iter() },
        }
    }

    /// The whole message as bytes: its only part without a copy, or several parts joined one behind the other.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Inline(short) => Bytes::copy_from_slice(short.as_slice()),
            Repr::Single(bytes) => bytes,
            Repr::Many(parts) => parts.concat().into(),
        }
    }

    /// The parts as values that outlive the message. Parts longer than [`Message::INLINE`] are shared, not copied.
    pub fn into_parts(self) -> Vec<Bytes> {
        match self.0 {
            Repr::Many(parts) => parts.to_vec(),
            Repr::Inline(short) if short.delimiters > 0 => vec![Bytes::new(), self.into_bytes()],
            _ => vec![self.into_bytes()],
        }
    }

    /// Puts a part in front of the others, such as the routing id that a ROUTER socket sends to.
    ///
    /// ```
    /// use ferromq::Message;
    ///
    /// let mut message = Message::from("hello");
    /// message.push_front("worker-1");
    /// assert_eq!(message, Message::from(["worker-1", "hello"]));
    /// ```
    pub fn push_front(&mut self, part: impl Into<Bytes>) {
        *self = std::mem::take(self).behind(&[part.into()]);
    }

    /// Splits off the first part; what is left is none if that was all.
    ///
    /// ```
    /// use ferromq::Message;
    ///
    /// let (id, rest) = Message::from(["worker-1", "hello"]).split_front();
    /// assert_eq!(id, "worker-1");
    /// assert_eq!(rest, Some(Message::from("hello")));
    /// ```
    pub fn split_front(self) -> (Bytes, Option<Self>) {
        match self.undelimited() {
            Ok(rest) => (Bytes::new(), Some(rest)),
            Err(Self(Repr::Many(parts))) => (parts[0].clone(), Some(Self::from(&parts[1..]))),
            Err(single) => (single.into_bytes(), None),
        }
    }

    /// Makes it a message of the first `len` of these bytes. What stands behind them is nobody's business.
    ///
    /// This is for a message that is where it is to stay. One that is moved when it has just been put together in pieces
    /// costs more time than all else, for a move reads in larger pieces, each of which has to wait for the smaller ones.
    #[inline]
    pub(crate) fn fill(&mut self, bytes: &[u8; Self::INLINE], len: u8) {
        debug_assert!(usize::from(len) <= Self::INLINE);
        match &mut self.0 {
            Repr::Inline(short) => *short = Short::new(*bytes, len),
            _ => self.0 = Repr::Inline(Short::new(*bytes, len)),
        }
    }

    /// The same message behind an empty part, which ends the envelope of a request or a reply.
    #[inline]
    pub(crate) fn delimited(mut self) -> Self {
        match &mut self.0 {
            Repr::Inline(short) if short.delimiters == 0 => {
                short.delimiters = 1;
                self
            }
            _ => self.behind(&[Bytes::new()]),
        }
    }

    /// What stands behind an empty part; the message itself if it does not begin with one, or nothing follows.
    #[inline]
    pub(crate) fn undelimited(mut self) -> Result<Self, Self> {
        match &mut self.0 {
            Repr::Inline(short) if short.delimiters > 0 => {
                short.delimiters = 0;
                Ok(self)
            }
            Repr::Many(parts) if parts[0].is_empty() => Ok(Self::from(&parts[1..])),
            _ => Err(self),
        }
    }

    /// A subscription, or the end of one, as XPUB sockets receive it: an octet that says which, and the topic.
    pub(crate) fn subscription(on: bool, topic: &[u8]) -> Self {
        Self::from([&[u8::from(on)], topic].concat())
    }

    /// The same message with parts in front of its own.
    pub(crate) fn behind(self, front: &[Bytes]) -> Self {
        let own = self.into_parts();
        front.iter().cloned().chain(own).collect()
    }

    /// Octets of memory that the message takes: the value itself, and what it holds outside of it.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        Self::WEIGHT + self.outside()
    }

    /// What the smallest message takes.
    pub(crate) const WEIGHT: usize = size_of::<Self>();

    /// Octets of memory that the message holds outside of itself. What it shares with other messages counts as its own.
    #[inline]
    pub(crate) fn outside(&self) -> usize {
        if self.is_inline() { 0 } else { self.outside_of_parts() }
    }

    /// Whether the message holds nothing outside of itself.
    #[inline]
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.0, Repr::Inline(_))
    }

    fn outside_of_parts(&self) -> usize {
        match &self.0 {
            Repr::Inline(_) => 0,
            Repr::Single(bytes) => bytes.len(),
            Repr::Many(parts) => parts.iter().map(|part| size_of::<Bytes>() + part.len()).sum(),
        }
    }

    /// The first part.
    pub(crate) fn first(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(short) if short.delimiters > 0 => &[],
            Repr::Inline(short) => short.as_slice(),
            Repr::Single(bytes) => bytes,
            Repr::Many(parts) => &parts[0],
        }
    }

    /// What it consists of, for an encoder that copies or shares it.
    #[inline]
    pub(crate) fn content(&self) -> Content<'_> {
        match &self.0 {
            Repr::Inline(short) if short.delimiters > 0 => Content::Delimited(short.as_slice()),
            Repr::Inline(short) => Content::Short(short.as_slice()),
            Repr::Single(bytes) => Content::Shared(bytes),
            Repr::Many(parts) => Content::Many(parts),
        }
    }
}

/// How much more somebody takes: so many messages, and so many octets of memory, which the last of them may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) messages: usize,
    pub(crate) octets: usize,
}

impl Space {
    pub(crate) const NONE: Self = Self { messages: 0, octets: 0 };
    /// There is no limit.
    pub(crate) const ENDLESS: Self = Self { messages: usize::MAX, octets: usize::MAX };

    /// As much of it as takes no more than so many octets.
    pub(crate) fn within(self, octets: usize) -> Self {
        // Each message is at least so large, and one fits always if anything does.
        let messages = self.messages.min(octets.div_ceil(Message::WEIGHT));
        Self { messages, octets: self.octets.min(octets) }
    }

    /// What is left of it once these messages, which hold so many octets outside of themselves, are taken.
    pub(crate) fn after(self, messages: usize, outside: usize) -> Self {
        let octets = self.octets.saturating_sub(messages * Message::WEIGHT + outside);
        Self { messages: self.messages.saturating_sub(messages), octets: self.octets }.within(octets)
    }

    /// Whether it takes nothing more.
    pub(crate) fn is_none(self) -> bool {
        self.messages == 0
    }
}

/// What a message consists of.
pub(crate) enum Content<'a> {
    /// One part, stored in the message.
    Short(&'a [u8]),
    /// The same behind an empty one.
    Delimited(&'a [u8]),
    /// One part, stored elsewhere and free to be shared.
    Shared(&'a Bytes),
    /// Several parts, as above.
    Many(&'a [Bytes]),
}

/// An iterator over the parts of a [`Message`], made by [`Message::parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// How many empty parts come first.
    delimiters: u32,
    /// The part of a message that has no other.
    only: Option<&'a [u8]>,
    many: std::slice::Iter<'a, Bytes>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.delimiters > 0 {
            self.delimiters -= 1;
            return Some(&[]);
        }
        self.only.take().or_else(|| self.many.next().map(|part| &part[..]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.delimiters as usize + usize::from(self.only.is_some()) + self.many.len();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Parts<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let last = self.many.next_back().map(|part| &part[..]).or_else(|| self.only.take());
        last.or_else(|| {
            self.delimiters = self.delimiters.checked_sub(1)?;
            Some(&[])
        })
    }
}

impl ExactSizeIterator for Parts<'_> {}

impl<'a> IntoIterator for &'a Message {
    type Item = &'a [u8];
    type IntoIter = Parts<'a>;

    fn into_iter(self) -> Parts<'a> {
        self.parts()
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&[u8]> for Message {
    #[inline]
    fn from(part: &[u8]) -> Self {
        if part.len() <= Self::INLINE {
            let mut bytes = [0; Self::INLINE];
            bytes[..part.len()].copy_from_slice(part);
            Self(Repr::Inline(Short::new(bytes, part.len() as u8)))
        } else {
            Self(Repr::Single(Bytes::copy_from_slice(part)))
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(part: &[u8; N]) -> Self {
        Self::from(&part[..])
    }
}

impl From<&str> for Message {
    fn from(part: &str) -> Self {
        Self::from(part.as_bytes())
    }
}

impl From<Bytes> for Message {
    #[inline]
    fn from(part: Bytes) -> Self {
        if part.len() <= Self::INLINE { Self::from(&part[..]) } else { Self(Repr::Single(part)) }
    }
}

impl From<Vec<u8>> for Message {
    fn from(part: Vec<u8>) -> Self {
        Self::from(Bytes::from(part))
    }
}

impl From<String> for Message {
    fn from(part: String) -> Self {
        Self::from(part.into_bytes())
    }
}

/// Copies the text.
impl From<&String> for Message {
    fn from(part: &String) -> Self {
        Self::from(part.as_bytes())
    }
}

/// Copies the bytes.
impl From<&Vec<u8>> for Message {
    fn from(part: &Vec<u8>) -> Self {
        Self::from(&part[..])
    }
}

/// Clones, which is cheap, so that one message can be sent many times.
impl From<&Self> for Message {
    fn from(message: &Self) -> Self {
        message.clone()
    }
}

/// Joins parts into one message. No part at all makes a message of one empty part.
///
/// The parts become [`Bytes`], which borrow from nobody: give it `String`, `Vec<u8>` or `Bytes`, and of borrowed text only
/// what is `'static`.
impl<P: Into<Bytes>> FromIterator<P> for Message {
    fn from_iter<I: IntoIterator<Item = P>>(parts: I) -> Self {
        let mut parts: Vec<Bytes> = parts.into_iter().map(Into::into).collect();
        match parts.len() {
            0 => Self::new(),
            1 => Self::from(parts.remove(0)),
            _ => Self(Repr::Many(parts.into())),
        }
    }
}

/// Shares the parts. A slice of none becomes one empty part, as for every other conversion.
impl From<&[Bytes]> for Message {
    fn from(parts: &[Bytes]) -> Self {
        parts.iter().cloned().collect()
    }
}

impl From<Vec<Bytes>> for Message {
    fn from(parts: Vec<Bytes>) -> Self {
        parts.into_iter().collect()
    }
}

impl From<Vec<Vec<u8>>> for Message {
    fn from(parts: Vec<Vec<u8>>) -> Self {
        parts.into_iter().collect()
    }
}

impl From<Vec<String>> for Message {
    fn from(parts: Vec<String>) -> Self {
        parts.into_iter().collect()
    }
}

impl<const N: usize> From<[String; N]> for Message {
    fn from(parts: [String; N]) -> Self {
        parts.into_iter().collect()
    }
}

impl<const N: usize> From<[Bytes; N]> for Message {
    fn from(parts: [Bytes; N]) -> Self {
        parts.into_iter().collect()
    }
}

impl<const N: usize> From<[Vec<u8>; N]> for Message {
    fn from(parts: [Vec<u8>; N]) -> Self {
        parts.into_iter().collect()
    }
}

impl<const N: usize> From<[&[u8]; N]> for Message {
    fn from(parts: [&[u8]; N]) -> Self {
        parts.into_iter().map(Bytes::copy_from_slice).collect()
    }
}

impl<const N: usize> From<[&str; N]> for Message {
    fn from(parts: [&str; N]) -> Self {
        Self::from(parts.map(str::as_bytes))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.parts().eq(other.parts())
    }
}

impl Eq for Message {}

impl Hash for Message {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.parts().for_each(|part| part.hash(state));
    }
}

/// Equal to a slice when the message has exactly one part with these bytes.
impl PartialEq<[u8]> for Message {
    fn eq(&self, other: &[u8]) -> bool {
        self.len() == 1 && self.first() == other
    }
}

impl PartialEq<&[u8]> for Message {
    fn eq(&self, other: &&[u8]) -> bool {
        *self == **other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Message {
    fn eq(&self, other: &[u8; N]) -> bool {
        *self == other[..]
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Message {
    fn eq(&self, other: &&[u8; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        *self == *other.as_bytes()
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        *self == *other.as_bytes()
    }
}

impl PartialEq<String> for Message {
    fn eq(&self, other: &String) -> bool {
        *self == *other.as_bytes()
    }
}

impl PartialEq<Vec<u8>> for Message {
    fn eq(&self, other: &Vec<u8>) -> bool {
        *self == other[..]
    }
}

impl PartialEq<Bytes> for Message {
    fn eq(&self, other: &Bytes) -> bool {
        *self == other[..]
    }
}

/// Shows the parts as byte strings, each cut off after a few dozen bytes.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")?;
        let mut list = f.debug_list();
        for part in self.parts() {
            match part.split_at_checked(SHOWN) {
                Some((head, tail)) => {
                    list.entry(&format_args!("b\"{}\"… {} more", head.escape_ascii(), tail.len()))
                }
                None => list.entry(&format_args!("b\"{}\"", part.escape_ascii())),
            };
        }
        list.finish()
    }
}

/// Bytes of a part shown in a debug print.
const SHOWN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_in_nine_words_alone_or_in_a_result() {
        assert_eq!(size_of::<Message>(), 72);
        assert_eq!(size_of::<Result<Message, crate::RecvError>>(), 72);
    }

    #[test]
    fn bodies_around_the_inline_limit_keep_their_bytes() {
        for len in [0, 1, Message::INLINE - 1, Message::INLINE, Message::INLINE + 1, 1000] {
            let body: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for message in [
                Message::from(&body[..]),
                Message::from(body.clone()),
                Message::from(Bytes::from(body.clone())),
            ] {
                assert_eq!(message, body[..], "{len} bytes");
                assert_eq!(message.byte_len(), len);
                assert_eq!(message.clone().into_bytes(), body);
            }
        }
    }

    #[test]
    fn is_never_without_parts() {
        assert_eq!(Message::from(Vec::<Bytes>::new()).len(), 1);
        assert_eq!(Message::from([""; 0]), "");
        assert_eq!(Message::default().parts().count(), 1);
    }

    #[test]
    fn one_part_is_the_same_however_it_was_made() {
        assert_eq!(Message::from(["a"]), Message::from("a"));
        assert_ne!(Message::from(["a", ""]), Message::from("a"));
        assert_ne!(Message::from(["a", ""]), "a");
        let [text, bytes] = ["a".to_owned(), "b".to_owned()];
        assert_eq!(Message::from(&text), text);
        assert_eq!(Message::from(&bytes.clone().into_bytes()), Bytes::from(bytes.clone()));
        assert_eq!(Message::from(&Message::from("b")), bytes.clone().into_bytes());
        assert_eq!(Message::from([text.clone(), bytes.clone()]), Message::from(["a", "b"]));
        assert_eq!(Message::from(vec![text, bytes]), Message::from(["a", "b"]));
    }

    #[test]
    fn equal_messages_hash_alike_however_they_were_made() {
        use std::hash::BuildHasher;
        let hasher = std::hash::RandomState::new();
        let long = "x".repeat(2 * Message::INLINE);
        assert_eq!(hasher.hash_one(Message::from(["a"])), hasher.hash_one(Message::from("a")));
        assert_eq!(hasher.hash_one(Message::from(&long)), hasher.hash_one(Message::from([long])));
        assert_ne!(hasher.hash_one(Message::from(["ab", "c"])), hasher.hash_one(Message::from(["a", "bc"])));
    }

    #[test]
    fn many_parts_come_back_in_order() {
        let message = Message::from(["", "b", "", "d"]);
        assert_eq!(message.len(), 4);
        assert_eq!(message.parts().len(), 4);
        assert_eq!(message.part(1), Some(&b"b"[..]));
        assert_eq!(message.part(4), None);
        assert!(message.parts().rev().eq([&b"d"[..], b"", b"b", b""]));
        assert!(Message::from("a").parts().rev().eq([b"a"]));
        assert!((&message).into_iter().eq(message.parts()));
        assert_eq!(message.clone().into_parts(), ["", "b", "", "d"]);
        assert_eq!(message.into_bytes(), "bd");
    }

    #[test]
    fn debug_is_short() {
        assert_eq!(format!("{:?}", Message::from(["a\n", ""])), r#"Message[b"a\n", b""]"#);
        assert!(format!("{:?}", Message::from(vec![b'x'; 100_000])).len() < 100);
    }
}
