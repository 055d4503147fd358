//! Where every message is, for each type of socket: both sides of the accounts add up after every step of random
//! histories, and at any moment in between, while other threads send and receive, and peers come, go, misbehave and close.

mod common;

use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Rng, raw, within};
use ferromq::{
    Builder, Context, Dealer, Endpoint, Kind, Message, Overflow, Pair, Pub, Pull, Push, Receives, Rep, Req,
    Router, Sends, Socket, Stats, Sub, XPub, XSub,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// A socket of any type, for what all of them can do or leave undone.
trait Party: Send + Sync + Debug {
    fn stats(&self) -> Stats;
    fn bind(&self, at: &str) -> Option<Endpoint>;
    fn unbind(&self, at: &Endpoint) -> bool;
    fn connect(&self, at: &Endpoint) -> bool;
    fn disconnect(&self, at: &Endpoint) -> bool;
    fn close(&self, timeout: Duration) -> usize;
    fn send(&self, _message: Message) {}
    fn recv(&self) {}
    fn subscribe(&self, _on: bool) {}
    fn name(&self) -> &'static str;
}

macro_rules! party {
    ($kind:ident: $($does:ident)*) => {
        impl Party for Socket<$kind> {
            fn stats(&self) -> Stats { self.stats() }
            fn bind(&self, at: &str) -> Option<Endpoint> { self.bind(at).ok() }
            fn unbind(&self, at: &Endpoint) -> bool { self.unbind(at).is_ok() }
            fn connect(&self, at: &Endpoint) -> bool { self.connect(at).is_ok() }
            fn disconnect(&self, at: &Endpoint) -> bool { self.disconnect(at).is_ok() }
            fn close(&self, timeout: Duration) -> usize { self.close(timeout).unsent.len() }
            fn name(&self) -> &'static str { self.socket_type().as_str() }
            $(party!(@$does);)*
        }
    };
    (@sends) => { fn send(&self, message: Message) { let _refused = self.send_timeout(message, BRIEF); } };
    (@receives) => { fn recv(&self) { let _nothing = self.recv_timeout(BRIEF); } };
    (@subscribes) => {
        fn subscribe(&self, on: bool) {
            let _closed = if on { self.subscribe("A") } else { self.unsubscribe("A") };
        }
    };
    (@decides) => {
        fn subscribe(&self, on: bool) {
            let _closed = if on { self.subscribe_last("A") } else { self.unsubscribe_last("A") };
        }
    };
}

const BRIEF: Duration = Duration::from_micros(200);

party!(Push: sends);
party!(Pull: receives);
party!(Pub: sends);
party!(Sub: receives subscribes);
party!(XPub: sends receives decides);
party!(XSub: sends receives subscribes);
party!(Req: sends receives);
party!(Rep: sends receives);
party!(Dealer: sends receives);
party!(Router: sends receives);
party!(Pair: sends receives);

/// What a peer by hand has to be for the other side to take it.
fn opposite(party: &dyn Party) -> &'static str {
    match party.name() {
        "PUSH" => "PULL",
        "PULL" => "PUSH",
        "PUB" | "XPUB" => "XSUB",
        "SUB" | "XSUB" => "PUB",
        "REQ" => "REP",
        "REP" | "ROUTER" => "DEALER",
        "DEALER" => "ROUTER",
        _ => "PAIR",
    }
}

/// Two sockets on each side; everything in the world happens between the sides.
const SIDE: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize, u16),
    Recv(usize),
    Subscribe(usize, bool),
    Connect(usize, usize),
    Disconnect(usize, usize),
    Rebind(usize),
    /// A peer by hand comes, says so many messages or subscriptions, and stays or is reset.
    Stranger(usize, u8, bool),
    Close(usize),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let who = usize::arbitrary(g) % (2 * SIDE);
        let other = usize::arbitrary(g) % SIDE;
        match u8::arbitrary(g) % 32 {
            0..=9 => Self::Send(who, u16::arbitrary(g) % 20_000),
            10..=15 => Self::Recv(who),
            16..=18 => Self::Subscribe(who, u8::arbitrary(g) % 4 > 0),
            19..=23 => Self::Connect(who, other),
            24..=26 => Self::Disconnect(who, other),
            27 => Self::Rebind(who),
            28..=30 => Self::Stranger(who, u8::arbitrary(g) % 20, bool::arbitrary(g)),
            _ => Self::Close(who),
        }
    }
}

#[derive(Clone, Debug)]
struct History {
    pattern: u8,
    flags: u8,
    overflow: u8,
    mark: u8,
    bytes: u8,
    steps: Vec<Step>,
}

impl Arbitrary for History {
    fn arbitrary(g: &mut Gen) -> Self {
        Self {
            pattern: u8::arbitrary(g),
            flags: u8::arbitrary(g),
            overflow: u8::arbitrary(g),
            mark: u8::arbitrary(g) % 4,
            bytes: u8::arbitrary(g),
            steps: Vec::arbitrary(g),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let this = self.clone();
        Box::new(self.steps.shrink().map(move |steps| Self { steps, ..this.clone() }))
    }
}

impl History {
    fn flag(&self, bit: u8) -> bool {
        self.flags & (1 << bit) != 0
    }

    /// The most bytes queued for one peer, and for all.
    fn bytes(&self) -> [usize; 2] {
        [self.bytes, self.bytes >> 4].map(|n| [0, 1, 3000, 40_000][usize::from(n % 4)])
    }

    fn overflow(&self) -> Overflow {
        [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block, Overflow::Disconnect]
            [usize::from(self.overflow % 4)]
    }

    fn builder<T: Kind>(&self, ctx: &Context) -> Builder<T> {
        let ms = Duration::from_millis;
        let builder = ctx.socket::<T>().linger(Duration::ZERO).reconnect_interval(ms(1)).reconnect_max(ms(5));
        if self.flag(0) { builder.send_buffer(4096).recv_buffer(4096) } else { builder }
    }

    /// The sockets of the first side, and then those of the other.
    fn parties(&self, ctx: &Context) -> Vec<Box<dyn Party>> {
        let name = |n: usize| format!("peer {n}");
        let make = |n: usize| -> Box<dyn Party> {
            let right = n >= SIDE;
            macro_rules! build {
                ($kind:ident $(.$option:ident($value:expr))*) => {
                    Box::new(self.builder::<$kind>(ctx)$(.$option($value))*.build().unwrap())
                };
            }
            let (conflate, flag) = (self.flag(1), self.flag(2));
            match (self.pattern % 9, right) {
                (0, false) => build!(Push.sends(self).conflate(conflate).immediate(flag)),
                (0, true) => build!(Pull.receives(self).conflate(conflate)),
                (1, false) => build!(Pub.sends(self).conflate(conflate).overflow(self.overflow())),
                (1, true) => build!(Sub.receives(self).conflate(conflate).subscribe("")),
                (2, false) => {
                    let manual = self.flag(3);
                    build!(
                        XPub.sends(self).receives(self).overflow(self.overflow()).manual(manual).welcome("A")
                    )
                }
                (2, true) => build!(XSub.sends(self).receives(self).verbose_unsubscribe(flag)),
                (3 | 4, false) => {
                    build!(Req.sends(self).relaxed(flag).correlate(self.flag(3)).routing_id(name(n)))
                }
                (3, true) => build!(Rep.sends(self).receives(self)),
                (4 | 5, true) => {
                    build!(Router.sends(self).mandatory(flag).handover(self.flag(3)).routing_id(name(n)))
                }
                (5 | 6, false) => {
                    build!(Dealer.sends(self).conflate(conflate).routing_id(name(n)).probe_router(flag))
                }
                (6, true) => build!(Rep.sends(self)),
                (7, _) => build!(Dealer.sends(self).receives(self).conflate(conflate).immediate(flag)),
                (_, _) => build!(Pair.sends(self).receives(self).immediate(flag)),
            }
        };
        (0..2 * SIDE).map(make).collect()
    }
}

/// Sets how much is queued, in messages and in bytes.
trait Limits<T> {
    fn sends(self, history: &History) -> Self
    where
        T: Sends;

    fn receives(self, history: &History) -> Self
    where
        T: Receives;
}

impl<T: Kind> Limits<T> for Builder<T> {
    fn sends(self, history: &History) -> Self
    where
        T: Sends,
    {
        let [bytes, all] = history.bytes();
        self.send_hwm(history.mark.into()).send_hwm_bytes(bytes).max_send_bytes(all)
    }

    fn receives(self, history: &History) -> Self
    where
        T: Receives,
    {
        let [bytes, all] = history.bytes();
        self.recv_hwm(history.mark.into()).recv_hwm_bytes(bytes).max_recv_bytes(all)
    }
}

#[track_caller]
fn assert_balanced(party: &dyn Party) {
    let stats = party.stats();
    let gone = stats.written + stats.returned + stats.dropped.total();
    assert_eq!(stats.accepted + stats.copied, gone + stats.queued, "{}: {stats:?}", party.name());
    assert_eq!(
        stats.received,
        stats.delivered + stats.discarded + stats.waiting,
        "{}: {stats:?}",
        party.name()
    );
    assert!(stats.unconfirmed <= stats.written, "{}: {stats:?}", party.name());
    assert_eq!((stats.queued == 0, stats.waiting == 0), (stats.queued_bytes == 0, stats.waiting_bytes == 0));
}

/// Something to send for whoever sends it.
fn message(party: &dyn Party, rng: &mut Rng, padding: usize) -> Message {
    let body = vec![b'A'; 1 + padding];
    match party.name() {
        "ROUTER" if rng.one_in(8) => Message::from("peer 0"),
        "ROUTER" => Message::from(vec![format!("peer {}", rng.below(5)).into_bytes(), Vec::new(), body]),
        "DEALER" => Message::from(vec![Vec::new(), body]),
        "XSUB" if rng.one_in(3) => {
            Message::from([&[rng.below(2) as u8], &body[..rng.below(2) as usize]].concat())
        }
        _ => Message::from(body),
    }
}

struct World<'a> {
    parties: &'a [Box<dyn Party>],
    bound: Vec<Option<Endpoint>>,
    strangers: Vec<raw::Peer>,
}

impl World<'_> {
    /// Who stands on the other side of `who` at this place.
    fn across(who: usize, place: usize) -> usize {
        if who < SIDE { SIDE + place } else { place }
    }

    fn take(&mut self, step: Step, rng: &mut Rng) {
        match step {
            Step::Send(who, padding) => {
                let party = &*self.parties[who];
                party.send(message(party, rng, padding.into()));
            }
            Step::Recv(who) => self.parties[who].recv(),
            Step::Subscribe(who, on) => self.parties[who].subscribe(on),
            Step::Connect(who, place) => {
                if let Some(at) = &self.bound[Self::across(who, place)] {
                    let _occupied_or_closed = self.parties[who].connect(at);
                }
            }
            Step::Disconnect(who, place) => {
                if let Some(at) = &self.bound[Self::across(who, place)] {
                    let _not_connected = self.parties[who].disconnect(at);
                }
            }
            Step::Rebind(who) => {
                if let Some(at) = self.bound[who].take() {
                    assert!(self.parties[who].unbind(&at));
                    self.bound[who] = self.parties[who].bind(&at.to_string());
                    assert!(self.bound[who].is_some());
                }
            }
            Step::Stranger(who, messages, stays) => self.visit(who, messages, stays),
            Step::Close(who) => {
                let before = self.parties[who].stats().returned;
                let returned = self.parties[who].close(BRIEF);
                let stats = self.parties[who].stats();
                assert_eq!(stats.returned - before, returned as u64, "what it says is what it gives");
                assert_eq!(stats.queued, 0, "{stats:?}");
                self.bound[who] = None;
            }
        }
    }

    fn visit(&mut self, who: usize, messages: u8, stays: bool) {
        let Some(at) = &self.bound[who] else { return };
        let mut peer = raw::Peer::connect(at);
        let ready = raw::ready(opposite(&*self.parties[who]));
        peer.write(&[raw::greeting(3, 1, "NULL"), ready].concat());
        peer.read(64);
        if peer.try_frame().is_none() {
            return; // turned away
        }
        for n in 0..messages {
            let said = match n % 5 {
                0 => raw::message(&[b"", b"body"]),
                1 => raw::message(&[b"\x01A"]),
                2 => raw::message(&[b"A", b"\x00A", b"rest"]),
                3 => raw::subscribe(b""),
                _ => raw::message(&[b"id", b"", b"A"]),
            };
            if peer.0.write_all(&said).is_err() {
                break; // turned away
            }
        }
        if stays { self.strangers.push(peer) } else { peer.reset() }
    }
}

/// Stops the other threads when the history is over, in whatever way.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Sends and receives here and there.
fn meddle(parties: &[Box<dyn Party>], seed: u64, stop: &AtomicBool) {
    let mut rng = Rng(seed);
    while !stop.load(SeqCst) {
        let party = &*parties[rng.below(parties.len() as u64) as usize];
        match rng.below(3) {
            0 => party.recv(),
            _ => party.send(message(party, &mut rng, 100)),
        }
    }
}

fn run(ctx: &Context, history: &History) {
    let parties = &history.parties(ctx);
    let bound = parties.iter().map(|party| party.bind("tcp://127.0.0.1:0")).collect();
    let mut world = World { parties, bound, strangers: Vec::new() };
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let _stopped_also_by_a_panic = Stops(stop);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                parties.iter().for_each(|party| assert_balanced(&**party));
            }
        });
        scope.spawn(|| meddle(parties, history.flags.into(), stop));
        let mut rng = Rng(history.overflow.into());
        for step in &history.steps {
            world.take(*step, &mut rng);
            parties.iter().for_each(|party| assert_balanced(&**party));
        }
    });
    for party in parties {
        party.close(BRIEF);
        assert_balanced(&**party);
        let stats = party.stats();
        assert_eq!(stats.queued, 0, "{}: {stats:?}", party.name());
    }
}

#[test]
fn the_accounts_add_up_at_any_moment_of_any_history() {
    within(4 * PATIENCE, || {
        fn holds(history: History) -> bool {
            run(&Context::new().unwrap(), &history);
            true
        }
        QuickCheck::new().tests(CASES).quickcheck(holds as fn(History) -> bool);
    });
}

const CASES: u64 = 200;
