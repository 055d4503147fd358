//! [`Poller`]: waits for any of many sockets, and for other file descriptors.

mod bells;
mod foreign;

use std::collections::HashMap;
use std::fmt;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use self::bells::{Bell, Bells};
use self::foreign::Foreign;
use crate::context::{Attendance, Engine, left_behind};
use crate::error::{PollerError, Unmet};
use crate::owner::Owner;
use crate::slots::{Id, Slots};
use crate::socket::{Interest, Kind, Ready, Socket, Watched, deadline};

/// Waits for any of many sockets to be ready, for reading or writing, and for other file descriptors besides.
///
/// It is level-triggered: what is ready is reported by every wait until it is so no longer. Its sockets may be of any type
/// and context; each has a key of the caller's choice. A wait ends when the first of them is ready, as fast as `recv`
/// would, and its cost depends on how many are ready and not on how many there are.
///
/// A socket is readable when [`recv`](Socket::recv) would have something to tell, and writable when
/// [`send`](Socket::send) would take a message: a REQ and a REP are one or the other as their turn is, a PUB and an XPUB
/// are always writable (also when they [block](crate::Overflow::Block), since that depends on the topic), and what a type
/// never does it is never ready for. Others may use the socket meanwhile and be faster, so prefer
/// [`try_recv`](Socket::try_recv) and [`try_send`](Socket::try_send).
///
/// The poller does not keep a socket open, but keeps its context running. A socket that is closed or dropped is reported
/// as such, until it is [removed](Self::remove).
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::{Context, Interest, Poller, Pull, Push};
///
/// let context = Context::new()?;
/// let [jobs, news] = [context.socket::<Pull>().build()?, context.socket::<Pull>().build()?];
/// let push = context.socket::<Push>().build()?;
/// push.connect(news.bind("tcp://127.0.0.1:0")?)?;
///
/// let mut poller = Poller::new();
/// poller.add(&jobs, 0, Interest::READABLE)?;
/// poller.add(&news, 1, Interest::READABLE)?;
///
/// push.send("hello")?;
/// let mut events = Vec::new();
/// poller.wait(&mut events, Some(Duration::from_secs(5)))?;
/// for event in &events {
///     match event.key {
///         0 => println!("a job: {:?}", jobs.try_recv()?),
///         _ => assert_eq!(news.try_recv()?, "hello"),
///     }
/// }
/// assert_eq!(events.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Other file descriptors
///
/// [`add_fd`](Self::add_fd) takes whatever lends its descriptor: a reference, for whose life `'fd` the poller can be
/// used, or an [`Arc`]. With descriptors in it the calling thread sleeps where they are watched, and the I/O thread looks
/// after the sockets, as it does for a future: a message then comes by way of one more thread.
pub struct Poller<'fd> {
    slots: Slots<Entry<'fd>>,
    keys: HashMap<usize, Id>,
    /// The reactors of the sockets, and how many sockets each has.
    engines: Vec<(Engine, usize)>,
    /// The sockets to be looked at in the next wait: those that are new, and those that were ready. The others ring.
    due: Vec<Id>,
    bells: Arc<Bells>,
    /// Made for the first descriptor.
    foreign: Option<Foreign>,
    owner: Owner,
}

/// What is watched under one key.
struct Entry<'fd> {
    key: usize,
    interest: Interest,
    source: Source<'fd>,
}

enum Source<'fd> {
    Socket {
        watched: Watched,
        bell: Waker,
        /// It stands in the list of those that are due.
        due: bool,
    },
    Fd {
        lender: Box<dyn AsFd + Send + 'fd>,
        /// It stands in the list of those that were reported: see [`Foreign`].
        spent: bool,
    },
}

/// What [`Poller::wait`] found ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollEvent {
    /// The key of the socket or descriptor.
    pub key: usize,
    /// It can be received from, or read: a descriptor also when the other side has hung up or it has an error.
    pub readable: bool,
    /// It can be sent to, or written: a descriptor also when it has an error.
    pub writable: bool,
    /// The socket is closed. It is reported as ready for all that was asked, since every call returns at once.
    pub closed: bool,
}

impl<'fd> Poller<'fd> {
    /// A poller of nothing.
    pub fn new() -> Self {
        Self {
            slots: Slots::new(),
            keys: HashMap::new(),
            engines: Vec::new(),
            due: Vec::new(),
            bells: Arc::default(),
            foreign: None,
            owner: Owner::current(),
        }
    }

    /// Adds a socket.
    ///
    /// # Errors
    ///
    /// When the key is taken, or the socket is in the poller already.
    pub fn add<T: Kind>(
        &mut self,
        socket: &Socket<T>,
        key: usize,
        interest: Interest,
    ) -> Result<(), PollerError> {
        let watched = socket.watched();
        let same = |source: &Source<'_>| matches!(source, Source::Socket { watched: other, .. } if other.is_same(&watched));
        self.check_new(key, same)?;
        match self.engines.iter_mut().find(|(engine, _)| engine.is(watched.engine())) {
            Some((_, sockets)) => *sockets += 1,
            None => self.engines.push((watched.engine().clone(), 1)),
        }
        let bells = self.bells.clone();
        let id = self.slots.insert_with(|id| {
            let bell = Waker::from(Arc::new(Bell::new(bells, id)));
            Entry { key, interest, source: Source::Socket { watched, bell, due: true } }
        });
        self.due.push(id);
        self.keys.insert(key, id);
        Ok(())
    }

    /// Adds a file descriptor, which should be in non-blocking mode as for any event loop.
    ///
    /// # Errors
    ///
    /// When the key is taken, the descriptor is in the poller already, or the system cannot watch it: regular files
    /// cannot be.
    pub fn add_fd(
        &mut self,
        lender: impl AsFd + Send + 'fd,
        key: usize,
        interest: Interest,
    ) -> Result<(), PollerError> {
        self.check_owner()?;
        let fd = foreign::raw(&lender);
        self.check_new(
            key,
            |other| matches!(other, Source::Fd { lender, .. } if foreign::raw(lender) == fd),
        )?;
        let foreign = match self.foreign.take() {
            Some(foreign) => foreign,
            None => Foreign::new()?,
        };
        let foreign = self.foreign.insert(foreign);
        let id = self.slots.insert(Entry {
            key,
            interest,
            source: Source::Fd { lender: Box::new(lender), spent: false },
        });
        if let Err(error) = foreign.register(id, fd, interest) {
            self.slots.remove(id);
            return Err(error.into());
        }
        self.keys.insert(key, id);
        Ok(())
    }

    /// Changes what a socket or descriptor is watched for.
    ///
    /// # Errors
    ///
    /// When nothing has this key, or the system cannot watch a descriptor so.
    pub fn modify(&mut self, key: usize, interest: Interest) -> Result<(), PollerError> {
        self.check_owner()?;
        let id = *self.keys.get(&key).ok_or(PollerError::UnknownKey(key))?;
        let Some(entry) = self.slots.get_mut(id) else { return Err(PollerError::UnknownKey(key)) };
        if let (Source::Fd { lender, .. }, Some(foreign)) = (&entry.source, &self.foreign) {
            foreign.rearm(id, foreign::raw(lender), interest)?;
        }
        entry.interest = interest;
        self.mark_due(id);
        Ok(())
    }

    /// Watches a socket or descriptor no longer. Its key is free again.
    ///
    /// # Errors
    ///
    /// When nothing has this key.
    pub fn remove(&mut self, key: usize) -> Result<(), PollerError> {
        self.check_owner()?;
        let id = self.keys.remove(&key).ok_or(PollerError::UnknownKey(key))?;
        match self.slots.remove(id).map(|entry| entry.source) {
            Some(Source::Socket { watched, .. }) => {
                if let Some((_, sockets)) =
                    self.engines.iter_mut().find(|(engine, _)| engine.is(watched.engine()))
                {
                    *sockets -= 1;
                }
                self.engines.retain(|(_, sockets)| *sockets > 0);
            }
            Some(Source::Fd { lender, .. }) => {
                if let Some(foreign) = &mut self.foreign {
                    foreign.deregister(foreign::raw(&lender));
                }
            }
            None => {}
        }
        Ok(())
    }

    /// How many sockets and descriptors are watched.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Blocks until at least one socket or descriptor is ready, for `timeout` at the longest: without end if `None`, and
    /// not at all if zero. Replaces what is in `events` by those that are ready, and returns their number, which is zero
    /// when the time is over.
    ///
    /// Meanwhile the calling thread does the I/O of its sockets, as a blocking `recv` does.
    ///
    /// # Errors
    ///
    /// When there is nothing to wait for and no timeout, or the system cannot watch the descriptors.
    pub fn wait(
        &mut self,
        events: &mut Vec<PollEvent>,
        timeout: Option<Duration>,
    ) -> Result<usize, PollerError> {
        let deadline = deadline(timeout);
        events.clear();
        self.check_owner()?;
        if self.is_empty() {
            // Nothing will come, but the caller may count on the pause.
            let timeout = timeout.ok_or(PollerError::Empty)?;
            left_behind::flush();
            thread::sleep(timeout);
        } else if self.watches_fds() {
            self.wait_with_fds(events, deadline)?;
        } else if let Some((engine, _)) = self.engines.first() {
            let engine = engine.clone();
            let waiting = Waiting { poller: self, events, driven: Some(&engine), attendances: None };
            match engine.block_on(waiting, deadline) {
                Ok(found) => _ = found?,
                Err(Unmet::Forked) => return Err(PollerError::Forked),
                Err(Unmet::TimedOut) => {}
            }
        }
        Ok(events.len())
    }

    /// Waits until at least one socket is ready, as [`wait`](Self::wait) does. Runs under any executor.
    ///
    /// Dropping the future before it is done loses nothing.
    ///
    /// # Errors
    ///
    /// When there is nothing to wait for; or when there are file descriptors in the poller, which under an executor are
    /// for the executor to watch.
    pub fn wait_async<'a>(
        &'a mut self,
        events: &'a mut Vec<PollEvent>,
    ) -> impl Future<Output = Result<usize, PollerError>> + Send + Unpin + use<'a, 'fd> {
        Waiting { poller: self, events, driven: None, attendances: None }
    }

    fn check_new(&self, key: usize, same: impl Fn(&Source<'fd>) -> bool) -> Result<(), PollerError> {
        if self.keys.contains_key(&key) {
            return Err(PollerError::KeyTaken(key));
        }
        match self.slots.iter().find(|(_, entry)| same(&entry.source)) {
            Some((_, entry)) => Err(PollerError::Twice(entry.key)),
            None => Ok(()),
        }
    }

    /// In a fork the poller watches nothing: its descriptors are watched by the parent, and that they were not any more
    /// would be news to it.
    fn check_owner(&self) -> Result<(), PollerError> {
        let left = self.owner.is_another() || self.engines.iter().any(|(engine, _)| engine.is_forked());
        if left { Err(PollerError::Forked) } else { Ok(()) }
    }

    fn watches_fds(&self) -> bool {
        self.foreign.as_ref().is_some_and(|foreign| !foreign.is_empty())
    }

    /// What keeps a future from waiting.
    fn check_async(&self) -> Result<(), PollerError> {
        if self.is_empty() {
            Err(PollerError::Empty)
        } else if self.engines.iter().any(|(engine, _)| engine.is_forked()) {
            Err(PollerError::Forked)
        } else if self.watches_fds() {
            Err(PollerError::Blocking)
        } else {
            Ok(())
        }
    }

    /// Adds the sockets that are ready to the events; if one is not, the waker is called when that may have changed.
    fn look(&mut self, events: &mut Vec<PollEvent>, waker: &Waker) {
        for id in self.bells.listen(waker) {
            self.mark_due(id);
        }
        for id in std::mem::take(&mut self.due) {
            let Some(Entry { key, interest, source: Source::Socket { watched, bell, due } }) =
                self.slots.get_mut(id)
            else {
                continue; // it was removed
            };
            let ready = watched.look(*interest, bell);
            *due = ready.is_any();
            if *due {
                let Ready { readable, writable, closed } = ready;
                events.push(PollEvent { key: *key, readable, writable, closed });
                self.due.push(id);
            }
        }
    }

    fn mark_due(&mut self, id: Id) {
        let Some(Entry { source: Source::Socket { due, .. }, .. }) = self.slots.get_mut(id) else { return };
        if !std::mem::replace(due, true) {
            self.due.push(id);
        }
    }

    /// Has somebody run the reactors that this thread does not.
    fn attend(&self, driven: Option<&Engine>) -> Vec<Attendance> {
        let others = self.engines.iter().filter(|(engine, _)| driven.is_none_or(|driven| !driven.is(engine)));
        others.map(|(engine, _)| engine.attendance()).collect()
    }
}

impl Default for Poller<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Poller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("keys", &self.keys.keys()).finish_non_exhaustive()
    }
}

/// Waits until a socket is ready.
struct Waiting<'a, 'fd> {
    poller: &'a mut Poller<'fd>,
    events: &'a mut Vec<PollEvent>,
    /// The reactor that the thread which polls this runs meanwhile.
    driven: Option<&'a Engine>,
    /// For all other reactors, once it has to wait.
    attendances: Option<Vec<Attendance>>,
}

impl Future for Waiting<'_, '_> {
    type Output = Result<usize, PollerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { poller, events, driven, attendances } = &mut *self;
        poller.check_async()?;
        events.clear();
        poller.look(events, context.waker());
        if !events.is_empty() {
            *attendances = None;
            return Poll::Ready(Ok(events.len()));
        }
        if attendances.is_none() {
            poller.check_owner()?;
            *attendances = Some(poller.attend(*driven));
        }
        if driven.is_none() {
            // Help before you wait: what this task has sent must not lie about while it sleeps.
            left_behind::flush();
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_, '_> {
    fn drop(&mut self) {
        self.poller.bells.ignore();
    }
}
