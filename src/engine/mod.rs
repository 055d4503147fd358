//! The event loop: sockets of the operating system on one side, [`Host`]s on the other.
//!
//! - [`reactor`]: one turn of the loop; [`connecting`] and [`orders`] are parts of it, [`timers`] its deadlines
//! - [`duty`]: who runs it; [`drive`]: how callers and the I/O thread take turns; [`parker`]: how they sleep
//! - [`wire`]: a connection; [`listener`] and [`dialer`] make them; [`arrivals`] says how many may come in; [`backoff`]
//!   and [`resolver`] help to dial
//! - `simulated`: a reactor with no thread, for the simulation
//! - [`behind`] and [`mod@watch`]: who writes what callers have left in a batch; [`linger`]: what outlives its socket

mod arrivals;
mod backoff;
pub(crate) mod behind;
mod connecting;
mod dialer;
mod drive;
mod duty;
mod linger;
mod listener;
mod orders;
mod parker;
mod reactor;
mod resolver;
#[cfg(any(test, feature = "fuzzing"))]
mod simulated;
mod timers;
mod watch;
mod wire;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle, Thread};
use std::time::Instant;

use mio::{Interest, Registry};

use self::duty::Roster;
use self::linger::{Gate, Lingering};
use self::parker::{Interrupter, Parker};
use self::reactor::Turn;
use self::resolver::Resolver;
use crate::endpoint::Endpoint;
use crate::error::{BindError, Unmet};
use crate::lock::lock;
use crate::options::Options;
use crate::owner::Owner;
use crate::peer::{Ending, Host};
use crate::pipe::{Ticket, Waiters, Wakes};
use crate::random;
use crate::slots::Id;
use crate::transport::{Listener, Network, Target, watch};
use crate::zmtp;

/// What a socket's new connections need to know.
pub(crate) struct Setup {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) options: Arc<Options>,
    pub(crate) config: zmtp::Config,
}

/// Names a listener or a dialer of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

/// A reactor, as sockets reach it.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    /// Whether both are one reactor.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Listens on an endpoint, and tells which one that is when the system had a choice.
    pub(crate) fn open_listener(
        &self,
        endpoint: &Endpoint,
        options: &Options,
    ) -> Result<(Listener, Endpoint), BindError> {
        let (listener, bound) = self.0.network.listen(endpoint, options)?;
        // What the system would rather not watch is better not bound. What is reported before somebody looks after the
        // listener reaches nobody, and is reported again to whoever does.
        let watched = watch(&self.0.registry, &listener, BOUND, Interest::READABLE);
        watched.map_err(|source| BindError::Listen { endpoint: endpoint.clone(), source })?;
        Ok((listener, bound))
    }

    /// Has the connections of a listener, which is bound there, belong to a socket.
    pub(crate) fn listen(&self, listener: Listener, bound: Endpoint, setup: Arc<Setup>) -> Key {
        let key = self.0.new_key();
        self.0.command(Command::Listen(key, listener, bound, setup));
        key
    }

    /// Has the endpoint dialled for a peer of a socket, now and whenever the connection is lost.
    pub(crate) fn dial(&self, endpoint: Endpoint, peer: Id, setup: Arc<Setup>) -> Key {
        let key = self.0.new_key();
        self.0.command(Command::Dial(key, endpoint, peer, setup));
        key
    }

    /// Ends a listener or a dialer, with all connections that came of it.
    pub(crate) fn forget(&self, key: Key, ending: Ending) {
        self.0.command(Command::Forget(key, self.lingering(ending), None));
    }

    /// As [`Handle::forget`], and waits until it is done.
    pub(crate) fn forget_now(&self, key: Key, ending: Ending) {
        let done = Arc::new(Done::default());
        self.0.command(Command::Forget(key, self.lingering(ending), Some(done.clone())));
        // In a waker, which must not wait, it is done soon.
        let _now_or_soon = self.block_on(Wait { done, ticket: Ticket::default() }, None);
    }

    /// What ends gracefully lingers from now on.
    fn lingering(&self, ending: Ending) -> Option<Lingering> {
        (ending == Ending::Graceful).then(|| self.0.linger_guard())
    }

    /// Whether this process is a fork of the one of the reactor.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.0.owner.is_another()
    }

    /// Runs a future to its end on the calling thread, or until the deadline passes.
    pub(crate) fn block_on<F: Future + Unpin>(
        &self,
        future: F,
        deadline: Option<Instant>,
    ) -> Result<F::Output, Unmet> {
        self.0.block_on(future, deadline)
    }

    /// As [`Handle::block_on`], and leaves the reactor to others: for those who may outlive it, or care less.
    pub(crate) fn sleep_on<F: Future + Unpin>(
        &self,
        future: F,
        deadline: Option<Instant>,
    ) -> Result<F::Output, Unmet> {
        self.0.sleep_on(future, deadline)
    }

    /// A future waits, which will not run the reactor itself.
    pub(crate) fn attendance(&self) -> Attendance {
        self.0.attending.fetch_add(1, Ordering::SeqCst);
        self.0.attend();
        Attendance(self.0.clone())
    }

    /// Has somebody run the reactor: a caller was turned away, and hopes to fare better next time.
    pub(crate) fn attend(&self) {
        self.0.attend();
    }

    /// Has something done soon, with no lock held but the duty.
    pub(crate) fn run(&self, order: impl FnOnce() + Send + 'static) {
        self.0.command(Command::Run(Box::new(order)));
    }

    /// As [`Handle::run`], at some later instant.
    pub(crate) fn run_at(&self, when: Instant, order: impl FnOnce() + Send + 'static) {
        self.0.command(Command::RunAt(when, Box::new(order)));
    }

    /// The socket has begun to leave messages in its batches that it will perhaps not write itself.
    pub(crate) fn watch(&self, host: Arc<dyn Host>) {
        self.0.watch(host);
    }

    /// Has a dropped socket send what it still has, until then.
    pub(crate) fn linger(&self, host: Arc<dyn Host>, until: Option<Instant>) {
        let lingering = self.0.linger_guard();
        self.0.command(Command::Linger(host, until, lingering));
    }

    /// Has what still lingers given up.
    pub(crate) fn cut_lingering(&self) {
        self.0.command(Command::CutLingering);
    }

    /// Waits until nothing lingers; false when the deadline passes first. Where waiting would hold up what is waited for
    /// it does not wait: see [`Handle::is_driven_here`].
    pub(crate) fn wait_lingering(&self, deadline: Option<Instant>) -> bool {
        self.block_on(self.0.gate.wait(), deadline).is_ok()
    }

    /// Tells whether anything of the reactor is left.
    #[cfg(test)]
    pub(crate) fn remains(&self) -> std::sync::Weak<dyn Send + Sync> {
        Arc::downgrade(&self.0) as _
    }

    /// Whether the calling thread runs the reactor. It has called somebody else's code then, a waker.
    pub(crate) fn is_driven_here(&self) -> bool {
        self.0.is_driven_here()
    }
}

/// A reactor and its I/O thread, which ends when this is dropped.
pub(crate) struct Reactor {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Reactor {
    pub(crate) fn start(name: String) -> io::Result<Self> {
        let shared = Shared::new(Network::System)?;
        let io = shared.clone();
        let thread = thread::Builder::new().name(name).spawn(move || io.run_io_thread())?;
        shared.io_thread.get_or_init(|| thread.thread().clone());
        Ok(Self { handle: Handle(shared), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let shared = &self.handle.0;
        lock(&shared.roster).stop();
        shared.poll.interrupt();
        shared.unpark_io_thread();
        let other = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = other {
            // It only fails by a panic, which has been reported where it happened.
            let _ = thread.join();
        }
        #[cfg(any(test, feature = "fuzzing"))]
        if let Network::Memory(_) = shared.network {
            shared.clear_up();
        }
    }
}

/// What all threads that have to do with a reactor share.
pub(crate) struct Shared {
    roster: Mutex<Roster<Box<Turn>, Parker>>,
    poll: Arc<Interrupter>,
    network: Network,
    registry: Arc<Registry>,
    owner: Owner,
    io_thread: OnceLock<Thread>,
    commands: Mutex<Vec<Command>>,
    /// Whether there are commands; spares a turn the lock.
    commanded: AtomicBool,
    /// Sockets that may have batches nobody writes.
    watched: Mutex<Vec<Arc<dyn Host>>>,
    watching: AtomicBool,
    /// How many futures wait.
    attending: AtomicUsize,
    gate: Arc<Gate>,
    resolver: Resolver,
    keys: AtomicU64,
}

/// What other threads ask of the reactor.
pub(crate) enum Command {
    Listen(Key, Listener, Endpoint, Arc<Setup>),
    Dial(Key, Endpoint, Id, Arc<Setup>),
    /// A listener or dialer is to end, gracefully if something is to linger.
    Forget(Key, Option<Lingering>, Option<Arc<Done>>),
    /// The name of what a dialer dials has been looked up.
    Resolved(Id, io::Result<Vec<Target>>),
    /// A link's inbox has room again.
    Resume(Id),
    /// A link has more to write than one thread should write in one go.
    Pump(Id),
    /// The socket of a link is done with it.
    HangUp(Id),
    /// Writing to a link has failed.
    Broken(Id, io::Error),
    /// Something is to be done that could not be done where it was found.
    Run(Box<dyn FnOnce() + Send>),
    /// Something is to be done later.
    RunAt(Instant, Box<dyn FnOnce() + Send>),
    Linger(Arc<dyn Host>, Option<Instant>, Lingering),
    /// A lingerer may have nothing left to send.
    Recheck(Id),
    /// No lingerer has any more time.
    CutLingering,
}

impl Shared {
    fn new(network: Network) -> io::Result<Arc<Self>> {
        let poll = mio::Poll::new()?;
        let waker = Arc::new(Interrupter::new(mio::Waker::new(poll.registry(), WAKE)?));
        let registry = Arc::new(poll.registry().try_clone()?);
        let turn = Turn::new(poll, registry.clone(), random::seed());
        Ok(Arc::new(Self {
            roster: Mutex::new(Roster::new(Box::new(turn))),
            poll: waker,
            network,
            registry,
            owner: Owner::current(),
            io_thread: OnceLock::new(),
            commands: Mutex::default(),
            commanded: AtomicBool::new(false),
            watched: Mutex::default(),
            watching: AtomicBool::new(false),
            attending: AtomicUsize::new(0),
            gate: Arc::default(),
            resolver: Resolver::default(),
            keys: AtomicU64::new(0),
        }))
    }

    /// Asks for something to be done at once.
    fn command(&self, command: Command) {
        self.push(command);
        self.call();
    }

    /// Has a link read on. That need not be at once: the thread that has just made room is likely to run the reactor
    /// next.
    fn resume(&self, link: Id) {
        self.push(Command::Resume(link));
        self.nudge();
    }

    fn push(&self, command: Command) {
        let mut commands = lock(&self.commands);
        commands.push(command);
        self.commanded.store(true, Ordering::SeqCst);
    }

    fn take_commands(&self) -> Vec<Command> {
        if !self.commanded.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut commands = lock(&self.commands);
        self.commanded.store(false, Ordering::SeqCst);
        std::mem::take(&mut commands)
    }

    fn watch(&self, host: Arc<dyn Host>) {
        lock(&self.watched).push(host);
        if !self.watching.swap(true, Ordering::SeqCst) {
            self.nudge();
        }
    }

    fn is_watched(&self) -> bool {
        self.watching.load(Ordering::SeqCst)
    }

    /// Has every watched socket write what it has, and forgets those that had nothing. False if none is left.
    fn look(&self) -> bool {
        let hosts = std::mem::take(&mut *lock(&self.watched));
        let busy: Vec<Arc<dyn Host>> = hosts.into_iter().filter(|host| host.look()).collect();
        let mut watched = lock(&self.watched);
        watched.extend(busy);
        self.watching.store(!watched.is_empty(), Ordering::SeqCst);
        !watched.is_empty()
    }

    fn linger_guard(&self) -> Lingering {
        self.gate.enter()
    }

    fn new_key(&self) -> Key {
        Key(self.keys.fetch_add(1, Ordering::Relaxed))
    }

    fn unpark_io_thread(&self) {
        // Before it is known it has not slept yet.
        if let Some(thread) = self.io_thread.get() {
            thread.unpark();
        }
    }
}

/// Says that a future waits; see [`Handle::attendance`].
pub(crate) struct Attendance(Arc<Shared>);

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.attending.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a command has been obeyed.
#[derive(Default)]
pub(crate) struct Done(Mutex<(bool, Waiters)>);

impl Done {
    fn complete(&self) {
        let mut wakes = Wakes::default();
        {
            let mut state = lock(&self.0);
            state.0 = true;
            state.1.wake_all(&mut wakes);
        }
        wakes.wake();
    }
}

struct Wait {
    done: Arc<Done>,
    ticket: Ticket,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let mut state = lock(&this.done.0);
        if state.0 {
            return Poll::Ready(());
        }
        let before = state.1.wait(&mut this.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

/// The token under which the poll reports that it was interrupted. No slot has it: see [`crate::slots`].
const WAKE: mio::Token = mio::Token(usize::MAX);

/// The token of listeners that nobody looks after yet. No slot has it either.
const BOUND: mio::Token = mio::Token(usize::MAX - 1);
