//! Peers in the same process: what differs from peers elsewhere.

mod common;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, eventually, within};
use ferromq::{
    BindError, Context, Dealer, End, Event, Limit, Message, Overflow, Pair, Pub, Pull, Push, RecvError, Rep,
    Req, Router, Sub, Violation, XPub, XSub,
};

fn numbered(number: u32) -> Message {
    Message::from(&number.to_be_bytes())
}

fn number_of(message: &Message) -> u32 {
    u32::from_be_bytes(message.part(0).unwrap().try_into().unwrap())
}

#[test]
fn messages_sent_before_the_bind_arrive_in_order() {
    let ctx = Context::new().unwrap();
    let push = ctx.socket::<Push>().build().unwrap();
    push.connect("inproc://early").unwrap();
    for number in 0..100 {
        push.try_send(numbered(number)).unwrap();
    }
    let pull = ctx.socket::<Pull>().build().unwrap();
    pull.bind("inproc://early").unwrap();
    for number in 0..100 {
        assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), number);
    }
}

#[test]
fn a_large_part_is_shared_and_not_copied() {
    let ctx = Context::new().unwrap();
    let push = ctx.socket::<Push>().build().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    pull.bind("inproc://shared").unwrap();
    push.connect("inproc://shared").unwrap();
    let body = bytes::Bytes::from(vec![7; 100]);
    push.send(body.clone()).unwrap();
    let came = pull.recv().unwrap().into_bytes();
    assert_eq!(came.as_ptr(), body.as_ptr());
}

/// How many messages are taken at once with these marks, nobody receiving.
fn accepted(send_hwm: usize, recv_hwm: usize, bind_first: bool, most: usize) -> usize {
    let ctx = Context::new().unwrap();
    let push = ctx.socket::<Push>().send_hwm(send_hwm).build().unwrap();
    let pull = ctx.socket::<Pull>().recv_hwm(recv_hwm).build().unwrap();
    if bind_first {
        pull.bind("inproc://marks").unwrap();
    }
    push.connect("inproc://marks").unwrap();
    let accepted = (0..most).take_while(|_| push.try_send("x").is_ok()).count();
    drop(pull.close(Duration::ZERO));
    drop(push.close(Duration::ZERO));
    accepted
}

#[test]
fn the_marks_of_both_ends_add_up() {
    assert_eq!(accepted(1, 1, true, 100), 2);
    assert_eq!(accepted(2, 3, true, 100), 5);
    assert_eq!(accepted(10, 4, true, 100), 14);
    assert_eq!(accepted(1000, 1000, true, 10_000), 2000);
    assert_eq!(accepted(0, 1, true, 10_000), 10_000);
    assert_eq!(accepted(1, 0, true, 10_000), 10_000);
    assert_eq!(accepted(7, 5, false, 100), 7, "before there is a peer only our own counts");
}

#[test]
fn a_full_pair_goes_on_as_soon_as_the_receiver_does() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(3).build().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(2).build().unwrap();
        push.bind("inproc://tight").unwrap();
        pull.connect("inproc://tight").unwrap();
        let sender = thread::spawn(move || {
            (0..10_000).for_each(|number| push.send(numbered(number)).unwrap());
            push
        });
        for number in 0..10_000 {
            assert_eq!(number_of(&pull.recv().unwrap()), number);
        }
        let stats = sender.join().unwrap().stats();
        assert_eq!((stats.accepted, stats.written, stats.queued), (10_000, 10_000, 0));
    });
}

#[test]
fn a_name_belongs_to_one_socket_of_one_context() {
    let [ctx, other] = [Context::new().unwrap(), Context::new().unwrap()];
    let pull = ctx.socket::<Pull>().build().unwrap();
    let second = ctx.socket::<Pull>().build().unwrap();
    let elsewhere = other.socket::<Pull>().build().unwrap();
    let at = pull.bind("inproc://mine").unwrap();
    assert_eq!(at.to_string(), "inproc://mine");
    match second.bind("inproc://mine") {
        Err(BindError::Listen { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::AddrInUse),
        other => panic!("{other:?}"),
    }
    elsewhere.bind("inproc://mine").unwrap();
    pull.unbind(&at).unwrap();
    second.bind("inproc://mine").unwrap();
}

#[test]
fn a_peer_that_connected_waits_for_the_next_to_bind() {
    let ctx = Context::new().unwrap();
    let push = ctx.socket::<Push>().build().unwrap();
    push.connect("inproc://again").unwrap();
    for round in 0..3 {
        let pull = ctx.socket::<Pull>().build().unwrap();
        let at = pull.bind("inproc://again").unwrap();
        push.send(numbered(round)).unwrap();
        assert_eq!(number_of(&pull.recv().unwrap()), round);
        if round == 0 {
            pull.unbind(&at).unwrap();
        }
        drop(pull);
        eventually("the pull is gone", || push.stats().peers == 0);
    }
    assert_eq!(push.stats().reconnects, 2);
}

#[test]
fn what_the_receiver_has_not_taken_over_goes_to_the_next() {
    let ctx = Context::new().unwrap();
    let push = ctx.socket::<Push>().send_hwm(10).build().unwrap();
    let first = ctx.socket::<Pull>().recv_hwm(4).build().unwrap();
    first.bind("inproc://heir").unwrap();
    push.connect("inproc://heir").unwrap();
    (0..14).for_each(|number| push.try_send(numbered(number)).unwrap());
    drop(first);
    eventually("the first is gone", || push.stats().peers == 0);
    let stats = push.stats();
    assert_eq!((stats.written, stats.unconfirmed, stats.queued), (4, 4, 10));
    let second = ctx.socket::<Pull>().build().unwrap();
    second.bind("inproc://heir").unwrap();
    for number in 4..14 {
        assert_eq!(number_of(&second.recv_timeout(PATIENCE).unwrap()), number);
    }
}

#[test]
fn what_was_sent_before_the_sender_closed_is_received() {
    let ctx = Context::new().unwrap();
    let pull = ctx.socket::<Pull>().recv_hwm(10).build().unwrap();
    pull.bind("inproc://farewell").unwrap();
    let push = ctx.socket::<Push>().build().unwrap();
    push.connect("inproc://farewell").unwrap();
    (0..100).for_each(|number| push.send(numbered(number)).unwrap());
    drop(push);
    for number in 0..100 {
        assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), number);
    }
}

#[test]
fn a_context_does_not_wait_for_a_name_that_nobody_will_bind() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().linger(Duration::from_secs(3600)).build().unwrap();
        push.connect("inproc://nobody").unwrap();
        push.send("x").unwrap();
        drop(push);
        drop(ctx);

        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        push.connect("inproc://nobody").unwrap();
        push.send("x").unwrap();
        assert_eq!(ctx.close(Duration::from_secs(3600)).unsent, [Message::from("x")]);
    });
}

#[test]
fn threads_race_to_bind_and_to_connect() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for round in 0..50 {
            let name = format!("inproc://race-{round}");
            thread::scope(|scope| {
                for number in 0..4 {
                    let (ctx, name) = (&ctx, &name);
                    scope.spawn(move || {
                        let push = ctx.socket::<Push>().build().unwrap();
                        push.connect(name).unwrap();
                        push.send(numbered(number)).unwrap();
                    });
                }
                let pull = ctx.socket::<Pull>().build().unwrap();
                pull.bind(&name).unwrap();
                let mut came: Vec<u32> = (0..4).map(|_| number_of(&pull.recv().unwrap())).collect();
                came.sort_unstable();
                assert_eq!(came, [0, 1, 2, 3]);
            });
        }
    });
}

#[test]
fn routing_ids_are_passed_on() {
    let ctx = Context::new().unwrap();
    let router = ctx.socket::<Router>().build().unwrap();
    let dealer = ctx.socket::<Dealer>().routing_id("worker").build().unwrap();
    dealer.connect("inproc://ids").unwrap();
    router.bind("inproc://ids").unwrap();
    router.send(["worker", "job"]).unwrap();
    assert_eq!(dealer.recv().unwrap(), "job");
    dealer.send("done").unwrap();
    assert_eq!(router.recv().unwrap(), Message::from(["worker", "done"]));
}

#[test]
fn a_publisher_hears_of_subscriptions_and_of_their_end() {
    let ctx = Context::new().unwrap();
    let publisher = ctx.socket::<XPub>().build().unwrap();
    publisher.bind("inproc://news").unwrap();
    let sub = ctx.socket::<Sub>().subscribe("a").build().unwrap();
    sub.connect("inproc://news").unwrap();
    assert_eq!(publisher.recv().unwrap(), "\u{1}a");
    sub.subscribe("b").unwrap();
    assert_eq!(publisher.recv().unwrap(), "\u{1}b");
    sub.unsubscribe("a").unwrap();
    assert_eq!(publisher.recv().unwrap(), "\u{0}a");
    publisher.send("abc").unwrap();
    publisher.send("bcd").unwrap();
    assert_eq!(sub.recv().unwrap(), "bcd");
    sub.disconnect("inproc://news").unwrap();
    assert_eq!(publisher.recv().unwrap(), "\u{0}b");
}

#[test]
fn a_publisher_that_connects_first_drops_what_nobody_can_have() {
    let ctx = Context::new().unwrap();
    let publisher = ctx.socket::<Pub>().build().unwrap();
    publisher.connect("inproc://late").unwrap();
    publisher.send("early").unwrap();
    let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
    sub.bind("inproc://late").unwrap();
    publisher.wait_subscribed(1, PATIENCE).unwrap();
    publisher.send("late").unwrap();
    assert_eq!(sub.recv().unwrap(), "late");
    assert_eq!(publisher.stats().dropped.unsubscribed, 1);
}

#[test]
fn a_publisher_that_blocks_is_held_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().overflow(Overflow::Block).send_hwm(5).build().unwrap();
        let subs: Vec<_> =
            (0..3).map(|_| ctx.socket::<Sub>().subscribe("").recv_hwm(5).build().unwrap()).collect();
        publisher.bind("inproc://held").unwrap();
        subs.iter().for_each(|sub| sub.connect("inproc://held").unwrap());
        publisher.wait_subscribed(3, PATIENCE).unwrap();
        let sender = thread::spawn(move || {
            (0..5000).for_each(|number| publisher.send(numbered(number)).unwrap());
            publisher
        });
        let readers: Vec<_> = subs
            .into_iter()
            .map(|sub| {
                thread::spawn(move || {
                    (0..5000).for_each(|number| assert_eq!(number_of(&sub.recv().unwrap()), number));
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(sender.join().unwrap().stats().copied, 10_000);
    });
}

#[test]
fn a_request_is_answered_and_a_lost_server_noticed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = ctx.socket::<Req>().build().unwrap();
        req.connect("inproc://server").unwrap();
        for _ in 0..3 {
            let rep = ctx.socket::<Rep>().build().unwrap();
            rep.bind("inproc://server").unwrap();
            for round in 0..100 {
                req.send(numbered(round)).unwrap();
                let question = rep.recv().unwrap();
                rep.send(question).unwrap();
                assert_eq!(number_of(&req.recv().unwrap()), round);
            }
            req.send("are you there?").unwrap();
            rep.recv().unwrap();
            drop(rep);
            assert_eq!(req.recv(), Err(RecvError::PeerLost));
        }
    });
}

#[test]
fn a_request_that_is_given_up_is_not_answered_late() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = ctx.socket::<Req>().build().unwrap();
        let rep = ctx.socket::<Rep>().build().unwrap();
        rep.bind("inproc://slow").unwrap();
        req.connect("inproc://slow").unwrap();
        req.request("first", Duration::from_millis(1)).unwrap_err();
        assert_eq!(rep.recv().unwrap(), "first");
        thread::scope(|scope| {
            let answer = scope.spawn(|| req.request("second", PATIENCE));
            rep.send("late").unwrap();
            assert_eq!(rep.recv().unwrap(), "second");
            rep.send("right").unwrap();
            assert_eq!(answer.join().unwrap().unwrap(), "right");
        });
    });
}

/// The sender is to bring the next message by itself, since the receiver, which has nothing, never asks for it.
#[test]
fn a_message_that_the_receiver_discards_does_not_hold_up_the_next() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (rep, dealer) = (ctx.socket::<Rep>().build().unwrap(), ctx.socket::<Dealer>().build().unwrap());
        rep.bind("inproc://rep").unwrap();
        dealer.connect("inproc://rep").unwrap();
        dealer.send("a request without an envelope").unwrap();
        dealer.send(["", "hello"]).unwrap();
        assert_eq!(rep.recv_timeout(PATIENCE / 2).unwrap(), "hello");

        let (publisher, xsub) = (ctx.socket::<Pub>().build().unwrap(), ctx.socket::<XSub>().build().unwrap());
        publisher.bind("inproc://pub").unwrap();
        xsub.connect("inproc://pub").unwrap();
        for _ in 0..3 {
            xsub.send("a PUB does not care").unwrap();
        }
        eventually("all is thrown away", || publisher.stats().discarded == 3);
    });
}

/// Two answers to one request, the first of which is given up before it is received.
#[test]
fn an_answer_that_is_given_up_does_not_hold_up_the_next() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let router = ctx.socket::<Router>().build().unwrap();
        let req = ctx.socket::<Req>().routing_id("r").relaxed(true).build().unwrap();
        router.bind("inproc://router").unwrap();
        req.connect("inproc://router").unwrap();
        req.send("first").unwrap();
        assert_eq!(router.recv().unwrap(), Message::from(["r", "", "first"]));
        router.send(["r", "", "an answer"]).unwrap();
        router.send(["r", "", "another"]).unwrap();
        req.send("second").unwrap();
        assert_eq!(router.recv().unwrap(), Message::from(["r", "", "second"]));
        router.send(["r", "", "to the second"]).unwrap();
        assert!(req.recv_timeout(PATIENCE / 2).is_ok());
    });
}

#[test]
fn a_pair_takes_the_next_peer_when_the_first_has_left() {
    let ctx = Context::new().unwrap();
    let server = ctx.socket::<Pair>().build().unwrap();
    server.bind("inproc://pair").unwrap();
    let first = ctx.socket::<Pair>().build().unwrap();
    let second = ctx.socket::<Pair>().build().unwrap();
    first.connect("inproc://pair").unwrap();
    second.connect("inproc://pair").unwrap();
    first.send("first").unwrap();
    second.send("second").unwrap();
    assert_eq!(server.recv().unwrap(), "first");
    assert_eq!(server.try_recv(), Err(RecvError::Empty));
    assert_eq!(second.stats().peers, 0);
    drop(first);
    assert_eq!(server.recv_timeout(PATIENCE).unwrap(), "second");
}

#[test]
fn a_million_messages_pass_between_threads() {
    within(PATIENCE * 4, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        pull.bind("inproc://million").unwrap();
        push.connect("inproc://million").unwrap();
        let sender =
            thread::spawn(move || (0..1_000_000).for_each(|number| push.send(numbered(number)).unwrap()));
        for number in 0..1_000_000 {
            assert_eq!(number_of(&pull.recv().unwrap()), number);
        }
        sender.join().unwrap();
    });
}

#[test]
fn types_that_cannot_be_peers_are_told_so_once() {
    let ctx = Context::new().unwrap();
    let publisher = ctx.socket::<Pub>().build().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    let monitors = [publisher.monitor(), pull.monitor()];
    publisher.connect("inproc://mismatch").unwrap();
    pull.bind("inproc://mismatch").unwrap();
    let push = ctx.socket::<Push>().build().unwrap();
    push.connect("inproc://mismatch").unwrap();
    push.send("x").unwrap();
    assert_eq!(pull.recv().unwrap(), "x");
    for monitor in monitors {
        let events: Vec<Event> = std::iter::from_fn(|| monitor.try_recv().ok()).collect();
        let told = events.iter().filter(|event| {
            let Event::HandshakeFailed { why, .. } = event else { return false };
            matches!(why, End::Violation(Violation::IncompatibleSocketType { .. }))
        });
        assert_eq!(told.count(), 1, "{events:?}");
    }
}

#[test]
fn who_was_turned_away_is_taken_when_a_peer_of_another_transport_has_left() {
    let ctx = Context::new().unwrap();
    let server = ctx.socket::<Pair>().build().unwrap();
    let at = server.bind("tcp://127.0.0.1:0").unwrap();
    server.bind("inproc://place").unwrap();
    let first = ctx.socket::<Pair>().build().unwrap();
    first.connect(at).unwrap();
    server.wait_connected(1, PATIENCE).unwrap();
    let second = ctx.socket::<Pair>().build().unwrap();
    second.connect("inproc://place").unwrap();
    second.send("mine").unwrap();
    drop(first);
    assert_eq!(server.recv_timeout(PATIENCE).unwrap(), "mine");
}

#[test]
fn a_context_that_closes_does_not_wait_for_a_receiver_of_its_own() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(10).build().unwrap();
        pull.bind("inproc://both").unwrap();
        push.connect("inproc://both").unwrap();
        (0..100).for_each(|number| push.send(numbered(number)).unwrap());
        let unsent: Vec<u32> = ctx.close(Duration::from_secs(3600)).unsent.iter().map(number_of).collect();
        // The receiver had room for ten, and has fetched as many as it cared for.
        assert!(unsent.len() >= 90, "{unsent:?}");
        assert!(unsent.iter().copied().eq(100 - unsent.len() as u32..100), "{unsent:?}");
    });
}

#[test]
fn a_receiver_without_a_mark_is_not_kept_busy_by_a_fast_sender() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(0).build().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(0).build().unwrap();
        pull.bind("inproc://flood").unwrap();
        push.connect("inproc://flood").unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    push.send("x").unwrap();
                }
            });
            // Each of them is back before the sender ends, or this would not.
            (0..100_000).for_each(|_| drop(pull.recv().unwrap()));
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn who_is_turned_away_by_the_one_that_connects_is_not_tried_over_and_over() {
    let ctx = Context::new().unwrap();
    let [first, second] = [(); 2].map(|()| ctx.socket::<Dealer>().routing_id("same").build().unwrap());
    first.bind("inproc://first").unwrap();
    second.bind("inproc://second").unwrap();
    let monitor = second.monitor();
    let router = ctx.socket::<Router>().build().unwrap();
    router.connect("inproc://first").unwrap();
    router.connect("inproc://second").unwrap();
    // Whatever the I/O thread was asked to do is done when it has served these.
    for _ in 0..10 {
        let push = ctx.socket::<Push>().build().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.send("x").unwrap();
        assert_eq!(pull.recv().unwrap(), "x");
    }
    let events: Vec<Event> = std::iter::from_fn(|| monitor.try_recv().ok()).collect();
    let tries = events.iter().filter(|event| matches!(event, Event::Disconnected { .. })).count();
    assert_eq!(tries, 1, "{} events", events.len());
}

#[test]
fn who_was_turned_away_by_the_one_that_connects_is_taken_when_there_is_a_place() {
    let ctx = Context::new().unwrap();
    let [first, second] = [(); 2].map(|()| ctx.socket::<Dealer>().routing_id("same").build().unwrap());
    let router = ctx.socket::<Router>().build().unwrap();
    first.connect(router.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    router.wait_connected(1, PATIENCE).unwrap();
    second.bind("inproc://second").unwrap();
    router.connect("inproc://second").unwrap();
    drop(first);
    second.send_timeout("mine", PATIENCE).unwrap();
    let came = router.recv_timeout(PATIENCE).unwrap();
    assert!(came.parts().eq([b"same", b"mine"]), "{came:?}");
}

#[test]
fn the_marks_add_up_also_when_the_receiver_has_stopped_in_the_middle_of_what_had_come() {
    for taken in [0, 1, 3, 4] {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(10).build().unwrap();
        let push = ctx.socket::<Push>().send_hwm(10).build().unwrap();
        pull.bind("inproc://marks").unwrap();
        push.connect("inproc://marks").unwrap();
        (0..5).for_each(|n| push.try_send(n.to_string()).unwrap());
        (0..taken).for_each(|n| assert_eq!(pull.try_recv().unwrap(), n.to_string()));
        let more = (5..).take_while(|n| push.try_send(n.to_string()).is_ok()).count();
        assert_eq!(5 - taken + more, 20, "{taken} were taken");
        (taken..5 + more).for_each(|n| assert_eq!(pull.try_recv().unwrap(), n.to_string()));
    }
}

/// One end hangs up on the other each time, which is there again at once.
#[test]
fn who_is_not_wanted_does_not_keep_a_processor_busy() {
    let ctx = Context::new().unwrap();
    let publisher = ctx.socket::<Pub>().max_subscriptions(1).build().unwrap();
    let sub = ctx.socket::<Sub>().subscribe("a").subscribe("b").build().unwrap();
    publisher.bind("inproc://narrow").unwrap();
    sub.connect("inproc://narrow").unwrap();

    let router = ctx.socket::<Router>().handover(true).build().unwrap();
    let rivals = [(); 2].map(|()| ctx.socket::<Dealer>().routing_id("x").build().unwrap());
    router.bind("inproc://one").unwrap();
    rivals.iter().for_each(|rival| rival.connect("inproc://one").unwrap());

    let start = Instant::now();
    let refused = || publisher.stats().limits.of(Limit::Subscriptions);
    let displaced = || rivals.iter().map(|rival| rival.stats().reconnects).sum::<u64>();
    eventually("each is tried again", || refused() > 2 && displaced() > 2);
    // By default one tries again ten times a second.
    let most = 12 * (start.elapsed().as_millis() as u64 / 100 + 1);
    assert!(
        refused() < most && displaced() < 2 * most,
        "{} and {} in {:?}",
        refused(),
        displaced(),
        start.elapsed()
    );
}

#[test]
fn who_is_not_to_be_tried_again_is_not() {
    let ctx = Context::new().unwrap();
    let publisher = ctx.socket::<Pub>().max_subscriptions(1).build().unwrap();
    let never = Duration::MAX;
    let sub =
        ctx.socket::<Sub>().reconnect_max(never).reconnect_interval(never).subscribe("a").subscribe("b");
    let sub = sub.build().unwrap();
    let monitor = sub.monitor();
    publisher.bind("inproc://once").unwrap();
    sub.connect("inproc://once").unwrap();
    while !matches!(monitor.recv_timeout(PATIENCE).unwrap(), Event::Disconnected { .. }) {}
    let quiet = monitor.recv_timeout(Duration::from_millis(100));
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!((sub.stats().reconnects, publisher.stats().limits.total()), (0, 1));
}
