//! What the tests against libzmq share.
#![allow(dead_code, unused_imports, unreachable_pub)] // every test file uses another part of it

#[path = "../../../common/wait.rs"]
mod wait;

use std::time::Duration;

use ferromq::{Pull, Push, Socket};
pub use wait::{PATIENCE, blocked, eventually, eventually_within, within};

/// Who binds; the other one connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    Ours,
    Theirs,
}

pub const BOTH_ROLES: [Binds; 2] = [Binds::Ours, Binds::Theirs];

/// Who sends; the other one receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    Ours,
    Theirs,
}

pub const BOTH_DIRECTIONS: [Sends; 2] = [Sends::Ours, Sends::Theirs];

/// A socket of libzmq that neither blocks for ever nor keeps its context from ending.
pub fn zmq_socket(zmq: &zmq::Context, kind: zmq::SocketType) -> zmq::Socket {
    let socket = zmq.socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
    socket.set_sndtimeo(PATIENCE.as_millis() as i32).unwrap();
    socket.set_reconnect_ivl(10).unwrap();
    socket
}

/// Binds a socket of libzmq to a free port and says which.
pub fn bind_theirs(theirs: &zmq::Socket) -> String {
    theirs.bind("tcp://127.0.0.1:*").unwrap();
    theirs.get_last_endpoint().unwrap().unwrap()
}

pub fn ours_push(ctx: &ferromq::Context) -> Socket<Push> {
    let soon = Duration::from_millis(10);
    ctx.socket::<Push>().reconnect_interval(soon).reconnect_max(5 * soon).build().unwrap()
}

pub fn ours_pull(ctx: &ferromq::Context) -> Socket<Pull> {
    let soon = Duration::from_millis(10);
    ctx.socket::<Pull>().reconnect_interval(soon).reconnect_max(5 * soon).build().unwrap()
}

pub fn join_push(ours: &Socket<Push>, theirs: &zmq::Socket, binds: Binds) {
    match binds {
        Binds::Ours => theirs.connect(&ours.bind("tcp://127.0.0.1:0").unwrap().to_string()).unwrap(),
        Binds::Theirs => ours.connect(bind_theirs(theirs)).unwrap(),
    }
}

pub fn join_pull(ours: &Socket<Pull>, theirs: &zmq::Socket, binds: Binds) {
    match binds {
        Binds::Ours => theirs.connect(&ours.bind("tcp://127.0.0.1:0").unwrap().to_string()).unwrap(),
        Binds::Theirs => ours.connect(bind_theirs(theirs)).unwrap(),
    }
}

/// Watches what a socket of libzmq reports of its connections.
pub struct Monitor(zmq::Socket);

impl Monitor {
    pub fn new(zmq: &zmq::Context, watched: &zmq::Socket) -> Self {
        static NAMES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("inproc://monitor-{}", NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        watched.monitor(&name, zmq::SocketEvent::ALL as i32).unwrap();
        let events = zmq_socket(zmq, zmq::PAIR);
        events.connect(&name).unwrap();
        Self(events)
    }

    /// The next event, or nothing if none comes in time.
    pub fn next(&self, patience: Duration) -> Option<zmq::SocketEvent> {
        self.0.set_rcvtimeo(patience.as_millis() as i32).unwrap();
        let parts = self.0.recv_multipart(0).ok()?;
        Some(zmq::SocketEvent::from_raw(u16::from_ne_bytes([parts[0][0], parts[0][1]])))
    }

    /// Waits until one of these events is reported.
    #[track_caller]
    pub fn expect(&self, one_of: &[zmq::SocketEvent]) -> zmq::SocketEvent {
        loop {
            let event = self.next(PATIENCE).unwrap_or_else(|| panic!("in vain waited for one of {one_of:?}"));
            if one_of.contains(&event) {
                return event;
            }
        }
    }
}
