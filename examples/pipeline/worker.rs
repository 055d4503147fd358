//! Counts the words of one parcel after the other.

use std::thread;
use std::time::{Duration, Instant};

use ferromq::{Context, Pull, Push, RecvError};

use crate::Failure;
use crate::options::Options;
use crate::wire::{Count, Parcel};

/// Works until the ventilator hangs up.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    // A short queue, for the same reason as in the ventilator.
    let tasks = context.socket::<Pull>().recv_hwm(2).recv_buffer(BUFFER).build()?;
    tasks.connect(options.tasks()?)?;
    let results = context.socket::<Push>().linger(LINGER).build()?;
    results.connect(options.results()?)?;

    let start = Instant::now();
    let mut met = false;
    loop {
        match tasks.recv_timeout(GLANCE) {
            Ok(message) => {
                met = true;
                if let Some(pause) = options.slow {
                    thread::sleep(pause);
                }
                match Parcel::read(&message) {
                    Ok(parcel) => results.send_timeout(count(&parcel, &options.name), options.wait)?,
                    Err(error) => eprintln!("{}: ignoring {error}", options.name),
                }
            }
            Err(RecvError::TimedOut) if tasks.stats().peers > 0 => met = true,
            Err(RecvError::TimedOut) if met => return Ok(()),
            Err(RecvError::TimedOut) if start.elapsed() < options.wait => {}
            Err(RecvError::TimedOut) => return Err(format!("no ventilator at {}", options.tasks()?).into()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn count<'a>(parcel: &Parcel<'_>, worker: &'a str) -> Count<'a> {
    let mut count = Count { id: parcel.id, worker, files: 0, words: 0, bytes: 0 };
    for piece in &parcel.pieces {
        count.files += u64::from(piece.offset == 0);
        count.words += words(piece.text);
        count.bytes += piece.text.len() as u64;
    }
    count
}

/// How many words a text has, that is, runs of anything but white space.
fn words(text: &[u8]) -> u64 {
    let mut words = 0;
    let mut in_word = false;
    for byte in text {
        let is_letter = !byte.is_ascii_whitespace();
        words += u64::from(is_letter && !in_word);
        in_word = is_letter;
    }
    words
}

/// How often to look whether the ventilator is still there.
const GLANCE: Duration = Duration::from_millis(100);
const BUFFER: usize = 64 << 10;
/// When the ventilator has gone, it had all results: those that are left are copies.
const LINGER: Duration = Duration::from_millis(200);
