//! What peers can take of a socket is limited, and each limit that is reached is counted and told.

mod common;

use std::time::Duration;

use common::raw::{self, long_frame, property};
use common::{PATIENCE, eventually};
use ferromq::{Context, End, Event, Limit, Monitor, Pull, Remote};

/// The next event that is not about a connection that came about.
#[track_caller]
fn trouble(monitor: &Monitor) -> Event {
    loop {
        match monitor.recv_timeout(PATIENCE).unwrap() {
            Event::Listening { .. } | Event::Accepted { .. } | Event::Ready { .. } => {}
            event => return event,
        }
    }
}

/// Who is told to have reached a limit.
#[track_caller]
fn reached(monitor: &Monitor, expected: Limit) -> Remote {
    match trouble(monitor) {
        Event::LimitReached { limit, peer } if limit == expected => peer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_is_too_large_is_counted_and_told_before_its_connection_ends() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().max_message_size(1000).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut peer = raw::Peer::dial(&at, "PUSH");
    let address = peer.0.local_addr().unwrap();
    peer.write(&long_frame(0, &[0; 1001]));

    let culprit = reached(&monitor, Limit::MessageSize);
    assert_eq!(culprit.address.unwrap().to_string(), format!("tcp://{address}"));
    assert!(matches!(trouble(&monitor), Event::Disconnected { why: End::Violation(_), .. }));
    let limits = pull.stats().limits;
    assert_eq!((limits.of(Limit::MessageSize), limits.total()), (1, 1));
}

#[test]
fn a_handshake_that_is_too_slow_or_too_large_is_counted_and_told() {
    let context = Context::new().unwrap();
    let slow = Duration::from_millis(50);
    let pull = context.socket::<Pull>().handshake_timeout(slow).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();

    let _silent = raw::Peer::connect(&at);
    reached(&monitor, Limit::HandshakeTime);
    assert!(matches!(trouble(&monitor), Event::HandshakeFailed { .. }));

    let large = raw::command("READY", &property("X-Large", &[0; 10_000]));
    raw::Peer::connect(&at).write(&[raw::greeting(3, 1, "NULL"), large].concat());
    reached(&monitor, Limit::HandshakeSize);
    eventually("both are counted", || pull.stats().limits.total() == 2);
}
