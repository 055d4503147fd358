//! What monitors tell: each thing that happens to a connection, in order, with its reason and who it was.

mod common;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use common::raw::{self, command, greeting, property};
use common::{DeadPort, PATIENCE, blocked, eventually, poll_once, within};
use ferromq::{
    Builder, Context, Dealer, Dropped, End, Endpoint, Event, Kind, Limit, Monitor, MonitorError, Pair, Pub,
    Pull, Push, Rejection, Remote, Router, Socket, SocketType, Violation, XPub,
};
use futures_executor::block_on;

/// A pause so long that nothing follows it in a test.
const NEVER: Duration = Duration::from_secs(1000);

fn build<T: Kind>(builder: Builder<T>) -> (Socket<T>, Monitor) {
    let socket = builder.build().unwrap();
    let monitor = socket.monitor();
    (socket, monitor)
}

#[test]
fn a_shared_monitor_is_an_iterator_that_ends_with_its_socket() {
    let context = Context::new().unwrap();
    let (pull, monitor) = build(context.socket::<Pull>());
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    drop(pull);
    let mut events = 0;
    for event in &monitor {
        assert!(matches!(event, Event::Listening { endpoint } if endpoint == at));
        events += 1;
    }
    assert_eq!(events, 1);
}

#[track_caller]
fn next(monitor: &Monitor) -> Event {
    monitor.recv_timeout(PATIENCE).unwrap()
}

#[track_caller]
fn listening(monitor: &Monitor) -> Endpoint {
    match next(monitor) {
        Event::Listening { endpoint } => endpoint,
        other => panic!("{other:?}"),
    }
}

/// Where a connection was accepted, and where it comes from.
#[track_caller]
fn accepted(monitor: &Monitor) -> (Endpoint, Endpoint) {
    match next(monitor) {
        Event::Accepted { endpoint, address } => (endpoint, address),
        other => panic!("{other:?}"),
    }
}

/// What was dialled, and where that is.
#[track_caller]
fn connected(monitor: &Monitor) -> (Endpoint, Endpoint) {
    match next(monitor) {
        Event::Connected { endpoint, address } => (endpoint, address),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn ready_peer(monitor: &Monitor) -> Remote {
    match next(monitor) {
        Event::Ready { peer } => peer,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn disconnected(monitor: &Monitor) -> (Remote, End) {
    match next(monitor) {
        Event::Disconnected { peer, why } => (peer, why),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(monitor: &Monitor) -> (Remote, End) {
    match next(monitor) {
        Event::HandshakeFailed { peer, why } => (peer, why),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn limit_reached(monitor: &Monitor) -> Limit {
    match next(monitor) {
        Event::LimitReached { limit, .. } => limit,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn retrying(monitor: &Monitor) -> (Endpoint, Duration) {
    match next(monitor) {
        Event::Retrying { endpoint, after } => (endpoint, after),
        other => panic!("{other:?}"),
    }
}

fn addr(endpoint: &Endpoint) -> SocketAddr {
    endpoint.socket_addr().unwrap()
}

#[test]
fn both_sides_of_a_connection_are_told_in_order() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for any in ["tcp://127.0.0.1:0", "tcp://[::1]:0", "ipc://*"] {
            let (pull, server) = build(ctx.socket::<Pull>());
            let (push, client) = build(ctx.socket::<Push>().reconnect_interval(NEVER).reconnect_max(NEVER));
            let Ok(at) = pull.bind(any) else {
                assert!(any.contains('['), "only IPv6 need not be there");
                continue;
            };
            assert_eq!(listening(&server), at);
            push.connect(&at).unwrap();
            assert_eq!(connected(&client), (at.clone(), at.clone()));
            let (bound, from) = accepted(&server);
            assert_eq!(bound, at);

            let peer = ready_peer(&client);
            assert_eq!((peer.endpoint.as_ref(), peer.address.as_ref()), (Some(&at), Some(&at)));
            assert_eq!((peer.socket_type, peer.routing_id.len()), (Some(SocketType::Pull), 0));
            let dialler = ready_peer(&server);
            assert_eq!((dialler.endpoint.as_ref(), dialler.address.as_ref()), (None, Some(&from)));
            assert_eq!(dialler.socket_type, Some(SocketType::Push));
            if any.starts_with("tcp") {
                assert_eq!(addr(&from).ip(), addr(&at).ip());
                assert_ne!(addr(&from).port(), addr(&at).port());
            } else {
                assert_eq!(from, at, "who dials has no name of its own");
            }

            pull.unbind(&at).unwrap();
            let (gone, why) = disconnected(&server);
            assert_eq!(gone, dialler);
            assert!(matches!(why, End::HungUp), "{why}");
            let (gone, why) = disconnected(&client);
            assert_eq!(gone, peer);
            assert!(matches!(why, End::Closed), "{why}");
            let (endpoint, after) = retrying(&client);
            assert_eq!((endpoint, after), (at, NEVER));
            for monitor in [client, server] {
                assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Empty);
            }
        }
    });
}

#[test]
fn a_name_is_told_with_the_address_it_stands_for() {
    within(PATIENCE, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (push, monitor) = build(Context::new().unwrap().socket::<Push>());
        push.connect(format!("tcp://localhost:{port}")).unwrap();
        let (endpoint, address) = connected(&monitor);
        assert_eq!(endpoint.to_string(), format!("tcp://localhost:{port}"));
        assert_eq!(address.socket_addr(), listener.local_addr().ok());
        let _peer = raw::Peer::answer(&listener, "PULL");
        let peer = ready_peer(&monitor);
        assert_eq!((peer.endpoint, peer.address), (Some(endpoint), Some(address)));
    });
}

#[test]
fn an_attempt_that_fails_is_told_with_its_error_and_the_pause_after_it() {
    within(2 * PATIENCE, || {
        let ms = Duration::from_millis;
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let (push, monitor) = build(ctx.socket::<Push>().reconnect_interval(ms(10)).reconnect_max(ms(40)));
        push.connect(port.endpoint()).unwrap();
        let mut last = Instant::now();
        for (least, most) in [(10, 20), (20, 40), (20, 40), (20, 40)] {
            match next(&monitor) {
                Event::ConnectFailed { endpoint, error } => {
                    assert_eq!(endpoint.to_string(), port.endpoint());
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                }
                other => panic!("{other:?}"),
            }
            let (endpoint, after) = retrying(&monitor);
            assert_eq!(endpoint.to_string(), port.endpoint());
            assert!((ms(least)..=ms(most)).contains(&after), "{after:?} is not from {least} to {most} ms");
            last += after;
        }
        assert!(Instant::now() + ms(50) > last, "the pauses are those that were told");
        push.disconnect(port.endpoint()).unwrap();

        let (push, monitor) = build(ctx.socket::<Push>().reconnect_interval(NEVER).reconnect_max(NEVER));
        push.connect("tcp://no-such-host.invalid:1").unwrap();
        assert!(matches!(next(&monitor), Event::ConnectFailed { .. }));
        assert_eq!(retrying(&monitor).1, NEVER);
        assert_eq!(monitor.recv_timeout(ms(50)).unwrap_err(), MonitorError::TimedOut);
    });
}

#[test]
fn a_stranger_is_told_of_with_what_it_did() {
    within(PATIENCE, || {
        let (pull, monitor) = build(Context::new().unwrap().socket::<Pull>());
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        let hello = |then: &[u8]| [&greeting(3, 1, "NULL"), then].concat();
        let of_type = |name: &[u8]| hello(&command("READY", &property("Socket-Type", name)));
        let cases = [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Violation::NotZmtp),
            (greeting(1, 0, "NULL"), Violation::OldVersion { major: 1 }),
            (greeting(3, 1, "PLAIN"), Violation::MechanismMismatch),
            (hello(&raw::message(&[b"too early"])), Violation::UnexpectedMessage),
            (hello(&command("READY", b"\x0BSocket")), Violation::MalformedMetadata),
            (hello(&command("READY", b"")), Violation::MissingSocketType),
            (of_type(b"BANANA"), Violation::UnknownSocketType),
            (
                of_type(b"PUB"),
                Violation::IncompatibleSocketType { ours: SocketType::Pull, theirs: SocketType::Pub },
            ),
            (hello(&command("ERROR", b"\x02no")), Violation::PeerError { reason: "no".into() }),
        ];
        for (octets, expected) in cases {
            let mut stranger = raw::Peer::connect(&at);
            let from = stranger.0.local_addr().ok();
            assert_eq!(accepted(&monitor).1.socket_addr(), from);
            stranger.write(&octets);
            let (peer, why) = failed(&monitor);
            assert_eq!((peer.endpoint, peer.address.unwrap().socket_addr()), (None, from));
            assert!(matches!(&why, End::Violation(violation) if *violation == expected), "{why}");
        }

        let stranger = raw::Peer::connect(&at);
        accepted(&monitor);
        drop(stranger);
        let why = failed(&monitor).1;
        assert!(matches!(why, End::Closed | End::Broken(_)), "{why}");
        let _silent = raw::Peer::connect(&at);
        accepted(&monitor);
        pull.unbind(at).unwrap();
        let why = failed(&monitor).1;
        assert!(matches!(why, End::HungUp), "{why}");
    });
}

#[test]
fn a_stranger_that_says_too_little_is_told_of() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, monitor) = build(ctx.socket::<Pull>().handshake_timeout(Duration::from_millis(50)));
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        for octets in [&b""[..], &raw::SIGNATURE, &greeting(3, 1, "NULL")] {
            let mut stranger = raw::Peer::connect(&at);
            stranger.write(octets);
            accepted(&monitor);
            assert_eq!(limit_reached(&monitor), Limit::HandshakeTime);
            let why = failed(&monitor).1;
            assert!(matches!(why, End::Violation(Violation::HandshakeTimeout)), "{why}");
        }
    });
}

#[test]
fn both_sides_of_a_pair_that_does_not_fit_are_told() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, server) = build(ctx.socket::<Pull>());
        let (publisher, client) = build(ctx.socket::<Pub>());
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        publisher.connect(&at).unwrap();
        listening(&server);
        accepted(&server);
        connected(&client);
        let misfit = |monitor, ours, theirs| match failed(monitor) {
            (peer, End::Violation(violation)) => {
                // Who hears of it first hangs up, having told the other.
                let expected = Violation::IncompatibleSocketType { ours, theirs };
                assert!(
                    violation == expected || matches!(violation, Violation::PeerError { .. }),
                    "{violation}"
                );
                peer
            }
            (peer, End::Closed | End::Broken(_)) => peer,
            (_, other) => panic!("{other}"),
        };
        assert_eq!(misfit(&server, SocketType::Pull, SocketType::Pub).endpoint, None);
        assert_eq!(misfit(&client, SocketType::Pub, SocketType::Pull).endpoint, Some(at));
        assert!(matches!(next(&client), Event::Retrying { .. } | Event::Abandoned { .. }));
    });
}

#[test]
fn a_peer_that_says_no_is_abandoned() {
    within(PATIENCE, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (push, monitor) = build(Context::new().unwrap().socket::<Push>());
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        push.connect(&at).unwrap();
        connected(&monitor);
        let mut peer = raw::Peer::accept(&listener);
        peer.write(&[greeting(3, 1, "NULL"), command("ERROR", b"\x03400")].concat());
        let why = failed(&monitor).1;
        let expected = Violation::PeerError { reason: "400".into() };
        assert!(matches!(&why, End::Violation(violation) if *violation == expected), "{why}");
        match next(&monitor) {
            Event::Abandoned { endpoint } => assert_eq!(endpoint.to_string(), at),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_peer_the_socket_does_not_want_is_told_of() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pair, monitor) = build(ctx.socket::<Pair>());
        let at = pair.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        let _first = raw::Peer::dial(&at, "PAIR");
        accepted(&monitor);
        ready_peer(&monitor);
        let mut second = raw::Peer::connect(&at);
        second.write(&[greeting(3, 1, "NULL"), raw::ready("PAIR")].concat());
        let from = accepted(&monitor).1;
        let (peer, why) = failed(&monitor);
        assert_eq!(peer.address, Some(from));
        assert!(matches!(why, End::Refused(Rejection::Occupied)), "{why}");
        drop(second);
    });
}

#[test]
fn a_router_tells_the_ids_it_knows_its_peers_by() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for handover in [false, true] {
            let (router, monitor) = build(ctx.socket::<Router>().handover(handover));
            let at = router.bind("tcp://127.0.0.1:0").unwrap();
            listening(&monitor);
            let named =
                || ctx.socket::<Dealer>().routing_id("worker").reconnect_interval(Duration::from_secs(4));
            let first = named().build().unwrap();
            first.connect(&at).unwrap();
            let from = accepted(&monitor).1;
            let holder = ready_peer(&monitor);
            assert_eq!((holder.routing_id.as_ref(), holder.address.as_ref()), (&b"worker"[..], Some(&from)));

            let second = named().build().unwrap();
            second.connect(&at).unwrap();
            let from = accepted(&monitor).1;
            if handover {
                let heir = ready_peer(&monitor);
                assert_eq!((heir.routing_id.as_ref(), heir.address), (&b"worker"[..], Some(from)));
                let (gone, why) = disconnected(&monitor);
                assert_eq!(gone, holder);
                assert!(matches!(why, End::HungUp), "{why}");
            } else {
                let (peer, why) = failed(&monitor);
                assert_eq!(peer.address, Some(from));
                assert!(matches!(why, End::Refused(Rejection::RoutingIdTaken)), "{why}");
            }

            let (nameless, told) = build(ctx.socket::<Dealer>());
            nameless.connect(&at).unwrap();
            connected(&told);
            assert_eq!(ready_peer(&told).routing_id, "", "a router need not have a name");
            accepted(&monitor);
            let id = ready_peer(&monitor).routing_id;
            nameless.send("hello").unwrap();
            assert_eq!(router.recv().unwrap().part(0), Some(&id[..]));
        }
    });
}

#[test]
fn a_connection_ends_for_a_reason() {
    within(PATIENCE, || {
        let (pull, monitor) = build(Context::new().unwrap().socket::<Pull>().max_message_size(10));
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        type Case = (fn(raw::Peer), fn(&End) -> bool);
        let ends: [Case; 4] = [
            (drop, |why| matches!(why, End::Closed)),
            (
                raw::Peer::reset,
                |why| matches!(why, End::Broken(error) if error.kind() == ErrorKind::ConnectionReset),
            ),
            (
                |mut peer| peer.send(&[b"more than ten"]),
                |why| matches!(why, End::Violation(Violation::MessageTooLarge { limit: 10 })),
            ),
            (
                |mut peer| {
                    peer.write(&command("PING", &[0, 1]));
                    peer.expect_closed(PATIENCE);
                },
                |why| matches!(why, End::Violation(Violation::Silent)),
            ),
        ];
        for (end, is_right) in ends {
            let peer = raw::Peer::dial(&at, "PUSH");
            accepted(&monitor);
            let ready = ready_peer(&monitor);
            end(peer);
            let mut event = next(&monitor);
            if let Event::LimitReached { limit, .. } = event {
                assert_eq!(limit, Limit::MessageSize);
                event = next(&monitor);
            }
            let Event::Disconnected { peer: gone, why } = event else { panic!("{event:?}") };
            assert_eq!(gone, ready);
            assert!(is_right(&why), "{why:?}");
        }
    });
}

#[test]
fn a_lost_peer_is_tried_again_and_told_anew() {
    within(PATIENCE, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let interval = Duration::from_millis(10);
        let (push, monitor) = build(Context::new().unwrap().socket::<Push>().reconnect_interval(interval));
        push.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        for _ in 0..3 {
            connected(&monitor);
            let peer = raw::Peer::answer(&listener, "PULL");
            ready_peer(&monitor);
            thread::sleep(2 * interval); // which is what counts as lasting
            drop(peer);
            disconnected(&monitor);
            let after = retrying(&monitor).1;
            assert!(
                (interval..=2 * interval).contains(&after),
                "a connection that lasts starts the pauses anew: {after:?}"
            );
        }
    });
}

#[test]
fn a_monitor_that_is_not_read_costs_its_oldest_events_and_holds_up_nothing() {
    within(2 * PATIENCE, || {
        let (pull, monitor) = build(Context::new().unwrap().socket::<Pull>().monitor_hwm(5));
        let all = pull.monitor(); // no larger, and read all the time
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut good = raw::Peer::dial(&at, "PUSH");
        (0..3).for_each(|_| drop(next(&all)));
        for stranger in 0u32..100 {
            let mut stranger_peer = raw::Peer::connect(&at);
            stranger_peer.write(b"GET / HTTP/1.1\r\n\r\n");
            stranger_peer.expect_closed(PATIENCE);
            accepted(&all);
            failed(&all);
            good.send(&[&stranger.to_be_bytes()]);
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), stranger.to_be_bytes());
        }
        assert_eq!(all.try_recv().unwrap_err(), MonitorError::Empty);
        match next(&monitor) {
            Event::Missed { events } => assert_eq!(events, 3 + 200 - 5),
            other => panic!("{other:?}"),
        }
        for round in 0..5 {
            let event = next(&monitor);
            let expected = if round % 2 == 0 {
                matches!(event, Event::HandshakeFailed { .. })
            } else {
                matches!(event, Event::Accepted { .. })
            };
            assert!(expected, "{event:?}");
        }
        assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Empty);
    });
}

/// All losses told of until the monitor has told of so many, and how many events that took.
fn told(monitor: &Monitor, until: u64) -> (Vec<Dropped>, Duration) {
    let (mut events, start) = (Vec::new(), Instant::now());
    while events.iter().map(Dropped::total).sum::<u64>() < until {
        match next(monitor) {
            Event::Dropped { messages } => events.push(messages),
            Event::Listening { .. } | Event::Accepted { .. } | Event::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (events, start.elapsed())
}

#[test]
fn losses_are_told_by_reason_and_not_too_often() {
    within(PATIENCE, || {
        let (publisher, monitor) = build(Context::new().unwrap().socket::<Pub>().send_hwm(1));
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        publisher.send("for nobody").unwrap();
        let (events, _) = told(&monitor, 1);
        assert_eq!((events.len(), events[0].unsubscribed), (1, 1));

        let mut slow = raw::Peer::dial(&at, "SUB");
        slow.send(&[b"\x01"]);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        let start = Instant::now();
        while publisher.stats().dropped.overflowed < 10_000 {
            publisher.send(vec![b'x'; 10_000]).unwrap();
        }
        let lost = publisher.stats().dropped.overflowed;
        // Nothing more is sent, and the last losses are told all the same.
        let (events, _) = told(&monitor, lost);
        let most = 1 + start.elapsed().as_millis() / 100;
        assert!(events.len() as u128 <= most + 1, "{} events in {:?}", events.len(), start.elapsed());
        assert_eq!(events.iter().map(|event| event.overflowed).sum::<u64>(), lost);
        assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Empty);
    });
}

#[test]
fn what_a_closed_socket_still_loses_is_told_before_the_end() {
    within(PATIENCE, || {
        let port = DeadPort::new();
        let ctx = Context::new().unwrap();
        let (push, monitor) =
            build(ctx.socket::<Push>().linger(Duration::ZERO).reconnect_interval(NEVER).reconnect_max(NEVER));
        push.connect(port.endpoint()).unwrap();
        (0..7).for_each(|_| push.send("never").unwrap());
        drop(push);
        let lost = |event| match event {
            Event::Dropped { messages } => messages.lingered,
            Event::ConnectFailed { .. } | Event::Retrying { .. } => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(monitor.map(lost).sum::<u64>(), 7);
    });
}

#[test]
fn closing_tells_of_the_last_connections_and_ends_the_monitor() {
    within(PATIENCE, || {
        for end in ["close", "close the context", "drop", "drop with something unsent"] {
            let ctx = Context::new().unwrap();
            let (push, monitor) = build(ctx.socket::<Push>().linger(Duration::from_millis(50)));
            let at = push.bind("tcp://127.0.0.1:0").unwrap();
            let peer = raw::Peer::dial(&at, "PULL");
            listening(&monitor);
            accepted(&monitor);
            ready_peer(&monitor);
            let rest: Vec<Event> = thread::scope(|scope| {
                let waiting = blocked(scope, || std::iter::from_fn(|| monitor.recv().ok()).collect());
                match end {
                    "close" => drop(push.close(PATIENCE)),
                    "close the context" => drop(ctx.close(PATIENCE)),
                    "drop" => drop(push),
                    _ => {
                        while push.try_send(vec![b'x'; 100_000]).is_ok() {}
                        drop(push);
                    }
                }
                waiting.join().unwrap()
            });
            let (ends, losses): (Vec<_>, Vec<_>) =
                rest.iter().partition(|event| matches!(event, Event::Disconnected { .. }));
            assert!(matches!(ends[..], [Event::Disconnected { why: End::HungUp, .. }]), "{end}: {rest:?}");
            assert!(losses.iter().all(|event| matches!(event, Event::Dropped { .. })), "{end}: {rest:?}");
            assert_eq!(losses.is_empty(), end != "drop with something unsent", "{end}: {rest:?}");
            assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Closed);
            drop(ctx);
            assert_eq!(monitor.recv().unwrap_err(), MonitorError::Closed);
            assert_eq!(block_on(monitor.recv_async()).unwrap_err(), MonitorError::Closed);
            drop(peer);
        }
    });
}

/// The socket is closed and still there, and so is its monitor.
#[test]
fn closing_that_is_awaited_ends_the_monitor_too() {
    within(PATIENCE, || {
        for at in ["tcp://127.0.0.1:0", "inproc://awaited"] {
            let ctx = Context::new().unwrap();
            let (push, monitor) = build(ctx.socket::<Push>());
            let (lonely, nothing) = build(ctx.socket::<Push>());
            let pull = ctx.socket::<Pull>().build().unwrap();
            push.connect(pull.bind(at).unwrap()).unwrap();
            push.send("hello").unwrap();
            assert_eq!(pull.recv().unwrap(), "hello");
            drop(block_on(push.close_async()));
            let told: Vec<_> = monitor.collect();
            assert!(matches!(told[..], [.., Event::Disconnected { why: End::HungUp, .. }]), "{told:?}");
            drop(block_on(lonely.close_async()));
            assert_eq!(nothing.count(), 0);
        }
    });
}

#[test]
fn a_monitor_made_after_the_end_has_nothing_to_tell() {
    within(PATIENCE, || {
        let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
        drop(pull.close(Duration::ZERO));
        assert_eq!(pull.monitor().recv().unwrap_err(), MonitorError::Closed);
    });
}

#[test]
fn a_waiting_monitor_does_not_keep_the_context() {
    within(PATIENCE, || {
        let (pull, monitor) = build(Context::new().unwrap().socket::<Pull>());
        pull.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        thread::scope(|scope| {
            let waiting = blocked(scope, || monitor.recv());
            drop(pull); // and with it the context, whose threads end here
            assert_eq!(waiting.join().unwrap().unwrap_err(), MonitorError::Closed);
        });
    });
}

#[test]
fn futures_wait_for_events_too() {
    within(PATIENCE, || {
        let (pull, monitor) = build(Context::new().unwrap().socket::<Pull>());
        {
            let mut waiting = std::pin::pin!(monitor.recv_async());
            assert!(poll_once(waiting.as_mut()).is_none());
        } // dropped, and nothing is lost
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        assert!(matches!(block_on(monitor.recv_async()).unwrap(), Event::Listening { .. }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let waiting = tokio::spawn(async move { (monitor.recv_async().await, monitor) });
            tokio::task::yield_now().await;
            let stranger = tokio::task::spawn_blocking(move || raw::Peer::dial(&at, "PUSH"));
            let (event, monitor) = waiting.await.unwrap();
            assert!(matches!(event.unwrap(), Event::Accepted { .. }));
            assert!(matches!(monitor.recv_async().await.unwrap(), Event::Ready { .. }));
            drop(stranger.await.unwrap());
            assert!(matches!(monitor.recv_async().await.unwrap(), Event::Disconnected { .. }));
        });
    });
}

#[test]
fn every_monitor_is_told_everything_from_its_beginning_on() {
    within(PATIENCE, || {
        let (pull, early) = build(Context::new().unwrap().socket::<Pull>());
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let late = pull.monitor();
        let gone = pull.monitor();
        drop(gone);
        let peer = raw::Peer::dial(&at, "PUSH");
        assert_eq!(listening(&early), at);
        for monitor in [&early, &late] {
            accepted(monitor);
            ready_peer(monitor);
        }
        drop(peer);
        for monitor in [&early, &late] {
            disconnected(monitor);
        }
    });
}

#[test]
fn a_monitor_sees_all_while_the_socket_is_busy() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (publisher, monitor) = build(ctx.socket::<XPub>());
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        listening(&monitor);
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let (mut came, mut went) = (0, 0);
                while went < 20 {
                    match next(&monitor) {
                        Event::Ready { .. } => came += 1,
                        Event::Disconnected { .. } => went += 1,
                        Event::Accepted { .. } | Event::Dropped { .. } => {}
                        other => panic!("{other:?}"),
                    }
                    assert!(went <= came, "{went} went and {came} came");
                }
            });
            let busy = scope.spawn(|| while publisher.send("busy").is_ok() {});
            for _ in 0..20 {
                let mut peer = raw::Peer::dial(&at, "SUB");
                peer.send(&[b"\x01"]);
                peer.single();
            }
            watching.join().unwrap();
            drop(publisher.close(Duration::ZERO));
            busy.join().unwrap();
        });
        eventually("it ends", || matches!(monitor.recv(), Err(MonitorError::Closed)));
    });
}
