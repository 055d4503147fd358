//! libzmq's heartbeats against our sockets, and ours against libzmq's: a link that is alive stays, and one whose traffic is
//! held up does too.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{BOTH_ROLES, Binds, PATIENCE, Watched, join_pull, join_push, ours_pull, ours_push, within};
use ferromq::{Context, Heartbeat, Pull, Push, Socket};
use zmq::SocketEvent::{CLOSED, CONNECT_RETRIED, DISCONNECTED, HANDSHAKE_SUCCEEDED};

/// A socket of libzmq that gives its peer up within half a second of silence, and asks the peer to do likewise.
fn impatient(zmq: &zmq::Context, kind: zmq::SocketType) -> Watched {
    let socket = Watched::new(zmq, kind);
    socket.set_heartbeat_ivl(30).unwrap();
    socket.set_heartbeat_timeout(400).unwrap();
    socket.set_heartbeat_ttl(500).unwrap();
    socket
}

/// Watches the link for a while, thirty heartbeats or so.
#[track_caller]
fn assert_stays(theirs: &Watched, binds: Binds) {
    theirs.expect(&[HANDSHAKE_SUCCEEDED]);
    let end = Instant::now() + Duration::from_millis(1000);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Some(event) = theirs.event(left.max(Duration::from_millis(1))) {
            assert!(![DISCONNECTED, CLOSED, CONNECT_RETRIED].contains(&event), "{event:?}, {binds:?} bind");
        }
    }
}

#[test]
fn an_idle_link_to_our_pull_stays() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let pull = ours_pull(&ctx);
            let push = impatient(&zmq, zmq::PUSH);
            join_pull(&pull, &push, binds);
            assert_stays(&push, binds);
            push.send("still there", 0).unwrap();
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "still there");
        }
    });
}

#[test]
fn an_idle_link_to_our_push_stays() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let push = ours_push(&ctx);
            let pull = impatient(&zmq, zmq::PULL);
            join_push(&push, &pull, binds);
            assert_stays(&pull, binds);
            push.send("still there").unwrap();
            assert_eq!(pull.recv_bytes(0).unwrap(), b"still there");
            assert_eq!(push.stats().unconfirmed, 0);
        }
    });
}

#[test]
fn a_link_to_our_pull_stays_while_a_caller_waits_in_recv() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let pull = &ours_pull(&ctx);
            let push = impatient(&zmq, zmq::PUSH);
            join_pull(pull, &push, binds);
            thread::scope(|scope| {
                let waiting = common::blocked(scope, || pull.recv());
                assert_stays(&push, binds);
                push.send("at last", 0).unwrap();
                assert_eq!(waiting.join().unwrap().unwrap(), "at last");
            });
        }
    });
}

#[test]
fn a_busy_link_from_our_push_stays() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let pull = impatient(&zmq, zmq::PULL);
        join_push(&push, &pull, Binds::Ours);
        pull.expect(&[HANDSHAKE_SUCCEEDED]);
        let end = Instant::now() + Duration::from_millis(1000);
        let mut sent = 0_u64;
        while Instant::now() < end {
            push.send(&sent.to_be_bytes()).unwrap();
            assert_eq!(pull.recv_bytes(0).unwrap(), sent.to_be_bytes());
            sent += 1;
        }
        while let Some(event) = pull.event(Duration::from_millis(1)) {
            assert!(![DISCONNECTED, CLOSED].contains(&event), "{event:?} after {sent} messages");
        }
    });
}

/// A peer that announced a time to live and then stops altogether is given up. libzmq cannot be stopped in this manner, so
/// that is shown with a peer by hand, in the tests of the library.
#[test]
fn our_socket_notices_at_once_that_libzmq_has_gone() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let pull = impatient(&zmq, zmq::PULL);
        join_push(&push, &pull, Binds::Ours);
        push.wait_connected(1, PATIENCE).unwrap();
        drop(pull);
        common::eventually("its end is noticed", || push.stats().peers == 0);
    });
}

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(200);
/// Much longer than three heartbeats, and than a silent peer is given.
const PAUSE: Duration = Duration::from_millis(1000);

fn beating() -> Heartbeat {
    Heartbeat::new().interval(INTERVAL).timeout(TIMEOUT)
}

/// The number that a message is.
fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes(body[..4].try_into().unwrap())
}

fn numbered(number: u32) -> Vec<u8> {
    let mut body = vec![0; 1000];
    body[..4].copy_from_slice(&number.to_be_bytes());
    body
}

/// Tries several cases at the same time, since each takes its time.
fn all_at_once<T: Copy + Send>(cases: impl IntoIterator<Item = T>, try_one: impl Fn(T) + Sync) {
    let try_one = &try_one;
    thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || try_one(case)))));
}

#[track_caller]
fn assert_has_stayed(theirs: &Watched, binds: Binds) {
    while let Some(event) = theirs.event(Duration::from_millis(1)) {
        assert!(![DISCONNECTED, CLOSED, CONNECT_RETRIED].contains(&event), "{event:?}, {binds:?} bind");
    }
}

/// Our PUSH, with a heartbeat, and a PULL of libzmq that takes little before it has to be read, connected to each other.
fn beating_push_to_a_small_pull(ctx: &Context, zmq: &zmq::Context, binds: Binds) -> (Socket<Push>, Watched) {
    let push = ctx.socket::<Push>().heartbeat(beating()).build().unwrap();
    let pull = Watched::new(zmq, zmq::PULL);
    pull.set_rcvhwm(10).unwrap();
    join_push(&push, &pull, binds);
    pull.expect(&[HANDSHAKE_SUCCEEDED]);
    (push, pull)
}

/// It says nothing while it reads nothing: neither an answer, nor a PING of its own.
#[test]
fn a_pull_of_libzmq_that_pauses_under_full_load_loses_nothing_and_stays() {
    within(PATIENCE, || {
        all_at_once(BOTH_ROLES, |binds| {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let (push, pull) = beating_push_to_a_small_pull(&ctx, &zmq, binds);
            let (mut sent, mut received) = (0, 0);
            for pause in [PAUSE, PAUSE, Duration::ZERO] {
                while !pause.is_zero() && push.send_timeout(numbered(sent), INTERVAL).is_ok() {
                    sent += 1;
                }
                thread::sleep(pause);
                let some = if pause.is_zero() { sent } else { received + 1000 };
                (received..some).for_each(|at| assert_eq!(number(&pull.recv_bytes(0).unwrap()), at));
                received = some;
            }
            assert_eq!((push.stats().unconfirmed, push.stats().peers), (0, 1));
            assert_has_stayed(&pull, binds);
        });
    });
}

/// The buffers of the system take all of it, so that nothing tells us that it does not read.
#[test]
fn a_pull_of_libzmq_that_pauses_with_little_before_it_stays() {
    within(PATIENCE, || {
        all_at_once(BOTH_ROLES, |binds| {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let (push, pull) = beating_push_to_a_small_pull(&ctx, &zmq, binds);
            (0..100).for_each(|at| push.send(numbered(at)).unwrap());
            thread::sleep(PAUSE);
            (0..100).for_each(|at| assert_eq!(number(&pull.recv_bytes(0).unwrap()), at));
            thread::sleep(PAUSE); // and it stays when it has read everything, and answers
            assert_has_stayed(&pull, binds);
        });
    });
}

/// At its mark our PULL does not hear the PINGs of libzmq, which takes any traffic for an answer: that is our own PINGs.
#[test]
fn our_pull_that_pauses_under_full_load_loses_nothing_and_stays_whatever_heartbeats_libzmq_has() {
    within(PATIENCE, || {
        let cases = BOTH_ROLES.map(|binds| [(binds, true), (binds, false)]);
        all_at_once(cases.into_iter().flatten(), |(binds, theirs)| {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let pull = ctx.socket::<Pull>().heartbeat(beating()).recv_hwm(10).build().unwrap();
            let push = Watched::new(&zmq, zmq::PUSH);
            if theirs {
                push.set_heartbeat_ivl(100).unwrap();
                push.set_heartbeat_timeout(600).unwrap();
                push.set_heartbeat_ttl(600).unwrap();
            }
            push.set_sndtimeo(100).unwrap();
            join_pull(&pull, &push, binds);
            push.expect(&[HANDSHAKE_SUCCEEDED]);
            let (mut sent, mut received) = (0, 0);
            for _ in 0..2 {
                while push.send(numbered(sent), 0).is_ok() {
                    sent += 1;
                }
                thread::sleep(PAUSE);
                for _ in 0..1000 {
                    assert_eq!(number(pull.recv_timeout(PATIENCE).unwrap().part(0).unwrap()), received);
                    received += 1;
                }
            }
            while received < sent {
                assert_eq!(number(pull.recv_timeout(PATIENCE).unwrap().part(0).unwrap()), received);
                received += 1;
            }
            assert_has_stayed(&push, binds);
            assert_eq!(pull.stats().peers, 1);
        });
    });
}
