//! What the tests against libzmq share.
#![allow(dead_code, unused_imports, unreachable_pub)] // every test file uses another part of it

#[path = "../../../common/examples.rs"]
pub mod examples;
#[path = "../../../common/wait.rs"]
mod wait;

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

pub use examples::Example;
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

/// A socket of libzmq that reports what becomes of its connections.
///
/// libzmq stands still, with all sockets of its context, when nobody is there to take a report. So the reports are taken to
/// the very end.
pub struct Watched {
    socket: Option<zmq::Socket>,
    reports: zmq::Socket,
}

impl Watched {
    pub fn new(zmq: &zmq::Context, kind: zmq::SocketType) -> Self {
        static NAMES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("inproc://monitor-{}", NAMES.fetch_add(1, Relaxed));
        let socket = zmq_socket(zmq, kind);
        socket.monitor(&name, zmq::SocketEvent::ALL as i32).unwrap();
        let reports = zmq_socket(zmq, zmq::PAIR);
        reports.connect(&name).unwrap();
        Self { socket: Some(socket), reports }
    }

    /// The next event, or nothing if none comes in time.
    pub fn event(&self, patience: Duration) -> Option<zmq::SocketEvent> {
        self.reports.set_rcvtimeo(patience.as_millis() as i32).unwrap();
        let parts = self.reports.recv_multipart(0).ok()?;
        Some(zmq::SocketEvent::from_raw(u16::from_ne_bytes([parts[0][0], parts[0][1]])))
    }

    /// Waits until one of these events is reported.
    #[track_caller]
    pub fn expect(&self, one_of: &[zmq::SocketEvent]) -> zmq::SocketEvent {
        let mut seen = Vec::new();
        loop {
            let event = self.event(PATIENCE / 2);
            let event =
                event.unwrap_or_else(|| panic!("in vain waited for one of {one_of:?} after {seen:?}"));
            seen.push(event);
            if one_of.contains(&event) {
                return event;
            }
        }
    }
}

impl Deref for Watched {
    type Target = zmq::Socket;

    fn deref(&self) -> &zmq::Socket {
        self.socket.as_ref().expect("it is there until the end")
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.socket = None;
        while self.event(PATIENCE).is_some_and(|event| event != zmq::SocketEvent::MONITOR_STOPPED) {}
    }
}
