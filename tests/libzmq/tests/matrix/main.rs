//! The matrix of ferromq and libzmq: every pair of socket types over every transport between processes, in both
//! assignments and both roles, with all shapes of messages. What is legal talks, what is not is refused on both sides.
#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../matrix/pairs/mod.rs"]
mod pairs;
mod theirs;

use common::{PATIENCE, within};
use ferromq::{Context, SocketType};
use pairs::ours::Ours;
use pairs::{BETWEEN_PROCESSES, legal, pairs};
use theirs::Theirs;

/// Lets all legal pairs with such a socket of ours talk.
fn talk(ours: &'static [SocketType]) {
    within(4 * PATIENCE, || {
        let (left, right) = (Ours(Context::new().unwrap()), Theirs(zmq::Context::new()));
        let all = pairs(ours, BETWEEN_PROCESSES);
        for pair in all.iter().filter(|pair| legal(pair.left, pair.right).is_some()) {
            pair.talk(&left, &right);
        }
    });
}

/// Has all illegal pairs with such a socket of ours refuse each other.
fn refuse(ours: &'static [SocketType]) {
    within(4 * PATIENCE, || {
        let (left, right) = (Ours(Context::new().unwrap()), Theirs(zmq::Context::new()));
        let all = pairs(ours, BETWEEN_PROCESSES);
        for pair in all.iter().filter(|pair| legal(pair.left, pair.right).is_none()) {
            pair.refuse(&left, &right, &left);
        }
    });
}

pairs::groups!(talk, refuse);
