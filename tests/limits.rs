//! What peers can take of a socket is limited, and each limit that is reached is counted and told.

mod common;

use std::collections::HashSet;
use std::net::TcpListener;
use std::time::Duration;

use common::raw::{self, MORE, frame, long_frame, property};
use common::{PATIENCE, eventually, reached, resident, trouble};
use ferromq::{Context, End, Event, Limit, Pub, Publishes, Pull, Socket, Violation, XPub, XSub};

#[test]
fn a_message_that_is_too_large_is_counted_and_told_before_its_connection_ends() {
    let context = Context::new().unwrap();
    let pull = context.socket::<Pull>().max_message_size(1000).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut peer = raw::Peer::dial(&at, "PUSH");
    let address = peer.0.local_addr().unwrap();
    peer.write(&long_frame(0, &[0; 1001]));

    let culprit = reached(&monitor, Limit::MessageSize);
    assert_eq!(culprit.address.unwrap().to_string(), format!("tcp://{address}"));
    assert!(matches!(trouble(&monitor), Event::Disconnected { why: End::Violation(_), .. }));
    let limits = pull.stats().limits;
    assert_eq!((limits.of(Limit::MessageSize), limits.total()), (1, 1));
}

/// What a PULL with these limits says of what a peer sends.
fn refused(octets: &[u8]) -> (Limit, Violation) {
    let context = Context::new().unwrap();
    let builder = context.socket::<Pull>().max_frame_size(1000).max_message_size(1500).max_message_parts(3);
    let pull = builder.build().unwrap();
    let monitor = pull.monitor();
    let mut peer = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
    peer.write(&raw::message(&[b"a", &[0; 1000], b"b"]));
    peer.write(octets);
    let Event::LimitReached { limit, .. } = trouble(&monitor) else { panic!("no limit was reached") };
    let Event::Disconnected { why: End::Violation(violation), .. } = trouble(&monitor) else {
        panic!("it stays")
    };
    peer.expect_closed(PATIENCE);
    assert_eq!((pull.stats().limits.of(limit), pull.stats().limits.total()), (1, 1));
    assert_eq!(pull.recv_timeout(PATIENCE).unwrap().len(), 3, "what was within them is received");
    assert!(pull.try_recv().is_err());
    (limit, violation)
}

#[test]
fn parts_have_a_size_and_a_number_of_their_own() {
    let large = (Limit::FrameSize, Violation::FrameTooLarge { limit: 1000 });
    // Nothing of the body has to come: the size is enough.
    let size = [&[raw::LONG][..], &1001u64.to_be_bytes()].concat();
    assert_eq!(refused(&size), large);
    assert_eq!(refused(&[frame(MORE, b"first"), size].concat()), large);
    let all = [long_frame(MORE, &[0; 1000]), vec![raw::LONG], 501u64.to_be_bytes().to_vec()].concat();
    assert_eq!(refused(&all), (Limit::MessageSize, Violation::MessageTooLarge { limit: 1500 }));
    let many = frame(MORE, b"").repeat(4);
    assert_eq!(refused(&many), (Limit::MessageParts, Violation::TooManyParts { limit: 3 }));
}

/// Has a peer subscribe to more topics than it may.
fn oversubscribe<T: Publishes>(socket: &Socket<T>, limit: Limit, topic: impl Fn(u8) -> Vec<u8>, most: u8) {
    let monitor = socket.monitor();
    let at = socket.bind("tcp://127.0.0.1:0").unwrap();
    let mut honest = raw::Peer::dial(&at, "SUB");
    honest.write(&raw::subscribe(b"A"));
    let mut peer = raw::Peer::dial(&at, "SUB");
    (0..most).for_each(|n| peer.write(&raw::subscribe(&topic(n))));
    peer.write(&raw::subscribe(&topic(0)));
    peer.sync();
    assert_eq!(socket.stats().limits.total(), 0, "so many are allowed");
    peer.write(&raw::subscribe(&topic(most)));
    reached(&monitor, limit);
    assert!(matches!(trouble(&monitor), Event::Disconnected { why: End::HungUp, .. }));
    peer.expect_closed(PATIENCE);
    honest.sync();
    assert_eq!((socket.stats().limits.of(limit), socket.stats().peers), (1, 1), "others are not concerned");
}

#[test]
fn who_subscribes_to_too_much_is_disconnected() {
    let short = |n| vec![n];
    let long = |n| vec![n; 1000];
    let context = Context::new().unwrap();
    let publisher = context.socket::<Pub>().max_subscriptions(10).build().unwrap();
    oversubscribe(&publisher, Limit::Subscriptions, short, 10);
    let publisher = context.socket::<XPub>().max_subscriptions(10).build().unwrap();
    oversubscribe(&publisher, Limit::Subscriptions, short, 10);
    let publisher = context.socket::<Pub>().max_topic_bytes(10_000).build().unwrap();
    oversubscribe(&publisher, Limit::TopicBytes, long, 9);
    let publisher = context.socket::<XPub>().max_topic_bytes(10_000).manual(true).build().unwrap();
    oversubscribe(&publisher, Limit::TopicBytes, long, 9);
}

#[test]
fn a_handshake_that_is_too_slow_or_too_large_is_counted_and_told() {
    let context = Context::new().unwrap();
    let slow = Duration::from_millis(50);
    let pull = context.socket::<Pull>().handshake_timeout(slow).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();

    let _silent = raw::Peer::connect(&at);
    reached(&monitor, Limit::HandshakeTime);
    assert!(matches!(trouble(&monitor), Event::HandshakeFailed { .. }));

    let large = raw::command("READY", &property("X-Large", &[0; 10_000]));
    raw::Peer::connect(&at).write(&[raw::greeting(3, 1, "NULL"), large].concat());
    reached(&monitor, Limit::HandshakeSize);
    eventually("both are counted", || pull.stats().limits.total() == 2);
}

/// Each pair says nothing in the end, but takes memory until it is read.
#[test]
fn who_does_not_read_what_is_subscribed_to_is_disconnected() {
    let context = Context::new().unwrap();
    let sub = context.socket::<XSub>().send_hwm_bytes(1 << 20).send_buffer(10_000).build().unwrap();
    let monitor = sub.monitor();
    let at = sub.bind("tcp://127.0.0.1:0").unwrap();
    let _stalled = raw::Peer::dial(&at, "XPUB");
    sub.wait_connected(1, PATIENCE).unwrap();
    let before = resident();
    for _ in 0..10_000 {
        sub.subscribe(vec![b'x'; 10_000]).unwrap();
        sub.unsubscribe(vec![b'x'; 10_000]).unwrap();
    }
    let grown = resident().saturating_sub(before);
    // What other tests of this file take meanwhile is in it, too.
    assert!(grown < 150 << 20, "{} MiB", grown >> 20);
    reached(&monitor, Limit::SendBytes);
    assert!(matches!(trouble(&monitor), Event::Disconnected { why: End::HungUp, .. }));
    assert_eq!(sub.stats().limits.total(), 1);

    // What a connection begins with has no limit: it is what the user has asked for.
    (0..200).for_each(|n| sub.subscribe(vec![n; 10_000]).unwrap());
    let mut honest = raw::Peer::dial(&at, "XPUB");
    let told: HashSet<u8> = (0..200).filter_map(|_| honest.frame().body.last().copied()).collect();
    assert_eq!(told.len(), 200);
    assert_eq!((sub.stats().limits.total(), sub.stats().peers), (1, 1));
}

/// They wait for the end of the message that is half written, and count meanwhile.
#[test]
fn subscriptions_behind_a_large_message_count() {
    let context = Context::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sub = context.socket::<XSub>().send_hwm_bytes(1 << 20).linger(Duration::ZERO).build().unwrap();
    sub.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    let mut peer = raw::Peer::answer(&listener, "XPUB");
    sub.wait_connected(1, PATIENCE).unwrap();
    sub.send(vec![9; 40 << 20]).unwrap();
    for gulp in 0..4 {
        // Less than is allowed, each time.
        (0..700_u32).for_each(|n| sub.subscribe([&[gulp; 1000][..], &n.to_be_bytes()].concat()).unwrap());
        if sub.stats().limits.of(Limit::SendBytes) > 0 {
            break;
        }
        peer.read(7 << 20);
    }
    assert_eq!(sub.stats().limits.of(Limit::SendBytes), 1);
}

/// However small the limit: with nothing before it, one may always be said.
#[test]
fn a_single_subscription_is_never_too_much() {
    let context = Context::new().unwrap();
    let publisher = context.socket::<XPub>().build().unwrap();
    let sub = context.socket::<XSub>().send_hwm_bytes(1).build().unwrap();
    sub.connect(publisher.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    sub.wait_connected(1, PATIENCE).unwrap();
    for topic in ["a", "b", "c"] {
        sub.subscribe(topic).unwrap();
        assert_eq!(publisher.recv_timeout(PATIENCE).unwrap().byte_len(), 2);
    }
    assert_eq!((sub.stats().reconnects, sub.stats().limits.total()), (0, 0));
}
