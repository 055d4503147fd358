//! Heartbeats over real connections: who is gone is noticed in time, and who is slow is not taken for gone.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::raw::{self, COMMAND, Frame, Peer};
use common::{PATIENCE, Relay, Tally, eventually, link, numbered, within};
use ferromq::{Context, End, Event, Heartbeat, Limit, Monitor, Pull, Push, Socket, Violation};

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(500);
/// What a machine may be late that has other things to do.
const SLACK: Duration = Duration::from_secs(3);

fn beating() -> Heartbeat {
    Heartbeat::new().interval(INTERVAL).timeout(TIMEOUT)
}

fn push(ctx: &Context) -> Socket<Push> {
    let soon = Duration::from_millis(10);
    let builder = ctx.socket::<Push>().reconnect_interval(soon).reconnect_max(5 * soon);
    builder.heartbeat(beating()).linger(Duration::ZERO).build().unwrap()
}

fn pull(ctx: &Context) -> Socket<Pull> {
    ctx.socket::<Pull>().heartbeat(beating()).build().unwrap()
}

/// Waits until a peer is given up for its silence, and tells how long that took.
#[track_caller]
fn given_up(monitor: &Monitor, start: Instant) -> Duration {
    loop {
        if let Event::Disconnected { why, .. } = monitor.recv_timeout(PATIENCE).unwrap() {
            assert!(matches!(why, End::Violation(Violation::HeartbeatTimeout)), "{why}");
            return start.elapsed();
        }
    }
}

#[track_caller]
fn assert_in_time(noticed: Duration) {
    println!("noticed after {noticed:?}");
    assert!(noticed <= INTERVAL + TIMEOUT + SLACK, "{noticed:?}");
}

/// The context of the next PING, which must be the next frame.
#[track_caller]
fn ping(peer: &mut Peer) -> Vec<u8> {
    let Frame { flags, body } = peer.frame();
    assert!(flags == COMMAND && body.starts_with(b"\x04PING\0\0ferromq"), "{flags} {body:?}");
    body[7..].to_vec()
}

#[test]
fn a_peer_is_sent_a_ping_every_interval_and_stays_if_it_answers() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = pull(&ctx);
        let mut peer = Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        let start = Instant::now();
        let contexts: Vec<Vec<u8>> = (0..10)
            .map(|_| {
                let context = ping(&mut peer);
                peer.write(&raw::command("PONG", &context));
                context
            })
            .collect();
        assert!(start.elapsed() >= 9 * INTERVAL, "{:?}", start.elapsed());
        assert!(contexts.windows(2).all(|two| two[0] < two[1]), "{contexts:?}");
        assert_eq!(pull.stats().peers, 1);
    });
}

#[test]
fn a_time_to_live_is_told_in_tenths_of_a_second() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let beat = beating().ttl(Duration::from_millis(12_345));
        let pull = ctx.socket::<Pull>().heartbeat(beat).build().unwrap();
        let mut peer = Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        assert!(peer.frame().body.starts_with(b"\x04PING\0\x7Bferromq"));
    });
}

#[test]
fn a_peer_that_does_not_speak_3_1_is_sent_no_pings_and_stays() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = push(&ctx);
        let mut peer = Peer::connect(push.bind("tcp://127.0.0.1:0").unwrap());
        peer.write(&[raw::greeting(3, 0, "NULL"), raw::ready("PULL")].concat());
        peer.read_handshake();
        thread::sleep(2 * (INTERVAL + TIMEOUT));
        push.send("nothing before").unwrap();
        assert_eq!(peer.frame(), Frame { flags: 0, body: b"nothing before".to_vec() });
    });
}

#[test]
fn without_heartbeats_no_pings_are_sent_and_those_of_others_are_answered() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().heartbeat(Heartbeat::off().interval(INTERVAL)).build().unwrap();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        thread::sleep(3 * INTERVAL);
        peer.sync();
        assert_eq!(push.stats().peers, 1);
    });
}

#[test]
fn a_silent_peer_is_given_up_and_dialled_again() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let pull = ctx.socket::<Pull>().heartbeat(beating()).reconnect_interval(INTERVAL).build().unwrap();
        let monitor = pull.monitor();
        pull.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(Peer::answer(&listener, "PUSH"));
            let start = Instant::now();
            let noticed = given_up(&monitor, start);
            assert!(noticed >= TIMEOUT, "{noticed:?}");
            assert_in_time(noticed);
        }
    });
}

#[test]
fn every_octet_of_a_long_message_is_a_sign_of_life() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = pull(&ctx);
        let mut peer = Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        let message = raw::long_frame(0, &[7; 60_000]);
        let (parts, last) = message.split_at(40);
        for part in parts.chunks(1) {
            peer.write(part);
            thread::sleep(INTERVAL / 2);
        }
        peer.write(last);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap().byte_len(), 60_000);
    });
}

/// As libzmq does it: at its mark it reads nothing, and then it says nothing, either.
#[test]
fn a_peer_that_reads_nothing_stays_as_long_as_there_is_a_message_before_it() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = push(&ctx);
        let monitor = push.monitor();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        for number in 0..100 {
            push.send(&[number][..]).unwrap(); // which the system takes all
        }
        thread::sleep(3 * (INTERVAL + TIMEOUT));
        assert_eq!(push.stats().peers, 1);

        // It catches up, answers the first PING behind the last message, and then has no excuse any more.
        for number in 0..100 {
            assert_eq!(peer.single(), [number]);
        }
        let context = ping(&mut peer);
        peer.write(&raw::command("PONG", &context));
        assert_in_time(given_up(&monitor, Instant::now()));
    });
}

#[test]
fn pings_whose_answers_nobody_reads_are_counted_once_each_time() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().max_pongs(3).build().unwrap();
        let monitor = pull.monitor();
        let mut peer = Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        let address = peer.0.local_addr().unwrap();
        // All in one segment, so that they are read in one go.
        peer.write(&raw::command("PING", b"\0\0?").repeat(100));
        let reached = loop {
            if let Event::LimitReached { limit: Limit::Pongs, peer } = monitor.recv_timeout(PATIENCE).unwrap()
            {
                break peer;
            }
        };
        assert_eq!(reached.address.unwrap().to_string(), format!("tcp://{address}"));
        peer.expect_pong(b"?");
        let hits = pull.stats().limits.of(Limit::Pongs);
        assert!((1..10).contains(&hits), "{hits} times");
    });
}

#[derive(Clone, Copy, Debug)]
enum Binds {
    Push,
    Pull,
}

#[test]
fn a_pull_that_pauses_under_full_load_loses_nothing_and_stays() {
    within(PATIENCE, || {
        thread::scope(|scope| {
            for binds in [Binds::Push, Binds::Pull] {
                scope.spawn(move || pause_under_full_load(binds));
            }
        });
    });
}

fn pause_under_full_load(binds: Binds) {
    let ctx = [(); 2].map(|()| Context::new().unwrap());
    let push = push(&ctx[0]);
    let pull = ctx[1].socket::<Pull>().heartbeat(beating()).recv_hwm(100).build().unwrap();
    let monitors = [push.monitor(), pull.monitor()];
    match binds {
        Binds::Push => link(&push, &pull),
        Binds::Pull => link(&pull, &push),
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(SeqCst) {
                sent += u32::from(push.send_timeout(numbered(0, sent, 1000), INTERVAL).is_ok());
            }
            sent
        });
        let mut tally = Tally::default();
        for _ in 0..2 {
            (0..1000).for_each(|_| tally.note(&pull.recv_timeout(PATIENCE).unwrap()));
            eventually("all queues are full", || push.stats().queued == 1000);
            thread::sleep(2 * (INTERVAL + TIMEOUT)); // twelve heartbeats
        }
        done.store(true, SeqCst);
        let sent = sending.join().unwrap();
        (2000..sent).for_each(|_| tally.note(&pull.recv_timeout(PATIENCE).unwrap()));
        tally.assert_in_order();
        Tally::assert_complete(&[tally], 1, sent);
    });
    for monitor in monitors {
        while let Ok(event) = monitor.try_recv() {
            assert!(!matches!(event, Event::Disconnected { .. }), "{event:?}, {binds:?} binds");
        }
    }
    assert_eq!((push.stats().unconfirmed, push.stats().reconnects), (0, 0));
}

/// A PULL that is bound, and a PUSH that dials it through a relay.
struct Relayed {
    push: Socket<Push>,
    pull: Socket<Pull>,
    /// Of both, in this order.
    monitors: [Monitor; 2],
    relay: Relay,
}

impl Relayed {
    fn new() -> Self {
        let ctx = [(); 2].map(|()| Context::new().unwrap());
        let (push, pull) = (push(&ctx[0]), pull(&ctx[1]));
        let relay = Relay::to(raw::address(pull.bind("tcp://127.0.0.1:0").unwrap()));
        let monitors = [push.monitor(), pull.monitor()];
        push.connect(relay.endpoint()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        pull.wait_connected(1, PATIENCE).unwrap();
        Self { push, pull, monitors, relay }
    }

    fn assert_both_notice(&self) {
        let start = Instant::now();
        self.monitors.iter().for_each(|monitor| assert_in_time(given_up(monitor, start)));
    }
}

#[test]
fn a_partition_is_noticed_by_both_sides_and_heals() {
    within(PATIENCE, || {
        let here = Relayed::new();
        here.push.send("before").unwrap();
        assert_eq!(here.pull.recv_timeout(PATIENCE).unwrap(), "before");
        thread::sleep(2 * INTERVAL); // an answer has come for a PING behind it
        here.relay.stall();
        here.assert_both_notice();
        here.push.send("meanwhile").unwrap();
        here.relay.heal();
        assert_eq!(here.pull.recv_timeout(PATIENCE).unwrap(), "meanwhile");
        eventually("it is counted", || here.push.stats().written == 2);
        let stats = here.push.stats();
        assert_eq!((stats.accepted, stats.unconfirmed), (2, 1));
    });
}

#[test]
fn a_partition_under_full_load_is_noticed_by_both_sides_and_heals() {
    within(PATIENCE, || {
        let here = Relayed::new();
        let (push, pull, done) = (&here.push, &here.pull, &AtomicBool::new(false));
        thread::scope(|scope| {
            let sending = scope.spawn(move || {
                let mut accepted = 0;
                while !done.load(SeqCst) {
                    accepted += u32::from(push.send_timeout(numbered(0, accepted, 100), INTERVAL).is_ok());
                }
                accepted
            });
            let receiving = scope.spawn(move || {
                let mut tally = Tally::default();
                while !done.load(SeqCst) || push.stats().queued > 0 || pull.stats().waiting > 0 {
                    pull.recv_timeout(INTERVAL).iter().for_each(|message| tally.note(message));
                }
                // What is written last is still under way.
                while let Ok(message) = pull.recv_timeout(5 * INTERVAL) {
                    tally.note(&message);
                }
                tally
            });
            thread::sleep(5 * INTERVAL); // each has told how often it sends PINGs
            here.relay.stall();
            here.assert_both_notice();
            let before = pull.stats().received;
            here.relay.heal();
            eventually("messages flow again", || pull.stats().received > before + 5000);
            done.store(true, SeqCst);
            let (accepted, tally) = (sending.join().unwrap(), receiving.join().unwrap());
            tally.assert_in_order();
            let stats = push.stats();
            println!("{accepted} accepted, {} received: {stats:?}", tally.0.len());
            assert_eq!((stats.accepted, stats.queued), (accepted.into(), 0));
            assert_eq!(stats.accepted, stats.written);
            let lost = stats.written - tally.0.len() as u64;
            assert!(lost > 0 && lost <= stats.unconfirmed, "{lost} of {} are lost", stats.unconfirmed);
        });
    });
}

#[test]
fn a_connection_of_which_only_one_half_is_left_is_given_up() {
    within(PATIENCE, || {
        let here = Relayed::new();
        here.relay.vanish_from_far_side();
        let start = Instant::now();
        eventually("the other half is told", || here.pull.stats().peers == 0);
        assert_in_time(given_up(&here.monitors[0], start));
        here.push.send("after").unwrap();
        assert_eq!(here.pull.recv_timeout(PATIENCE).unwrap(), "after");
        assert!(here.relay.accepted() >= 2);
    });
}

/// What the option is documented to cost: who is merely slow is given up as well.
#[cfg(target_os = "linux")]
#[test]
fn with_a_user_timeout_a_peer_that_reads_nothing_is_given_up_by_the_system() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().heartbeat(Heartbeat::off()).tcp_user_timeout(Some(TIMEOUT));
        let push = push.linger(Duration::ZERO).build().unwrap();
        let monitor = push.monitor();
        let _peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        while push.send_timeout(vec![0; 100_000], INTERVAL).is_ok() {}
        let why = loop {
            if let Event::Disconnected { why, .. } = monitor.recv_timeout(PATIENCE).unwrap() {
                break why;
            }
        };
        assert!(!matches!(why, End::Violation(_)), "{why:?}");
    });
}

/// It says what it has promised to say, but nobody reads it.
#[test]
fn who_keeps_a_promise_while_we_do_not_read_is_not_given_up() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().max_recv_bytes(20_000).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let (mut other, mut peer) = (Peer::dial(&at, "PUSH"), Peer::dial(&at, "PUSH"));
        pull.wait_connected(2, PATIENCE).unwrap();
        other.send(&[&[7; 30_000]]);
        eventually("there is more than is taken", || pull.stats().waiting == 1);
        // Within half a second, until told otherwise, and the message is what it is held up for.
        let alive = raw::command("PING", b"\0\x05alive");
        peer.write(&[raw::message(&[b"one"]), alive.clone()].concat());
        eventually("its message is there", || pull.stats().waiting == 2);
        let start = Instant::now();
        while start.elapsed() < 3 * TIMEOUT {
            peer.write(&alive);
            thread::sleep(INTERVAL);
        }
        assert_eq!(pull.stats().peers, 2);
        assert_eq!(pull.recv().unwrap().byte_len() + pull.recv().unwrap().byte_len(), 30_003);
        peer.expect_pong(b"alive");
    });
}
