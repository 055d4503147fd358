//! The simulation: many sockets under one virtual clock, in a network that delays, splits, stalls, cuts, parts and corrupts,
//! driven by a program that follows from a seed, or from a fuzzer.
//!
//! What runs is the library itself, from [`Socket`](crate::Socket) to the reactor's turn; only the streams, the clock and
//! chance are replaced, and whoever would run the reactor in a thread. So the same program gives the same run.
//!
//! - [`program`]: what is done, and what must hold - [`world`]: processes, applications, time
//! - [`books`]: where each message was seen - [`body`]: messages that can be told apart - [`face`]: sockets of all types
//! - `load`: what it costs to send, which needs no program

mod body;
mod books;
mod face;
mod program;
mod world;

pub(crate) use self::program::run;

#[cfg(test)]
mod load;
#[cfg(test)]
mod tests;
