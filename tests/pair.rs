//! PAIR: one peer at a time, and a second one is refused visibly.

mod common;

use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, Tally, blocked, eventually, link, number_of, numbered, raw, within};
use ferromq::{Builder, ConnectError, Context, Endpoint, Event, Message, Pair, RecvError, Refusal, Socket};

const SOON: Duration = Duration::from_millis(10);

fn pair(ctx: &Context) -> Builder<Pair> {
    ctx.socket::<Pair>().linger(Duration::ZERO).reconnect_interval(SOON).reconnect_max(10 * SOON)
}

#[track_caller]
fn next(pair: &Socket<Pair>) -> Message {
    pair.recv_timeout(PATIENCE).unwrap()
}

/// Comes to a PAIR that has its peer, and is turned away before it hears anything of it but its greeting.
fn intrude(at: &Endpoint) {
    let mut peer = raw::Peer::connect(at);
    peer.write(&[raw::greeting(3, 1, "NULL"), raw::ready("PAIR"), raw::message(&[b"intruder"])].concat());
    peer.read(64);
    assert!(peer.try_frame().is_none(), "no READY");
}

#[test]
fn both_send_and_receive_as_they_like() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (one, other) = (&pair(&ctx).build().unwrap(), &pair(&ctx).build().unwrap());
        link(one, other);
        one.send(["a", "", "b"]).unwrap();
        one.send(Message::new()).unwrap();
        other.send("c").unwrap();
        assert_eq!((next(other), next(other)), (Message::from(["a", "", "b"]), Message::new()));
        assert_eq!(next(one), "c");
        thread::scope(|scope| {
            for (sender, from) in [(0, one), (1, other)] {
                scope.spawn(move || (0..5000).for_each(|n| from.send(numbered(sender, n, 10)).unwrap()));
            }
            for (sender, to) in [(1, one), (0, other)] {
                scope.spawn(move || (0..5000).for_each(|n| assert_eq!(number_of(&next(to)), (sender, n))));
            }
        });
    });
}

#[test]
fn without_a_peer_sending_waits() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pair = pair(&ctx).build().unwrap();
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        assert_eq!(pair.try_send("!").unwrap_err().reason(), Refusal::Full);
        assert_eq!(pair.send_timeout("!", SOON).unwrap_err().reason(), Refusal::TimedOut);
        thread::scope(|scope| {
            let waiting = blocked(scope, || pair.send_timeout("waited", PATIENCE));
            let mut peer = raw::Peer::dial(&at, "PAIR");
            assert_eq!(peer.single(), b"waited");
            waiting.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_second_peer_is_turned_away_and_the_first_is_undisturbed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pair = pair(&ctx).build().unwrap();
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        let mut first = raw::Peer::dial(&at, "PAIR");
        pair.wait_connected(1, PATIENCE).unwrap();
        for n in 0..100_u8 {
            intrude(&at);
            first.send(&[&[n]]);
            assert_eq!(next(&pair), [n]);
            pair.send(vec![n]).unwrap();
            assert_eq!(first.single(), [n]);
        }
        let stats = pair.stats();
        assert_eq!((stats.peers, stats.delivered, stats.accepted), (1, 100, 100));
        drop(first);
        eventually("the first is gone", || pair.stats().peers == 0);
        // It may still be on its way out when the next one comes; then that one is turned away, too.
        thread::scope(|scope| {
            let sending = scope.spawn(|| pair.send_timeout("welcome", PATIENCE));
            eventually("a new one is taken", || {
                let mut next = raw::Peer::connect(&at);
                next.write(&[raw::greeting(3, 1, "NULL"), raw::ready("PAIR")].concat());
                next.read(64);
                next.message().is_some_and(|message| message == [b"welcome"])
            });
            sending.join().unwrap().unwrap();
        });
    });
}

#[test]
fn of_a_hundred_peers_at_once_one_is_served() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pair = pair(&ctx).build().unwrap();
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        let mut peers: Vec<_> = (0..100).map(|_| raw::Peer::connect(&at)).collect();
        for peer in &mut peers {
            peer.write(&[raw::greeting(3, 1, "NULL"), raw::ready("PAIR")].concat());
        }
        pair.wait_connected(1, PATIENCE).unwrap();
        pair.send("you").unwrap();
        // None of them leaves: that would make room for another. Who is turned away gets a greeting and nothing more.
        let served = peers.iter_mut().filter_map(|peer| {
            peer.read(64);
            peer.try_frame().map(|ready| (ready.flags, peer.single()))
        });
        let served: Vec<_> = served.collect();
        assert_eq!(served, [(raw::COMMAND, b"you".to_vec())]);
    });
}

#[test]
fn a_second_connect_is_refused_while_there_is_a_peer_also_one_that_is_away() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (one, other) = (pair(&ctx).build().unwrap(), pair(&ctx).build().unwrap());
        let port = DeadPort::new();
        one.connect(port.endpoint()).unwrap();
        assert_eq!(one.connect(port.endpoint()), Err(ConnectError::Occupied));
        assert_eq!(one.connect("tcp://127.0.0.1:1"), Err(ConnectError::Occupied));
        one.disconnect(port.endpoint()).unwrap();

        let at = link(&other, &one);
        assert_eq!(one.connect(port.endpoint()), Err(ConnectError::Occupied));
        assert_eq!(
            other.connect(port.endpoint()),
            Err(ConnectError::Occupied),
            "an accepted one counts as well"
        );
        one.send("undisturbed").unwrap();
        assert_eq!(next(&other), "undisturbed");
        // One that was connected to is kept for while it is away, and whoever else comes is turned away.
        let own = one.bind("tcp://127.0.0.1:0").unwrap();
        other.unbind(&at).unwrap();
        eventually("it is away", || one.stats().peers == 0);
        assert_eq!(one.connect(port.endpoint()), Err(ConnectError::Occupied));
        intrude(&own);
        one.disconnect(&at).unwrap();
        raw::Peer::dial(&own, "PAIR").send(&[b"free"]);
        assert_eq!(next(&one), "free");
    });
}

#[test]
fn what_the_lost_peer_has_not_got_goes_to_the_next() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pair = pair(&ctx).send_buffer(4096).build().unwrap();
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        let first = raw::Peer::dial(&at, "PAIR");
        pair.wait_connected(1, PATIENCE).unwrap();
        for n in 0..40 {
            pair.send(numbered(0, n, 50_000)).unwrap();
        }
        first.reset();
        eventually("the first is gone", || pair.stats().peers == 0);
        let stats = pair.stats();
        assert!(stats.queued > 20 && stats.requeued == stats.queued, "{stats:?}");
        let mut tally = Tally::default();
        eventually("a new one gets the rest", || {
            let mut next = raw::Peer::dial(&at, "PAIR");
            let Some(mut first) = next.message() else { return false }; // turned away, see above
            tally.note(&first.remove(0).into());
            (1..stats.queued).for_each(|_| tally.note(&next.single().into()));
            true
        });
        let first_left = 40 - stats.queued as u32;
        assert!(tally.0.into_iter().eq((first_left..40).map(|n| (0, n))));
    });
}

#[test]
fn what_has_come_from_a_lost_peer_can_still_be_received() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pair = pair(&ctx).build().unwrap();
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "PAIR");
        peer.send(&[b"last words"]);
        peer.write(b"\x01\x04half");
        drop(peer);
        eventually("it has come and gone", || {
            let stats = pair.stats();
            (stats.peers, stats.waiting) == (0, 1)
        });
        assert_eq!(next(&pair), "last words");
        assert_eq!(pair.try_recv(), Err(RecvError::Empty));
    });
}

#[test]
fn who_is_turned_away_keeps_its_messages_for_when_it_is_welcome() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let server = pair(&ctx).build().unwrap();
        let at = server.bind("tcp://127.0.0.1:0").unwrap();
        let first = pair(&ctx).build().unwrap();
        first.connect(&at).unwrap();
        server.wait_connected(1, PATIENCE).unwrap();

        let second = pair(&ctx).build().unwrap();
        let monitor = second.monitor();
        second.connect(&at).unwrap();
        (0..100).for_each(|number| second.send(numbered(0, number, 10)).unwrap());
        for _ in 0..3 {
            let turned_away = |event: &Event| matches!(event, Event::HandshakeFailed { .. });
            while !turned_away(&monitor.recv_timeout(PATIENCE).unwrap()) {}
        }
        assert_eq!((second.stats().queued, second.stats().written), (100, 0));
        drop(first);
        (0..100).for_each(|number| assert_eq!(number_of(&next(&server)), (0, number)));
    });
}
