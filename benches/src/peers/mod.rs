//! One file for each of those that are compared.

mod bare;
mod ferromq;
mod libzmq;
mod omq;

use crate::role::{Job, Role, report_processor_time};

/// Those that can play a part with so many at the other end, the first being the one that the others are compared with.
pub fn for_role(role: Role, others: usize) -> &'static [&'static str] {
    match (role, others) {
        (Role::Inproc, _) => &["ferromq", "libzmq"],
        (_, 1) => &["ferromq", "libzmq", "omq", "bare sockets"],
        _ => &["ferromq", "libzmq", "omq"],
    }
}

/// Plays a part.
pub fn run(peer: &str, job: &Job) {
    match peer {
        "ferromq" => ferromq::run(job),
        "libzmq" => libzmq::run(job),
        "omq" => omq::run(job),
        _ => bare::run(job),
    }
    report_processor_time();
}
