//! A peer that goes and comes again is found again, and the user's code knows nothing of it.

mod common;

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, Tally, eventually, number_of, numbered, raw, within};
use ferromq::{
    Context, Dealer, Endpoint, Event, Message, Monitor, Pull, Push, ReconnectStop, RecvError, Refusal,
    Socket, Sub,
};

const RESTARTS: usize = 10;
/// How many messages each life of the listener has to see before it ends.
const EACH_LIFE: usize = 200;
const SOON: Duration = Duration::from_millis(10);

fn dialling_push(ctx: &Context) -> Socket<Push> {
    ctx.socket::<Push>().send_hwm(100).reconnect_interval(SOON).reconnect_max(10 * SOON).build().unwrap()
}

/// Binds where another socket was bound until now.
#[track_caller]
fn bind_again(pull: &Socket<Pull>, at: &Endpoint) {
    assert_eq!(pull.bind(at).unwrap(), *at);
}

/// Sends numbered messages until told to stop; nothing in it knows of connections. Returns how many.
fn send_until(stop: &AtomicBool, push: &Socket<Push>) -> u32 {
    for number in 0.. {
        if stop.load(SeqCst) {
            return number;
        }
        push.send(numbered(0, number, 100)).unwrap();
    }
    unreachable!()
}

fn receive(pull: &Socket<Pull>, count: usize, tally: &mut Tally) {
    for _ in 0..count {
        tally.note(&pull.recv_timeout(PATIENCE).unwrap());
    }
}

/// Everything that was accepted came once, or was counted as unconfirmed. Lost may only be what was on its way, or
/// received and not yet read, when a listener went.
fn assert_accounted(push: &Socket<Push>, tallies: &[Tally], sent: u32) {
    let received = Tally::assert_no_duplicates(tallies) as u64;
    let stats = push.stats();
    assert_eq!((stats.accepted, stats.queued, stats.dropped.total()), (sent.into(), 0, 0), "{stats:?}");
    assert!(received <= u64::from(sent));
    assert!(u64::from(sent) - received <= stats.unconfirmed, "{received} received, {stats:?}");
}

#[test]
fn a_listener_that_is_stopped_and_restarted_ten_times_is_found_each_time() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let push = &dialling_push(&ours);
        let new_pull = || theirs.socket::<Pull>().recv_hwm(50).build().unwrap();
        let mut pull = new_pull();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();

        let stop = &AtomicBool::new(false);
        let mut tallies = Vec::new();
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| send_until(stop, push));
            for _ in 0..RESTARTS {
                let mut tally = Tally::default();
                receive(&pull, EACH_LIFE, &mut tally);
                tally.assert_in_order();
                tallies.push(tally);
                drop(pull.close(Duration::ZERO));
                pull = new_pull();
                bind_again(&pull, &at);
            }
            tallies.push(finish(&pull, stop, push));
            sender.join().unwrap()
        });
        assert_accounted(push, &tallies, sent);
    });
}

/// Stops the sender and takes what is left.
fn finish(pull: &Socket<Pull>, stop: &AtomicBool, push: &Socket<Push>) -> Tally {
    let mut tally = Tally::default();
    receive(pull, EACH_LIFE, &mut tally);
    stop.store(true, SeqCst);
    loop {
        match pull.recv_timeout(Duration::from_millis(20)) {
            Ok(message) => tally.note(&message),
            Err(error) => {
                assert_eq!(error, RecvError::TimedOut);
                let stats = push.stats();
                if stats.queued == 0 && pull.stats().received >= stats.written - stats.unconfirmed {
                    return tally;
                }
            }
        }
    }
}

#[test]
fn a_listener_that_unbinds_and_binds_again_ten_times_keeps_what_it_had_received() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let push = &dialling_push(&ours);
        let pull = &theirs.socket::<Pull>().recv_hwm(50).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();

        let stop = &AtomicBool::new(false);
        let mut tally = Tally::default();
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| send_until(stop, push));
            for _ in 0..RESTARTS {
                receive(pull, EACH_LIFE, &mut tally);
                pull.unbind(&at).unwrap();
                bind_again(pull, &at);
            }
            receive(pull, EACH_LIFE, &mut tally);
            stop.store(true, SeqCst);
            let sent = sender.join().unwrap();
            eventually("all is written", || push.stats().queued == 0);
            while let Ok(message) = pull.recv_timeout(Duration::from_millis(300)) {
                tally.note(&message);
            }
            sent
        });
        assert_accounted(push, &[tally], sent);
    });
}

#[test]
fn the_listening_side_may_be_the_sender() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let pull = ours.socket::<Pull>().reconnect_interval(SOON).reconnect_max(10 * SOON).build().unwrap();
        let at = DeadPort::new().release();
        pull.connect(&at).unwrap();
        for life in 0..RESTARTS as u32 {
            let push = theirs.socket::<Push>().build().unwrap();
            push.bind(&at).unwrap();
            for number in 0..100 {
                push.send(numbered(life, number, 10)).unwrap(); // waits for the PULL to come
            }
            drop(push); // lingers until all is written
            for number in 0..100 {
                assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (life, number));
            }
            eventually("the end of the PUSH is noticed", || pull.stats().peers == 0);
        }
    });
}

#[test]
fn every_dialler_of_a_restarted_listener_comes_back() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let pull = theirs.socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let pushes: Vec<_> = (0..20).map(|_| dialling_push(&ours)).collect();
        pushes.iter().for_each(|push| push.connect(&at).unwrap());
        for _ in 0..3 {
            pull.wait_connected(20, PATIENCE).unwrap();
            pull.unbind(&at).unwrap();
            eventually("all are gone", || pull.stats().peers == 0);
            bind_again(&pull, &at);
        }
        pull.wait_connected(20, PATIENCE).unwrap();
        for (push, number) in pushes.iter().zip(0..) {
            push.send(numbered(0, number, 0)).unwrap();
        }
        let heard: HashSet<_> = (0..20).map(|_| number_of(&pull.recv_timeout(PATIENCE).unwrap())).collect();
        assert_eq!(heard.len(), 20);
    });
}

/// What was queued while the listener was away is not lost, and comes before what is sent later.
#[test]
fn messages_sent_while_the_listener_is_away_wait_for_it() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let push = dialling_push(&ours);
        let pull = theirs.socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();
        push.send(numbered(0, 0, 0)).unwrap();
        assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, 0));
        pull.unbind(&at).unwrap();
        eventually("the loss is noticed", || push.stats().peers == 0);

        for number in 1..=100 {
            push.try_send(numbered(0, number, 0)).unwrap();
        }
        assert_eq!(push.try_send("the mark holds meanwhile").unwrap_err().reason(), Refusal::Full);
        bind_again(&pull, &at);
        for number in 1..=100 {
            assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, number));
        }
        assert_eq!(push.stats().unconfirmed, 1);
    });
}

/// What is half written when the connection goes is sent again, whole, on the next one.
#[test]
fn a_half_written_message_starts_anew_on_the_next_connection() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let push = dialling_push(&ctx);
        push.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let body: Vec<u8> = (0..30_000_000_u32).map(|i| (i % 251) as u8).collect();
        push.send(body.clone()).unwrap();
        for _ in 0..3 {
            let mut pull = raw::Peer::answer(&listener, "PULL");
            pull.read(100_000);
            pull.reset();
        }
        let mut pull = raw::Peer::answer(&listener, "PULL");
        assert!(pull.single() == body);
        eventually("it is counted", || push.stats().written == 1);
        assert_eq!(push.stats().unconfirmed, 0);
    });
}

/// Counts the attempts of a socket to reach a peer that treats each of them in this manner.
fn attempts_in_a_second(interval: Duration, treat: fn(raw::Peer)) -> u32 {
    let ctx = Context::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    let push = ctx.socket::<Push>().reconnect_interval(interval).reconnect_max(interval).build().unwrap();
    push.connect(&at).unwrap();
    let (attempts, stop) = (&AtomicU32::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                treat(raw::Peer::accept(&listener));
                attempts.fetch_add(1, SeqCst);
            }
        });
        eventually("there is a first attempt", || attempts.load(SeqCst) > 0);
        let start = Instant::now();
        eventually("a second is over", || start.elapsed() >= Duration::from_secs(1));
        stop.store(true, SeqCst);
        let attempts = attempts.load(SeqCst);
        drop(std::net::TcpStream::connect(raw::address(&at))); // for the thread to see that it is to stop
        attempts
    })
}

#[test]
fn a_peer_that_hangs_up_is_tried_again_at_the_interval_and_not_faster() {
    within(PATIENCE, || {
        for hang_up in
            [|_| {}, |mut peer: raw::Peer| peer.write(&raw::greeting(3, 1, "NULL"))] as [fn(raw::Peer); 2]
        {
            let attempts = attempts_in_a_second(Duration::from_millis(50), hang_up);
            assert!((3..=40).contains(&attempts), "{attempts} attempts in a second at an interval of 50 ms");
        }
    });
}

#[test]
fn a_peer_that_violates_the_protocol_is_not_tried_faster_than_at_the_interval() {
    within(PATIENCE, || {
        let violations: [fn(raw::Peer); 3] = [
            |mut peer| peer.dribble(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            |mut peer| peer.write(&[raw::greeting(3, 1, "NULL"), raw::ready("PUB")].concat()),
            |mut peer| peer.write(&[raw::greeting(3, 1, "NULL"), raw::command("ERROR", b"\x03400")].concat()),
        ];
        for violation in violations {
            let attempts = attempts_in_a_second(Duration::from_millis(50), violation);
            assert!(attempts <= 40, "{attempts} attempts in a second at an interval of 50 ms");
        }
    });
}

#[test]
fn the_pauses_between_attempts_double_until_a_connection_lasts() {
    within(PATIENCE, || {
        let ms = Duration::from_millis;
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let push = ctx.socket::<Push>().reconnect_interval(ms(20)).reconnect_max(ms(1000)).build().unwrap();
        push.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        drop(raw::Peer::accept(&listener));
        let mut last = Instant::now();
        for (round, pause) in [20, 40, 80, 160, 320].map(ms).into_iter().enumerate() {
            // A handshake alone is no success: whoever is turned away behind it must not come back all the time.
            let peer = if round % 2 == 0 {
                raw::Peer::accept(&listener)
            } else {
                raw::Peer::answer(&listener, "PULL")
            };
            let gap = last.elapsed();
            assert!(gap > pause - ms(5), "{gap:?} instead of {pause:?} and more");
            last = Instant::now();
            drop(peer);
        }
        let lasting = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        thread::sleep(ms(40)); // longer than the first pause, which is what counts as lasting
        drop(lasting);
        let start = Instant::now();
        raw::Peer::accept(&listener);
        let gap = start.elapsed();
        assert!(gap < ms(400), "the pauses did not start anew: {gap:?}");
    });
}

#[test]
fn a_dialler_finds_a_listener_that_comes_late() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = dialling_push(&ctx);
        push.connect(port.endpoint()).unwrap();
        push.send("waiting").unwrap();
        assert!(push.wait_connected(1, Duration::from_millis(100)).is_err(), "nobody listens yet");
        let listener = port.listen();
        let mut pull = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        assert_eq!(Message::from(pull.single()), "waiting");
    });
}

/// Reading has paused for the full queue when writing fails. It goes on once there is room again.
#[test]
fn a_peer_that_is_lost_while_the_queue_is_full_is_found_again() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let dealer = ctx.socket::<Dealer>().recv_hwm(1).send_hwm(0).reconnect_interval(SOON);
        let dealer = dealer.linger(Duration::ZERO).build().unwrap();
        dealer.connect(at).unwrap();
        let mut first = raw::Peer::answer(&listener, "DEALER");
        (0..3).for_each(|_| first.send(&[b"hello"]));
        eventually("the queue is full", || dealer.stats().waiting == 1);
        let large = Message::from(vec![0; 1_000_000]);
        (0..50).for_each(|_| dealer.send(large.clone()).unwrap());
        first.reset();
        eventually("the loss is noticed", || dealer.stats().peers == 0);
        assert_eq!(dealer.recv().unwrap(), "hello");
        while dealer.recv_timeout(10 * SOON).is_ok() {}
        let mut second = raw::Peer::answer(&listener, "DEALER");
        assert_eq!(second.single().len(), 1_000_000);
    });
}

#[test]
fn an_endpoint_that_would_not_have_us_can_be_connected_to_again() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        let monitor = sub.monitor();
        sub.connect(&at).unwrap();
        let mut peer = raw::Peer::accept(&listener);
        peer.write(&[raw::greeting(3, 1, "NULL"), raw::command("ERROR", b"\x03400")].concat());
        while !matches!(monitor.recv_timeout(PATIENCE).unwrap(), Event::Abandoned { .. }) {}
        sub.connect(&at).unwrap();
        let mut publisher = raw::Peer::answer(&listener, "PUB");
        publisher.send(&[b"hello"]);
        assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), "hello");
        sub.disconnect(&at).unwrap();
        publisher.expect_closed(PATIENCE);
    });
}

/// A PUSH that gives its endpoints up, and its monitor.
fn giving_up(ctx: &Context, stop: ReconnectStop) -> (Socket<Push>, Monitor) {
    let push = ctx.socket::<Push>().reconnect_interval(SOON).reconnect_max(SOON).reconnect_stop(stop);
    let push = push.build().unwrap();
    let monitor = push.monitor();
    (push, monitor)
}

/// Waits until an endpoint is given up, which must not have been tried again before.
#[track_caller]
fn assert_abandoned(monitor: &Monitor, expected: &str) {
    loop {
        match monitor.recv_timeout(PATIENCE).unwrap() {
            Event::Abandoned { endpoint } => return assert_eq!(endpoint.to_string(), expected),
            Event::Retrying { endpoint, .. } => assert_ne!(endpoint.to_string(), expected),
            _ => {}
        }
    }
}

#[test]
fn an_endpoint_where_nobody_listens_is_given_up_if_so_told_and_what_waits_for_it_goes_to_others() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (port, pull) = (DeadPort::new(), ctx.socket::<Pull>().build().unwrap());
        let (push, monitor) = giving_up(&ctx, ReconnectStop::new().refused(true));
        push.connect(port.endpoint()).unwrap();
        assert_abandoned(&monitor, &port.endpoint());
        assert_eq!(push.try_send("to nobody").unwrap_err().reason(), Refusal::Full);

        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        push.connect(port.endpoint()).unwrap(); // anew: it has its share until it is given up again
        (0..10).for_each(|number| push.send(numbered(0, number, 0)).unwrap());
        let heard: HashSet<_> = (0..10).map(|_| number_of(&pull.recv_timeout(PATIENCE).unwrap())).collect();
        assert_eq!(heard.len(), 10);
        assert_abandoned(&monitor, &port.endpoint());
        assert_eq!((push.stats().queued, push.stats().dropped.total()), (0, 0));

        let at = port.endpoint();
        let listener = port.listen();
        push.connect(at).unwrap();
        let mut late = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(2, PATIENCE).unwrap();
        (0..2).for_each(|number| push.send(numbered(1, number, 0)).unwrap());
        late.single();
        pull.recv_timeout(PATIENCE).unwrap();
    });
}

#[test]
fn an_endpoint_whose_handshake_fails_is_given_up_if_so_told() {
    within(PATIENCE, || {
        let hang_up: fn(raw::Peer) = drop;
        let talk_http: fn(raw::Peer) = |mut peer| peer.dribble(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        for treat in [hang_up, talk_http] {
            let ctx = Context::new().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = format!("tcp://{}", listener.local_addr().unwrap());
            let (push, monitor) = giving_up(&ctx, ReconnectStop::new().handshake_failed(true));
            push.connect(&at).unwrap();
            let good = raw::Peer::answer(&listener, "PULL"); // its loss is no reason
            push.wait_connected(1, PATIENCE).unwrap();
            drop(good);
            while !matches!(monitor.recv_timeout(PATIENCE).unwrap(), Event::Retrying { .. }) {}
            treat(raw::Peer::accept(&listener));
            assert_abandoned(&monitor, &at);
        }
    });
}

#[test]
fn an_endpoint_whose_peer_is_lost_is_given_up_if_so_told_and_its_messages_go_to_others() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let (push, monitor) = giving_up(&ctx, ReconnectStop::new().disconnected(true));
        push.connect(&at).unwrap();
        drop(raw::Peer::accept(&listener)); // no reason, for it was no peer
        while !matches!(monitor.recv_timeout(PATIENCE).unwrap(), Event::Retrying { .. }) {}
        let victim = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        push.send(vec![0; 30_000_000]).unwrap(); // more than any kernel buffers
        push.send("behind it").unwrap();
        victim.reset();
        assert_abandoned(&monitor, &at);
        assert_eq!(push.stats().queued, 2);

        let pull = ctx.socket::<Pull>().build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap().byte_len(), 30_000_000);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "behind it");
    });
}
