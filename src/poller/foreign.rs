//! [`Foreign`]: file descriptors that are not ours.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Poll, Token};

use super::{Entry, PollEvent, Poller, Source};
use crate::clock;
use crate::context::left_behind;
use crate::error::PollerError;
use crate::owner::Owner;
use crate::slots::Id;
use crate::socket::Interest;

/// Where descriptors are watched: a poll of the poller's own, in which its thread sleeps.
///
/// It might have slept in the reactor's poll instead, with this one inside that. But a poller of descriptors alone has no
/// reactor, one of several contexts has too many, and the I/O threads can watch the sockets: so there is one way, which
/// costs a message the way from one thread to another, and only where there are descriptors.
///
/// The poll reports changes, the poller states: a descriptor that was reported is armed anew before the next wait, and
/// reported again if it is still ready. The others cost nothing.
pub(super) struct Foreign {
    poll: Poll,
    events: Events,
    /// Interrupts the poll.
    waker: Waker,
    /// What was reported and not armed again.
    spent: Vec<Id>,
    count: usize,
}

impl Foreign {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::from(Arc::new(Alarm(mio::Waker::new(poll.registry(), ALARM)?, Owner::current())));
        Ok(Self { poll, events: Events::with_capacity(EVENTS), waker, spent: Vec::new(), count: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn register(&mut self, id: Id, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), Token(id.to_bits()), of_mio(interest))?;
        self.count += 1;
        Ok(())
    }

    /// Has a descriptor reported if it is ready now, or when it is.
    pub(super) fn rearm(&self, id: Id, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.poll.registry().reregister(&mut SourceFd(&fd), Token(id.to_bits()), of_mio(interest))
    }

    pub(super) fn deregister(&mut self, fd: RawFd) {
        self.count -= 1;
        if let Err(error) = self.poll.registry().deregister(&mut SourceFd(&fd)) {
            log::debug!("a descriptor was not watched any more: {error}");
        }
    }

    /// Waits until a descriptor is ready or the alarm has rung.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }
}

impl Poller<'_> {
    /// Blocks until a socket or a descriptor is ready, or the deadline has passed.
    pub(super) fn wait_with_fds(
        &mut self,
        events: &mut Vec<PollEvent>,
        deadline: Option<Instant>,
    ) -> Result<(), PollerError> {
        self.check_owner()?;
        let Some(waker) = self.foreign.as_ref().map(|foreign| foreign.waker.clone()) else { return Ok(()) };
        let mut attendances = None;
        self.look(events, &waker);
        loop {
            let now = clock::now();
            let last = deadline.is_some_and(|deadline| deadline <= now);
            let mut timeout = Some(Duration::ZERO);
            if events.is_empty() {
                attendances.get_or_insert_with(|| self.attend(None));
                left_behind::flush();
                timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
            }
            self.poll_fds(events, timeout)?;
            if events.is_empty() {
                self.look(events, &waker);
            }
            if last || !events.is_empty() {
                self.bells.ignore();
                return Ok(());
            }
        }
    }

    fn poll_fds(&mut self, events: &mut Vec<PollEvent>, timeout: Option<Duration>) -> io::Result<()> {
        let Some(foreign) = &mut self.foreign else { return Ok(()) };
        // One that fails stays in the list, until it is removed.
        while let Some(id) = foreign.spent.last().copied() {
            if let Some(Entry { interest, source: Source::Fd { lender, spent }, .. }) = self.slots.get_mut(id)
            {
                foreign.rearm(id, raw(lender), *interest)?;
                *spent = false;
            }
            foreign.spent.pop();
        }
        foreign.poll(timeout)?;
        for event in &foreign.events {
            let id = Id::from_bits(event.token().0);
            let Some(Entry { key, interest, source: Source::Fd { spent, .. } }) = self.slots.get_mut(id)
            else {
                continue; // the alarm
            };
            let event = translate(*key, *interest, event);
            if !std::mem::replace(spent, true) {
                foreign.spent.push(id);
                events.push(event);
            } else if let Some(other) = events.iter_mut().find(|other| other.key == *key) {
                // Some systems tell one by one what a descriptor is ready for.
                other.readable |= event.readable;
                other.writable |= event.writable;
            }
        }
        Ok(())
    }
}

pub(super) fn raw(lender: &impl AsFd) -> RawFd {
    lender.as_fd().as_raw_fd()
}

/// Who waits to be told of the end of the other side, or of an error, learns it from the next call.
fn translate(key: usize, interest: Interest, event: &Event) -> PollEvent {
    let readable = event.is_readable() || event.is_read_closed() || event.is_error();
    let writable = event.is_writable() || event.is_write_closed() || event.is_error();
    PollEvent {
        key,
        readable: readable && interest.is_readable(),
        writable: writable && interest.is_writable(),
        closed: false,
    }
}

fn of_mio(interest: Interest) -> mio::Interest {
    match (interest.is_readable(), interest.is_writable()) {
        (true, true) => mio::Interest::READABLE | mio::Interest::WRITABLE,
        (_, false) => mio::Interest::READABLE,
        (false, true) => mio::Interest::WRITABLE,
    }
}

/// Interrupts the poll when a socket may have become ready.
struct Alarm(mio::Waker, Owner);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if self.1.is_another() {
            return;
        }
        if let Err(error) = self.0.wake() {
            log::error!("cannot interrupt the poll of a poller: {error}");
        }
    }
}

/// No slot has this token: see [`crate::slots`].
const ALARM: Token = Token(usize::MAX);

/// Events that one poll may bring; the next one brings the others.
const EVENTS: usize = 256;
