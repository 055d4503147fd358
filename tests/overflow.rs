//! What becomes of a message for which there is no room: what `Overflow` says at publishers, and what `conflate` leaves.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{DeadPort, PATIENCE, blocked, eventually, link, raw, within};
use ferromq::{
    Bytes, Context, Dealer, Endpoint, Message, Overflow, Pub, Refusal, Router, Socket, Sub, XPub, XPubEvent,
};

const SOON: Duration = Duration::from_millis(10);
/// How long nothing has to change until we believe that the kernel takes no more.
const STUCK: Duration = Duration::from_millis(200);

fn publisher(ctx: &Context, overflow: Overflow, mark: usize) -> (Socket<Pub>, Endpoint) {
    let publisher = ctx
        .socket::<Pub>()
        .overflow(overflow)
        .send_hwm(mark)
        .send_buffer(4096)
        .linger(Duration::ZERO)
        .build();
    let publisher = publisher.unwrap();
    let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
    (publisher, at)
}

/// A subscriber to a topic that reads only when told to.
fn subscriber(at: &Endpoint, topic: &[u8]) -> raw::Peer {
    let mut peer = raw::Peer::dial(at, "SUB");
    peer.write(&raw::subscribe(topic));
    peer.sync();
    peer
}

/// A message for the topic A, with a number, too large for the kernel to take many.
fn large(number: u32) -> Message {
    Message::from([&b"A"[..], &number.to_be_bytes(), &[0; 50_000]].concat())
}

#[track_caller]
fn number(body: &[u8]) -> u32 {
    assert_eq!((body.len(), body[0]), (50_005, b'A'));
    u32::from_be_bytes(body[1..5].try_into().unwrap())
}

/// Publishes until the queue of a peer that does not read is full, and the kernel takes nothing more. Returns how many.
fn fill(publisher: &Socket<Pub>) -> u32 {
    for sent in 0.. {
        match publisher.send_timeout(large(sent), STUCK) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.reason(), Refusal::TimedOut);
                return sent;
            }
        }
    }
    unreachable!()
}

#[test]
fn the_newest_is_dropped_by_default() {
    within(PATIENCE, || {
        assert_eq!(Overflow::default(), Overflow::DropNewest);
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::DropNewest, 3);
        let mut peer = subscriber(&at, b"A");
        for sent in 0..300 {
            publisher.send(large(sent)).unwrap();
        }
        let stats = publisher.stats();
        assert_eq!(stats.accepted, 300);
        assert!(stats.queued <= 3 && stats.dropped.overflowed > 100, "{stats:?}");
        let kept = 300 - u32::try_from(stats.dropped.overflowed).unwrap();
        let mut numbers: Vec<_> = (0..kept).map(|_| number(&peer.single())).collect();
        assert_eq!(numbers[..3], [0, 1, 2], "the oldest are the ones that were kept");
        assert!(numbers.is_sorted());
        numbers.dedup();
        assert_eq!(numbers.len(), kept as usize);
        publisher.send(large(1000)).unwrap();
        assert_eq!(number(&peer.single()), 1000, "and it has missed only what was dropped");
    });
}

#[test]
fn the_oldest_that_waits_can_be_dropped_instead() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::DropOldest, 5);
        let mut peer = subscriber(&at, b"A");
        for sent in 0..300 {
            publisher.send(large(sent)).unwrap();
        }
        let stats = publisher.stats();
        assert!(stats.queued <= 5 && stats.dropped.overflowed > 100, "{stats:?}");
        let kept = 300 - u32::try_from(stats.dropped.overflowed).unwrap();
        let numbers: Vec<_> = (0..kept).map(|_| number(&peer.single())).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.last(), Some(&299), "the newest is among those that were kept");
        assert_eq!(numbers.first(), Some(&0), "and so is what was on its way");
    });
}

#[test]
fn one_that_waits_goes_on_when_its_subscriber_reads() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Block, 4);
        let mut peer = subscriber(&at, b"A");
        let sent = fill(&publisher);
        assert_eq!(publisher.try_send(large(sent)).unwrap_err().reason(), Refusal::Full);
        publisher.send("B: for nobody, so for nobody to wait for").unwrap();
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || publisher.send_timeout(large(sent), PATIENCE));
            for expected in 0..=sent {
                assert_eq!(number(&peer.single()), expected, "nothing is lost");
            }
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(publisher.stats().dropped.overflowed, 0);
    });
}

#[test]
fn one_that_waits_holds_up_all_or_none() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Block, 4);
        let mut stuck = subscriber(&at, b"A");
        let mut reader = subscriber(&at, b"");
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            loop {
                let body = reader.single();
                if body == b"end" {
                    return read;
                }
                read.push(number(&body));
            }
        });
        let sent = fill(&publisher);
        for _ in 0..10 {
            assert_eq!(publisher.try_send(large(sent)).unwrap_err().reason(), Refusal::Full);
        }
        publisher.send("end").unwrap();
        assert_eq!(
            reading.join().unwrap(),
            (0..sent).collect::<Vec<_>>(),
            "a refused message reaches nobody"
        );
        for expected in 0..sent {
            assert_eq!(number(&stuck.single()), expected);
        }
    });
}

#[test]
fn one_that_waits_goes_on_when_the_subscriber_is_lost() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Block, 4);
        let peer = subscriber(&at, b"A");
        let sent = fill(&publisher);
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || publisher.send_timeout(large(sent), PATIENCE / 3));
            peer.reset();
            waiting.join().unwrap().unwrap();
        });
    });
}

#[test]
fn one_that_waits_goes_on_when_the_subscription_ends() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Block, 4);
        let mut peer = subscriber(&at, b"A");
        let sent = fill(&publisher);
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || publisher.send_timeout(large(sent), PATIENCE / 3));
            peer.write(&raw::cancel(b"A"));
            waiting.join().unwrap().unwrap();
            let before = publisher.stats();
            assert!(before.dropped.unsubscribed > 0, "{before:?}");
        });
    });
}

#[test]
fn one_that_waits_goes_on_when_the_application_ends_the_subscription() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub = ctx.socket::<XPub>().manual(true).overflow(Overflow::Block).send_hwm(4).send_buffer(4096);
        let xpub = xpub.linger(Duration::ZERO).build().unwrap();
        let at = xpub.bind("tcp://127.0.0.1:0").unwrap();
        let _peer = subscriber(&at, b"A");
        let event: XPubEvent = xpub.recv_timeout(PATIENCE).unwrap().into();
        assert_eq!(event, XPubEvent::Subscribe("A".into()));
        xpub.subscribe_last("A").unwrap();
        while xpub.send_timeout(large(0), STUCK).is_ok() {}
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || xpub.send_timeout(large(0), PATIENCE / 3));
            xpub.unsubscribe_last("A").unwrap();
            waiting.join().unwrap().unwrap();
        });
    });
}

#[test]
fn one_that_waits_ends_with_the_socket() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Block, 4);
        let _peer = subscriber(&at, b"A");
        let sent = fill(&publisher);
        std::thread::scope(|scope| {
            let waiting = blocked(scope, || publisher.send(large(sent)));
            drop(publisher.close(Duration::ZERO));
            assert_eq!(waiting.join().unwrap().unwrap_err().reason(), Refusal::Closed);
        });
    });
}

#[test]
fn a_slow_subscriber_can_be_disconnected_and_comes_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Disconnect, 3);
        let mut slow = subscriber(&at, b"A");
        let mut other = subscriber(&at, b"B");
        eventually("it is disconnected", || {
            publisher.send(large(0)).unwrap();
            publisher.stats().peers == 1
        });
        let stats = publisher.stats();
        assert!(stats.dropped.overflowed > 0, "{stats:?}");
        slow.expect_closed(PATIENCE);
        publisher.send("B").unwrap();
        assert_eq!(other.single(), b"B", "others are not concerned");
        let mut back = subscriber(&at, b"A");
        publisher.send(large(7)).unwrap();
        assert_eq!(number(&back.single()), 7, "it comes back to an empty queue");
    });
}

#[test]
fn a_subscriber_socket_that_was_disconnected_for_being_slow_heals() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, at) = publisher(&ctx, Overflow::Disconnect, 3);
        let sub = ctx.socket::<Sub>().subscribe("A").recv_hwm(2).recv_buffer(4096).reconnect_interval(SOON);
        let sub = sub.build().unwrap();
        sub.connect(at).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        eventually("it was too slow", || {
            publisher.send(large(0)).unwrap();
            publisher.stats().dropped.overflowed > 0
        });
        eventually("it is back, having read", || {
            while sub.try_recv().is_ok() {}
            publisher.send(large(1)).unwrap();
            sub.recv_timeout(SOON).is_ok_and(|message| number(message.part(0).unwrap()) == 1)
        });
        assert!(sub.stats().reconnects > 0);
    });
}

#[test]
fn a_conflating_publisher_keeps_the_newest_for_each_subscriber() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher =
            ctx.socket::<Pub>().conflate(true).send_buffer(4096).linger(Duration::ZERO).build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let mut peers = [subscriber(&at, b"A"), subscriber(&at, b"A")];
        for sent in 0..300 {
            publisher.send(large(sent)).unwrap();
        }
        let stats = publisher.stats();
        assert!(stats.dropped.conflated > 100 && stats.dropped.overflowed == 0, "{stats:?}");
        for peer in &mut peers {
            let mut last = number(&peer.single());
            while last < 299 {
                let next = number(&peer.single());
                assert!(next > last);
                last = next;
            }
        }
    });
}

#[test]
fn a_conflating_subscriber_keeps_the_newest_and_counts_the_rest() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let sub = ctx.socket::<Sub>().conflate(true).subscribe("").build().unwrap();
        link(&publisher, &sub);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        for sent in 0..500 {
            publisher.send(large(sent)).unwrap();
        }
        eventually("all have come", || sub.stats().received + publisher.stats().dropped.total() == 500);
        let stats = sub.stats();
        assert_eq!((stats.waiting, stats.discarded), (1, stats.received - 1));
        publisher.send("newest").unwrap();
        eventually("the newest has come", || sub.stats().received > stats.received);
        assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), "newest");
    });
}

#[test]
fn a_conflating_dealer_keeps_the_newest_both_ways() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let dealer =
            ctx.socket::<Dealer>().conflate(true).routing_id("D").reconnect_interval(SOON).build().unwrap();
        dealer.connect(port.endpoint()).unwrap();
        for sent in 0..100 {
            dealer.send(large(sent)).unwrap();
        }
        let stats = dealer.stats();
        assert_eq!((stats.queued, stats.dropped.conflated), (1, 99));
        let router = ctx.socket::<Router>().build().unwrap();
        router.bind(port.release()).unwrap();
        let message = router.recv_timeout(PATIENCE).unwrap();
        assert_eq!(number(message.part(1).unwrap()), 99);
        for sent in 0..100 {
            let mut message = large(sent);
            message.push_front("D");
            router.send(message).unwrap();
        }
        eventually("all have come", || dealer.stats().received == 100);
        assert_eq!(number(dealer.recv_timeout(PATIENCE).unwrap().part(0).unwrap()), 99);
        assert_eq!(dealer.stats().discarded, 99);
    });
}

/// However much it misses, a subscriber that does not read costs no more than its mark allows.
#[test]
fn what_is_dropped_for_a_newer_message_takes_no_memory() {
    let ctx = Context::new().unwrap();
    let (publisher, at) = publisher(&ctx, Overflow::DropOldest, 3);
    let _stalled = subscriber(&at, b"A");
    let body: Arc<[u8]> = vec![b'A'; 100_000].into();
    for _ in 0..1000 {
        publisher.send(Bytes::from_owner(body.clone())).unwrap();
        let live = Arc::strong_count(&body) - 1;
        assert!(live <= 10, "{live} bodies");
    }
    assert!(publisher.stats().dropped.overflowed > 900);
}
