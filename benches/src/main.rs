//! ferromq beside libzmq, omq and bare sockets, in one run:
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml              # everything, nine rounds
//! cargo run --release --manifest-path benches/Cargo.toml -- PUB 3     # what has "PUB" in its name, three
//! ```
//!
//! Each end of a measurement is a process of its own, which this program starts from itself. All peers have their default
//! options, the system's allocator, and one call for each message. The peers take turns, round by round, and what is printed
//! are medians over the rounds: of the rates, and of the ratios within one round, which swing much less.

mod compare;
mod peers;
mod role;

use std::env;
use std::process::ExitCode;

use role::Job;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let Some(job) = Job::from_args(&args) {
        peers::run(&args[0], &job);
        return ExitCode::SUCCESS;
    }
    let (filter, rounds) = match &args[..] {
        [] => ("", 9),
        [filter] => (&filter[..], 9),
        [filter, rounds] => (&filter[..], rounds.parse().unwrap_or(9)),
        _ => {
            eprintln!("usage: compare [part of a name] [rounds]");
            return ExitCode::FAILURE;
        }
    };
    compare::run(filter, rounds);
    ExitCode::SUCCESS
}
