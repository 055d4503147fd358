//! What the socket tests share. Every test file uses another part of it, hence the `allow`.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod examples;
pub mod noise;
pub mod ports;
pub mod process;
pub mod raw;
pub mod relay;
pub mod tally;
pub mod trouble;
pub mod usage;
pub mod wait;
pub mod wire;

pub use examples::Example;
pub use ports::DeadPort;
pub use process::Process;
pub use relay::Relay;
pub use tally::{Rng, Tally, number_of, numbered};
pub use trouble::{reached, trouble};
pub use usage::{open_descriptors, processor_time, processor_time_of, resident, resident_of};
pub use wait::{PATIENCE, alone, blocked, caller, eventually, eventually_within, poll_once, within};

use ferromq::{Context, Endpoint, Kind, Pull, Push, Socket};

/// A PUSH and a PULL of one context, connected to each other.
pub fn pair(ctx: &Context) -> (Socket<Push>, Socket<Pull>) {
    let push = ctx.socket::<Push>().build().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    push.wait_connected(1, PATIENCE).unwrap();
    pull.wait_connected(1, PATIENCE).unwrap();
    (push, pull)
}

/// Connects one socket to the other, and waits until both know of it.
#[track_caller]
pub fn link<A: Kind, B: Kind>(bound: &Socket<A>, dialling: &Socket<B>) -> Endpoint {
    let (peers, others) = (bound.stats().peers + 1, dialling.stats().peers + 1);
    let at = bound.bind("tcp://127.0.0.1:0").unwrap();
    dialling.connect(&at).unwrap();
    bound.wait_connected(peers, PATIENCE).unwrap();
    dialling.wait_connected(others, PATIENCE).unwrap();
    at
}

/// Checks that what one sends the other receives.
#[track_caller]
pub fn assert_joined(push: &Socket<Push>, pull: &Socket<Pull>) {
    push.send_timeout("are we joined?", PATIENCE).unwrap();
    assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "are we joined?");
}
