//! Queues are limited in bytes, beside the marks for messages: of one peer, and of all peers of a socket together.

mod common;

use std::io::Write;
use std::thread;
use std::time::Duration;

use common::{
    DeadPort, PATIENCE, alone, blocked, eventually, link, number_of, numbered, raw, resident, within,
};
use ferromq::{
    Builder, Context, Event, Limit, Message, Monitor, MonitorError, Overflow, Pair, Pub, Pull, Push,
    Receives, Refusal, Router, Sends, Socket, Sub, XPub, XSub,
};

/// A message that takes so many bytes of memory, and its number.
fn sized(number: u32, bytes: usize) -> Message {
    numbered(0, number, bytes - 72 - 8)
}

/// How often a limit was reached, as monitors were told so far.
fn told(monitor: &Monitor, limit: Limit) -> usize {
    let told = |event: &Event| matches!(event, Event::LimitReached { limit: told, .. } if *told == limit);
    std::iter::from_fn(|| monitor.try_recv().ok()).filter(told).count()
}

/// Everything there is of a peer's messages, in order, each of them whole.
#[track_caller]
fn receive_all<T: Receives>(socket: &Socket<T>, senders: usize, each: u32) -> Vec<usize> {
    let mut next = vec![0; senders];
    let order = (0..senders as u32 * each).map(|_| {
        let message = socket.recv_timeout(PATIENCE).unwrap();
        let (sender, number) = number_of(&message);
        assert_eq!(number, next[sender as usize], "of sender {sender}");
        next[sender as usize] += 1;
        sender as usize
    });
    order.collect()
}

/// A peer by hand that sends so many messages of so many bytes in a thread of its own, as fast as they are taken.
fn pour(at: &impl ToString, sender: u32, each: u32, len: usize) -> thread::JoinHandle<raw::Peer> {
    let at = at.to_string();
    thread::spawn(move || {
        let mut peer = raw::Peer::dial(at, "PUSH");
        for number in 0..each {
            let message = numbered(sender, number, len - 8).into_bytes();
            peer.0.write_all(&raw::frame(0, &message)).unwrap();
        }
        peer
    })
}

#[test]
fn a_stranger_takes_no_more_memory_than_the_limit_and_a_message() {
    const MIB: usize = 1 << 20;
    let _alone = alone();
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().recv_hwm_bytes(8 * MIB).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let before = resident();
    let peer = pour(&at, 0, 100, MIB);
    eventually("the queue is full", || pull.stats().limits.of(Limit::RecvBytes) == 1);
    thread::sleep(Duration::from_millis(50)); // more would come now, if it came
    let stats = pull.stats();
    assert!(stats.waiting_bytes >= 8 * MIB as u64 && stats.waiting_bytes < 9 * MIB as u64 + 200, "{stats:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    assert_eq!((told(&monitor, Limit::RecvBytes), stats.limits.total()), (1, 1));

    receive_all(&pull, 1, 100);
    peer.join().unwrap();
    assert_eq!(pull.stats().waiting_bytes, 0);
    // It begins anew when half has been taken: every four messages, and not with each of them.
    assert!(pull.stats().limits.of(Limit::RecvBytes) <= 100 / 4 + 1);
}

#[test]
fn messages_without_a_mark_are_limited_in_bytes_however_small() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().recv_hwm(0).recv_hwm_bytes(100_000).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    for parts in [vec![&b"small"[..]], vec![b""; 200], vec![b"a"; 30]] {
        let mut peer = raw::Peer::dial(&at, "PUSH");
        let message = raw::message(&parts);
        let count = 20_000_000 / (72 + 34 * parts.len()) / 10;
        let one = Message::from_iter(parts.iter().map(|part| part.to_vec()));
        let before = pull.stats().limits.total();
        let writer = thread::spawn(move || {
            for _ in 0..count {
                peer.write(&message);
            }
            peer
        });
        eventually("the queue is full", || pull.stats().limits.total() > before);
        for _ in 0..count {
            let most = 100_000 + 72 + 40 * parts.len() as u64;
            assert!(pull.stats().waiting_bytes <= most, "{:?}", pull.stats());
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), one);
        }
        writer.join().unwrap();
    }
}

#[test]
fn what_is_larger_than_any_queue_is_received_all_the_same() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().recv_hwm_bytes(1).max_recv_bytes(1).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let peers: Vec<_> = (0..3).map(|sender| pour(&at, sender, 30, 100_000)).collect();
    receive_all(&pull, 3, 30);
    peers.into_iter().for_each(|peer| drop(peer.join().unwrap()));
    for (at, count) in [("tcp://127.0.0.1:0", 50), ("inproc://large", 50)] {
        let pull = context.socket::<Pull>().recv_hwm_bytes(1).max_recv_bytes(1).build().unwrap();
        let push = context.socket::<Push>().send_hwm_bytes(1).max_send_bytes(1).build().unwrap();
        push.connect(pull.bind(at).unwrap()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..count).for_each(|number| push.send(sized(number, 50_000)).unwrap()));
            receive_all(&pull, 1, count);
        });
    }
}

#[test]
fn eight_strangers_together_are_held_to_the_limit_of_the_socket() {
    const LIMIT: usize = 2_000_000;
    const LEN: usize = 100_000;
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().max_recv_bytes(LIMIT).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let peers: Vec<_> = (0..8).map(|sender| pour(&at, sender, 100, LEN)).collect();
    eventually("they are too many", || pull.stats().limits.of(Limit::TotalRecvBytes) == 1);
    thread::sleep(Duration::from_millis(50)); // more would come now, if it came
    let stats = pull.stats();
    assert!(stats.waiting_bytes >= LIMIT as u64, "{stats:?}");
    assert!(stats.waiting_bytes <= (LIMIT + 8 * (LEN + 72)) as u64, "a message for each beyond: {stats:?}");
    assert_eq!(told(&monitor, Limit::TotalRecvBytes), 1);
    let of_peers: u64 = pull.peer_stats().iter().map(|peer| peer.waiting_bytes).sum();
    assert_eq!(of_peers, pull.stats().waiting_bytes);

    receive_all(&pull, 8, 100);
    peers.into_iter().for_each(|peer| drop(peer.join().unwrap()));
    assert_eq!(pull.stats().waiting_bytes, 0);
    assert!(pull.stats().limits.total() <= 8 * 100 / 10 + 1, "once for each half: {:?}", pull.stats());
}

#[test]
fn who_is_held_up_for_others_is_served_in_turn() {
    let context = Context::new().unwrap();
    // There is room for one message at a time, whoever brings it.
    let pull = context.socket::<Pull>().max_recv_bytes(1000).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    // All of it fits into what the system buffers here, so that nobody has to wait for the network.
    let peers: Vec<_> = (0..8).map(|sender| pour(&at, sender, 50, 1000)).collect();
    let peers: Vec<_> = peers.into_iter().map(|peer| peer.join().unwrap()).collect();
    let order = receive_all(&pull, 8, 50);
    for sender in 0..8 {
        // In strict turns these would be 37. But the event loop hears of new octets only every so often.
        let served = order[..300].iter().filter(|of| **of == sender).count();
        assert!(served >= 10, "{sender} was served {served} times: {order:?}");
    }
    drop(peers);

    // Within a process nothing comes between.
    pull.bind("inproc://turns").unwrap();
    let pushes: Vec<_> = (0..8).map(|_| context.socket::<Push>().build().unwrap()).collect();
    for (sender, push) in (0..).zip(&pushes) {
        push.connect("inproc://turns").unwrap();
        (0..50).for_each(|number| push.send(numbered(sender, number, 1000)).unwrap());
    }
    let order = receive_all(&pull, 8, 50);
    for turn in order[8..].chunks(8) {
        assert_eq!(turn, &order[8..16], "{order:?}");
    }
}

#[test]
fn one_who_brings_nothing_more_does_not_keep_others_waiting() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().max_recv_bytes(1000).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut peers: Vec<_> = (0..8).map(|_| raw::Peer::dial(&at, "PUSH")).collect();
    for round in 0..20 {
        for peer in &mut peers {
            peer.send(&[&vec![round; 2000]]);
        }
        for _ in 0..8 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), vec![round; 2000]);
        }
    }
    // One is held up, and gone before it is its turn.
    peers.iter_mut().for_each(|peer| peer.send(&[&[1; 2000], &[2; 2000]]));
    peers.truncate(4);
    (0..4).for_each(|_| assert_eq!(pull.recv_timeout(PATIENCE).unwrap().len(), 2));
    peers[0].send(&[b"last"]);
    while pull.recv_timeout(PATIENCE).unwrap() != "last" {}
}

#[test]
fn within_a_process_the_limits_of_both_ends_add_up() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().recv_hwm_bytes(10_000).build().unwrap();
    let push = context.socket::<Push>().send_hwm_bytes(20_000).build().unwrap();
    push.connect(pull.bind("inproc://both").unwrap()).unwrap();
    let accepted = (0..1000).take_while(|n| push.try_send(sized(*n, 1000)).is_ok()).count();
    assert_eq!(accepted, 30);
    assert_eq!(push.try_send("!").unwrap_err().reason(), Refusal::FullOfBytes);
    assert_eq!((push.stats().queued_bytes, pull.stats().waiting_bytes), (20_000, 10_000));
    assert!(push.stats().limits.of(Limit::SendBytes) > 0);
    assert_eq!(pull.stats().limits.of(Limit::RecvBytes), 1);
    receive_all(&pull, 1, 30);
    assert_eq!((push.stats().queued_bytes, pull.stats().waiting_bytes), (0, 0));
    push.send("there is room again").unwrap();
    assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "there is room again");
}

#[test]
fn within_a_process_all_peers_together_are_held_to_the_limit() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().max_recv_bytes(50_000).build().unwrap();
    pull.bind("inproc://all").unwrap();
    let pushes: Vec<_> = (0..8).map(|_| context.socket::<Push>().build().unwrap()).collect();
    pushes.iter().for_each(|push| push.connect("inproc://all").unwrap());
    for (sender, push) in (0..).zip(&pushes) {
        (0..20).for_each(|number| push.send(numbered(sender, number, 10_000)).unwrap());
    }
    let stats = pull.stats();
    assert!((50_000..60_200).contains(&stats.waiting_bytes), "{stats:?}");
    assert_eq!(stats.limits.of(Limit::TotalRecvBytes), 1);
    receive_all(&pull, 8, 20);
}

/// A PUSH that dials so many ports at which nobody is.
fn to_nobody(context: &Context, ports: &[DeadPort], set: fn(Builder<Push>) -> Builder<Push>) -> Socket<Push> {
    let push = set(context.socket::<Push>().linger(Duration::ZERO)).build().unwrap();
    ports.iter().for_each(|port| push.connect(port.endpoint()).unwrap());
    push
}

/// How many messages of a thousand bytes are taken, and why no more.
fn fill<T: Sends>(socket: &Socket<T>) -> (usize, Refusal) {
    let body = vec![7; 991]; // a thousand, framed
    let mut refused = socket.try_send(body.clone());
    let mut taken = 0;
    while refused.is_ok() {
        taken += 1;
        refused = socket.try_send(body.clone());
    }
    let error = refused.unwrap_err();
    let reason = error.reason();
    assert!(reason.is_full());
    assert_eq!(error.into_message(), body, "it comes back as it was");
    (taken, reason)
}

#[test]
fn a_queue_takes_so_many_bytes_and_the_refusal_says_so() {
    let context = Context::new().unwrap();
    let port = [DeadPort::new()];
    let push = to_nobody(&context, &port, |builder| builder.send_hwm_bytes(50_000));
    let monitor = push.monitor();
    assert_eq!(fill(&push), (50, Refusal::FullOfBytes));
    let error = push.send_timeout("!", Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.reason(), Refusal::TimedOut);
    let stats = push.stats();
    assert_eq!((stats.queued, stats.queued_bytes), (50, 50_000));
    assert_eq!(push.peer_stats()[0].queued_bytes, 50_000);
    assert_eq!((stats.limits.of(Limit::SendBytes), stats.limits.total()), (1, 1));
    assert_eq!(told(&monitor, Limit::SendBytes), 1);
    assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Empty);

    // The mark for messages holds beside it, and exactly.
    let push = to_nobody(&context, &port, |builder| builder.send_hwm(49).send_hwm_bytes(50_000));
    assert_eq!(fill(&push), (49, Refusal::Full));
    let push = to_nobody(&context, &port, |builder| builder.send_hwm(50).send_hwm_bytes(50_000));
    assert_eq!(fill(&push), (50, Refusal::Full));
    assert_eq!(push.stats().limits.total(), 0);
    let push = to_nobody(&context, &port, |builder| builder.send_hwm(5000).send_hwm_bytes(0));
    assert_eq!(fill(&push), (5000, Refusal::Full));
}

#[test]
fn all_queues_together_take_so_many_bytes() {
    let context = Context::new().unwrap();
    let ports = [DeadPort::new(), DeadPort::new(), DeadPort::new(), DeadPort::new()];
    let push = to_nobody(&context, &ports, |builder| builder.max_send_bytes(100_000));
    let (taken, reason) = fill(&push);
    assert!((100..104).contains(&taken), "a message for each beyond: {taken}");
    assert_eq!((reason, push.stats().limits.of(Limit::TotalSendBytes)), (Refusal::FullOfBytes, 1));
    let push = to_nobody(&context, &ports, |builder| builder.max_send_bytes(0).send_hwm_bytes(30_000));
    assert_eq!(fill(&push), (120, Refusal::FullOfBytes));
}

#[test]
fn a_sender_that_waits_for_bytes_is_let_on_when_half_are_written() {
    within(PATIENCE, || {
        for total in [false, true] {
            let context = Context::new().unwrap();
            let builder = context.socket::<Push>().send_buffer(4096);
            let limited =
                if total { builder.max_send_bytes(500_000) } else { builder.send_hwm_bytes(500_000) };
            let push = limited.build().unwrap();
            let mut stalled = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            let body = vec![7; 50_000];
            thread::scope(|scope| {
                let mut sent = 0;
                while push.send_timeout(body.clone(), Duration::from_millis(50)).is_ok() {
                    sent += 1;
                    assert!(push.stats().queued_bytes < 500_000 + 50_009);
                }
                let limit = if total { Limit::TotalSendBytes } else { Limit::SendBytes };
                assert_eq!(push.stats().limits.of(limit), 1);
                let waiting = blocked(scope, || push.send(body.clone()));
                for _ in 0..sent {
                    assert_eq!(stalled.single(), body);
                }
                waiting.join().unwrap().unwrap();
                assert_eq!(stalled.single(), body);
            });
        }
    });
}

#[test]
fn those_who_keep_up_get_their_share_while_others_stand_still() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let push = context.socket::<Push>().max_send_bytes(1_000_000).send_buffer(4096).build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let mut stalled = raw::Peer::dial(&at, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        while push.send_timeout(vec![7; 50_000], Duration::from_millis(50)).is_ok() {}
        assert_eq!(push.stats().limits.of(Limit::TotalSendBytes), 1);
        let for_the_stalled = push.stats().accepted;

        let pull = context.socket::<Pull>().recv_hwm(0).build().unwrap();
        pull.connect(&at).unwrap();
        for number in 0..200 {
            push.send_timeout(sized(number, 50_000), PATIENCE).unwrap();
            assert!(push.stats().queued_bytes < 2_100_000, "{:?}", push.stats());
            if number > 20 {
                assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()).1, number - 21);
            }
        }
        (179..200).for_each(|n| assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()).1, n));
        // It reads again, and is given its turns again.
        let before = push.stats().written;
        (0..for_the_stalled).for_each(|_| assert_eq!(stalled.single(), vec![7; 50_000]));
        eventually("all of it counts as written", || push.stats().queued == 0);
        assert!(push.stats().written > before);
        push.send_timeout("one for each", PATIENCE).unwrap();
        push.send_timeout("one for each", PATIENCE).unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "one for each");
        while stalled.single() != b"one for each" {}
    });
}

/// A publisher with a subscriber that does not read, filled until it counts that as full.
fn stuck(builder: Builder<Pub>) -> (Socket<Pub>, raw::Peer) {
    let publisher = builder.send_hwm(0).send_hwm_bytes(500_000).send_buffer(4096).build().unwrap();
    let mut stalled = raw::Peer::dial(publisher.bind("tcp://127.0.0.1:0").unwrap(), "SUB");
    stalled.write(&raw::subscribe(b""));
    stalled.sync();
    (publisher, stalled)
}

/// Publishes numbered messages until one is given up, or refused.
fn publish_beyond(publisher: &Socket<Pub>) -> (u32, Result<(), Refusal>) {
    for number in 0.. {
        let sent = publisher.try_send(sized(number, 50_000)).map_err(|error| error.reason());
        let full = publisher.stats().limits.of(Limit::SendBytes) > 0;
        if full && (sent.is_err() || publisher.stats().dropped.overflowed > 0 || publisher.stats().peers == 0)
        {
            return (number, sent);
        }
        assert!(publisher.stats().queued_bytes < 550_010);
    }
    unreachable!("it would have no end")
}

#[test]
fn a_publisher_treats_a_queue_full_of_bytes_as_any_full_queue() {
    let context = Context::new().unwrap();
    let builder = || context.socket::<Pub>();

    let (publisher, mut peer) = stuck(builder());
    let (given_up, _) = publish_beyond(&publisher);
    assert_eq!(publisher.stats().limits.of(Limit::SendBytes), 1);
    for number in 0..given_up {
        assert_eq!(number_of(&Message::from(peer.single())).1, number);
    }

    let (publisher, mut peer) = stuck(builder().overflow(Overflow::DropOldest));
    let (newest, _) = publish_beyond(&publisher);
    let dropped = publisher.stats().dropped.overflowed;
    // One that is larger than others takes the place of several.
    publisher.send(sized(newest + 1, 200_000)).unwrap();
    assert!(publisher.stats().dropped.overflowed > dropped);
    assert!(publisher.stats().queued_bytes < 700_000, "{:?}", publisher.stats());
    assert_eq!(publisher.stats().limits.of(Limit::SendBytes), 1, "once, and not for each message");
    while number_of(&Message::from(peer.single())).1 != newest + 1 {}

    let (publisher, _peer) = stuck(builder().overflow(Overflow::Block));
    assert_eq!(publish_beyond(&publisher).1, Err(Refusal::FullOfBytes));
    assert_eq!(publisher.stats().dropped.total(), 0);

    let (publisher, mut peer) = stuck(builder().overflow(Overflow::Disconnect));
    let _severed = publish_beyond(&publisher);
    peer.expect_closed(PATIENCE);
}

#[test]
fn a_subscriber_that_stands_still_keeps_nothing_from_the_others() {
    let context = Context::new().unwrap();
    let publisher = context.socket::<Pub>().max_send_bytes(500_000).send_buffer(4096).build().unwrap();
    let mut stalled = raw::Peer::dial(publisher.bind("tcp://127.0.0.1:0").unwrap(), "SUB");
    stalled.write(&raw::subscribe(b""));
    stalled.sync();
    while publisher.stats().dropped.overflowed == 0 {
        publisher.send(vec![7; 10_000]).unwrap();
    }
    assert_eq!(publisher.stats().limits.of(Limit::TotalSendBytes), 1);
    let subscriber = context.socket::<Sub>().subscribe("").build().unwrap();
    link(&publisher, &subscriber);
    publisher.wait_subscribed(2, PATIENCE).unwrap();
    for number in 0..100 {
        publisher.send(sized(number, 10_000)).unwrap();
        assert_eq!(number_of(&subscriber.recv_timeout(PATIENCE).unwrap()).1, number);
    }
}

#[test]
fn a_router_waits_for_a_peer_that_is_full_of_bytes_and_serves_the_others() {
    let context = Context::new().unwrap();
    let [full, free] = [DeadPort::new(), DeadPort::new()];
    let router = context.socket::<Router>().send_hwm_bytes(10_000).linger(Duration::ZERO).build().unwrap();
    router.connect_as(full.endpoint(), "full").unwrap();
    router.connect_as(free.endpoint(), "free").unwrap();
    let to = |name: &'static str| Message::from([name.as_bytes().to_vec(), vec![7; 991]]);
    (0..10).for_each(|_| router.try_send(to("full")).unwrap());
    assert_eq!(router.try_send(to("full")).unwrap_err().reason(), Refusal::FullOfBytes);
    router.try_send(to("free")).unwrap();
}

#[test]
fn who_stands_still_takes_messages_again_when_all_together_have_room() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let router =
            context.socket::<Router>().max_send_bytes(2_000_000).linger(Duration::ZERO).build().unwrap();
        let (port, others) = (DeadPort::new(), [DeadPort::new(), DeadPort::new(), DeadPort::new()]);
        router.connect_as(port.endpoint(), "reader").unwrap();
        let mut reader = raw::Peer::answer(&port.listen(), "DEALER");
        for (port, name) in others.iter().zip(["away", "b", "c"]) {
            router.connect_as(port.endpoint(), name).unwrap();
        }
        let to = |name: &'static str| Message::from([name.as_bytes().to_vec(), vec![7; 50_000]]);
        (0..16).for_each(|_| router.try_send(to("away")).unwrap());
        let mut sent = 0;
        while router.send_timeout(to("reader"), Duration::from_millis(50)).is_ok() {
            sent += 1;
        }
        // One more is taken by whoever did not know yet, and some if the system has taken some meanwhile.
        assert!((0..5).any(|_| router.try_send(to("away")).is_err()));
        assert_eq!(router.try_send(to("away")).unwrap_err().reason(), Refusal::FullOfBytes);
        router.try_send(to("b")).expect("it has not had its share");
        thread::scope(|scope| {
            let waiting = blocked(scope, || router.send(to("away")));
            (0..sent).for_each(|_| drop(reader.single()));
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(router.stats().limits.of(Limit::TotalSendBytes), 1);
    });
}

#[test]
fn what_only_the_newest_message_is_kept_of_has_no_limit_to_reach() {
    let context = Context::new().unwrap();
    let port = [DeadPort::new(), DeadPort::new()];
    let push =
        to_nobody(&context, &port, |builder| builder.conflate(true).send_hwm_bytes(1).max_send_bytes(1));
    (0..100).for_each(|number| push.try_send(sized(number, 10_000)).unwrap());
    assert_eq!((push.stats().queued, push.stats().limits.total()), (2, 0));

    let pull = context.socket::<Pull>().conflate(true).recv_hwm_bytes(1).max_recv_bytes(1).build().unwrap();
    let mut peer = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
    (0..100).for_each(|number| peer.send(&[&sized(number, 10_000).into_bytes()]));
    peer.sync();
    assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()).1, 99);
    assert_eq!((pull.stats().waiting_bytes, pull.stats().limits.total()), (0, 0));
}

#[test]
fn what_comes_back_from_a_lost_peer_counts_until_it_is_sent() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let port = DeadPort::new();
        let builder =
            context.socket::<Push>().send_hwm_bytes(100_000).linger(Duration::ZERO).send_buffer(4096);
        let push = builder.reconnect_interval(Duration::from_millis(1)).build().unwrap();
        push.connect(port.endpoint()).unwrap();
        let listener = port.listen();
        let peer = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        while push.send_timeout(vec![7; 9991], Duration::from_millis(50)).is_ok() {}
        let queued = push.stats().queued;
        peer.reset();
        eventually("it is gone", || push.stats().peers == 0);
        assert!(push.stats().queued >= queued);
        assert!(push.stats().queued_bytes >= queued * 9991, "{:?}", push.stats());
        let (more, reason) = fill(&push);
        assert!(more <= 60 && reason == Refusal::FullOfBytes, "{more} more");
        let (bytes, queued) = (push.stats().queued_bytes, push.stats().queued as usize);
        assert!(bytes < 120_000);
        let mut peer = raw::Peer::answer(&listener, "PULL");
        (0..queued).for_each(|_| drop(peer.single()));
        eventually("all is sent", || push.stats().queued_bytes == 0);
        push.send_timeout("there is room again", PATIENCE).unwrap();
    });
}

#[test]
fn subscriptions_that_nobody_hears_of_are_too_many_at_last() {
    let context = Context::new().unwrap();
    let topic = |n: u32| [&n.to_be_bytes()[..], &[7; 1000]].concat();
    let publisher = context.socket::<XPub>().max_recv_bytes(50_000).build().unwrap();
    let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
    let mut peer = raw::Peer::dial(&at, "SUB");
    (0..1000).for_each(|n| peer.write(&raw::subscribe(&topic(n))));
    eventually("they are too many", || publisher.stats().limits.of(Limit::TotalRecvBytes) == 1);
    assert!(publisher.stats().waiting_bytes < 50_000 + 2 * 65_536, "{:?}", publisher.stats());
    for n in 0..1000 {
        assert_eq!(publisher.recv_timeout(PATIENCE).unwrap(), [vec![1], topic(n)].concat());
    }

    let topic = |n: u32| [&n.to_be_bytes()[..], &[7; 15_900]].concat();
    let publisher = context.socket::<XPub>().recv_hwm(1).build().unwrap();
    let subscriber = context.socket::<XSub>().build().unwrap();
    link(&publisher, &subscriber);
    (0..1200).for_each(|n| subscriber.subscribe(topic(n)).unwrap());
    eventually("they are too many", || publisher.stats().limits.of(Limit::RecvBytes) == 1);
    for n in 0..1200 {
        assert_eq!(publisher.recv_timeout(PATIENCE).unwrap(), [vec![1], topic(n)].concat());
    }
}

#[test]
fn both_directions_have_limits_of_their_own() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let make = || {
            let builder = context.socket::<Pair>().send_hwm_bytes(3000).recv_hwm_bytes(3000);
            builder.max_send_bytes(2000).max_recv_bytes(2000).build().unwrap()
        };
        for at in ["tcp://127.0.0.1:0", "inproc://pairs"] {
            let (one, other) = (make(), make());
            other.connect(one.bind(at).unwrap()).unwrap();
            one.wait_connected(1, PATIENCE).unwrap();
            thread::scope(|scope| {
                for (ours, theirs) in [(&one, &other), (&other, &one)] {
                    scope.spawn(|| (0..300).for_each(|n| ours.send(sized(n, 1000)).unwrap()));
                    scope.spawn(|| receive_all(theirs, 1, 300));
                }
            });
            for socket in [&one, &other] {
                assert_eq!((socket.stats().queued_bytes, socket.stats().waiting_bytes), (0, 0));
            }
        }
    });
}

/// Each leaves little behind, but who connects for a single message over and over shall not take more than is allowed.
#[test]
fn what_is_kept_of_peers_that_are_gone_counts() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().max_recv_bytes(50_000).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        for number in 1..=40 {
            raw::Peer::dial(&at, "PUSH").send(&[b"x"]);
            eventually("it has come and gone", || {
                let stats = pull.stats();
                (stats.waiting, stats.peers) == (number, 0)
            });
        }
        assert_eq!(pull.stats().waiting_bytes, 40 * (72 + 1024));
        // The next ones come to a socket that is full before long, and wait.
        let _others: Vec<raw::Peer> = (0..20)
            .map(|_| {
                let mut peer = raw::Peer::dial(&at, "PUSH");
                peer.send(&[&[7; 2000]]);
                peer
            })
            .collect();
        pull.wait_connected(20, PATIENCE).unwrap();
        eventually("it is full", || pull.stats().limits.of(Limit::TotalRecvBytes) > 0);
        assert!(pull.stats().waiting_bytes < 50_000 + 2 * 2072);
        (0..60).for_each(|_| _ = pull.recv().unwrap());
        assert_eq!((pull.stats().waiting_bytes, pull.stats().discarded), (0, 0));
    });
}
