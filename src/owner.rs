//! [`Owner`]: the process that something belongs to, which a fork of it is not.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// The process that something belongs to: the one that made it.
///
/// A child that was forked from it has a copy of its memory, and shares all its descriptors: what the child writes to a
/// connection, the peer takes for the words of the parent. Of the threads there is only the one that forked, so that a
/// lock which another one held is never released, and nobody does what the I/O threads do.
#[derive(Debug)]
pub(crate) struct Owner {
    process: u32,
    another: AtomicBool,
}

impl Owner {
    /// The calling process.
    pub(crate) fn current() -> Self {
        Self { process: process::id(), another: AtomicBool::new(false) }
    }

    /// Whether it is another process than the calling one, which then is a fork of it. Costs a system call, the cheapest
    /// there is: to be asked where another one follows, and for no message.
    pub(crate) fn is_another(&self) -> bool {
        if process::id() != self.process {
            self.another.store(true, Ordering::Relaxed);
        }
        self.is_known_another()
    }

    /// Whether [`Owner::is_another`] has been true before.
    #[inline]
    pub(crate) fn is_known_another(&self) -> bool {
        self.another.load(Ordering::Relaxed)
    }
}
