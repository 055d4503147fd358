//! A network in memory, for the simulation: what the kernels and the cables do, on a clock of its own, for any number of
//! nodes. Endpoints of TCP with numbers for addresses lead here.
//!
//! It keeps to what an engine may expect of the system: the poll reports changes, and with them all that is so at that
//! time; a read brings all that is there; octets arrive in order, or the connection ends. What it does beyond that (delays,
//! pieces, stalls, cuts, partitions, corruption) it does when it is told to, or as its [`Weather`] says.

mod way;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::Token;

use self::way::{Arrival, Way};
use super::News;
use crate::clock;
use crate::lock::lock;
use crate::random::Rng;

pub(crate) use self::way::Ending;

/// The whole network.
#[derive(Clone)]
pub(crate) struct Internet(Arc<Mutex<State>>);

/// A place in the network, for one engine.
#[derive(Clone)]
pub(crate) struct Node {
    internet: Internet,
    number: usize,
}

/// One end of a connection.
pub(crate) struct Stream {
    internet: Internet,
    end: End,
}

/// Accepts connections.
pub(crate) struct Listener {
    internet: Internet,
    node: usize,
    addr: SocketAddr,
}

/// How a connection treats what it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The time that everything takes at least.
    pub(crate) delay: Duration,
    /// The time that it may take besides.
    pub(crate) jitter: Duration,
    /// The most octets that arrive at once.
    pub(crate) piece: usize,
    /// The octets that may be on their way or unread in each direction.
    pub(crate) capacity: usize,
}

/// What can be seen of a connection from outside. The end of *side* 0 has dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Its source, and where it was accepted, or would have been.
    pub(crate) addrs: [SocketAddr; 2],
    /// Somebody has accepted it, or will.
    pub(crate) reached: bool,
    /// Which ends have not been closed.
    pub(crate) open: [bool; 2],
    /// How many octets from each side were read, and how many were not.
    pub(crate) read: [usize; 2],
    pub(crate) load: [usize; 2],
    /// How often each side has written.
    pub(crate) writes: [usize; 2],
    /// What comes from a side need not be what was sent.
    pub(crate) spoiled: bool,
}

/// A connection, and one side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End(usize, usize);

struct State {
    rng: Rng,
    weather: Weather,
    connections: Vec<Connection>,
    /// Those that something can still happen to.
    live: Vec<usize>,
    bound: BTreeMap<SocketAddr, Bound>,
    /// What is to be reported to each node, each once.
    armed: Vec<Vec<Source>>,
    /// Pairs of nodes between which nothing passes.
    apart: BTreeSet<(usize, usize)>,
    dead: BTreeSet<usize>,
    ports: u16,
}

struct Bound {
    node: usize,
    token: Option<Token>,
    backlog: VecDeque<usize>,
}

struct Connection {
    nodes: [usize; 2],
    addrs: [SocketAddr; 2],
    tokens: [Option<Token>; 2],
    open: [bool; 2],
    stage: Stage,
    /// The way of a side is the one it writes to.
    ways: [Way; 2],
    weather: Weather,
    spoiled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The question arrives then.
    Asked(Instant),
    /// The answer arrives then, and this is it.
    Answered(Instant, bool),
    Made,
    Refused,
}

/// What the poll reports on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    End(End),
    Listener(SocketAddr),
}

impl Connection {
    /// Whether nothing can happen to it any more.
    fn is_over(&self) -> bool {
        let made = self.stage == Stage::Made || self.stage == Stage::Refused;
        made && self.open == [false; 2] && self.ways.iter().all(|way| way.next().is_none())
    }
}

impl Internet {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            weather,
            connections: Vec::new(),
            live: Vec::new(),
            bound: BTreeMap::new(),
            armed: Vec::new(),
            apart: BTreeSet::new(),
            dead: BTreeSet::new(),
            ports: 49_152,
        })))
    }

    /// A new place in the network.
    pub(crate) fn node(&self) -> Node {
        let mut state = lock(&self.0);
        state.armed.push(Vec::new());
        Node { internet: self.clone(), number: state.armed.len() - 1 }
    }

    /// From now on connections are made with this weather.
    pub(crate) fn set_weather(&self, weather: Weather) {
        lock(&self.0).weather = weather;
    }

    /// When something happens by itself next.
    pub(crate) fn next(&self) -> Option<Instant> {
        lock(&self.0).next()
    }

    /// Has everything happen that is due by now.
    pub(crate) fn advance(&self, now: Instant) {
        lock(&self.0).advance(now);
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.0).connections.len()
    }

    pub(crate) fn view(&self, connection: usize) -> View {
        let state = lock(&self.0);
        let connection = &state.connections[connection];
        View {
            addrs: connection.addrs,
            reached: matches!(connection.stage, Stage::Answered(_, true) | Stage::Made),
            open: connection.open,
            read: connection.ways.each_ref().map(|way| way.read),
            load: connection.ways.each_ref().map(Way::load),
            writes: connection.ways.each_ref().map(|way| way.writes),
            spoiled: connection.spoiled,
        }
    }

    /// What one side has written from some octet on, whatever became of it.
    pub(crate) fn sent(&self, connection: usize, side: usize, from: usize) -> Vec<u8> {
        lock(&self.0).connections[connection].ways[side].sent[from..].to_vec()
    }

    /// The network loses a connection: of what is on its way so many octets still arrive in each direction.
    pub(crate) fn cut(&self, connection: usize, kept: usize, end: Ending) {
        lock(&self.0).cut(connection, kept, end);
    }

    /// For some time nothing arrives from one side.
    pub(crate) fn stall(&self, connection: usize, side: usize, time: Duration) {
        lock(&self.0).connections[connection].ways[side].stall(clock::now() + time);
    }

    /// Changes how many octets may be on their way from one side.
    pub(crate) fn set_capacity(&self, connection: usize, side: usize, capacity: usize) {
        let state = &mut *lock(&self.0);
        state.connections[connection].ways[side].set_capacity(capacity);
        state.unblock(End(connection, side));
    }

    /// Corrupts an octet on its way from one side, if there is one.
    pub(crate) fn spoil(&self, connection: usize, side: usize, at: usize, mask: u8) {
        let connection = &mut lock(&self.0).connections[connection];
        connection.spoiled |= connection.ways[side].spoil(at, mask);
    }

    /// From now on nothing passes between two nodes, and nobody is told.
    pub(crate) fn part(&self, a: usize, b: usize) {
        lock(&self.0).apart.insert((a.min(b), a.max(b)));
    }

    /// Nothing is parted and nothing stalls any more. What was held up arrives.
    pub(crate) fn heal(&self) {
        let state = &mut *lock(&self.0);
        state.apart.clear();
        let now = clock::now();
        state.connections.iter_mut().flat_map(|it| &mut it.ways).for_each(|way| way.stall(now));
    }

    /// A process is killed: its kernel closes all that it had.
    pub(crate) fn kill(&self, node: usize) {
        lock(&self.0).kill(node);
    }

    /// Ends of connections that nobody has closed, and places where somebody listens.
    pub(crate) fn left_open(&self) -> usize {
        let state = lock(&self.0);
        state.bound.len() + state.connections.iter().flat_map(|it| it.open).filter(|open| *open).count()
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        let of_one = |connection: &Connection| match connection.stage {
            Stage::Asked(at) => Some(at),
            Stage::Answered(at, _) => connection.ways.iter().filter_map(Way::next).chain([at]).min(),
            Stage::Made | Stage::Refused => connection.ways.iter().filter_map(Way::next).min(),
        };
        let live = self.live.iter().map(|number| &self.connections[*number]);
        live.filter(|it| !self.is_apart(it)).filter_map(of_one).min()
    }

    fn is_apart(&self, connection: &Connection) -> bool {
        let [a, b] = connection.nodes;
        self.apart.contains(&(a.min(b), a.max(b)))
    }

    fn advance(&mut self, now: Instant) {
        for number in std::mem::take(&mut self.live) {
            if self.is_apart(&self.connections[number]) {
                self.live.push(number);
                continue;
            }
            self.proceed(number, now);
            for side in [0, 1] {
                while let Some(arrival) = self.connections[number].ways[side].arrive(now) {
                    self.arrived(number, side, arrival, now);
                }
            }
            if !self.connections[number].is_over() {
                self.live.push(number);
            }
        }
    }

    /// A connection is being made.
    fn proceed(&mut self, number: usize, now: Instant) {
        let connection = &mut self.connections[number];
        if let Stage::Asked(at) = connection.stage {
            if at > now {
                return;
            }
            let found = self.bound.get_mut(&connection.addrs[1]);
            let (at, found) = (connection.weather.arrival(now, &mut self.rng), found);
            connection.stage = Stage::Answered(at, found.is_some());
            if let Some(bound) = found {
                connection.nodes[1] = bound.node;
                connection.open[1] = true;
                bound.backlog.push_back(number);
                let source = Source::Listener(connection.addrs[1]);
                self.arm(source);
            }
        }
        let connection = &mut self.connections[number];
        if let Stage::Answered(at, made) = connection.stage {
            if at <= now {
                connection.stage = if made { Stage::Made } else { Stage::Refused };
                self.arm(Source::End(End(number, 0)));
            }
        }
    }

    /// Something has come from a side.
    fn arrived(&mut self, number: usize, side: usize, arrival: Arrival, now: Instant) {
        let connection = &mut self.connections[number];
        let reader = 1 - side;
        match arrival {
            Arrival::Octets if !connection.open[reader] => {
                let at = connection.weather.arrival(now, &mut self.rng);
                connection.ways[reader].reset(at);
            }
            Arrival::End if connection.ways[side].end() == Some(Ending::Reset) => {
                connection.ways[reader].refuse();
            }
            Arrival::Octets | Arrival::End => {}
        }
        self.arm(Source::End(End(number, reader)));
    }

    /// The poll of whoever watches is to look at this.
    fn arm(&mut self, source: Source) {
        let watched = match source {
            Source::End(End(number, side)) => {
                let connection = &self.connections[number];
                connection.tokens[side].map(|_| connection.nodes[side])
            }
            Source::Listener(addr) => self.bound.get(&addr).and_then(|bound| bound.token.map(|_| bound.node)),
        };
        let Some(node) = watched else { return };
        if !self.armed[node].contains(&source) {
            self.armed[node].push(source);
        }
    }

    /// What is so at present, if there is anything to report.
    fn news(&self, source: Source) -> Option<(Token, News)> {
        match source {
            Source::Listener(addr) => {
                let bound = self.bound.get(&addr).filter(|bound| !bound.backlog.is_empty())?;
                Some((bound.token?, News { readable: true, ..News::default() }))
            }
            Source::End(End(number, side)) => {
                let connection = &self.connections[number];
                let [incoming, outgoing] = [1 - side, side].map(|way| &connection.ways[way]);
                let news = match connection.stage {
                    Stage::Refused => News { readable: true, writable: true, over: true },
                    Stage::Asked(_) | Stage::Answered(..) if side == 0 => return None,
                    _ => News {
                        readable: incoming.is_readable(),
                        writable: outgoing.is_writable(),
                        over: incoming.end().is_some(),
                    },
                };
                let any = news.readable || news.writable;
                Some((connection.tokens[side].filter(|_| any)?, news))
            }
        }
    }

    fn unblock(&mut self, writer: End) {
        if self.connections[writer.0].ways[writer.1].unblocks() {
            self.arm(Source::End(writer));
        }
    }

    /// An end is closed, as by its kernel: what comes for it is refused, and if there was something it had not read, its
    /// peer is told so in place of what is still on its way.
    fn close(&mut self, End(number, side): End) {
        let connection = &mut self.connections[number];
        if !std::mem::take(&mut connection.open[side]) {
            return;
        }
        connection.tokens[side] = None;
        let at = connection.weather.arrival(clock::now(), &mut self.rng);
        if matches!(connection.stage, Stage::Asked(_)) {
            connection.stage = Stage::Refused;
        } else if connection.ways[1 - side].has_unread() {
            let way = &mut connection.ways[side];
            way.cut(self.rng.below(1 + way.load()), Ending::Reset, at);
        } else {
            connection.ways[side].finish(Ending::Finished, at);
        }
    }

    fn cut(&mut self, number: usize, kept: usize, end: Ending) {
        let now = clock::now();
        let connection = &mut self.connections[number];
        if matches!(connection.stage, Stage::Asked(_)) {
            // Nobody has answered yet: it is as if there was no way to.
            connection.stage = Stage::Answered(connection.weather.arrival(now, &mut self.rng), false);
        }
        for way in &mut connection.ways {
            way.cut(kept, end, connection.weather.arrival(now, &mut self.rng));
        }
    }

    fn kill(&mut self, node: usize) {
        self.dead.insert(node);
        let bound: Vec<SocketAddr> =
            self.bound.iter().filter(|(_, bound)| bound.node == node).map(|(addr, _)| *addr).collect();
        bound.into_iter().for_each(|addr| self.unbind(addr));
        for number in 0..self.connections.len() {
            for side in [0, 1] {
                if self.connections[number].nodes[side] == node {
                    self.close(End(number, side));
                }
            }
        }
    }

    fn unbind(&mut self, addr: SocketAddr) {
        let backlog = self.bound.remove(&addr).map(|bound| bound.backlog).unwrap_or_default();
        backlog.into_iter().for_each(|number| self.close(End(number, 1)));
    }
}

impl Node {
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The source of what has none.
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    pub(crate) fn listen(&self, mut addr: SocketAddr) -> io::Result<Listener> {
        let state = &mut *lock(&self.internet.0);
        if state.dead.contains(&self.number) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        if addr.port() == 0 {
            addr.set_port(state.port());
        }
        if state.bound.contains_key(&addr) {
            return Err(ErrorKind::AddrInUse.into());
        }
        state.bound.insert(addr, Bound { node: self.number, token: None, backlog: VecDeque::new() });
        Ok(Listener { internet: self.internet.clone(), node: self.number, addr })
    }

    /// Begins to connect, from a source if one is given.
    pub(crate) fn dial(&self, addr: SocketAddr, source: Option<SocketAddr>) -> io::Result<Stream> {
        let state = &mut *lock(&self.internet.0);
        if state.dead.contains(&self.number) {
            return Err(ErrorKind::NetworkUnreachable.into());
        }
        // Where that is shows when it is reached.
        let theirs = state.bound.get(&addr).map_or(self.number, |bound| bound.node);
        let weather = state.weather;
        let connection = Connection {
            nodes: [self.number, theirs],
            addrs: [SocketAddr::new(source.map_or(Self::HERE, |it| it.ip()), state.port()), addr],
            tokens: [None; 2],
            open: [true, false],
            stage: Stage::Asked(weather.arrival(clock::now(), &mut state.rng)),
            ways: [(); 2].map(|()| Way::new(weather.capacity)),
            weather,
            spoiled: false,
        };
        state.connections.push(connection);
        let end = End(state.connections.len() - 1, 0);
        state.live.push(end.0);
        Ok(Stream { internet: self.internet.clone(), end })
    }

    /// Waits for something to report. While it waits, the time of the simulation passes.
    pub(crate) fn poll(&self, timeout: Option<Duration>, news: &mut Vec<(Token, News)>) {
        let deadline = timeout.map(|timeout| clock::now() + timeout);
        loop {
            let state = &mut *lock(&self.internet.0);
            let now = clock::now();
            state.advance(now);
            let armed = std::mem::take(&mut state.armed[self.number]);
            news.extend(armed.into_iter().filter_map(|source| state.news(source)));
            if !news.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let next = [deadline, state.next()].into_iter().flatten().min();
            clock::set(Some(next.expect("nobody will ever wake who sleeps in this poll").max(now)));
        }
    }

    /// Whether the poll has something to report.
    pub(crate) fn has_news(&self) -> bool {
        let state = lock(&self.internet.0);
        state.armed[self.number].iter().any(|source| state.news(*source).is_some())
    }
}

impl State {
    fn port(&mut self) -> u16 {
        self.ports = self.ports.checked_add(1).unwrap_or(49_152);
        self.ports
    }
}

impl Stream {
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let State { connections, rng, .. } = &mut *lock(&self.internet.0);
        let End(number, side) = self.end;
        let connection = &mut connections[number];
        if !connection.open[side] || connection.stage == Stage::Refused {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let now = clock::now();
        let written = connection.ways[side].write(slices, (&connection.weather, rng), now)?;
        let incoming = &mut connection.ways[1 - side];
        if incoming.is_severed() && incoming.end() == Some(Ending::Finished) && incoming.next().is_none() {
            // Whoever was in the middle is gone, and whoever is in its place knows nothing of this connection.
            incoming.reset(connection.weather.arrival(now, rng));
        }
        Ok(written)
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = &mut *lock(&self.internet.0);
        let End(number, side) = self.end;
        let connection = &mut state.connections[number];
        if !connection.open[side] {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let read = connection.ways[1 - side].read(buffer);
        state.unblock(End(number, 1 - side));
        read
    }

    pub(super) fn finish(&self) -> io::Result<()> {
        let State { connections, rng, .. } = &mut *lock(&self.internet.0);
        let End(number, side) = self.end;
        let connection = &mut connections[number];
        let at = connection.weather.arrival(clock::now(), rng);
        connection.ways[side].finish(Ending::Finished, at);
        Ok(())
    }

    pub(super) fn connected(&self) -> io::Result<()> {
        match lock(&self.internet.0).connections[self.end.0].stage {
            Stage::Made => Ok(()),
            Stage::Refused => Err(ErrorKind::ConnectionRefused.into()),
            Stage::Asked(_) | Stage::Answered(..) => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Has the poll report on it from now on. There is no descriptor to watch.
    pub(super) fn watch(&self, token: Token) -> Option<RawFd> {
        let state = &mut *lock(&self.internet.0);
        state.connections[self.end.0].tokens[self.end.1] = Some(token);
        state.arm(Source::End(self.end));
        None
    }
}

impl Listener {
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One connection and where it comes from.
    pub(super) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let state = &mut *lock(&self.internet.0);
        let accepted = state.bound.get_mut(&self.addr).and_then(|bound| bound.backlog.pop_front());
        let Some(number) = accepted else { return Err(ErrorKind::WouldBlock.into()) };
        let from = state.connections[number].addrs[0];
        Ok((Stream { internet: self.internet.clone(), end: End(number, 1) }, from))
    }

    /// Has the poll report on it from now on. There is no descriptor to watch.
    pub(super) fn watch(&self, token: Token) -> Option<RawFd> {
        let state = &mut *lock(&self.internet.0);
        if let Some(bound) = state.bound.get_mut(&self.addr) {
            bound.token = Some(token);
        }
        state.arm(Source::Listener(self.addr));
        None
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.internet.0).close(self.end);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let state = &mut *lock(&self.internet.0);
        // Whoever was killed may have been followed by another.
        if state.bound.get(&self.addr).is_some_and(|bound| bound.node == self.node) {
            state.unbind(self.addr);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("number", &self.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("end", &self.end).finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Default for Weather {
    fn default() -> Self {
        Self { delay: Duration::from_micros(50), jitter: Duration::ZERO, piece: 1 << 16, capacity: 1 << 18 }
    }
}
