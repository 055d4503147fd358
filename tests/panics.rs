//! What panics in one thread, or in code that a user gave us, is nothing to the others who use the same sockets.

mod common;

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::{PATIENCE, assert_joined, blocked, eventually, number_of, numbered, pair, raw, within};
use ferromq::{Context, Message, Overflow, Pub, Pull, Push, RecvError, Sends, Socket, Stats, Sub, WaitError};

/// What is meant to panic says so, and is not shown.
const MEANT: &str = "this panic is meant";

fn hide_what_is_meant() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&MEANT) {
                shown(info);
            }
        }));
    });
}

/// A waker that panics, and counts that.
#[derive(Default)]
struct Bad(AtomicU64);

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        panic::panic_any(MEANT);
    }
}

/// Polls a future once with a waker that panics.
fn poll_badly<F: Future + Unpin>(future: &mut F, bad: &Arc<Bad>) {
    let waker = Waker::from(bad.clone());
    assert!(Pin::new(future).poll(&mut TaskContext::from_waker(&waker)).is_pending());
}

/// What owns the memory of a message body, and panics when it goes.
struct Bomb(Vec<u8>, Arc<AtomicU64>);

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
        if !thread::panicking() {
            panic::panic_any(MEANT);
        }
    }
}

fn bomb(number: u32, gone: &Arc<AtomicU64>) -> Message {
    let body = numbered(0, number, 10_000).into_bytes().to_vec();
    Message::from(Bytes::from_owner(Bomb(body, gone.clone())))
}

/// Runs what may panic, as a thread of its user would, who does not care.
fn carelessly<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

#[track_caller]
fn assert_balanced(stats: &Stats) {
    let gone = stats.written + stats.returned + stats.dropped.total();
    assert_eq!(stats.accepted + stats.copied, gone + stats.queued, "{stats:?}");
    assert_eq!(stats.received, stats.delivered + stats.discarded + stats.waiting, "{stats:?}");
}

/// Wherever it is called: on the I/O thread, by a caller who reads for everybody, by a caller who sends or closes.
#[test]
fn a_waker_that_panics_keeps_nobody_else_from_waking() {
    hide_what_is_meant();
    within(PATIENCE, || {
        for (place, by_caller) in
            [("tcp://127.0.0.1:0", false), ("tcp://127.0.0.1:0", true), ("inproc://bad", false)]
        {
            let ctx = Context::new().unwrap();
            let pull = ctx.socket::<Pull>().build().unwrap();
            let busy = ctx.socket::<Pull>().build().unwrap();
            let here = pull.bind(place).unwrap();
            let push = ctx.socket::<Push>().build().unwrap();
            let bad = Arc::new(Bad::default());
            let mut badly = pull.wait_connected_async(1);
            poll_badly(&mut badly, &bad);
            thread::scope(|scope| {
                let driver = by_caller.then(|| blocked(scope, || busy.recv()));
                let well = blocked(scope, || pull.wait_connected(1, PATIENCE));
                push.connect(&here).unwrap();
                assert_eq!(well.join().unwrap(), Ok(()));
                eventually("the bad one was called", || bad.0.load(SeqCst) == 1);
                drop(busy.close(Duration::ZERO));
                let driver = driver.map(|driver| driver.join().expect("another one's panic"));
                assert!(driver.is_none_or(|end| end == Err(RecvError::Closed)));
            });
            let mut badly = pull.recv_async();
            poll_badly(&mut badly, &bad);
            thread::scope(|scope| {
                let well: Vec<_> = (0..2).map(|_| blocked(scope, || pull.recv())).collect();
                (0..2).for_each(|_| push.send("for all").unwrap());
                eventually("the bad one was called", || bad.0.load(SeqCst) == 2);
                // As long as it is there it may still come for its message.
                drop(badly);
                well.into_iter().for_each(|call| assert_eq!(call.join().unwrap().unwrap(), "for all"));
            });
            assert_joined(&push, &pull);

            let mut waiting = pull.wait_connected_async(9);
            poll_badly(&mut waiting, &bad);
            thread::scope(|scope| {
                let well = blocked(scope, || pull.wait_connected(9, PATIENCE));
                drop(pull.close(Duration::ZERO));
                assert_eq!(well.join().unwrap(), Err(WaitError::Closed));
            });
        }
    });
}

#[test]
fn a_thread_that_panics_with_a_socket_in_its_hands_leaves_it_as_it_is() {
    hide_what_is_meant();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = pair(&ctx);
        let (push, pull) = (Arc::new(push), Arc::new(pull));
        for turn in 0..50 {
            let (theirs, ours, ctx) = (push.clone(), pull.clone(), ctx.clone());
            let panicked = thread::spawn(move || {
                let own = ctx.socket::<Push>().build().unwrap();
                own.connect("inproc://nowhere").unwrap();
                let waiting = own.send_async("x");
                let mut poller = ferromq::Poller::new();
                poller.add(&*ours, 0, ferromq::Interest::READABLE).unwrap();
                theirs.send(numbered(0, turn, 0)).unwrap();
                let _held = (waiting, ours.iter(), ours.monitor());
                panic::panic_any(MEANT);
            });
            assert!(panicked.join().is_err());
            assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, turn));
        }
        assert_balanced(&push.stats());
    });
}

const BOMBS: u32 = 200;

#[test]
fn what_panics_as_its_message_has_been_written_stops_nothing() {
    hide_what_is_meant();
    within(PATIENCE, || {
        for place in ["tcp://127.0.0.1:0", "ipc://*"] {
            let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
            let gone = Arc::new(AtomicU64::new(0));
            let pull = theirs.socket::<Pull>().build().unwrap();
            let push = ours.socket::<Push>().build().unwrap();
            push.connect(pull.bind(place).unwrap()).unwrap();
            for number in 0..BOMBS {
                // The last to hold it may be the one that sends.
                carelessly(|| push.send(bomb(number, &gone)));
            }
            for number in 0..BOMBS {
                assert_eq!(number_of(&pull.recv_timeout(PATIENCE).unwrap()), (0, number));
            }
            eventually("all are gone", || gone.load(SeqCst) == u64::from(BOMBS));
            eventually("all is counted", || push.stats().written == u64::from(BOMBS));
            assert_balanced(&push.stats());
            assert_joined(&push, &pull);
        }
    });
}

/// A body that nobody gets goes with the queue it was in, on whatever thread.
#[test]
fn what_panics_as_its_message_is_given_up_stops_nothing() {
    hide_what_is_meant();
    fn check<T: Sends>(gone: &Arc<AtomicU64>, socket: &Socket<T>, end: impl FnOnce()) {
        for number in 0..BOMBS {
            carelessly(|| socket.send(bomb(number, gone)));
        }
        assert_eq!(socket.stats().accepted, u64::from(BOMBS));
        carelessly(end);
        assert_balanced(&socket.stats());
        carelessly(|| drop(socket.close(Duration::ZERO)));
        assert_balanced(&socket.stats());
        assert_eq!(socket.stats().queued, 0);
    }
    within(PATIENCE, || {
        let gone = &Arc::new(AtomicU64::new(0));
        let ctx = Context::new().unwrap();

        // Unread, within the process.
        let pull = ctx.socket::<Pull>().build().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        push.connect(pull.bind("inproc://unread").unwrap()).unwrap();
        check(gone, &push, || drop(pull.close(Duration::ZERO)));
        assert_balanced(&pull.stats());

        // Not subscribed to, within the process.
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        sub.connect(publisher.bind("inproc://news").unwrap()).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        check(gone, &publisher, || drop(sub.close(Duration::ZERO)));
        assert_balanced(&sub.stats());

        // Of a subscriber that is lost, or had no room.
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let publisher = ctx.socket::<Pub>().send_hwm(100).overflow(overflow).build().unwrap();
            let mut stalled = raw::Peer::dial(publisher.bind("tcp://127.0.0.1:0").unwrap(), "SUB");
            stalled.write(&raw::subscribe(b""));
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            for number in 0..20 * BOMBS {
                carelessly(|| publisher.send(bomb(number, gone)));
            }
            assert_balanced(&publisher.stats());
            stalled.reset();
            eventually("it is lost", || publisher.stats().peers == 0);
            assert_balanced(&publisher.stats());
            assert_eq!(publisher.stats().queued, 0);
        }

        // Of a dropped socket whose time is over.
        let last = Context::new().unwrap();
        let push = last.socket::<Push>().linger(Duration::from_millis(20)).build().unwrap();
        push.connect("tcp://127.0.0.1:1").unwrap();
        let gone = &Arc::new(AtomicU64::new(0));
        for number in 0..BOMBS {
            push.send(bomb(number, gone)).unwrap();
        }
        drop(push);
        drop(last);
        assert_eq!(gone.load(SeqCst), u64::from(BOMBS));

        // And all else goes on.
        let (push, pull) = pair(&ctx);
        assert_joined(&push, &pull);
    });
}

/// The socket has a copy of its own: what the user's owns ends with the call, and with no lock of the socket held.
#[test]
fn the_owner_of_a_topic_that_panics_is_nothing_to_the_socket() {
    within(PATIENCE, || {
        hide_what_is_meant();
        let ctx = Context::new().unwrap();
        let sub = ctx.socket::<Sub>().build().unwrap();
        let mut peer = raw::Peer::dial(sub.bind("tcp://127.0.0.1:0").unwrap(), "PUB");
        sub.wait_connected(1, PATIENCE).unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let topic = Bytes::from_owner(Bomb(b"A".to_vec(), count.clone()));
        assert!(catch_unwind(AssertUnwindSafe(|| sub.subscribe(topic))).is_err(), "it is the caller's");
        assert_eq!(count.load(SeqCst), 1);
        assert!(peer.frame().body.ends_with(b"A"), "the publisher is told all the same");
    });
}
