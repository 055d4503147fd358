//! Gives out the parcels, and once more those that are lost or late.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ferromq::{Context, Pull, Push, RecvError, Socket};

use crate::corpus::Corpus;
use crate::options::Options;
use crate::wire::{self, End, Start};
use crate::{Failure, say};

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let corpus = Corpus::read(&options.path)?;
    let times = options.repeat.unwrap_or_else(|| WORTHWHILE.div_ceil(corpus.bytes()).min(OFTEN));

    let context = Context::new()?;
    // Short queues, because what stands in line for a slow worker is lost to the fast ones. No linger, because once
    // every parcel has arrived, what is left in a queue is a copy.
    let tasks = context.socket::<Push>().send_hwm(2).send_buffer(BUFFER).linger(Duration::ZERO).build()?;
    let at = tasks.bind(options.tasks()?)?;
    let results = context.socket::<Push>().linger(LINGER).build()?;
    results.connect(options.results()?)?;
    let feedback = context.socket::<Pull>().build()?;
    feedback.connect(options.feedback()?)?;
    say(format_args!("tasks {at}"));

    results.wait_connected(1, options.wait).map_err(|error| format!("waiting for the sink: {error}"))?;
    tasks
        .wait_connected(options.workers, options.wait)
        .map_err(|error| format!("waiting for {} workers: {error}", options.workers))?;

    let parcels = corpus.parcels() * times;
    results.send_timeout(Start { parcels, bytes: corpus.bytes() * times }, options.wait)?;
    let mut ventilator = Ventilator {
        corpus: &corpus,
        tasks: &tasks,
        feedback: &feedback,
        wait: options.wait,
        workers: options.workers,
        progressed: Instant::now(),
        missing: BTreeSet::new(),
        again: BTreeSet::new(),
    };
    for id in 0..parcels {
        ventilator.send(id)?;
        ventilator.listen()?;
    }
    ventilator.finish()?;

    let stats = tasks.stats();
    let end = End {
        files: corpus.files() * times,
        words: corpus.words() * times,
        requeued: stats.requeued,
        unconfirmed: stats.unconfirmed,
        again: ventilator.again.iter().map(|&id| name(&corpus, id)).collect(),
    };
    results.send_timeout(end, options.wait)?;
    match results.close(LINGER).unsent.len() {
        0 => Ok(()),
        _ => Err("the sink did not take the last message".into()),
    }
}

struct Ventilator<'a> {
    corpus: &'a Corpus,
    tasks: &'a Socket<Push>,
    feedback: &'a Socket<Pull>,
    wait: Duration,
    /// How many workers there were at first.
    workers: usize,
    /// When we last heard of a parcel that has arrived.
    progressed: Instant,
    /// Given out, and not yet at the sink as far as we know.
    missing: BTreeSet<u64>,
    /// Given out more than once.
    again: BTreeSet<u64>,
}

impl Ventilator<'_> {
    fn send(&mut self, id: u64) -> Result<(), Failure> {
        self.missing.insert(id);
        let sent = self.tasks.send_timeout(self.corpus.parcel(id), self.wait);
        sent.map_err(|error| format!("no worker takes parcel {}: {error}", name(self.corpus, id)).into())
    }

    /// Takes what the sink has said so far.
    fn listen(&mut self) -> Result<(), Failure> {
        loop {
            match self.feedback.try_recv() {
                Ok(message) => self.strike_off(wire::read_arrived(&message)),
                Err(RecvError::Empty) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns when every parcel has arrived at the sink, however often it has to be sent.
    fn finish(&mut self) -> Result<(), Failure> {
        let mut sent = Instant::now();
        let mut patience = 1;
        while !self.missing.is_empty() {
            match self.feedback.recv_timeout(GLANCE) {
                Ok(message) => self.strike_off(wire::read_arrived(&message)),
                Err(RecvError::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if self.progressed.elapsed() > self.wait {
                return Err(
                    format!("{} parcels do not arrive, however often sent", self.missing.len()).into()
                );
            }
            if sent.elapsed() > patience * self.reasonable_time() {
                self.send_again()?;
                sent = Instant::now();
                patience *= 2;
            }
        }
        Ok(())
    }

    /// After how long a parcel counts as lost. If a worker has gone, it needs no benefit of the doubt.
    fn reasonable_time(&self) -> Duration {
        let workers = self.tasks.stats().peers;
        if workers < self.workers { Duration::from_millis(200) } else { Duration::from_secs(2) }
    }

    fn send_again(&mut self) -> Result<(), Failure> {
        for id in self.missing.clone() {
            self.again.insert(id);
            self.send(id)?;
            self.listen()?;
        }
        Ok(())
    }

    fn strike_off(&mut self, arrived: impl Iterator<Item = u64>) {
        for id in arrived {
            if self.missing.remove(&id) {
                self.progressed = Instant::now();
            }
        }
    }
}

/// What a parcel is called in the report.
fn name(corpus: &Corpus, id: u64) -> String {
    match &corpus.parcel(id).pieces[..] {
        [] => format!("number {id}, which is empty"),
        [only] => format!("number {id}, {} from byte {}", only.path, only.offset),
        [first, .., last] => format!("number {id}, {} to {}", first.path, last.path),
    }
}

/// The files are gone over until it is so many bytes, but no more than so often.
const WORTHWHILE: u64 = 256 << 20;
const OFTEN: u64 = 1000;
/// What the kernel may hold for one worker; by itself it would be megabytes.
const BUFFER: usize = 64 << 10;
const GLANCE: Duration = Duration::from_millis(50);
/// How long the last message to the sink may take.
const LINGER: Duration = Duration::from_secs(2);
