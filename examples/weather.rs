//! Weather stations whose reports are published by topic: PUB and SUB.
//!
//! ```text
//!                 ┌────▶ subscriber to "europe/"      oslo and rome
//!   publisher ────┼────▶ subscriber to "asia/"        delhi and tokyo
//!                 └────▶ subscriber to "asia/tokyo"   tokyo alone
//! ```
//!
//! ```text
//! cargo run --example weather                        # all of them on three threads, for a second
//! cargo run --example weather -- publisher           # for ever, and in as many other terminals as you like:
//! cargo run --example weather -- subscriber europe/
//! cargo run --example weather -- --help
//! ```
//!
//! A report is a message of three parts: its topic, which is the place, the number of the round, and the temperature.
//! A subscription is the beginning of a topic. The publisher filters: what nobody has subscribed to does not leave it,
//! and it never waits for anybody. A subscriber that comes late, or falls behind by more than the high-water mark, has
//! missed something. The numbers tell how much.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ferromq::{Context, Endpoint, Message, Pub, RecvError, Socket, Sub};

/// Why a role gave up, for the person who started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
Weather stations whose reports are published by topic, over PUB and SUB sockets.

usage: weather [all]
       weather publisher  [--at ENDPOINT] [--every MS] [--rounds N] [--subscribers N]
       weather subscriber [--at ENDPOINT] [--count N] [--wait SECS] [TOPIC...]

Without a role a publisher and three subscribers run in this process, for about a second.

  TOPIC            what a subscriber wants: africa/cairo, asia/ or anything else that a topic begins with
                   (default: everything)
  --at E           where the publisher binds, and the subscribers connect (default: tcp://127.0.0.1:5556)
  --every MS       the pause between two rounds, in each of which every station reports once (default: 100)
  --rounds N       how many rounds there are (default: no end)
  --subscribers N  how many subscribers the publisher waits for before it begins (default: 0)
  --count N        how many reports the subscriber takes before it sums up and ends (default: 20)
  --wait SECS      how long the publisher waits for its subscribers, and a subscriber for the next report, before it
                   gives up (default: 60)

The exit code is 0 if all went well, 1 if something failed, and 2 for a mistake on the command line.";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("weather: {mistake}; --help explains the usage");
            return ExitCode::from(2);
        }
    };
    let outcome = match options.role {
        Role::Help => {
            say(HELP);
            Ok(())
        }
        Role::All => all(),
        Role::Publisher => publisher(&options),
        Role::Subscriber => subscriber(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("weather: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A publisher and three subscribers that want different things.
fn all() -> Result<(), Failure> {
    const ROUNDS: u64 = 20;
    /// What each subscriber wants, and how many stations that are.
    const WISHES: [(&str, u64); 3] = [("europe/", 2), ("asia/", 2), ("asia/tokyo", 1)];
    let context = Context::new()?;
    let socket = context.socket::<Pub>().build()?;
    let at = socket.bind("tcp://127.0.0.1:0")?;
    say(format_args!("{} stations report {ROUNDS} times at {at}", STATIONS.len()));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (topic, stations) in WISHES {
            let socket = subscribed(&context, &[topic], &at)?;
            threads.push(scope.spawn(move || watch(&socket, topic, stations * ROUNDS, WAIT)));
        }
        socket.wait_subscribed(WISHES.len(), WAIT)?;
        publish(&socket, Duration::from_millis(40), Some(ROUNDS))?;
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a subscriber panicked")?)
    })?;
    let stats = socket.stats();
    say(format_args!(
        "{} reports published, {} copies made for further subscribers, {} wanted by nobody",
        stats.accepted, stats.copied, stats.dropped.unsubscribed
    ));
    Ok(())
}

fn publisher(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let socket = context.socket::<Pub>().build()?;
    let at = socket.bind(options.at.as_str())?;
    say(format_args!("publishing at {at}"));
    socket
        .wait_subscribed(options.subscribers, options.wait)
        .map_err(|error| format!("waiting for {} subscribers: {error}", options.subscribers))?;
    publish(&socket, options.every, options.rounds)?;
    match socket.close(options.wait).unsent.len() {
        0 => Ok(()),
        unsent => Err(format!("{unsent} reports did not leave in time").into()),
    }
}

fn subscriber(options: &Options) -> Result<(), Failure> {
    let mut topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    if topics.is_empty() {
        topics.push(""); // what everything begins with
    }
    let context = Context::new()?;
    let socket = subscribed(&context, &topics, &options.at)?;
    say(format_args!("subscribed to {topics:?} at {}", options.at));
    watch(&socket, "subscriber", options.count, options.wait)
}

/// A socket that is subscribed to the topics before it connects, so that it misses nothing it could have had.
fn subscribed(context: &Context, topics: &[&str], at: impl Display) -> Result<Socket<Sub>, Failure> {
    let socket = context.socket::<Sub>().build()?;
    for topic in topics {
        socket.subscribe(topic)?;
    }
    socket.connect(at.to_string())?;
    Ok(socket)
}

/// Has every station report, round after round.
fn publish(socket: &Socket<Pub>, every: Duration, rounds: Option<u64>) -> Result<(), Failure> {
    let mut sky = Sky(0x2545_f491_4f6c_dd1d);
    let mut tenths = STATIONS.map(|(_, usual)| 10 * usual);
    for round in 1..=rounds.unwrap_or(u64::MAX) {
        for ((place, usual), tenths) in STATIONS.iter().zip(&mut tenths) {
            *tenths += sky.change(10 * usual - *tenths);
            let (round, celsius) = (round.to_string(), f64::from(*tenths) / 10.0);
            socket.send([*place, &round, &format!("{celsius:.1}")])?;
        }
        thread::sleep(every);
    }
    Ok(())
}

/// Takes so many reports and sums them up, place by place.
fn watch(socket: &Socket<Sub>, name: &str, count: u64, wait: Duration) -> Result<(), Failure> {
    let mut places: BTreeMap<String, Summary> = BTreeMap::new();
    let start = Instant::now();
    for taken in 0..count {
        let message = socket.recv_timeout(wait).map_err(|error| match error {
            RecvError::TimedOut => format!("{name}: no report came for {wait:?}, after {taken}"),
            error => format!("{name}: {error}"),
        })?;
        let report = Report::read(&message).ok_or_else(|| format!("{name}: no report: {message:?}"))?;
        places.entry(report.place.to_owned()).or_default().add(&report);
    }
    let elapsed = start.elapsed().as_secs_f64();
    let lines = places.iter().map(|(place, summary)| format!("\n  {place:<14} {summary}"));
    say(format_args!("{name}: {count} reports in {elapsed:.1} s{}", lines.collect::<String>()));
    Ok(())
}

/// What a station says.
struct Report<'a> {
    place: &'a str,
    round: u64,
    celsius: f64,
}

impl<'a> Report<'a> {
    fn read(message: &'a Message) -> Option<Self> {
        let mut parts = message.parts().map(|part| std::str::from_utf8(part).ok());
        Some(Self {
            place: parts.next()??,
            round: parts.next()??.parse().ok()?,
            celsius: parts.next()??.parse().ok()?,
        })
    }
}

/// What a place has reported.
#[derive(Default)]
struct Summary {
    reports: u64,
    celsius: f64,
    first: u64,
    last: u64,
}

impl Summary {
    fn add(&mut self, report: &Report<'_>) {
        if self.reports == 0 {
            self.first = report.round;
        }
        self.last = report.round;
        self.reports += 1;
        self.celsius += report.celsius;
    }

    /// The rounds between the first and the last that did not reach us.
    fn missed(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first + self.reports)
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reports, first, last, .. } = self;
        let mean = self.celsius / *reports as f64;
        write!(f, "{mean:5.1} °C on average of rounds {first} to {last}, {} missed", self.missed())
    }
}

/// What makes the weather: a generator of numbers that look random.
struct Sky(u64);

impl Sky {
    /// A change of up to half a degree, in tenths, that tends back to what is usual.
    fn change(&mut self, back: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % 11) as i32 - 5 + back.signum()
    }
}

/// Which part this process is.
enum Role {
    Help,
    All,
    Publisher,
    Subscriber,
}

/// What the command line asks for.
struct Options {
    role: Role,
    at: String,
    topics: Vec<String>,
    every: Duration,
    rounds: Option<u64>,
    subscribers: usize,
    count: u64,
    wait: Duration,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let role = match args.next().as_deref() {
            None | Some("all") => Role::All,
            Some("--help" | "-h" | "help") => Role::Help,
            Some("publisher") => Role::Publisher,
            Some("subscriber") => Role::Subscriber,
            Some(other) => return Err(format!("there is no role {other}")),
        };
        let mut options = Self {
            role,
            at: "tcp://127.0.0.1:5556".into(),
            topics: Vec::new(),
            every: Duration::from_millis(100),
            rounds: None,
            subscribers: 0,
            count: 20,
            wait: WAIT,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match (&options.role, arg.as_str()) {
                (_, "--help" | "-h") => options.role = Role::Help,
                (Role::Help, _) => {}
                (Role::Publisher | Role::Subscriber, "--at") => options.at = endpoint(&value()?)?,
                (Role::Publisher | Role::Subscriber, "--wait") => {
                    options.wait = Duration::from_secs(number(&arg, &value()?)?);
                }
                (Role::Publisher, "--every") => {
                    options.every = Duration::from_millis(number(&arg, &value()?)?);
                }
                (Role::Publisher, "--rounds") => options.rounds = Some(number(&arg, &value()?)?),
                (Role::Publisher, "--subscribers") => {
                    options.subscribers = number(&arg, &value()?)? as usize;
                }
                (Role::Subscriber, "--count") => options.count = number(&arg, &value()?)?,
                (Role::Subscriber, topic) if !topic.starts_with('-') => options.topics.push(arg),
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

/// Where the stations are, and how warm it usually is there.
const STATIONS: [(&str, i32); 6] = [
    ("africa/cairo", 29),
    ("asia/delhi", 31),
    ("asia/tokyo", 18),
    ("europe/oslo", 6),
    ("europe/rome", 19),
    ("america/quito", 14),
];

/// How long a part waits for the others unless told otherwise.
const WAIT: Duration = Duration::from_secs(60);
