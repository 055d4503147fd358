//! How far it is: a live line for people, and now and then a line for a log or for the process that started this one.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use crate::say;
use crate::wire::Start;

/// What has been counted of what is expected.
pub(crate) struct Progress {
    expected: Option<Start>,
    parcels: u64,
    bytes: u64,
    started: Instant,
    drawn: Instant,
    said: (u64, Instant),
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { expected: None, parcels: 0, bytes: 0, started: now, drawn: now, said: (0, now) }
    }

    pub(crate) fn expect(&mut self, start: Start) {
        self.expected = Some(start);
        self.started = Instant::now();
    }

    /// One more parcel of so many bytes has been counted.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.parcels += 1;
        self.bytes += bytes;
        if self.drawn.elapsed() > REDRAW && stderr().is_terminal() {
            self.draw();
        }
        let quarters = self.percent() / 25;
        if quarters > self.said.0 || self.said.1.elapsed() > SIGN_OF_LIFE {
            self.said = (quarters, Instant::now());
            if !stdout().is_terminal() {
                say(format_args!("{:>3}{COUNTED}", self.percent()));
            }
        }
    }

    /// Completes the live line.
    pub(crate) fn finish(&mut self) {
        if stderr().is_terminal() {
            self.draw();
            eprintln!();
        }
    }

    fn draw(&mut self) {
        self.drawn = Instant::now();
        let all = self.expected.as_ref().map_or(0, |start| start.bytes);
        let [done, all] = [self.bytes, all].map(|bytes| bytes as f64 / f64::from(1 << 20));
        let rate = done / self.started.elapsed().as_secs_f64().max(1e-3);
        eprint!("\r{:>3} %  {done:.0} of {all:.0} MiB, {rate:.0} MiB/s  ", self.percent());
        let _ = stderr().flush();
    }

    fn percent(&self) -> u64 {
        self.expected.as_ref().map_or(0, |start| 100 * self.parcels / start.parcels.max(1))
    }
}

/// What a line of the log says, if it is one about the progress.
pub(crate) fn percent(line: &str) -> Option<u64> {
    line.strip_suffix(COUNTED)?.trim_start().parse().ok()
}

const COUNTED: &str = " % counted";
const REDRAW: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
