//! The end of sockets and contexts: nothing hangs, nothing that could be sent is lost, and what could not be is handed back
//! or counted.

mod common;

use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, eventually, number_of, numbered, open_descriptors, pair, raw, within};
use ferromq::{Context, Dealer, Message, Pull, Push, RecvError, Refusal, Socket, WaitError};

/// What a call that does not wait may take on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What the system may hold of a connection, in bytes: little beside a message, so that a queue which is full stays so.
const BUFFER: usize = 65_536;

/// Measures a call that must not wait.
#[track_caller]
fn at_once<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = call();
    assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
    value
}

/// A PUSH that holds so many messages for a peer that is not there.
fn loaded(ctx: &Context, at: &DeadPort, messages: u32, linger: Duration) -> Socket<Push> {
    let push = ctx.socket::<Push>().send_hwm(0).linger(linger);
    let push = push
        .reconnect_interval(Duration::from_millis(10))
        .reconnect_max(Duration::from_millis(50))
        .build()
        .unwrap();
    push.connect(at.endpoint()).unwrap();
    for number in 0..messages {
        push.send(numbered(0, number, 50)).unwrap();
    }
    push
}

#[track_caller]
fn assert_receives(pull: &Socket<Pull>, messages: u32) {
    for number in 0..messages {
        assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, number));
    }
}

#[test]
fn all_that_was_sent_before_socket_and_context_were_dropped_arrives() {
    within(PATIENCE, || {
        const MESSAGES: u32 = 20_000; // more than the kernel buffers
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let pull = theirs.socket::<Pull>().build().unwrap();
        let push = ours.socket::<Push>().send_hwm(0).build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        for number in 0..MESSAGES {
            push.send(numbered(0, number, 1000)).unwrap();
        }
        at_once("dropping the socket", || drop(push));
        thread::scope(|scope| {
            let end = scope.spawn(|| drop(ours));
            assert_receives(&pull, MESSAGES);
            end.join().unwrap();
        });
    });
}

#[test]
fn all_that_was_sent_before_the_peer_was_there_arrives_too() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let port = DeadPort::new();
        let push = loaded(&ours, &port, 1000, PATIENCE);
        at_once("dropping the socket", || drop(push));
        thread::scope(|scope| {
            let end = common::blocked(scope, move || drop(ours));
            assert!(!end.is_finished(), "the context waits for what the socket left");
            let pull = theirs.socket::<Pull>().build().unwrap();
            pull.bind(port.release()).unwrap();
            assert_receives(&pull, 1000);
            end.join().unwrap();
        });
    });
}

/// A peer that says nothing but reads slowly, too, gets the rest: the connection is not torn down over its head.
#[test]
fn a_slow_reader_gets_the_rest_after_the_end() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let mut peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        for number in 0..100 {
            push.send(numbered(0, number, 50_000)).unwrap();
        }
        // Something of the peer's that we shall never read must not make the kernel throw our octets away.
        peer.write(&raw::message(&[b"unasked"]).repeat(10));
        drop(push);
        for number in 0..100 {
            assert_eq!(number_of(&Message::from(peer.single())), (0, number));
        }
        peer.expect_closed(PATIENCE);
    });
}

#[test]
fn close_hands_back_what_nobody_took() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = loaded(&ctx, &port, 5, PATIENCE);
        push.send(["many", "", "parts"]).unwrap();
        let deadline = Duration::from_millis(50);
        let start = Instant::now();
        let report = push.close(deadline);
        assert!(
            (deadline..deadline + AT_ONCE).contains(&start.elapsed()),
            "closing took {:?}",
            start.elapsed()
        );
        let mut expected: Vec<_> = (0..5).map(|number| numbered(0, number, 50)).collect();
        expected.push(Message::from(["many", "", "parts"]));
        assert_eq!(report.unsent, expected);
        let stats = push.stats();
        assert_eq!((stats.accepted, stats.returned, stats.queued, stats.written), (6, 6, 0, 0));
        assert_eq!(stats.dropped.total(), 0);
        at_once("dropping a closed socket and its context", || drop((push, ctx)));
    });
}

#[test]
fn close_hands_back_only_what_the_peer_has_not_been_given() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(10).send_buffer(BUFFER).build().unwrap();
        let mut peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let mut accepted = 0;
        while push.send_timeout(numbered(0, accepted, 200_000), Duration::from_millis(100)).is_ok() {
            accepted += 1;
        }
        let report = push.close(Duration::from_millis(50));
        let unsent: Vec<_> = report.unsent.iter().map(|message| number_of(message).1).collect();
        let stats = push.stats();
        assert_eq!(
            stats.accepted,
            stats.written + stats.returned + stats.dropped.total() + stats.queued,
            "{stats:?}"
        );
        assert_eq!((stats.accepted, stats.returned), (accepted.into(), unsent.len() as u64));
        let given = accepted - unsent.len() as u32;
        assert_eq!(unsent, (given..accepted).collect::<Vec<_>>(), "the last ones, in order");
        assert!(unsent.len() > 5, "the queue was at its mark, or had drained by less than half");

        let mut got = 0;
        while let Some(parts) = peer.message() {
            assert_eq!(number_of(&Message::from(&parts[0][..])), (0, got));
            got += 1;
        }
        assert!(got <= given, "{got} messages came, and from {given} on they were handed back");
    });
}

#[test]
fn close_hands_back_nothing_when_all_is_sent() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        for number in 0..500 {
            push.send(numbered(0, number, 50)).unwrap();
        }
        let report = push.close(PATIENCE);
        assert!(report.unsent.is_empty());
        assert_eq!(push.stats().written, 500);
        assert_receives(&pull, 500);
        eventually("the PULL sees the PUSH go", || pull.stats().peers == 0);
    });
}

/// Without its hearing of the lost connection there would not be another.
#[test]
fn a_socket_whose_queue_is_full_sends_the_rest_to_a_peer_that_comes_back() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let dealer = ctx.socket::<Dealer>().recv_hwm(1).send_hwm(0).build().unwrap();
        dealer.connect(at).unwrap();
        let mut first = raw::Peer::answer(&listener, "DEALER");
        (0..3).for_each(|_| first.send(&[b"nobody receives this"]));
        eventually("the queue is full", || dealer.stats().waiting == 1);
        let large = Message::from(vec![0; 1_000_000]);
        (0..50).for_each(|_| dealer.send(large.clone()).unwrap());
        dealer.send("the last").unwrap();
        first.reset();
        drop(dealer);
        let mut second = raw::Peer::answer(&listener, "DEALER");
        while second.single() != b"the last" {}
    });
}

#[test]
fn closing_can_be_awaited_and_given_up() {
    within(PATIENCE, || {
        const MESSAGES: u32 = 5000;
        let ctx = Context::new().unwrap();
        for given_up in [false, true] {
            let pull = ctx.socket::<Pull>().build().unwrap();
            let push = ctx.socket::<Push>().send_hwm(0).build().unwrap();
            push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            (0..MESSAGES).for_each(|number| push.send(numbered(0, number, 1000)).unwrap());
            let closing = push.close_async();
            assert_eq!(push.try_send("late").unwrap_err().reason(), Refusal::Closed);
            if given_up {
                drop(closing);
                assert_receives(&pull, MESSAGES);
            } else {
                thread::scope(|scope| {
                    scope.spawn(|| assert_receives(&pull, MESSAGES));
                    assert!(futures_executor::block_on(closing).unsent.is_empty());
                });
                assert_eq!((push.stats().written, push.stats().queued), (u64::from(MESSAGES), 0));
            }
        }
    });
}

#[test]
fn closing_hands_back_what_is_for_nobody_any_more() {
    within(PATIENCE, || {
        let (ctx, nobody) = (Context::new().unwrap(), DeadPort::new());
        let push = loaded(&ctx, &nobody, 3, Duration::ZERO);
        push.disconnect(nobody.endpoint()).unwrap();
        let closed = futures_executor::block_on(push.close_async());
        assert_eq!(closed.unsent.iter().map(number_of).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!((push.stats().returned, push.stats().queued), (3, 0));
    });
}

#[test]
fn a_context_that_is_closed_waits_for_nothing_that_still_lingers() {
    within(PATIENCE, || {
        let (ctx, nobody) = (Context::new().unwrap(), DeadPort::new());
        let hour = Duration::from_secs(3600);
        drop(loaded(&ctx, &nobody, 3, hour));
        let push = loaded(&ctx, &nobody, 3, hour);
        drop(push.close_async());
        drop(ctx.close(Duration::ZERO));
        eventually("it has given up", || push.stats().dropped.lingered == 3);
        drop(push);
        drop(ctx);
    });
}

/// Whoever else could come has no reason to: only sockets of the context itself were there.
#[test]
fn a_context_that_is_closed_does_not_wait_for_receivers_of_its_own() {
    within(PATIENCE, || {
        for place in ["tcp://127.0.0.1:0", "tcp://*:0", "ipc://*", "inproc://own"] {
            for bound in [true, false] {
                let ctx = Context::new().unwrap();
                let push = ctx.socket::<Push>().send_hwm(20).send_buffer(BUFFER).build().unwrap();
                let pull = ctx.socket::<Pull>().recv_hwm(1).recv_buffer(BUFFER).build().unwrap();
                let here = if bound { push.bind(place) } else { pull.bind(place) }.unwrap();
                let there = here.to_string().replace("0.0.0.0", "127.0.0.1");
                if bound { pull.connect(there) } else { push.connect(there) }.unwrap();
                // Both must know of it: who is only on the way may be anybody.
                push.wait_connected(1, PATIENCE).unwrap();
                pull.wait_connected(1, PATIENCE).unwrap();
                // Far more than all that is between the two can hold.
                (0..20).for_each(|_| push.try_send(vec![0; 1_000_000]).unwrap());
                let closed = ctx.close(Duration::from_secs(3600));
                assert!(!closed.unsent.is_empty(), "{place}");
                let stats = push.stats();
                assert_eq!(stats.accepted, stats.written + closed.unsent.len() as u64, "{place}: {stats:?}");
            }
        }
    });
}

#[test]
fn a_context_that_is_closed_sends_to_others_what_a_receiver_of_its_own_has_not_got() {
    within(PATIENCE, || {
        for bound in [true, false] {
            let (ctx, theirs) = (Context::new().unwrap(), Context::new().unwrap());
            let push = ctx.socket::<Push>().send_hwm(4).send_buffer(BUFFER).build().unwrap();
            let own = ctx.socket::<Pull>().recv_hwm(1).recv_buffer(BUFFER).build().unwrap();
            let other = theirs.socket::<Pull>().recv_hwm(1).build().unwrap();
            if bound {
                let at = push.bind("tcp://127.0.0.1:0").unwrap();
                own.connect(&at).unwrap();
                other.connect(&at).unwrap();
            } else {
                push.connect(own.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
                push.connect(other.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            }
            push.wait_connected(2, PATIENCE).unwrap();
            while push.send_timeout(vec![0; 1_000_000], Duration::from_millis(50)).is_ok() {}
            thread::scope(|scope| {
                let closing = common::blocked(scope, || ctx.close(PATIENCE));
                while !closing.is_finished() {
                    let _nothing_yet = other.recv_timeout(Duration::from_millis(20));
                }
                assert!(closing.join().unwrap().unsent.is_empty());
            });
            let stats = push.stats();
            assert_eq!((stats.accepted, stats.queued), (stats.written, 0), "{stats:?}");
            assert!(stats.requeued > 0, "what the own receiver had not got went to the other one: {stats:?}");
        }
    });
}

#[test]
fn a_closed_socket_refuses_everything_and_says_so() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = pair(&ctx);
        drop(push.close(Duration::ZERO));
        drop(pull.close(Duration::ZERO));
        for error in [
            push.send("keep me").unwrap_err(),
            push.try_send("keep me").unwrap_err(),
            push.send_timeout("keep me", PATIENCE).unwrap_err(),
            futures_executor::block_on(push.send_async("keep me")).unwrap_err(),
        ] {
            assert_eq!((error.reason(), error.message()), (Refusal::Closed, &Message::from("keep me")));
        }
        assert_eq!(pull.recv(), Err(RecvError::Closed));
        assert_eq!(pull.try_recv(), Err(RecvError::Closed));
        assert_eq!(pull.recv_timeout(PATIENCE), Err(RecvError::Closed));
        assert_eq!(futures_executor::block_on(pull.recv_async()), Err(RecvError::Closed));
        assert_eq!((&pull).into_iter().count(), 0);
        assert_eq!(pull.wait_connected(1, PATIENCE), Err(WaitError::Closed));
        push.bind("tcp://127.0.0.1:0").unwrap_err();
        push.connect("tcp://127.0.0.1:1").unwrap_err();
        push.unbind("tcp://127.0.0.1:1").unwrap_err();
        push.disconnect("tcp://127.0.0.1:1").unwrap_err();
        assert!(push.close(PATIENCE).unsent.is_empty(), "closing again does nothing");
        eventually("the peers are gone", || push.stats().peers == 0);
        assert_eq!(push.stats().accepted, 0);
    });
}

/// Several threads close the same socket: each message is handed back to exactly one of them.
#[test]
fn closing_from_many_threads_hands_each_message_back_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = &loaded(&ctx, &port, 100, PATIENCE);
        let start = &Barrier::new(4);
        let unsent: Vec<_> = thread::scope(|scope| {
            let close = || {
                start.wait();
                push.close(Duration::from_millis(20)).unsent
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(close)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let unsent: Vec<_> = unsent.iter().map(|message| number_of(message).1).collect();
        assert_eq!(unsent, (0..100).collect::<Vec<_>>());
        assert_eq!(push.stats().returned, 100);
    });
}

#[test]
fn dropping_a_socket_never_waits() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for _ in 0..10 {
            let port = DeadPort::new();
            let push = loaded(&ctx, &port, 100, Duration::from_millis(500));
            at_once("dropping a socket whose peer is not there", || drop(push));

            let push = ctx.socket::<Push>().send_hwm(4).linger(Duration::from_millis(500)).build().unwrap();
            let _stalled = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            while push.send_timeout(vec![0; 1_000_000], Duration::from_millis(10)).is_ok() {}
            at_once("dropping a socket whose peer does not read", || drop(push));
        }
    });
}

#[test]
fn the_last_handle_of_a_context_waits_no_longer_than_the_linger_time() {
    within(PATIENCE, || {
        let linger = Duration::from_millis(300);
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        drop(loaded(&ctx, &port, 3, linger));
        let stalled = ctx.socket::<Push>().send_hwm(4).linger(linger).build().unwrap();
        let _peer = raw::Peer::dial(stalled.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        stalled.wait_connected(1, PATIENCE).unwrap();
        while stalled.send_timeout(vec![0; 1_000_000], Duration::from_millis(10)).is_ok() {}
        let start = Instant::now();
        drop(stalled);
        let other = ctx.clone();
        at_once("dropping a handle that is not the last", || drop(ctx));
        drop(other);
        let waited = start.elapsed();
        assert!(
            (linger..linger + 2 * AT_ONCE).contains(&waited),
            "waited {waited:?} for a linger time of {linger:?}"
        );
    });
}

#[test]
fn without_linger_the_context_ends_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let push = loaded(&ctx, &port, 1000, Duration::ZERO);
        at_once("dropping both", || {
            drop(push);
            drop(ctx);
        });
    });
}

#[test]
fn the_context_does_not_wait_once_everything_is_sent() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let pull = theirs.socket::<Pull>().build().unwrap();
        let push = ours.socket::<Push>().linger(PATIENCE).build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.send("only this").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "only this");
        let never_used = ours.socket::<Push>().linger(PATIENCE).build().unwrap();
        let never_connected = ours.socket::<Push>().linger(PATIENCE).build().unwrap();
        never_connected.connect(DeadPort::new().endpoint()).unwrap();
        at_once("dropping all of it", || drop((push, never_used, never_connected, ours)));
    });
}

/// The sockets hold what they need of their context.
#[test]
fn sockets_go_on_when_the_handle_of_their_context_is_dropped() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = pair(&ctx);
        at_once("dropping the context", || drop(ctx));
        for number in 0..100 {
            push.send(numbered(0, number, 0)).unwrap();
        }
        assert_receives(&pull, 100);
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        pull.wait_connected(2, PATIENCE).unwrap();
        for number in 0..100 {
            push.send(numbered(1, number, 0)).unwrap();
        }
        drop(push); // and what it leaves behind is still sent
        let mut rest: Vec<_> = (0..100).map(|_| number_of(&pull.recv_timeout(PATIENCE).unwrap())).collect();
        rest.sort_unstable();
        assert_eq!(rest, (0..100).map(|number| (1, number)).collect::<Vec<_>>());
    });
}

#[test]
fn what_a_closed_pull_had_not_read_is_unconfirmed_for_its_peer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = pair(&ctx);
        for _ in 0..10 {
            push.send("never read").unwrap();
        }
        eventually("all have come", || pull.stats().waiting == 10);
        drop(pull.close(Duration::ZERO));
        eventually("the loss is noticed", || push.stats().peers == 0);
        assert_eq!(push.stats().unconfirmed, 10);
        assert_eq!(pull.stats().delivered, 0);
    });
}

#[test]
fn a_hundred_sockets_that_connect_while_the_listener_ends_do_no_harm() {
    within(PATIENCE, || {
        for _ in 0..3 {
            let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
            let pull = theirs.socket::<Pull>().build().unwrap();
            let at = pull.bind("tcp://127.0.0.1:0").unwrap();
            let start = &Barrier::new(5);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        let open = |_| {
                            let push = ours.socket::<Push>().linger(Duration::ZERO).build().unwrap();
                            push.connect(&at).unwrap();
                            drop(push.try_send("hello"));
                            push
                        };
                        (0..25).map(open).for_each(drop);
                    });
                }
                start.wait();
                drop(pull);
                drop(theirs);
            });
            at_once("the end of the context", || drop(ours));
        }
    });
}

#[test]
fn sockets_and_contexts_can_end_in_any_order_and_from_any_thread() {
    within(PATIENCE, || {
        for turn in 0..60 {
            let ctx = Context::new().unwrap();
            let push = ctx.socket::<Push>().linger(Duration::from_millis(20)).build().unwrap();
            let pull = ctx.socket::<Pull>().build().unwrap();
            pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
            push.send("on its way").unwrap();
            thread::scope(|scope| {
                let mut ends: Vec<Box<dyn FnOnce() + Send>> =
                    vec![Box::new(|| drop(push)), Box::new(|| drop(pull)), Box::new(|| drop(ctx))];
                ends.rotate_left(turn % 3);
                for end in ends {
                    if turn % 2 == 0 { end() } else { drop(scope.spawn(end)) }
                }
            });
        }
    });
}

#[test]
fn the_last_handle_ends_the_connections() {
    within(2 * PATIENCE, || {
        let stays = Context::new().unwrap();
        let push = stays.socket::<Push>().build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        for _ in 0..200 {
            let ctx = Context::new().unwrap();
            let pull = ctx.socket::<Pull>().build().unwrap();
            pull.connect(at.clone()).unwrap();
            push.wait_connected(1, PATIENCE).unwrap();
            pull.wait_connected(1, PATIENCE).unwrap();
            drop((ctx, pull));
            eventually("the peer sees the end", || push.stats().peers == 0);
        }
    });
}

#[test]
fn many_contexts_leave_no_thread_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    within(PATIENCE, move || {
        let before = threads();
        for _ in 0..100 {
            let (push, pull) = pair(&Context::builder().io_threads(2).build().unwrap());
            push.send("hello").unwrap();
            pull.recv_timeout(PATIENCE).unwrap();
        }
        // Other tests come and go meanwhile, each with a few threads.
        eventually("the threads of all those contexts have ended", || threads() < before + 50);
    });
}

#[test]
fn many_sockets_leave_no_file_open() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let before = open_descriptors();
        for _ in 0..300 {
            let (push, pull) = pair(&ctx);
            push.send("hello").unwrap();
            pull.recv_timeout(PATIENCE).unwrap();
        }
        eventually("the files of all those sockets are closed", || open_descriptors() < before + 200);
    });
}

/// Drops what it holds when it is called.
struct Dropper<T: Send>(Mutex<Option<T>>);

impl<T: Send> Wake for Dropper<T> {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_waker_on_the_io_thread() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let port = DeadPort::new();
        let push = loaded(&ours, &port, 3, PATIENCE);
        let pull = ours.socket::<Pull>().build().unwrap();
        let caller = theirs.socket::<Push>().build().unwrap();
        caller.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();

        let dropper = Arc::new(Dropper(Mutex::new(None)));
        let mut receiving = Box::pin(async move { pull.recv_async().await });
        let waker = Waker::from(dropper.clone());
        assert!(receiving.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        drop(waker);
        *dropper.0.lock().unwrap() = Some((receiving, push, ours));
        caller.send("let go").unwrap();
        eventually("the waker is called", || dropper.0.lock().unwrap().is_none());

        let heir = theirs.socket::<Pull>().build().unwrap();
        heir.bind(port.release()).unwrap();
        assert_receives(&heir, 3);
    });
}

/// There is nobody to wait for: the thread that would do what is waited for is the one that waits.
#[test]
fn who_waits_in_a_waker_on_the_io_thread_is_told_at_once_that_it_is_in_vain() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let pull = Arc::new(ours.socket::<Pull>().build().unwrap());
        let here = pull.bind("tcp://127.0.0.1:0").unwrap();
        let caller = theirs.socket::<Push>().build().unwrap();
        caller.connect(&here).unwrap();
        let (told, tell) = std::sync::mpsc::channel();
        let port = DeadPort::new();
        let (other, full) = (ours.socket::<Pull>().build().unwrap(), loaded(&ours, &port, 3, Duration::ZERO));
        let socket = pull.clone();
        let waker = common::caller(move || {
            assert_eq!(other.recv(), Err(RecvError::TimedOut));
            socket.unbind(&here).unwrap();
            assert_eq!(full.close(PATIENCE).unsent.len(), 3);
            told.send(()).unwrap();
        });
        let mut receiving = Box::pin(pull.recv_async());
        assert!(receiving.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        caller.send("call").unwrap();
        tell.recv_timeout(PATIENCE).unwrap();
    });
}
