//! Messages of all shapes between libzmq and ferromq: both roles, both directions.

mod common;

use common::{BOTH_ROLES, Binds, PATIENCE, join_pull, join_push, ours_pull, ours_push, within, zmq_socket};
use ferromq::{Context, Message};

const SIZES: [usize; 8] = [0, 1, 254, 255, 256, 65_535, 65_536, 5_000_000];

/// Sends each message from ours to theirs, in each role, and compares what comes with what went.
fn from_ours_to_theirs(messages: &[Vec<Vec<u8>>]) {
    for binds in BOTH_ROLES {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let (push, pull) = (ours_push(&ctx), zmq_socket(&zmq, zmq::PULL));
        join_push(&push, &pull, binds);
        for parts in messages {
            push.send(Message::from(parts.clone())).unwrap();
            assert_same(&pull.recv_multipart(0).unwrap(), parts, binds);
        }
        // And once more without waiting for each, so that they travel together.
        messages.iter().for_each(|parts| push.send(Message::from(parts.clone())).unwrap());
        messages.iter().for_each(|parts| assert_same(&pull.recv_multipart(0).unwrap(), parts, binds));
    }
}

fn from_theirs_to_ours(messages: &[Vec<Vec<u8>>]) {
    for binds in BOTH_ROLES {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let (push, pull) = (zmq_socket(&zmq, zmq::PUSH), ours_pull(&ctx));
        join_pull(&pull, &push, binds);
        let receive =
            || -> Vec<Vec<u8>> { pull.recv_timeout(PATIENCE).unwrap().parts().map(<[u8]>::to_vec).collect() };
        for parts in messages {
            push.send_multipart(parts, 0).unwrap();
            assert_same(&receive(), parts, binds);
        }
        messages.iter().for_each(|parts| push.send_multipart(parts, 0).unwrap());
        messages.iter().for_each(|parts| assert_same(&receive(), parts, binds));
    }
}

#[track_caller]
fn assert_same(got: &[Vec<u8>], sent: &[Vec<u8>], binds: Binds) {
    let lengths = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(got), lengths(sent), "{binds:?} bind");
    assert!(
        got == sent,
        "octets changed in a message of parts of {:?} octets, {binds:?} bind",
        lengths(sent)
    );
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn single_parts() -> Vec<Vec<Vec<u8>>> {
    SIZES.iter().map(|size| vec![body(*size)]).collect()
}

/// Up to five parts, with an empty part at every combination of places.
fn empty_parts_anywhere() -> Vec<Vec<Vec<u8>>> {
    let one = |parts: u32, mask: u32| {
        (0..parts)
            .map(|part| if mask >> part & 1 == 0 { Vec::new() } else { body(10 * part as usize + 1) })
            .collect()
    };
    (1..=5).flat_map(|parts| (0..1 << parts).map(move |mask| one(parts, mask))).collect()
}

/// Parts of all sizes side by side.
fn sizes_side_by_side() -> Vec<Vec<Vec<u8>>> {
    let mut messages = vec![SIZES.map(body).to_vec(), SIZES.iter().rev().map(|size| body(*size)).collect()];
    for left in SIZES {
        messages.extend(SIZES[..7].iter().map(|right| vec![body(left.min(70_000)), body(*right)]));
    }
    messages.push(vec![body(3); 1000]);
    messages
}

#[test]
fn bodies_of_all_sizes_reach_libzmq() {
    within(PATIENCE, || from_ours_to_theirs(&single_parts()));
}

#[test]
fn bodies_of_all_sizes_come_from_libzmq() {
    within(PATIENCE, || from_theirs_to_ours(&single_parts()));
}

#[test]
fn empty_parts_at_any_place_reach_libzmq() {
    within(PATIENCE, || from_ours_to_theirs(&empty_parts_anywhere()));
}

#[test]
fn empty_parts_at_any_place_come_from_libzmq() {
    within(PATIENCE, || from_theirs_to_ours(&empty_parts_anywhere()));
}

#[test]
fn parts_of_all_sizes_side_by_side_reach_libzmq() {
    within(2 * PATIENCE, || from_ours_to_theirs(&sizes_side_by_side()));
}

#[test]
fn parts_of_all_sizes_side_by_side_come_from_libzmq() {
    within(2 * PATIENCE, || from_theirs_to_ours(&sizes_side_by_side()));
}
