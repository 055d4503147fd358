//! A world of threads that share the duty, run one atomic step at a time by a seeded scheduler.
//!
//! The [`Roster`] and the [`Waiters`] are the real ones. What `drive`, `parker`, `watch` and the reactor do around them
//! is told again here, line by line: each acquisition of a lock and each operation on an atomic is one [`World::step`],
//! so that anything may happen between any two. What is done under a lock is one step also when it touches an atomic:
//! nobody could tell the difference.
//!
//! Time is virtual. It passes only when nobody can run, up to the next deadline; that is when [`World::fault_at_rest`]
//! looks for what should not have to wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::Roster;
use crate::lock::lock;
use crate::pipe::{Ticket, Waiters};

/// Microseconds.
pub(super) type Time = u64;

/// What is left out or turned round, to see that it would be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A caller that gives up does not pass the turn on.
    PassNotOn,
    /// Who leaves the turn does not look whether somebody else needs the reactor.
    LeaveQuietly,
    /// A caller whose time is over leaves the turn at once.
    ClockFirst,
    /// A caller parks though it has been woken since it looked.
    ParkUnchecked,
    /// A caller polls though it has been woken since it looked.
    PollUnchecked,
    /// A caller that has come out of its sleep does not look whether it was woken.
    WokenUnchecked,
    /// A caller forgets old wake-ups only after it has looked at what it waits for.
    ResetLate,
    /// A caller that queues behind the I/O thread does not interrupt the poll.
    QueueQuietly,
    /// Waking a thread that is in the poll does not interrupt the poll.
    WakeQuietly,
    /// Who was woken for a message and does not take it tells nobody.
    KeepWakeUp,
    /// What is to be done at once is treated like what has time.
    NudgeForCall,
    /// What has time is not told to who sleeps in the poll.
    NeverNudge,
    /// The flag of the commands is cleared after they are taken.
    ClearFlagLate,
    /// A socket that is to be watched raises the flag before it is on the list.
    FlagBeforeList,
    /// The I/O thread sleeps until it is woken whenever it does not get the turn.
    SleepForGood,
    /// The I/O thread keeps the turn though it is wanted.
    KeepTurn,
    /// A caller that comes out of the poll woken forgets what the poll reported.
    ForgetEvents,
    /// The I/O thread is not woken to end.
    StopQuietly,
}

/// All of them.
pub(super) const FAULTS: [Fault; 18] = [
    Fault::PassNotOn,
    Fault::LeaveQuietly,
    Fault::ClockFirst,
    Fault::ParkUnchecked,
    Fault::PollUnchecked,
    Fault::WokenUnchecked,
    Fault::ResetLate,
    Fault::QueueQuietly,
    Fault::WakeQuietly,
    Fault::KeepWakeUp,
    Fault::NudgeForCall,
    Fault::NeverNudge,
    Fault::ClearFlagLate,
    Fault::FlagBeforeList,
    Fault::SleepForGood,
    Fault::KeepTurn,
    Fault::ForgetEvents,
    Fault::StopQuietly,
];

/// How often the I/O thread looks in, as `drive` says.
pub(super) const LOOK_IN: Time = 2_000;
/// The longest that anything waits for which nobody is woken, and an event when nobody is in the poll.
pub(super) const LATE: Time = 3 * LOOK_IN;
/// The pauses of the watch.
pub(super) const FIRST: Time = 1_000;
pub(super) const LAST: Time = 4_000;
/// How long the poll may go unasked, as the reactor says.
pub(super) const UNPOLLED: Time = 1_000;
/// Messages that one read brings at most.
pub(super) const CHUNK: usize = 2;
/// So many messages taken make room in the inbox.
pub(super) const HALF: usize = 3;
/// Steps without any time passing that look like a circle.
const CIRCLE: u32 = 300_000;
/// By then everything is over.
pub(super) const END: Time = 600_000_000;
const TRACE: usize = 64;

/// What there is one of, and whoever has it runs the reactor.
#[derive(Debug)]
pub(super) struct Turn {
    /// The link stands in the list of those to be read.
    pub(super) listed: bool,
    /// The link may have something to read.
    pub(super) readable: bool,
    /// A deadline of the link.
    pub(super) timer: Time,
    /// When the poll was asked last.
    pub(super) polled: Time,
    pub(super) overdue: bool,
    pub(super) look: Option<Time>,
    pub(super) pause: Time,
}

/// Why somebody does not run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Status {
    Ready,
    Parked(Option<Time>),
    Polling(Option<Time>),
    /// Asleep outside of the library.
    Asleep(Time),
    /// Under an executor.
    Idle(Option<Time>),
    Until(fn(&World) -> bool),
    Done,
}

/// A thread or a task: its status, and what others may change of it.
pub(super) struct Actor {
    name: &'static str,
    pub(super) status: Cell<Status>,
    /// The state of its parker.
    pub(super) parker: Cell<u8>,
    /// What `unpark` leaves for `park`.
    pub(super) token: Cell<bool>,
    /// A task has been woken.
    pub(super) notified: Cell<bool>,
    pub(super) waits: Cell<Waits>,
    pub(super) waker: Waker,
}

/// What a caller or a task is known to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    Message,
    Done(usize),
}

/// What a future waits for.
pub(super) enum Wait {
    Message(Ticket),
    Done(usize, Ticket),
}

#[derive(Debug)]
pub(super) enum Command {
    Done(usize),
    Nothing,
    Resume,
}

pub(super) const RUNNING: u8 = 0;
pub(super) const PARKED: u8 = 1;
pub(super) const POLLING: u8 = 2;
pub(super) const WOKEN: u8 = 3;

/// The I/O thread comes first.
pub(super) const IO: usize = 0;

/// How the scheduler treats everybody.
pub(super) struct Habits {
    /// In so many of 64 steps the same one goes on.
    pub(super) stay: u64,
    /// This one runs only now and then while others can.
    pub(super) lazy: usize,
    /// One step in so many wakes somebody for no reason; none for zero.
    pub(super) spurious: u64,
    /// Whoever sleeps does so until a multiple of this, so that many wake at once.
    pub(super) grain: Time,
}

pub(super) struct World {
    fault: Option<Fault>,
    habits: Habits,
    rng: Cell<u64>,
    pub(super) now: Cell<Time>,
    /// Who runs.
    pub(super) who: Cell<usize>,
    pub(super) actors: Vec<Actor>,
    seats: Vec<Arc<usize>>,
    pub(super) rung: Arc<Mutex<Vec<usize>>>,
    pub(super) roster: RefCell<Roster<Box<Turn>, usize>>,
    pub(super) holder: Cell<Option<usize>>,
    pub(super) grants: Cell<u64>,
    /// The counter that interrupts the poll.
    pub(super) counter: Cell<bool>,
    /// The link has news for the poll.
    pub(super) edge: Cell<bool>,
    /// Since when each message lies on the link: since it came, or since the link was read and it was left there.
    pub(super) unread: RefCell<VecDeque<Time>>,
    /// Messages in the inbox.
    pub(super) queue: Cell<usize>,
    pub(super) receivers: RefCell<Waiters>,
    pub(super) taken: Cell<usize>,
    pub(super) commands: RefCell<Vec<(Command, Time, bool)>>,
    pub(super) commanded: Cell<bool>,
    pub(super) dones: RefCell<Vec<(bool, Waiters)>>,
    /// Since when messages lie in a batch that nobody writes.
    pub(super) dirty: Cell<Option<Time>>,
    /// The socket knows that it is watched.
    pub(super) watched: Cell<bool>,
    pub(super) list: Cell<usize>,
    pub(super) watching: Cell<bool>,
    pub(super) attending: Cell<usize>,
    /// Callers and tasks that are not through.
    pub(super) busy: Cell<usize>,
    wrong: Cell<Option<&'static str>>,
    trace: RefCell<Vec<(Time, usize, &'static str)>>,
    steps: Cell<usize>,
}

struct Bell(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        lock(&self.1).push(self.0);
    }
}

pub(super) type Person<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The scheduler.
impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>, names: &[&'static str], habits: Habits) -> Self {
        let rung = Arc::new(Mutex::new(Vec::new()));
        let actor = |(who, name): (usize, &&'static str)| Actor {
            name,
            status: Cell::new(Status::Ready),
            parker: Cell::new(RUNNING),
            token: Cell::new(false),
            notified: Cell::new(false),
            waits: Cell::new(Waits::Nothing),
            waker: Waker::from(Arc::new(Bell(who, rung.clone()))),
        };
        let turn = Turn {
            listed: false,
            readable: false,
            timer: 777,
            polled: 0,
            overdue: false,
            look: None,
            pause: FIRST,
        };
        Self {
            fault,
            habits,
            rng: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: Cell::new(0),
            who: Cell::new(IO),
            actors: names.iter().enumerate().map(actor).collect(),
            seats: (0..names.len()).map(Arc::new).collect(),
            rung,
            roster: RefCell::new(Roster::new(Box::new(turn))),
            holder: Cell::new(None),
            grants: Cell::new(0),
            counter: Cell::new(false),
            edge: Cell::new(false),
            unread: RefCell::default(),
            queue: Cell::new(0),
            receivers: RefCell::default(),
            taken: Cell::new(0),
            commands: RefCell::default(),
            commanded: Cell::new(false),
            dones: RefCell::default(),
            dirty: Cell::new(None),
            watched: Cell::new(false),
            list: Cell::new(0),
            watching: Cell::new(false),
            attending: Cell::new(0),
            busy: Cell::new(0),
            wrong: Cell::new(None),
            trace: RefCell::new(vec![(0, IO, ""); TRACE]),
            steps: Cell::new(0),
        }
    }

    /// Has everybody go on until the last of them is through, or something is wrong.
    pub(super) fn run(&self, people: &mut [Person<'_>]) -> Result<(), String> {
        let mut circle = 0;
        loop {
            let Some(who) = self.pick() else {
                circle = 0;
                self.pass_time().map_err(|why| self.report(why))?;
                continue;
            };
            self.who.set(who);
            if people[who].as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                self.actors[who].status.set(Status::Done);
                if who == self.actors.len() - 1 && self.wrong.get().is_none() {
                    return Ok(());
                }
            }
            circle += 1;
            if circle > CIRCLE {
                self.wrong("they run in a circle");
            }
            if let Some(why) = self.wrong.get() {
                return Err(self.report(why));
            }
        }
    }

    fn pick(&self) -> Option<usize> {
        let (count, dice) = (self.actors.len(), self.random());
        let last = self.who.get();
        if dice % 64 < self.habits.stay && self.can_run(last) {
            return Some(last);
        }
        let asleep =
            |who: usize| matches!(self.actors[who].status.get(), Status::Parked(_) | Status::Polling(_));
        let stirs = self.habits.spurious > 0 && (dice >> 16) % self.habits.spurious == 0;
        let lazy = if (dice >> 32) % 32 == 0 { count } else { self.habits.lazy };
        let (mut found, mut who) = (None, (dice >> 48) as usize % count);
        for _ in 0..count {
            if self.can_run(who) {
                if stirs {
                    found = (0..count).find(|who| asleep(*who)).or(Some(who));
                    break;
                }
                found = Some(who);
                if who != lazy {
                    break;
                }
            }
            who = if who + 1 < count { who + 1 } else { 0 };
        }
        found
    }

    fn can_run(&self, who: usize) -> bool {
        let actor = &self.actors[who];
        let over = |until: Option<Time>| until.is_some_and(|until| until <= self.now.get());
        match actor.status.get() {
            Status::Ready => true,
            Status::Parked(until) => actor.token.get() || over(until),
            Status::Polling(until) => self.counter.get() || self.edge.get() || over(until),
            Status::Asleep(until) => over(Some(until)),
            Status::Idle(until) => actor.notified.get() || over(until),
            Status::Until(holds) => holds(self),
            Status::Done => false,
        }
    }

    /// Nobody can run: goes on to the next deadline.
    fn pass_time(&self) -> Result<(), &'static str> {
        let until = |actor: &Actor| match actor.status.get() {
            Status::Parked(until) | Status::Polling(until) | Status::Idle(until) => until,
            Status::Asleep(until) => Some(until),
            Status::Ready | Status::Until(_) | Status::Done => None,
        };
        let next = self.actors.iter().filter_map(until).min();
        if let Some(why) = self.fault_at_rest(next.unwrap_or(Time::MAX)) {
            return Err(why);
        }
        match next {
            None => Err("nobody will ever run again"),
            Some(next) if next > END => Err("it takes too long"),
            Some(next) => {
                self.now.set(next);
                Ok(())
            }
        }
    }

    /// What must not be while everybody waits, and would be so until `next`.
    fn fault_at_rest(&self, next: Time) -> Option<&'static str> {
        let roster = self.roster.borrow();
        let (free, commands, unread) = (roster.free.is_some(), self.commands.borrow(), self.unread.borrow());
        let late = |since: Time, limit: Time| next > since + limit;
        let asleep = |who: usize| matches!(self.actors[who].status.get(), Status::Parked(None));
        let done = |slot: usize| self.dones.borrow()[slot].0;
        let waits = |holds: &dyn Fn(Waits) -> bool| self.actors.iter().any(|actor| holds(actor.waits.get()));
        let faults = [
            (roster.heirs > 0, "an heir sleeps"),
            (free && !roster.queue.is_empty(), "the turn lies free, and somebody queues for it"),
            (free && asleep(IO), "the turn lies free, and the I/O thread sleeps for good"),
            (!free && self.holder.get().is_none(), "the turn is lost"),
            (
                self.holder.get() == Some(IO) && !roster.queue.is_empty(),
                "the I/O thread is wanted, and sleeps",
            ),
            (roster.stopped, "the I/O thread is to end, and sleeps"),
            (self.queue.get() > 0 && waits(&|it| it == Waits::Message), "a message lies, and somebody waits"),
            (waits(&|it| matches!(it, Waits::Done(slot) if done(slot))), "it is done, and somebody waits"),
            (
                commands.iter().any(|(_, since, urgent)| *urgent && late(*since, LOOK_IN)),
                "what is to be done at once is not done",
            ),
            (!free && !commands.is_empty(), "who is in the poll has not been told of something"),
            (!free && !unread.is_empty(), "who is in the poll has not been told of messages"),
            (commands.iter().any(|(_, since, _)| late(*since, LATE)), "a command is obeyed late"),
            (unread.front().is_some_and(|since| late(*since, LATE)), "a message is read late"),
            (self.attending.get() > 0 && free, "a future waits, and nobody runs the reactor"),
            (self.dirty.get().is_some_and(|since| late(since, LATE + FIRST)), "a batch is written late"),
        ];
        faults.into_iter().find(|(is_so, _)| *is_so).map(|(_, why)| why)
    }

    fn report(&self, why: &str) -> String {
        let mut report = format!("{why}\n{:?}\n", self.roster.borrow());
        let trace = self.trace.borrow();
        let (newest, oldest) = trace.split_at(self.steps.get() % TRACE);
        for (time, who, what) in oldest.iter().chain(newest) {
            report += &format!("{time:9} {:10} {what}\n", self.actors[*who].name);
        }
        for actor in &self.actors {
            report += &format!(
                "{:20} {:?}, parker {}, token {}, waits for {:?}\n",
                actor.name,
                actor.status.get(),
                actor.parker.get(),
                actor.token.get(),
                actor.waits.get()
            );
        }
        report
    }

    pub(super) fn wrong(&self, why: &'static str) {
        self.wrong.set(self.wrong.get().or(Some(why)));
    }

    fn random(&self) -> u64 {
        let mut x = self.rng.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.rng.set(x);
        x >> 3
    }

    pub(super) fn below(&self, limit: u64) -> u64 {
        self.random() % limit
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(super) fn me(&self) -> &Actor {
        &self.actors[self.who.get()]
    }

    pub(super) fn seat(&self) -> &Arc<usize> {
        &self.seats[self.who.get()]
    }

    /// The next atomic step is what follows, up to the next wait.
    pub(super) fn step(&self, what: &'static str) -> Pause<'_> {
        self.block(what, Status::Ready)
    }

    pub(super) fn block(&self, what: &'static str, status: Status) -> Pause<'_> {
        Pause { world: self, what, status: Some(status) }
    }

    pub(super) async fn sleep(&self, time: Time) {
        self.block("sleeps", Status::Asleep(self.in_time(time))).await;
    }

    pub(super) fn in_time(&self, time: Time) -> Time {
        (self.now.get() + time).next_multiple_of(self.habits.grain)
    }
}

/// `Parker`.
impl World {
    pub(super) async fn is_woken(&self) -> bool {
        self.step("is it woken?").await;
        self.me().parker.get() == WOKEN
    }

    pub(super) async fn reset(&self) {
        self.step("resets").await;
        self.me().parker.set(RUNNING);
    }

    pub(super) async fn park(&self, deadline: Option<Time>) {
        if !self.begin(PARKED, Fault::ParkUnchecked).await {
            return;
        }
        self.thread_park(deadline).await;
        self.finish(PARKED).await;
    }

    pub(super) async fn thread_park(&self, until: Option<Time>) {
        self.block("comes out of park", Status::Parked(until)).await;
        self.me().token.set(false);
    }

    pub(super) async fn begin(&self, sleep: u8, unchecked: Fault) -> bool {
        self.step("begins to sleep").await;
        let begins = self.me().parker.get() == RUNNING || self.has(unchecked);
        if begins {
            self.me().parker.set(sleep);
        }
        begins
    }

    pub(super) async fn finish(&self, sleep: u8) {
        self.step("has slept").await;
        if self.me().parker.get() == sleep {
            self.me().parker.set(RUNNING);
        }
    }
}

/// Lets others run.
pub(super) struct Pause<'a> {
    world: &'a World,
    what: &'static str,
    status: Option<Status>,
}

impl Future for Pause<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let world = self.world;
        if let Some(status) = self.status.take() {
            world.me().status.set(status);
            return Poll::Pending;
        }
        world.me().status.set(Status::Ready);
        let steps = world.steps.get();
        world.steps.set(steps + 1);
        world.trace.borrow_mut()[steps % TRACE] = (world.now.get(), world.who.get(), self.what);
        Poll::Ready(())
    }
}
