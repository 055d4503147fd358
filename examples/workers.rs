//! A pool of workers without a broker: a ROUTER gives jobs to DEALER workers, each time to the one that has been idle
//! for longest.
//!
//! ```text
//!                            ┌───────▶ worker
//!   dispatcher ◀── ready ────┼───────▶ worker
//!              ──── job ───▶ └───────▶ worker
//!              ◀── done ────
//! ```
//!
//! ```text
//! cargo run --example workers                        # a dispatcher and four workers, of which one crashes
//! cargo run --example workers -- dispatcher          # ends when the work is done; and in other terminals:
//! cargo run --example workers -- worker --slow 100   # as many as you like, and kill some
//! cargo run --example workers -- --help
//! ```
//!
//! | from | to | message parts |
//! |---|---|---|
//! | worker | dispatcher | `ready`, name: I can do something. Said again when nothing has come for a while |
//! | dispatcher | worker | `job`, its number, the first and the last of the numbers to look for primes among |
//! | worker | dispatcher | `done`, name, the number of the job, how many primes there are. I can do something again |
//! | dispatcher | worker | `end`: there is nothing more to do |
//!
//! Here no job waits in the queue of a busy worker, as it would with PUSH, since a job is only given to one that has
//! asked. A worker that crashes takes one job along: when that is not done in time it is given to another one. If the
//! first was merely slow there are two results, of which one counts. In the end the dispatcher compares the total with a
//! count of its own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferromq::{Context, Dealer, Endpoint, Message, RecvError, Refusal, Router, Socket};

/// Why a role gave up, for the person who started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
Counts primes with a pool of workers: a ROUTER gives jobs to DEALER workers, the least recently used one first.

usage: workers [all]
       workers dispatcher [--at ENDPOINT] [--jobs N] [--workers N] [--limit MS] [--wait SECS]
       workers worker     [--at ENDPOINT] [--name NAME] [--slow MS] [--crash N] [--wait SECS]

Without a role a dispatcher and four workers run in this process. One of them is slow, and one crashes.

  --at E         where the dispatcher binds, and the workers connect (default: tcp://127.0.0.1:5558)
  --jobs N       how many jobs there are: each is to count the primes among 1000 numbers (default: 200)
  --workers N    how many workers the dispatcher waits for before it begins (default: 1)
  --limit MS     how long a job may take before it is given to another worker (default: 1000)
  --name NAME    what the worker is called in the report (default: worker and its process id)
  --slow MS      how long the worker sleeps over each job (default: not at all)
  --crash N      the worker crashes over its Nth job
  --wait SECS    how long a part waits for the others before it gives up (default: 60)

The exit code is 0 if the total is right, 1 if it is not or if something failed, and 2 for a mistake on the command
line. A worker ends by itself, with the exit code 0, when the work is done.";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("workers: {mistake}; --help explains the usage");
            return ExitCode::from(2);
        }
    };
    let outcome = match options.role {
        Role::Help => {
            say(HELP);
            Ok(())
        }
        Role::All => all(&options),
        Role::Dispatcher => dispatch(&options),
        Role::Worker => work(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("workers: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A dispatcher and four workers.
fn all(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let router = context.socket::<Router>().build()?;
    let at = router.bind("tcp://127.0.0.1:0")?;
    let options = Options { workers: 4, limit: Duration::from_millis(300), ..options.clone() };
    let worker = |name: &str, slow, crash| Options {
        at: at.to_string(),
        name: name.into(),
        slow: Duration::from_millis(slow),
        crash,
        ..options.clone()
    };
    let workers = [
        worker("anna", 5, None),
        worker("bert", 5, None),
        worker("carl", 40, None),
        worker("dora", 5, Some(10)),
    ];
    say(format_args!("carl is slow, and dora will crash; all meet at {at}"));
    thread::scope(|scope| {
        for options in &workers {
            scope.spawn(|| {
                if let Err(failure) = work(options) {
                    say(failure);
                }
            });
        }
        Dispatcher::new(&router, &options).run()
    })
}

fn dispatch(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let router = context.socket::<Router>().build()?;
    say(format_args!("dispatching at {}", router.bind(options.at.as_str())?));
    Dispatcher::new(&router, options).run()
}

/// Does one job after the other, until there are no more.
fn work(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    // What is not sent when the dispatcher says that the work is done matters to nobody.
    let dealer = context.socket::<Dealer>().linger(Duration::ZERO).build()?;
    dealer.connect(options.at.as_str())?;
    let name = options.name.as_str();
    dealer.send(["ready", name])?;
    let (mut heard, mut jobs) = (Instant::now(), 0);
    loop {
        let message = match dealer.recv_timeout(RESTATE.min(options.wait)) {
            Ok(message) => message,
            Err(RecvError::TimedOut) if heard.elapsed() < options.wait => {
                // A dispatcher that was restarted has never heard of us. With no room it has not heard of us yet.
                let _ = dealer.try_send(["ready", name]);
                continue;
            }
            Err(RecvError::TimedOut) => {
                return Err(
                    format!("{name} has heard nothing from {} for {:?}", options.at, options.wait).into()
                );
            }
            Err(error) => return Err(error.into()),
        };
        heard = Instant::now();
        match words(&message)?[..] {
            ["job", job, first, last] => {
                jobs += 1;
                if options.crash == Some(jobs) {
                    drop(dealer.close(Duration::ZERO));
                    return Err(format!("{name} crashes over job {job}").into());
                }
                thread::sleep(options.slow);
                let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
                let primes = (first..=last).filter(|number| is_prime(*number)).count();
                dealer.send_timeout(["done", name, job, &primes.to_string()], options.wait)?;
            }
            ["end"] => return Ok(()),
            _ => return Err(format!("{name} was told {message:?}").into()),
        }
    }
}

/// Gives out jobs until all are done.
struct Dispatcher<'a> {
    router: &'a Socket<Router>,
    options: &'a Options,
    /// All workers that were ever heard of, by routing id, with their names.
    names: HashMap<Bytes, String>,
    /// The workers that have nothing to do, the least recently used one first.
    ready: VecDeque<Bytes>,
    /// What each of the others has to do, and since when.
    busy: HashMap<Bytes, (u64, Instant)>,
    /// The jobs that nobody has.
    pending: VecDeque<u64>,
    /// How many primes each job has found, once it is done.
    results: Vec<Option<u64>>,
    /// Who did how many jobs.
    done: BTreeMap<String, u64>,
    /// To whom the first jobs were given.
    first: Vec<String>,
    /// How often a job was given to another worker.
    again: u64,
}

impl<'a> Dispatcher<'a> {
    fn new(router: &'a Socket<Router>, options: &'a Options) -> Self {
        Self {
            router,
            options,
            names: HashMap::new(),
            ready: VecDeque::new(),
            busy: HashMap::new(),
            pending: (0..options.jobs).collect(),
            results: (0..options.jobs).map(|_| None).collect(),
            done: BTreeMap::new(),
            first: Vec::new(),
            again: 0,
        }
    }

    fn run(mut self) -> Result<(), Failure> {
        let (start, mut heard, mut begun) = (Instant::now(), Instant::now(), false);
        while self.results.iter().any(Option::is_none) {
            begun |= self.ready.len() >= self.options.workers;
            if begun {
                self.take_back();
                self.assign()?;
            }
            match self.router.recv_timeout(GLANCE) {
                Ok(message) => {
                    heard = Instant::now();
                    if self.hear(&message).is_none() {
                        say(format_args!("ignoring {message:?}"));
                    }
                }
                Err(RecvError::TimedOut) if heard.elapsed() < self.options.wait => {}
                Err(RecvError::TimedOut) => {
                    let missing = self.results.iter().filter(|result| result.is_none()).count();
                    return Err(format!("{missing} jobs are left, and there are no workers").into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.dismiss();
        self.report(start.elapsed())
    }

    /// Gives the jobs that nobody has to the workers that have been idle for longest.
    fn assign(&mut self) -> Result<(), Failure> {
        while let Some(&job) = self.pending.front() {
            if self.results[job as usize].is_some() {
                self.pending.pop_front(); // the worker we had given up has done it after all
                continue;
            }
            let Some(worker) = self.ready.pop_front() else { break };
            let (first, last) = (EACH * job, EACH * (job + 1) - 1);
            let text = [job, first, last].map(|number| number.to_string());
            let message = addressed(&worker, ["job", &text[0], &text[1], &text[2]]);
            match self.router.try_send(message) {
                Ok(()) => {
                    self.pending.pop_front();
                    if self.first.len() < 2 * self.options.workers {
                        self.first.push(self.names[&worker].clone());
                    }
                    self.busy.insert(worker, (job, Instant::now()));
                }
                // It is gone, and the job is for the next one.
                Err(error) if error.reason() == Refusal::Unroutable => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives up workers that have had a job for too long.
    fn take_back(&mut self) {
        let limit = self.options.limit;
        let late = |(_, (_, since)): &(&Bytes, &(u64, Instant))| since.elapsed() > limit;
        let late: Vec<Bytes> = self.busy.iter().filter(late).map(|(worker, _)| worker.clone()).collect();
        for worker in late {
            let Some((job, _)) = self.busy.remove(&worker) else { continue };
            say(format_args!(
                "{} has not done job {job} in time: another one is to do it",
                self.names[&worker]
            ));
            self.pending.push_front(job);
            self.again += 1;
        }
    }

    /// What a worker says, if it makes sense.
    fn hear(&mut self, message: &Message) -> Option<()> {
        let worker = Bytes::copy_from_slice(message.part(0)?);
        let text = message.parts().skip(1).map(std::str::from_utf8);
        match text.collect::<Result<Vec<_>, _>>().ok()?[..] {
            ["ready", name] => {
                self.names.entry(worker.clone()).or_insert_with(|| name.to_owned());
                // It may have said so just before its job came.
                if !self.busy.contains_key(&worker) && !self.ready.contains(&worker) {
                    self.ready.push_back(worker);
                }
            }
            ["done", name, job, primes] => {
                let (job, primes): (u64, u64) = (job.parse().ok()?, primes.parse().ok()?);
                let result = self.results.get_mut(usize::try_from(job).ok()?)?;
                if result.replace(primes).is_none() {
                    *self.done.entry(name.to_owned()).or_default() += 1;
                }
                self.names.entry(worker.clone()).or_insert_with(|| name.to_owned());
                self.busy.remove(&worker);
                if !self.ready.contains(&worker) {
                    self.ready.push_back(worker);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Tells all workers that there is nothing more to do. Those that are gone do not hear it.
    fn dismiss(&self) {
        for worker in self.names.keys() {
            let _ = self.router.try_send(addressed(worker, ["end"]));
        }
        drop(self.router.close(FAREWELL));
    }

    fn report(&self, elapsed: Duration) -> Result<(), Failure> {
        say(format_args!("the first jobs went to {}", self.first.join(", ")));
        for (name, jobs) in &self.done {
            say(format_args!("{name:<12} {jobs:>5} jobs"));
        }
        let total: u64 = self.results.iter().flatten().sum();
        let last = EACH * self.options.jobs - 1;
        say(format_args!(
            "{} jobs in {:.1} s, {} of them given out again: {total} primes up to {last}",
            self.options.jobs,
            elapsed.as_secs_f64(),
            self.again
        ));
        match sieve(last) {
            counted if counted == total => Ok(()),
            counted => Err(format!("there are {counted}").into()),
        }
    }
}

/// A message for one worker of a router.
fn addressed<const N: usize>(worker: &Bytes, parts: [&str; N]) -> Message {
    let mut message = Message::from(parts);
    message.push_front(worker.clone());
    message
}

/// The parts of a message that is text.
fn words(message: &Message) -> Result<Vec<&str>, std::str::Utf8Error> {
    message.parts().map(std::str::from_utf8).collect()
}

/// Tries all divisors: work that takes its time.
fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

/// How many primes there are up to a number, in the way of Eratosthenes.
fn sieve(last: u64) -> u64 {
    let mut composite = vec![false; last as usize + 1];
    let mut primes = 0;
    for number in 2..composite.len() {
        if !composite[number] {
            primes += 1;
            (number * number..composite.len())
                .step_by(number)
                .for_each(|multiple| composite[multiple] = true);
        }
    }
    primes
}

/// Which part this process is.
#[derive(Clone)]
enum Role {
    Help,
    All,
    Dispatcher,
    Worker,
}

/// What the command line asks for.
#[derive(Clone)]
struct Options {
    role: Role,
    at: String,
    jobs: u64,
    workers: usize,
    limit: Duration,
    name: String,
    slow: Duration,
    crash: Option<u64>,
    wait: Duration,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let role = match args.next().as_deref() {
            None | Some("all") => Role::All,
            Some("--help" | "-h" | "help") => Role::Help,
            Some("dispatcher") => Role::Dispatcher,
            Some("worker") => Role::Worker,
            Some(other) => return Err(format!("there is no role {other}")),
        };
        let mut options = Self {
            role,
            at: "tcp://127.0.0.1:5558".into(),
            jobs: 200,
            workers: 1,
            limit: Duration::from_secs(1),
            name: format!("worker-{}", std::process::id()),
            slow: Duration::ZERO,
            crash: None,
            wait: Duration::from_secs(60),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match (&options.role, arg.as_str()) {
                (_, "--help" | "-h") => options.role = Role::Help,
                (Role::Help, _) => {}
                (Role::Dispatcher | Role::Worker, "--at") => options.at = endpoint(&value()?)?,
                (Role::Dispatcher | Role::Worker, "--wait") => {
                    options.wait = Duration::from_secs(number(&arg, &value()?)?);
                }
                (Role::Dispatcher, "--jobs") => options.jobs = number(&arg, &value()?)?.min(MOST_JOBS),
                (Role::Dispatcher, "--workers") => options.workers = number(&arg, &value()?)? as usize,
                (Role::Dispatcher, "--limit") => {
                    options.limit = Duration::from_millis(number(&arg, &value()?)?);
                }
                (Role::Worker, "--name") => options.name = value()?,
                (Role::Worker, "--slow") => options.slow = Duration::from_millis(number(&arg, &value()?)?),
                (Role::Worker, "--crash") => options.crash = Some(number(&arg, &value()?)?),
                _ => return Err(format!("{arg} means nothing here")),
            }
        }
        Ok(options)
    }
}

/// An endpoint as it was given, once it makes sense.
fn endpoint(value: &str) -> Result<String, String> {
    value.parse::<Endpoint>().map(|_| value.to_owned()).map_err(|error| format!("{value}: {error}"))
}

/// A number that is at least one: no option makes sense with zero.
fn number(option: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{option} needs a number above zero, not {value}")),
        Ok(number) => Ok(number),
    }
}

/// Prints a line at once, also into a pipe. If nobody reads any more there is nobody to tell that.
fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How many numbers a job looks at.
const EACH: u64 = 1000;
/// More than that would take a sieve of gigabytes.
const MOST_JOBS: u64 = 100_000;
/// How often an idle worker says again that it is ready.
const RESTATE: Duration = Duration::from_secs(1);
/// How often the dispatcher looks for jobs that are late.
const GLANCE: Duration = Duration::from_millis(20);
/// How long the last words to the workers may take.
const FAREWELL: Duration = Duration::from_secs(5);
