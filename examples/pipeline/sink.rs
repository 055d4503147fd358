//! Adds up what the workers have counted, and checks the total.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use ferromq::{Context, Pull, Push, RecvError, Socket};

use crate::options::Options;
use crate::progress::Progress;
use crate::wire::{self, Count, End, Report};
use crate::{Failure, say};

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let results = context.socket::<Pull>().build()?;
    let results_at = results.bind(options.results()?)?;
    let feedback = context.socket::<Push>().linger(LINGER).build()?;
    let feedback_at = feedback.bind(options.feedback()?)?;
    say(format_args!("results {results_at}"));
    say(format_args!("feedback {feedback_at}"));

    let mut tally = Tally::default();
    let end = collect(&mut tally, &results, &feedback, options.wait)?;
    tally.print(&end);
    tally.check(&end)
}

/// Takes reports until the ventilator says that it was the last.
fn collect(
    tally: &mut Tally,
    results: &Socket<Pull>,
    feedback: &Socket<Push>,
    wait: Duration,
) -> Result<End, Failure> {
    let mut progress = Progress::new();
    let mut arrived = Arrived::new();
    let mut heard = Instant::now();
    loop {
        arrived.tell(feedback);
        let message = match results.recv_timeout(Arrived::INTERVAL) {
            Ok(message) => message,
            Err(RecvError::TimedOut) if heard.elapsed() < wait => continue,
            Err(RecvError::TimedOut) => return Err(format!("nothing came for {} s", wait.as_secs()).into()),
            Err(error) => return Err(error.into()),
        };
        heard = Instant::now();
        match Report::read(&message) {
            Ok(Report::Start(start)) => {
                tally.tick();
                progress.expect(start);
            }
            Ok(Report::Count(count)) => {
                arrived.ids.push(count.id);
                if tally.add(&count) {
                    progress.advance(count.bytes);
                }
            }
            Ok(Report::End(end)) => {
                progress.finish();
                return Ok(end);
            }
            Err(error) => eprintln!("sink: ignoring {error}"),
        }
    }
}

/// The parcels whose arrival the ventilator does not know yet.
struct Arrived {
    ids: Vec<u64>,
    told: Instant,
}

impl Arrived {
    /// How often the ventilator is told, so that this does not cost a message per parcel.
    const INTERVAL: Duration = Duration::from_millis(20);

    fn new() -> Self {
        Self { ids: Vec::new(), told: Instant::now() }
    }

    fn tell(&mut self, feedback: &Socket<Push>) {
        if self.ids.is_empty() || self.told.elapsed() < Self::INTERVAL {
            return;
        }
        self.told = Instant::now();
        // Never a blocking send: the ventilator may be waiting for workers, and these for us. What is refused now
        // is told next time.
        if feedback.try_send(wire::write_arrived(&self.ids)).is_ok() {
            self.ids.clear();
        }
    }
}

/// The sum of all parcels, each counted once.
#[derive(Default)]
struct Tally {
    seen: HashSet<u64>,
    copies: u64,
    shares: BTreeMap<String, Share>,
    /// When the first and the last report came.
    clock: Option<(Instant, Instant)>,
}

/// What one worker did, or all of them.
#[derive(Default)]
struct Share {
    files: u64,
    parcels: u64,
    bytes: u64,
    words: u64,
}

impl Tally {
    fn tick(&mut self) {
        let now = Instant::now();
        self.clock = Some((self.clock.map_or(now, |(first, _)| first), now));
    }

    /// Returns whether the parcel is a new one.
    fn add(&mut self, count: &Count<'_>) -> bool {
        self.tick();
        if !self.seen.insert(count.id) {
            self.copies += 1;
            return false;
        }
        self.shares.entry(count.worker.to_owned()).or_default().add(count);
        true
    }

    fn total(&self) -> Share {
        let mut total = Share::default();
        for share in self.shares.values() {
            total.files += share.files;
            total.parcels += share.parcels;
            total.bytes += share.bytes;
            total.words += share.words;
        }
        total
    }

    fn print(&self, end: &End) {
        let total = self.total();
        say(format_args!("{:<16} {:>8} {:>8} {:>10} {:>7}", "worker", "files", "parcels", "MiB", "share"));
        for (worker, share) in &self.shares {
            share.print(worker, &total);
        }
        total.print("all", &total);

        let seconds = self.clock.map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
        let per_second = |number: f64| number / seconds.max(1e-3);
        let (mib, parcels) = (per_second(mebibytes(total.bytes)), per_second(total.parcels as f64));
        say(format_args!("{seconds:.2} s, {mib:.0} MiB/s, {parcels:.0} parcels/s"));
        self.print_losses(end);
    }

    fn print_losses(&self, end: &End) {
        if end.requeued > 0 || end.unconfirmed > 0 {
            say(format_args!(
                "{} messages were written to connections that got lost, {} more were taken back from their queues",
                end.unconfirmed, end.requeued
            ));
        }
        if !end.again.is_empty() {
            say(format_args!("{} parcels were lost or late, and sent again:", end.again.len()));
            for name in &end.again {
                say(format_args!("  {name}"));
            }
        }
        if self.copies > 0 {
            say(format_args!("{} parcels came twice and were counted once", self.copies));
        }
    }

    fn check(&self, end: &End) -> Result<(), Failure> {
        let Share { files, words, .. } = self.total();
        if (files, words) == (end.files, end.words) {
            say(format_args!("OK: {words} words in {files} files, equal to the direct count"));
            return Ok(());
        }
        let direct = format!("the direct count is {} words in {} files", end.words, end.files);
        Err(format!("WRONG: {words} words in {files} files, but {direct}").into())
    }
}

impl Share {
    fn add(&mut self, count: &Count<'_>) {
        self.files += count.files;
        self.parcels += 1;
        self.bytes += count.bytes;
        self.words += count.words;
    }

    fn print(&self, name: &str, total: &Self) {
        let Self { files, parcels, bytes, .. } = self;
        let percent = 100.0 * *bytes as f64 / total.bytes.max(1) as f64;
        say(format_args!("{name:<16} {files:>8} {parcels:>8} {:>10.1} {percent:>5.0} %", mebibytes(*bytes)));
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Nothing is left to say once the ventilator has ended.
const LINGER: Duration = Duration::ZERO;
