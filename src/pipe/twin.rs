//! The outbound half of a pipe against a naive twin: a queue of messages and a string of octets.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use quickcheck::{Arbitrary, Gen, TestResult, quickcheck};

use super::{Flight, Outbox, Shut, Written};
use crate::message::{Message, Space};
use crate::options::Mark;

/// What may happen to an outbox and its wire.
#[derive(Clone, Debug)]
enum Step {
    /// The application sends a message of so many parts, each of about so many octets.
    Push { parts: u8, octets: u16 },
    /// The wire takes the open batch, if it is done with the last.
    Take,
    /// The stream takes at most so many octets.
    Write(u16),
    /// The wire reports what is wholly written.
    Report,
    /// The connection dies; what is left comes back and is pushed again.
    Die,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 16 {
            0..=6 => Self::Push { parts: 1 + u8::arbitrary(g) % 4, octets: size(g) },
            7..=8 => Self::Take,
            9..=12 => Self::Write(size(g)),
            13..=14 => Self::Report,
            _ => Self::Die,
        }
    }
}

/// Sizes that cluster where something changes: nothing, a few octets, both sides of the short frame and of sharing.
fn size(g: &mut Gen) -> u16 {
    *g.choose(&[0, 1, 2, 3, 9, 69, 70, 71, 255, 256, 4095, 4096, 4097, 9000]).expect("the list is not empty")
}

/// The twin: every message in its own string of octets.
#[derive(Default)]
struct Twin {
    open: VecDeque<Message>,
    in_flight: VecDeque<(Message, usize)>,
    written: usize,
    /// When it is shut, and whether it is.
    mark: Option<Mark>,
    shut: bool,
}

impl Twin {
    fn queued(&self) -> usize {
        self.open.len() + self.in_flight.len()
    }

    fn octets(&self) -> usize {
        let open: usize = self.open.iter().map(encoded_len).sum();
        open + self.in_flight.iter().map(|(_, len)| len).sum::<usize>()
    }

    fn push(&mut self, message: Message) {
        self.open.push_back(message);
        self.shut |=
            self.mark.is_some_and(|mark| self.queued() >= mark.messages || self.octets() >= mark.octets);
    }

    fn drain(&mut self) {
        self.shut &= self
            .mark
            .is_some_and(|mark| self.queued() > mark.messages / 2 || self.octets() > mark.octets / 2);
    }

    fn report(&mut self) -> usize {
        let mut count = 0;
        while self.in_flight.front().is_some_and(|(_, len)| *len <= self.written) {
            let (_, len) = self.in_flight.pop_front().expect("there is a front");
            self.written -= len;
            count += 1;
        }
        count
    }
}

fn encoded_len(message: &Message) -> usize {
    message.parts().map(|part| part.len() + if part.len() > 255 { 9 } else { 2 }).sum()
}

fn run(mark: Mark, steps: Vec<Step>) -> Result<(), String> {
    let mut outbox = Outbox::new(mark, false);
    let mut flight = Flight::default();
    let mut twin = Twin { mark: Some(mark), ..Twin::default() };
    let mut serial = 0u8;
    for step in steps {
        match step {
            Step::Push { parts, octets } => {
                if outbox.has_room() {
                    serial = serial.wrapping_add(1);
                    let message: Message = (0..parts)
                        .map(|part| vec![serial ^ part; usize::from(octets) * usize::from(part % 2)])
                        .collect();
                    outbox.push(&message);
                    twin.push(message);
                }
            }
            Step::Take => {
                if flight.is_done() {
                    let written = flight.newly_written();
                    outbox.written(written);
                    if written.messages != twin.report() {
                        return Err("count at the end of a batch".into());
                    }
                    outbox.take(&mut flight);
                    twin.written = 0;
                    twin.in_flight =
                        twin.open.drain(..).map(|message| (message.clone(), encoded_len(&message))).collect();
                }
            }
            Step::Write(limit) => {
                let mut slices = [IoSlice::new(&[]); 8];
                let used = flight.gather(&mut slices);
                let octets =
                    slices[..used].iter().map(|slice| slice.len()).sum::<usize>().min(usize::from(limit));
                flight.wrote(octets);
                twin.written += octets;
            }
            Step::Report => {
                let written = flight.newly_written();
                outbox.written(written);
                if written.messages != twin.report() {
                    return Err("count in the middle of a batch".into());
                }
            }
            Step::Die => {
                let written = flight.newly_written();
                outbox.written(written);
                if written.messages != twin.report() {
                    return Err("count at death".into());
                }
                let back = outbox.take_back(Some(&mut flight));
                flight = Flight::default();
                let expected: Vec<Message> =
                    twin.in_flight.drain(..).map(|(message, _)| message).chain(twin.open.drain(..)).collect();
                if back != expected {
                    return Err(format!("taken back {} messages, expected {}", back.len(), expected.len()));
                }
                twin.written = 0;
                twin.shut = false;
                for message in back {
                    outbox.push(&message);
                    twin.push(message);
                }
            }
        }
        twin.drain();
        let (queued, octets) = (twin.queued(), twin.octets());
        if (outbox.queued(), outbox.octets()) != (queued, octets) {
            return Err(format!(
                "{queued} messages, {octets} octets, and not {}: {outbox:?}",
                outbox.octets()
            ));
        }
        if outbox.has_room() == twin.shut {
            return Err(format!("shut is {} at {queued}, {octets} of {mark:?}: {outbox:?}", twin.shut));
        }
    }
    Ok(())
}

quickcheck! {
    fn an_outbox_is_its_twin(messages: u8, octets: u16, steps: Vec<Step>) -> TestResult {
        let octets = if octets % 2 == 0 { usize::MAX } else { usize::from(octets) };
        match run(Mark { messages: 1 + usize::from(messages % 24), octets }, steps) {
            Ok(()) => TestResult::passed(),
            Err(why) => TestResult::error(why),
        }
    }
}

#[test]
fn a_write_cut_at_any_octet_counts_whole_messages_and_gives_back_the_rest() {
    let messages: Vec<Message> = vec![
        Message::from("a"),
        Message::from(["", "b", ""]),
        Message::from(vec![1; 5000]),
        Message::new(),
        Message::from([vec![2; 300], vec![3; 4096]]),
        Message::from(vec![4; Message::INLINE + 1]),
    ];
    let ends: Vec<usize> = messages
        .iter()
        .scan(0, |end, message| {
            *end += encoded_len(message);
            Some(*end)
        })
        .collect();
    for cut in 0..=*ends.last().expect("there are messages") {
        let mut outbox = Outbox::new(Mark::of(100), false);
        let mut flight = Flight::default();
        for message in &messages {
            outbox.push(message);
        }
        outbox.take(&mut flight);
        flight.wrote(cut);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let written = flight.newly_written();
        assert_eq!(written.messages, whole, "cut at {cut}");
        outbox.written(written);
        assert_eq!(outbox.octets(), ends.last().unwrap() - written.octets);
        assert_eq!(outbox.take_back(Some(&mut flight)), messages[whole..], "cut at {cut}");
    }
}

#[test]
fn a_conflating_outbox_keeps_the_newest_and_says_what_it_replaced() {
    let mut outbox = Outbox::new(Mark { messages: 1, octets: 1 }, true);
    assert_eq!(outbox.push(&Message::from("a")).grown, 3);
    let pushed = outbox.push(&Message::from("bcd"));
    assert_eq!((pushed.replaced, pushed.first, pushed.grown, outbox.octets()), (true, true, 2, 5));
    assert!(outbox.has_room());
    assert_eq!(outbox.queued(), 1);
    assert_eq!(outbox.take_back(None), [Message::from("bcd")]);
}

#[test]
fn a_full_outbox_opens_at_half_its_mark() {
    let one = Written { messages: 1, octets: 3 };
    let mut outbox = Outbox::new(Mark::of(4), false);
    let mut flight = Flight::default();
    for _ in 0..4 {
        assert!(outbox.has_room());
        outbox.push(&Message::from("x"));
    }
    assert!(!outbox.has_room());
    outbox.take(&mut flight);
    assert!(!outbox.written(one));
    assert!(outbox.written(one));
    assert!(outbox.has_room());
}

#[test]
fn an_outbox_of_so_many_octets_opens_at_half_of_them() {
    let half = Message::from(vec![7; 491]); // 500 octets, framed
    let mut outbox = Outbox::new(Mark { messages: 100, octets: 1000 }, false);
    let mut flight = Flight::default();
    assert!(!outbox.push(&half).shuts);
    let pushed = outbox.push(&half);
    assert!(pushed.shuts && pushed.ripe);
    assert_eq!((outbox.shut(), outbox.octets()), (Some(Shut::Octets), 1000));
    outbox.take(&mut flight);
    assert_eq!(outbox.octets(), 1000, "what is being written counts until it is written");
    flight.wrote(999);
    assert!(outbox.written(flight.newly_written()));
    assert_eq!((outbox.has_room(), outbox.octets()), (true, 500));
    assert!(!outbox.is_full());
    outbox.push(&Message::from(vec![7; 1 << 20]));
    assert!(outbox.is_full(), "the last may be as large as it likes");
}

#[test]
fn whole_messages_count_with_the_memory_they_take() {
    let large = Message::from(vec![7; 500 - Message::WEIGHT]);
    let mut outbox = Outbox::whole(Mark { messages: 100, octets: 1000 }, false);
    outbox.push(&large);
    assert!(outbox.push(&large).shuts);
    let mut given = Vec::new();
    assert_eq!(outbox.hand_over(Space::ENDLESS.within(0), &mut given), (0, false));
    let handed = outbox.hand_over(Space::ENDLESS.within(1), &mut given);
    assert_eq!(handed, (large.byte_len(), true), "one that fits in part is given whole");
    assert_eq!((given.len(), outbox.octets()), (1, 500));
    given.clear();
    outbox.push(&Message::from("x"));
    assert_eq!(outbox.hand_over(Space::ENDLESS, &mut given), (large.byte_len() + 1, false));
    assert_eq!((given.len(), outbox.octets(), outbox.queued()), (2, 0, 0));
    outbox.push(&large);
    outbox.push(&Message::new());
    assert!(outbox.shed());
    assert_eq!(outbox.octets(), Message::WEIGHT);
    outbox.give_up();
    assert_eq!(outbox.octets(), 0);
}

#[test]
fn a_queue_that_is_shut_for_others_opens_when_it_is_told_so_or_has_little_left() {
    let mut outbox = Outbox::new(Mark { messages: 100, octets: 10_000 }, false);
    (0..10).for_each(|_| _ = outbox.push(&Message::from(vec![7; 98])));
    outbox.shut_at(300);
    assert_eq!(outbox.shut(), Some(Shut::Total));
    assert!(!outbox.is_full(), "its own mark is far");
    let mut flight = Flight::default();
    outbox.take(&mut flight);
    assert!(!outbox.written(Written { messages: 6, octets: 600 }));
    assert!(outbox.written(Written { messages: 1, octets: 100 }));
    outbox.shut_at(0);
    assert!(outbox.readmit());
    assert!(outbox.has_room());
}

#[test]
fn large_bodies_that_are_written_are_let_go_of() {
    let body = Bytes::from(vec![7; 10_000]);
    let mut outbox = Outbox::new(Mark::of(100), false);
    let mut flight = Flight::default();
    (0..3).for_each(|_| _ = outbox.push(&Message::from(body.clone())));
    outbox.take(&mut flight);
    flight.wrote(10_009 + 5000);
    flight.newly_written();
    let (held, sum) = (flight.unsent().count(), 10_009 * 3);
    assert_eq!(held, 2);
    flight.wrote(sum - 15_009);
    flight.newly_written();
    assert!(body.is_unique());
}

#[test]
fn whole_messages_are_handed_over_in_order_however_few_or_many_fit() {
    let numbered: Vec<Message> = (0..10).map(|n| Message::from(vec![n; 100 + usize::from(n)])).collect();
    for first in 0..=10 {
        let mut outbox = Outbox::whole(Mark::of(100), false);
        numbered.iter().for_each(|message| _ = outbox.push(message));
        let (mut given, mut all) = (Vec::new(), Vec::new());
        for messages in [first, 10] {
            let (octets, _) = outbox.hand_over(Space { messages, octets: usize::MAX }, &mut given);
            assert_eq!(octets, given.iter().map(Message::byte_len).sum::<usize>());
            all.append(&mut given);
            assert_eq!(outbox.octets(), numbered[all.len()..].iter().map(Message::weight).sum::<usize>());
        }
        assert_eq!(all, numbered);
    }
}
