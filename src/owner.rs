//! [`Owner`]: the process that something belongs to, which a fork of it is not.

use forkguard::Guard;

/// The process that something belongs to: the one that made it.
///
/// A child that was forked from it has a copy of its memory, and shares all its descriptors: what the child writes to a
/// connection, the peer takes for the words of the parent. Of the threads there is only the one that forked, so that a
/// lock which another one held is never released, and nobody does what the I/O threads do.
#[derive(Debug)]
pub(crate) struct Owner(Guard);

impl Owner {
    /// The calling process.
    pub(crate) fn current() -> Self {
        Self(Guard::default())
    }

    /// Whether it is another process than the calling one, which then is a fork of it. Costs no more than a load, and is
    /// asked for each message.
    #[inline]
    pub(crate) fn is_another(&self) -> bool {
        // The guard tells once, and its copies each do.
        self.0.clone().detected_fork()
    }
}
