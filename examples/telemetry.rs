//! Machines report what they measure and people chat about it; a proxy in the middle is all that anybody has to find.
//!
//! ```text
//!   publisher PUB ──┐                         ┌──▶ SUB subscriber
//!   publisher PUB ──┼──▶ XSUB  proxy  XPUB ───┼──▶ SUB subscriber
//!   publisher PUB ──┘      ◀─ subscriptions ──└──▶ SUB subscriber
//! ```
//!
//! ```text
//! cargo run --example telemetry              # all parts in one process, for a second
//! cargo run --example telemetry -- --help    # how to run each part by itself
//! ```
//!
//! The topic is the first part of a message, `telemetry.NAME` or `chat.NAME`, and the second part is the text.
//! Subscriptions pass through the proxy, so that a publisher sends nothing that nobody wants.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use ferromq::{Context, Control, Proxy, Pub, Socket, Sub, XPub, XSub};

const HELP: &str = "\
Telemetry and chat through an XSUB/XPUB proxy.

usage: telemetry [all] [--count N]
       telemetry proxy      --publishers ENDPOINT --subscribers ENDPOINT
       telemetry publisher  --to ENDPOINT [--name NAME] [--every MS] [--count N] [--chat]
       telemetry subscriber --from ENDPOINT [--count N] [TOPIC ...]

Without a role all of them run in one process: a proxy, two machines, one who chats and two subscribers.

  --publishers E   where the proxy listens for publishers
  --subscribers E  where the proxy listens for subscribers
  --to E           where the proxy listens for publishers, as it printed it
  --from E         where the proxy listens for subscribers, as it printed it
  --name NAME      who publishes (default: machine)
  --every MS       how often a machine publishes (default: 200 ms)
  --count N        end after N messages (default: never; all: 20 for each subscriber)
  --chat           publish the lines of standard input, and not what a machine measures
  TOPIC            what topics begin with, such as chat or telemetry.pump (default: everything)

The proxy obeys the words pause, resume, stats and stop on its standard input.

  $ telemetry proxy --publishers tcp://*:5556 --subscribers tcp://*:5557
  $ telemetry publisher --to tcp://127.0.0.1:5556 --name pump
  $ telemetry publisher --to tcp://127.0.0.1:5556 --name anna --chat
  $ telemetry subscriber --from tcp://127.0.0.1:5557 chat telemetry.pump

The exit code is 0 if all went well, 1 if something failed, and 2 for a mistake on the command line.";

type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("telemetry: {mistake}; --help explains the usage");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("telemetry: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome {
    let context = Context::new()?;
    match options.role {
        Role::Help => say(HELP),
        Role::All => all(&context, options.count.unwrap_or(20))?,
        Role::Proxy => {
            let (front, back) = (context.socket::<XSub>().build()?, context.socket::<XPub>().build()?);
            say(format_args!("publishers  {}", front.bind(needed("--publishers", &options.publishers)?)?));
            say(format_args!("subscribers {}", back.bind(needed("--subscribers", &options.subscribers)?)?));
            join(&front, &back)?;
        }
        Role::Publisher => {
            let publisher = connect_publisher(&context, needed("--to", &options.to)?)?;
            let count = options.count.unwrap_or(usize::MAX);
            if options.chat {
                let lines = io::stdin().lines().map_while(Result::ok).take(count);
                publish(&publisher, &format!("chat.{}", options.name), lines)?;
            } else {
                publish(
                    &publisher,
                    &format!("telemetry.{}", options.name),
                    readings(options.every).take(count),
                )?;
            }
        }
        Role::Subscriber => {
            let subscriber = connect_subscriber(&context, needed("--from", &options.from)?, &options.topics)?;
            show("", &subscriber, options.count.unwrap_or(usize::MAX))?;
        }
    }
    Ok(())
}

/// Everything in one process, until each subscriber has shown so many messages.
fn all(context: &Context, count: usize) -> Outcome {
    let (front, back) = (context.socket::<XSub>().build()?, context.socket::<XPub>().build()?);
    let front_at = front.bind("tcp://127.0.0.1:0")?.to_string();
    let back_at = back.bind("tcp://127.0.0.1:0")?.to_string();
    let mut proxy = Proxy::new(&front, &back);
    let control = proxy.control();
    let done = &AtomicBool::new(false);

    thread::scope(|scope| {
        let running = scope.spawn(move || proxy.run());
        let talk = || -> Outcome {
            let operator = connect_subscriber(context, &back_at, &[String::new()])?;
            let window = connect_subscriber(context, &back_at, &["chat.".into()])?;
            for (topic, texts) in [
                ("telemetry.pump", readings(QUICK)),
                ("telemetry.valve", readings(QUICK)),
                ("chat.anna", chatter(QUICK)),
            ] {
                let publisher = connect_publisher(context, &front_at)?;
                let texts = texts.take_while(|_| !done.load(Ordering::SeqCst));
                scope.spawn(move || publish(&publisher, topic, texts));
            }
            let operating = scope.spawn(move || show("operator", &operator, count));
            show("chat", &window, count)?;
            operating.join().map_err(|_| "the operator panicked")?
        };
        let outcome = talk();
        done.store(true, Ordering::SeqCst);
        control.stop();
        let stats = running.join().map_err(|_| "the proxy panicked")??;
        say(format_args!(
            "{} messages passed the proxy, and {} changes of subscriptions came back",
            stats.to_back.messages, stats.to_front.messages
        ));
        outcome
    })
}

/// Runs the proxy until it is told to stop.
fn join(front: &Socket<XSub>, back: &Socket<XPub>) -> Outcome {
    let mut proxy = Proxy::new(front, back);
    let control = proxy.control();
    thread::spawn(move || obey(&control));
    let stats = proxy.run()?;
    say(format_args!("{stats:?}"));
    Ok(())
}

/// Does what standard input says.
fn obey(control: &Control) {
    for line in io::stdin().lines().map_while(Result::ok) {
        match line.trim() {
            "pause" => control.pause(),
            "resume" => control.resume(),
            "stop" => control.stop(),
            "stats" => say(format_args!("{:?}", control.stats())),
            "" => {}
            other => eprintln!("telemetry: {other} is none of pause, resume, stats and stop"),
        }
    }
}

fn connect_publisher(context: &Context, to: &str) -> Result<Socket<Pub>, Failure> {
    let publisher = context.socket::<Pub>().build()?;
    publisher.connect(to)?;
    publisher.wait_connected(1, PATIENCE).map_err(|error| format!("no proxy at {to}: {error}"))?;
    // Subscriptions come right behind the connection, if there are any, and what is said before is not heard.
    let _nobody_listens = publisher.wait_subscribed(1, MOMENT);
    Ok(publisher)
}

/// Publishes one text after the other. What nobody has subscribed to goes nowhere.
fn publish(publisher: &Socket<Pub>, topic: &str, texts: impl Iterator<Item = String>) -> Outcome {
    for text in texts {
        publisher.send([topic, &text])?;
    }
    Ok(())
}

fn connect_subscriber(context: &Context, from: &str, topics: &[String]) -> Result<Socket<Sub>, Failure> {
    let builder = context.socket::<Sub>();
    let subscriber =
        topics.iter().fold(builder, |builder, topic| builder.subscribe(topic.clone())).build()?;
    subscriber.connect(from)?;
    subscriber.wait_connected(1, PATIENCE).map_err(|error| format!("no proxy at {from}: {error}"))?;
    Ok(subscriber)
}

/// Prints so many messages, with who reads them in front.
fn show(reader: &str, subscriber: &Socket<Sub>, count: usize) -> Outcome {
    for message in subscriber.iter().take(count) {
        let mut texts = message.parts().map(String::from_utf8_lossy);
        let (topic, text) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        say(format_args!("{reader:<10}{topic:<18}{text}"));
    }
    Ok(())
}

type Texts = Box<dyn Iterator<Item = String> + Send>;

/// What a machine measures, at its own pace: something that goes up and down.
fn readings(every: Duration) -> Texts {
    let degrees = |step: u32| 20.0 + 5.0 * (f64::from(step) / 10.0).sin();
    paced(every, (0..).map(move |step| format!("{:.2} degrees", degrees(step))))
}

/// What somebody says who is always there.
fn chatter(every: Duration) -> Texts {
    let words = ["is it warm in there?", "the pump sounds odd", "never mind"];
    paced(every, words.into_iter().cycle().map(str::to_owned))
}

fn paced(every: Duration, texts: impl Iterator<Item = String> + Send + 'static) -> Texts {
    Box::new(texts.inspect(move |_| thread::sleep(every)))
}

/// Prints a line at once, also into a pipe. If nobody reads any more there is nobody to tell that.
fn say(line: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Which part this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Help,
    All,
    Proxy,
    Publisher,
    Subscriber,
}

/// What the command line asks for.
struct Options {
    role: Role,
    publishers: Option<String>,
    subscribers: Option<String>,
    to: Option<String>,
    from: Option<String>,
    name: String,
    every: Duration,
    count: Option<usize>,
    chat: bool,
    topics: Vec<String>,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = args.peekable();
        let role = args.peek().and_then(|first| role(first));
        if role.is_some() {
            args.next();
        }
        let mut options = Self::new(role.unwrap_or(Role::All));
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => options.role = Role::Help,
                "--publishers" => options.publishers = Some(value()?),
                "--subscribers" => options.subscribers = Some(value()?),
                "--to" => options.to = Some(value()?),
                "--from" => options.from = Some(value()?),
                "--name" => options.name = value()?,
                "--every" => options.every = Duration::from_millis(number(&arg, &value()?)?),
                "--count" => options.count = Some(number(&arg, &value()?)? as usize),
                "--chat" => options.chat = true,
                _ if arg.starts_with('-') => return Err(format!("there is no option {arg}")),
                _ if options.role == Role::Subscriber => options.topics.push(arg),
                _ => return Err(format!("{arg} is no role, and only a subscriber takes topics")),
            }
        }
        if options.topics.is_empty() {
            options.topics.push(String::new());
        }
        options.check()
    }

    /// Finds what is missing before anything is started.
    fn check(self) -> Result<Self, String> {
        match self.role {
            Role::Help | Role::All => {}
            Role::Proxy => {
                needed("--publishers", &self.publishers)?;
                needed("--subscribers", &self.subscribers)?;
            }
            Role::Publisher => _ = needed("--to", &self.to)?,
            Role::Subscriber => _ = needed("--from", &self.from)?,
        }
        Ok(self)
    }

    fn new(role: Role) -> Self {
        Self {
            role,
            publishers: None,
            subscribers: None,
            to: None,
            from: None,
            name: "machine".into(),
            every: Duration::from_millis(200),
            count: None,
            chat: false,
            topics: Vec::new(),
        }
    }
}

fn role(word: &str) -> Option<Role> {
    match word {
        "all" => Some(Role::All),
        "proxy" => Some(Role::Proxy),
        "publisher" => Some(Role::Publisher),
        "subscriber" => Some(Role::Subscriber),
        "help" => Some(Role::Help),
        _ => None,
    }
}

fn needed<'a>(option: &str, endpoint: &'a Option<String>) -> Result<&'a str, String> {
    endpoint.as_deref().ok_or_else(|| format!("{option} ENDPOINT is missing"))
}

/// A number that is at least one.
fn number(option: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{option} needs a number above zero, not {value}")),
        Ok(number) => Ok(number),
    }
}

/// How often everybody publishes when all run in one process.
const QUICK: Duration = Duration::from_millis(50);
const MOMENT: Duration = Duration::from_millis(200);
/// How long a part looks for its proxy.
const PATIENCE: Duration = Duration::from_secs(60);
