//! Cases that are a matter of great numbers. Each has a short form that always runs and a full one for releases:
//! `cargo test --release --test hostile -- --ignored`.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use ferromq::{Context, Endpoint, Event, Message, Pub, Pull, Router, Socket, Sub};

use crate::common::raw::{Peer, command, greeting, message, property, ready, subscribe};
use crate::common::{PATIENCE, alone, eventually, open_descriptors, processor_time, resident, within};

/// A PULL and a good peer of it.
struct Stage {
    pull: Socket<Pull>,
    at: Endpoint,
    good: Peer,
    sent: u32,
}

impl Stage {
    fn new(handshake_timeout: Duration) -> Self {
        let pull = Context::new()
            .unwrap()
            .socket::<Pull>()
            .handshake_timeout(handshake_timeout)
            .backlog(4096)
            .build()
            .unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let good = Peer::dial(&at, "PUSH");
        Self { pull, at, good, sent: 0 }
    }

    /// The good peer is served, and nothing but its messages comes out.
    #[track_caller]
    fn assert_unharmed(&mut self) {
        self.sent += 1;
        self.good.send(&[&self.sent.to_be_bytes()]);
        assert_eq!(self.pull.recv_timeout(PATIENCE).unwrap(), self.sent.to_be_bytes());
    }
}

/// Case 49: so many connections stop after their greeting, in waves.
fn stop_after_the_greeting(waves: usize, wave: usize) {
    let _turn = alone();
    within(8 * PATIENCE, move || {
        let mut stage = Stage::new(Duration::from_secs(1));
        stage.assert_unharmed();
        let descriptors = open_descriptors();
        for _ in 0..waves {
            let before = resident();
            let mut crowd: Vec<Peer> = (0..wave).map(|_| Peer::connect(&stage.at)).collect();
            crowd.iter_mut().for_each(|peer| drop(peer.0.write_all(&greeting(3, 1, "NULL"))));
            stage.assert_unharmed();
            // Whoever hears a greeting is held, and not turned away.
            let held =
                crowd.iter().filter(|peer| peer.0.peek(&mut [0]).is_ok_and(|octets| octets > 0)).count();
            let grown = resident().saturating_sub(before);
            assert!(grown < (4 << 20) + 4096 * wave, "{held} held of {wave} take {grown} octets");
            stage.assert_unharmed();
            crowd.iter_mut().for_each(|peer| peer.expect_closed(PATIENCE));
            drop(crowd);
            eventually("their descriptors are closed", || open_descriptors() <= descriptors);
        }
        Peer::dial(&stage.at, "PUSH").sync();
        stage.assert_unharmed();
    });
}

#[test]
fn hundreds_of_connections_that_stop_after_the_greeting_do_no_harm() {
    stop_after_the_greeting(1, 300);
}

#[test]
#[ignore = "the full count, for releases"]
fn ten_thousand_connections_that_stop_after_the_greeting_do_no_harm() {
    stop_after_the_greeting(5, 2000);
}

/// Case 50: so many connections are reset as soon as they are there.
fn reset_at_once(count: usize) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let mut stage = Stage::new(PATIENCE);
        stage.assert_unharmed();
        let descriptors = open_descriptors();
        for _ in 0..count {
            Peer::connect(&stage.at).reset();
        }
        stage.assert_unharmed();
        eventually("their descriptors are closed", || open_descriptors() <= descriptors);
        Peer::dial(&stage.at, "PUSH").sync();
    });
}

#[test]
fn a_thousand_connections_that_are_reset_at_once_do_no_harm() {
    reset_at_once(1000);
}

#[test]
#[ignore = "the full count, for releases"]
fn ten_thousand_connections_that_are_reset_at_once_do_no_harm() {
    reset_at_once(10_000);
}

/// Case 68: so many PINGs, and nobody reads the answers.
fn pings_without_a_reader(count: usize) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let mut stage = Stage::new(PATIENCE);
        let mut peer = Peer::dial(&stage.at, "PUSH");
        stage.assert_unharmed();
        let before = resident();
        let pings = command("PING", b"\0\0sixteen octets !").repeat(1000);
        (0..count / 1000).for_each(|_| write_while_taken(&mut peer, &pings));
        stage.assert_unharmed();
        let grown = resident().saturating_sub(before);
        assert!(grown < 4 << 20, "{count} PINGs take {grown} octets");
    });
}

#[test]
fn pings_whose_answers_nobody_reads_take_no_memory() {
    pings_without_a_reader(100_000);
}

#[test]
#[ignore = "the full count, for releases"]
fn a_million_pings_whose_answers_nobody_reads_take_no_memory() {
    pings_without_a_reader(1_000_000);
}

/// A PUB, and a good subscriber of it.
fn publish() -> (Socket<Pub>, Endpoint, Socket<Sub>) {
    let context = Context::new().unwrap();
    let publisher = context.socket::<Pub>().build().unwrap();
    let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
    let sub = context.socket::<Sub>().subscribe("good").build().unwrap();
    sub.connect(&at).unwrap();
    publisher.wait_subscribed(1, PATIENCE).unwrap();
    (publisher, at, sub)
}

/// Publishes and receives for a while, and returns how long the slowest message took.
fn slowest(publisher: &Socket<Pub>, sub: &Socket<Sub>, mut goes_on: impl FnMut() -> bool) -> Duration {
    let mut slowest = Duration::ZERO;
    while goes_on() {
        let start = Instant::now();
        publisher.send("good").unwrap();
        assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), "good");
        slowest = slowest.max(start.elapsed());
        thread::sleep(Duration::from_millis(1));
    }
    slowest
}

/// Case 76: one peer subscribes to so many topics, and leaves.
fn subscribe_to_many_topics(count: u32) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let (publisher, at, sub) = publish();
        let before = resident();
        let mut peer = Peer::dial(&at, "SUB");
        let flood = thread::spawn(move || {
            let topics: Vec<u32> = (0..count).collect();
            for topics in topics.chunks(1000) {
                let octets: Vec<u8> =
                    topics.iter().flat_map(|n| subscribe(format!("topic {n}").as_bytes())).collect();
                write_while_taken(&mut peer, &octets);
            }
            drop(peer.0.write_all(&command("PING", b"\0\0done")));
            (peer.try_frame().is_some(), peer)
        });
        let while_it_comes = slowest(&publisher, &sub, || !flood.is_finished());
        let (kept, peer) = flood.join().unwrap();
        let grown = resident().saturating_sub(before);
        drop(peer);
        let while_it_goes = slowest(&publisher, &sub, || publisher.stats().peers > 1);
        println!(
            "{count} topics: kept {kept}, {grown} octets, at most {while_it_comes:?} and {while_it_goes:?}"
        );
        let per_topic = grown / count as usize;
        assert!(per_topic < 512 || grown < 64 << 20, "{per_topic} octets for each of {count} topics");
        assert!(while_it_comes.max(while_it_goes) < 2 * SECOND, "{while_it_comes:?}, {while_it_goes:?}");
        slowest(&publisher, &sub, once());
    });
}

#[test]
fn tens_of_thousands_of_topics_of_one_peer_hold_up_nobody() {
    subscribe_to_many_topics(50_000);
}

#[test]
#[ignore = "the full count, for releases"]
fn a_million_topics_of_one_peer_hold_up_nobody() {
    subscribe_to_many_topics(1_000_000);
}

/// Case 80: a subscriber sends so many messages of a mebibyte.
fn send_to_a_publisher(count: usize) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let (publisher, at, sub) = publish();
        let mut peer = Peer::dial(&at, "XSUB");
        let data = message(&[&vec![b'd'; 1 << 20]]);
        let before = resident();
        let mut most = 0;
        for _ in 0..count {
            peer.write(&data);
            most = most.max(resident().saturating_sub(before));
        }
        peer.sync();
        assert!(most < 16 << 20, "{most} octets of memory");
        slowest(&publisher, &sub, once());
        let stats = publisher.stats();
        assert_eq!((stats.discarded, stats.waiting), (count as u64, 0));
    });
}

#[test]
fn large_messages_to_a_publisher_take_no_memory() {
    send_to_a_publisher(50);
}

#[test]
#[ignore = "the full count, for releases"]
fn thousands_of_large_messages_to_a_publisher_take_no_memory() {
    send_to_a_publisher(5000);
}

/// Case 88: so many peers with the same routing id at once.
fn share_a_routing_id(count: usize, handover: bool) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let context = Context::new().unwrap();
        let router =
            context.socket::<Router>().handover(handover).backlog(4096).monitor_hwm(10_000).build().unwrap();
        let monitor = router.monitor();
        let at = router.bind("tcp://127.0.0.1:0").unwrap();
        let metadata = [property("Socket-Type", b"DEALER"), property("Identity", b"A")].concat();
        let said = [greeting(3, 1, "NULL"), command("READY", &metadata), message(&[b"mine"])].concat();
        let mut crowd: Vec<Peer> = (0..count).map(|_| Peer::connect(&at)).collect();
        crowd.iter_mut().for_each(|peer| drop(peer.0.write_all(&said)));
        let mut decided = 0;
        while decided < count {
            let event = monitor.recv_timeout(PATIENCE).unwrap();
            decided += usize::from(matches!(event, Event::Ready { .. } | Event::HandshakeFailed { .. }));
        }
        eventually("one is left", || router.stats().peers == 1);
        while let Ok(message) = router.try_recv() {
            assert_eq!(message, Message::from(["A", "mine"]));
        }
        router.send(["A", "you"]).unwrap();
        let owners = crowd.iter_mut().filter_map(|peer| {
            peer.0.read_exact(&mut [0; 64]).ok()?;
            peer.message()
        });
        let owners: Vec<_> = owners.collect();
        assert_eq!(owners, [[b"you"]], "handover: {handover}");
    });
}

#[test]
fn of_hundreds_with_one_routing_id_there_is_one_owner() {
    share_a_routing_id(300, false);
    share_a_routing_id(300, true);
}

#[test]
#[ignore = "the full count, for releases"]
fn of_a_thousand_with_one_routing_id_there_is_one_owner() {
    share_a_routing_id(1000, false);
    share_a_routing_id(1000, true);
}

/// Strangers who have stopped somewhere in the handshake or behind it cost nothing but their places.
#[test]
fn silent_strangers_take_no_processor_time() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        let mut stage = Stage::new(PATIENCE);
        let said = [greeting(3, 1, "NULL"), ready("PUSH"), b"\x01\x01A\x02\0\0\0\0\0\0\xFF\xFFhalf".to_vec()]
            .concat();
        let crowd: Vec<Peer> = (0..said.len())
            .map(|len| {
                let mut peer = Peer::connect(&stage.at);
                peer.write(&said[..len]);
                peer
            })
            .collect();
        stage.assert_unharmed();
        // The time of one attempt of three has to be short: the machine has others to serve.
        let shares = (0..3).map(|_| {
            let before = processor_time();
            thread::sleep(WINDOW);
            processor_time() - before
        });
        let least = shares.min().unwrap();
        assert!(least < WINDOW / 10, "{least:?} of processor time in {WINDOW:?}");
        drop(crowd);
        stage.assert_unharmed();
    });
}

/// Writes, unless the other side has hung up or does not read for a while.
fn write_while_taken(peer: &mut Peer, octets: &[u8]) {
    peer.0.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    if let Err(error) = peer.0.write_all(octets) {
        let expected =
            [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(expected.contains(&error.kind()), "{error}");
    }
}

/// True for one time.
fn once() -> impl FnMut() -> bool {
    let mut left = 1;
    move || {
        left -= 1;
        left >= 0
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// How long silent strangers are watched. A span to measure over, not a wait for anything.
const WINDOW: Duration = Duration::from_millis(300);
