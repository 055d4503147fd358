//! A stranger that plays a row of the corpus over TCP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::victim::{Plan, Victim};
use crate::common::raw::Peer;
use crate::corpus::{Deed, Reaction, Row, wire};

/// Who goes to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The stranger comes to the victim, which is bound.
    Bound,
    /// The victim goes to the stranger.
    Dialling,
}

/// How octets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    InOneWrite,
    OctetByOctet,
}

/// Plays a row, and returns how the victim's monitor calls the stranger.
pub(crate) fn play(
    victim: &dyn Victim,
    plan: Plan,
    row: &Row,
    (way, manner): (Way, Manner),
) -> Result<String, String> {
    let start = Instant::now();
    match way {
        Way::Bound => {
            let peer = Peer::connect(victim.endpoint());
            let name = format!("tcp://{}", peer.0.local_addr().unwrap());
            Stranger::new(peer, start).play(plan, row, manner)?;
            Ok(name)
        }
        Way::Dialling => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let name = format!("tcp://{}", listener.local_addr().unwrap());
            victim.connect(&name);
            let outcome = Stranger::new(Peer::accept(&listener), start).play(plan, row, manner);
            drop(listener);
            victim.disconnect(&name);
            outcome.map(|()| name)
        }
    }
}

struct Stranger {
    /// Gone after a reset.
    peer: Option<Peer>,
    /// When the connection was about to be made.
    start: Instant,
    /// Whether the greeting of the other side is read.
    greeted: bool,
    /// The PONGs that have come.
    pongs: Vec<u8>,
}

impl Stranger {
    fn new(peer: Peer, start: Instant) -> Self {
        peer.0.set_read_timeout(Some(AT_ONCE)).unwrap();
        Self { peer: Some(peer), start, greeted: false, pongs: Vec::new() }
    }

    fn play(mut self, plan: Plan, row: &Row, manner: Manner) -> Result<(), String> {
        for deed in &row.deeds {
            match deed {
                Deed::Say(octets) => self.say(octets, manner),
                Deed::Trickle(octets) => self.trickle(octets, plan.handshake_timeout / 40),
                Deed::Await => self.hear(&row.answer)?,
                Deed::Finish => self.peer.iter().for_each(Peer::finish),
                Deed::Reset => self.peer.take().into_iter().for_each(Peer::reset),
            }
        }
        match row.reaction {
            Reaction::Gone if self.peer.is_none() => Ok(()),
            Reaction::Close(_) | Reaction::Gone => self.expect_end(Duration::ZERO),
            Reaction::Timeout => self.expect_end(plan.handshake_timeout),
            Reaction::Lapse(silence) if silence < AT_ONCE => self.expect_end(silence),
            Reaction::Wait => self.expect_silence(),
            Reaction::Accept | Reaction::Ignore | Reaction::Lapse(_) => self.expect_life(&row.answer),
        }
    }

    /// Says it as far as the other side lets it.
    fn say(&mut self, octets: &[u8], manner: Manner) {
        let (first, rest) = match manner {
            Manner::InOneWrite => (&[][..], octets),
            Manner::OctetByOctet => octets.split_at(octets.len().min(INTERESTING)),
        };
        let Some(peer) = &mut self.peer else { return };
        let gone = first.iter().any(|octet| peer.0.write_all(&[*octet]).is_err());
        if !gone {
            let _may_be_gone = peer.0.write_all(rest);
        }
    }

    fn trickle(&mut self, octets: &[u8], pause: Duration) {
        let Some(peer) = &mut self.peer else { return };
        for octet in octets {
            thread::sleep(pause);
            if peer.0.write_all(&[*octet]).is_err() {
                return;
            }
        }
    }

    /// The other side ends the connection, when it has lasted for so long and not much sooner: the event loop reads the
    /// clock once in a turn, and on a busy machine that may be some time before the connection is accepted.
    fn expect_end(&mut self, least: Duration) -> Result<(), String> {
        let ended = self.is_ended_within(least + AT_ONCE);
        let age = self.start.elapsed();
        if !ended || age < least * 3 / 4 {
            return Err(format!(
                "the connection is {age:?} old and {}",
                if ended { "ended" } else { "not ended" }
            ));
        }
        Ok(())
    }

    /// For a while nothing happens.
    fn expect_silence(&mut self) -> Result<(), String> {
        if self.is_ended_within(WHILE) { Err("the connection is ended".into()) } else { Ok(()) }
    }

    fn is_ended_within(&mut self, time: Duration) -> bool {
        let Some(peer) = &mut self.peer else { return true };
        peer.0.set_read_timeout(Some(time)).unwrap();
        match io::copy(&mut peer.0, &mut io::sink()) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// A PING is answered, and before that what is to be answered.
    fn expect_life(&mut self, answer: &[u8]) -> Result<(), String> {
        self.say(&wire::command("PING", b"\0\0alive?"), Manner::InOneWrite);
        self.hear(&[answer, &wire::command("PONG", b"alive?")].concat())
    }

    /// Reads until so many PONGs have come, which are to be these.
    fn hear(&mut self, pongs: &[u8]) -> Result<(), String> {
        let peer = self.peer.as_mut().ok_or("it is gone")?;
        if !self.greeted {
            peer.0.read_exact(&mut [0; 64]).map_err(|error| format!("no greeting: {error}"))?;
            self.greeted = true;
        }
        while self.pongs.len() < pongs.len() {
            let frame = peer.read_frame().map_err(|error| format!("no answer: {error}"))?;
            if frame.flags == wire::COMMAND && frame.body.starts_with(b"\x04PONG") {
                self.pongs.extend(wire::frame(frame.flags, &frame.body));
            }
        }
        if self.pongs == pongs { Ok(()) } else { Err(format!("the answer is {:?}", self.pongs)) }
    }
}

/// What happens at once does so within this time, on a busy machine; a patient handshake takes longer.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long it is observed that nothing happens.
const WHILE: Duration = Duration::from_millis(50);
/// Octets that are more than any handshake. What is longer is boring, and would take long octet by octet.
const INTERESTING: usize = 1000;
