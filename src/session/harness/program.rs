//! What befalls a pair, decoded from octets: two for each step.

use std::time::{Duration, Instant};

use super::{Pair, Piece, config, message};
use crate::zmtp::{Config, Rhythm, SocketType};

/// Runs a program, then lets everything come to rest. Panics if a message is lost, doubled, changed, out of order or
/// not accounted for.
///
/// The first octet is the mark (its lower half), whether one side has accepted the connection and answers the other (bit 4),
/// and whether there are heartbeats (bit 5). A step is an octet that says what is to be done (its lower half) and on which
/// side (bit 4), and one that says how much of it. With the topmost bit set, that second octet is one of a stranger instead,
/// and comes behind what this side has written.
pub(crate) fn run(program: &[u8], now: Instant) {
    let (mark, steps) = program.split_first().map_or((1, program), |(mark, steps)| (*mark, steps));
    let rhythm = (mark >> 5 & 1 == 1).then_some(Rhythm { interval: 1000, timeout: 2000, ttl: 25 });
    let config = Config { rhythm, ..config(SocketType::Pair) };
    let mut pair = Pair::with(config, mark >> 4 & 1 == 1, 1 + usize::from(mark % 16), now);
    for step in steps.chunks_exact(2) {
        let side = usize::from(step[0] >> 4 & 1);
        if step[0] < STRANGER {
            perform(&mut pair, step[0] & 15, side, step[1]);
        } else {
            pair.intrude(side, &step[1..]);
        }
        if pair.is_over(0) && pair.is_over(1) {
            pair.reconnect();
        }
    }
    come_to_rest(&mut pair);
}

fn perform(pair: &mut Pair, what: u8, side: usize, how: u8) {
    let count = usize::from(how);
    match what {
        0..=2 => send(pair, side, how),
        3 => pair.pump(side),
        4 => pair.write(side),
        5 | 6 => pair.read(side),
        7 => drop(pair.take(side, 1 + count % 8)),
        8 => pair.pipes[side].obey(&script(how)),
        9 => pair.pipes[side].capacity = 1 + count * count,
        10 => pair.pass(Duration::from_millis(40) * u32::from(how)),
        11 => pair.pipes[side].doom(1 + count * count),
        12 => pair.cut(if how == u8::MAX { usize::MAX } else { count * count }),
        13 => ping(pair, side, how),
        14 => pair.spoil(side, count, 1 << (how % 8)),
        _ => pair.parties[side].trim(),
    }
}

fn send(pair: &Pair, side: usize, shape: u8) {
    let host = pair.host(side);
    host.send(&message(host.accepted(), shape));
}

/// A PING that promises something soon or nothing, if it would not stand in the middle of something.
fn ping(pair: &mut Pair, side: usize, how: u8) {
    if !pair.is_over(side) && pair.parties[side].is_between_frames() {
        let context = &[how; 16][..usize::from(how % 17)];
        let head = [4, 7 + context.len() as u8, 4, b'P', b'I', b'N', b'G', 0, how >> 5];
        pair.pipes[side].put(&[&head, context].concat());
    }
}

/// A script of what the lower half of `how` chooses. An interruption is followed by something, or reads would be tried
/// again for ever.
fn script(how: u8) -> Vec<Piece> {
    let much = usize::from(how >> 4);
    let [little, much] = [Piece::Octets(1 + much), Piece::Octets(5000 * much)];
    let choices: [&[Piece]; 4] = [&[little], &[Piece::Stall], &[much], &[Piece::Interrupt, little]];
    let chosen = |bit: &usize| how >> *bit & 1 == 1;
    (0..choices.len()).filter(chosen).flat_map(|bit| choices[bit]).copied().collect()
}

/// With nothing in the way, everything arrives.
fn come_to_rest(pair: &mut Pair) {
    if pair.is_doomed() {
        pair.cut(usize::MAX);
        pair.reconnect();
    }
    for pipe in &mut pair.pipes {
        pipe.obey(&[]);
        pipe.capacity = usize::MAX;
    }
    pair.drain();
    for side in [0, 1] {
        let end = &pair.parties[side].end;
        assert!(end.is_none(), "side {side} ended for no reason: {end:?}");
        assert_eq!(pair.host(side).queued(), 0, "side {side} keeps messages back");
        let (written, come) = pair.progress(side);
        assert_eq!(written, come, "written by side {side}, and come to the other");
    }
}

/// From here on a step brings an octet of a stranger.
const STRANGER: u8 = 0x80;
