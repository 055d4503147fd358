//! [`Readiness`]: a socket as a file descriptor, for the event loops of others.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Weak};

use super::core::Core;
use super::gauge::{Gauge, Line};
use super::interest::Interest;
use super::{Kind, Socket};
use crate::context::Attendance;
use crate::error::RecvError;

/// A file descriptor that is readable exactly while its socket is ready, for `poll`, `epoll`, `kqueue` and every event
/// loop above them; made by [`Socket::readiness`].
///
/// It is level-triggered and never lies. Each call that makes the socket ready, or takes from it what it was ready for,
/// has changed the descriptor before it returns, whatever thread it runs on; so has the I/O thread before anybody can
/// see what it did. It stays readable as long as there is another message, and once the socket is closed.
///
/// Watch it for reading, also when it tells that the socket is writable, and leave its one byte where it is: the library
/// puts it there and takes it away. An event loop that is told of changes only (edge-triggered) has to go on until the
/// socket has nothing more, as with any descriptor.
///
/// While the value lives, the I/O thread looks after the socket, for nobody else may. It outlives its socket, and does not
/// keep it open. Each change costs one system call; a socket that nobody watches so pays nothing.
///
/// ```
/// use ferromq::{Context, Interest, Pull, Push};
/// use mio::unix::SourceFd;
/// use std::os::fd::AsRawFd;
///
/// let context = Context::new()?;
/// let pull = context.socket::<Pull>().build()?;
/// let push = context.socket::<Push>().build()?;
/// push.connect(pull.bind("tcp://127.0.0.1:0")?)?;
///
/// // Somebody else's event loop.
/// let mut poll = mio::Poll::new()?;
/// let readiness = pull.readiness(Interest::READABLE)?;
/// poll.registry().register(
///     &mut SourceFd(&readiness.as_raw_fd()),
///     mio::Token(1),
///     mio::Interest::READABLE,
/// )?;
///
/// push.send("hello")?;
/// let mut events = mio::Events::with_capacity(8);
/// poll.poll(&mut events, None)?;
/// assert_eq!(pull.try_recv()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Readiness {
    core: Weak<Core>,
    line: Arc<Line>,
    _attendance: Attendance,
}

impl<T: Kind> Socket<T> {
    /// A file descriptor that is readable exactly while the socket is ready for what is asked, or closed.
    ///
    /// What a type of socket never does it is never ready for: a PULL is never writable.
    ///
    /// # Errors
    ///
    /// When the system has no file descriptors left, of which it takes two; or when the process is a fork of the one that
    /// the socket belongs to.
    pub fn readiness(&self, interest: Interest) -> io::Result<Readiness> {
        if self.core.engine.is_forked() {
            return Err(io::Error::other(RecvError::Forked));
        }
        let line = Arc::new(Line::new()?);
        // It is shown for the first time when the lock is released.
        self.core.lock().gauges.push(Gauge::new(line.clone(), interest));
        let attendance = self.core.engine.attendance();
        Ok(Readiness { core: Arc::downgrade(&self.core), line, _attendance: attendance })
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.reader.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.line.reader.as_raw_fd()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        // A socket that is gone was closed before, and has raised it for good.
        if let Some(core) = self.core.upgrade() {
            if let Some(mut state) = core.enter() {
                state.gauges.retain(|gauge| !gauge.is_of(&self.line));
            }
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Events, Poll, Token};

    use super::*;
    use crate::context::Context;
    use crate::error::Refusal;
    use crate::message::Message;
    use crate::socket::{Dealer, Pair, Pull, Push, Receives, Rep, Req, Router, Sends};

    const PATIENCE: Duration = Duration::from_secs(30);
    const STEPS: usize = 2000;

    /// A socket with all the descriptors that tell of it.
    struct Seen<T: Kind> {
        socket: Socket<T>,
        descriptors: [(Interest, Readiness); 3],
        poll: Poll,
    }

    impl<T: Kind> Seen<T> {
        fn new(socket: Socket<T>) -> Self {
            let interests = [Interest::READABLE, Interest::WRITABLE, Interest::BOTH];
            let descriptors = interests.map(|interest| (interest, socket.readiness(interest).unwrap()));
            Self { socket, descriptors, poll: Poll::new().unwrap() }
        }

        /// What a poll says of the descriptors at this moment.
        fn polled(&mut self) -> [bool; 3] {
            let fds = self.descriptors.each_ref().map(|(_, readiness)| readiness.as_raw_fd());
            for (place, fd) in fds.iter().enumerate() {
                let registry = self.poll.registry();
                registry.register(&mut SourceFd(fd), Token(place), mio::Interest::READABLE).unwrap();
            }
            let mut events = Events::with_capacity(8);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            let mut readable = [false; 3];
            events.iter().for_each(|event| readable[event.token().0] = event.is_readable());
            fds.iter().for_each(|fd| self.poll.registry().deregister(&mut SourceFd(fd)).unwrap());
            readable
        }

        /// Compares all descriptors with the truth, which stands still meanwhile.
        #[track_caller]
        fn check(&mut self) {
            let core = self.socket.core.clone();
            let state = core.lock();
            let expected = self.descriptors.each_ref().map(|(interest, _)| state.ready(*interest).is_any());
            assert_eq!(self.polled(), expected);
        }
    }

    /// Sends and receives at random, and checks after each step and as often in between.
    fn walk<T: Sends + Receives>(seen: &mut Seen<T>, message: impl Fn() -> Message, mut random: u64) {
        for _ in 0..STEPS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match random >> 61 {
                0..=3 => drop(seen.socket.try_send(message())),
                4..=6 => drop(seen.socket.try_recv()),
                _ => drop(seen.socket.recv_timeout(Duration::from_micros(100))),
            }
            seen.check();
            seen.check();
        }
    }

    /// Runs one end against another on a second thread, both of them checked at every step.
    fn walk_both<A: Sends + Receives, B: Sends + Receives>(
        a: Socket<A>,
        b: Socket<B>,
        to_b: fn() -> Message,
    ) {
        b.connect(a.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        a.wait_connected(1, PATIENCE).unwrap();
        let (mut a, mut b) = (Seen::new(a), Seen::new(b));
        thread::scope(|scope| {
            scope.spawn(|| walk(&mut a, to_b, 1));
            walk(&mut b, || "x".into(), 2);
        });
        for closed in [a.socket.close(Duration::ZERO), b.socket.close(Duration::ZERO)] {
            drop(closed);
        }
        a.check();
        b.check();
        assert_eq!((a.polled(), b.polled()), ([true; 3], [true; 3]));
    }

    #[test]
    fn says_the_truth_of_dealers() {
        let context = Context::new().unwrap();
        let narrow = || context.socket::<Dealer>().send_hwm(3).recv_hwm(3).build().unwrap();
        walk_both(narrow(), narrow(), || "x".into());
    }

    #[test]
    fn says_the_truth_of_a_pair() {
        let context = Context::new().unwrap();
        let narrow = || context.socket::<Pair>().send_hwm(2).recv_hwm(2).build().unwrap();
        walk_both(narrow(), narrow(), || "x".into());
    }

    #[test]
    fn says_the_truth_of_routers() {
        let context = Context::new().unwrap();
        let dealer = context.socket::<Dealer>().routing_id("d").build().unwrap();
        let router = context.socket::<Router>().send_hwm(2).build().unwrap();
        walk_both(router, dealer, || ["d", "x"].into());
    }

    #[test]
    fn says_the_truth_of_req_and_rep_which_take_turns() {
        let context = Context::new().unwrap();
        let req = context.socket::<Req>().build().unwrap();
        walk_both(context.socket::<Rep>().build().unwrap(), req, || "x".into());
    }

    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn says_the_truth_while_many_threads_use_the_socket() {
        let context = Context::builder().io_threads(2).build().unwrap();
        let push = context.socket::<Push>().send_hwm(5).build().unwrap();
        let pull = context.socket::<Pull>().recv_hwm(5).build().unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let (mut push, mut pull) = (Seen::new(push), Seen::new(pull));
        let (to, from) = (push.socket.core.clone(), pull.socket.core.clone());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop_also_when_it_fails = Stop(&stop);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let result = to.try_send(&"x".into());
                        assert!(matches!(result, Ok(()) | Err(Refusal::Full)));
                    }
                });
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let mut result = Err(RecvError::Empty);
                        from.try_recv(&mut result);
                        assert!(matches!(result, Ok(_) | Err(RecvError::Empty)));
                    }
                });
            }
            let deadline = std::time::Instant::now() + PATIENCE;
            let mut steps = 0;
            while steps < STEPS || pull.socket.stats().delivered == 0 {
                assert!(std::time::Instant::now() < deadline, "nothing has come");
                push.check();
                pull.check();
                steps += 1;
            }
        });
    }

    #[test]
    fn a_stolen_octet_is_put_back_with_the_next_change() {
        let context = Context::new().unwrap();
        let push = context.socket::<Push>().send_hwm(1).build().unwrap();
        let pull = context.socket::<Pull>().build().unwrap();
        let readiness = push.readiness(Interest::WRITABLE).unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        assert_eq!((&readiness.line.reader).read(&mut [0; 8]).unwrap(), 1);
        push.send("the queue is full for a moment, and has room again").unwrap();
        push.send("so this one is taken").unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut octets = [0; 8];
        while (&readiness.line.reader).read(&mut octets).is_err() {
            assert!(std::time::Instant::now() < deadline);
        }
    }
}
