//! [`Monitor`]: tells what happens to the connections of a socket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::feed::Feed;
use super::{Builder, Kind, Socket, deadline};
use crate::context::{Engine, left_behind};
use crate::error::MonitorError;
use crate::monitor::Event;
use crate::pipe::{Ticket, Wakes};

/// Tells what happens to the connections of one socket, as [`Event`]s; made by [`Socket::monitor`].
///
/// It tells all that happens from when it is made on. A monitor that is not read never holds up its socket: it keeps
/// the newest events, [`monitor_hwm`](Builder::monitor_hwm) of them, and says how many it has
/// [missed](Event::Missed). It does not keep its socket alive: when that is closed, or dropped and its last connection is
/// over, it tells what is left and ends.
///
/// It is an iterator over the events, as is a reference to it, and may be read by many threads and tasks, each of which
/// gets other events. A socket may have any number of monitors,
/// each of which gets them all.
///
/// ```
/// use ferromq::{Context, Event, Pull, Push};
///
/// let context = Context::new()?;
/// let pull = context.socket::<Pull>().build()?;
/// let monitor = pull.monitor(); // before bind, so that it sees all
/// let push = context.socket::<Push>().build()?;
/// push.connect(pull.bind("tcp://127.0.0.1:0")?)?;
///
/// assert!(matches!(monitor.recv()?, Event::Listening { .. }));
/// assert!(matches!(monitor.recv()?, Event::Accepted { .. }));
/// let Event::Ready { peer } = monitor.recv()? else { panic!("something else happened") };
/// assert_eq!(peer.socket_type, Some(push.socket_type()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Monitor {
    feed: Arc<Feed>,
    engine: Engine,
}

impl<T: Kind> Builder<T> {
    /// The most events that a [`Monitor`] keeps until they are read: 1000 by default, from 1. An event takes some
    /// hundred bytes.
    pub fn monitor_hwm(self, events: usize) -> Self {
        self.with(|options| options.monitor_hwm = events)
    }
}

impl<T: Kind> Socket<T> {
    /// A monitor, which tells what happens to the connections of this socket from now on. Made before the first
    /// [`bind`](Self::bind) or [`connect`](Self::connect) it misses nothing.
    pub fn monitor(&self) -> Monitor {
        let mut wakes = Wakes::default();
        let feed = self.core.lock().open_feed(self.core.options.monitor_hwm, &mut wakes);
        wakes.wake();
        Monitor { feed, engine: self.core.engine.clone() }
    }
}

impl Monitor {
    /// Waits for the next event, and blocks until there is one.
    ///
    /// # Errors
    ///
    /// When the socket and all its connections are closed, and every event has been told.
    pub fn recv(&self) -> Result<Event, MonitorError> {
        self.recv_by(None)
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    ///
    /// When there is none, or none will come any more.
    pub fn try_recv(&self) -> Result<Event, MonitorError> {
        if self.engine.is_forked() {
            return Err(MonitorError::Forked);
        }
        let result = self.feed.take();
        if let Err(MonitorError::Empty) = result {
            // Things happen when the reactor is run, so somebody must run it by the next try.
            self.engine.attend();
        }
        result
    }

    /// Waits for the next event, and blocks until there is one, for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// When the time is over, or no event will come any more.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, MonitorError> {
        self.recv_by(deadline(Some(timeout)))
    }

    /// Waits for the next event. Runs under any executor.
    ///
    /// Dropping the future before it is done loses nothing.
    ///
    /// # Errors
    ///
    /// When no event will come any more.
    pub fn recv_async(&self) -> impl Future<Output = Result<Event, MonitorError>> + Send + Unpin {
        Hearing { monitor: self, ticket: Ticket::default() }
    }

    fn recv_by(&self, deadline: Option<Instant>) -> Result<Event, MonitorError> {
        let hearing = Hearing { monitor: self, ticket: Ticket::default() };
        self.engine.sleep_on(hearing, deadline).unwrap_or_else(|unmet| Err(unmet.into()))
    }
}

/// Each event, blocking, until none will come any more.
impl Iterator for Monitor {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.recv().ok()
    }
}

/// The same for a monitor that is shared.
impl Iterator for &Monitor {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.recv().ok()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

/// Waits for an event.
///
/// It leaves the reactor to those who have an interest in its speed. The I/O thread looks in every few milliseconds,
/// which is soon enough, and the turns of those who send and receive are not disturbed.
struct Hearing<'a> {
    monitor: &'a Monitor,
    ticket: Ticket,
}

impl Future for Hearing<'_> {
    type Output = Result<Event, MonitorError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { monitor, ticket } = &mut *self;
        if monitor.engine.is_forked() {
            return Poll::Ready(Err(MonitorError::Forked));
        }
        let result = monitor.feed.poll_take(ticket, context.waker());
        if result.is_pending() {
            monitor.engine.attend();
            // Help before you wait: what this thread or task has sent must not lie about while it sleeps.
            left_behind::flush();
        }
        result
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.monitor.feed.leave(&mut self.ticket);
    }
}
