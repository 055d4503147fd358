//! A ZMTP peer by hand, over a plain [`TcpStream`]: it does what a test tells it to and nothing else.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::PATIENCE;
pub use super::wire::*;

/// Where an endpoint is, on this machine.
pub fn address(endpoint: impl Display) -> SocketAddr {
    endpoint.to_string().strip_prefix("tcp://").expect("a tcp endpoint").parse().expect("a numeric address")
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub flags: u8,
    pub body: Vec<u8>,
}

pub struct Peer(pub TcpStream);

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// A TCP connection to a bound socket, and nothing said yet.
    pub fn connect(endpoint: impl Display) -> Self {
        Self::new(TcpStream::connect(address(endpoint)).unwrap())
    }

    /// The TCP connection of a dialling socket, and nothing said yet.
    pub fn accept(listener: &TcpListener) -> Self {
        Self::new(listener.accept().unwrap().0)
    }

    /// A peer that has finished its handshake with a bound socket.
    pub fn dial(endpoint: impl Display, socket_type: &str) -> Self {
        Self::connect(endpoint).shake_hands(socket_type)
    }

    /// A peer that has finished its handshake with a dialling socket.
    pub fn answer(listener: &TcpListener, socket_type: &str) -> Self {
        Self::accept(listener).shake_hands(socket_type)
    }

    pub fn shake_hands(mut self, socket_type: &str) -> Self {
        self.write(&[greeting(3, 1, "NULL"), ready(socket_type)].concat());
        self.read_handshake();
        self
    }

    /// Reads greeting and READY of the other side; returns the body of READY.
    #[track_caller]
    pub fn read_handshake(&mut self) -> Vec<u8> {
        let greeting = self.read(64);
        assert_eq!((greeting[0], greeting[9]), (0xFF, 0x7F), "a greeting starts with the signature");
        let ready = self.frame();
        assert_eq!(ready.flags, COMMAND);
        assert!(ready.body.starts_with(b"\x05READY"), "the first command is READY, not {ready:?}");
        ready.body
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Writes octet by octet, each in a segment of its own. The other side may hang up meanwhile.
    pub fn dribble(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.0.write_all(&[*byte]).is_err() {
                return;
            }
        }
    }

    /// Sends a message.
    #[track_caller]
    pub fn send(&mut self, parts: &[&[u8]]) {
        self.write(&message(parts));
    }

    #[track_caller]
    pub fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame")
    }

    /// The next frame, or nothing if the connection ends before it is whole.
    pub fn try_frame(&mut self) -> Option<Frame> {
        self.read_frame().map_err(|error| assert!(is_end(&error), "while reading a frame: {error}")).ok()
    }

    /// The next frame, or what went wrong.
    pub fn read_frame(&mut self) -> io::Result<Frame> {
        let mut flags = [0];
        self.0.read_exact(&mut flags)?;
        let len = if flags[0] & LONG == 0 {
            let mut len = [0];
            self.0.read_exact(&mut len)?;
            len[0].into()
        } else {
            let mut len = [0; 8];
            self.0.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        };
        let mut body = vec![0; len as usize];
        self.0.read_exact(&mut body)?;
        Ok(Frame { flags: flags[0], body })
    }

    /// The parts of the next message, or nothing if the connection ends before it is whole. Commands are skipped.
    pub fn message(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        loop {
            let frame = self.try_frame()?;
            if frame.flags & COMMAND == 0 {
                parts.push(frame.body);
                if frame.flags & MORE == 0 {
                    return Some(parts);
                }
            }
        }
    }

    /// The only part of the next message.
    #[track_caller]
    pub fn single(&mut self) -> Vec<u8> {
        let mut parts = self.message().expect("a message");
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    /// Sends a PING; its PONG comes when all before it has been taken in.
    #[track_caller]
    pub fn ping(&mut self, context: &[u8]) {
        self.write(&command("PING", &[&[0, 0], context].concat()));
    }

    #[track_caller]
    pub fn expect_pong(&mut self, context: &[u8]) {
        let expected = [b"\x04PONG", context].concat();
        assert_eq!(self.frame(), Frame { flags: COMMAND, body: expected });
    }

    /// Waits until all it has said before is taken in.
    #[track_caller]
    pub fn sync(&mut self) {
        self.ping(b"sync");
        self.expect_pong(b"sync");
    }

    /// Waits for the other side to hang up. Whatever it still says is read and left unread by anybody.
    #[track_caller]
    pub fn expect_closed(&mut self, deadline: Duration) {
        self.0.set_read_timeout(Some(deadline)).unwrap();
        let end = io::copy(&mut self.0, &mut io::sink());
        assert!(end.as_ref().map_or_else(is_end, |_| true), "not closed within {deadline:?}: {end:?}");
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Dies without a good-bye: the other side sees a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}
