//! The high-water mark is exact: so many whole messages per peer, not one more.

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, eventually, number_of, numbered, pair, raw, within};
use ferromq::{Context, Message, Pull, Push, Refusal, Socket};

const MARKS: [usize; 4] = [1, 2, 10, 1000];

/// A socket with this mark that has nobody to send to yet.
fn push_with_mark(ctx: &Context, mark: usize) -> Socket<Push> {
    ctx.socket::<Push>().send_hwm(mark).linger(Duration::ZERO).build().unwrap()
}

/// Sends until a hundred messages were refused, and returns how many were accepted.
fn fill(push: &Socket<Push>, sender: u32, limit: usize) -> usize {
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..limit as u32 {
        let message = numbered(sender, number, number as usize % 200);
        match push.try_send(message.clone()) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!(error.reason(), Refusal::Full);
                assert_eq!(error.into_message(), message, "a refused message comes back as it was");
                refused += 1;
            }
        }
        if refused == 100 {
            break;
        }
    }
    accepted
}

#[test]
fn before_the_connection_exists_exactly_as_many_as_the_mark_says_are_accepted() {
    within(PATIENCE, || {
        for mark in MARKS {
            let ctx = Context::new().unwrap();
            let port = DeadPort::new();
            let push = push_with_mark(&ctx, mark);
            push.connect(port.endpoint()).unwrap();
            for number in 0..mark {
                push.try_send(numbered(0, number as u32, 0))
                    .unwrap_or_else(|error| panic!("{number} of {mark}: {error}"));
            }
            let error = push.try_send("one more").unwrap_err();
            assert_eq!((error.reason(), error.message()), (Refusal::Full, &Message::from("one more")));
            assert_eq!(error.into_message(), "one more");
            assert_eq!(fill(&push, 1, 100), 0, "still full");
            let stats = push.stats();
            assert_eq!((stats.accepted, stats.queued, stats.written), (mark as u64, mark as u64, 0));
        }
    });
}

#[test]
fn the_mark_is_exact_for_eight_threads_together() {
    within(PATIENCE, || {
        for mark in MARKS {
            let ctx = Context::new().unwrap();
            let port = DeadPort::new();
            let push = &push_with_mark(&ctx, mark);
            push.connect(port.endpoint()).unwrap();
            let start = &Barrier::new(8);
            let accepted: usize = thread::scope(|scope| {
                let race = |sender| {
                    start.wait();
                    fill(push, sender, 2 * mark + 200)
                };
                let threads: Vec<_> = (0..8).map(|sender| scope.spawn(move || race(sender))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(accepted, mark);
            assert_eq!(push.stats().queued, mark as u64);
        }
    });
}

#[test]
fn what_was_accepted_up_to_the_mark_arrives_in_order_and_makes_room() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = push_with_mark(&ctx, 10);
        push.connect(port.endpoint()).unwrap();
        assert_eq!(fill(&push, 7, 1000), 10);
        let listener = port.listen();
        let mut pull = raw::Peer::answer(&listener, "PULL");
        for number in 0..10 {
            let body = pull.single();
            assert_eq!(number_of(&Message::from(body)), (7, number));
        }
        push.send_timeout("there is room again", PATIENCE).unwrap();
        assert_eq!(pull.single(), b"there is room again");
    });
}

#[test]
fn a_message_of_many_parts_counts_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = push_with_mark(&ctx, 3);
        push.connect(port.endpoint()).unwrap();
        for _ in 0..3 {
            push.try_send(["one", "", "three", "", ""]).unwrap();
        }
        let error = push.try_send(["a", "b"]).unwrap_err();
        assert_eq!(error.into_message(), Message::from(["a", "b"]), "all parts come back");
    });
}

#[test]
fn every_peer_has_a_mark_of_its_own() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ports = [DeadPort::new(), DeadPort::new(), DeadPort::new()];
        let push = push_with_mark(&ctx, 10);
        for port in &ports {
            push.connect(port.endpoint()).unwrap();
        }
        assert_eq!(fill(&push, 0, 1000), 30);
    });
}

#[test]
fn without_a_peer_nothing_is_accepted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = push_with_mark(&ctx, 10);
        assert_eq!(push.try_send("neither bound nor connected").unwrap_err().reason(), Refusal::Full);
        push.bind("tcp://127.0.0.1:0").unwrap();
        assert_eq!(push.try_send("bound, but nobody came").unwrap_err().reason(), Refusal::Full);

        let start = Instant::now();
        let error = push.send_timeout("nor after a while", Duration::from_millis(60)).unwrap_err();
        assert_eq!(error.reason(), Refusal::TimedOut);
        assert_eq!(error.into_message(), "nor after a while");
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert_eq!(push.stats().accepted, 0);
    });
}

#[test]
fn at_the_mark_a_timed_send_gives_up_and_returns_its_message() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = push_with_mark(&ctx, 1);
        push.connect(port.endpoint()).unwrap();
        push.send_timeout("fits", Duration::ZERO).unwrap();
        for timeout in [0, 1, 50].map(Duration::from_millis) {
            let start = Instant::now();
            let error = push.send_timeout(["does", "not"], timeout).unwrap_err();
            assert_eq!(error.reason(), Refusal::TimedOut);
            assert_eq!(error.into_message(), Message::from(["does", "not"]));
            assert!(start.elapsed() >= timeout);
        }
        assert_eq!(push.stats().accepted, 1);
    });
}

#[test]
fn zero_is_no_limit() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = push_with_mark(&ctx, 0);
        push.connect(port.endpoint()).unwrap();
        assert_eq!(fill(&push, 0, 20_000), 20_000);
    });
}

/// A peer that is connected but does not read: what the kernel took is written, and behind it the mark holds.
#[test]
fn behind_a_stalled_peer_no_more_is_queued_than_the_mark() {
    within(PATIENCE, || {
        for mark in [1, 2, 10] {
            let ctx = Context::new().unwrap();
            let push = push_with_mark(&ctx, mark);
            let stalled = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            let body = vec![7; 100_000];
            let mut refused_in_a_row = 0;
            while refused_in_a_row < 3 {
                match push.send_timeout(body.clone(), Duration::from_millis(100)) {
                    Ok(()) => refused_in_a_row = 0,
                    Err(error) => {
                        assert_eq!(error.reason(), Refusal::TimedOut);
                        refused_in_a_row += 1;
                    }
                }
                let queued = push.stats().queued;
                assert!(queued <= mark as u64, "{queued} messages are queued at a mark of {mark}");
            }
            // Once full, a queue takes nothing more before half of it has drained.
            assert!(push.stats().queued as usize > mark / 2, "refused with room: {:?}", push.stats());
            drop(stalled);
        }
    });
}

#[test]
fn no_more_messages_wait_than_the_receive_mark_says() {
    within(PATIENCE, || {
        for mark in MARKS {
            let ctx = Context::new().unwrap();
            let pull = ctx.socket::<Pull>().recv_hwm(mark).build().unwrap();
            let mut peer = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
            let all: Vec<u8> =
                (0..3000_u32).flat_map(|number| raw::message(&[&number.to_be_bytes()])).collect();
            peer.write(&all);
            eventually("the queue is full", || pull.stats().waiting == mark as u64);
            for number in 0..3000_u32 {
                assert!(pull.stats().waiting <= mark as u64, "more wait than the mark says");
                assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_be_bytes());
            }
        }
    });
}

#[test]
fn the_receive_mark_holds_for_each_peer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(5).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut peers: Vec<_> = (0..3).map(|_| raw::Peer::dial(&at, "PUSH")).collect();
        for peer in &mut peers {
            peer.write(&raw::message(&[b"x"]).repeat(100));
        }
        eventually("all three queues are full", || pull.stats().waiting == 15);
        for _ in 0..300 {
            pull.recv_timeout(PATIENCE).unwrap();
            assert!(pull.stats().waiting <= 15);
        }
    });
}

#[test]
fn a_mark_of_one_on_both_sides_lets_everything_through() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = push_with_mark(&ctx, 1);
        let pull = ctx.socket::<Pull>().recv_hwm(1).build().unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..5000 {
                    push.send(numbered(0, number, 0)).unwrap();
                }
            });
            for number in 0..5000 {
                assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, number));
            }
        });
        let (push, pull) = pair(&ctx);
        push.send("and the context is as good as new").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "and the context is as good as new");
    });
}

#[test]
fn a_peer_that_connects_while_its_queue_is_full_is_given_no_more() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        for _ in 0..100 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let at = format!("tcp://{}", listener.local_addr().unwrap());
            let push = &ctx.socket::<Push>().send_hwm(1).linger(Duration::ZERO).build().unwrap();
            push.connect(&at).unwrap();
            push.try_send("first").unwrap();
            thread::scope(|scope| {
                let peer = scope.spawn(|| raw::Peer::answer(&listener, "PULL"));
                while push.stats().peers == 0 {
                    let _ = push.try_send("more");
                    assert!(push.stats().queued <= 1);
                }
                peer.join().unwrap();
            });
        }
    });
}
