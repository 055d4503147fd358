//! [`World`]: processes with sockets in a network in memory, and the time that passes there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::body::{self, Name};
use super::books::Books;
use super::face::{Face, Task};
use crate::clock;
use crate::context::{Context, Engine};
use crate::endpoint::Endpoint;
use crate::error::{Closed, RecvError, Refusal, SendError};
use crate::message::Message;
use crate::random::{self, Rng};
use crate::socket::{Builder, Dealer, Kind, Pair, Pub, Pull, Push, Rep, Req, Router, Sub};
use crate::transport::memory::{Internet, Node, View, Weather};
use crate::zmtp::SocketType;

/// Everything there is.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) internet: Internet,
    pub(super) processes: Vec<Process>,
    pub(super) apps: Vec<App>,
    pub(super) places: Vec<Place>,
    pub(super) books: Books,
    /// Turns that reactors have had.
    pub(super) turns: usize,
}

/// A process: it has a reactor, and lives until it is killed.
pub(super) struct Process {
    pub(super) context: Context,
    pub(super) engine: Engine,
    pub(super) node: usize,
    pub(super) alive: bool,
}

/// An application with one socket.
pub(super) struct App {
    pub(super) process: usize,
    pub(super) family: Family,
    pub(super) role: usize,
    pub(super) kind: SocketType,
    pub(super) traits: Traits,
    /// Gone once it is dropped.
    pub(super) socket: Option<Box<dyn Face>>,
    pub(super) bound: Vec<usize>,
    pub(super) connected: Vec<usize>,
    /// Whether it takes what comes as soon as it is woken for it.
    pub(super) reads: bool,
    /// How many ways there have been for what it sends, or more.
    pub(super) ways: usize,
    /// What a SUB has subscribed to, each as often as it did.
    pub(super) topics: Vec<&'static str>,
    /// A REQ that waits for an answer.
    pub(super) asks: bool,
    /// What it has sent last, which is what a REQ has asked.
    question: Option<Name>,
    receiving: Option<Task<Result<Message, RecvError>>>,
    sending: Option<(Name, Task<Result<(), SendError>>)>,
    closing: Option<Task<Closed>>,
    serial: u32,
    /// Those that a ROUTER has heard of.
    names: Vec<Bytes>,
}

/// How a socket is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) send_hwm: usize,
    pub(super) recv_hwm: usize,
    pub(super) immediate: bool,
    pub(super) reconnect: Duration,
    pub(super) linger: Duration,
}

/// Where somebody may listen.
pub(super) struct Place {
    pub(super) family: Family,
    /// Sockets of this role may bind here, and those of the other connect.
    pub(super) role: usize,
    pub(super) at: SocketAddr,
    /// Who listens, or did so last.
    pub(super) owner: Option<usize>,
}

/// Types of sockets that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Pipeline,
    Publishing,
    Requests,
    Pair,
}

impl Family {
    /// The types of one role, each of which can talk to those of the other.
    pub(super) fn kinds(self, role: usize) -> &'static [SocketType] {
        match (self, role) {
            (Self::Pipeline, 0) => &[SocketType::Push],
            (Self::Pipeline, _) => &[SocketType::Pull],
            (Self::Publishing, 0) => &[SocketType::Pub],
            (Self::Publishing, _) => &[SocketType::Sub],
            (Self::Requests, 0) => &[SocketType::Req, SocketType::Dealer],
            (Self::Requests, _) => &[SocketType::Rep, SocketType::Router],
            (Self::Pair, _) => &[SocketType::Pair],
        }
    }
}

impl App {
    pub(super) fn sends(&self) -> bool {
        !matches!(self.kind, SocketType::Pull | SocketType::Sub)
    }

    pub(super) fn receives(&self) -> bool {
        !matches!(self.kind, SocketType::Push | SocketType::Pub)
    }

    /// Whether it passes on all that comes.
    pub(super) fn is_gapless(&self) -> bool {
        use SocketType::{Dealer, Pair, Pull, Router};
        matches!(self.kind, Pull | Dealer | Router | Pair)
    }

    /// Whether a future of it was woken.
    fn is_woken(&self) -> bool {
        let receiving = self.receiving.as_ref().is_some_and(Task::is_woken);
        let sending = self.sending.as_ref().is_some_and(|(_, task)| task.is_woken());
        receiving || sending || self.closing.as_ref().is_some_and(Task::is_woken)
    }

    /// Whether all it sends has gone to the same peer, which keeps its place in the order when it comes back.
    pub(super) fn has_one_way(&self) -> bool {
        use SocketType::{Dealer, Pair, Push};
        self.ways == 1 && matches!(self.kind, Push | Dealer | Pair)
    }

    /// Whether it has subscribed to what begins with this.
    pub(super) fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|start| topic.starts_with(start))
    }

    /// Whether it has begun to send something that there is no room for.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    fn awaits(&self) -> bool {
        self.reads && self.receives() && (self.kind != SocketType::Req || self.asks)
    }

    /// The parts before the body, where the application chooses them.
    fn front(&self, name: Name) -> Vec<Bytes> {
        match self.kind {
            SocketType::Pub => vec![Bytes::from_static(topic_of(name).as_bytes())],
            SocketType::Dealer => vec![Bytes::new()],
            SocketType::Req | SocketType::Rep | SocketType::Router => Vec::new(),
            _ if name.serial % 3 == 0 => {
                vec![Bytes::copy_from_slice(&name.serial.to_be_bytes()), Bytes::new()]
            }
            _ => Vec::new(),
        }
    }
}

impl World {
    /// A world in which nothing is yet. Time stands still on the calling thread until [`World::pass`].
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        clock::set(Some(epoch()));
        random::set(Some(seed));
        Self {
            rng: Rng::new(seed),
            internet: Internet::new(!seed, weather),
            processes: Vec::new(),
            apps: Vec::new(),
            places: Vec::new(),
            books: Books::default(),
            turns: 0,
        }
    }

    /// A new process.
    pub(super) fn start(&mut self) -> usize {
        let node: Node = self.internet.node();
        let number = node.number();
        let context = Context::simulate(node).expect("the system has descriptors left");
        let engine = context.engine();
        self.processes.push(Process { context, engine, node: number, alive: true });
        self.processes.len() - 1
    }

    /// A new place to listen at.
    pub(super) fn found(&mut self, family: Family, role: usize) -> usize {
        let number = self.places.len() as u8;
        let at = SocketAddr::from(([10, 0, 0, 1 + number], 5000));
        self.places.push(Place { family, role, at, owner: None });
        self.places.len() - 1
    }

    /// A new socket.
    pub(super) fn build(&mut self, process: usize, (family, role): (Family, usize), traits: Traits) -> usize {
        let kinds = family.kinds(role);
        let kind = kinds[self.rng.below(kinds.len())];
        let socket = build(&self.processes[process].context, kind, traits);
        self.apps.push(App {
            process,
            family,
            role,
            kind,
            traits,
            socket: Some(socket),
            bound: Vec::new(),
            connected: Vec::new(),
            reads: true,
            ways: 0,
            topics: Vec::new(),
            asks: false,
            question: None,
            receiving: None,
            sending: None,
            closing: None,
            serial: 0,
            names: Vec::new(),
        });
        self.apps.len() - 1
    }

    /// Whether the application has a socket that it can use.
    pub(super) fn is_live(&self, app: usize) -> bool {
        let app = &self.apps[app];
        app.socket.is_some() && app.closing.is_none() && self.processes[app.process].alive
    }

    /// What an application gives to `connect`, to get to a place. The source tells whose connection it is.
    pub(super) fn way_to(&self, place: usize, app: usize) -> Endpoint {
        let [_, _, high, low] = (app as u32).to_be_bytes();
        let text = format!("tcp://10.9.{high}.{low}:0;{}", self.places[place].at);
        text.parse().expect("it is an endpoint with a source")
    }

    /// Takes note of what was written.
    pub(super) fn watch(&mut self) {
        let places = &self.places;
        let find = |view: &View| {
            let dialled = match view.addrs[0].ip().to_canonical() {
                std::net::IpAddr::V4(ip) => {
                    let [_, _, high, low] = ip.octets();
                    usize::from(high) << 8 | usize::from(low)
                }
                std::net::IpAddr::V6(_) => unreachable!("all addresses are of IPv4"),
            };
            let place = places.iter().find(|place| place.at == view.addrs[1]);
            [Some(dialled), place.and_then(|place| place.owner)]
        };
        self.books.watch(&self.internet, find);
    }

    /// Lets time pass, and everybody do what they have to.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = clock::now() + time;
        loop {
            self.settle(until);
            let processes = self.processes.iter().filter(|process| process.alive);
            let next = processes.filter_map(|process| process.engine.next()).chain(self.internet.next());
            let now = next.min().unwrap_or(until).min(until).max(clock::now());
            clock::set(Some(now));
            self.internet.advance(now);
            if now >= until {
                return;
            }
        }
    }

    /// Has everybody do what can be done now. It takes them some time, and they go on until then at the longest.
    fn settle(&mut self, until: Instant) {
        while clock::now() < until && self.step() {
            let now = clock::now() + Duration::from_micros(self.rng.below(20) as u64);
            clock::set(Some(now));
            self.internet.advance(now);
        }
    }

    /// Has somebody who has something to do make one step. False if nobody has.
    fn step(&mut self) -> bool {
        let now = clock::now();
        let has_turn = |process: &Process| process.alive && process.engine.next().is_some_and(|at| at <= now);
        let turns: Vec<usize> =
            (0..self.processes.len()).filter(|it| has_turn(&self.processes[*it])).collect();
        let has_work = |app: usize| {
            let woken = self.apps[app].is_woken() && self.processes[self.apps[app].process].alive;
            woken || (self.is_live(app) && self.apps[app].awaits() && self.apps[app].receiving.is_none())
        };
        let works: Vec<usize> = (0..self.apps.len()).filter(|it| has_work(*it)).collect();
        let choices = turns.len() + works.len();
        if choices == 0 {
            return false;
        }
        let chosen = self.rng.below(choices);
        match turns.get(chosen) {
            Some(process) => {
                self.turns += 1;
                self.processes[*process].engine.turn();
            }
            None => self.work(works[chosen - turns.len()]),
        }
        true
    }

    /// An application goes on with what it was woken for.
    fn work(&mut self, number: usize) {
        let app = &mut self.apps[number];
        if app.closing.as_mut().is_some_and(|closing| closing.run().is_some()) {
            (app.closing, app.socket, app.receiving) = (None, None, None);
            return;
        }
        if let Some((name, task)) = &mut app.sending {
            let name = *name;
            if let Some(result) = task.run() {
                app.sending = None;
                self.conclude(number, name, result);
            }
        }
        let app = &mut self.apps[number];
        if app.receiving.is_none() && app.awaits() && app.closing.is_none() {
            app.receiving = app.socket.as_ref().map(|socket| socket.receiving());
        }
        if let Some(result) = app.receiving.as_mut().and_then(Task::run) {
            app.receiving = None;
            self.take(number, result);
        }
    }

    /// Something has come of an attempt to receive. False if there is nothing more to be had.
    pub(super) fn take(&mut self, number: usize, result: Result<Message, RecvError>) -> bool {
        let app = &mut self.apps[number];
        let message = match result {
            Ok(message) => message,
            Err(RecvError::PeerLost) => {
                app.asks = false;
                self.offer(number, 30, &[]);
                return false;
            }
            Err(error) => {
                let closing = app.closing.is_some() && error == RecvError::Closed;
                let turns = matches!(app.kind, SocketType::Req | SocketType::Rep);
                let no_turn = turns && error == RecvError::OutOfTurn;
                assert!(closing || no_turn || error == RecvError::Empty, "{number} cannot receive: {error}");
                return false;
            }
        };
        app.asks = false;
        let front = Bytes::copy_from_slice(message.first());
        let question = self.receive(number, &message);
        let mut answer: Vec<Bytes> = question.into_iter().map(Name::to_part).collect();
        match self.apps[number].kind {
            SocketType::Rep => _ = self.offer(number, 30, &answer),
            SocketType::Req if self.rng.one_in(2) => _ = self.offer(number, 30, &[]),
            SocketType::Router => {
                // What a REQ has not asked for it would take for the answer.
                let asks = |name: Name| self.apps[usize::from(name.sender)].kind == SocketType::Req;
                if question.is_some_and(|name| !asks(name)) && !self.apps[number].names.contains(&front) {
                    self.apps[number].names.push(front.clone());
                }
                answer.splice(0..0, [front, Bytes::new()]);
                self.offer(number, 30, &answer);
            }
            _ => {}
        }
        true
    }

    /// An application has received a message. Returns which one, if that can be told.
    fn receive(&mut self, number: usize, message: &Message) -> Option<Name> {
        self.watch();
        let app = &self.apps[number];
        let parts: Vec<&[u8]> = message.parts().collect();
        let name = parts.last().and_then(|last| body::read(last));
        let whole = name.filter(|name| match app.kind {
            SocketType::Pull | SocketType::Pair => {
                let sender = self.apps.get(usize::from(name.sender));
                sender.is_some_and(|sender| parts[..parts.len() - 1] == sender.front(*name))
            }
            SocketType::Req => {
                let question = app.question.map(Name::to_part);
                parts.len() == 2 && question.is_some_and(|question| question == parts[0])
            }
            SocketType::Dealer => match &parts[..] {
                [_, question, _] => question.starts_with(&(number as u16).to_be_bytes()),
                _ => true,
            },
            _ => true,
        });
        match whole {
            Some(name) => self.books.receive(name, number, app.is_gapless()),
            None => self.books.receive_garbled(number),
        }
        whole
    }

    /// Has an application send one more message, if there is room for it. True if it was accepted.
    pub(super) fn offer(&mut self, number: usize, size: usize, front: &[Bytes]) -> bool {
        let (name, message) = self.compose(number, size, front);
        let Some(socket) = &self.apps[number].socket else { return false };
        let result = socket.try_send(message.clone());
        if let Err(error) = &result {
            assert_eq!(error.message(), &message, "a refused message comes back as it was");
        }
        self.conclude(number, name, result)
    }

    /// Has an application send one more message, and wait while there is no room for it.
    pub(super) fn send(&mut self, number: usize, size: usize) {
        if self.apps[number].sending.is_none() {
            let (name, message) = self.compose(number, size, &[]);
            let app = &mut self.apps[number];
            app.sending = app.socket.as_ref().map(|socket| (name, socket.sending(message)));
        }
    }

    fn compose(&mut self, number: usize, size: usize, front: &[Bytes]) -> (Name, Message) {
        let app = &mut self.apps[number];
        let name = Name { sender: number as u16, serial: app.serial };
        app.serial += 1;
        self.books.offer(name, app.kind == SocketType::Pub);
        let mut parts = front.to_vec();
        parts.extend(app.front(name));
        parts.push(body::make(name, size));
        (name, Message::from(parts))
    }

    /// A message was accepted or refused.
    fn conclude(&mut self, number: usize, name: Name, result: Result<(), SendError>) -> bool {
        let Err(error) = result else {
            let app = &mut self.apps[number];
            app.asks = app.kind == SocketType::Req;
            app.question = Some(name);
            self.books.accept(name);
            return true;
        };
        let app = &self.apps[number];
        let expected = match error.reason() {
            Refusal::Full => app.kind != SocketType::Rep && app.kind != SocketType::Pub,
            Refusal::Unroutable => app.kind == SocketType::Router,
            Refusal::OutOfTurn => matches!(app.kind, SocketType::Req | SocketType::Rep),
            Refusal::Closed => app.closing.is_some(),
            _ => false,
        };
        assert!(expected, "{number}, a {}, cannot send: {}", app.kind, error.reason());
        self.watch();
        self.books.refuse(name);
        false
    }

    /// Drops what an application waits for.
    pub(super) fn let_go(&mut self, number: usize) {
        let app = &mut self.apps[number];
        app.receiving = None;
        if let Some((name, task)) = app.sending.take() {
            drop(task);
            self.watch();
            self.books.refuse(name);
        }
    }

    /// Drops a socket, which goes on sending for its linger time.
    pub(super) fn drop_socket(&mut self, number: usize) {
        self.watch();
        self.let_go(number);
        let app = &mut self.apps[number];
        (app.closing, app.socket) = (None, None);
    }

    /// Closes a socket, and waits for that.
    pub(super) fn close_socket(&mut self, number: usize) {
        self.watch();
        self.let_go(number);
        let app = &mut self.apps[number];
        app.closing = app.socket.as_ref().map(|socket| socket.closing());
    }

    /// Kills a process. Its sockets are gone without having a say.
    pub(super) fn kill(&mut self, number: usize) {
        self.watch();
        self.processes[number].alive = false;
        self.internet.kill(self.processes[number].node);
    }

    /// A number that says all that was written, how often, and how long it took.
    pub(super) fn digest(&self) -> u64 {
        let mut octets = (clock::now() - epoch()).as_nanos().to_be_bytes().to_vec();
        octets.extend(self.turns.to_be_bytes());
        for connection in 0..self.internet.connections() {
            let writes = self.internet.view(connection).writes;
            for (side, writes) in writes.into_iter().enumerate() {
                octets.extend(writes.to_be_bytes());
                octets.extend(self.internet.sent(connection, side, 0));
            }
        }
        body::checksum(&octets)
    }

    /// Says what there is, for whoever looks for a fault.
    fn describe(&self) {
        for (number, app) in self.apps.iter().enumerate() {
            let App { kind, process, traits, bound, connected, reads, .. } = app;
            let stats = app.socket.as_ref().map(|socket| socket.stats());
            eprintln!(
                "{number}: a {kind} of process {process} (alive: {}), bound to {bound:?}, connected to {connected:?}, \
                 reads: {reads}, {traits:?}, {stats:?}",
                self.processes[*process].alive
            );
        }
        for (number, record) in self.books.connections().filter(|(_, record)| record.open != [false; 2]) {
            eprintln!("{number}: {record:?}, {:?}", self.internet.view(number));
        }
    }

    /// The names of those that a ROUTER has heard of.
    pub(super) fn name_of(&self, number: usize, choice: usize) -> Option<Bytes> {
        let names = &self.apps[number].names;
        names.get(choice % names.len().max(1)).cloned()
    }

    /// The name of the message that an application has composed last.
    pub(super) fn last_of(&self, number: usize) -> Name {
        Name { sender: number as u16, serial: self.apps[number].serial - 1 }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.describe();
        }
        self.apps.clear();
        self.processes.clear();
        clock::set(None);
        random::set(None);
    }
}

fn build(context: &Context, kind: SocketType, traits: Traits) -> Box<dyn Face> {
    fn begin<T: Kind>(context: &Context, traits: Traits) -> Builder<T> {
        let builder = context.socket::<T>().reconnect_interval(traits.reconnect);
        let builder = builder.reconnect_max(RECONNECT_MAX).linger(traits.linger);
        builder.handshake_timeout(HANDSHAKE_TIMEOUT).connect_timeout(Some(CONNECT_TIMEOUT))
    }
    macro_rules! build {
        ($kind:ty $(, $option:ident)*) => {
            Box::new(Arc::new(
                begin::<$kind>(context, traits)$(.$option(traits.$option))*.build().expect("the options are in range"),
            ))
        };
    }
    match kind {
        SocketType::Push => build!(Push, send_hwm, immediate),
        SocketType::Pull => build!(Pull, recv_hwm),
        SocketType::Pub => build!(Pub, send_hwm),
        SocketType::Sub => build!(Sub, recv_hwm),
        SocketType::Req => build!(Req, send_hwm, immediate),
        SocketType::Rep => build!(Rep, send_hwm, recv_hwm),
        SocketType::Dealer => build!(Dealer, send_hwm, recv_hwm, immediate),
        SocketType::Router => build!(Router, send_hwm, recv_hwm),
        SocketType::Pair => build!(Pair, send_hwm, recv_hwm, immediate),
        other => unreachable!("no family has a {other}"),
    }
}

/// The instant at which every simulation begins.
fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(clock::now)
}

/// What a published message begins with.
pub(super) fn topic_of(name: Name) -> &'static str {
    TOPICS[name.serial as usize % TOPICS.len()]
}

/// What is published begins with one of these.
pub(super) const TOPICS: [&str; 3] = ["a", "ab", "b"];

pub(super) const RECONNECT_MAX: Duration = Duration::from_millis(400);
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
