//! What a close says of each endpoint: what went out, what is handed back, what is thrown away. The sums are what the socket
//! has counted meanwhile.

mod common;

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, eventually, number_of, numbered, raw, within};
use ferromq::{
    Closed, ClosedEndpoint, Context, Dealer, Endpoint, Event, Heartbeat, Kind, Message, Pair, Pub, Pull,
    Push, ReconnectStop, Router, Sends, Socket, SocketType, Stats, Sub,
};

const BRIEF: Duration = Duration::from_millis(50);

/// Flushed, returned, dropped, discarded.
fn figures(at: &ClosedEndpoint) -> [u64; 4] {
    [at.flushed, at.returned, at.dropped, at.discarded]
}

/// The figures of one endpoint, of which there is to be one line.
#[track_caller]
fn at(closed: &Closed, endpoint: Option<&str>, bound: bool) -> [u64; 4] {
    let same = |at: &&ClosedEndpoint| {
        at.endpoint.as_ref().map(ToString::to_string).as_deref() == endpoint && at.bound == bound
    };
    let lines: Vec<_> = closed.endpoints.iter().filter(same).collect();
    let [line] = lines[..] else { panic!("{endpoint:?}, {bound}: {:?}", closed.endpoints) };
    figures(line)
}

/// The sums are the changes of the counts, and the messages are as many as they are said to be.
#[track_caller]
fn assert_accounted(before: &Stats, closed: &Closed, after: &Stats) {
    let sums = closed.endpoints.iter().map(figures).fold([0; 4], |sums, line| {
        let mut added = sums.into_iter().zip(line).map(|(sum, figure)| sum + figure);
        std::array::from_fn(|_| added.next().unwrap())
    });
    let changes = [
        after.written - before.written,
        after.returned - before.returned,
        (after.dropped - before.dropped).total(),
        after.discarded - before.discarded,
    ];
    assert_eq!(sums, changes, "{:?}", closed.endpoints);
    assert_eq!(sums[1], closed.unsent.len() as u64);
    assert_eq!(before.queued + after.accepted - before.accepted, sums[0] + sums[1] + sums[2]);
    assert_eq!((after.queued, after.waiting), (0, 0));
}

/// The counts once they stand still, for nobody reads.
fn settled<T: Kind>(socket: &Socket<T>) -> Stats {
    loop {
        let before = socket.stats();
        thread::sleep(BRIEF);
        if socket.stats() == before {
            return before;
        }
    }
}

/// Sends until the connection takes no more, and so many messages are left and more; tells how many were sent.
fn stall<T: Sends>(socket: &Socket<T>, left: u64, message: impl Fn(u32) -> Message) -> u32 {
    let mut sent = 0;
    loop {
        while socket.send_timeout(message(sent), BRIEF).is_ok() {
            sent += 1;
        }
        if settled(socket).queued > left {
            return sent;
        }
    }
}

fn large(number: u32) -> Message {
    numbered(0, number, 200_000)
}

#[test]
fn a_stalled_peer_and_one_that_is_away_are_told_apart() {
    within(PATIENCE, || {
        let (ctx, away) = (Context::new().unwrap(), DeadPort::new());
        let push = ctx.socket::<Push>().send_hwm(8).build().unwrap();
        let here = push.bind("tcp://127.0.0.1:0").unwrap();
        let _stalled = raw::Peer::dial(&here, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let there = away.endpoint();
        push.connect(&there).unwrap();
        let sent = stall(&push, 8, large);
        let before = settled(&push);
        assert!(before.queued > 8, "both queues hold something: {before:?}");

        let closed = push.close(BRIEF);
        assert_accounted(&before, &closed, &push.stats());
        assert_eq!(closed.endpoints.len(), 2, "{:?}", closed.endpoints);
        assert_eq!(at(&closed, Some(&there), false), [0, 8, 0, 0]);
        let [0, returned, 0, 0] = at(&closed, Some(&here.to_string()), true) else {
            panic!("{:?}", closed.endpoints)
        };
        assert_eq!(before.queued, returned + 8);
        assert!(closed.endpoints.iter().all(|at| at.socket == SocketType::Push));

        // The messages come in the order of the lines, those of each peer in order.
        let numbers: Vec<_> = closed.unsent.iter().map(|message| number_of(message).1).collect();
        let (first, second) = numbers.split_at(returned as usize);
        assert!(first.is_sorted() && second.is_sorted(), "{numbers:?}");
        assert_eq!(first.last().max(second.last()), Some(&(sent - 1)));
    });
}

#[test]
fn what_is_still_taken_during_the_close_is_counted_as_flushed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for awaited in [false, true] {
            let push = ctx.socket::<Push>().send_hwm(8).build().unwrap();
            let here = push.bind("tcp://127.0.0.1:0").unwrap();
            let mut peer = raw::Peer::dial(&here, "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            let sent = stall(&push, 0, large);
            let before = settled(&push);
            let closed = thread::scope(|scope| {
                let close = || match awaited {
                    true => futures_executor::block_on(push.close_async()),
                    false => push.close(PATIENCE),
                };
                let closing = common::blocked(scope, close);
                (0..sent).for_each(|number| assert_eq!(number_of(&Message::from(peer.single())).1, number));
                closing.join().unwrap()
            });
            assert_accounted(&before, &closed, &push.stats());
            assert_eq!(at(&closed, Some(&here.to_string()), true), [before.queued, 0, 0, 0]);
        }
    });
}

#[test]
fn what_nobody_has_received_is_told_for_where_it_came_from() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let [here, there] = [(), ()].map(|()| pull.bind("tcp://127.0.0.1:0").unwrap());
        let mut peers: Vec<_> = [&here, &here, &there].map(|at| raw::Peer::dial(at, "PUSH")).into();
        for peer in &mut peers {
            (0..3).for_each(|_| peer.send(&[b"unread"]));
        }
        eventually("they have come", || pull.stats().waiting == 9);
        pull.unbind(&there).unwrap();
        let before = pull.stats();
        assert_eq!(before.waiting, 9, "what came before is kept");
        let closed = pull.close(PATIENCE);
        assert_accounted(&before, &closed, &pull.stats());
        assert_eq!(at(&closed, Some(&here.to_string()), true), [0, 0, 0, 6]);
        assert_eq!(at(&closed, Some(&there.to_string()), true), [0, 0, 0, 3]);
    });
}

#[test]
fn messages_without_a_peer_have_a_line_without_an_endpoint() {
    within(PATIENCE, || {
        let (ctx, nobody) = (Context::new().unwrap(), DeadPort::new());
        let push = ctx.socket::<Push>().build().unwrap();
        push.connect(nobody.endpoint()).unwrap();
        (0..3).for_each(|number| push.send(numbered(0, number, 0)).unwrap());
        push.disconnect(nobody.endpoint()).unwrap();
        let before = push.stats();
        let closed = push.close(BRIEF);
        assert_accounted(&before, &closed, &push.stats());
        assert_eq!(closed.endpoints.len(), 1);
        assert_eq!(at(&closed, None, false), [0, 3, 0, 0]);
    });
}

/// Types whose messages are for one peer only, or go to all, lose them with the connection.
#[test]
fn what_is_good_for_nobody_else_is_dropped_and_not_handed_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().send_hwm(0).build().unwrap();
        let here = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let mut subscriber = raw::Peer::dial(&here, "SUB");
        subscriber.write(&raw::subscribe(b""));
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        check_dropped(&publisher, &here, large);

        let router = ctx.socket::<Router>().send_hwm(0).build().unwrap();
        let here = router.bind("tcp://127.0.0.1:0").unwrap();
        let mut dealer = raw::Peer::dial(&here, "DEALER");
        dealer.send(&[b"hello"]);
        let id = router.recv_timeout(PATIENCE).unwrap().part(0).unwrap().to_vec();
        check_dropped(&router, &here, |number| Message::from([&id[..], &large(number).into_bytes()]));
    });
}

#[track_caller]
fn check_dropped<T: Sends>(socket: &Socket<T>, here: &Endpoint, message: impl Fn(u32) -> Message) {
    (0..100).for_each(|number| socket.send_timeout(message(number), PATIENCE).unwrap());
    let before = settled(socket);
    assert!(before.queued > 10, "the peer reads nothing: {before:?}");
    let closed = socket.close(BRIEF);
    assert_accounted(&before, &closed, &socket.stats());
    assert_eq!(closed.unsent, [""; 0]);
    assert_eq!(closed.endpoints.len(), 1);
    let [flushed, 0, dropped, 0] = at(&closed, Some(&here.to_string()), true) else { panic!("{closed:?}") };
    assert_eq!(flushed + dropped, before.queued);
}

/// Nobody reads on the other side of any of these transports.
#[test]
fn every_transport_has_its_line() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for at_any in ["tcp://127.0.0.1:0", "ipc://*", "inproc://name"] {
            for bound in [true, false] {
                let push = ctx.socket::<Push>().send_hwm(2).build().unwrap();
                let pull = ctx.socket::<Pull>().recv_hwm(2).build().unwrap();
                let here = if bound { push.bind(at_any) } else { pull.bind(at_any) }.unwrap();
                if bound { pull.connect(&here) } else { push.connect(&here) }.unwrap();
                push.wait_connected(1, PATIENCE).unwrap();
                stall(&push, 0, large);
                let (before, waiting) = (settled(&push), pull.stats().waiting);
                let closed = push.close(BRIEF);
                assert_accounted(&before, &closed, &push.stats());
                assert_eq!(closed.endpoints.len(), 1);
                let here = Some(here.to_string());
                let [0, returned, 0, 0] = at(&closed, here.as_deref(), bound) else { panic!("{closed:?}") };
                assert!(returned > 0);
                let closed = pull.close(Duration::ZERO);
                let [0, 0, 0, discarded] = at(&closed, here.as_deref(), !bound) else { panic!("{closed:?}") };
                assert!(discarded >= waiting && waiting > 0);
            }
        }
    });
}

#[test]
fn a_context_tells_of_the_endpoints_of_all_its_sockets() {
    within(PATIENCE, || {
        let (ctx, nobody) = (Context::new().unwrap(), DeadPort::new());
        let push = ctx.socket::<Push>().build().unwrap();
        let dealer = ctx.socket::<Dealer>().build().unwrap();
        let pair = ctx.socket::<Pair>().build().unwrap();
        let unused = ctx.socket::<Sub>().build().unwrap();
        push.connect(nobody.endpoint()).unwrap();
        dealer.connect(nobody.endpoint()).unwrap();
        let here = pair.bind("inproc://here").unwrap();
        (0..2).for_each(|number| push.send(numbered(0, number, 0)).unwrap());
        (0..3).for_each(|number| dealer.send(numbered(1, number, 0)).unwrap());
        let closed = ctx.close(BRIEF);
        drop(unused);
        let lines: Vec<_> = closed
            .endpoints
            .iter()
            .map(|at| (at.socket, at.endpoint.as_ref().unwrap().to_string(), at.bound, at.returned))
            .collect();
        let mut unsent = closed.unsent.iter().map(number_of);
        for (socket, _, _, returned) in &lines {
            let sender = if *socket == SocketType::Push { 0 } else { 1 };
            (0..*returned as u32).for_each(|number| assert_eq!(unsent.next(), Some((sender, number))));
        }
        assert_eq!(unsent.next(), None);
        let nobody = nobody.endpoint();
        assert_eq!(lines.len(), 3);
        assert!(lines.contains(&(SocketType::Push, nobody.clone(), false, 2)));
        assert!(lines.contains(&(SocketType::Dealer, nobody, false, 3)));
        assert!(lines.contains(&(SocketType::Pair, here.to_string(), true, 0)));
    });
}

/// A link that another thread disconnects at the same moment belongs to the account all the same: its messages are handed
/// back, and none is dropped.
#[test]
fn a_disconnect_that_races_a_close_loses_nothing() {
    within(2 * PATIENCE, || {
        for turn in 0..ROUNDS {
            let ctx = Context::new().unwrap();
            let push = ctx.socket::<Push>().send_hwm(4).send_buffer(4096).build().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let there = format!("tcp://{}", listener.local_addr().unwrap());
            push.connect(&there).unwrap();
            let _stalled = raw::Peer::answer(&listener, "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            while push.try_send(vec![0; 300_000]).is_ok() {}
            let start = &Barrier::new(2);
            let closed = thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    (0..turn % 8 * 50).for_each(|_| std::hint::spin_loop());
                    let _closed_meanwhile = push.disconnect(&there);
                });
                start.wait();
                push.close(Duration::ZERO)
            });
            let stats = push.stats();
            assert_eq!(stats.accepted, stats.written + stats.returned, "{stats:?}, {closed:?}");
            assert_eq!(stats.returned, closed.unsent.len() as u64);
        }
    });
}

const ROUNDS: u32 = 100;

/// A PUSH has a queue for a receiver that is closed with it, and that it has not reached: another one is sent what is in it.
#[test]
fn what_was_for_a_receiver_of_the_same_context_goes_to_others() {
    // Whatever is said on the connection meanwhile.
    for beat in [15_000, 200] {
        within(PATIENCE, move || {
            let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
            let port = DeadPort::new();
            let hour = Duration::from_secs(3600);
            let beats = Heartbeat::new().interval(Duration::from_millis(beat));
            let push = ours.socket::<Push>().reconnect_max(hour).reconnect_interval(hour).heartbeat(beats);
            let push = push.build().unwrap();
            let monitor = push.monitor();
            push.connect(port.endpoint()).unwrap();
            while !matches!(monitor.recv_timeout(PATIENCE).unwrap(), Event::Retrying { .. }) {}
            let other = theirs.socket::<Pull>().build().unwrap();
            push.connect(other.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            push.wait_connected(1, PATIENCE).unwrap();
            let own = ours.socket::<Pull>().build().unwrap();
            own.bind(port.release()).unwrap();
            (0..10).for_each(|number| push.send(numbered(0, number, 0)).unwrap());
            let closed = ours.close(PATIENCE);
            assert!(closed.unsent.is_empty());
            let received: HashSet<(u32, u32)> =
                (0..10).map(|_| number_of(&other.recv_timeout(PATIENCE).unwrap())).collect();
            assert_eq!(received.len(), 10);
        });
    }
}

#[test]
fn what_was_for_a_named_receiver_of_the_same_context_is_handed_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let dealer = ctx.socket::<Dealer>().recv_hwm(1).build().unwrap();
        let at = dealer.bind("inproc://named").unwrap();
        let router = ctx.socket::<Router>().build().unwrap();
        router.connect_as(at, "d").unwrap();
        (0..10).for_each(|_| router.send(["d", "job"]).unwrap());
        let closed = ctx.close(PATIENCE);
        assert_eq!(closed.unsent, vec![Message::from("job"); 9]);
        let stats = router.stats();
        assert_eq!((stats.returned, stats.dropped.total()), (9, 0), "{stats:?}");
    });
}

/// What was to be handed back is not, if nobody waits for it any more, and is accounted for as what lingers in vain.
#[test]
fn what_a_close_that_is_given_up_would_have_handed_back_is_dropped() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let stop = ReconnectStop::new().disconnected(true);
        let builder = ctx.socket::<Router>().send_hwm(20).send_buffer(10_000).reconnect_stop(stop);
        let router = builder.linger(BRIEF).build().unwrap();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        for (listener, id) in listeners.iter().zip(["a", "b"]) {
            router.connect_as(format!("tcp://{}", listener.local_addr().unwrap()), id).unwrap();
        }
        let [a, b] = listeners.each_ref().map(|listener| raw::Peer::answer(listener, "DEALER"));
        router.wait_connected(2, PATIENCE).unwrap();
        for id in ["a", "b"] {
            stall(&router, 10, |_| Message::from([id.as_bytes(), &[7; 100_000]]));
        }
        let mut closing = router.close_async();
        assert!(common::poll_once(std::pin::Pin::new(&mut closing)).is_none());
        drop(a);
        eventually("its messages come back", || router.stats().returned > 0);
        drop(closing);
        let stats = router.stats();
        assert_eq!((stats.returned, stats.dropped.lingered > 0), (0, true), "{stats:?}");
        assert_eq!(stats.accepted, stats.written + stats.dropped.total() + stats.queued, "{stats:?}");
        drop(b);
    });
}

#[test]
fn a_monitor_of_a_closed_socket_does_not_end_the_others() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let first = push.monitor();
        let mut peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        push.send("last").unwrap();
        assert_eq!(peer.single(), b"last");
        // The peer has yet to read that this is the end.
        drop(futures_executor::block_on(push.close_async()));
        drop(push.monitor());
        drop(peer);
        assert!((&first).any(|event| matches!(event, Event::Disconnected { .. })));
    });
}
