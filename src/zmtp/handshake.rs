//! [`Handshake`]: from the first octet to traffic.
//!
//! ```text
//!            64 octets, ours in stages            as the mechanism asks
//! Greeting ─────────────────────────────▶ Commands ─────────────────────▶ PeerInfo
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::command::{self, Command};
use super::decoder::LARGE;
use super::frame::Header;
use super::greeting::{self, Greeting};
use super::heartbeat::Rhythm;
use super::mechanism::Mechanism;
use super::metadata::Metadata;
use super::{SocketType, Violation};

/// How our end of a connection is to behave.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The type of our socket.
    pub(crate) socket_type: SocketType,
    /// How we want to be known to a ROUTER; empty if we do not care. At most 255 octets, the first not zero.
    pub(crate) identity: Bytes,
    /// How long the handshake may take, from the first octet to the last.
    pub(crate) handshake_timeout: Option<Duration>,
    /// Whether the peer has to introduce itself first, and hears from us only if it is wanted: see
    /// [`Connection::admit`](super::Connection::admit). Never on both sides, or neither would ever speak.
    pub(crate) answers: bool,
    /// How often the peer is asked for a sign of life; never if `None`.
    pub(crate) rhythm: Option<Rhythm>,
    /// How many answers to its PINGs wait until the peer reads those before.
    pub(crate) max_pongs: usize,
    /// What we accept from the peer.
    pub(crate) limits: Limits,
}

/// The most we accept from a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Octets of one part of a message.
    pub(crate) frame: usize,
    /// Octets of a message, all parts together.
    pub(crate) message: usize,
    /// Parts of a message; at least one.
    pub(crate) parts: usize,
    /// Octets of a command in the handshake; more than 16 KiB are never accepted.
    pub(crate) handshake: usize,
}

/// What a peer said of itself in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerInfo {
    /// The type of its socket, which ours accepts.
    pub(crate) socket_type: SocketType,
    /// How it wants to be known to a ROUTER; empty if it does not care.
    pub(crate) identity: Bytes,
    /// The dialect to speak with it: 0 for ZMTP 3.0, 1 for 3.1 and anything higher.
    pub(crate) minor: u8,
}

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    config: Config,
    mechanism: Mechanism,
    stage: Stage,
}

/// How far the peer's side has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its greeting is not whole. Of ours, `sent` octets are out.
    Greeting { sent: usize },
    /// Its greeting was sound; the mechanism has the word.
    Commands { minor: u8 },
}

/// What became of the input.
enum Step {
    /// More is needed before anything can be taken.
    Starved,
    /// So many octets were taken; the next stage may take more.
    Took(usize),
    /// So many octets were taken, and the handshake is over.
    Done(usize, PeerInfo),
}

impl Handshake {
    /// Begins a handshake: the signature goes out before anything is read, or two careful peers would wait forever.
    pub(crate) fn new(config: Config, out: &mut Vec<u8>) -> Self {
        let mut new = Self { config, mechanism: Mechanism::Null, stage: Stage::Greeting { sent: 0 } };
        new.put_greeting(0, 0, out);
        new
    }

    /// What we accept from the peer.
    pub(crate) const fn limits(&self) -> Limits {
        self.config.limits
    }

    /// How often a peer that speaks this dialect is asked for a sign of life. PINGs are new in ZMTP 3.1.
    pub(crate) fn rhythm(&self, minor: u8) -> Option<Rhythm> {
        self.config.rhythm.filter(|_| minor > 0)
    }

    /// Appends what is still to be said to a peer that has introduced itself first.
    pub(crate) fn put_answer(&mut self, out: &mut Vec<u8>) {
        if self.config.answers {
            self.mechanism.start(&self.config, out);
        }
    }

    /// Takes octets: the whole greeting, or whole commands. Returns how many were taken and, once the handshake is
    /// over, the peer. Appends our side of the talk to `out`, also when the peer is refused.
    pub(crate) fn handle_input(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<PeerInfo>), Violation> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let step = match self.stage {
                Stage::Greeting { sent } => self.greeting(sent, rest, out)?,
                Stage::Commands { minor } => self.command(minor, rest, out)?,
            };
            match step {
                Step::Starved => return Ok((taken, None)),
                Step::Took(octets) => taken += octets,
                Step::Done(octets, peer) => return Ok((taken + octets, Some(peer))),
            }
        }
    }

    /// Looks at the peer's greeting, which is taken as a whole, and answers what is there with the stages of ours.
    fn greeting(&mut self, sent: usize, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Violation> {
        let greeting = Greeting::parse(input)?;
        self.put_greeting(sent, input.len(), out);
        let Some(Greeting { minor, mechanism }) = greeting else { return Ok(Step::Starved) };
        if mechanism != *self.mechanism.name() {
            return Err(Violation::MechanismMismatch);
        }
        if !self.config.answers {
            self.mechanism.start(&self.config, out);
        }
        self.stage = Stage::Commands { minor };
        Ok(Step::Took(greeting::LEN))
    }

    /// Appends as much of our greeting as is due for `received` octets of the peer's.
    fn put_greeting(&mut self, sent: usize, received: usize, out: &mut Vec<u8>) {
        let due = greeting::due(received);
        out.extend_from_slice(&greeting::ours(self.mechanism.name())[sent..due]);
        self.stage = Stage::Greeting { sent: due };
    }

    /// Takes one command.
    fn command(&mut self, minor: u8, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Violation> {
        let Some(header) = Header::parse(input)? else { return Ok(Step::Starved) };
        // libzmq does not look at the COMMAND bit here and takes a message for a READY.
        if !header.is_command() {
            return Err(Violation::UnexpectedMessage);
        }
        let limit = self.config.limits.handshake.min(LARGE);
        let len = header.len_within(limit).ok_or(Violation::HandshakeTooLarge { limit })?;
        let Some(body) = input[header.size..].get(..len) else { return Ok(Step::Starved) };

        let taken = header.size + len;
        match self.mechanism.handle(Command::parse(body)?)? {
            None => Ok(Step::Took(taken)),
            Some(metadata) => Ok(Step::Done(taken, self.accept(metadata, minor, out)?)),
        }
    }

    /// Lets a peer in if its socket and ours can talk to each other. If not, it is told why (37/ZMTP, The Socket Type
    /// Property), which libzmq leaves out.
    fn accept(&self, metadata: Metadata, minor: u8, out: &mut Vec<u8>) -> Result<PeerInfo, Violation> {
        let Metadata { socket_type, identity } = metadata;
        let ours = self.config.socket_type;
        if !ours.accepts(socket_type) {
            command::put_error(out, "Incompatible socket type");
            return Err(Violation::IncompatibleSocketType { ours, theirs: socket_type });
        }
        Ok(PeerInfo { socket_type, identity, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::decoder::LOOKAHEAD;

    type Taken = Result<(usize, Option<PeerInfo>), Violation>;

    const READY_PUSH: &[u8] = b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04PUSH";
    const READY_PULL: &[u8] = b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04PULL";

    fn config() -> Config {
        let limits = Limits { frame: 100, message: 100, parts: 100, handshake: 1000 };
        Config {
            socket_type: SocketType::Pull,
            identity: Bytes::new(),
            handshake_timeout: None,
            answers: false,
            rhythm: None,
            max_pongs: 64,
            limits,
        }
    }

    fn greeting() -> Vec<u8> {
        greeting::ours(Mechanism::Null.name()).into()
    }

    /// What a PULL makes of the greeting and what follows it; and everything it said.
    fn talk(then: &[u8]) -> (Taken, Vec<u8>) {
        let mut out = Vec::new();
        let result = Handshake::new(config(), &mut out).handle_input(&[&greeting(), then].concat(), &mut out);
        (result, out)
    }

    fn refusal(then: &[u8]) -> Violation {
        talk(then).0.unwrap_err()
    }

    #[test]
    fn is_over_with_greeting_and_ready() {
        let (result, out) = talk(READY_PUSH);
        let push = PeerInfo { socket_type: SocketType::Push, identity: Bytes::new(), minor: 1 };
        assert_eq!(result, Ok((64 + READY_PUSH.len(), Some(push))));
        assert_eq!(out, [&greeting(), READY_PULL].concat());
    }

    #[test]
    fn says_what_is_due_as_the_greeting_comes_octet_by_octet() {
        let (theirs, mut out) = (greeting(), Vec::new());
        let mut handshake = Handshake::new(config(), &mut out);
        let mut said = vec![out.len()];
        for len in 1..=64 {
            let taken = handshake.handle_input(&theirs[..len], &mut out).unwrap().0;
            assert_eq!(taken, if len < 64 { 0 } else { 64 });
            said.push(out.len());
        }
        assert_eq!(said[..=9], [10; 10]);
        assert_eq!(said[10], 11);
        assert_eq!(said[11..64], [64; 53]);
        assert_eq!(out, [&theirs, READY_PULL].concat());
    }

    #[test]
    fn other_mechanisms_are_refused_over_all_20_octets() {
        let names: [&[u8]; 8] =
            [b"PLAIN", b"CURVE", b"GSSAPI", b"null", b"NULL ", b"", b"NULL\0X", b"AAAAAAAAAAAAAAAAAAAA"];
        for name in names {
            let mut theirs = greeting();
            theirs[12..32].fill(0);
            theirs[12..12 + name.len()].copy_from_slice(name);
            let mut out = Vec::new();
            let result = Handshake::new(config(), &mut out).handle_input(&theirs, &mut out);
            assert_eq!(result, Err(Violation::MechanismMismatch));
            assert_eq!(out.len(), 64, "nothing follows our greeting");
        }
    }

    #[test]
    fn a_second_greeting_is_refused() {
        assert_eq!(refusal(&greeting()), Violation::ReservedBits);
    }

    #[test]
    fn messages_are_refused_even_if_they_look_like_a_ready() {
        assert_eq!(refusal(b"\x00\x01A"), Violation::UnexpectedMessage);
        assert_eq!(refusal(&[b"\x00", &READY_PUSH[1..]].concat()), Violation::UnexpectedMessage);
    }

    #[test]
    fn a_ready_with_other_flags_is_refused() {
        assert_eq!(refusal(&[b"\x05", &READY_PUSH[1..]].concat()), Violation::CommandWithMore);
        for flags in [0x84, 0x0C, 0xF4] {
            assert_eq!(refusal(&[&[flags], &READY_PUSH[1..]].concat()), Violation::ReservedBits);
        }
    }

    #[test]
    fn malformed_commands_are_refused() {
        for then in [&b"\x04\x00"[..], b"\x04\x01\x00", b"\x04\x02\x09A"] {
            assert_eq!(refusal(then), Violation::MalformedCommand);
        }
        assert_eq!(refusal(b"\x04\x07\x05READY\x0B"), Violation::MalformedMetadata);
        assert_eq!(refusal(b"\x04\x06\x05READY"), Violation::MissingSocketType);
    }

    #[test]
    fn other_commands_are_refused() {
        for then in [&b"\x04\x04\x03FOO"[..], b"\x04\x06\x05ready", b"\x04\x07\x04PING\0\0"] {
            assert_eq!(refusal(then), Violation::UnexpectedCommand);
        }
    }

    #[test]
    fn an_error_is_told_and_a_malformed_one_is_refused() {
        assert_eq!(refusal(b"\x04\x0A\x05ERROR\x03400"), Violation::PeerError { reason: "400".into() });
        assert_eq!(refusal(b"\x04\x06\x05ERROR"), Violation::MalformedCommand);
        assert_eq!(refusal(b"\x04\x07\x05ERROR\xFF"), Violation::MalformedCommand);
    }

    #[test]
    fn a_large_ready_is_refused_by_its_size() {
        let refused = Violation::HandshakeTooLarge { limit: 1000 };
        assert_eq!(refusal(b"\x06\0\0\0\0\0\0\x03\xE9"), refused);
        assert_eq!(refusal(b"\x06\x00\x00\x00\x00\x40\x00\x00\x00"), refused);
        assert_eq!(talk(b"\x06\0\0\0\0\0\0\x03\xE8").0, Ok((64, None)));
    }

    #[test]
    fn no_configuration_makes_a_command_outgrow_the_input() {
        let mut config = config();
        config.limits.handshake = usize::MAX;
        let mut input = greeting();
        input.extend_from_slice(b"\x06\0\0\0\0\0\0\x40\x01");
        let result = Handshake::new(config, &mut Vec::new()).handle_input(&input, &mut Vec::new());
        assert_eq!(result, Err(Violation::HandshakeTooLarge { limit: LOOKAHEAD - 9 }));
    }

    #[test]
    fn an_incompatible_peer_is_told_why() {
        let (result, out) = talk(READY_PULL);
        let (ours, theirs) = (SocketType::Pull, SocketType::Pull);
        assert_eq!(result, Err(Violation::IncompatibleSocketType { ours, theirs }));
        assert!(out.ends_with(b"\x04\x1F\x05ERROR\x18Incompatible socket type".as_slice()));
    }

    #[test]
    fn the_dialect_is_that_of_the_older_side() {
        let mut theirs = greeting();
        theirs[11] = 0;
        theirs.extend_from_slice(READY_PUSH);
        let result = Handshake::new(config(), &mut Vec::new()).handle_input(&theirs, &mut Vec::new());
        assert_eq!(result.unwrap().1.unwrap().minor, 0);
    }
}
