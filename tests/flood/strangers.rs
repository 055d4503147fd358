//! Strangers with bad manners, many at a time, in a process of their own.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::process::{orders, say, task};
use crate::common::{Process, Rng, raw};
use crate::corpus::{self, Deed, Row};

/// Strangers at a time.
pub(crate) const CROWD: usize = 200;

/// The process of the strangers.
pub(crate) struct Strangers(Process);

impl Strangers {
    pub(crate) fn start(at: impl Display) -> Self {
        Self(Process::start("strangers::the_strangers", at))
    }

    /// A crowd of them comes and goes.
    pub(crate) fn come(&mut self, seed: u64, meanwhile: impl FnOnce()) {
        self.0.tell(seed);
        meanwhile();
        self.0.hear();
    }
}

/// The rows of the corpus that fit any socket as it is, also those that are meant for another type.
pub(crate) fn manners() -> Vec<Row> {
    corpus::rows().into_iter().filter(|row| row.max_message_size.is_none()).collect()
}

/// Begins another crowd for each line, with that for its seed, and tells when it is gone.
#[test]
#[ignore = "the process that the other tests start for the strangers in it"]
fn the_strangers() {
    let Some(at) = task() else { return };
    let (at, rows) = (raw::address(at), manners());
    for seed in orders() {
        let mut rng = Rng(seed.parse().unwrap());
        thread::scope(|scope| {
            for stranger in 0..CROWD {
                let row = &rows[rng.below(rows.len() as u64) as usize];
                scope.spawn(move || intrude(at, stranger, row));
            }
        });
        say("gone");
    }
}

/// Does what the row says, and stays for its time, whatever the other side does, so that a crowd is a crowd.
fn intrude(at: SocketAddr, stranger: usize, row: &Row) {
    let start = Instant::now();
    let own = SocketAddr::from(([127, 0, 1, 1 + stranger as u8], 0));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&own.into()).unwrap();
    socket.connect(&at.into()).unwrap();
    let mut peer = raw::Peer::new(socket.into());
    // The other side may hang up at any moment.
    let _ = act(&mut peer, &row.deeds);
    let left = STAY.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    peer.0.set_read_timeout(Some(left)).unwrap();
    let _ = io::copy(&mut peer.0, &mut io::sink());
    thread::sleep(STAY.saturating_sub(start.elapsed()));
    peer.reset();
}

fn act(peer: &mut raw::Peer, deeds: &[Deed]) -> io::Result<()> {
    for deed in deeds {
        match deed {
            Deed::Say(octets) => peer.0.write_all(octets)?,
            Deed::Trickle(octets) => peer.0.write_all(&octets[..octets.len() / 2])?,
            Deed::Finish => peer.0.shutdown(Shutdown::Write)?,
            // There is nothing to wait for, and a reset is everybody's end.
            Deed::Await | Deed::Reset => {}
        }
    }
    Ok(())
}

/// How long each of them stays.
const STAY: Duration = Duration::from_millis(300);
