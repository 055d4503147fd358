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

#[test]
fn pair_and_pipeline() {
    talk(&[SocketType::Pair, SocketType::Push, SocketType::Pull]);
}

#[test]
fn request_and_reply() {
    talk(&[SocketType::Req, SocketType::Rep]);
}

#[test]
fn dealer_and_router() {
    talk(&[SocketType::Dealer, SocketType::Router]);
}

#[test]
fn publish_and_subscribe() {
    talk(&[SocketType::Pub, SocketType::XPub]);
}

#[test]
fn subscribe_and_publish() {
    talk(&[SocketType::Sub, SocketType::XSub]);
}

#[test]
fn strangers_of_pair_and_pipeline() {
    refuse(&[SocketType::Pair, SocketType::Push, SocketType::Pull]);
}

#[test]
fn strangers_of_request_and_reply() {
    refuse(&[SocketType::Req, SocketType::Rep, SocketType::Dealer, SocketType::Router]);
}

#[test]
fn strangers_of_publish_and_subscribe() {
    refuse(&[SocketType::Pub, SocketType::Sub, SocketType::XPub, SocketType::XSub]);
}
