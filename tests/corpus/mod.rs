//! The corpus: what hostile, broken and merely strange peers say to a socket, and what is to come of it. One table for
//! all tests: in memory (`src/session/corpus.rs`), over TCP (`tests/hostile.rs`), and as a flood.
//!
//! The numbers are those of a catalogue of malformed input. What is no matter of octets, or of very many, has a test of
//! its own, which [`ELSEWHERE`] names.
#![allow(dead_code, unused_imports, unreachable_pub)] // every user takes another part of it

mod elsewhere;
mod greeting;
mod handshake;
mod patterns;
mod traffic;
#[allow(clippy::duplicate_mod)] // some users have it from `common` as well
#[path = "../common/wire.rs"]
pub mod wire;

use std::time::Duration;

pub use elsewhere::{ELSEWHERE, Elsewhere};

/// One row: what a stranger does to a socket, and what is to come of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The number in the catalogue.
    pub number: u8,
    /// What is odd about it.
    pub name: String,
    /// The type of the socket that it is done to.
    pub socket: &'static str,
    /// The most octets of a message that the socket takes, if not its default.
    pub max_message_size: Option<usize>,
    /// What the stranger does, in this order. Then it waits.
    pub deeds: Vec<Deed>,
    pub reaction: Reaction,
    /// The messages that come out of the socket, in order. Nothing else does.
    pub delivered: Vec<Vec<Vec<u8>>>,
    /// The commands that the stranger hears after the handshake.
    pub answer: Vec<u8>,
    /// What libzmq does instead, where it does something else.
    pub libzmq: Option<&'static str>,
}

/// Something that a stranger does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Says this.
    Say(Vec<u8>),
    /// Says this, one octet at a time, and so slowly that the time for the handshake is over before it is all said.
    Trickle(Vec<u8>),
    /// Waits until it has heard what the row has for an answer.
    Await,
    /// Says that nothing more will come.
    Finish,
    /// Dies without a good-bye.
    Reset,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The connection is ended at once, for a violation of this name.
    Close(&'static str),
    /// The connection goes on, and what was odd is passed over.
    Ignore,
    /// The connection goes on, and all is in order.
    Accept,
    /// The connection is kept, and more is waited for.
    Wait,
    /// The connection is ended when the time for the handshake is over, and not before.
    Timeout,
    /// The connection is ended after this silence, and not before.
    Lapse(Duration),
    /// The stranger ends the connection itself, and that is all.
    Gone,
}

impl Row {
    /// Octets for a PULL, from what is a PUSH, if anything.
    fn new(number: u8, name: impl Into<String>, octets: impl Into<Vec<u8>>, reaction: Reaction) -> Self {
        Self {
            number,
            name: name.into(),
            socket: "PULL",
            max_message_size: None,
            deeds: vec![Deed::Say(octets.into())],
            reaction,
            delivered: Vec::new(),
            answer: Vec::new(),
            libzmq: None,
        }
    }

    /// It is done to a socket of this type.
    fn to(self, socket: &'static str) -> Self {
        Self { socket, ..self }
    }

    fn max_message_size(self, octets: usize) -> Self {
        Self { max_message_size: Some(octets), ..self }
    }

    fn then(mut self, deed: Deed) -> Self {
        self.deeds.push(deed);
        self
    }

    /// This message comes out, too.
    fn delivers(mut self, parts: &[&[u8]]) -> Self {
        self.delivered.push(parts.iter().map(|part| part.to_vec()).collect());
        self
    }

    /// These commands are answered.
    fn answers(self, commands: impl Into<Vec<u8>>) -> Self {
        Self { answer: commands.into(), ..self }
    }

    fn libzmq(self, does: &'static str) -> Self {
        Self { libzmq: Some(does), ..self }
    }

    /// All that the stranger says.
    pub fn octets(&self) -> Vec<u8> {
        let said = self.deeds.iter().map(|deed| match deed {
            Deed::Say(octets) | Deed::Trickle(octets) => &octets[..],
            Deed::Await | Deed::Finish | Deed::Reset => &[],
        });
        said.collect::<Vec<_>>().concat()
    }

    /// Number and name.
    pub fn title(&self) -> String {
        format!("{}, {}, to a {}", self.number, self.name, self.socket)
    }
}

/// The whole table.
pub fn rows() -> Vec<Row> {
    [greeting::rows(), handshake::rows(), traffic::rows(), patterns::rows()].concat()
}

/// Everything that strangers say, each with its title, for those who only want to throw it at a socket.
pub fn octets() -> Vec<(String, Vec<u8>)> {
    rows().iter().map(|row| (row.title(), row.octets())).collect()
}

/// The numbers of the catalogue that are for the NULL mechanism and the interface.
pub fn numbers() -> impl Iterator<Item = u8> {
    (1..=91).chain(114..=117)
}

/// A sound greeting with the NULL mechanism.
fn sound_greeting() -> Vec<u8> {
    wire::greeting(3, 1, "NULL")
}

/// A sound greeting, and then this.
fn greeted(then: &[u8]) -> Vec<u8> {
    [&sound_greeting()[..], then].concat()
}

/// A sound handshake of a socket of this type, and then this.
fn ready(socket_type: &str, then: &[u8]) -> Vec<u8> {
    [&sound_greeting()[..], &wire::ready(socket_type), then].concat()
}
