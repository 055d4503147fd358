//! What monitors tell of connections that do not come about as they should.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

use ferromq::{Event, Limit, Monitor, Remote};

use super::PATIENCE;

/// The next event that is not about a connection that came about as it should.
#[track_caller]
pub fn trouble(monitor: &Monitor) -> Event {
    loop {
        match monitor.recv_timeout(PATIENCE).unwrap() {
            Event::Listening { .. } | Event::Accepted { .. } | Event::Ready { .. } => {}
            event => return event,
        }
    }
}

/// Who is told to have reached a limit.
#[track_caller]
pub fn reached(monitor: &Monitor, expected: Limit) -> Remote {
    match trouble(monitor) {
        Event::LimitReached { limit, peer } if limit == expected => peer,
        other => panic!("{other:?}"),
    }
}
