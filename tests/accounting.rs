//! Where every message is: `accepted = written + returned + dropped + queued` holds exactly, at any moment, while threads send
//! in every manner and peers come and go.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, Rng, eventually, numbered, pair, poll_once, raw, within};
use ferromq::{Context, Endpoint, Pull, Push, Refusal, Socket, Stats};
use futures_executor::block_on;

#[track_caller]
fn assert_balanced(stats: &Stats) {
    let accounted = stats.written + stats.returned + stats.dropped.total() + stats.queued;
    assert_eq!(stats.accepted, accounted, "{stats:?}");
    assert!(stats.unconfirmed <= stats.written, "unconfirmed is a part of written: {stats:?}");
}

#[track_caller]
fn assert_balanced_inbound(stats: &Stats) {
    assert_eq!(stats.received, stats.delivered + stats.discarded + stats.waiting, "{stats:?}");
}

/// Sends in every manner until stopped, and counts what was accepted.
fn send(push: &Socket<Push>, sender: u32, stop: &AtomicBool, accepted: &AtomicU64) {
    let mut rng = Rng(sender.into());
    for number in 0.. {
        let message = numbered(sender, number, rng.below(3000) as usize);
        let result = match rng.below(4) {
            0 => push.try_send(message),
            1 => push.send_timeout(message, Duration::from_micros(rng.below(2000))),
            2 => match poll_once(std::pin::pin!(push.send_async(message))) {
                Some(result) => result,
                None => continue, // dropped, so not sent
            },
            _ => block_on(async {
                // Pending at most until room comes, which the peers below see to.
                push.send_async(message).await
            }),
        };
        match result {
            Ok(()) => {
                accepted.fetch_add(1, SeqCst);
            }
            Err(error) if error.reason() == Refusal::Closed => return,
            Err(error) => assert!(matches!(error.reason(), Refusal::Full | Refusal::TimedOut)),
        }
        if stop.load(SeqCst) {
            return;
        }
    }
}

/// A peer by hand that comes, reads for a while, and goes in one of several manners.
fn come_and_go(at: &Endpoint, seed: u64, stop: &AtomicBool) {
    let mut rng = Rng(seed);
    while !stop.load(SeqCst) {
        let mut peer = raw::Peer::dial(at, "PULL");
        peer.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut buffer = vec![0; 4096];
        for _ in 0..rng.below(200) {
            if std::io::Read::read(&mut peer.0, &mut buffer).is_err() {
                break;
            }
        }
        if rng.one_in(2) {
            peer.reset();
        }
    }
}

#[test]
fn the_counts_add_up_at_any_moment_while_peers_come_and_go() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push =
            &ctx.socket::<Push>().send_hwm(20).reconnect_interval(Duration::from_millis(1)).build().unwrap();
        let at = &push.bind("tcp://127.0.0.1:0").unwrap();
        let pull = &ctx.socket::<Pull>().recv_hwm(20).build().unwrap();
        pull.connect(at).unwrap();
        let elsewhere = &ctx.socket::<Pull>().recv_hwm(5).build().unwrap();
        let elsewhere_at = &elsewhere.bind("tcp://127.0.0.1:0").unwrap();
        let (stop, stop_sending, accepted, read) =
            (&AtomicBool::new(false), &AtomicBool::new(false), &AtomicU64::new(0), &AtomicU64::new(0));

        thread::scope(|scope| {
            let peers: Vec<_> = (0..2).map(|seed| scope.spawn(move || come_and_go(at, seed, stop))).collect();
            for reader in [pull, elsewhere] {
                scope.spawn(move || {
                    while reader.recv().is_ok() {
                        read.fetch_add(1, SeqCst);
                    }
                });
            }
            // And one that is dialled and left again, with what its queue holds.
            let wanderer = scope.spawn(move || {
                while !stop.load(SeqCst) {
                    push.connect(elsewhere_at).unwrap();
                    let _connected_or_not = push.wait_connected(2, Duration::from_millis(5));
                    push.disconnect(elsewhere_at).unwrap();
                }
            });
            let senders: Vec<_> = (0..4)
                .map(|sender| scope.spawn(move || send(push, sender, stop_sending, accepted)))
                .collect();

            for _ in 0..30_000 {
                let before = accepted.load(SeqCst);
                let stats = push.stats();
                assert_balanced(&stats);
                assert!(stats.accepted >= before, "{before} sends had returned, {stats:?}");
                assert_balanced_inbound(&pull.stats());
            }
            eventually("enough was sent", || {
                assert_balanced(&push.stats());
                accepted.load(SeqCst) >= 20_000
            });
            stop_sending.store(true, SeqCst);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            stop.store(true, SeqCst);
            wanderer.join().unwrap();
            peers.into_iter().for_each(|peer| peer.join().unwrap());
            eventually("all is written", || push.stats().queued == 0);
            drop(pull.close(Duration::ZERO));
            drop(elsewhere.close(Duration::ZERO));
        });

        let stats = push.stats();
        assert_balanced(&stats);
        assert_eq!(stats.accepted, accepted.load(SeqCst), "what was accepted is what returned Ok");
        assert!(stats.unconfirmed > 0 && stats.requeued > 0, "the peers went too quietly: {stats:?}");
        assert_eq!((stats.returned, stats.dropped.total(), stats.queued), (0, 0, 0), "{stats:?}");
    });
}

#[test]
fn each_step_of_a_message_is_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push =
            ctx.socket::<Push>().send_hwm(3).reconnect_interval(Duration::from_millis(5)).build().unwrap();
        push.connect(port.endpoint()).unwrap();
        for number in 0..5 {
            assert_eq!(push.try_send(numbered(0, number, 0)).is_ok(), number < 3);
        }
        let stats = push.stats();
        assert_balanced(&stats);
        assert_eq!((stats.accepted, stats.queued, stats.peers), (3, 3, 0), "what was refused is not counted");

        let pull = ctx.socket::<Pull>().build().unwrap();
        let at = pull.bind(port.release()).unwrap();
        eventually("they arrive", || pull.stats().waiting == 3);
        eventually("they are counted", || push.stats().written == 3);
        let stats = push.stats();
        assert_balanced(&stats);
        assert_eq!((stats.queued, stats.unconfirmed, stats.peers), (0, 0, 1));

        pull.recv().unwrap();
        let stats = pull.stats();
        assert_eq!((stats.received, stats.delivered, stats.waiting, stats.peers), (3, 1, 2, 1));

        pull.unbind(&at).unwrap();
        eventually("the connection ends", || push.stats().peers == 0);
        push.try_send("one more").unwrap();
        let stats = push.stats();
        assert_balanced(&stats);
        assert_eq!((stats.accepted, stats.written, stats.unconfirmed, stats.queued), (4, 3, 3, 1));

        let report = push.close(Duration::ZERO);
        assert_eq!(report.unsent.len(), 1);
        let stats = push.stats();
        assert_balanced(&stats);
        assert_eq!((stats.returned, stats.queued), (1, 0));
    });
}

#[test]
fn a_close_under_fire_keeps_the_counts() {
    within(2 * PATIENCE, || {
        for seed in 0..20 {
            let ctx = Context::new().unwrap();
            let push = &ctx.socket::<Push>().send_hwm(5).build().unwrap();
            let pull = ctx.socket::<Pull>().recv_hwm(5).build().unwrap();
            push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            let accepted = &AtomicU64::new(0);
            let report = thread::scope(|scope| {
                for sender in 0..4 {
                    scope.spawn(move || send(push, sender, &AtomicBool::new(false), accepted));
                }
                for _ in 0..200 + 50 * seed {
                    pull.recv_timeout(PATIENCE).unwrap();
                }
                push.close(Duration::from_millis(seed % 3))
            });
            let stats = push.stats();
            assert_balanced(&stats);
            assert_eq!(stats.accepted, accepted.load(SeqCst));
            assert_eq!(stats.returned, report.unsent.len() as u64);
            assert_eq!(stats.queued, 0);
        }
    });
}

#[test]
fn a_quiet_socket_has_counted_nothing() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        for stats in [push.stats(), pull.stats()] {
            assert_balanced(&stats);
            assert_balanced_inbound(&stats);
            assert_eq!((stats.accepted, stats.written, stats.received, stats.peers), (0, 0, 0, 1));
        }
    });
}

#[test]
fn the_bytes_are_those_of_messages_and_of_no_handshake() {
    within(PATIENCE, || {
        let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
        let mut push = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        push.send(&[b"one"]);
        push.send(&[b"two", b"parts"]);
        eventually("they have come", || pull.stats().received == 2);
        assert_eq!(pull.stats().bytes_received, 5 + (5 + 7));
    });
}
