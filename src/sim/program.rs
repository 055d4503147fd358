//! What befalls a [`World`], decoded from octets, and what must hold meanwhile and in the end.

use std::time::Duration;

use bytes::Bytes;

use super::world::{
    App, CONNECT_TIMEOUT, Family, HANDSHAKE_TIMEOUT, RECONNECT_MAX, TOPICS, Traits, World, topic_of,
};
use crate::random::Rng;
use crate::socket::Stats;
use crate::transport::memory::{Ending, Weather};
use crate::zmtp::SocketType;

/// Runs a program, then lets everything come to rest. Panics if a promise is broken.
///
/// The first eight octets are the seed of all that the program does not say, the ninth says which faults there are, and the
/// tenth which types of sockets. Then there are three for each step: what is to be done, with which of those it can be done
/// with, and how much of it.
///
/// Returns a number that is the same whenever the same has happened.
pub(crate) fn run(program: &[u8]) -> u64 {
    let (head, steps) = program.split_at(program.len().min(HEAD));
    let mut seed = [0; HEAD];
    seed[..head.len()].copy_from_slice(head);
    let (faults, families) = (Faults::from(seed[8]), families(seed[9]));
    let seed = u64::from_be_bytes(*seed.first_chunk().expect("the head is longer"));
    let mut run = Run::new(seed, faults, families);
    for step in steps.chunks_exact(3).take(STEPS) {
        run.perform(step[0], usize::from(step[1]), usize::from(step[2]));
        run.check();
    }
    run.come_to_rest();
    run.wind_up()
}

/// Which faults there are in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    cuts: bool,
    parts: bool,
    kills: bool,
    spoils: bool,
}

impl From<u8> for Faults {
    fn from(octet: u8) -> Self {
        let bits = |mask: u8, value: u8| octet & mask == value;
        Self { cuts: !bits(3, 0), parts: !bits(12, 0), kills: bits(48, 16), spoils: bits(192, 64) }
    }
}

/// A world, and what befalls it.
pub(super) struct Run {
    pub(super) world: World,
    families: Vec<Family>,
    faults: Faults,
}

impl Run {
    pub(super) fn new(seed: u64, faults: Faults, families: Vec<Family>) -> Self {
        let mut rng = Rng::new(seed);
        let world = World::new(seed, weather(&mut rng));
        let mut run = Self { world, families, faults };
        for _ in 0..2 + rng.below(3) {
            run.world.start();
        }
        for family in run.families.clone() {
            for role in [0, 1] {
                for _ in 0..2 {
                    run.world.found(family, role);
                }
            }
            // One side binds, and the other connects.
            let binds = rng.below(2);
            for role in [binds, 1 - binds] {
                let most = if family == Family::Pair { 1 } else { 3 };
                for _ in 0..1 + rng.below(most) {
                    let app = run.build((family, role));
                    if role == binds { run.bind(app, 0) } else { run.connect(app, 0) }
                }
            }
        }
        run
    }

    /// Does one step.
    fn perform(&mut self, what: u8, who: usize, how: usize) {
        match what & 31 {
            0..=6 => self.send(who, how),
            7 | 8 => self.send_waiting(who, how),
            9..=11 => self.receive(who, how),
            12 => self.change_reading(who),
            13..=18 => self.world.pass(Duration::from_micros((how * how) as u64)),
            19 => self.world.pass(Duration::from_millis(how as u64 * 8)),
            20 | 21 => self.cut(who, how),
            22 => self.hinder(who, how),
            23 => self.spoil(who, how),
            24 | 25 => self.part(who, how),
            26 => self.change_binding(who, how),
            27 => self.change_connecting(who, how),
            28 => self.add(who),
            29 => self.remove(who, how),
            30 => self.kill(who, how),
            _ => self.change(who, how),
        }
    }

    fn send(&mut self, who: usize, how: usize) {
        let Some(app) = self.pick(who, |app| app.sends()) else { return };
        for at in 0..1 + how % 24 {
            let size = SIZES[(how + at) % SIZES.len()];
            if !self.send_one(app, size) {
                return;
            }
        }
    }

    fn send_one(&mut self, app: usize, size: usize) -> bool {
        if self.world.apps[app].kind != SocketType::Router {
            return self.world.offer(app, size, &[]);
        }
        let choice = self.world.rng.below(8);
        let Some(name) = self.world.name_of(app, choice) else { return false };
        self.world.offer(app, size, &[name, Bytes::new()])
    }

    fn send_waiting(&mut self, who: usize, how: usize) {
        use SocketType::{Rep, Router};
        if let Some(app) = self.pick(who, |app| app.sends() && !matches!(app.kind, Rep | Router)) {
            self.world.send(app, SIZES[how % SIZES.len()]);
        }
    }

    fn receive(&mut self, who: usize, how: usize) {
        let Some(app) = self.pick(who, App::receives) else { return };
        for _ in 0..1 + how % 32 {
            let Some(socket) = &self.world.apps[app].socket else { return };
            let result = socket.try_recv();
            if !self.world.take(app, result) {
                return;
            }
        }
    }

    fn change_reading(&mut self, who: usize) {
        if let Some(app) = self.pick(who, App::receives) {
            let reads = &mut self.world.apps[app].reads;
            *reads = !*reads;
        }
    }

    fn cut(&mut self, who: usize, how: usize) {
        let Some(connection) = self.connection(who).filter(|_| self.faults.cuts) else { return };
        let end = if how & 1 == 0 { Ending::Reset } else { Ending::Finished };
        self.world.internet.cut(connection, how * how, end);
    }

    fn hinder(&mut self, who: usize, how: usize) {
        let Some(connection) = self.connection(who) else { return };
        let internet = &self.world.internet;
        match how & 2 {
            0 => internet.stall(connection, how & 1, Duration::from_millis(how as u64 * 4)),
            _ => internet.set_capacity(connection, how & 1, 1 + how * how),
        }
    }

    fn spoil(&mut self, who: usize, how: usize) {
        let Some(connection) = self.connection(who).filter(|_| self.faults.spoils) else { return };
        let at = self.world.rng.below(1 + how * 4);
        self.world.internet.spoil(connection, how & 1, at, 1 << (how % 8));
    }

    fn part(&mut self, who: usize, how: usize) {
        if how & 3 == 0 {
            return self.world.internet.heal();
        }
        if self.faults.parts {
            let [a, b] =
                [who, how].map(|choice| self.world.processes[choice % self.world.processes.len()].node);
            self.world.internet.part(a, b);
        }
    }

    fn change_binding(&mut self, who: usize, how: usize) {
        let Some(app) = self.pick(who, |_| true) else { return };
        if how & 1 == 0 {
            return self.bind(app, how / 2);
        }
        let bound = &self.world.apps[app].bound;
        let Some(place) = bound.get(how / 2 % bound.len().max(1)).copied() else { return };
        self.world.watch();
        let app = &mut self.world.apps[app];
        app.bound.retain(|other| *other != place);
        let at = self.world.places[place].at.into();
        let unbound = app.socket.as_ref().map(|socket| socket.unbind(&at));
        assert!(matches!(unbound, Some(Ok(()))), "it was bound there: {unbound:?}");
    }

    fn change_connecting(&mut self, who: usize, how: usize) {
        let Some(app) = self.pick(who, |_| true) else { return };
        if how & 1 == 0 {
            return self.connect(app, how / 2);
        }
        let connected = &self.world.apps[app].connected;
        let Some(place) = connected.get(how / 2 % connected.len().max(1)).copied() else { return };
        let from = self.world.way_to(place, app);
        self.world.watch();
        let app = &mut self.world.apps[app];
        let at = app.connected.iter().position(|other| *other == place).expect("it was just there");
        app.connected.remove(at);
        let disconnected = app.socket.as_ref().map(|socket| socket.disconnect(&from));
        assert!(matches!(disconnected, Some(Ok(()))), "it was connected: {disconnected:?}");
    }

    fn add(&mut self, who: usize) {
        if self.world.apps.len() >= APPS {
            return;
        }
        let family = self.families[who % self.families.len()];
        let app = self.build((family, who / 2 % 2));
        if who & 4 == 0 { self.bind(app, who / 8) } else { self.connect(app, who / 8) }
    }

    fn remove(&mut self, who: usize, how: usize) {
        let Some(app) = self.pick(who, |_| true) else { return };
        match how & 3 {
            0 | 1 => self.world.drop_socket(app),
            2 => self.world.close_socket(app),
            _ => {
                self.world.watch();
                self.world.let_go(app);
                let app = &mut self.world.apps[app];
                let before = app.socket.as_ref().map(|socket| socket.stats()).unwrap_or_default();
                let closed =
                    app.socket.as_ref().map(|socket| socket.close(Duration::ZERO)).unwrap_or_default();
                let after = app.socket.as_ref().map(|socket| socket.stats()).unwrap_or_default();
                assert_eq!(after.returned, closed.unsent.len() as u64, "before: {before:?}");
                check_sums(&after, app.kind);
                app.socket = None;
            }
        }
    }

    fn kill(&mut self, who: usize, how: usize) {
        let alive: Vec<usize> =
            (0..self.world.processes.len()).filter(|it| self.world.processes[*it].alive).collect();
        if !self.faults.kills || self.world.processes.len() >= PROCESSES {
            return;
        }
        let killed = alive[who % alive.len()];
        self.world.kill(killed);
        let process = self.world.start();
        // Somebody starts it again.
        let lost: Vec<usize> = (0..self.world.apps.len())
            .filter(|app| self.world.apps[*app].process == killed && self.world.apps[*app].socket.is_some())
            .collect();
        for old in lost {
            let App { family, role, traits, .. } = self.world.apps[old];
            let (bound, connected) =
                (self.world.apps[old].bound.clone(), self.world.apps[old].connected.clone());
            if self.world.apps.len() < APPS && how & 3 != 0 {
                let app = self.world.build(process, (family, role), traits);
                bound.into_iter().for_each(|place| self.bind_at(app, place));
                connected.into_iter().for_each(|place| self.connect_to(app, place));
            }
        }
    }

    fn change(&mut self, who: usize, how: usize) {
        if how & 1 == 0 {
            let weather = weather(&mut self.world.rng);
            return self.world.internet.set_weather(weather);
        }
        let Some(app) = self.pick(who, |app| app.kind == SocketType::Sub) else { return };
        let App { socket: Some(socket), topics, .. } = &mut self.world.apps[app] else { return };
        let topic = TOPICS[how / 2 % TOPICS.len()];
        if how & 8 == 0 {
            socket.subscribe(topic);
            topics.push(topic);
        } else {
            socket.unsubscribe(topic);
            let place = topics.iter().position(|other| *other == topic);
            place.into_iter().for_each(|place| _ = topics.swap_remove(place));
        }
    }

    fn build(&mut self, what: (Family, usize)) -> usize {
        let alive: Vec<usize> =
            (0..self.world.processes.len()).filter(|it| self.world.processes[*it].alive).collect();
        let process = alive[self.world.rng.below(alive.len())];
        let traits = traits(&mut self.world.rng);
        let app = self.world.build(process, what, traits);
        if self.world.apps[app].kind == SocketType::Sub {
            self.world.apps[app].topics.push("a");
            self.world.apps[app].socket.iter().for_each(|socket| socket.subscribe("a"));
        }
        app
    }

    /// Binds to one of the places for sockets like this.
    fn bind(&mut self, app: usize, choice: usize) {
        let App { family, role, .. } = self.world.apps[app];
        let places = self.places(family, role);
        self.bind_at(app, places[choice % places.len()]);
    }

    fn bind_at(&mut self, app: usize, place: usize) {
        self.world.watch();
        let at = self.world.places[place].at.into();
        let bound = self.world.apps[app].socket.as_ref().map(|socket| socket.bind(&at));
        // Somebody else may be there, and a dropped socket stays while it lingers.
        if let Some(Ok(_)) = bound {
            self.world.apps[app].bound.push(place);
            self.world.apps[app].ways += 2;
            self.world.places[place].owner = Some(app);
        }
    }

    /// Connects to one of the places of those that sockets like this can talk to.
    fn connect(&mut self, app: usize, choice: usize) {
        let App { family, role, .. } = self.world.apps[app];
        let places = self.places(family, 1 - role);
        self.connect_to(app, places[choice % places.len()]);
    }

    fn connect_to(&mut self, app: usize, place: usize) {
        use SocketType::{Dealer, Pair, Pub, Req, Sub};
        let to = self.world.way_to(place, app);
        let App { kind, connected, ways, socket: Some(socket), .. } = &mut self.world.apps[app] else {
            return;
        };
        // For some types a second connection to a place is none.
        let again = connected.contains(&place) && matches!(kind, Dealer | Req | Pub | Sub);
        match socket.connect(&to) {
            Ok(()) if !again => {
                connected.push(place);
                *ways += 1;
            }
            Ok(()) => {}
            Err(error) => assert_eq!(*kind, Pair, "cannot connect: {error}"),
        }
    }

    fn places(&self, family: Family, role: usize) -> Vec<usize> {
        let fits = |place: &usize| {
            let place = &self.world.places[*place];
            (place.family, place.role) == (family, role)
        };
        (0..self.world.places.len()).filter(fits).collect()
    }

    /// One of the applications that can be asked for something.
    fn pick(&self, choice: usize, fits: impl Fn(&App) -> bool) -> Option<usize> {
        let apps: Vec<usize> = (0..self.world.apps.len())
            .filter(|app| self.world.is_live(*app) && fits(&self.world.apps[*app]))
            .collect();
        apps.get(choice % apps.len().max(1)).copied()
    }

    /// One of the connections that are there.
    fn connection(&mut self, choice: usize) -> Option<usize> {
        self.world.watch();
        let open = self.world.books.connections().filter(|(_, it)| it.open != [false; 2]).map(|(at, _)| at);
        let open: Vec<usize> = open.collect();
        open.get(choice % open.len().max(1)).copied()
    }
}

/// What must hold.
impl Run {
    /// At any time.
    fn check(&self) {
        for app in self.live() {
            let app = &self.world.apps[app];
            let Some(socket) = &app.socket else { continue };
            check_sums(&socket.stats(), app.kind);
            for peer in socket.peer_stats() {
                assert!(peer.queued <= app.traits.send_hwm as u64, "beyond the mark: {peer:?}");
                assert!(peer.waiting <= app.traits.recv_hwm as u64, "beyond the mark: {peer:?}");
                assert_eq!(peer.given, peer.written + peer.taken_back + peer.queued, "{peer:?}");
                assert_eq!(peer.received, peer.delivered + peer.discarded + peer.waiting, "{peer:?}");
            }
        }
    }

    /// The faults are over, and everybody reads. Whatever can be delivered is, in bounded time.
    fn come_to_rest(&mut self) {
        self.world.watch();
        self.world.internet.heal();
        let connections: Vec<(usize, bool)> =
            self.world.books.connections().map(|(at, it)| (at, it.spoiled)).collect();
        for (connection, spoiled) in connections {
            // Whatever is out of step for ever is out of order, and not lost: the end of the connection shows it.
            if spoiled {
                self.world.internet.cut(connection, 0, Ending::Reset);
            }
            for side in [0, 1] {
                self.world.internet.set_capacity(connection, side, 1 << 16);
            }
        }
        self.world.internet.set_weather(Weather::default());
        self.world.apps.iter_mut().for_each(|app| app.reads = true);
        let before = self.world.turns;
        self.world.pass(PATIENCE);
        let turns = self.world.turns - before;
        assert!(turns < TURNS, "{turns} turns in {PATIENCE:?} of peace");
        self.check();
        self.check_closings();
        self.check_rest();
        self.probe();
        self.check_rest();
    }

    /// Whoever is closed and has somebody to send to is through; the others are given up.
    fn check_closings(&mut self) {
        let closing = |app: &usize| self.is_there(*app) && !self.world.is_live(*app);
        let closing: Vec<usize> = (0..self.world.apps.len()).filter(closing).collect();
        for app in &closing {
            let kind = self.world.apps[*app].kind;
            assert!(
                kind == SocketType::Pair || !self.reaches(*app),
                "{app}, a {kind}, is not through closing"
            );
        }
        closing.into_iter().for_each(|app| self.world.drop_socket(app));
        self.world.pass(LINGER + Duration::from_secs(1));
    }

    /// All that can be delivered is.
    pub(super) fn check_rest(&mut self) {
        self.world.watch();
        for app in self.live() {
            let peers = self.peers_of(app);
            let App { kind, socket: Some(socket), .. } = &self.world.apps[app] else { continue };
            let stats = socket.stats();
            let what = format!("{app}, a {kind} that should have {peers} peers: {stats:?}");
            if *kind != SocketType::Pair {
                assert_eq!(stats.peers, peers, "{what}");
                let reached = self.reaches(app);
                assert!(stats.queued == 0 || !reached, "messages are stuck: {what}");
                assert!(!reached || !self.world.apps[app].is_sending(), "a sender is stuck: {what}");
            }
            assert!(!self.is_owed_an_answer(app), "an answer is lost: {what}");
            assert_eq!(stats.waiting, 0, "nobody was told of messages: {what}");
            let (written, ended) = self.world.books.written(app);
            assert_eq!((stats.written, stats.unconfirmed), (written, ended), "{what}");
            let belated = self.world.books.belated(app);
            assert!(belated <= stats.requeued, "{belated} messages are out of order: {what}");
            if self.world.apps[app].has_one_way() {
                assert!(self.world.books.writes_in_order(app), "what was taken back is out of order: {what}");
            }
        }
        self.check_connections();
    }

    /// Whatever was written has come to whoever reads. Heartbeats may be on their way at any time.
    fn check_connections(&mut self) {
        let mut unread = Vec::new();
        for (number, record) in self.world.books.connections() {
            for side in [0, 1] {
                let reader = record.ends[1 - side].filter(|app| self.world.is_live(*app));
                let Some(reader) = reader.filter(|_| record.open == [true; 2] && !record.spoiled) else {
                    continue;
                };
                if record.load[side] > 0 {
                    unread.push((number, side, record.read[side]));
                }
                if self.world.apps[reader].is_gapless() {
                    let (came, way) = (record.ways[side].received(), &record.ways[side]);
                    assert_eq!(came, way.carried.len(), "lost between {:?} on {number}", record.ends);
                }
            }
        }
        if unread.is_empty() {
            return;
        }
        self.world.pass(Duration::from_millis(200));
        self.world.watch();
        let records: Vec<_> = self.world.books.connections().map(|(_, record)| record.read).collect();
        for (number, side, read) in unread {
            assert!(records[number][side] > read, "octets lie unread on {number}");
        }
    }

    /// Everybody who has peers sends one more message, and it arrives.
    fn probe(&mut self) {
        use SocketType::{Dealer, Pub, Push};
        let mut probes = Vec::new();
        for app in self.live() {
            let kind = self.world.apps[app].kind;
            if !self.reaches(app) || !matches!(kind, Push | Dealer | Pub) {
                continue;
            }
            assert!(self.world.offer(app, 50, &[]), "{app}, a {kind}, has no room");
            let name = self.world.last_of(app);
            let wants = |peer: &usize| self.world.apps[*peer].wants(topic_of(name));
            let to = if kind == Pub { self.joined(app).into_iter().filter(wants).count() } else { 1 };
            probes.push((name, to));
        }
        self.world.pass(Duration::from_secs(1));
        for (name, to) in probes {
            assert_eq!(self.world.books.received(name), to, "to how many {name:?} has come");
        }
    }

    /// All sockets are dropped, and nothing is left.
    fn wind_up(mut self) -> u64 {
        // Those of processes that were killed must not get a word in.
        for app in 0..self.world.apps.len() {
            if self.world.processes[self.world.apps[app].process].alive {
                self.world.drop_socket(app);
            }
        }
        self.world.pass(LINGER * 2 + Duration::from_secs(2));
        self.world.watch();
        assert_eq!(self.world.internet.left_open(), 0, "ends of connections are left");
        for process in self.world.processes.iter().filter(|process| process.alive) {
            assert_eq!(process.engine.load(), 0, "a reactor looks after something yet");
        }
        for process in &self.world.processes {
            let _closed = process.context.close(Duration::ZERO);
        }
        self.world.digest()
    }

    fn live(&self) -> Vec<usize> {
        (0..self.world.apps.len()).filter(|app| self.world.is_live(*app)).collect()
    }

    /// Whether a REQ waits for an answer that must have come by now: all that it may have asked are REPs which have dropped
    /// nothing, and nothing was corrupted.
    fn is_owed_an_answer(&self, app: usize) -> bool {
        let answers = |peer: &usize| {
            let App { kind, socket, .. } = &self.world.apps[*peer];
            let dropped = socket.as_ref().map(|socket| socket.stats().dropped.total());
            *kind == SocketType::Rep && dropped == Some(0)
        };
        let sound = |app: usize| {
            self.world.books.connections().all(|(_, it)| !it.spoiled || !it.ends.contains(&Some(app)))
        };
        let peers = self.joined(app);
        let all = peers.iter().all(|peer| answers(peer) && sound(*peer));
        self.world.apps[app].asks && self.reaches(app) && all && sound(app)
    }

    /// How many connections an application should have, when everything is at rest.
    fn peers_of(&self, app: usize) -> usize {
        self.joined(app).len()
    }

    /// Whether an application has peers, and none that has a share of its messages and cannot be reached.
    fn reaches(&self, app: usize) -> bool {
        let App { connected, traits, .. } = &self.world.apps[app];
        let lost = connected.iter().any(|place| self.listener(*place).is_none());
        self.peers_of(app) > 0 && (traits.immediate || !lost)
    }

    /// Whether an application has a socket, be it one that is being closed.
    fn is_there(&self, app: usize) -> bool {
        let app = &self.world.apps[app];
        app.socket.is_some() && self.world.processes[app.process].alive
    }

    /// Who listens at a place and can be talked to.
    fn listener(&self, place: usize) -> Option<usize> {
        let owner = self.world.places[place].owner?;
        (self.is_there(owner) && self.world.apps[owner].bound.contains(&place)).then_some(owner)
    }

    /// The applications at the other ends of those connections.
    fn joined(&self, app: usize) -> Vec<usize> {
        let mut joined = Vec::new();
        for dialler in (0..self.world.apps.len()).filter(|app| self.is_there(*app)) {
            for place in &self.world.apps[dialler].connected {
                match self.listener(*place) {
                    Some(owner) if dialler == app => joined.push(owner),
                    Some(owner) if owner == app => joined.push(dialler),
                    _ => {}
                }
            }
        }
        joined
    }
}

fn check_sums(stats: &Stats, kind: SocketType) {
    let Stats { accepted, copied, written, returned, dropped, queued, .. } = *stats;
    let gone = written + returned + dropped.total() + queued;
    assert_eq!(accepted + copied, gone, "the messages that a {kind} has sent: {stats:?}");
    let Stats { received, delivered, discarded, waiting, .. } = *stats;
    assert_eq!(received, delivered + discarded + waiting, "those that a {kind} has received: {stats:?}");
    assert!(stats.unconfirmed <= stats.written, "{stats:?}");
}

fn weather(rng: &mut Rng) -> Weather {
    let delays = [0, 20, 200, 5_000, 50_000];
    let [delay, jitter] = [(); 2].map(|()| Duration::from_micros(delays[rng.below(delays.len())]));
    let piece = [1, 7, 64, 1_460, 65_536][rng.below(5)];
    let capacity = [100, 1_000, 10_000, 1 << 18][rng.below(4)];
    Weather { delay, jitter, piece, capacity }
}

fn traits(rng: &mut Rng) -> Traits {
    let marks = [1, 2, 5, 20, 1000];
    let [send_hwm, recv_hwm] = [(); 2].map(|()| marks[rng.below(marks.len())]);
    let reconnect = Duration::from_millis([1, 10, 100][rng.below(3)]);
    let linger = if rng.one_in(4) { Duration::ZERO } else { LINGER };
    Traits { send_hwm, recv_hwm, immediate: rng.one_in(3), reconnect, linger }
}

/// One or two families of sockets.
fn families(octet: u8) -> Vec<Family> {
    let all = [Family::Pipeline, Family::Publishing, Family::Requests, Family::Pair];
    let [first, second] = [octet, octet >> 2].map(|bits| all[usize::from(bits & 3)]);
    if octet >> 4 & 1 == 0 { vec![first] } else { vec![first, second] }
}

/// Octets before the steps.
pub(super) const HEAD: usize = 10;
/// Steps that a program has at most.
const STEPS: usize = 400;
const APPS: usize = 16;
const PROCESSES: usize = 8;
const SIZES: [usize; 16] = [30, 30, 30, 30, 40, 40, 71, 71, 100, 150, 255, 300, 300, 1_000, 5_000, 20_000];
const LINGER: Duration = Duration::from_secs(3);
/// By then everything that was torn is mended: the longest pauses, and what may have to time out before them.
const PATIENCE: Duration = Duration::from_millis(
    2 * (HANDSHAKE_TIMEOUT.as_millis() + CONNECT_TIMEOUT.as_millis()) as u64
        + 4 * RECONNECT_MAX.as_millis() as u64,
);
/// Turns of reactors that this may take.
const TURNS: usize = 100_000;
