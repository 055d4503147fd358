//! The outbound half of a pipe against a naive twin: a queue of messages and a string of octets.

use std::collections::VecDeque;
use std::io::IoSlice;

use quickcheck::{Arbitrary, Gen, TestResult, quickcheck};

use super::{Flight, Outbox};
use crate::message::Message;

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
    shut: bool,
}

impl Twin {
    fn queued(&self) -> usize {
        self.open.len() + self.in_flight.len()
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

fn run(mark: usize, steps: Vec<Step>) -> Result<(), String> {
    let mut outbox = Outbox::new(mark, false);
    let mut flight = Flight::default();
    let mut twin = Twin::default();
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
                    twin.open.push_back(message);
                    twin.shut = twin.queued() >= mark;
                }
            }
            Step::Take => {
                if flight.is_done() {
                    let written = flight.newly_written().messages;
                    outbox.written(written);
                    if written != twin.report() {
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
                let written = flight.newly_written().messages;
                outbox.written(written);
                if written != twin.report() {
                    return Err("count in the middle of a batch".into());
                }
            }
            Step::Die => {
                let written = flight.newly_written().messages;
                outbox.written(written);
                if written != twin.report() {
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
                    twin.open.push_back(message);
                    twin.shut = twin.queued() >= mark;
                }
            }
        }
        twin.shut &= twin.queued() > mark / 2;
        if outbox.queued() != twin.queued() {
            return Err(format!("queued {} instead of {}", outbox.queued(), twin.queued()));
        }
        if outbox.has_room() == twin.shut && twin.queued() < mark {
            return Err(format!("room is {} at {} of {mark}", outbox.has_room(), twin.queued()));
        }
    }
    Ok(())
}

quickcheck! {
    fn an_outbox_is_its_twin(mark: u8, steps: Vec<Step>) -> TestResult {
        match run(1 + usize::from(mark % 24), steps) {
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
        Message::from(vec![4; 71]),
    ];
    let ends: Vec<usize> = messages
        .iter()
        .scan(0, |end, message| {
            *end += encoded_len(message);
            Some(*end)
        })
        .collect();
    for cut in 0..=*ends.last().expect("there are messages") {
        let mut outbox = Outbox::new(100, false);
        let mut flight = Flight::default();
        for message in &messages {
            outbox.push(message);
        }
        outbox.take(&mut flight);
        flight.wrote(cut);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(flight.newly_written().messages, whole, "cut at {cut}");
        outbox.written(whole);
        assert_eq!(outbox.take_back(Some(&mut flight)), messages[whole..], "cut at {cut}");
    }
}

#[test]
fn a_conflating_outbox_keeps_the_newest_and_says_what_it_replaced() {
    let mut outbox = Outbox::new(1, true);
    assert!(!outbox.push(&Message::from("a")).replaced);
    assert!(outbox.push(&Message::from("b")).replaced);
    assert!(outbox.has_room());
    assert_eq!(outbox.queued(), 1);
    assert_eq!(outbox.take_back(None), [Message::from("b")]);
}

#[test]
fn a_full_outbox_opens_at_half_its_mark() {
    let mut outbox = Outbox::new(4, false);
    let mut flight = Flight::default();
    for _ in 0..4 {
        assert!(outbox.has_room());
        outbox.push(&Message::from("x"));
    }
    assert!(!outbox.has_room());
    outbox.take(&mut flight);
    assert!(!outbox.written(1));
    assert!(outbox.written(1));
    assert!(outbox.has_room());
}
