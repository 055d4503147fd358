//! One thread waits for any of many sockets, and for other file descriptors.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::noise::{Rigour, Times, assert_within};
use common::{DeadPort, PATIENCE, Rng, Tally, alone, blocked, numbered, pair, within};
use ferromq::{
    Context, Dealer, Interest, Pair, PollEvent, Poller, PollerError, Pub, Pull, Push, Rep, Req, Router,
    Socket, Sub,
};

/// What is ready now, as key, readable and writable, by key.
fn now(poller: &mut Poller<'_>) -> Vec<(usize, bool, bool)> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    let mut ready: Vec<_> = events.iter().map(|event| (event.key, event.readable, event.writable)).collect();
    ready.sort_unstable();
    ready
}

/// Waits until exactly this is ready.
#[track_caller]
fn expect(poller: &mut Poller<'_>, expected: &[(usize, bool, bool)]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = now(poller);
        if ready == expected {
            return;
        }
        assert!(Instant::now() < deadline, "in vain waited for {expected:?}, there is {ready:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The one event that ends a wait.
#[track_caller]
fn next(poller: &mut Poller<'_>) -> PollEvent {
    let mut events = Vec::new();
    assert_eq!(poller.wait(&mut events, Some(PATIENCE)).unwrap(), 1);
    events[0]
}

#[test]
fn req_and_rep_are_ready_when_it_is_their_turn() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, rep) = (ctx.socket::<Req>().build().unwrap(), ctx.socket::<Rep>().build().unwrap());
        let mut poller = Poller::new();
        poller.add(&req, 0, Interest::BOTH).unwrap();
        poller.add(&rep, 1, Interest::BOTH).unwrap();
        expect(&mut poller, &[]);
        req.connect(rep.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        for _ in 0..3 {
            expect(&mut poller, &[(0, false, true)]);
            req.send("question").unwrap();
            expect(&mut poller, &[(1, true, false)]);
            rep.recv().unwrap();
            expect(&mut poller, &[(1, false, true)]);
            rep.send("answer").unwrap();
            expect(&mut poller, &[(0, true, false)]);
            req.recv().unwrap();
        }
        req.send("for nobody").unwrap();
        expect(&mut poller, &[(1, true, false)]);
        poller.remove(1).unwrap();
        drop(rep);
        expect(&mut poller, &[(0, true, false)]);
        assert_eq!(req.try_recv(), Err(ferromq::RecvError::PeerLost));
    });
}

#[test]
fn pub_is_always_writable_and_sub_never() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().send_hwm(1).build().unwrap();
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        let mut poller = Poller::new();
        poller.add(&publisher, 0, Interest::BOTH).unwrap();
        poller.add(&sub, 1, Interest::BOTH).unwrap();
        expect(&mut poller, &[(0, false, true)]);
        sub.connect(publisher.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        expect(&mut poller, &[(0, false, true)]);
        for _ in 0..1000 {
            publisher.send("news").unwrap();
            assert!(now(&mut poller).contains(&(0, false, true)));
        }
        expect(&mut poller, &[(0, false, true), (1, true, false)]);
    });
}

#[test]
fn a_pair_is_ready_as_its_peer_is() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let build = || ctx.socket::<Pair>().send_hwm(2).build().unwrap();
        let (a, b, port) = (build(), build(), DeadPort::new());
        let mut poller = Poller::new();
        poller.add(&a, 0, Interest::BOTH).unwrap();
        poller.add(&b, 1, Interest::BOTH).unwrap();
        expect(&mut poller, &[]);
        a.connect(port.endpoint()).unwrap();
        expect(&mut poller, &[(0, false, true)]);
        a.send("one").unwrap();
        a.send("two").unwrap();
        expect(&mut poller, &[]);
        a.disconnect(port.endpoint()).unwrap();
        b.connect(a.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        expect(&mut poller, &[(0, false, true), (1, true, true)]);
        b.send("three").unwrap();
        expect(&mut poller, &[(0, true, true), (1, true, true)]);
    });
}

#[test]
fn a_peer_named_before_it_is_connected_makes_a_router_writable() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for immediate in [false, true] {
            let router = ctx.socket::<Router>().immediate(immediate).linger(Duration::ZERO).build().unwrap();
            let mut poller = Poller::new();
            poller.add(&router, 7, Interest::WRITABLE).unwrap();
            assert_eq!(now(&mut poller), []);
            thread::scope(|scope| {
                let waiting = blocked(scope, || next(&mut poller));
                router.connect_as(DeadPort::new().endpoint(), "name").unwrap();
                assert_eq!(waiting.join().unwrap().key, 7);
            });
            router.try_send(["name", "hello"]).unwrap();
        }
    });
}

#[test]
fn an_unread_message_is_reported_again_and_again() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let mut poller = Poller::new();
        poller.add(&pull, 5, Interest::READABLE).unwrap();
        push.send("one").unwrap();
        push.send("two").unwrap();
        for left in [2, 1] {
            for _ in 0..3 {
                let PollEvent { key, readable, writable, closed, .. } = next(&mut poller);
                assert_eq!((key, readable, writable, closed), (5, true, false, false), "{left} are left");
            }
            pull.recv().unwrap();
        }
        assert_eq!(now(&mut poller), []);
    });
}

#[test]
fn a_wait_ends_when_something_comes_and_not_when_its_time_is_over() {
    let _alone = alone();
    let ctx = Context::new().unwrap();
    let (push, pull) = pair(&ctx);
    let (_other, another) = pair(&ctx);
    assert_within("a message ends a wait", Duration::from_millis(10), 50, Rigour::Plain, || {
        let mut poller = Poller::new();
        poller.add(&another, 0, Interest::READABLE).unwrap();
        poller.add(&pull, 1, Interest::READABLE).unwrap();
        let mut times = Times::default();
        for _ in 0..100 {
            thread::scope(|scope| {
                let sent = scope.spawn(|| {
                    thread::sleep(Duration::from_millis(2));
                    let start = Instant::now();
                    push.send("hello").unwrap();
                    start
                });
                let event = next(&mut poller);
                let end = Instant::now();
                assert_eq!(event.key, 1);
                pull.recv().unwrap();
                let start = Instant::now();
                thread::sleep(Duration::from_millis(1));
                times.add(end - sent.join().unwrap(), start.elapsed() - Duration::from_millis(1));
            });
        }
        times
    });
}

#[test]
fn a_timeout_is_kept_with_and_without_descriptors() {
    let _alone = alone();
    let ctx = Context::new().unwrap();
    let (_push, pull) = pair(&ctx);
    let (stream, _other) = UnixStream::pair().unwrap();
    for (sockets, fds) in [(true, false), (false, true), (true, true), (false, false)] {
        assert_within("a timeout", Duration::from_millis(10), 50, Rigour::Plain, || {
            let mut poller = Poller::new();
            if sockets {
                poller.add(&pull, 0, Interest::BOTH).unwrap();
            }
            if fds {
                poller.add_fd(&stream, 1, Interest::READABLE).unwrap();
            }
            let (mut times, mut events, mut rng) = (Times::default(), Vec::new(), Rng(1));
            for _ in 0..30 {
                let timeout = Duration::from_micros(rng.below(20_000));
                let start = Instant::now();
                assert_eq!(poller.wait(&mut events, Some(timeout)).unwrap(), 0);
                let ours = start.elapsed();
                assert!(ours >= timeout, "{ours:?} of {timeout:?}");
                let start = Instant::now();
                thread::sleep(timeout);
                times.add(ours - timeout, start.elapsed() - timeout);
            }
            times
        });
    }
}

#[test]
fn looking_again_and_again_without_waiting_is_enough() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (stream, _other) = UnixStream::pair().unwrap();
        for with_fds in [false, true] {
            let (push, pull) = pair(&ctx);
            let mut poller = Poller::new();
            poller.add(&pull, 0, Interest::READABLE).unwrap();
            if with_fds {
                poller.add_fd(&stream, 1, Interest::READABLE).unwrap();
            }
            for _ in 0..200 {
                push.send("hello").unwrap();
                while now(&mut poller) != [(0, true, false)] {}
                assert_eq!(pull.try_recv().unwrap(), "hello");
            }
        }
    });
}

#[test]
fn mistakes_are_errors() {
    let ctx = Context::new().unwrap();
    let (push, pull) = pair(&ctx);
    let (stream, other) = UnixStream::pair().unwrap();
    let mut poller = Poller::new();
    let mut events = Vec::new();
    assert!(matches!(poller.wait(&mut events, None), Err(PollerError::Empty)));
    assert_eq!(poller.wait(&mut events, Some(Duration::from_millis(1))).unwrap(), 0);
    let waiting = futures_executor::block_on(poller.wait_async(&mut events));
    assert!(matches!(waiting, Err(PollerError::Empty)));

    poller.add(&push, 0, Interest::WRITABLE).unwrap();
    poller.add_fd(&stream, 1, Interest::READABLE).unwrap();
    assert!(matches!(poller.add(&pull, 0, Interest::READABLE), Err(PollerError::KeyTaken(0))));
    assert!(matches!(poller.add(&push, 2, Interest::WRITABLE), Err(PollerError::Twice(0))));
    assert!(matches!(poller.add_fd(&other, 1, Interest::READABLE), Err(PollerError::KeyTaken(1))));
    assert!(matches!(poller.add_fd(&stream, 2, Interest::READABLE), Err(PollerError::Twice(1))));
    assert!(matches!(poller.modify(2, Interest::READABLE), Err(PollerError::UnknownKey(2))));
    assert!(matches!(poller.remove(2), Err(PollerError::UnknownKey(2))));
    if cfg!(target_os = "linux") {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        assert!(matches!(poller.add_fd(file, 3, Interest::READABLE), Err(PollerError::System(_))));
    }
    let waiting = futures_executor::block_on(poller.wait_async(&mut events));
    assert!(matches!(waiting, Err(PollerError::Blocking)));

    assert_eq!((poller.len(), now(&mut poller)), (2, vec![(0, false, true)]), "all of that changed nothing");
    poller.remove(0).unwrap();
    poller.remove(1).unwrap();
    assert!(poller.is_empty());
    assert!(matches!(poller.remove(0), Err(PollerError::UnknownKey(0))));
    assert!(matches!(poller.wait(&mut events, None), Err(PollerError::Empty)));
    poller.add(&push, 1, Interest::WRITABLE).unwrap();
    poller.add_fd(&stream, 0, Interest::WRITABLE).unwrap();
    assert_eq!(now(&mut poller), [(0, false, true), (1, false, true)]);
}

#[test]
fn an_interest_can_change() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (a, b) = (ctx.socket::<Dealer>().build().unwrap(), ctx.socket::<Dealer>().build().unwrap());
        b.connect(a.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let (stream, mut other) = UnixStream::pair().unwrap();
        b.send("hello").unwrap();
        other.write_all(b"hello").unwrap();
        let mut poller = Poller::new();
        poller.add(&a, 0, Interest::READABLE).unwrap();
        poller.add_fd(&stream, 1, Interest::READABLE).unwrap();
        expect(&mut poller, &[(0, true, false), (1, true, false)]);
        for (interest, readable, writable) in [
            (Interest::WRITABLE, false, true),
            (Interest::BOTH, true, true),
            (Interest::READABLE, true, false),
        ] {
            poller.modify(0, interest).unwrap();
            poller.modify(1, interest).unwrap();
            for _ in 0..2 {
                assert_eq!(now(&mut poller), [(0, readable, writable), (1, readable, writable)]);
            }
        }
        a.recv().unwrap();
        assert_eq!((&stream).read(&mut [0; 8]).unwrap(), 5);
        assert_eq!(now(&mut poller), []);
    });
}

#[test]
fn a_poller_of_hundreds_finds_the_right_ones() {
    within(PATIENCE, || {
        let ctx = Context::builder().io_threads(2).build().unwrap();
        let push = ctx.socket::<Router>().build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let sockets: Vec<Socket<Dealer>> = (0..200)
            .map(|number: usize| {
                let dealer = ctx.socket::<Dealer>().routing_id(format!("{number:03}")).build().unwrap();
                dealer.connect(at.clone()).unwrap();
                dealer
            })
            .collect();
        push.wait_connected(sockets.len(), PATIENCE).unwrap();
        let mut poller = Poller::new();
        for (key, socket) in sockets.iter().enumerate() {
            poller.add(socket, key, Interest::READABLE).unwrap();
        }
        let mut rng = Rng(3);
        for _ in 0..100 {
            let mut chosen: Vec<usize> = (0..1 + rng.below(5)).map(|_| rng.below(200) as usize).collect();
            chosen.sort_unstable();
            chosen.dedup();
            for key in &chosen {
                push.send([format!("{key:03}"), "hello".to_owned()].map(String::into_bytes).to_vec())
                    .unwrap();
            }
            let expected: Vec<_> = chosen.iter().map(|key| (*key, true, false)).collect();
            expect(&mut poller, &expected);
            chosen.iter().for_each(|key| drop(sockets[*key].try_recv().unwrap()));
        }
        assert_eq!(now(&mut poller), []);
    });
}

/// Senders on threads of their own, in contexts of their own; all their messages come, in order.
fn collect(poller: &mut Poller<'_>, pulls: &[Socket<Pull>], senders: u32, each: u32) {
    let mut tally = Tally::default();
    let mut events = Vec::new();
    while tally.0.len() < (senders * each) as usize {
        poller.wait(&mut events, None).unwrap();
        for event in events.iter().filter(|event| event.key < pulls.len()) {
            tally.note(&pulls[event.key].try_recv().unwrap());
        }
    }
    tally.assert_in_order();
    Tally::assert_complete(&[tally], senders, each);
}

#[test]
fn many_threads_send_to_sockets_of_two_contexts_that_one_thread_waits_for() {
    within(2 * PATIENCE, || {
        const EACH: u32 = 3000;
        for with_fds in [false, true] {
            let contexts: Vec<Context> = (0..2).map(|_| Context::new().unwrap()).collect();
            let (pushes, pulls): (Vec<_>, Vec<_>) = (0..4).map(|n| pair(&contexts[n % 2])).unzip();
            let (stream, mut other) = UnixStream::pair().unwrap();
            let mut poller = Poller::new();
            for (key, pull) in pulls.iter().enumerate() {
                poller.add(pull, key, Interest::READABLE).unwrap();
            }
            if with_fds {
                poller.add_fd(&stream, usize::MAX, Interest::READABLE).unwrap();
            }
            thread::scope(|scope| {
                for (sender, push) in pushes.iter().enumerate() {
                    scope.spawn(move || {
                        let mut rng = Rng(sender as u64);
                        for number in 0..EACH {
                            push.send(numbered(sender as u32, number, 10)).unwrap();
                            if rng.one_in(200) {
                                thread::sleep(Duration::from_micros(rng.below(1000)));
                            }
                        }
                    });
                }
                collect(&mut poller, &pulls, 4, EACH);
            });
            if with_fds {
                other.write_all(b"x").unwrap();
                assert_eq!(next(&mut poller).key, usize::MAX);
            }
        }
    });
}

#[test]
fn one_thread_serves_both_ends_of_narrow_pipes() {
    within(PATIENCE, || {
        let contexts = [Context::new().unwrap(), Context::new().unwrap()];
        let push = contexts[0].socket::<Push>().send_hwm(2).build().unwrap();
        let pull = contexts[1].socket::<Pull>().recv_hwm(2).build().unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let mut poller = Poller::new();
        poller.add(&push, 0, Interest::WRITABLE).unwrap();
        poller.add(&pull, 1, Interest::READABLE).unwrap();
        let (mut sent, mut received, mut events) = (0, 0, Vec::new());
        while received < 2000 {
            poller.wait(&mut events, None).unwrap();
            for event in &events {
                match event.key {
                    0 if sent < 2000 => {
                        push.try_send(numbered(0, sent, 5000)).expect("what is writable has room");
                        sent += 1;
                        if sent == 2000 {
                            poller.remove(0).unwrap();
                        }
                    }
                    _ => {
                        let message = pull.try_recv().expect("what is readable has a message");
                        assert_eq!(common::number_of(&message), (0, received));
                        received += 1;
                    }
                }
            }
        }
    });
}

#[test]
fn what_was_sent_goes_out_before_the_thread_sleeps() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let (stream, mut other) = UnixStream::pair().unwrap();
        let mut poller = Poller::new();
        poller.add_fd(&stream, 0, Interest::READABLE).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                (0..10).for_each(|_| assert_eq!(pull.recv().unwrap(), "hello"));
                other.write_all(b"x").unwrap();
            });
            (0..10).for_each(|_| push.send("hello").unwrap());
            assert_eq!(next(&mut poller).key, 0);
        });
    });
}

#[test]
fn descriptors_are_level_triggered_too() {
    within(PATIENCE, || {
        let (stream, mut other) = UnixStream::pair().unwrap();
        let mut poller = Poller::new();
        poller.add_fd(&stream, 0, Interest::READABLE).unwrap();
        assert_eq!(now(&mut poller), []);
        other.write_all(b"hello").unwrap();
        for _ in 0..5 {
            assert_eq!(now(&mut poller), [(0, true, false)]);
            assert_eq!((&stream).read(&mut [0]).unwrap(), 1);
        }
        assert_eq!(now(&mut poller), []);
        poller.modify(0, Interest::BOTH).unwrap();
        assert_eq!(now(&mut poller), [(0, false, true)]);
        drop(other);
        assert_eq!(now(&mut poller), [(0, true, true)], "the end is there to be read");
        assert_eq!(next(&mut poller).key, 0);
    });
}

#[test]
fn descriptors_may_be_lent_by_reference_or_shared() {
    within(PATIENCE, || {
        let (stream, mut other) = UnixStream::pair().unwrap();
        let stream = Arc::new(stream);
        let mut poller: Poller<'static> = Poller::new();
        poller.add_fd(stream.clone(), 1, Interest::READABLE).unwrap();
        let waiting = thread::spawn(move || {
            assert_eq!(next(&mut poller).key, 1);
            poller
        });
        other.write_all(b"x").unwrap();
        let mut poller = waiting.join().unwrap();
        assert_eq!((&*stream).read(&mut [0; 8]).unwrap(), 1);
        poller.remove(1).unwrap();
        assert_eq!(Arc::strong_count(&stream), 1);
        other.write_all(b"x").unwrap();
        assert_eq!(now(&mut poller), []);
    });
}

#[test]
fn many_descriptors_and_sockets_at_once_are_all_reported() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let streams: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
        let (push, pull) = pair(&ctx);
        let mut poller = Poller::new();
        for (key, (stream, other)) in streams.iter().enumerate() {
            poller.add_fd(stream, key, Interest::READABLE).unwrap();
            (&*other).write_all(b"x").unwrap();
        }
        poller.add(&pull, 1000, Interest::READABLE).unwrap();
        push.send("hello").unwrap();
        let (mut left, mut events) = (301, Vec::new());
        while left > 0 {
            poller.wait(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty());
            for event in &events {
                match event.key {
                    1000 => drop(pull.try_recv().unwrap()),
                    key => assert_eq!((&streams[key].0).read(&mut [0; 8]).unwrap(), 1),
                }
                left -= 1;
            }
        }
        assert_eq!(now(&mut poller), []);
    });
}

#[test]
fn a_closed_socket_ends_the_wait() {
    let ways: [fn(Context, Socket<Pull>); 3] = [
        |_, pull| drop(pull.close(Duration::ZERO)),
        |_, pull| drop(pull),
        |ctx, _pull| drop(ctx.close(Duration::ZERO)),
    ];
    for (way, with_fds) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        within(PATIENCE, move || {
            let ctx = Context::new().unwrap();
            let pull = ctx.socket::<Pull>().build().unwrap();
            let other = Context::new().unwrap().socket::<Pull>().build().unwrap();
            let (stream, _other) = UnixStream::pair().unwrap();
            let mut poller = Poller::new();
            poller.add(&other, 0, Interest::READABLE).unwrap();
            poller.add(&pull, 1, Interest::READABLE).unwrap();
            if with_fds {
                poller.add_fd(&stream, 2, Interest::READABLE).unwrap();
            }
            thread::scope(|scope| {
                let waiting = blocked(scope, || next(&mut poller));
                way(ctx, pull);
                let event = waiting.join().unwrap();
                assert_eq!((event.key, event.readable, event.writable, event.closed), (1, true, false, true));
            });
            assert!(next(&mut poller).closed, "it says so until it is removed");
            poller.remove(1).unwrap();
            assert_eq!(now(&mut poller), []);
        });
    }
}

#[test]
fn a_poller_may_outlive_its_sockets_and_contexts() {
    within(PATIENCE, || {
        let mut poller = Poller::new();
        for key in 0..3 {
            let (push, pull) = pair(&Context::new().unwrap());
            poller.add(&pull, 2 * key, Interest::READABLE).unwrap();
            poller.add(&push, 2 * key + 1, Interest::WRITABLE).unwrap();
        }
        let mut events = Vec::new();
        assert_eq!(poller.wait(&mut events, None).unwrap(), 6);
        assert!(events.iter().all(|event| event.closed));
        (0..6).for_each(|key| poller.remove(key).unwrap());
        assert!(matches!(poller.wait(&mut events, None), Err(PollerError::Empty)));
    });
}

#[test]
fn two_pollers_watch_one_socket() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let mut pollers = [Poller::new(), Poller::new()];
        thread::scope(|scope| {
            let waiting: Vec<_> = pollers
                .iter_mut()
                .map(|poller| {
                    poller.add(&pull, 0, Interest::READABLE).unwrap();
                    blocked(scope, || next(poller).key)
                })
                .collect();
            push.send("hello").unwrap();
            waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join().unwrap(), 0));
        });
        assert_eq!(pull.try_recv().unwrap(), "hello");
    });
}

async fn collect_async(pulls: &[Socket<Pull>], total: u32) {
    let mut poller = Poller::new();
    for (key, pull) in pulls.iter().enumerate() {
        poller.add(pull, key, Interest::READABLE).unwrap();
    }
    let (mut received, mut events) = (0, Vec::new());
    while received < total {
        assert!(poller.wait_async(&mut events).await.unwrap() > 0);
        for event in &events {
            drop(pulls[event.key].try_recv().unwrap());
            received += 1;
        }
    }
}

#[test]
fn a_future_waits_under_any_executor() {
    within(PATIENCE, || {
        let contexts = [Context::new().unwrap(), Context::new().unwrap()];
        let (pushes, pulls): (Vec<_>, Vec<_>) = contexts.iter().map(pair).unzip();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let send = async || {
            for _ in 0..500 {
                pushes[0].send_async("hello").await.unwrap();
                pushes[1].send_async("hello").await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio.block_on(async { tokio::join!(send(), collect_async(&pulls, 1000)) });
        thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|n| pushes[n % 2].send("hello").unwrap()));
            futures_executor::block_on(collect_async(&pulls, 1000));
        });
    });
}

#[test]
fn dropping_the_future_loses_nothing() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let mut poller = Poller::new();
        poller.add(&pull, 0, Interest::READABLE).unwrap();
        let mut events = Vec::new();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        tokio.block_on(async {
            for round in 0..200 {
                let patience = Duration::from_micros(50 * (round % 5));
                drop(tokio::time::timeout(patience, poller.wait_async(&mut events)).await);
                push.send("hello").unwrap();
                drop(tokio::time::timeout(patience, poller.wait_async(&mut events)).await);
                assert_eq!(poller.wait_async(&mut events).await.unwrap(), 1);
                assert_eq!(pull.try_recv().unwrap(), "hello");
            }
        });
    });
}

#[test]
fn pollers_and_their_futures_may_change_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let mut poller = is_send(Poller::new());
    drop(is_send(poller.wait_async(&mut Vec::new())));
}
