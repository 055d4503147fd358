//! The books of each peer: they balance by themselves, and together they are those of the socket.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::{DeadPort, PATIENCE, eventually, numbered, raw, within};
use ferromq::{
    Context, Dealer, Kind, Message, Overflow, PeerStats, Pub, Pull, Push, Rep, Req, Router, Socket,
    SocketType, Stats, Sub, XPub,
};

#[track_caller]
fn assert_balanced(peer: &PeerStats) {
    assert_eq!(peer.given, peer.written + peer.taken_back + peer.queued, "{peer:?}");
    assert_eq!(peer.received, peer.delivered + peer.discarded + peer.waiting, "{peer:?}");
    assert!(peer.unconfirmed <= peer.written, "{peer:?}");
    assert!(!peer.connected || peer.peer.address.is_some() && peer.peer.socket_type.is_some(), "{peer:?}");
}

/// As long as no peer has gone for good, and nothing else happens meanwhile, the peers together are the socket.
#[track_caller]
fn assert_sums(stats: &Stats, peers: &[PeerStats]) {
    peers.iter().for_each(assert_balanced);
    let sum = |of: fn(&PeerStats) -> u64| peers.iter().map(of).sum::<u64>();
    assert_eq!(stats.written, sum(|peer| peer.written), "{stats:?} {peers:?}");
    assert_eq!(stats.unconfirmed, sum(|peer| peer.unconfirmed));
    assert!(stats.queued >= sum(|peer| peer.queued), "{stats:?} {peers:?}"); // some may be with no peer
    assert_eq!(stats.received, sum(|peer| peer.received), "{stats:?} {peers:?}");
    assert_eq!(stats.delivered, sum(|peer| peer.delivered));
    assert_eq!(stats.discarded, sum(|peer| peer.discarded), "{stats:?} {peers:?}");
    assert_eq!(stats.waiting, sum(|peer| peer.waiting));
    assert_eq!(stats.bytes_written, sum(|peer| peer.bytes_written));
    assert_eq!(stats.bytes_received, sum(|peer| peer.bytes_received));
    assert_eq!(stats.peers as u64, sum(|peer| u64::from(peer.connected)));
    let again = |peer: &PeerStats| if peer.peer.endpoint.is_some() { peer.connections.max(1) - 1 } else { 0 };
    assert_eq!(stats.reconnects, sum(again));
}

#[track_caller]
fn assert_sums_of<T: Kind>(socket: &Socket<T>) {
    assert_sums(&socket.stats(), &socket.peer_stats());
}

/// The only peer.
#[track_caller]
fn only<T: Kind>(socket: &Socket<T>) -> PeerStats {
    let mut peers = socket.peer_stats();
    assert_eq!(peers.len(), 1, "{peers:?}");
    peers.remove(0)
}

#[test]
fn a_peer_is_counted_from_connect_on_over_all_its_connections() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = ctx.socket::<Push>().reconnect_interval(Duration::from_millis(5)).build().unwrap();
        push.connect(port.endpoint()).unwrap();
        let peer = only(&push);
        assert_eq!(peer.peer.endpoint.unwrap().to_string(), port.endpoint());
        assert_eq!((peer.peer.address, peer.peer.socket_type), (None, None), "it was never there");
        assert_eq!((peer.connected, peer.connections, peer.given), (false, 0, 0));
        for number in 0..3 {
            push.send(numbered(0, number, 0)).unwrap();
        }
        let peer = only(&push);
        assert_eq!((peer.given, peer.queued, peer.written), (3, 3, 0));
        assert_sums_of(&push);

        let listener = port.listen();
        let mut pull = raw::Peer::answer(&listener, "PULL");
        (0..3).for_each(|_| drop(pull.single()));
        eventually("they are written", || only(&push).written == 3);
        let peer = only(&push);
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        assert_eq!(peer.peer.address.as_ref().unwrap().to_string(), at);
        assert_eq!(peer.peer.address.as_ref().unwrap().socket_addr(), listener.local_addr().ok());
        assert_eq!(peer.peer.socket_type, Some(SocketType::Pull));
        assert_eq!((peer.connected, peer.connections, peer.bytes_written), (true, 1, 30));
        assert_sums_of(&push);

        pull.reset();
        eventually("it is lost", || !only(&push).connected);
        push.send("one more").unwrap();
        let peer = only(&push);
        assert_eq!((peer.given, peer.written, peer.unconfirmed, peer.queued), (3, 3, 3, 0));
        assert_eq!(push.stats().queued, 1, "for whoever comes first");
        assert_eq!(peer.peer.address.as_ref().unwrap().to_string(), at, "as when it was last there");
        assert_sums_of(&push);

        let mut pull = raw::Peer::answer(&listener, "PULL");
        assert_eq!(Message::from(pull.single()), "one more");
        eventually("all is written", || only(&push).written == 4);
        assert_eq!(only(&push).connections, 2);
        assert_sums_of(&push);
        push.disconnect(at).unwrap();
        assert_eq!(push.peer_stats(), []);
    });
}

#[test]
fn what_a_peer_has_left_is_counted_until_it_is_received() {
    within(PATIENCE, || {
        let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut push = raw::Peer::dial(&at, "PUSH");
        push.send(&[b"one"]);
        push.send(&[b"two", b"parts"]);
        eventually("they have come", || pull.stats().waiting == 2);
        let peer = only(&pull);
        assert_eq!((peer.peer.endpoint, peer.connected), (None, true));
        assert_eq!(peer.peer.address.unwrap().socket_addr(), push.0.local_addr().ok());
        assert_eq!((peer.received, peer.waiting, peer.bytes_received), (2, 2, 5 + (5 + 7)));
        drop(push);
        eventually("it is gone", || !only(&pull).connected);
        pull.recv().unwrap();
        let peer = only(&pull);
        assert_eq!((peer.received, peer.delivered, peer.waiting), (2, 1, 1));
        assert_sums_of(&pull);
        pull.recv().unwrap();
        assert_eq!(pull.peer_stats(), []);
    });
}

#[test]
fn the_peers_of_a_router_have_the_ids_it_knows_them_by() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let router = ctx.socket::<Router>().build().unwrap();
        let at = router.bind("tcp://127.0.0.1:0").unwrap();
        let named = ctx.socket::<Dealer>().routing_id("named").build().unwrap();
        let nameless = ctx.socket::<Dealer>().build().unwrap();
        for dealer in [&named, &nameless] {
            dealer.connect(&at).unwrap();
            dealer.send("hello").unwrap();
        }
        let port = DeadPort::new();
        router.connect_as(port.endpoint(), "away").unwrap();
        router.send(["away", "later"]).unwrap();
        let mut ids: Vec<Bytes> = (0..2).map(|_| router.recv().unwrap().into_parts().remove(0)).collect();
        ids.push(Bytes::from("away"));
        let mut known: Vec<Bytes> =
            router.peer_stats().into_iter().map(|peer| peer.peer.routing_id).collect();
        ids.sort();
        known.sort();
        assert_eq!(ids, known);
        let away = router.peer_stats().into_iter().find(|peer| peer.peer.routing_id == "away").unwrap();
        assert_eq!((away.connected, away.given, away.queued), (false, 1, 1));
        assert_sums_of(&router);
        assert_eq!(router.close(Duration::ZERO).unsent, ["later"]);
    });
}

#[test]
fn the_sums_are_those_of_the_socket_whatever_its_type() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (rep, req) =
            (ctx.socket::<Rep>().build().unwrap(), ctx.socket::<Req>().relaxed(true).build().unwrap());
        req.connect(rep.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        for number in 0..10 {
            req.send(numbered(0, number, 100)).unwrap();
            rep.send(rep.recv().unwrap()).unwrap();
            req.recv().unwrap();
        }
        eventually("all is written", || rep.stats().queued + req.stats().queued == 0);
        assert_sums_of(&rep);
        assert_sums_of(&req);
        assert_eq!((only(&req).given, only(&req).delivered), (10, 10));

        let publisher = ctx.socket::<XPub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let subscribers = ["a", "ab", ""].map(|topic| {
            let subscriber = ctx.socket::<Sub>().subscribe(topic).build().unwrap();
            subscriber.connect(&at).unwrap();
            subscriber
        });
        publisher.wait_subscribed(3, PATIENCE).unwrap();
        for topic in ["a", "ab", "b", "abc"] {
            publisher.send(topic).unwrap();
        }
        eventually("all is received", || {
            subscribers.iter().map(|subscriber| subscriber.stats().received).sum::<u64>() == 3 + 2 + 4
        });
        eventually("all is written", || publisher.stats().queued == 0);
        assert_sums_of(&publisher);
        assert_eq!(publisher.stats().accepted + publisher.stats().copied, 9);
        subscribers.iter().for_each(assert_sums_of);
        // The ends of subscriptions are told by messages that no peer has sent.
        drop(subscribers);
        eventually("they are gone", || publisher.stats().peers == 0);
        assert_sums_of(&publisher);
        while publisher.try_recv().is_ok() {
            publisher.peer_stats().iter().for_each(assert_balanced);
        }
        assert_eq!(publisher.peer_stats(), []);
    });
}

#[test]
fn what_is_replaced_and_what_is_shed_is_taken_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = ctx.socket::<Push>().conflate(true).build().unwrap();
        push.connect(port.endpoint()).unwrap();
        for number in 0..5 {
            push.send(numbered(0, number, 0)).unwrap();
        }
        let peer = only(&push);
        assert_eq!((peer.given, peer.taken_back, peer.queued), (5, 4, 1));
        assert_eq!(push.close(Duration::ZERO).unsent.len(), 1);

        let publisher = ctx.socket::<Pub>().send_hwm(10).overflow(Overflow::DropOldest).build().unwrap();
        let mut slow = raw::Peer::dial(publisher.bind("tcp://127.0.0.1:0").unwrap(), "SUB");
        slow.send(&[b"\x01"]);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        while only(&publisher).taken_back == 0 {
            let before = publisher.stats().dropped.overflowed;
            while publisher.stats().dropped.overflowed < before + 100 {
                publisher.send(vec![b'x'; 100_000]).unwrap();
            }
            // If all that is queued is on its way out there is nothing to be shed, until some of it is.
            slow.read(1_000_000);
        }
        let (stats, peer) = (publisher.stats(), only(&publisher));
        assert_balanced(&peer);
        // A new message that finds the whole queue on its way out is dropped before it is given to anybody.
        assert_eq!(stats.accepted, peer.given + (stats.dropped.overflowed - peer.taken_back));
    });
}

#[test]
fn each_peer_balances_at_any_moment() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = &ctx.socket::<Push>().send_hwm(10).build().unwrap();
        let at = &push.bind("tcp://127.0.0.1:0").unwrap();
        let pulls = [5, 50].map(|hwm| ctx.socket::<Pull>().recv_hwm(hwm).build().unwrap());
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            for pull in &pulls {
                pull.connect(at).unwrap();
                scope.spawn(move || while pull.recv().is_ok() {});
            }
            let stranger = scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let mut peer = raw::Peer::dial(at, "PULL");
                    (0..10).for_each(|_| drop(peer.single()));
                    peer.reset();
                }
            });
            scope.spawn(move || {
                for number in 0.. {
                    if push.send(numbered(0, number, 100)).is_err() {
                        return;
                    }
                }
            });
            for _ in 0..10_000 {
                push.peer_stats().iter().for_each(assert_balanced);
                pulls.iter().flat_map(Socket::peer_stats).for_each(|peer| assert_balanced(&peer));
            }
            stop.store(true, SeqCst);
            stranger.join().unwrap();
            drop(push.close(Duration::ZERO));
            pulls.iter().for_each(|pull| drop(pull.close(Duration::ZERO)));
        });
        push.peer_stats().iter().for_each(assert_balanced);
    });
}
