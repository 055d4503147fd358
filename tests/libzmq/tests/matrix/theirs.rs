//! Sockets of libzmq as ends of a pair.

use std::cell::Cell;
use std::time::Duration;

use ferromq::SocketType;
use zmq::SocketEvent::{
    DISCONNECTED, HANDSHAKE_FAILED_AUTH, HANDSHAKE_FAILED_NO_DETAIL, HANDSHAKE_FAILED_PROTOCOL,
    HANDSHAKE_SUCCEEDED,
};

use crate::common::{Watched, eventually};
use crate::pairs::{End, Library, Parts};

/// Makes sockets of a context of libzmq.
pub struct Theirs(pub zmq::Context);

impl Library for Theirs {
    fn socket(&self, kind: SocketType, name: &str) -> Box<dyn End> {
        let socket = Watched::new(&self.0, of(kind));
        if kind == SocketType::Router {
            socket.set_router_mandatory(true).unwrap();
        }
        if !name.is_empty() {
            socket.set_identity(name.as_bytes()).unwrap();
        }
        Box::new(Socket { kind, socket, let_in: Cell::new(0), ended: Cell::new(0) })
    }
}

fn of(kind: SocketType) -> zmq::SocketType {
    match kind {
        SocketType::Pair => zmq::PAIR,
        SocketType::Pub => zmq::PUB,
        SocketType::Sub => zmq::SUB,
        SocketType::Req => zmq::REQ,
        SocketType::Rep => zmq::REP,
        SocketType::Dealer => zmq::DEALER,
        SocketType::Router => zmq::ROUTER,
        SocketType::Pull => zmq::PULL,
        SocketType::Push => zmq::PUSH,
        SocketType::XPub => zmq::XPUB,
        SocketType::XSub => zmq::XSUB,
        other => panic!("{other} is new to the matrix"),
    }
}

struct Socket {
    kind: SocketType,
    socket: Watched,
    /// Handshakes that have succeeded so far, by its own report.
    let_in: Cell<usize>,
    /// Reports of connections that have ended, in the handshake or later.
    ended: Cell<usize>,
}

impl Socket {
    fn take_reports(&self) {
        while let Some(event) = self.socket.event(Duration::ZERO) {
            match event {
                HANDSHAKE_SUCCEEDED => self.let_in.set(self.let_in.get() + 1),
                DISCONNECTED
                | HANDSHAKE_FAILED_AUTH
                | HANDSHAKE_FAILED_NO_DETAIL
                | HANDSHAKE_FAILED_PROTOCOL => self.ended.set(self.ended.get() + 1),
                _ => {}
            }
        }
    }
}

impl End for Socket {
    fn kind(&self) -> SocketType {
        self.kind
    }

    fn bind(&self, place: &str) -> String {
        self.socket.bind(place).unwrap();
        self.socket.get_last_endpoint().unwrap().unwrap()
    }

    fn connect(&self, at: &str) {
        self.socket.connect(at).unwrap();
    }

    fn connect_as(&self, _: &str, _: &str) {
        panic!("the binding of libzmq has no call for this");
    }

    /// libzmq may have given the endpoint up by itself.
    fn disconnect(&self, at: &str) {
        let ended = self.socket.disconnect(at);
        assert!(matches!(ended, Ok(()) | Err(zmq::Error::ENOENT)), "{ended:?}");
    }

    fn send(&self, parts: &[Vec<u8>]) {
        self.socket.send_multipart(parts.iter().map(|part| &part[..]), 0).unwrap();
    }

    fn try_send(&self, parts: &[Vec<u8>]) -> bool {
        self.socket.send_multipart(parts.iter().map(|part| &part[..]), zmq::DONTWAIT).is_ok()
    }

    fn recv(&self) -> Parts {
        self.socket.recv_multipart(0).unwrap()
    }

    fn try_recv(&self) -> Option<Parts> {
        self.socket.recv_multipart(zmq::DONTWAIT).ok()
    }

    fn subscribe(&self, topic: &[u8]) {
        self.socket.set_subscribe(topic).unwrap();
    }

    fn unsubscribe(&self, topic: &[u8]) {
        self.socket.set_unsubscribe(topic).unwrap();
    }

    fn expect_refusal(&self) {
        eventually("libzmq reports a refusal", || {
            self.take_reports();
            self.ended.get() > 0
        });
        assert_eq!(self.let_in.get(), 0, "{} of libzmq let a stranger in", self.kind);
    }

    fn peers(&self) -> usize {
        self.take_reports();
        self.let_in.get()
    }
}
