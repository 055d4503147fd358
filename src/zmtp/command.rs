//! [`Command`]: a name and data, how the two protocol machines talk to each other (37/ZMTP, Commands).

use std::time::Duration;

use super::SocketType;
use super::decoder::LARGE;
use super::frame::{put_command_header, put_header};
use super::{Violation, metadata};

/// The body of a command frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command<'a> {
    /// What is asked. Names are compared octet by octet: their case counts.
    pub(crate) name: &'a [u8],
    /// The rest, whose form the name decides.
    pub(crate) data: &'a [u8],
}

impl<'a> Command<'a> {
    /// Splits the body of a command frame.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Violation> {
        match split_short(body) {
            Some((name, data)) if !name.is_empty() => Ok(Self { name, data }),
            _ => Err(Violation::MalformedCommand),
        }
    }
}

/// The data of a PING: "are you there?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ping {
    /// For how long at most the peer is going to be silent from now on; zero promises nothing.
    pub(crate) ttl: Duration,
    /// What the answer has to repeat.
    pub(crate) context: Context,
}

impl Ping {
    /// Reads the data of a PING.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Violation> {
        let (&ttl, context) = data.split_first_chunk().ok_or(Violation::MalformedCommand)?;
        // Tenths of a second, multiplied in wide integers: libzmq's 16 bits wrap from 655 on.
        let ttl = Duration::from_millis(u64::from(u16::from_be_bytes(ttl)) * 100);
        Ok(Self { ttl, context: Context::new(context) })
    }
}

/// The context of a PING, which its PONG repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    len: u8,
    octets: [u8; CONTEXT_MAX],
}

impl Context {
    /// Keeps the first 16 octets: more than the specification allows are cut off, as libzmq does.
    fn new(context: &[u8]) -> Self {
        let len = context.len().min(CONTEXT_MAX);
        let mut octets = [0; CONTEXT_MAX];
        octets[..len].copy_from_slice(&context[..len]);
        Self { len: len as u8, octets }
    }

    /// What a peer of our kind says in it, if it is one.
    pub(crate) fn mark(&self) -> Option<Mark> {
        Mark::parse(&self.octets[..usize::from(self.len)])
    }
}

/// What our own PINGs have for a context, by which their PONGs are told apart. A peer of our kind reads in it that there
/// is going to be one every `interval`, whether we read or not; to others it means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which PING it is.
    pub(crate) number: u32,
    /// The time from one to the next, in milliseconds.
    pub(crate) interval: u32,
}

impl Mark {
    /// Reads the mark of a PING, or of its PONG, if it has one.
    pub(crate) fn parse(context: &[u8]) -> Option<Self> {
        let (number, interval) = context.strip_prefix(MARK)?.split_first_chunk()?;
        let (number, interval) = (u32::from_be_bytes(*number), interval.try_into().ok()?);
        Some(Self { number, interval: u32::from_be_bytes(interval) })
    }
}

/// What an ERROR of the peer means to us.
pub(crate) fn parse_error(data: &[u8]) -> Violation {
    let Some((reason, _)) = split_short(data) else { return Violation::MalformedCommand };
    // The reason ends up in logs and on terminals, so nothing but VCHAR and spaces is let through.
    let printable =
        reason.iter().filter(|octet| (b' '..=b'~').contains(octet)).map(|&octet| char::from(octet));
    Violation::PeerError { reason: printable.collect::<String>().into() }
}

/// Appends a READY of the NULL mechanism.
pub(crate) fn put_ready(out: &mut Vec<u8>, socket_type: SocketType, identity: &[u8]) {
    put(out, READY, &metadata::encode(socket_type, identity));
}

/// Appends an ERROR. A reason is at most 255 octets of printable ASCII.
pub(crate) fn put_error(out: &mut Vec<u8>, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(REASON_MAX)];
    put(out, ERROR, &[&[reason.len() as u8], reason].concat());
}

/// Appends a PING of ours. The `ttl` is in tenths of a second.
pub(crate) fn put_ping(out: &mut Vec<u8>, ttl: u16, Mark { number, interval }: Mark) {
    let [number, interval] = [number, interval].map(u32::to_be_bytes);
    put(out, PING, &[&ttl.to_be_bytes()[..], MARK, &number, &interval].concat());
}

/// Appends the answer to a PING.
pub(crate) fn put_pong(out: &mut Vec<u8>, context: Context) {
    put(out, PONG, &context.octets[..usize::from(context.len)]);
}

/// Appends what subscribes to a topic, or cancels that, in the dialect of the peer (37/ZMTP, Publish-Subscribe): a
/// command since ZMTP 3.1, and before that a message that begins with an octet of its own. Publishers still take that for
/// the same, so it also tells of topics that are too long for a command.
pub(crate) fn put_subscription(out: &mut Vec<u8>, minor: u8, on: bool, topic: &[u8]) {
    if minor == 0 || 1 + SUBSCRIBE.len() + topic.len() > LARGE {
        put_header(out, false, 1 + topic.len());
        out.push(u8::from(on));
        out.extend_from_slice(topic);
    } else {
        put(out, if on { SUBSCRIBE } else { CANCEL }, topic);
    }
}

/// Appends a command frame.
pub(crate) fn put(out: &mut Vec<u8>, name: &[u8], data: &[u8]) {
    put_command_header(out, 1 + name.len() + data.len());
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(data);
}

/// Splits off what stands behind a one-octet length; `None` if it is not all there.
pub(super) fn split_short(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = input.split_first()?;
    rest.split_at_checked(len.into())
}

/// Ends the handshake of the NULL mechanism; its data is metadata.
pub(crate) const READY: &[u8] = b"READY";
/// Refuses the peer; its data is a reason behind its length.
pub(crate) const ERROR: &[u8] = b"ERROR";
/// Asks for a PONG; its data is a [`Ping`].
pub(crate) const PING: &[u8] = b"PING";
/// Answers a PING; its data is the context.
pub(crate) const PONG: &[u8] = b"PONG";

/// Asks a publisher for what begins with a topic; its data is the topic.
pub(crate) const SUBSCRIBE: &[u8] = b"SUBSCRIBE";
/// Takes a SUBSCRIBE back; its data is the topic.
pub(crate) const CANCEL: &[u8] = b"CANCEL";

/// The longest context of a PING (37/ZMTP, Connection Heartbeats).
const CONTEXT_MAX: usize = 16;
/// What a [`Mark`] begins with.
const MARK: &[u8] = b"ferromq";
const _: () = assert!(MARK.len() + 8 <= CONTEXT_MAX, "a mark is a context");
/// The longest reason of an ERROR.
const REASON_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(data: &[u8]) -> Violation {
        parse_error(data)
    }

    #[test]
    fn is_split_behind_its_name() {
        let command = Command::parse(b"\x04PING\x00\x0Actx").unwrap();
        assert_eq!((command.name, command.data), (&b"PING"[..], &b"\x00\x0Actx"[..]));
        assert_eq!(Command::parse(b"\x06CANCEL").unwrap().data, b"");
    }

    #[test]
    fn a_subscription_is_told_in_the_dialect_of_the_peer() {
        let said = |minor, on, topic: &[u8]| {
            let mut out = Vec::new();
            put_subscription(&mut out, minor, on, topic);
            out
        };
        assert_eq!(said(1, true, b"A"), b"\x04\x0B\x09SUBSCRIBEA");
        assert_eq!(said(1, false, b"A"), b"\x04\x08\x06CANCELA");
        assert_eq!(said(0, true, b"A"), b"\x00\x02\x01A");
        assert_eq!(said(0, false, b""), b"\x00\x01\x00");
        assert_eq!(
            said(0, true, &[b'A'; 255])[..10],
            *b"\x02\0\0\0\0\0\0\x01\0\x01",
            "libzmq gets 255 wrong"
        );
        assert_eq!(said(1, true, &[b'A'; 246])[..9], *b"\x06\0\0\0\0\0\0\x01\0");
    }

    #[test]
    fn a_topic_that_is_too_long_for_a_command_is_told_in_a_message() {
        let said = |on, len| {
            let mut out = Vec::new();
            put_subscription(&mut out, 1, on, &vec![b'A'; len]);
            out
        };
        assert_eq!(said(true, LARGE - 10)[..10], *b"\x06\0\0\0\0\0\0\x40\0\x09");
        assert_eq!(said(true, LARGE - 9)[..11], *b"\x02\0\0\0\0\0\0\x3F\xF8\x01A");
        assert_eq!(said(false, LARGE)[..11], *b"\x02\0\0\0\0\0\0\x40\x01\0A");
    }

    #[test]
    fn without_a_whole_name_is_malformed() {
        for body in [&b""[..], b"\x00", b"\x00A", b"\x02A", b"\x09A", b"\xFFA"] {
            assert_eq!(Command::parse(body), Err(Violation::MalformedCommand));
        }
    }

    #[test]
    fn ping_counts_tenths_of_a_second() {
        for (data, millis) in
            [(b"\0\0", 0), (b"\0\x01", 100), (b"\x02\x90", 65_600), (b"\xFF\xFF", 6_553_500)]
        {
            assert_eq!(Ping::parse(data).unwrap().ttl, Duration::from_millis(millis));
        }
    }

    #[test]
    fn ping_without_a_whole_ttl_is_malformed() {
        assert_eq!(Ping::parse(b""), Err(Violation::MalformedCommand));
        assert_eq!(Ping::parse(b"\0"), Err(Violation::MalformedCommand));
    }

    #[test]
    fn pong_repeats_the_first_16_octets() {
        let pong = |context: &[u8]| {
            let mut out = Vec::new();
            put_pong(&mut out, Ping::parse(&[b"\0\0", context].concat()).unwrap().context);
            out
        };
        assert_eq!(pong(b""), b"\x04\x05\x04PONG");
        assert_eq!(pong(b"abc"), b"\x04\x08\x04PONGabc");
        assert_eq!(pong(b"0123456789abcdef"), b"\x04\x15\x04PONG0123456789abcdef");
        assert_eq!(pong(b"0123456789abcdefg"), b"\x04\x15\x04PONG0123456789abcdef");
        assert_eq!(pong(&[b'x'; 5000]).len(), 2 + 21);
    }

    #[test]
    fn our_pings_say_which_they_are_and_when_the_next_one_comes() {
        let mut out = Vec::new();
        let mark = Mark { number: 258, interval: 15_000 };
        put_ping(&mut out, 300, mark);
        assert_eq!(out, b"\x04\x16\x04PING\x01\x2Cferromq\0\0\x01\x02\0\0\x3A\x98");
        assert_eq!(Ping::parse(&out[7..]).unwrap().ttl, Duration::from_secs(30));
        assert_eq!(Mark::parse(&out[9..]), Some(mark));
        for foreign in [&b""[..], b"ferromq", b"ferromq\0\0\0\x01", &out[10..], &[&out[9..], b"!"].concat()] {
            assert_eq!(Mark::parse(foreign), None);
        }
    }

    #[test]
    fn ready_is_that_of_libzmq() {
        let ready = |socket_type| {
            let mut out = Vec::new();
            put_ready(&mut out, socket_type, b"");
            out
        };
        assert_eq!(
            ready(SocketType::Dealer),
            b"\x04\x29\x05READY\x0BSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
        );
        assert_eq!(ready(SocketType::Sub), b"\x04\x19\x05READY\x0BSocket-Type\0\0\0\x03SUB");
        for socket_type in
            [SocketType::XPub, SocketType::Push, SocketType::Pull, SocketType::Pair, SocketType::XSub]
        {
            assert_eq!(ready(socket_type)[..2], [0x04, 0x1A]);
        }
        assert_eq!(ready(SocketType::Req)[..2], [0x04, 0x26]);
        assert_eq!(ready(SocketType::Router)[..2], [0x04, 0x29]);
    }

    #[test]
    fn ready_with_a_long_identity_takes_the_long_form() {
        let mut out = Vec::new();
        put_ready(&mut out, SocketType::Req, &[7; 255]);
        assert_eq!(out[..9], [6, 0, 0, 0, 0, 0, 0, 1, 0x25]);
        assert_eq!(out.len(), 9 + 0x125);
    }

    #[test]
    fn error_is_that_of_libzmq() {
        let mut out = Vec::new();
        put_error(&mut out, "400");
        assert_eq!(out, b"\x04\x0A\x05ERROR\x03400");
        assert_eq!(error(b"\x03400"), Violation::PeerError { reason: "400".into() });
    }

    #[test]
    fn error_with_octets_behind_the_reason_is_accepted() {
        assert_eq!(error(b"\x01!more"), Violation::PeerError { reason: "!".into() });
    }

    #[test]
    fn error_without_a_whole_reason_is_malformed() {
        assert_eq!(error(b""), Violation::MalformedCommand);
        assert_eq!(error(b"\xFF"), Violation::MalformedCommand);
    }

    #[test]
    fn the_reason_of_an_error_is_printable() {
        assert_eq!(error(b"\x08a\x1B[\0b\xC3\xA9 "), Violation::PeerError { reason: "a[b ".into() });
    }
}
