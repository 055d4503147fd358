//! A session as its socket, its stream and its peer see it.

#[cfg(test)]
mod heartbeat;

use std::io::Read;
use std::time::{Duration, Instant};

use quickcheck::{Gen, QuickCheck};

use super::harness::{HANDSHAKE_TIMEOUT, Mock, Pair, Party, Piece, Pipe, config, message, program};
use super::{End, Scratch};
use crate::message::Message;
use crate::zmtp::frame::put_header;
use crate::zmtp::{SocketType, Violation};

/// A session whose peer is the test itself.
struct Solo {
    party: Party,
    from: Pipe,
    to: Pipe,
    scratch: Scratch,
    now: Instant,
}

impl Solo {
    /// At the very start, with room for `mark` messages each way.
    fn new(mark: usize) -> Self {
        let now = Instant::now();
        let party = Party::new(Mock::new(mark), &config(SocketType::Pair), now);
        Self { party, from: Pipe::default(), to: Pipe::default(), scratch: Scratch::new(), now }
    }

    /// In traffic, with nothing left to say.
    fn ready(mark: usize) -> Self {
        let mut solo = Self::new(mark);
        solo.feed(&opening("PAIR")).unwrap();
        solo.said();
        assert!(solo.party.session.peer().is_some());
        solo
    }

    /// Octets come, and are read as far as the inbox has room.
    fn feed(&mut self, octets: &[u8]) -> Result<(), End> {
        self.from.put(octets);
        self.read()
    }

    fn read(&mut self) -> Result<(), End> {
        loop {
            let before = self.from.moved();
            self.party.read(&mut self.from, &mut self.to, &mut self.scratch, self.now)?;
            if self.from.moved() == before {
                return Ok(());
            }
        }
    }

    /// The application takes everything out of the inbox.
    fn take(&mut self) -> Vec<Message> {
        let (messages, resumes) = self.party.host.take(usize::MAX);
        self.party.resumed |= resumes;
        messages
    }

    fn send(&mut self, message: &Message) {
        assert!(self.party.host.send(message));
        self.party.pump(&mut self.to);
    }

    /// Everything that the session writes, while the test reads it.
    fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        loop {
            let before = said.len();
            self.party.unblock(&mut self.to);
            let _ = self.to.read_to_end(&mut said);
            if said.len() == before {
                return said;
            }
        }
    }
}

/// Greeting and READY of a peer whose type has a name of four letters.
fn opening(socket_type: &str) -> Vec<u8> {
    let mut greeting = b"\xFF\0\0\0\0\0\0\0\0\x7F\x03\x01NULL".to_vec();
    greeting.resize(64, 0);
    [&greeting, &b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04"[..], socket_type.as_bytes()].concat()
}

/// How a message stands on the wire.
fn encoded(message: &Message) -> Vec<u8> {
    let mut octets = Vec::new();
    for (index, part) in message.parts().enumerate() {
        put_header(&mut octets, index + 1 < message.len(), part.len());
        octets.extend_from_slice(part);
    }
    octets
}

/// Small and large messages of one part and of several.
fn samples() -> Vec<Message> {
    [0x02, 0xA1, 0xC9, 0x00, 0x09, 0xF3]
        .into_iter()
        .enumerate()
        .map(|(at, shape)| message(at, shape))
        .collect()
}

/// How many of these messages lie within the first `octets` of their stream.
fn whole(messages: &[Message], octets: usize) -> usize {
    let ends = messages.iter().scan(0, |end, message| {
        *end += encoded(message).len();
        Some(*end)
    });
    ends.take_while(|end| *end <= octets).count()
}

fn connected(mark: usize) -> Pair {
    let mut pair = Pair::new(mark, Instant::now());
    pair.settle();
    assert!((0..2).all(|side| pair.parties[side].session.peer().is_some()));
    pair
}

#[test]
fn two_sessions_exchange_messages_whatever_the_cuts() {
    QuickCheck::new().tests(30).rng(Gen::new(10)).quickcheck(exchange as fn(_, _, _, _));

    fn exchange(shapes: Vec<u8>, answers: Vec<u8>, cuts: Vec<u16>, capacity: u16) {
        let mut pair = Pair::new(1000, Instant::now());
        let script: Vec<Piece> = cuts.into_iter().map(piece).chain([Piece::Octets(1000)]).collect();
        for pipe in &mut pair.pipes {
            pipe.obey(&script);
            pipe.capacity = 1 + usize::from(capacity);
        }
        let sent = [shapes, answers].map(|shapes| {
            shapes.into_iter().enumerate().map(|(at, shape)| message(at, shape)).collect::<Vec<_>>()
        });
        for (side, messages) in sent.iter().enumerate() {
            messages.iter().for_each(|message| assert!(pair.host(side).send(message)));
        }
        let [first, second] = pair.drain();
        assert!(first == sent[1] && second == sent[0]);
        assert_eq!([0, 1].map(|side| pair.host(side).queued()), [0, 0]);
    }

    fn piece(cut: u16) -> Piece {
        match cut % 8 {
            0 => Piece::Stall,
            1 => Piece::Interrupt,
            2 | 3 => Piece::Octets(usize::from(cut >> 12)),
            _ => Piece::Octets(usize::from(cut)),
        }
    }
}

#[test]
fn octet_by_octet_is_as_good_as_at_once() {
    let mut pair = Pair::new(10, Instant::now());
    pair.pipes.iter_mut().for_each(|pipe| pipe.obey(&[Piece::Octets(1), Piece::Stall]));
    samples().iter().for_each(|message| assert!(pair.host(0).send(message)));
    assert!(pair.drain()[1] == samples());
}

#[test]
fn a_link_cut_at_any_octet_loses_nothing_and_doubles_nothing() {
    let messages = samples();
    let octets: usize = messages.iter().map(|message| encoded(message).len()).sum();
    for cut in 0..=octets {
        let mut pair = connected(10);
        pair.pipes[0].doom(cut);
        messages.iter().for_each(|message| assert!(pair.host(0).send(message)));
        pair.pump(0);
        let [_, came] = pair.drain();
        let written = whole(&messages, cut);
        assert!(came == messages[..written], "cut at {cut}");
        // The mock checks that what it gets back is the rest, in order.
        pair.cut(usize::MAX);
        pair.reconnect();
        assert_eq!((pair.host(0).written(), pair.host(0).queued()), (written, messages.len() - written));
        let [_, came] = pair.drain();
        assert!(came == messages[written..], "cut at {cut}, after the return");
    }
}

#[test]
fn a_link_cut_anywhere_in_the_handshake_ends_at_both_sides_and_costs_no_message() {
    for cut in 0..opening("PAIR").len() {
        let mut pair = Pair::new(10, Instant::now());
        assert!(pair.host(0).send(&"a".into()));
        pair.pipes[0].doom(cut);
        pair.settle();
        assert_eq!(pair.host(0).written(), 0);
        pair.cut(usize::MAX);
        pair.reconnect();
        assert_eq!(pair.drain()[1], ["a"], "cut at {cut}");
    }
}

#[test]
fn what_a_broken_link_has_lost_is_the_end_of_what_was_written() {
    let messages = samples();
    let octets: usize = messages.iter().map(|message| encoded(message).len()).sum();
    for kept in (0..octets).step_by(7) {
        let mut pair = connected(10);
        messages.iter().for_each(|message| assert!(pair.host(0).send(message)));
        pair.pump(0);
        pair.cut(kept);
        let [_, came] = pair.drain();
        assert!(came == messages[..whole(&messages, kept)], "{kept} octets arrived");
        assert_eq!(pair.host(0).written(), messages.len());
    }
}

#[test]
fn a_full_inbox_pauses_and_half_of_it_resumes() {
    let now = Instant::now();
    let [sender, receiver] = [100, 4].map(|mark| Party::new(Mock::new(mark), &config(SocketType::Pair), now));
    let mut pair = Pair::of(sender, receiver, now);
    let messages: Vec<Message> = (0..10).map(|at| message(at, 2)).collect();
    messages.iter().for_each(|message| assert!(pair.host(0).send(message)));

    pair.settle();
    assert!(pair.parties[1].session.is_paused());
    assert_eq!(pair.progress(0), (10, 4), "written and delivered");
    assert_eq!(pair.parties[1].session.rest.len(), 6 * (2 + 8), "octets held back");

    assert!(pair.take(1, 1) == messages[..1]);
    pair.settle();
    assert_eq!(pair.progress(0), (10, 4), "not for one alone");

    assert!(pair.take(1, 1) == messages[1..2]);
    pair.settle();
    assert_eq!(pair.progress(0), (10, 6));
    assert!(pair.drain()[1] == messages[2..]);
}

#[test]
fn nothing_is_read_for_a_full_inbox() {
    let mut solo = Solo::ready(1);
    solo.feed(&encoded(&"a".into())).unwrap();
    let before = solo.from.moved();
    solo.feed(&encoded(&"b".into())).unwrap();
    assert_eq!(solo.from.moved(), before);
    assert_eq!(solo.take(), ["a"]);
    solo.read().unwrap();
    assert_eq!(solo.take(), ["b"]);
}

#[test]
fn a_paused_peer_may_be_silent_for_as_long_as_it_takes() {
    let mut solo = Solo::ready(1);
    solo.feed(&[&encoded(&"a".into())[..], PING_SOON].concat()).unwrap();
    assert_eq!(solo.party.session.poll_timeout(), None);
    solo.now += 1000 * HANDSHAKE_TIMEOUT;
    solo.party.expire(&mut solo.to, solo.now).unwrap();

    solo.take();
    solo.read().unwrap();
    assert_eq!(solo.party.session.poll_timeout(), Some(solo.now + SOON));
    solo.now += SOON;
    let end = solo.party.expire(&mut solo.to, solo.now).unwrap_err();
    assert!(matches!(end, End::Violation(Violation::Silent)), "{end}");
}

#[test]
fn slow_stalled_and_dead_peers_look_alike_while_nobody_reads() {
    for fate in [Fate::Slow, Fate::Stalled, Fate::Dead] {
        let mut pair = connected(3);
        for round in 0..3 {
            assert!(pair.host(0).send(&message(round, 2)));
        }
        pair.settle();
        for at in 3..6 {
            assert!(pair.host(0).send(&message(at, 2)));
        }
        pair.pump(0);
        match fate {
            Fate::Slow => pair.pipes[0].obey(&[Piece::Octets(1), Piece::Stall]),
            Fate::Stalled => {}
            Fate::Dead => pair.cut(usize::MAX),
        }
        for _ in 0..100 {
            pair.read(1);
            pair.pass(HANDSHAKE_TIMEOUT);
        }
        assert!(!pair.is_over(1), "{fate:?}");
        assert_eq!(pair.progress(0).1, 3, "{fate:?}");
        assert_eq!(pair.drain()[1].len(), 6, "{fate:?}");
        assert_eq!(matches!(pair.parties[1].end, Some(End::Closed)), matches!(fate, Fate::Dead), "{fate:?}");
    }
}

#[derive(Debug)]
enum Fate {
    Slow,
    Stalled,
    Dead,
}

#[test]
fn the_handshake_has_a_deadline_that_no_octet_moves() {
    let mut solo = Solo::new(1);
    let deadline = solo.now + HANDSHAKE_TIMEOUT;
    for octet in &opening("PAIR")[..29] {
        solo.now += Duration::from_secs(1);
        solo.feed(&[*octet]).unwrap();
        solo.party.expire(&mut solo.to, solo.now).unwrap();
        assert_eq!(solo.party.session.poll_timeout(), Some(deadline));
    }
    let end = solo.party.expire(&mut solo.to, deadline).unwrap_err();
    assert!(matches!(end, End::Violation(Violation::HandshakeTimeout)), "{end}");
    assert_eq!(Solo::ready(1).party.session.poll_timeout(), None);
}

#[test]
fn an_incompatible_pair_ends_at_both_sides() {
    let now = Instant::now();
    let [a, b] = [(); 2].map(|()| Party::new(Mock::new(1), &config(SocketType::Pull), now));
    let mut pair = Pair::of(a, b, now);
    pair.settle();
    for party in &pair.parties {
        let end = &party.end;
        let incompatible = Some(End::Violation(Violation::IncompatibleSocketType {
            ours: SocketType::Pull,
            theirs: SocketType::Pull,
        }));
        assert_eq!(format!("{end:?}"), format!("{incompatible:?}"));
        assert_eq!(party.session.peer(), None);
    }
}

#[test]
fn an_incompatible_peer_is_told_why() {
    let mut solo = Solo::new(1);
    let end = solo.feed(&opening("PULL")).unwrap_err();
    assert!(matches!(end, End::Violation(Violation::IncompatibleSocketType { .. })), "{end}");
    assert!(solo.said().ends_with(b"\x04\x1F\x05ERROR\x18Incompatible socket type"));
}

#[test]
fn an_error_of_the_peer_ends_the_handshake() {
    let mut solo = Solo::new(1);
    let end = solo.feed(&[&opening("PAIR")[..64], b"\x04\x0A\x05ERROR\x03400"].concat()).unwrap_err();
    assert!(matches!(end, End::Violation(Violation::PeerError { .. })), "{end}");
}

#[test]
fn a_socket_that_refuses_its_peer_drops_it() {
    let now = Instant::now();
    let party = |host| Party::new(host, &config(SocketType::Pair), now);
    let mut pair = Pair::of(party(Mock::refusing()), party(Mock::new(1)), now);
    assert!(pair.host(1).send(&"a".into()));
    pair.settle();
    let ends = pair.parties.each_ref().map(|party| party.end.as_ref());
    assert!(matches!(ends, [Some(End::Refused(_)), Some(End::Closed | End::Broken(_))]), "{ends:?}");
}

#[test]
fn a_pong_goes_between_two_batches() {
    let mut solo = Solo::ready(10);
    let (first, second) = (message(1, 0xAA), message(2, 0x02));
    solo.to.capacity = 100;
    solo.send(&first);
    solo.feed(PING).unwrap();
    solo.send(&second);
    assert_eq!(solo.said(), [&encoded(&first)[..], PONG, &encoded(&second)].concat());
    assert_eq!(solo.party.host.queued(), 0);
}

#[test]
fn a_pong_that_is_half_out_is_finished_first() {
    let mut solo = Solo::ready(10);
    solo.to.capacity = 3;
    solo.feed(PING).unwrap();
    let message = message(1, 0xA3);
    solo.send(&message);
    assert_eq!(solo.said(), [PONG, &encoded(&message)].concat());
}

#[test]
fn answers_that_the_peer_does_not_read_pile_up_nowhere() {
    let mut solo = Solo::ready(10);
    solo.to.capacity = 3;
    solo.feed(&PING.repeat(10_000)).unwrap();
    let said = solo.said();
    assert_eq!(said, PONG.repeat(said.len() / PONG.len()));
    assert!(said.len() <= 10_000, "{} octets", said.len());
}

#[test]
fn what_was_half_out_of_a_link_that_broke_does_not_haunt_it() {
    let mut solo = Solo::ready(10);
    solo.to.doom(10);
    for ping in [&b"\x04\x0D\x04PING\0\0sixsix"[..], b"\x04\x07\x04PING\0\0"] {
        solo.from.put(ping);
        solo.party.read(&mut solo.from, &mut solo.to, &mut solo.scratch, solo.now).unwrap();
    }
    // The poll may still report the stream as writable before what came in is read to its end.
    solo.party.unblock(&mut solo.to);
    assert!(matches!(solo.read(), Err(End::Broken(_))));
}

#[test]
fn a_large_body_is_read_into_place() {
    let (large, after) = (message(5, 15), message(6, 0xA2));
    for piece in [1000, 16 * 1024, 64 * 1024, 100_000] {
        let mut solo = Solo::ready(10);
        let octets = encoded(&large);
        let (head, body) = octets.split_at(20);
        solo.feed(head).unwrap();
        for (at, octets) in body.chunks(piece).enumerate() {
            assert!(solo.take().is_empty(), "piece {at} of {piece}");
            assert!(solo.party.session.rest.is_empty());
            solo.feed(octets).unwrap();
        }
        solo.feed(&encoded(&after)).unwrap();
        assert!(solo.take() == [large.clone(), after.clone()]);
    }
}

#[test]
fn a_large_body_that_is_broken_off_is_not_delivered() {
    let octets = encoded(&message(5, 15));
    for len in [9, 10, 20_000, 65_536 + 9, octets.len() - 1] {
        let mut solo = Solo::ready(10);
        solo.feed(&octets[..len]).unwrap();
        solo.from.cut(usize::MAX);
        assert!(matches!(solo.read(), Err(End::Closed)), "{len} octets");
        assert!(solo.take().is_empty());
    }
}

#[test]
fn messages_before_a_violation_are_delivered() {
    for before in [vec![message(1, 2)], samples(), vec![message(2, 15)], vec![message(1, 2), message(2, 14)]]
    {
        let mut octets: Vec<u8> = before.iter().flat_map(encoded).collect();
        octets.extend_from_slice(b"\x01\x04half\x08\x01!");
        let mut solo = Solo::ready(10);
        let end = solo.feed(&octets).unwrap_err();
        assert!(matches!(end, End::Violation(Violation::ReservedBits)), "{end}");
        assert!(solo.take() == before);
    }
}

#[test]
fn nothing_of_half_a_message_is_delivered() {
    let messages = samples();
    let octets: Vec<u8> = messages.iter().flat_map(encoded).collect();
    for len in 0..octets.len() {
        let mut solo = Solo::ready(10);
        solo.from.put(&octets[..len]);
        solo.from.cut(usize::MAX);
        assert!(matches!(solo.read(), Err(End::Closed)), "{len} octets");
        assert!(solo.take() == messages[..whole(&messages, len)], "{len} octets");
    }
}

#[test]
fn a_corrupt_octet_anywhere_harms_nobody_but_the_connection() {
    for at in 0.. {
        let mut pair = connected(10);
        [0xA3, 0xC6, 0x01].iter().for_each(|shape| assert!(pair.host(0).send(&message(1, *shape))));
        pair.pump(0);
        for bit in 0..8 {
            pair.spoil(0, at, 1 << bit);
        }
        if !pair.is_doomed() {
            break;
        }
        pair.drain();
        pair.cut(usize::MAX);
        pair.reconnect();
        assert!(pair.host(0).send(&"more".into()));
        assert_eq!(pair.drain()[1].last().unwrap(), "more");
    }
}

#[test]
fn no_program_breaks_a_promise() {
    QuickCheck::new().tests(400).rng(Gen::new(300)).quickcheck(run as fn(Vec<u8>));

    fn run(program: Vec<u8>) {
        program::run(&program, Instant::now());
    }
}

/// A PING that promises nothing, and its answer.
const PING: &[u8] = b"\x04\x0A\x04PING\0\0ctx";
const PONG: &[u8] = b"\x04\x08\x04PONGctx";
/// A PING that promises not to be silent for longer than [`SOON`].
const PING_SOON: &[u8] = b"\x04\x07\x04PING\0\x01";
const SOON: Duration = Duration::from_millis(100);
