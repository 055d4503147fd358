//! ROUTER and DEALER: routing ids, who is reached by them, and what happens when nobody is.

mod common;

use std::collections::HashSet;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, blocked, eventually, link, raw, within};
use ferromq::{
    Builder, ConnectError, Context, Dealer, Endpoint, Event, Message, Pub, Push, ReconnectStop, RecvError,
    Refusal, Rep, Req, Router, Socket, Sub,
};

const SOON: Duration = Duration::from_millis(10);
/// How long nothing has to change until we believe that the kernel takes no more.
const STUCK: Duration = Duration::from_millis(200);

fn routing(ctx: &Context) -> Builder<Router> {
    ctx.socket::<Router>().linger(Duration::ZERO).reconnect_interval(SOON).reconnect_max(10 * SOON)
}

fn bound(builder: Builder<Router>) -> (Socket<Router>, Endpoint) {
    let router = builder.build().unwrap();
    let at = router.bind("tcp://127.0.0.1:0").unwrap();
    (router, at)
}

fn dealer(ctx: &Context) -> Builder<Dealer> {
    ctx.socket::<Dealer>().linger(Duration::ZERO).reconnect_interval(SOON).reconnect_max(10 * SOON)
}

/// A DEALER by hand that wants to be known by this routing id.
fn identified(at: &Endpoint, id: &[u8]) -> raw::Peer {
    let mut peer = candidate(at, id);
    peer.read_handshake();
    peer
}

/// As [`identified`], with no answer yet.
fn candidate(at: &Endpoint, id: &[u8]) -> raw::Peer {
    let mut peer = raw::Peer::connect(at);
    let metadata = [raw::property("Socket-Type", b"DEALER"), raw::property("Identity", id)].concat();
    peer.write(&[raw::greeting(3, 1, "NULL"), raw::command("READY", &metadata)].concat());
    peer
}

/// A router turns away who it cannot tell from another, before it says anything but its greeting.
#[track_caller]
fn assert_turned_away(at: &Endpoint, id: &[u8]) {
    let mut peer = candidate(at, id);
    peer.read(64);
    assert!(peer.try_frame().is_none(), "no READY");
}

#[track_caller]
fn next(router: &Socket<Router>) -> Message {
    router.recv_timeout(PATIENCE).unwrap()
}

/// A large message for a routing id.
fn large(id: &str) -> Message {
    Message::from([id.as_bytes(), &[0; 50_000]])
}

/// Sends to a peer that does not read until there is no more room. Returns how many were accepted.
fn fill(router: &Socket<Router>, id: &str) -> usize {
    let refused = (0..).find(|_| router.send_timeout(large(id), STUCK).is_err());
    refused.unwrap()
}

#[test]
fn who_has_no_name_gets_one_of_five_octets_that_nobody_else_has() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let mut peers: Vec<_> = (0..20).map(|_| raw::Peer::dial(&at, "DEALER")).collect();
        let mut names = HashSet::new();
        for round in 0..2 {
            for (peer, n) in peers.iter_mut().zip(0_u8..) {
                peer.send(&[&[round, n]]);
                let (id, body) = next(&router).split_front();
                assert_eq!((id.len(), id[0]), (5, 0));
                assert_eq!(body.unwrap(), [round, n]);
                assert_eq!(names.insert(id.clone()), round == 0, "it keeps its name while it is connected");
                router.send(Message::from(&[id, bytes::Bytes::from_static(b"!")][..])).unwrap();
                assert_eq!(peer.single(), b"!");
            }
        }
        drop(peers);
        eventually("all are gone", || router.stats().peers == 0);
        raw::Peer::dial(&at, "DEALER").send(&[b"back"]);
        assert!(names.insert(next(&router).split_front().0), "a new connection has a new name");
    });
}

#[test]
fn who_has_a_name_can_be_sent_to_before_it_has_said_anything() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let longest = "i".repeat(255);
        for id in ["A", &longest, "\u{1}\u{0}"] {
            let (router, dealer) = (bound(routing(&ctx)).0, dealer(&ctx).routing_id(id).build().unwrap());
            let at = link(&router, &dealer);
            router.send([id, "", "first"]).unwrap();
            assert_eq!(dealer.recv_timeout(PATIENCE).unwrap(), Message::from(["", "first"]));
            // And on the next connection, too.
            router.unbind(&at).unwrap();
            router.bind(&at).unwrap();
            router.wait_connected(1, PATIENCE).unwrap();
            router.send([id, "second"]).unwrap();
            assert_eq!(dealer.recv_timeout(PATIENCE).unwrap(), "second");
            dealer.send("third").unwrap();
            assert_eq!(next(&router), Message::from([id, "third"]));
        }
    });
}

#[test]
fn nothing_is_added_to_messages_but_the_routing_id() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let mut peer = identified(&at, b"A");
        for parts in [&[&b"x"[..]][..], &[b""], &[b"", b""], &[b"", b"x", b""]] {
            peer.send(parts);
            let message = next(&router);
            assert_eq!(message.part(0), Some(&b"A"[..]));
            assert!(message.parts().skip(1).eq(parts.iter().copied()));
            router.send(message).unwrap();
            assert_eq!(peer.message().unwrap(), parts);
        }
        let req = ctx.socket::<Req>().routing_id("R").build().unwrap();
        req.connect(&at).unwrap();
        req.send("?").unwrap();
        assert_eq!(
            next(&router),
            Message::from(["R", "", "?"]),
            "the empty part of a REQ is there to be seen"
        );
    });
}

#[test]
fn a_message_for_nobody_comes_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let message = Message::from(["nobody", "hello"]);
        let errors = [
            router.send(message.clone()),
            router.try_send(message.clone()),
            router.send_timeout(message.clone(), PATIENCE),
            futures_executor::block_on(router.send_async(message.clone())),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!((error.reason(), error.message()), (Refusal::Unroutable, &message));
        }
        for id in [vec![], vec![b'i'; 256], vec![b'i'; 1 << 20]] {
            let message = Message::from(vec![id, b"body".to_vec()]);
            assert_eq!(router.send(message).unwrap_err().reason(), Refusal::Unroutable);
        }
        assert_eq!(router.send("only an id").unwrap_err().reason(), Refusal::Unroutable);
        assert_eq!(router.stats().accepted, 0);
        let peer = identified(&at, b"somebody");
        router.wait_connected(1, PATIENCE).unwrap();
        router.send(["somebody", "hello"]).unwrap();
        drop(peer);
        eventually("somebody is gone", || router.stats().peers == 0);
        assert_eq!(router.send(["somebody", "hello"]).unwrap_err().reason(), Refusal::Unroutable);
    });
}

#[test]
fn without_mandatory_a_message_for_nobody_is_dropped_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).mandatory(false).send_hwm(3).send_buffer(4096));
        router.send(["nobody", "hello"]).unwrap();
        router.send("only an id").unwrap();
        assert_eq!(router.stats().dropped.unroutable, 2);
        let _stuck = identified(&at, b"stuck");
        let mut peer = identified(&at, b"A");
        router.wait_connected(2, PATIENCE).unwrap();
        for _ in 0..300 {
            router.send(large("stuck")).unwrap();
        }
        let stats = router.stats();
        assert!(stats.dropped.overflowed > 100 && stats.queued <= 3, "{stats:?}");
        router.send(["A", "hello"]).unwrap();
        assert_eq!(peer.single(), b"hello", "others are not concerned");
        let stats = router.stats();
        assert_eq!((stats.accepted, stats.dropped.unroutable), (303, 2));
    });
}

#[test]
fn a_routing_id_and_nothing_else_is_no_message_and_spoils_none() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let mut peer = identified(&at, b"A");
        router.wait_connected(1, PATIENCE).unwrap();
        router.send("A").unwrap();
        router.send(["A", "hello"]).unwrap();
        assert_eq!(peer.single(), b"hello");
        assert_eq!(router.stats().dropped.unroutable, 1);
    });
}

#[test]
fn a_full_peer_is_waited_for_and_others_are_not_held_up() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).send_hwm(3).send_buffer(4096));
        let (mut full, mut other) = (identified(&at, b"full"), identified(&at, b"other"));
        router.wait_connected(2, PATIENCE).unwrap();
        let sent = fill(&router, "full");
        let error = router.try_send(large("full")).unwrap_err();
        assert_eq!((error.reason(), error.message()), (Refusal::Full, &large("full")));
        router.send(["other", "hello"]).unwrap();
        assert_eq!(other.single(), b"hello");
        thread::scope(|scope| {
            let waiting = blocked(scope, || router.send_timeout(large("full"), PATIENCE));
            (0..=sent).for_each(|_| assert_eq!(full.single().len(), 50_000));
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(router.stats().dropped.total(), 0);
    });
}

#[test]
fn whoever_waits_for_a_full_peer_is_told_when_it_is_lost() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).send_hwm(3).send_buffer(4096));
        let full = identified(&at, b"full");
        router.wait_connected(1, PATIENCE).unwrap();
        fill(&router, "full");
        thread::scope(|scope| {
            let waiting = blocked(scope, || router.send_timeout(large("full"), PATIENCE / 3));
            full.reset();
            assert_eq!(waiting.join().unwrap().unwrap_err().reason(), Refusal::Unroutable);
        });
        // The same for a peer that never was there and is not to come any more.
        let port = DeadPort::new();
        router.connect_as(port.endpoint(), "dead").unwrap();
        fill(&router, "dead");
        thread::scope(|scope| {
            let waiting = blocked(scope, || router.send_timeout(large("dead"), PATIENCE / 3));
            router.disconnect(port.endpoint()).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap_err().reason(), Refusal::Unroutable);
        });
    });
}

#[test]
fn a_second_peer_of_the_same_name_is_turned_away() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let mut first = identified(&at, b"A");
        router.wait_connected(1, PATIENCE).unwrap();
        for _ in 0..100 {
            assert_turned_away(&at, b"A");
        }
        first.send(&[b"here"]);
        assert_eq!(next(&router), Message::from(["A", "here"]));
        router.send(["A", "for the first"]).unwrap();
        assert_eq!(first.single(), b"for the first");
        drop(first);
        eventually("the first is gone", || router.stats().peers == 0);
        let mut second = identified(&at, b"A");
        second.send(&[b"now"]);
        assert_eq!(next(&router), Message::from(["A", "now"]));
    });
}

#[test]
fn with_handover_a_second_peer_takes_the_name_over() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).handover(true));
        let mut holder = identified(&at, b"A");
        holder.send(&[b"first"]);
        assert_eq!(next(&router), Message::from(["A", "first"]));
        for _ in 0..100 {
            // Half of a message goes with the one who sent it.
            holder.write(&raw::frame(raw::MORE, b"half"));
            let mut successor = identified(&at, b"A");
            successor.send(&[b"taken over"]);
            assert_eq!(next(&router), Message::from(["A", "taken over"]));
            router.send(["A", "hello"]).unwrap();
            assert_eq!(successor.single(), b"hello");
            holder.expect_closed(PATIENCE);
            holder = successor;
        }
        eventually("one is left", || router.stats().peers == 1);
    });
}

#[test]
fn a_probe_makes_a_peer_known_that_has_nothing_to_say() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let dealer = dealer(&ctx).routing_id("D").probe_router(true).build().unwrap();
        dealer.connect(&at).unwrap();
        assert_eq!(next(&router), Message::from(["D", ""]));
        let other = routing(&ctx).routing_id("R").probe_router(true).build().unwrap();
        other.connect(&at).unwrap();
        assert_eq!(next(&router), Message::from(["R", ""]));
        let req = ctx.socket::<Req>().routing_id("Q").probe_router(true).build().unwrap();
        req.connect(&at).unwrap();
        assert_eq!(next(&router), Message::from(["Q", ""]));
        router.unbind(&at).unwrap();
        router.bind(&at).unwrap();
        let again: HashSet<_> = (0..3).map(|_| next(&router).split_front().0).collect();
        assert_eq!(again.len(), 3, "on each connection");
        assert_eq!(dealer.stats().accepted + other.stats().accepted, 0, "no user has sent it");
    });
}

#[test]
fn a_peer_can_be_given_a_name_before_it_is_there() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let router = routing(&ctx).build().unwrap();
        router.connect_as(port.endpoint(), "peer").unwrap();
        for n in 0..3 {
            router.send(["peer", &format!("{n}")]).unwrap();
        }
        let taken = router.connect_as("tcp://127.0.0.1:1", "peer").unwrap_err();
        assert_eq!(taken, ConnectError::RoutingIdTaken);
        let (other, at) = {
            let other = routing(&ctx).routing_id("its own name").build().unwrap();
            let at = other.bind(port.release()).unwrap();
            (other, at)
        };
        for n in 0..3 {
            let message = next(&other);
            assert_eq!(message.part(1), Some(format!("{n}").as_bytes()));
        }
        other.unbind(&at).unwrap();
        eventually("it is away", || router.stats().peers == 0);
        router.send(["peer", "while it is away"]).unwrap();
        other.bind(&at).unwrap();
        let message = next(&other);
        assert_eq!(message.part(1), Some(&b"while it is away"[..]));
        let (id, _) = message.split_front();
        other.send(Message::from(&[id, bytes::Bytes::from_static(b"back")][..])).unwrap();
        assert_eq!(next(&router), Message::from(["peer", "back"]), "by the name it was given");

        router.disconnect(&at).unwrap();
        assert_eq!(router.send(["peer", "!"]).unwrap_err().reason(), Refusal::Unroutable);
        router.connect_as(&at, "peer").unwrap();
        router.send(["peer", "!"]).unwrap();
        assert_eq!(next(&other).part(1), Some(&b"!"[..]));
    });
}

#[test]
fn a_name_that_was_given_or_taken_is_not_given_again() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for handover in [false, true] {
            let (router, at) = bound(routing(&ctx).handover(handover));
            let mut peer = identified(&at, b"A");
            router.wait_connected(1, PATIENCE).unwrap();
            let port = DeadPort::new();
            assert_eq!(router.connect_as(port.endpoint(), "A").unwrap_err(), ConnectError::RoutingIdTaken);
            router.connect_as(port.endpoint(), "B").unwrap();
            assert_turned_away(&at, b"B");
            router.send(["A", "undisturbed"]).unwrap();
            assert_eq!(peer.single(), b"undisturbed");
        }
    });
}

#[test]
fn routers_talk_to_routers() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (one, other) = (
            routing(&ctx).routing_id("one").build().unwrap(),
            routing(&ctx).routing_id("other").build().unwrap(),
        );
        link(&one, &other);
        one.send(["other", "hello"]).unwrap();
        assert_eq!(next(&other), Message::from(["one", "hello"]));
        other.send(["one", "", "back"]).unwrap();
        assert_eq!(next(&one), Message::from(["other", "", "back"]));
    });
}

#[test]
fn peers_take_turns_both_ways() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let dealer = dealer(&ctx).build().unwrap();
        let dealer_at = dealer.bind("tcp://127.0.0.1:0").unwrap();
        assert_eq!(dealer.try_send("nobody").unwrap_err().reason(), Refusal::Full);
        assert_eq!(dealer.send_timeout("nobody", SOON).unwrap_err().reason(), Refusal::TimedOut);
        for at in [&at, &dealer_at] {
            let mut peers: Vec<_> = [b"a", b"b", b"c"].map(|id| identified(at, id)).into();
            for peer in &mut peers {
                (0..3_u8).for_each(|n| peer.send(&[&[n]]));
                peer.sync();
            }
            let order: Vec<_> = (0..9)
                .map(
                    |_| if *at == dealer_at { dealer.recv_timeout(PATIENCE).unwrap() } else { next(&router) },
                )
                .map(|message| message.parts().last().unwrap()[0])
                .collect();
            assert_eq!(order, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
            if *at == dealer_at {
                dealer.wait_connected(3, PATIENCE).unwrap();
                (0..9_u8).for_each(|n| dealer.send(vec![n]).unwrap());
                let got = peers.iter_mut().map(|peer| [peer.single()[0], peer.single()[0], peer.single()[0]]);
                let mut got: Vec<_> = got.collect();
                got.sort_unstable();
                assert_eq!(got, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
            }
        }
    });
}

#[test]
fn subscriptions_are_nothing_to_routers_and_dealers() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx));
        let dealer = dealer(&ctx).build().unwrap();
        let dealer_at = dealer.bind("tcp://127.0.0.1:0").unwrap();
        for at in [&at, &dealer_at] {
            let mut peer = identified(at, b"A");
            peer.write(&[raw::subscribe(b"A"), raw::cancel(b"A")].concat());
            peer.write(b"\x00\x00");
        }
        assert_eq!(next(&router), Message::from(["A", ""]));
        assert_eq!(dealer.recv_timeout(PATIENCE).unwrap(), "");
        assert_eq!((router.try_recv(), dealer.try_recv()), (Err(RecvError::Empty), Err(RecvError::Empty)));
    });
}

#[test]
fn a_name_that_begins_with_zero_cannot_be_claimed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).handover(true));
        let mut victim = raw::Peer::dial(&at, "DEALER");
        victim.send(&[b"hello"]);
        let (id, _) = next(&router).split_front();
        let mut thief = raw::Peer::connect(&at);
        let metadata = [raw::property("Socket-Type", b"DEALER"), raw::property("Identity", &id)].concat();
        thief.write(&[raw::greeting(3, 1, "NULL"), raw::command("READY", &metadata)].concat());
        router.send(Message::from(&[id, bytes::Bytes::from_static(b"still mine")][..])).unwrap();
        assert_eq!(victim.single(), b"still mine");
        assert!(ctx.socket::<Dealer>().routing_id(vec![0, 1]).build().is_err());
        assert!(ctx.socket::<Dealer>().routing_id(vec![1; 256]).build().is_err());
    });
}

#[test]
fn a_second_connect_to_the_same_endpoint_counts_for_some_types_only() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = &format!("tcp://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let mut taken = Vec::new();
        let mut connections = |wanted: usize, connect: &dyn Fn()| {
            connect();
            connect();
            let mut found = Vec::new();
            eventually("the connections come", || {
                found.extend(listener.accept().ok());
                found.len() >= wanted
            });
            thread::sleep(SOON); // one more than wanted would most probably come by now
            found.extend(listener.accept().ok());
            assert_eq!(found.len(), wanted);
            taken.append(&mut found);
        };
        let (dealer, sub, publisher, req) = (
            ctx.socket::<Dealer>().build().unwrap(),
            ctx.socket::<Sub>().build().unwrap(),
            ctx.socket::<Pub>().build().unwrap(),
            ctx.socket::<Req>().build().unwrap(),
        );
        connections(1, &|| dealer.connect(at).unwrap());
        connections(1, &|| sub.connect(at).unwrap());
        connections(1, &|| publisher.connect(at).unwrap());
        connections(1, &|| req.connect(at).unwrap());
        let (push, router, rep) = (
            ctx.socket::<Push>().build().unwrap(),
            ctx.socket::<Router>().build().unwrap(),
            ctx.socket::<Rep>().build().unwrap(),
        );
        connections(2, &|| push.connect(at).unwrap());
        connections(2, &|| router.connect(at).unwrap());
        connections(2, &|| rep.connect(at).unwrap());
    });
}

/// The queue of the router is full when it notices that nothing can be sent to the peer any more.
#[test]
fn what_a_lost_peer_has_sent_is_received_under_its_name() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (router, at) = bound(routing(&ctx).recv_hwm(1).send_hwm(0));
        let mut peer = identified(&at, b"p");
        (0..5).for_each(|_| peer.send(&[b"hello"]));
        eventually("the queue is full", || router.stats().waiting == 1);
        let large = Message::from([&b"p"[..], &[0; 1_000_000]]);
        (0..50).for_each(|_| router.send(large.clone()).unwrap());
        peer.reset();
        eventually("the loss is noticed", || router.stats().peers == 0);
        assert_eq!(router.send(["p", "nobody"]).unwrap_err().reason(), Refusal::Unroutable);
        let heir = identified(&at, b"p");
        router.wait_connected(1, PATIENCE).unwrap();
        (0..5).for_each(|_| assert_eq!(router.recv().unwrap(), Message::from(["p", "hello"])));
        router.send(["p", "the heir"]).unwrap();
        drop(heir);
    });
}

/// Others are given nothing before they are there; who was given a name can always be sent to.
#[test]
fn who_was_given_a_name_keeps_its_queue_when_it_is_lost_also_of_an_immediate_router() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let router = routing(&ctx).immediate(true).send_buffer(10_000).build().unwrap();
        router.connect_as(format!("tcp://{}", listener.local_addr().unwrap()), "d").unwrap();
        router.send(["d", "early"]).unwrap();
        let mut peer = raw::Peer::answer(&listener, "DEALER");
        assert_eq!(peer.single(), b"early");
        for _ in 0..50 {
            router.send([&b"d"[..], &[7; 200_000]]).unwrap();
        }
        drop(peer);
        eventually("it is lost", || router.stats().reconnects == 0 && router.stats().peers == 0);
        let mut heir = raw::Peer::answer(&listener, "DEALER");
        assert_eq!(heir.single(), [7; 200_000]);
        let stats = router.stats();
        assert_eq!((stats.dropped.total(), stats.requeued > 0), (0, true), "{stats:?}");
    });
}

#[test]
fn what_a_dropped_router_gives_up_with_its_peer_is_told() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stop = ReconnectStop::new().handshake_failed(true);
        let router = ctx.socket::<Router>().reconnect_stop(stop).build().unwrap();
        let monitor = router.monitor();
        router.connect_as(format!("tcp://{}", listener.local_addr().unwrap()), "x").unwrap();
        router.send(["x", "hello"]).unwrap();
        let (stream, _) = listener.accept().unwrap();
        drop(router); // it lingers
        drop(stream);
        let dropped = loop {
            if let Event::Dropped { messages, .. } = monitor.recv_timeout(PATIENCE).unwrap() {
                break messages;
            }
        };
        assert_eq!(dropped.disconnected, 1, "{dropped:?}");
    });
}
