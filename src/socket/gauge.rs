//! [`Gauge`]: a file descriptor that tells others whether a socket is ready.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::interest::Interest;
use crate::owner::Owner;

/// A stream from us to us, which holds one octet while it is raised.
pub(super) struct Line {
    pub(super) reader: UnixStream,
    writer: UnixStream,
    owner: Owner,
}

impl Line {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, owner: Owner::current() })
    }
}

/// A [`Line`] as its socket keeps it.
pub(super) struct Gauge {
    line: Arc<Line>,
    pub(super) interest: Interest,
    raised: bool,
}

impl Gauge {
    pub(super) fn new(line: Arc<Line>, interest: Interest) -> Self {
        Self { line, interest, raised: false }
    }

    pub(super) fn is_of(&self, line: &Arc<Line>) -> bool {
        Arc::ptr_eq(&self.line, line)
    }

    pub(super) fn show(&mut self, ready: bool) {
        // A fork shares the line, and is not to tell its parent how things are with itself.
        if ready == self.raised || self.line.owner.is_another() {
            return;
        }
        let changed =
            if ready { (&self.line.writer).write(&[1]) } else { (&self.line.reader).read(&mut [0]) };
        match changed {
            Ok(_) => self.raised = ready,
            // Somebody has read what was not theirs.
            Err(error) if !ready && error.kind() == io::ErrorKind::WouldBlock => self.raised = false,
            // It is tried again whenever the lock is released.
            Err(error) => log::error!("cannot tell whether a socket is ready: {error}"),
        }
    }
}
