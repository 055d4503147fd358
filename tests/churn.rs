//! Connections that come and go, by the hundred thousand, while the application does nothing: they leave nothing behind.
#![cfg(target_os = "linux")] // which tells what a process uses

mod common;

use std::thread;
use std::time::Instant;

use common::process::{orders, say, task};
use common::{PATIENCE, Process, eventually, open_descriptors, raw, resident, within};
use ferromq::{Context, Pull};

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    within(2 * PATIENCE, || churn(1_000, 2_000));
}

#[test]
#[ignore = "a hundred thousand connections"]
fn a_hundred_thousand_connections_leave_nothing_behind() {
    within(20 * PATIENCE, || churn(5_000, 100_000));
}

/// The bound socket is an idle application's: nobody ever calls it.
fn churn(warm_up: usize, connections: usize) {
    let ctx = Context::new().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut visitors = Process::start("the_visitors", &at);
    let files = open_descriptors();
    let mut visit = |connections: usize| {
        visitors.tell(connections);
        visitors.hear();
        eventually("all connections are given up", || open_descriptors() == files);
        assert_eq!(pull.stats().peers, 0);
        resident()
    };
    let before = visit(warm_up);
    let start = Instant::now();
    let after = visit(connections);
    let grown = after.saturating_sub(before);
    println!("{connections} connections in {:?} took {} KiB", start.elapsed(), grown / 1024);
    assert!(grown < 4 << 20, "{before} octets of memory became {after}");
}

/// Makes as many connections as each line asks for, and tells when they are gone.
#[test]
#[ignore = "the process that the other tests start for the visitors in it"]
fn the_visitors() {
    let Some(at) = task() else { return };
    for connections in orders() {
        let connections: usize = connections.parse().unwrap();
        thread::scope(|scope| {
            for first in 0..AT_A_TIME {
                let at = &at;
                scope.spawn(move || (first..connections).step_by(AT_A_TIME).for_each(|nth| visit(at, nth)));
            }
        });
        say("gone");
    }
}

/// Comes and goes: at once, within the greeting, behind the handshake, or behind a talk.
fn visit(at: &str, nth: usize) {
    let mut peer = raw::Peer::connect(at);
    match nth % 4 {
        0 => {}
        1 => peer.write(&raw::greeting(3, 1, "NULL")[..32]),
        2 => peer = peer.shake_hands("PUSH"),
        _ => {
            peer = peer.shake_hands("PUSH");
            peer.sync();
        }
    }
    // An orderly end blocks the port for a minute, so only few may have one.
    if nth % 61 > 0 {
        peer.reset();
    }
}

/// Connections at a time.
const AT_A_TIME: usize = 4;
