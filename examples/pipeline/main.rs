//! Counts the words of a directory with a ventilator, some workers and a sink, each a process of its own.
//!
//! ```text
//!                parcels          counts
//!              ┌────────▶ worker ────────┐
//!   ventilator ├────────▶ worker ────────┤▶ sink
//!       ▲      └────────▶ worker ────────┘    │
//!       └─────────────────────────────────────┘
//!                  which parcels have arrived
//! ```
//!
//! ```text
//! cargo run --example pipeline                     # the whole thing on this machine
//! cargo run --example pipeline -- --slow --kill    # one worker dawdles, another one dies
//! cargo run --example pipeline -- --help           # how to spread it over machines
//! ```
//!
//! Every arrow is a PUSH and a PULL socket. A parcel holds some small files or a part of a large one. The ventilator's
//! socket gives each parcel to a worker that has room, so the fast ones do more. A worker that dies takes along the
//! parcels it had: the sink tells the ventilator what has arrived, and what has not is sent again. A parcel that is
//! counted twice is known by its number and counts once. In the end the sink compares its total with a count that the
//! ventilator made by itself.

mod corpus;
mod local;
mod options;
mod progress;
mod sink;
mod ventilator;
mod wire;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use options::{Options, Role};

/// Why a role gave up, for the person who started it.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("pipeline: {mistake}; --help explains the usage");
            return ExitCode::from(2);
        }
    };
    if options.tied {
        std::thread::spawn(end_with_input);
    }
    let outcome = match options.role {
        Role::Help => {
            say(options::HELP);
            Ok(())
        }
        Role::Local => local::run(&options),
        Role::Ventilator => ventilator::run(&options),
        Role::Worker => worker::run(&options),
        Role::Sink => sink::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {failure}", options.name);
            ExitCode::FAILURE
        }
    }
}

/// Ends this process when its input does.
fn end_with_input() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(1);
}

/// Prints a line at once, also into a pipe. If nobody reads any more there is nobody to tell that.
fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
