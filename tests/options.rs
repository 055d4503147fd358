//! What the options of a socket do, and that their limits are checked.

mod common;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, Rng, eventually, pair, raw, resident, within};
use ferromq::{
    BuildError, Context, ContextError, Keepalive, Message, Pull, Push, RecvError, Refusal, Socket,
};

const SOON: Duration = Duration::from_millis(10);

#[test]
fn a_conflating_push_keeps_exactly_the_newest_message() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = ctx
            .socket::<Push>()
            .conflate(true)
            .linger(Duration::ZERO)
            .reconnect_interval(SOON)
            .build()
            .unwrap();
        push.connect(port.endpoint()).unwrap();
        for number in 1..=100 {
            push.try_send(number.to_string()).unwrap();
        }
        let stats = push.stats();
        assert_eq!((stats.accepted, stats.queued, stats.dropped.conflated), (100, 1, 99));
        let listener = port.listen();
        let mut pull = raw::Peer::answer(&listener, "PULL");
        assert_eq!(pull.single(), b"100");
        push.send("101").unwrap();
        assert_eq!(pull.single(), b"101", "and nothing in between");
    });
}

#[test]
fn a_conflating_pull_keeps_exactly_the_newest_message() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().conflate(true).build().unwrap();
        let mut push = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        for round in 0..20 {
            for number in 1..=100 {
                push.send(&[format!("{round} {number}").as_bytes()]);
            }
            push.ping(b"");
            push.expect_pong(b""); // so all of them have been taken in
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), format!("{round} 100").as_str());
            assert_eq!(pull.try_recv(), Err(RecvError::Empty));
        }
    });
}

#[test]
fn an_immediate_push_queues_for_completed_connections_only() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let dead = DeadPort::new();
        let push = ctx.socket::<Push>().immediate(true).linger(Duration::ZERO).build().unwrap();
        push.connect(dead.endpoint()).unwrap();
        assert_eq!(push.try_send("there is no connection").unwrap_err().reason(), Refusal::Full);

        let pull = ctx.socket::<Pull>().build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        for number in 0..500 {
            push.send(number.to_string()).unwrap();
        }
        for number in 0..500 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_string().as_str());
        }
    });
}

#[test]
fn without_immediate_a_dead_endpoint_gets_its_share() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let dead = DeadPort::new();
        let push = ctx.socket::<Push>().linger(Duration::ZERO).build().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        push.connect(dead.endpoint()).unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        for number in 0..100 {
            push.send(number.to_string()).unwrap();
        }
        for _ in 0..50 {
            pull.recv_timeout(PATIENCE).unwrap();
        }
        eventually("they are counted", || push.stats().written == 50);
        assert_eq!(push.stats().queued, 50);
        assert_eq!(pull.try_recv(), Err(RecvError::Empty));
    });
}

#[test]
fn an_immediate_push_waits_while_its_peer_is_away() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx
            .socket::<Push>()
            .immediate(true)
            .reconnect_interval(SOON)
            .reconnect_max(SOON)
            .build()
            .unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();
        push.send("first").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "first");
        pull.unbind(&at).unwrap();
        eventually("the loss is noticed", || push.stats().peers == 0);
        assert_eq!(push.try_send("nobody there").unwrap_err().reason(), Refusal::Full);
        thread::scope(|scope| {
            let waiting = common::blocked(scope, || push.send("second"));
            assert!(!waiting.is_finished());
            pull.bind(&at).unwrap();
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "second");
    });
}

fn limited_pull(ctx: &Context, limit: usize) -> (Socket<Pull>, ferromq::Endpoint) {
    let pull = ctx.socket::<Pull>().max_message_size(limit).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    (pull, at)
}

#[test]
fn a_message_of_exactly_the_maximum_size_passes() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for limit in [1, 255, 256, 1000, 100_000, 3_000_000] {
            let (pull, at) = limited_pull(&ctx, limit);
            let push = ctx.socket::<Push>().build().unwrap();
            push.connect(&at).unwrap();
            push.send(vec![b'x'; limit]).unwrap();
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap().byte_len(), limit);
            push.send([vec![b'x'; limit / 2], Vec::new(), vec![b'x'; limit - limit / 2]]).unwrap();
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap().byte_len(), limit, "in parts");
        }
    });
}

#[test]
fn a_larger_message_ends_the_connection_as_soon_as_its_size_is_known() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for limit in [1_u64, 254, 255, 256, 1000, 100_000] {
            let (pull, at) = limited_pull(&ctx, limit as usize);
            let mut bad = raw::Peer::dial(&at, "PUSH");
            bad.send(&[b"x"]);
            // Only the header of a frame that is one octet too long, behind a part that is fine in itself.
            bad.write(&raw::frame(raw::MORE, b""));
            match u8::try_from(limit + 1) {
                Ok(size) => bad.write(&[0, size]),
                Err(_) => bad.write(&[&[raw::LONG][..], &(limit + 1).to_be_bytes()].concat()),
            }
            bad.expect_closed(PATIENCE);
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "x", "what was whole before stays");
            eventually("the peer is gone", || pull.stats().peers == 0);
            assert_eq!(pull.try_recv(), Err(RecvError::Empty), "its first part was discarded");

            let mut good = raw::Peer::dial(&at, "PUSH");
            good.send(&[b"y"]);
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "y");
        }
    });
}

#[test]
fn the_maximum_size_counts_all_parts_of_a_message() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, at) = limited_pull(&ctx, 1000);
        let mut bad = raw::Peer::dial(&at, "PUSH");
        bad.write(&raw::frame(raw::MORE, &[0; 600]));
        bad.write(&raw::frame(0, &[0; 401])[..9]); // the header is enough
        bad.expect_closed(PATIENCE);
        assert_eq!(pull.stats().received, 0);
    });
}

#[test]
fn a_peer_that_only_declares_a_huge_message_costs_no_memory() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, at) = limited_pull(&ctx, usize::MAX);
        let before = resident();
        let mut peers: Vec<_> = (0..20).map(|_| raw::Peer::dial(&at, "PUSH")).collect();
        for peer in &mut peers {
            peer.write(&[&[raw::LONG][..], &(1_u64 << 40).to_be_bytes(), b"ten octets"].concat());
            // Another connection's answer shows that the I/O thread has come round.
        }
        let mut good = raw::Peer::dial(&at, "PUSH");
        good.send(&[b"still served"]);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "still served");
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 << 20, "twenty declared terabytes cost {grown} bytes");
    });
}

#[test]
fn the_timeouts_of_a_socket_hold_for_its_plain_calls() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for timeout in [0, 1, 40].map(Duration::from_millis) {
            let push = ctx.socket::<Push>().send_timeout(Some(timeout)).build().unwrap();
            let pull = ctx.socket::<Pull>().recv_timeout(Some(timeout)).build().unwrap();
            let start = Instant::now();
            let error = push.send(["to", "nobody"]).unwrap_err();
            assert_eq!(
                (error.reason(), error.message()),
                (Refusal::TimedOut, &Message::from(["to", "nobody"]))
            );
            assert_eq!(pull.recv(), Err(RecvError::TimedOut));
            let elapsed = start.elapsed();
            assert!(
                (2 * timeout..2 * timeout + Duration::from_millis(500)).contains(&elapsed),
                "{elapsed:?}"
            );

            push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            push.send("there is room").unwrap();
            eventually("it is there", || pull.stats().waiting == 1);
            assert_eq!(pull.recv().unwrap(), "there is room");
        }
        let pull = ctx.socket::<Pull>().recv_timeout(Some(SOON)).build().unwrap();
        pull.bind("tcp://127.0.0.1:0").unwrap();
        let start = Instant::now();
        assert_eq!(
            pull.recv_timeout(3 * SOON),
            Err(RecvError::TimedOut),
            "a timeout of the call goes before that of the socket"
        );
        assert!(start.elapsed() >= 3 * SOON);
    });
}

#[test]
fn options_out_of_range_are_errors_that_name_them() {
    let ctx = Context::new().unwrap();
    let push = || ctx.socket::<Push>();
    let pull = || ctx.socket::<Pull>();
    let ms = Duration::from_millis;
    let errors = [
        ("reconnect_interval", push().reconnect_interval(Duration::ZERO).build().err()),
        ("reconnect_max", push().reconnect_interval(ms(100)).reconnect_max(ms(99)).build().err()),
        ("connect_timeout", push().connect_timeout(Some(Duration::ZERO)).build().err()),
        ("handshake_timeout", push().handshake_timeout(Duration::ZERO).build().err()),
        ("max_message_size", pull().max_message_size(0).build().err()),
        ("backlog", push().backlog(0).build().err()),
        ("backlog", push().backlog(u32::MAX).build().err()),
        ("send_buffer", push().send_buffer(0).build().err()),
        ("recv_buffer", pull().recv_buffer(0).build().err()),
        ("send_buffer", push().send_buffer(usize::MAX).build().err()),
        ("keepalive.idle", push().keepalive(Keepalive::new().idle(Duration::ZERO)).build().err()),
        ("keepalive.retries", push().keepalive(Keepalive::new().retries(1000)).build().err()),
    ];
    for (option, error) in errors {
        match error {
            Some(BuildError::Option(error)) => assert_eq!(error.option(), option, "{error}"),
            other => panic!("{option} out of its range: {other:?}"),
        }
    }
    for threads in [0, usize::MAX] {
        match Context::builder().io_threads(threads).build() {
            Err(ContextError::Option(error)) => assert_eq!(error.option(), "io_threads"),
            other => panic!("{threads} I/O threads: {:?}", other.map(drop)),
        }
    }
}

#[test]
fn options_at_the_ends_of_their_ranges_work() {
    within(PATIENCE, || {
        let ctx = Context::builder().io_threads(4).build().unwrap();
        let tick = Duration::from_millis(1);
        let pull = ctx
            .socket::<Pull>()
            .recv_hwm(1)
            .backlog(1)
            .recv_buffer(1)
            .reconnect_interval(tick)
            .reconnect_max(tick);
        let pull = pull.keepalive(Keepalive::off()).recv_timeout(Some(PATIENCE)).build().unwrap();
        let push = ctx
            .socket::<Push>()
            .send_hwm(1)
            .send_buffer(1)
            .linger(Duration::MAX)
            .send_timeout(Some(Duration::MAX));
        let push = push
            .connect_timeout(None)
            .handshake_timeout(Duration::MAX)
            .reconnect_max(Duration::MAX)
            .build()
            .unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..200_u32).for_each(|number| push.send(&number.to_be_bytes()).unwrap()));
            for number in 0..200_u32 {
                assert_eq!(pull.recv().unwrap(), number.to_be_bytes());
            }
        });
    });
}

/// Values of all sizes: a socket is built or refused, it never panics, and one that was built can be used.
#[test]
fn random_options_never_panic() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let mut rng = Rng(11);
        let mut built = 0;
        for _ in 0..2000 {
            // Mostly what anybody might choose, and now and then anything at all.
            let mut size =
                || if rng.one_in(20) { rng.next() as usize } else { 1 + rng.below(100_000) as usize };
            let (a, b, c, d) = (size(), size(), size(), size());
            let mut time = || match rng.below(20) {
                0 => Duration::from_nanos(rng.next() >> rng.below(64)),
                1 => Duration::from_secs(rng.next() >> rng.below(64)),
                _ => Duration::from_millis(1 + rng.below(10_000)),
            };
            let (e, f, g, h, i) = (time(), time(), time(), time(), time());
            let keepalive = Keepalive::new().idle(i).interval(g).retries(d as u32 % 150);
            let push = ctx.socket::<Push>().send_hwm(a).send_buffer(b).recv_buffer(c).backlog(d as u32);
            let push = push.reconnect_interval(e.min(f)).reconnect_max(e.max(f)).keepalive(keepalive);
            let push = push.connect_timeout(Some(g)).handshake_timeout(h);
            let push = push.linger(Duration::ZERO).send_timeout(Some(Duration::ZERO));
            let Ok(push) = push.ipv6(a % 2 == 0).immediate(b % 2 == 0).conflate(c % 2 == 0).build() else {
                continue;
            };
            built += 1;
            push.bind("tcp://127.0.0.1:0").unwrap();
            push.connect("tcp://127.0.0.1:1").unwrap();
            drop(push.try_send("hello"));
        }
        println!("{built} of 2000 were built");
        assert!((50..1950).contains(&built), "the values are all good or all bad");
        let (push, pull) = pair(&ctx);
        push.send("the context is as good as new").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "the context is as good as new");
    });
}

#[test]
fn small_packets_are_not_held_back() {
    // TCP_NODELAY cannot be seen from outside; what it prevents can: with it off, a second small write waits for the
    // acknowledgement of the first, which the receiver delays by some 40 ms.
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let mut peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let start = Instant::now();
                push.send("one").unwrap();
                thread::sleep(Duration::from_micros(500)); // so that they are two writes
                push.send("two").unwrap();
                assert_eq!((peer.single(), peer.single()), (b"one".to_vec(), b"two".to_vec()));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        assert!(times[25] < Duration::from_millis(20), "half of the pairs took {:?} and more", times[25]);
    });
}

#[test]
fn a_connect_timeout_ends_an_attempt_that_hangs() {
    // A listener whose backlog is full lets connection attempts hang.
    within(PATIENCE, || {
        let port = DeadPort::new();
        let at = port.endpoint();
        let listener: TcpListener = port.listen_with_backlog(0);
        let mut held = Vec::new();
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&raw::address(&at), Duration::from_millis(200))
        {
            held.push(stream);
            assert!(held.len() < 1000, "the backlog never fills up");
        }
        let ctx = Context::new().unwrap();
        let push =
            ctx.socket::<Push>().connect_timeout(Some(Duration::from_millis(50))).reconnect_interval(SOON);
        let push = push.reconnect_max(SOON).build().unwrap();
        push.connect(&at).unwrap();
        assert!(push.wait_connected(1, Duration::from_millis(200)).is_err());
        // From here on there is room. The kernel alone would try again only after a second, then two, then four.
        let mut accepted: Vec<_> = held.iter().map(|_| listener.accept().unwrap()).collect();
        let start = Instant::now();
        let mut peer = raw::Peer::answer(&listener, "PULL");
        push.send("hello").unwrap();
        assert_eq!(peer.single(), b"hello");
        assert!(start.elapsed() < Duration::from_millis(800), "it took {:?} to try again", start.elapsed());
        accepted.clear();
    });
}
