//! XPUB and XSUB: subscriptions that the application sees, and may decide on.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{PATIENCE, blocked, eventually, link, raw, within};
use ferromq::{
    Context, Endpoint, Message, Overflow, RecvError, Refusal, Socket, Sub, SubscribeError, Verbosity,
    WaitError, XPub, XPubEvent, XSub,
};

const SOON: Duration = Duration::from_millis(10);

fn bound(ctx: &Context) -> (Socket<XPub>, Endpoint) {
    bound_with(ctx, Verbosity::Changes)
}

fn bound_with(ctx: &Context, verbosity: Verbosity) -> (Socket<XPub>, Endpoint) {
    let xpub = ctx.socket::<XPub>().verbosity(verbosity).build().unwrap();
    let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
    (xpub, at)
}

fn manual(ctx: &Context) -> (Socket<XPub>, Endpoint) {
    let xpub = ctx.socket::<XPub>().manual(true).build().unwrap();
    let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
    (xpub, at)
}

#[track_caller]
fn event(xpub: &Socket<XPub>) -> XPubEvent {
    xpub.recv_timeout(PATIENCE).unwrap().into()
}

fn on(topic: &str) -> XPubEvent {
    XPubEvent::Subscribe(topic.to_owned().into())
}

fn off(topic: &str) -> XPubEvent {
    XPubEvent::Unsubscribe(topic.to_owned().into())
}

#[track_caller]
fn expect(xpub: &Socket<XPub>, events: &[XPubEvent]) {
    let came: Vec<_> = events.iter().map(|_| event(xpub)).collect();
    assert_eq!(came, events);
}

/// Has a peer by hand say something, and waits until that is taken in.
#[track_caller]
fn say(peer: &mut raw::Peer, what: &[&[u8]]) {
    peer.write(&what.concat());
    peer.sync();
}

fn two_subscribers(verbosity: Verbosity) -> Vec<XPubEvent> {
    let ctx = Context::new().unwrap();
    let (xpub, at) = bound_with(&ctx, verbosity);
    let (mut one, mut other) = (raw::Peer::dial(&at, "SUB"), raw::Peer::dial(&at, "SUB"));
    let (on, off) = (raw::subscribe(b"A"), raw::cancel(b"A"));
    say(&mut one, &[&on]);
    say(&mut one, &[&on]);
    say(&mut other, &[&on]);
    say(&mut one, &[&off]);
    say(&mut one, &[&off]); // it had only one, as sets go
    say(&mut other, &[&off]);
    say(&mut one, &[&raw::subscribe(b"end")]);
    let mut events = Vec::new();
    // What came from either peer waits in a queue of its own, so only the number of each kind is certain.
    while !events.contains(&self::on("end")) {
        events.push(event(&xpub));
    }
    while let Ok(message) = xpub.try_recv() {
        events.push(message.into());
    }
    events.retain(|event| *event != self::on("end"));
    events.sort_by_key(|event| *event == self::off("A"));
    events
}

#[test]
fn the_application_hears_of_the_first_subscription_and_of_the_end_of_the_last() {
    within(PATIENCE, || assert_eq!(two_subscribers(Verbosity::Changes), [on("A"), off("A")]));
}

#[test]
fn a_verbose_one_hears_of_every_subscription() {
    within(PATIENCE, || {
        assert_eq!(two_subscribers(Verbosity::Subscriptions), [on("A"), on("A"), on("A"), off("A")]);
    });
}

#[test]
fn a_very_verbose_one_hears_of_every_end_as_well() {
    within(PATIENCE, || {
        assert_eq!(two_subscribers(Verbosity::All), [on("A"), on("A"), on("A"), off("A"), off("A")]);
    });
}

#[test]
fn the_loss_of_a_subscriber_ends_what_nobody_else_has() {
    within(PATIENCE, || {
        for (verbosity, ends) in [
            (Verbosity::Changes, vec![off("B")]),
            (Verbosity::Subscriptions, vec![off("B")]),
            (Verbosity::All, vec![off("A"), off("B")]),
        ] {
            let ctx = Context::new().unwrap();
            let (xpub, at) = bound_with(&ctx, verbosity);
            let (mut one, mut other) = (raw::Peer::dial(&at, "SUB"), raw::Peer::dial(&at, "SUB"));
            say(&mut one, &[&raw::subscribe(b"A"), &raw::subscribe(b"B")]);
            expect(&xpub, &[on("A"), on("B")]);
            say(&mut other, &[&raw::subscribe(b"A")]);
            if verbosity != Verbosity::Changes {
                expect(&xpub, &[on("A")]);
            }
            one.reset();
            expect(&xpub, &ends);
            drop(other);
            expect(&xpub, &[off("A")]);
            assert_eq!(xpub.try_recv(), Err(RecvError::Empty));
        }
    });
}

/// The subscription is read after the connection has been found to be broken.
#[test]
fn a_subscription_does_not_outlive_the_connection_it_came_on() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let xpub = ctx.socket::<XPub>().recv_hwm(1).send_hwm(0).linger(Duration::ZERO);
        let xpub = xpub.reconnect_interval(SOON).build().unwrap();
        xpub.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let mut first = raw::Peer::answer(&listener, "XSUB");
        first.write(&raw::subscribe(b"A"));
        expect(&xpub, &[on("A")]);
        (0..3).for_each(|_| first.send(&[b"hello"]));
        first.write(&raw::subscribe(b"B"));
        eventually("the queue is full", || xpub.stats().waiting == 1);
        let large = Message::from(vec![b'A'; 1_000_000]);
        (0..50).for_each(|_| xpub.send(large.clone()).unwrap());
        first.reset();
        eventually("the loss is noticed", || xpub.stats().peers == 0);
        let mut came = vec![event(&xpub)];
        came.extend(std::iter::from_fn(|| xpub.recv_timeout(10 * SOON).ok()).map(XPubEvent::from));
        assert!(came.contains(&off("A")) && !came.contains(&on("B")), "{came:?}");
        let _second = raw::Peer::answer(&listener, "XSUB");
        xpub.wait_connected(1, PATIENCE).unwrap();
        assert_eq!(xpub.wait_subscribed(1, SOON), Err(WaitError::TimedOut));
    });
}

#[test]
fn a_thread_that_waits_hears_of_the_loss_of_a_subscriber() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound(&ctx);
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"A")]);
        expect(&xpub, &[on("A")]);
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || event(&xpub));
            drop(peer);
            assert_eq!(waiting.join().unwrap(), off("A"));
        });
    });
}

#[test]
fn a_subscriber_that_is_left_by_disconnect_or_unbind_has_no_subscriptions_any_more() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub = ctx.socket::<XPub>().build().unwrap();
        let sub = ctx.socket::<Sub>().subscribe("A").build().unwrap();
        let at = sub.bind("tcp://127.0.0.1:0").unwrap();
        xpub.connect(&at).unwrap();
        expect(&xpub, &[on("A")]);
        xpub.disconnect(&at).unwrap();
        expect(&xpub, &[off("A")]);

        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"B")]);
        expect(&xpub, &[on("B")]);
        xpub.unbind(&at).unwrap();
        expect(&xpub, &[off("B")]);
    });
}

#[test]
fn a_subscriber_that_is_disconnected_for_being_slow_has_no_subscriptions_any_more() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub = ctx
            .socket::<XPub>()
            .overflow(Overflow::Disconnect)
            .send_hwm(2)
            .send_buffer(4096)
            .build()
            .unwrap();
        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        let mut slow = raw::Peer::dial(&at, "SUB");
        say(&mut slow, &[&raw::subscribe(b"A")]);
        expect(&xpub, &[on("A")]);
        eventually("it is disconnected", || {
            xpub.send(vec![b'A'; 100_000]).unwrap();
            xpub.stats().peers == 0
        });
        expect(&xpub, &[off("A")]);
        assert_eq!(xpub.try_recv(), Err(RecvError::Empty), "once");
    });
}

#[test]
fn more_subscriptions_than_the_queue_holds_are_all_taken_as_the_application_receives() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound(&ctx);
        let mut peer = raw::Peer::dial(&at, "SUB");
        let flood: Vec<u8> = (0..5000_u32).flat_map(|n| raw::subscribe(&n.to_be_bytes())).collect();
        peer.write(&flood);
        let mut heard = 0;
        while heard < 5000 {
            assert!(matches!(event(&xpub), XPubEvent::Subscribe(_)));
            heard += 1;
        }
        xpub.send(4999_u32.to_be_bytes().to_vec()).unwrap();
        assert_eq!(peer.single(), 4999_u32.to_be_bytes());
        drop(peer);
        for _ in 0..5000 {
            assert!(matches!(event(&xpub), XPubEvent::Unsubscribe(_)));
        }
    });
}

#[test]
fn a_topic_of_a_hundred_thousand_octets_comes_and_goes() {
    within(PATIENCE, || {
        for len in [100_000, 1 << 20] {
            let ctx = Context::new().unwrap();
            let (xpub, at) = bound(&ctx);
            let topic = vec![7; len];
            let mut peer = raw::Peer::dial(&at, "SUB");
            peer.send(&[&[b"\x01", &topic[..]].concat()]);
            assert_eq!(event(&xpub), XPubEvent::Subscribe(topic.clone().into()));
            xpub.send(topic.clone()).unwrap();
            assert_eq!(peer.single(), topic);
            peer.reset();
            assert_eq!(event(&xpub), XPubEvent::Unsubscribe(topic.into()));
        }
    });
}

#[test]
fn an_end_without_a_beginning_is_not_passed_on() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound_with(&ctx, Verbosity::All);
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::cancel(b"A"), &raw::subscribe(b"A"), &raw::cancel(b"A"), &raw::cancel(b"A")]);
        say(&mut peer, &[&raw::subscribe(b"end")]);
        expect(&xpub, &[on("A"), off("A"), on("end")]);
    });
}

#[test]
fn with_manual_the_application_says_who_is_subscribed_to_what() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = manual(&ctx);
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"A")]);
        expect(&xpub, &[on("A")]);
        xpub.subscribe_last("XA").unwrap();
        xpub.send("A").unwrap();
        xpub.send("XA").unwrap();
        assert_eq!(peer.single(), b"XA");
        assert_eq!(xpub.stats().dropped.unsubscribed, 1);

        say(&mut peer, &[&raw::cancel(b"A")]);
        expect(&xpub, &[off("A")]);
        xpub.send(["XA", "still"]).unwrap();
        assert_eq!(peer.message().unwrap(), [&b"XA"[..], b"still"]);
        xpub.unsubscribe_last("XA").unwrap();
        xpub.send("XA").unwrap();
        assert_eq!(xpub.stats().dropped.unsubscribed, 2);

        say(&mut peer, &[&raw::subscribe(b"B")]);
        expect(&xpub, &[on("B")]);
        xpub.subscribe_last("XB").unwrap();
        drop(peer);
        expect(&xpub, &[off("B")]);
        xpub.send("XB").unwrap();
        assert_eq!(xpub.stats().dropped.unsubscribed, 3, "what it was given is gone with it");
        xpub.subscribe_last("XB").unwrap();
        xpub.send("XB").unwrap();
        assert_eq!(xpub.stats().dropped.unsubscribed, 4, "nobody is subscribed who is gone");
    });
}

#[test]
fn with_manual_quick_subscribers_one_after_the_other_are_not_confused() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = manual(&ctx);
        let mut peers: Vec<_> = (0..5).map(|_| raw::Peer::dial(&at, "SUB")).collect();
        for (peer, topic) in peers.iter_mut().zip("abcde".chars()) {
            say(peer, &[&raw::subscribe(topic.to_string().as_bytes())]);
        }
        for _ in 0..5 {
            let XPubEvent::Subscribe(topic) = event(&xpub) else { panic!("not a subscription") };
            xpub.subscribe_last([b"X", &topic[..]].concat()).unwrap();
        }
        for topic in "abcde".chars() {
            xpub.send(format!("X{topic}")).unwrap();
        }
        for (peer, topic) in peers.iter_mut().zip("abcde".chars()) {
            assert_eq!(peer.single(), format!("X{topic}").into_bytes());
        }
    });
}

#[test]
fn without_manual_the_application_has_no_say() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound(&ctx);
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"A")]);
        expect(&xpub, &[on("A")]);
        xpub.subscribe_last("B").unwrap();
        xpub.unsubscribe_last("A").unwrap();
        xpub.send("B").unwrap();
        xpub.send("A").unwrap();
        assert_eq!(peer.single(), b"A");
        assert_eq!(xpub.subscribe_last(vec![0; 16_001]), Err(SubscribeError::TooLong { limit: 16_000 }));
        drop(xpub.close(Duration::ZERO));
        assert_eq!(xpub.subscribe_last("B"), Err(SubscribeError::Closed));
    });
}

#[test]
fn a_wait_for_subscribers_ends_when_the_application_subscribes_one() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = manual(&ctx);
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"A")]);
        expect(&xpub, &[on("A")]);
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || xpub.wait_subscribed(1, PATIENCE / 3));
            xpub.subscribe_last("A").unwrap();
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn the_welcome_comes_first_on_each_connection() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub = ctx.socket::<XPub>().welcome(["W", "hello"]).build().unwrap();
        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        for _ in 0..2 {
            let mut peer = raw::Peer::dial(&at, "SUB");
            assert_eq!(peer.message().unwrap(), [&b"W"[..], b"hello"], "whatever it has subscribed to");
            say(&mut peer, &[&raw::subscribe(b"A")]);
            expect(&xpub, &[on("A")]);
            drop(peer);
            expect(&xpub, &[off("A")]);
        }
        let sub = ctx.socket::<Sub>().subscribe("W").reconnect_interval(SOON).build().unwrap();
        sub.connect(&at).unwrap();
        expect(&xpub, &[on("W")]);
        xpub.send(["W", "news"]).unwrap();
        for expected in ["hello", "news"] {
            assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), Message::from(["W", expected]));
        }
        xpub.unbind(&at).unwrap();
        xpub.bind(&at).unwrap();
        assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), Message::from(["W", "hello"]), "and on the next");
        assert_eq!(xpub.stats().accepted, 1, "no user has sent it");
    });
}

#[test]
fn messages_of_users_pass_from_xsub_to_xpub_in_any_number_of_parts() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound(&ctx);
        let xsub = ctx.socket::<XSub>().build().unwrap();
        xsub.send("nobody hears this").unwrap();
        assert_eq!(xsub.stats().dropped.disconnected, 1);
        xsub.connect(&at).unwrap();
        xsub.wait_connected(1, PATIENCE).unwrap();
        let messages = [
            Message::from("one"),
            Message::from(["one", "two"]),
            Message::new(),
            Message::from(["", "", "x"]),
        ];
        for message in messages {
            xsub.send(message.clone()).unwrap();
            assert_eq!(event(&xpub), XPubEvent::Message(message));
        }
        xsub.send("\u{1}A").unwrap();
        assert_eq!(event(&xpub), on("A"));
        xpub.send("A").unwrap();
        assert_eq!(xsub.recv_timeout(PATIENCE).unwrap(), "A");
        xsub.send("\u{0}A").unwrap();
        assert_eq!(event(&xpub), off("A"));
        assert_eq!(xsub.stats().accepted, 5, "subscriptions are no messages");
    });
}

#[test]
fn every_part_may_be_a_subscription_unless_only_the_first_may() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let parts: [&[u8]; 3] = [b"data", b"\x01A", b"\x00B"];
        let (xpub, at) = bound(&ctx);
        let mut peer = raw::Peer::dial(&at, "XSUB");
        peer.send(&parts);
        expect(&xpub, &[on("A"), XPubEvent::Message("data".into())]);

        let xpub = ctx.socket::<XPub>().only_first_subscribe(true).build().unwrap();
        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "XSUB");
        peer.send(&parts);
        assert_eq!(
            event(&xpub),
            XPubEvent::Message(parts.iter().map(|part| part.to_vec()).collect::<Vec<_>>().into())
        );
        assert_eq!(xpub.wait_subscribed(1, SOON), Err(WaitError::TimedOut));
        peer.send(&[b"\x01A"]);
        expect(&xpub, &[on("A")]);
    });
}

#[test]
fn an_xsub_hides_ends_that_end_nothing_unless_it_is_verbose() {
    within(PATIENCE, || {
        for verbose in [false, true] {
            let ctx = Context::new().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let xsub = ctx.socket::<XSub>().verbose_unsubscribe(verbose).build().unwrap();
            xsub.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
            let mut publisher = raw::Peer::answer(&listener, "XPUB");
            xsub.wait_connected(1, PATIENCE).unwrap();
            for _ in 0..2 {
                xsub.send("\u{1}A").unwrap();
            }
            for _ in 0..3 {
                xsub.send("\u{0}A").unwrap();
            }
            xsub.subscribe("end").unwrap();
            let ends = if verbose { 3 } else { 1 };
            let said =
                [raw::subscribe(b"A").repeat(2), raw::cancel(b"A").repeat(ends), raw::subscribe(b"end")]
                    .concat();
            assert_eq!(publisher.read(said.len()), said);
        }
    });
}

#[test]
fn an_xsub_passes_topics_on_that_are_too_long_for_a_command() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = bound(&ctx);
        let xsub = ctx.socket::<XSub>().build().unwrap();
        xsub.connect(at).unwrap();
        let topic = "A".repeat(100_000);
        for (octet, expected) in [("\u{1}", on(&topic)), ("\0", off(&topic))] {
            xsub.send(format!("{octet}{topic}")).unwrap();
            assert_eq!(event(&xpub), expected);
        }
        assert_eq!((xpub.stats().peers, xsub.stats().reconnects), (1, 0));
    });
}

#[test]
fn an_xsub_does_not_filter_and_sends_to_all() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xsub = ctx.socket::<XSub>().subscribe("A").build().unwrap();
        let at = xsub.bind("tcp://127.0.0.1:0").unwrap();
        let mut publishers = [raw::Peer::dial(&at, "PUB"), raw::Peer::dial(&at, "XPUB")];
        xsub.wait_connected(2, PATIENCE).unwrap();
        for publisher in &mut publishers {
            publisher.send(&[b"B"]);
            assert_eq!(xsub.recv_timeout(PATIENCE).unwrap(), "B");
        }
        xsub.send("to all").unwrap();
        for publisher in &mut publishers {
            assert_eq!(publisher.single(), b"to all");
        }
        assert_eq!(xsub.stats().copied, 1);
    });
}

#[test]
fn a_proxy_of_xsub_and_xpub_passes_subscriptions_and_messages_on() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<ferromq::Pub>().build().unwrap();
        let xsub = &ctx.socket::<XSub>().build().unwrap();
        link(&publisher, xsub);
        let (xpub, at) = &bound(&ctx);
        std::thread::scope(|scope| {
            // Until either is closed.
            scope.spawn(|| xpub.iter().all(|message| xsub.send(message).is_ok()));
            scope.spawn(|| xsub.iter().all(|message| xpub.send(message).is_ok()));
            let sub = ctx.socket::<Sub>().subscribe("A").build().unwrap();
            sub.connect(at).unwrap();
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            publisher.send("B").unwrap();
            publisher.send(["A", "", "x"]).unwrap();
            assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), Message::from(["A", "", "x"]));
            drop(sub);
            eventually("the end of the subscription gets through", || {
                let before = publisher.stats().dropped.unsubscribed;
                publisher.send("A").unwrap();
                publisher.stats().dropped.unsubscribed > before
            });
            drop(xpub.close(Duration::ZERO));
            drop(xsub.close(Duration::ZERO));
        });
    });
}

#[test]
fn an_xpub_that_is_to_wait_for_its_subscribers_loses_nothing() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub =
            ctx.socket::<XPub>().overflow(Overflow::Block).send_hwm(5).send_buffer(4096).build().unwrap();
        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "SUB");
        say(&mut peer, &[&raw::subscribe(b"")]);
        let body = |n: u32| [&n.to_be_bytes()[..], &[0; 50_000]].concat();
        let mut sent = 0;
        let refused = loop {
            match xpub.try_send(body(sent)) {
                Ok(()) => sent += 1,
                // What the kernel has taken makes room again for a while.
                Err(error) if xpub.send_timeout(body(sent), Duration::from_millis(200)).is_err() => {
                    break error;
                }
                Err(_) => sent += 1,
            }
        };
        assert_eq!(refused.reason(), Refusal::Full);
        assert_eq!(refused.into_message(), Message::from(body(sent)));
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || xpub.send_timeout(body(sent), PATIENCE));
            for number in 0..=sent {
                assert_eq!(peer.single()[..4], number.to_be_bytes());
            }
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(xpub.stats().dropped.total(), 0);
    });
}

#[test]
fn subscriptions_count_whether_or_not_anybody_receives_them() {
    within(PATIENCE, || {
        const TOPICS: u32 = 3000;
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<XPub>().recv_hwm(10).build().unwrap();
        let sub = ctx.socket::<Sub>().build().unwrap();
        (0..TOPICS).for_each(|topic| sub.subscribe(format!("{topic:04}")).unwrap());
        sub.connect(publisher.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let last = format!("{:04}", TOPICS - 1);
        let reached = || {
            publisher.send(last.as_str()).unwrap();
            sub.recv_timeout(Duration::from_millis(10)).is_ok()
        };
        eventually("the last subscription has come", reached);
        (0..TOPICS).for_each(|_| drop(publisher.try_recv().unwrap()));
        assert_eq!(publisher.try_recv(), Err(RecvError::Empty));
    });
}

#[test]
fn a_subscription_does_not_overtake_what_the_peer_sent_before() {
    let ctx = Context::new().unwrap();
    let xpub = ctx.socket::<XPub>().build().unwrap();
    let xsub = ctx.socket::<XSub>().build().unwrap();
    xpub.bind("inproc://order").unwrap();
    xsub.connect("inproc://order").unwrap();
    // Those after the first wait until that is received, and then come together.
    xsub.send("1").unwrap();
    xsub.send("2").unwrap();
    xsub.send(["\u{1}a", "\u{1}b"].into_iter().collect::<Message>()).unwrap();
    xsub.send("3").unwrap();
    for expected in ["1", "2", "\u{1}a", "\u{1}b", "3"] {
        assert_eq!(xpub.recv_timeout(PATIENCE).unwrap(), expected);
    }
    assert_eq!((xpub.stats().received, xpub.stats().delivered), (5, 5));
}

/// The application decides for each of them, and has to know of each.
#[test]
fn in_manual_mode_each_subscription_is_told_and_the_end_of_each() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (xpub, at) = manual(&ctx);
        let mut peers = [(); 3].map(|()| raw::Peer::dial(&at, "SUB"));
        for peer in &mut peers {
            peer.write(&raw::subscribe(b"A"));
            assert_eq!(xpub.recv().unwrap(), b"\x01A");
            xpub.subscribe_last("A").unwrap();
        }
        let [first, second, mut third] = peers;
        xpub.send("A1").unwrap();
        assert_eq!(third.single(), b"A1");
        drop(first);
        assert_eq!(xpub.recv().unwrap(), b"\0A");
        drop(second);
        assert_eq!(xpub.recv().unwrap(), b"\0A");
        third.write(&raw::cancel(b"A"));
        assert_eq!(xpub.recv().unwrap(), b"\0A");
    });
}
