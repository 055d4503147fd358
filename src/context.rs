//! [`Context`]: owns the I/O threads that sockets live on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::endpoint::Endpoint;
use crate::engine::Reactor;
pub(crate) use crate::engine::{Attendance, Handle as Engine, Key, Setup, behind as left_behind};
use crate::error::{Closed, ContextError, OptionError};
pub(crate) use crate::inproc::{Caller, Hub};
use crate::lock::lock;

/// Where sockets live: it owns the I/O threads that look after their connections.
///
/// One context is enough for a program, and one I/O thread for all but the busiest: callers that wait do much of the
/// work themselves. A clone is another handle to the same context.
///
/// A socket keeps its context alive. When the last handle is dropped, be it a `Context` or a socket, that waits until
/// what dropped sockets still had to send is sent, or their linger time is over. If it is dropped by a [`Waker`] which
/// the library calls, a thread of its own waits for that instead, and the end of the program cuts it short.
///
/// # Forks
///
/// A context belongs to the process that made it. A child forked from that has a copy of its memory, and none of its
/// threads; the connections stay those of the parent, and so do all messages. In the child every call that can fail does so
/// at once, with an error named `Forked`, such as [`RecvError::Forked`](crate::RecvError::Forked); `close` returns
/// nothing, and statistics are all zero; and dropping context, sockets and all else frees nothing and leaves the parent
/// alone. The child may make a context of its own.
///
/// What no library can help, or not for nothing:
///
/// - The child holds the descriptors of the parent until it ends or runs another program, for which they are closed.
///   Until then a connection that the parent closes does not end for its peer, and an address that the parent has left is
///   not free.
/// - Where another thread was in the middle of using a socket at the fork, [`monitor`](crate::Socket::monitor) may hang in
///   the child. A [`Waker`] that the library calls must not fork, unless the child runs another program.
/// - A child that was not made by the `fork` of the C library, but by a system call of the program's own, is not known for
///   one.
///
/// [`Waker`]: std::task::Waker
///
/// ```
/// use ferromq::{Context, Pull, Push};
///
/// let context = Context::new()?;
/// let pull = context.socket::<Pull>().build()?;
/// let push = context.socket::<Push>().build()?;
/// push.connect(pull.bind("tcp://127.0.0.1:0")?)?;
/// push.send("hello")?;
/// assert_eq!(pull.recv()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

/// What all handles of a context share.
struct Inner {
    reactors: Vec<Reactor>,
    /// The reactor of the next socket, counted on and on.
    next: AtomicUsize,
    hub: Arc<Hub>,
    /// The sockets; none once the context is closed.
    members: Mutex<Option<Vec<Weak<dyn Member>>>>,
}

/// A socket, as its context sees it.
pub(crate) trait Member: Send + Sync {
    /// Ends the socket for its users. True if that had not happened before.
    fn begin_close(&self) -> bool;

    /// Whether something is still to be sent.
    fn owes(&self) -> bool;

    /// Adds the places where the socket is.
    fn add_places(&self, places: &mut Places);

    /// The sockets at these places are being closed, too, so that none of them will come back once its connection is
    /// over.
    fn expect_none_of(&self, places: &Places);

    /// Hands back what is not sent by the deadline.
    fn finish_close(&self, deadline: Option<Instant>) -> Closed;
}

/// Where sockets are, as their peers see it.
#[derive(Default)]
pub(crate) struct Places {
    /// Where they listen.
    pub(crate) listening: HashSet<Endpoint>,
    /// Where their connections come from which they have made.
    pub(crate) dialling: HashSet<Endpoint>,
}

impl Context {
    /// A context with one I/O thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no file descriptor left.
    pub fn new() -> Result<Self, ContextError> {
        Self::builder().build()
    }

    /// A context with options.
    pub fn builder() -> ContextBuilder {
        ContextBuilder { io_threads: 1 }
    }

    /// Closes the context and all its sockets, as [`Socket::close`](crate::Socket::close) does, within `timeout` for
    /// all of them together. Every call that waits ends with an error that says so, and no new socket can be built.
    ///
    /// A socket that has something to send is not waited for where only sockets of the same context, connected to it, would
    /// take it: what those have no room for is handed back as soon as they are closed.
    ///
    /// Returns the messages that could not be sent in time, and an account for each endpoint of each socket, but for
    /// those of sockets that had been dropped before. What these have left then is given up, whatever their
    /// [linger](crate::Builder::linger) time, and written to the log. A
    /// [`close_async`](crate::Socket::close_async) that somebody still waits for goes on.
    pub fn close(&self, timeout: Duration) -> Closed {
        if self.0.is_forked() {
            return Closed::default();
        }
        let deadline = clock::now().checked_add(timeout);
        let members = lock(&self.0.members).take().unwrap_or_default();
        let mut open: Vec<Arc<dyn Member>> = members.iter().filter_map(Weak::upgrade).collect();
        open.retain(|member| member.begin_close());
        self.0.hub.close();
        let mut own = Places::default();
        open.iter().for_each(|member| member.add_places(&mut own));
        open.iter().for_each(|member| member.expect_none_of(&own));
        // Whoever only receives need not be waited for by those who send to it.
        open.sort_by_cached_key(|member| member.owes());
        let mut closed = Closed::default();
        for member in open {
            let Closed { unsent, endpoints } = member.finish_close(deadline);
            closed.unsent.extend(unsent);
            closed.endpoints.extend(endpoints);
        }
        for reactor in &self.0.reactors {
            let gone = reactor.handle().wait_lingering(deadline);
            // In a waker it has not waited.
            if !gone && deadline.is_some_and(|deadline| deadline <= clock::now()) {
                reactor.handle().cut_lingering();
            }
        }
        closed
    }

    /// A context with no thread, in a simulated network.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn simulate(node: crate::transport::memory::Node) -> std::io::Result<Self> {
        Ok(Self::of(vec![Reactor::simulate(node)?]))
    }

    fn of(reactors: Vec<Reactor>) -> Self {
        Self(Arc::new(Inner {
            reactors,
            next: AtomicUsize::new(0),
            hub: Arc::default(),
            members: Mutex::new(Some(Vec::new())),
        }))
    }

    /// Whether this process is a fork of the one that made the context.
    pub(crate) fn is_forked(&self) -> bool {
        self.0.is_forked()
    }

    /// The reactor for a new socket: each in turn.
    pub(crate) fn engine(&self) -> Engine {
        let next = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.reactors[next % self.0.reactors.len()].handle().clone()
    }

    /// The names that are bound within the context.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.0.hub.clone()
    }

    /// Has the context close a socket when it is closed itself. False if it is closed already.
    pub(crate) fn enroll(&self, member: Weak<dyn Member>) -> bool {
        let mut members = lock(&self.0.members);
        let Some(members) = &mut *members else { return false };
        if members.len() == members.capacity() {
            members.retain(|member| member.strong_count() > 0);
        }
        members.push(member);
        true
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("io_threads", &self.0.reactors.len()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Whether this process is a fork of the one that made the context.
    fn is_forked(&self) -> bool {
        self.reactors.iter().any(|reactor| reactor.handle().is_forked())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.is_forked() {
            // The threads are not here, and what they hold can be neither ended nor freed.
            return std::mem::forget((std::mem::take(&mut self.reactors), self.hub.clone()));
        }
        self.hub.close();
        let reactors = std::mem::take(&mut self.reactors);
        if !reactors.iter().any(|reactor| reactor.handle().is_driven_here()) {
            return end(reactors);
        }
        // A waker has dropped the last handle, on the thread that would have to do what is waited for.
        let ender = thread::Builder::new().name("ferromq-end".into()).spawn(|| end(reactors));
        if let Err(error) = ender {
            log::error!("no thread to wait for what dropped sockets still had to send: {error}");
        }
    }
}

/// Ends the reactors of a context once nothing lingers there.
fn end(reactors: Vec<Reactor>) {
    for reactor in &reactors {
        // Each socket has set its own limit to this.
        reactor.handle().wait_lingering(None);
    }
}

/// The options of a [`Context`], made by [`Context::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ContextBuilder {
    io_threads: usize,
}

impl ContextBuilder {
    /// How many I/O threads look after connections: 1 by default, from 1 to 64. Each new socket goes to the next of
    /// them with all its connections. More than one helps when futures, or callers that do not wait, keep a whole
    /// thread busy with moving bytes.
    pub fn io_threads(self, io_threads: usize) -> Self {
        Self { io_threads }
    }

    /// Starts the I/O threads.
    ///
    /// # Errors
    ///
    /// When an option is out of its range, or the system has no thread or no file descriptor left.
    pub fn build(self) -> Result<Context, ContextError> {
        OptionError::within("io_threads", self.io_threads, 1..=64)?;
        let start = |number| Reactor::start(format!("ferromq-io-{number}")).map_err(ContextError::Start);
        let reactors = (0..self.io_threads).map(start).collect::<Result<_, _>>()?;
        Ok(Context::of(reactors))
    }
}

#[cfg(test)]
mod tests;
