//! The hunt for lost wake-ups: what the engine does with the [`Roster`] told again, people who use it in every manner,
//! and a scheduler that runs them in every order.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::{env, panic, thread};

use super::sim::*;
use super::*;
use crate::lock::lock;
use crate::pipe::{Ticket, Waiters, Wakes};

type Leave = fn(&mut Roster<Box<Turn>, usize>, Box<Turn>) -> Next<usize>;

/// What the library does around the roster, told again: the names are those of the library.
impl World {
    /// `Shared::block_on`.
    async fn block_on(&self, wait: &mut Wait, deadline: Option<Time>) -> bool {
        let start = self.now.get();
        self.flush().await;
        let done = loop {
            if !self.has(Fault::ResetLate) {
                self.reset().await;
            }
            if self.poll_wait(wait).await {
                break true;
            }
            if self.has(Fault::ResetLate) {
                self.reset().await;
            }
            if !self.wait(deadline).await {
                break false;
            }
        };
        if deadline.is_some_and(|deadline| self.now.get() > deadline.max(start)) {
            self.wrong("a caller returns behind its deadline");
        }
        self.drop_wait(wait).await;
        done
    }

    /// `Shared::wait`.
    async fn wait(&self, deadline: Option<Time>) -> bool {
        loop {
            self.step("asks").await;
            let answer = self.roster.borrow_mut().ask(self.seat());
            match answer {
                Ask::Granted(turn) => {
                    self.granted();
                    return self.drive(turn, deadline).await;
                }
                Ask::Queued { interrupt: true } if !self.has(Fault::QueueQuietly) => {
                    self.wake(Next::Driver).await;
                }
                Ask::Queued { .. } => {}
            }
            self.park(deadline).await;
            self.step("withdraws").await;
            self.roster.borrow_mut().withdraw(self.seat());
            let woken = self.me().parker.get() == WOKEN && !self.has(Fault::WokenUnchecked);
            if woken || self.is_past(deadline) {
                self.roster.borrow_mut().need(self.is_needed());
                if !self.has(Fault::PassNotOn) {
                    let next = self.roster.borrow_mut().pass();
                    self.wake(next).await;
                }
                return woken;
            }
        }
    }

    /// `Shared::drive`.
    async fn drive(&self, mut turn: Box<Turn>, deadline: Option<Time>) -> bool {
        let mut woken = self.is_woken().await;
        while !woken {
            let last = self.is_past(deadline);
            if last && self.has(Fault::ClockFirst) {
                break;
            }
            self.run_turn(&mut turn, true, deadline).await;
            woken = self.is_woken().await;
            if last {
                break;
            }
        }
        self.leave(turn, Roster::leave).await;
        woken
    }

    /// `Shared::is_needed`.
    fn is_needed(&self) -> bool {
        self.attending.get() > 0
    }

    /// `Driver::drop`.
    async fn leave(&self, turn: Box<Turn>, leave: Leave) {
        self.step("leaves").await;
        self.holder.set(None);
        let next = {
            let mut roster = self.roster.borrow_mut();
            roster.need(self.is_needed() && !self.has(Fault::LeaveQuietly));
            leave(&mut roster, turn)
        };
        self.wake(next).await;
    }

    /// `Shared::run_io_thread`.
    pub(super) async fn run_io_thread(&self) {
        loop {
            self.step("looks in").await;
            let look = self.roster.borrow_mut().look();
            match look {
                Look::Granted(turn) => {
                    self.granted();
                    self.run_until_wanted(turn).await;
                }
                Look::Sleep(Nap::Short) if !self.has(Fault::SleepForGood) => {
                    self.thread_park(Some(self.now.get() + LOOK_IN)).await;
                }
                Look::Sleep(_) => self.thread_park(None).await,
                Look::Stop => {
                    self.step("clears up").await;
                    if self.roster.borrow_mut().close().is_none() {
                        self.wrong("the turn was not given back");
                    }
                    break;
                }
            }
        }
    }

    /// `Shared::run_until_wanted`.
    async fn run_until_wanted(&self, mut turn: Box<Turn>) {
        loop {
            self.step("is it wanted?").await;
            if self.roster.borrow().is_wanted() && !self.has(Fault::KeepTurn) {
                break;
            }
            self.run_turn(&mut turn, false, None).await;
        }
        self.leave(turn, Roster::io_leave).await;
    }

    fn granted(&self) {
        if self.holder.replace(Some(self.who.get())).is_some() {
            self.wrong("two have the turn");
        }
        self.grants.set(self.grants.get() + 1);
    }

    fn is_past(&self, deadline: Option<Time>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now.get())
    }

    /// `Shared::wake`.
    async fn wake(&self, next: Next<usize>) {
        match next {
            Next::Nobody => {}
            Next::Caller(seat) => {
                if self.roster.borrow().heirs > 1 {
                    self.wrong("there are two heirs");
                }
                self.unpark(*seat).await;
            }
            Next::IoThread => self.unpark(IO).await,
            Next::Driver => {
                self.step("interrupts the poll").await;
                self.counter.set(true);
            }
        }
    }

    async fn unpark(&self, who: usize) {
        self.step("unparks").await;
        self.actors[who].token.set(true);
    }

    async fn call(&self) {
        self.step("calls").await;
        let next = self.roster.borrow_mut().call();
        self.wake(next).await;
    }

    pub(super) async fn attend(&self) {
        self.step("has it attended").await;
        let next = self.roster.borrow_mut().attend();
        self.wake(next).await;
    }

    async fn nudge(&self) {
        self.step("nudges").await;
        let next = if self.has(Fault::NeverNudge) { Next::Nobody } else { self.roster.borrow().nudge() };
        self.wake(next).await;
    }
}

/// `Wakes`.
impl World {
    /// `Wakes::wake`, for parkers and for tasks.
    async fn wake_all(&self, wakes: Wakes) {
        wakes.wake();
        let rung = std::mem::take(&mut *lock(&self.rung));
        for who in rung {
            let actor = &self.actors[who];
            self.step("wakes").await;
            actor.notified.set(true);
            match actor.parker.replace(WOKEN) {
                PARKED => self.unpark(who).await,
                POLLING if !self.has(Fault::WakeQuietly) => self.wake(Next::Driver).await,
                _ => {}
            }
        }
    }
}

/// The reactor.
impl World {
    /// `Turn::run`.
    async fn run_turn(&self, turn: &mut Turn, by_caller: bool, deadline: Option<Time>) {
        let mut wakes = Wakes::default();
        self.obey(turn).await;
        if turn.look.is_none() {
            self.step("is anything watched?").await;
            if self.watching.get() {
                turn.pause = FIRST;
                turn.look = Some(self.now.get() + FIRST);
            }
        }
        let polls = !turn.listed || turn.overdue;
        if polls {
            self.poll(turn, by_caller, deadline).await;
            turn.polled = self.now.get();
        }
        turn.overdue = self.now.get() - turn.polled > UNPOLLED;
        if turn.listed {
            self.read(turn, &mut wakes).await;
        }
        if turn.timer <= self.now.get() {
            if self.now.get() - turn.timer > LATE {
                self.wrong("a deadline of the reactor is attended to late");
            }
            turn.timer = self.now.get() + 1 + self.below(if self.busy.get() > 0 { 9_000 } else { END });
        }
        self.look(turn).await;
        self.wake_all(wakes).await;
    }

    /// `Turn::poll`.
    async fn poll(&self, turn: &mut Turn, by_caller: bool, deadline: Option<Time>) {
        let next = [deadline, Some(turn.timer), turn.look].into_iter().flatten().min();
        let until = if turn.listed { Some(self.now.get()) } else { next };
        if by_caller && !self.begin(POLLING, Fault::PollUnchecked).await {
            return;
        }
        self.block("comes out of the poll", Status::Polling(until)).await;
        self.counter.set(false);
        let news = self.edge.take();
        if by_caller {
            self.finish(POLLING).await;
            if self.has(Fault::ForgetEvents) && self.me().parker.get() == WOKEN {
                return;
            }
        }
        turn.readable |= news;
        turn.listed |= news;
    }

    /// `Turn::read`: a short read tells that nothing is left.
    async fn read(&self, turn: &mut Turn, wakes: &mut Wakes) {
        turn.listed = false;
        if !turn.readable {
            return;
        }
        self.step("reads").await;
        let count = {
            let mut unread = self.unread.borrow_mut();
            let count = unread.len().min(CHUNK);
            unread.drain(..count);
            unread.iter_mut().for_each(|since| *since = self.now.get());
            count
        };
        turn.readable = count == CHUNK;
        turn.listed = turn.readable;
        if count > 0 {
            self.step("delivers").await;
            self.queue.set(self.queue.get() + count);
            self.receivers.borrow_mut().wake(count, wakes);
        }
    }

    /// `Watch::look`.
    async fn look(&self, turn: &mut Turn) {
        if turn.look.is_none_or(|look| look > self.now.get()) {
            return;
        }
        turn.pause = (turn.pause * 2).min(LAST);
        self.step("takes the list of the watched").await;
        let hosts = self.list.take();
        let mut busy = 0;
        for _ in 0..hosts {
            self.step("looks at a socket").await;
            let dirty = self.dirty.take().is_some();
            self.watched.set(dirty);
            busy += usize::from(dirty);
        }
        self.step("puts back the list of the watched").await;
        let left = self.list.get() + busy;
        self.list.set(left);
        self.watching.set(left > 0);
        turn.look = (left > 0).then(|| self.now.get() + turn.pause);
    }

    /// `Turn::obey`.
    async fn obey(&self, turn: &mut Turn) {
        self.step("is there a command?").await;
        if !self.commanded.get() {
            return;
        }
        self.step("takes the commands").await;
        let commands = self.commands.take();
        if self.has(Fault::ClearFlagLate) {
            self.step("clears the flag").await;
        }
        self.commanded.set(false);
        for (command, ..) in commands {
            match command {
                Command::Nothing => {}
                Command::Resume => turn.listed = true,
                Command::Done(slot) => {
                    let mut wakes = Wakes::default();
                    self.step("completes").await;
                    self.complete(slot, &mut wakes);
                    self.wake_all(wakes).await;
                }
            }
        }
    }

    fn complete(&self, slot: usize, wakes: &mut Wakes) {
        let (done, waiters) = &mut self.dones.borrow_mut()[slot];
        *done = true;
        waiters.wake_all(wakes);
    }
}

/// What sockets do.
impl World {
    /// Polls one of the futures that callers and tasks wait for.
    async fn poll_wait(&self, wait: &mut Wait) -> bool {
        match wait {
            Wait::Message(ticket) => {
                self.step("looks for a message").await;
                if self.queue.get() == 0 {
                    let _before = self.receivers.borrow_mut().wait(ticket, self.me().waker.clone());
                    self.me().waits.set(Waits::Message);
                    return false;
                }
                self.queue.set(self.queue.get() - 1);
                let _left = self.receivers.borrow_mut().leave(ticket);
                self.me().waits.set(Waits::Nothing);
                self.taken.set(self.taken.get() + 1);
                if self.taken.get() % HALF == 0 {
                    self.push(Command::Resume, false).await;
                    self.nudge().await;
                }
                true
            }
            Wait::Done(slot, ticket) => {
                self.step("looks whether it is done").await;
                let (done, waiters) = &mut self.dones.borrow_mut()[*slot];
                if !*done {
                    let _before = waiters.wait(ticket, self.me().waker.clone());
                    self.me().waits.set(Waits::Done(*slot));
                }
                *done
            }
        }
    }

    /// Who no longer waits for a command leaves its waker behind, to be called later for nothing.
    async fn drop_wait(&self, wait: &mut Wait) {
        let Wait::Message(ticket) = wait else { return self.me().waits.set(Waits::Nothing) };
        let mut wakes = Wakes::default();
        self.step("waits no more").await;
        self.me().waits.set(Waits::Nothing);
        let left = self.receivers.borrow_mut().leave(ticket);
        if left.woken && self.queue.get() > 0 && !self.has(Fault::KeepWakeUp) {
            self.receivers.borrow_mut().wake(1, &mut wakes);
        }
        self.wake_all(wakes).await;
    }

    async fn push(&self, command: Command, urgent: bool) {
        self.step("pushes a command").await;
        self.commands.borrow_mut().push((command, self.now.get(), urgent));
        self.commanded.set(true);
    }

    /// `Shared::command`.
    async fn command(&self, command: Command) {
        self.push(command, true).await;
        if self.has(Fault::NudgeForCall) { self.nudge().await } else { self.call().await }
    }

    /// Queues a message that this thread does not write itself.
    async fn send(&self) {
        self.step("sends").await;
        self.dirty.set(self.dirty.get().or(Some(self.now.get())));
        if self.watched.replace(true) {
            return;
        }
        if !self.has(Fault::FlagBeforeList) {
            self.step("is to be watched").await;
            self.list.set(self.list.get() + 1);
        }
        self.step("raises the flag of the watched").await;
        let watching = self.watching.replace(true);
        if self.has(Fault::FlagBeforeList) {
            self.step("is to be watched").await;
            self.list.set(self.list.get() + 1);
        }
        if !watching {
            self.nudge().await;
        }
    }

    /// `Shared::flush`.
    async fn flush(&self) {
        self.step("is there anything to flush?").await;
        if self.watching.get() {
            self.step("flushes").await;
            self.dirty.set(None);
        }
    }
}

/// How a world is peopled.
struct Scene {
    callers: u64,
    tasks: u64,
    /// Messages also come from another thread, past the reactor.
    local: bool,
    /// All callers have no time at all.
    haste: bool,
    /// The longest pause between two calls of one caller.
    pause: Time,
    /// The longest pause between two arrivals.
    gap: Time,
    rounds: u64,
}

/// Who there is.
impl World {
    async fn caller(&self, scene: &Scene) {
        for _ in 0..scene.rounds {
            self.sleep(self.below(scene.pause + 1)).await;
            match self.below(20) {
                0 => self.command(Command::Nothing).await,
                1 | 2 => self.send().await,
                3 => {
                    self.step("tries to receive").await;
                    if self.queue.get() > 0 {
                        self.queue.set(self.queue.get() - 1);
                    } else {
                        self.attend().await;
                    }
                }
                4 => {
                    let slot = self.dones.borrow().len();
                    self.dones.borrow_mut().push((false, Waiters::default()));
                    self.command(Command::Done(slot)).await;
                    let deadline = self.deadline(scene);
                    self.block_on(&mut Wait::Done(slot, Ticket::default()), deadline).await;
                }
                5 => {
                    self.push(Command::Resume, false).await;
                    self.nudge().await;
                }
                _ => {
                    let deadline = self.deadline(scene);
                    self.block_on(&mut Wait::Message(Ticket::default()), deadline).await;
                }
            }
        }
        self.busy.set(self.busy.get() - 1);
    }

    fn deadline(&self, scene: &Scene) -> Option<Time> {
        let limit = [0, 0, 40, 500, 3_000, 20_000][self.below(6) as usize];
        match scene.haste {
            true => Some(self.now.get()),
            false => (limit > 0).then(|| self.in_time(self.below(limit))),
        }
    }

    /// `Attended`, under an executor, which may drop it.
    async fn task(&self, scene: &Scene) {
        for _ in 0..scene.rounds {
            self.sleep(self.below(scene.pause + 1)).await;
            let until = self.deadline(scene);
            let mut wait = Wait::Message(Ticket::default());
            let mut attended = false;
            loop {
                self.me().notified.set(false);
                if self.poll_wait(&mut wait).await {
                    break;
                }
                if !attended {
                    self.begin_attendance().await;
                    attended = true;
                }
                self.flush().await;
                self.block("is polled", Status::Idle(until)).await;
                if !self.me().notified.get() {
                    break;
                }
            }
            self.drop_wait(&mut wait).await;
            if attended {
                self.step("waits no more").await;
                self.attending.set(self.attending.get() - 1);
            }
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// `Handle::attendance`.
    async fn begin_attendance(&self) {
        self.step("counts itself").await;
        self.attending.set(self.attending.get() + 1);
        self.attend().await;
    }

    /// Another thread that makes true what others wait for.
    async fn local(&self, scene: &Scene) {
        while self.busy.get() > 0 {
            self.sleep(self.below(scene.gap)).await;
            self.block("has room", Status::Until(Self::has_room)).await;
            let mut wakes = Wakes::default();
            self.step("delivers by itself").await;
            self.queue.set(self.queue.get() + 1);
            self.receivers.borrow_mut().wake(1, &mut wakes);
            self.wake_all(wakes).await;
        }
    }

    fn has_room(&self) -> bool {
        self.queue.get() + self.unread.borrow().len() < 3
    }

    async fn network(&self, scene: &Scene) {
        while self.busy.get() > 0 {
            self.sleep(self.below(scene.gap)).await;
            self.block("has room", Status::Until(Self::has_room)).await;
            for _ in 0..=self.below(3) {
                self.step("sends a message").await;
                self.unread.borrow_mut().push_back(self.now.get());
                self.edge.set(true);
            }
        }
    }

    /// `Reactor::drop`, once all are through.
    async fn closer(&self) {
        self.block("closes", Status::Until(|world| world.busy.get() == 0)).await;
        self.roster.borrow_mut().stop();
        if !self.has(Fault::StopQuietly) {
            self.wake(Next::Driver).await;
            self.unpark(IO).await;
        }
        let ended = |world: &Self| matches!(world.actors[IO].status.get(), Status::Done);
        self.block("has joined", Status::Until(ended)).await;
        let roster = self.roster.borrow();
        if roster.heirs > 0 || !roster.queue.is_empty() {
            self.wrong("somebody is left on the roster");
        }
    }
}

/// Runs one world, and tells how often the turn was granted.
fn live(seed: u64, fault: Option<Fault>) -> Result<u64, String> {
    let mut dice = seed.wrapping_mul(0xD134_2543_DE82_EF95);
    let mut choose = |from: &[u64]| {
        dice = dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        from[(dice >> 40) as usize % from.len()]
    };
    let scene = Scene {
        callers: choose(&[1, 1, 2, 3, 4, 5]),
        tasks: choose(&[0, 0, 1, 2]),
        local: choose(&[0, 0, 1]) > 0,
        haste: choose(&[0, 0, 0, 0, 0, 0, 0, 1]) > 0,
        pause: choose(&[0, 5, 60, 600, 6_000]),
        gap: choose(&[10, 100, 1_000, 6_000, 6_000]),
        rounds: choose(&[60, 120, 240]),
    };
    let lazy = choose(&[0, 1, 2, 3, 4, u64::MAX]) as usize;
    let (stay, spurious, grain) =
        (choose(&[0, 32, 56]), choose(&[0, 0, 16, 200]), choose(&[1, 1, 100, 1_000]));
    let habits = Habits { stay, lazy, spurious, grain };
    let mut names = vec!["I/O thread"];
    names.extend((0..scene.callers).map(|_| "caller"));
    names.extend((0..scene.tasks).map(|_| "task"));
    names.extend(scene.local.then_some("local"));
    names.extend(["network", "closer"]);
    let world = World::new(seed, fault, &names, habits);
    world.busy.set((scene.callers + scene.tasks) as usize);
    let person = |name: &&str| -> Person<'_> {
        match *name {
            "I/O thread" => Box::pin(world.run_io_thread()),
            "caller" => Box::pin(world.caller(&scene)),
            "task" => Box::pin(world.task(&scene)),
            "local" => Box::pin(world.local(&scene)),
            "network" => Box::pin(world.network(&scene)),
            _ => Box::pin(world.closer()),
        }
    };
    let mut people: Vec<Person<'_>> = names.iter().map(person).collect();
    world.run(&mut people)?;
    Ok(world.grants.get())
}

/// Runs one world after the other until the turn was granted so often. With `SEED` set, runs that one only.
fn hunt(hand_overs: u64) {
    if let Some(seed) = env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return live(seed, None).map(drop).unwrap_or_else(|why| panic!("SEED={seed}: {why}"));
    }
    let (seeds, granted, failed) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None));
    let work = || {
        while granted.load(Relaxed) < hand_overs && lock(&failed).is_none() {
            let seed = seeds.fetch_add(1, Relaxed);
            match panic::catch_unwind(|| live(seed, None)) {
                Ok(Ok(grants)) => drop(granted.fetch_add(grants, Relaxed)),
                Ok(Err(why)) => *lock(&failed) = Some(format!("SEED={seed}: {why}")),
                Err(_) => *lock(&failed) = Some(format!("SEED={seed}: it panicked, see above")),
            }
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    if let Some(why) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        panic!("{why}");
    }
    println!("{} hand-overs in {} worlds", granted.into_inner(), seeds.into_inner());
}

const WORKERS: usize = 2;

#[test]
fn no_wake_up_is_lost_in_two_hundred_thousand_hand_overs() {
    hunt(200_000);
}

#[test]
#[ignore = "takes half a minute"]
fn no_wake_up_is_lost_in_a_million_hand_overs() {
    hunt(1_000_000);
}

#[test]
fn each_rule_left_out_is_noticed() {
    let noticed = |fault| (0..TRIES).find(|seed| live(*seed, Some(fault)).is_err());
    let missed: Vec<Fault> = FAULTS.into_iter().filter(|fault| noticed(*fault).is_none()).collect();
    assert_eq!(missed, []);
}

/// Worlds in which a fault may show.
const TRIES: u64 = 1_000;
