//! Two who talk to each other and to nobody else: PAIR.
//!
//! ```text
//!   keeper  ◀── guess ── ── hint ──▶  guesser
//! ```
//!
//! ```text
//! cargo run --example pair               # two threads of one process, over inproc
//! cargo run --example pair -- --help     # how to run each by itself
//! ```
//!
//! The keeper thinks of a number, and the guesser finds it out. A third who connects meanwhile is turned away; when the
//! guesser has left, the keeper thinks of another number for the next.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ferromq::{Context, Message, Pair, Socket};

const HELP: &str = "\
A guessing game for two, over PAIR sockets.

usage: pair [all]
       pair keeper  [--at ENDPOINT] [--games N]
       pair guesser [--at ENDPOINT]

Without a role both run in this process, as two threads, and play one game.

  --at E     where the keeper binds, and the guesser connects (default: tcp://127.0.0.1:5558; all: inproc://game)
  --games N  how many games the keeper plays (default: no end; all: 1)

The exit code is 0 if all went well, 1 if something failed, and 2 for a mistake on the command line.";

/// Why a role gave up, for the person who started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(60);
const LARGEST: u32 = 1000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match parse(&args) {
        Some((Role::Help, ..)) => {
            println!("{HELP}");
            Ok(())
        }
        Some((Role::All, at, games)) => all(at.unwrap_or("inproc://game"), games.unwrap_or(1)),
        Some((Role::Keeper, at, games)) => keeper(at.unwrap_or(AT), games.unwrap_or(u32::MAX)),
        Some((Role::Guesser, at, _)) => guesser(at.unwrap_or(AT)),
        None => {
            eprintln!("pair: {} is no way to call it; --help explains the usage", args.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pair: {failure}");
            ExitCode::FAILURE
        }
    }
}

const AT: &str = "tcp://127.0.0.1:5558";

#[derive(Clone, Copy)]
enum Role {
    Help,
    All,
    Keeper,
    Guesser,
}

/// The role, the endpoint and the number of games, as far as they are given.
fn parse<'a>(args: &[&'a str]) -> Option<(Role, Option<&'a str>, Option<u32>)> {
    let (role, mut rest) = match args {
        [] => (Role::All, args),
        ["--help" | "-h", ..] => return Some((Role::Help, None, None)),
        ["all", rest @ ..] => (Role::All, rest),
        ["keeper", rest @ ..] => (Role::Keeper, rest),
        ["guesser", rest @ ..] => (Role::Guesser, rest),
        _ => return None,
    };
    let (mut at, mut games) = (None, None);
    while !rest.is_empty() {
        rest = match rest {
            ["--at", endpoint, rest @ ..] => {
                at = Some(*endpoint);
                rest
            }
            ["--games", number, rest @ ..] if !matches!(role, Role::Guesser) => {
                games = Some(number.parse().ok()?);
                rest
            }
            _ => return None,
        };
    }
    Some((role, at, games))
}

fn all(at: &str, games: u32) -> Result<(), Failure> {
    let context = Context::new()?;
    let socket = context.socket::<Pair>().build()?;
    let at = socket.bind(at)?;
    thread::scope(|scope| {
        let keeper = scope.spawn(|| keep(&socket, games));
        for _ in 0..games {
            let socket = context.socket::<Pair>().build()?;
            socket.connect(&at)?;
            guess(&socket)?;
        }
        keeper.join().map_err(|_| "the keeper panicked")?
    })
}

fn keeper(at: &str, games: u32) -> Result<(), Failure> {
    let context = Context::new()?;
    let socket = context.socket::<Pair>().build()?;
    println!("come to {}", socket.bind(at)?);
    keep(&socket, games)
}

fn guesser(at: &str) -> Result<(), Failure> {
    let context = Context::new()?;
    let socket = context.socket::<Pair>().build()?;
    socket.connect(at)?;
    guess(&socket)
}

/// Answers guesses with "more", "less" or "right".
fn keep(socket: &Socket<Pair>, games: u32) -> Result<(), Failure> {
    for game in 0..games {
        let secret = game.wrapping_mul(7919) % LARGEST + 1;
        loop {
            let guess = number(&socket.recv()?)?;
            if guess == secret {
                break socket.send("right")?;
            }
            socket.send(if guess < secret { "more" } else { "less" })?;
        }
    }
    Ok(())
}

fn guess(socket: &Socket<Pair>) -> Result<(), Failure> {
    let (mut least, mut most) = (1, LARGEST);
    for attempt in 1.. {
        let guess = least + (most - least) / 2;
        socket.send(guess.to_string())?;
        let hint = socket.recv_timeout(PATIENCE)?;
        println!("{guess}? {}", String::from_utf8_lossy(&hint.clone().into_bytes()));
        match hint.part(0) {
            Some(b"more") if guess < most => least = guess + 1,
            Some(b"less") if guess > least => most = guess - 1,
            Some(b"right") => {
                println!("found after {attempt} guesses");
                break;
            }
            _ => return Err("the keeper cheats".into()),
        }
    }
    Ok(())
}

fn number(message: &Message) -> Result<u32, Failure> {
    let text = std::str::from_utf8(message.part(0).unwrap_or_default())?;
    Ok(text.parse()?)
}
