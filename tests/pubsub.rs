//! PUB and SUB: who gets what is published, and what is said on the wire about it.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{PATIENCE, eventually, link, raw, within};
use ferromq::{Context, Message, Pub, RecvError, Socket, Sub, SubscribeError, WaitError};

const SOON: Duration = Duration::from_millis(10);

/// A SUB with these subscriptions, connected to a PUB that knows of them.
fn publish_to(ctx: &Context, topics: &[&'static str]) -> (Socket<Pub>, Socket<Sub>) {
    let publisher = ctx.socket::<Pub>().build().unwrap();
    let sub = topics.iter().fold(ctx.socket::<Sub>(), |builder, topic| builder.subscribe(*topic));
    let sub = sub.build().unwrap();
    link(&publisher, &sub);
    publisher.wait_subscribed(usize::from(!topics.is_empty()), PATIENCE).unwrap();
    (publisher, sub)
}

#[track_caller]
fn next(sub: &Socket<Sub>) -> Message {
    sub.recv_timeout(PATIENCE).unwrap()
}

/// The connection of a SUB to a publisher by hand.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, at)
}

#[track_caller]
fn expect(peer: &mut raw::Peer, command: &[u8]) {
    assert_eq!(peer.read(command.len()), command);
}

#[test]
fn the_first_part_decides_by_its_beginning() {
    within(PATIENCE, || {
        let (publisher, sub) = publish_to(&Context::new().unwrap(), &["A", "BC"]);
        for message in [["A", "x"], ["AB", "x"], ["x", "A"], ["B", "A"], ["BCD", ""], ["", "A"], ["A", "end"]]
        {
            publisher.send(message).unwrap();
        }
        for message in [["A", "x"], ["AB", "x"], ["BCD", ""], ["A", "end"]] {
            assert_eq!(next(&sub), Message::from(message));
        }
        assert_eq!(sub.try_recv(), Err(RecvError::Empty));
        assert_eq!(publisher.stats().dropped.unsubscribed, 3);
        assert_eq!(sub.stats().discarded, 0, "what nobody wants is not even sent");
    });
}

#[test]
fn without_a_subscription_nothing_comes_and_with_the_empty_one_everything() {
    within(PATIENCE, || {
        let (publisher, sub) = publish_to(&Context::new().unwrap(), &[]);
        publisher.send("unheard").unwrap();
        publisher.send(Message::new()).unwrap();
        assert_eq!(publisher.stats().dropped.unsubscribed, 2);
        sub.subscribe("").unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        publisher.send("heard").unwrap();
        publisher.send(Message::new()).unwrap();
        assert_eq!(next(&sub), "heard");
        assert_eq!(next(&sub), Message::new());
    });
}

#[test]
fn topics_that_overlap_bring_a_message_once() {
    within(PATIENCE, || {
        let (publisher, sub) = publish_to(&Context::new().unwrap(), &["", "A", "AB", "ABC"]);
        publisher.send("ABCD").unwrap();
        publisher.send("end").unwrap();
        assert_eq!((next(&sub), next(&sub)), ("ABCD".into(), "end".into()));
        let stats = publisher.stats();
        assert_eq!((stats.accepted, stats.copied), (2, 0), "one subscriber, one copy");
    });
}

#[test]
fn each_subscriber_has_its_own_copy_and_they_are_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, first) = publish_to(&ctx, &["A"]);
        let second = ctx.socket::<Sub>().subscribe("A").build().unwrap();
        link(&publisher, &second);
        publisher.wait_subscribed(2, PATIENCE).unwrap();
        publisher.send("A").unwrap();
        assert_eq!((next(&first), next(&second)), ("A".into(), "A".into()));
        let stats = publisher.stats();
        assert_eq!((stats.accepted, stats.copied), (1, 1));
        eventually("both are written", || publisher.stats().written == 2);
    });
}

#[test]
fn the_subscriber_counts_and_cancels_once_when_the_last_is_taken_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (listener, at) = listen();
        let sub = ctx.socket::<Sub>().build().unwrap();
        sub.connect(at).unwrap();
        let mut publisher = raw::Peer::answer(&listener, "PUB");
        sub.wait_connected(1, PATIENCE).unwrap();
        sub.subscribe("A").unwrap();
        sub.subscribe("A").unwrap();
        expect(&mut publisher, &[raw::subscribe(b"A"), raw::subscribe(b"A")].concat());
        sub.unsubscribe("A").unwrap();
        sub.unsubscribe("never").unwrap();
        publisher.send(&[b"A1"]);
        assert_eq!(next(&sub), "A1");
        sub.unsubscribe("A").unwrap();
        sub.unsubscribe("A").unwrap();
        sub.subscribe("end").unwrap();
        expect(&mut publisher, &[raw::cancel(b"A"), raw::subscribe(b"end")].concat());
        publisher.send(&[b"A2"]);
        publisher.send(&[b"end"]);
        assert_eq!(next(&sub), "end", "what is on its way when a subscription ends is filtered");
        assert_eq!(sub.stats().discarded, 1);
    });
}

#[test]
fn the_publisher_forgets_a_topic_of_a_peer_at_its_first_cancel() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let (mut one, mut other) = (raw::Peer::dial(&at, "SUB"), raw::Peer::dial(&at, "SUB"));
        one.write(&[raw::subscribe(b"A"), raw::subscribe(b"A"), raw::subscribe(b"Z")].concat());
        other.write(&raw::subscribe(b"A"));
        publisher.wait_subscribed(2, PATIENCE).unwrap();
        // Ends before it began, twice, and once more: nothing goes below zero.
        one.write(&[raw::cancel(b"none"), raw::cancel(b"A"), raw::cancel(b"A"), raw::cancel(b"A")].concat());
        one.sync();
        other.sync();
        publisher.send("A").unwrap();
        publisher.send("Z").unwrap();
        assert_eq!(one.single(), b"Z");
        assert_eq!(other.single(), b"A", "others keep theirs");
    });
}

#[test]
fn subscriptions_are_told_once_each_to_every_connection() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (listener, at) = listen();
        let sub = ctx.socket::<Sub>().subscribe("A").subscribe("A").reconnect_interval(SOON).build().unwrap();
        sub.subscribe("B").unwrap();
        sub.subscribe("gone").unwrap();
        sub.unsubscribe("gone").unwrap();
        sub.connect(&at).unwrap();
        for _ in 0..3 {
            let mut publisher = raw::Peer::answer(&listener, "PUB");
            expect(&mut publisher, &[raw::subscribe(b"A"), raw::subscribe(b"B")].concat());
            publisher.send(&[b"A"]);
            assert_eq!(next(&sub), "A");
        }
        let (later, later_at) = listen();
        sub.connect(later_at).unwrap();
        let mut publisher = raw::Peer::answer(&later, "XPUB");
        expect(&mut publisher, &[raw::subscribe(b"A"), raw::subscribe(b"B")].concat());
        publisher.ping(b"");
        publisher.expect_pong(b"");
    });
}

#[test]
fn five_thousand_topics_before_the_connection_are_all_kept() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let sub = ctx.socket::<Sub>().recv_hwm(0).build().unwrap();
        (0..5000).for_each(|n| sub.subscribe(format!("topic {n};")).unwrap());
        let publisher = ctx.socket::<Pub>().send_hwm(0).build().unwrap();
        link(&publisher, &sub);
        // They come in some order; the last one to be known makes all known.
        let mut missing: Vec<_> = (0..5000).collect();
        eventually("all are known", || {
            missing.retain(|n| {
                let before = publisher.stats().dropped.unsubscribed;
                publisher.send(format!("topic {n};")).unwrap();
                publisher.stats().dropped.unsubscribed > before
            });
            missing.is_empty()
        });
        let mut heard: Vec<_> =
            (0..5000).map(|_| String::from_utf8(next(&sub).into_bytes().to_vec()).unwrap()).collect();
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), 5000);
    });
}

#[test]
fn what_a_publisher_sends_unasked_is_filtered_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (listener, at) = listen();
        let sub = ctx.socket::<Sub>().subscribe("A").build().unwrap();
        sub.connect(at).unwrap();
        let mut rogue = raw::Peer::answer(&listener, "PUB");
        rogue.send(&[b"B"]);
        rogue.send(&[b"", b"A"]);
        rogue.send(&[b"A", b"wanted"]);
        assert_eq!(next(&sub), Message::from(["A", "wanted"]));
        let stats = sub.stats();
        assert_eq!((stats.received, stats.delivered, stats.discarded, stats.waiting), (3, 1, 2, 0));
    });
}

#[test]
fn publishers_of_zmtp_3_0_are_told_by_messages_and_those_of_3_1_by_commands() {
    within(PATIENCE, || {
        for (minor, len) in [0, 1].into_iter().flat_map(|minor| {
            [0, 1, 244, 245, 246, 248, 249, 253, 254, 255, 256, 300, 16_000].map(|len| (minor, len))
        }) {
            let ctx = Context::new().unwrap();
            let (listener, at) = listen();
            let sub = ctx.socket::<Sub>().build().unwrap();
            sub.connect(at).unwrap();
            let mut publisher = raw::Peer::accept(&listener);
            publisher.write(&[raw::greeting(3, minor, "NULL"), raw::ready("PUB")].concat());
            publisher.read_handshake();
            sub.wait_connected(1, PATIENCE).unwrap();
            let topic = vec![b't'; len];
            sub.subscribe(topic.clone()).unwrap();
            let said = |on: u8| match (minor, on) {
                (0, _) => raw::frame(0, &[&[on], &topic[..]].concat()),
                (_, 1) => raw::subscribe(&topic),
                _ => raw::cancel(&topic),
            };
            expect(&mut publisher, &said(1));
            publisher.send(&[&[&topic[..], b"!"].concat()]);
            assert_eq!(next(&sub).byte_len(), len + 1);
            sub.unsubscribe(topic.clone()).unwrap();
            expect(&mut publisher, &said(0));
        }
    });
}

#[test]
fn publishers_understand_both_ways_to_subscribe_from_everybody() {
    within(PATIENCE, || {
        for (minor, len) in [0, 1]
            .into_iter()
            .flat_map(|minor| [0, 1, 245, 246, 248, 249, 254, 255, 300].map(|len| (minor, len)))
        {
            let ctx = Context::new().unwrap();
            let publisher = ctx.socket::<Pub>().build().unwrap();
            let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
            let topic = vec![b't'; len];
            let forms = [
                (raw::subscribe(&topic), raw::cancel(&topic)),
                (
                    raw::frame(0, &[b"\x01", &topic[..]].concat()),
                    raw::frame(0, &[b"\x00", &topic[..]].concat()),
                ),
            ];
            for (on, off) in forms {
                let mut peer = raw::Peer::connect(&at);
                peer.write(&[raw::greeting(3, minor, "NULL"), raw::ready("SUB"), on].concat());
                peer.read_handshake();
                publisher.wait_subscribed(1, PATIENCE).unwrap();
                publisher.send([&topic[..], b"!"].concat()).unwrap();
                assert_eq!(peer.single().len(), len + 1);
                peer.write(&off);
                peer.sync();
                publisher.send([&topic[..], b"!"].concat()).unwrap();
                peer.sync();
                drop(peer);
                eventually("it is gone", || publisher.stats().peers == 0);
            }
        }
    });
}

#[test]
fn odd_forms_of_subscriptions_do_no_harm() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "SUB");
        peer.write(b"\x00\x00"); // nothing at all
        peer.write(b"\x00\x01\x02"); // neither on nor off
        peer.write(b"\x01\x02\x01A\x00\x02\x01B"); // two in one message
        peer.send(&[b"data", b"of two parts"]);
        peer.sync();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        for message in ["A", "B", "C"] {
            publisher.send(message).unwrap();
        }
        assert_eq!((peer.single(), peer.single()), (b"A".to_vec(), b"B".to_vec()));
        peer.write(b"\x00\x01\x01"); // all
        peer.sync();
        publisher.send("C").unwrap();
        assert_eq!(peer.single(), b"C");
        peer.write(b"\x00\x01\x00"); // and not all
        peer.sync();
        publisher.send("C").unwrap();
        peer.sync();
        let stats = publisher.stats();
        assert_eq!((stats.received, stats.discarded), (3, 3), "messages are counted and not their parts");
    });
}

#[test]
fn data_from_subscribers_is_thrown_away() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "XSUB");
        let data = vec![b'd'; 60_000];
        for _ in 0..500 {
            peer.send(&[&data]);
        }
        peer.write(&raw::subscribe(b"A"));
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        publisher.send("A").unwrap();
        assert_eq!(peer.single(), b"A");
        let stats = publisher.stats();
        assert_eq!((stats.received, stats.discarded, stats.waiting), (500, 500, 0));
    });
}

#[test]
fn a_subscriber_that_does_not_read_loses_messages_and_others_lose_none() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().send_hwm(10).send_buffer(4096).build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let mut stuck = raw::Peer::dial(&at, "SUB");
        stuck.write(&raw::subscribe(b""));
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        sub.connect(&at).unwrap();
        publisher.wait_subscribed(2, PATIENCE).unwrap();
        for number in 0..2000_u32 {
            publisher.send([&number.to_be_bytes()[..], &[0; 10_000]].concat()).unwrap();
            assert_eq!(next(&sub).part(0).unwrap()[..4], number.to_be_bytes());
        }
        let stats = publisher.stats();
        assert!(stats.dropped.overflowed > 1000, "{stats:?}");
        assert!(stats.queued <= 10, "{stats:?}");
        // What it did get is a beginning, whole and in order.
        let mut got = Vec::new();
        for _ in 0..10 {
            got.push(u32::from_be_bytes(stuck.single()[..4].try_into().unwrap()));
        }
        assert_eq!(got, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn what_a_subscriber_reads_makes_room() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().send_hwm(11_024).build().unwrap();
        let sub = ctx.socket::<Sub>().recv_hwm(11_024).subscribe("").build().unwrap();
        link(&publisher, &sub);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        for (count, start) in [(9999, 0), (1100, 9999)] {
            (start..start + count).for_each(|n: u32| publisher.send(n.to_be_bytes().to_vec()).unwrap());
            (start..start + count).for_each(|n| assert_eq!(next(&sub), n.to_be_bytes()));
        }
        assert_eq!(publisher.stats().dropped.total(), 0);
    });
}

#[test]
fn a_subscriber_that_joins_between_the_parts_gets_whole_messages_only() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = &ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let stop = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    publisher.send(["head", "", "tail"]).unwrap();
                }
            });
            for _ in 0..50 {
                let mut peer = raw::Peer::dial(&at, "SUB");
                peer.write(&raw::subscribe(b""));
                for _ in 0..5 {
                    assert_eq!(peer.message().unwrap(), [&b"head"[..], b"", b"tail"]);
                }
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
    });
}

#[test]
fn a_publisher_may_dial() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = common::DeadPort::new();
        let publisher = ctx.socket::<Pub>().reconnect_interval(SOON).build().unwrap();
        publisher.connect(port.endpoint()).unwrap();
        publisher.send("too early").unwrap();
        assert_eq!(publisher.stats().dropped.unsubscribed, 1);
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        let at = sub.bind(port.release()).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        publisher.send("in time").unwrap();
        assert_eq!(next(&sub), "in time");
        // And again when the subscriber was away: its subscriptions had ended.
        sub.unbind(&at).unwrap();
        eventually("it is lost", || publisher.stats().peers == 0);
        publisher.send("meanwhile").unwrap();
        assert_eq!(publisher.stats().dropped.unsubscribed, 2);
        sub.bind(&at).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        publisher.send("back").unwrap();
        assert_eq!(next(&sub), "back");
    });
}

#[test]
fn a_wait_for_subscribers_ends_when_they_are_there_or_the_time_is_over_or_the_socket_closed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, sub) = publish_to(&ctx, &[]);
        assert_eq!(publisher.wait_subscribed(1, SOON), Err(WaitError::TimedOut));
        std::thread::scope(|scope| {
            let waiting = common::blocked(scope, || publisher.wait_subscribed(1, PATIENCE));
            sub.subscribe("A").unwrap();
            assert_eq!(waiting.join().unwrap(), Ok(()));
            let waiting = common::blocked(scope, || publisher.wait_subscribed(2, PATIENCE));
            let under_an_executor =
                common::blocked(scope, || futures_executor::block_on(publisher.wait_subscribed_async(2)));
            drop(publisher.close(Duration::ZERO));
            assert_eq!(waiting.join().unwrap(), Err(WaitError::Closed));
            assert_eq!(under_an_executor.join().unwrap(), Err(WaitError::Closed));
        });
    });
}

#[test]
fn inverted_matching_reverses_who_gets_what() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().invert_matching(true).build().unwrap();
        let sub = ctx.socket::<Sub>().invert_matching(true).subscribe("A").build().unwrap();
        link(&publisher, &sub);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        for message in ["A", "AB", "B", "", "end"] {
            publisher.send(message).unwrap();
        }
        assert_eq!((next(&sub), next(&sub), next(&sub)), ("B".into(), "".into(), "end".into()));
        assert_eq!(publisher.stats().dropped.unsubscribed, 2);
    });
}

#[test]
fn very_long_topics_and_very_many_of_them_are_no_burden() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let (publisher, sub) = (publisher, ctx.socket::<Sub>().subscribe("good").build().unwrap());
        sub.connect(&at).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        let long = vec![b'x'; 60_000];
        let mut peer = raw::Peer::dial(&at, "SUB");
        peer.send(&[&[b"\x01", &long[..]].concat()]); // the old form, for a command has a limit of its own
        for len in (1..2000).step_by(7) {
            peer.write(&raw::subscribe(&long[..len])); // each the beginning of the next
        }
        let flood: Vec<u8> = (0..50_000_u32).flat_map(|n| raw::subscribe(&n.to_be_bytes())).collect();
        peer.write(&flood);
        peer.sync();
        publisher.send(vec![b'x'; 100_000]).unwrap();
        assert_eq!(peer.single().len(), 100_000, "once, whatever the number of its topics");
        publisher.send(49_999_u32.to_be_bytes().to_vec()).unwrap();
        assert_eq!(peer.single(), 49_999_u32.to_be_bytes());
        peer.reset();
        eventually("it is gone", || publisher.stats().peers == 1);
        publisher.send("good").unwrap();
        assert_eq!(next(&sub), "good");
    });
}

#[test]
fn a_subscription_fails_when_its_topic_is_too_long_or_the_socket_closed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let sub = ctx.socket::<Sub>().build().unwrap();
        sub.subscribe(vec![0; 16_000]).unwrap();
        let too_long = Err(SubscribeError::TooLong { limit: 16_000 });
        assert_eq!(sub.subscribe(vec![0; 16_001]), too_long);
        assert_eq!(sub.unsubscribe(vec![0; 16_001]), too_long);
        let error = ctx.socket::<Sub>().subscribe(vec![0; 16_001]).build().unwrap_err();
        assert!(error.to_string().contains("subscribe"), "{error}");
        drop(sub.close(Duration::ZERO));
        assert_eq!(sub.subscribe("A"), Err(SubscribeError::Closed));
        assert_eq!(sub.unsubscribe("A"), Err(SubscribeError::Closed));
    });
}

#[test]
fn subscriptions_are_back_before_what_a_restarted_publisher_publishes() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let sub =
            ours.socket::<Sub>().subscribe("A").subscribe("B").reconnect_interval(SOON).build().unwrap();
        let mut publisher = theirs.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        sub.connect(&at).unwrap();
        for life in 0..10 {
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            // Subscriptions come in one go, and messages after them.
            eventually("both subscriptions are known", || {
                let before = publisher.stats().dropped.unsubscribed;
                publisher.send(["B", "probe"]).unwrap();
                publisher.stats().dropped.unsubscribed == before
            });
            let life = Message::from(["A", &life.to_string()]);
            publisher.send(life.clone()).unwrap();
            let mut message = next(&sub);
            while message == Message::from(["B", "probe"]) {
                message = next(&sub);
            }
            assert_eq!(message, life);
            drop(publisher.close(Duration::ZERO));
            publisher = theirs.socket::<Pub>().build().unwrap();
            assert_eq!(publisher.bind(&at).unwrap(), at);
        }
    });
}
