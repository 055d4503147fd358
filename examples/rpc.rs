//! Procedures called from another process, on a server that may crash and come back: REQ and REP.
//!
//! ```text
//! cargo run --example rpc                            # a client, and a server that crashes and hangs, on two threads
//! cargo run --example rpc -- server                  # for ever, and in another terminal:
//! cargo run --example rpc -- client add 1 2 3        # kill the server and start it again: the client gets its answer
//! cargo run --example rpc -- --help
//! ```
//!
//! | request | answer |
//! |---|---|
//! | the name of a procedure, then its arguments, each a part of the message | `ok` and the result, or `error` and why |
//!
//! A request is given so much time, and sent again when it is over, or as soon as the server is lost: the library
//! connects again by itself, and a late answer is never taken for that of a later request. The server may therefore see
//! a request twice. Here that does no harm; a procedure that orders a pizza should know its requests by number.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ferromq::{Context, Endpoint, Message, RecvError, Refusal, Rep, Req, RequestError, Socket};

/// Why a role gave up, for the person who started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
Calls procedures on a server that may crash and come back, over REQ and REP sockets.

usage: rpc [all]
       rpc server [--at ENDPOINT] [--slow MS]
       rpc client [--at ENDPOINT] [--timeout MS] [--tries N] [--calls N] [PROCEDURE ARGUMENT...]

Without a role a client and a server run in this process. The server crashes once and hangs once, and the client gets
all its answers in spite of that.

  PROCEDURE      what to call, with its arguments; without it --calls additions are made, and their sums checked
                   echo TEXT...      the same text
                   upper TEXT...     the text in capitals
                   add NUMBER...     the sum of whole numbers
  --at E         where the server binds, and the client connects (default: tcp://127.0.0.1:5557)
  --slow MS      how long the server sleeps over each request (default: not at all)
  --timeout MS   how long the client waits for an answer before it asks again (default: 1000)
  --tries N      how often it asks before it gives up (default: 10)
  --calls N      how many additions the client makes (default: 10)

The exit code is 0 if all went well, 1 if something failed, and 2 for a mistake on the command line.";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("rpc: {mistake}; --help explains the usage");
            return ExitCode::from(2);
        }
    };
    let outcome = match options.role {
        Role::Help => {
            say(HELP);
            Ok(())
        }
        Role::All => all(),
        Role::Server => server(&options),
        Role::Client => client(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rpc: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A client that makes its calls while the server crashes, comes back after a while, and hangs.
fn all() -> Result<(), Failure> {
    const CALLS: i64 = 10;
    let context = Context::new()?;
    let lives = [context.socket::<Rep>().build()?, context.socket::<Rep>().build()?];
    let at = lives[0].bind("tcp://127.0.0.1:0")?;
    say(format_args!("server: at {at}"));
    let caller = Caller::new(&context, at.to_string(), IMPATIENCE, 40)?;

    let start = Instant::now();
    thread::scope(|scope| {
        let server = scope.spawn(|| live_twice(&lives, &at));
        let outcome = (1..=CALLS).try_for_each(|call| caller.add(call));
        lives.iter().for_each(|life| drop(life.close(WAIT))); // ends the server, also if a call has failed
        let served = server.join().map_err(|_| "the server panicked")?;
        outcome.and(served)
    })?;
    let seen: u64 = lives.iter().map(|life| life.stats().delivered).sum();
    say(format_args!(
        "{CALLS} calls, {CALLS} right answers in {:.1} s; the server has seen {seen} requests",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A server that crashes over its fourth request, comes back as another socket, and hangs over the fifth from then.
fn live_twice([first, second]: &[Socket<Rep>; 2], at: &Endpoint) -> Result<(), Failure> {
    let Some(unanswered) = serve(first, 4)? else { return Ok(()) };
    drop(first.close(Duration::ZERO));
    say(format_args!("server: crashes over {}", spoken(&unanswered)));
    thread::sleep(IMPATIENCE * 3 / 2);

    second.bind(at)?;
    say(format_args!("server: is back at {at}"));
    let Some(late) = serve(second, 5)? else { return Ok(()) };
    say(format_args!("server: hangs over {}", spoken(&late)));
    thread::sleep(IMPATIENCE * 3 / 2);
    second.send(answer(&late))?;
    serve(second, u64::MAX)?;
    Ok(())
}

/// Answers requests until the socket is closed, or up to the one of this number, which it returns.
fn serve(rep: &Socket<Rep>, number: u64) -> Result<Option<Message>, Failure> {
    for (request, count) in rep.iter().zip(1..) {
        if count == number {
            return Ok(Some(request));
        }
        rep.send(answer(&request))?;
    }
    Ok(None)
}

fn server(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let rep = context.socket::<Rep>().build()?;
    say(format_args!("serving at {}", rep.bind(options.at.as_str())?));
    loop {
        let request = rep.recv()?;
        say(format_args!("asked to {}", spoken(&request)));
        thread::sleep(options.slow);
        rep.send(answer(&request))?;
    }
}

fn client(options: &Options) -> Result<(), Failure> {
    let context = Context::new()?;
    let caller = Caller::new(&context, options.at.clone(), options.timeout, options.tries)?;
    if options.call.is_empty() {
        return (1..=options.calls).try_for_each(|call| caller.add(call));
    }
    say(caller.call(&options.call)?);
    Ok(())
}

/// Does what a request asks for.
fn answer(request: &Message) -> Message {
    match perform(request) {
        Ok(result) => Message::from(["ok", &result]),
        Err(reason) => Message::from(["error", &reason]),
    }
}

fn perform(request: &Message) -> Result<String, String> {
    let text = |part| std::str::from_utf8(part).map_err(|_| "a request is UTF-8 text".to_owned());
    let mut words = request.parts().map(text);
    let procedure = words.next().unwrap_or(Ok(""))?;
    let arguments: Vec<&str> = words.collect::<Result<_, _>>()?;
    match procedure {
        "echo" => Ok(arguments.join(" ")),
        "upper" => Ok(arguments.join(" ").to_uppercase()),
        "add" => {
            let number = |word: &&str| word.parse().map_err(|_| format!("{word} is no whole number"));
            let numbers: Vec<i64> = arguments.iter().map(number).collect::<Result<_, _>>()?;
            let sum = numbers.into_iter().try_fold(0_i64, i64::checked_add);
            sum.map(|sum| sum.to_string()).ok_or_else(|| "the sum is too large".into())
        }
        other => Err(format!("there is no procedure {other:?}")),
    }
}

/// A request as a person would write it.
fn spoken(request: &Message) -> String {
    let words: Vec<_> = request.parts().map(String::from_utf8_lossy).collect();
    words.join(" ")
}

/// Calls procedures, and does not give up at once.
struct Caller {
    req: Socket<Req>,
    timeout: Duration,
    tries: u64,
}

impl Caller {
    fn new(context: &Context, at: String, timeout: Duration, tries: u64) -> Result<Self, Failure> {
        // A server that is restarted is to be found again soon, however long it was away.
        let req = context.socket::<Req>().reconnect_max(Duration::from_millis(500)).build()?;
        req.connect(at)?;
        Ok(Self { req, timeout, tries })
    }

    /// What the server says to this call. Asks again when the time is over or the server lost.
    fn call(&self, words: &[String]) -> Result<String, Failure> {
        let request: Message = words.iter().map(|word| word.clone().into_bytes()).collect();
        for attempt in 1..=self.tries {
            let reason = match self.req.request(request.clone(), self.timeout) {
                Ok(answer) => return read(&answer),
                Err(RequestError::Unanswered(RecvError::PeerLost)) => "the server is lost".into(),
                Err(error) if is_timeout(&error) => format!("no answer in {:?}", self.timeout),
                Err(error) => return Err(error.into()),
            };
            say(format_args!("client: attempt {attempt} at {}: {reason}", spoken(&request)));
        }
        Err(format!("no answer to {} after {} attempts", spoken(&request), self.tries).into())
    }

    /// Has the server add up three numbers, and checks the sum.
    fn add(&self, call: i64) -> Result<(), Failure> {
        let words = ["add".to_owned(), call.to_string(), (10 * call).to_string(), (100 * call).to_string()];
        let (start, sum) = (Instant::now(), self.call(&words)?);
        if sum != (111 * call).to_string() {
            return Err(format!("{} is not {sum}", words.join(" ")).into());
        }
        say(format_args!("client: {} is {sum}, after {:.0?}", words.join(" "), start.elapsed()));
        Ok(())
    }
}

fn is_timeout(error: &RequestError) -> bool {
    match error {
        RequestError::Unsent(error) => error.reason() == Refusal::TimedOut,
        RequestError::Unanswered(reason) => *reason == RecvError::TimedOut,
        _ => false,
    }
}

/// What is in an answer.
fn read(answer: &Message) -> Result<String, Failure> {
    let parts: Vec<_> = answer.parts().map(String::from_utf8_lossy).collect();
    match &parts[..] {
        [how, result] if how == "ok" => Ok(result.to_string()),
        [how, reason] if how == "error" => Err(format!("the server refuses: {reason}").into()),
        _ => Err(format!("this is no answer: {answer:?}").into()),
    }
}

/// Which part this process is.
enum Role {
    Help,
    All,
    Server,
    Client,
}

/// What the command line asks for.
struct Options {
    role: Role,
    at: String,
    slow: Duration,
    timeout: Duration,
    tries: u64,
    calls: i64,
    call: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let role = match args.next().as_deref() {
            None | Some("all") => Role::All,
            Some("--help" | "-h" | "help") => Role::Help,
            Some("server") => Role::Server,
            Some("client") => Role::Client,
            Some(other) => return Err(format!("there is no role {other}")),
        };
        let mut options = Self {
            role,
            at: "tcp://127.0.0.1:5557".into(),
            slow: Duration::ZERO,
            timeout: Duration::from_secs(1),
            tries: 10,
            calls: 10,
            call: Vec::new(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match (&options.role, arg.as_str()) {
                (_, "--help" | "-h") => options.role = Role::Help,
                (Role::Help, _) => {}
                (Role::Server | Role::Client, "--at") => options.at = endpoint(&value()?)?,
                (Role::Server, "--slow") => options.slow = Duration::from_millis(number(&arg, &value()?)?),
                (Role::Client, "--timeout") => {
                    options.timeout = Duration::from_millis(number(&arg, &value()?)?);
                }
                (Role::Client, "--tries") => options.tries = number(&arg, &value()?)?,
                (Role::Client, "--calls") => options.calls = number(&arg, &value()?)?.min(1 << 32) as i64,
                (Role::Client, word) if !word.starts_with('-') => {
                    // All that follows is the call, be it a negative number.
                    options.call = [arg].into_iter().chain(args.by_ref()).collect();
                }
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

/// How long the client waits for an answer when everything runs in one process.
const IMPATIENCE: Duration = Duration::from_millis(250);
/// How long the last answer has to leave.
const WAIT: Duration = Duration::from_secs(10);
