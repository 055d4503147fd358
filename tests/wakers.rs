//! Calls from within a waker. It may be called by the thread that runs the reactor, in the middle of its work, and that
//! thread may wait for something itself.

mod common;

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as Task, Waker};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, blocked, caller, eventually, raw, within};
use ferromq::{Context, Proxy, ProxyError, Pull, Push, RecvError, Socket};

/// Has the waker called when the next message comes that nobody else takes before. The future is to be kept until then.
fn wait<'a>(pull: &'a Socket<Pull>, waker: &Waker) -> impl Future + Unpin + use<'a> {
    let mut receiving = pull.recv_async();
    assert!(Pin::new(&mut receiving).poll(&mut Task::from_waker(waker)).is_pending());
    receiving
}

/// A PULL that is bound, and a peer of it.
fn fed(ctx: &Context) -> (Socket<Pull>, raw::Peer) {
    let pull = ctx.socket::<Pull>().build().unwrap();
    let peer = raw::Peer::dial(pull.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
    pull.wait_connected(1, PATIENCE).unwrap();
    (pull, peer)
}

#[test]
fn who_calls_a_waker_that_waits_does_not_miss_its_own_call() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, mut peer) = fed(&ctx);
        let other = ctx.socket::<Pull>().build().unwrap();
        let (tell, told) = mpsc::channel();
        let waker = caller(move || {
            assert_eq!(other.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut));
            tell.send(()).unwrap();
        });
        thread::scope(|scope| {
            let receiving = blocked(scope, || pull.recv());
            let _second = wait(&pull, &waker);
            // In one read, so that both are woken together.
            peer.write(&[raw::message(&[b"a"]), raw::message(&[b"b"])].concat());
            told.recv().unwrap();
            assert_eq!(receiving.join().unwrap().unwrap(), "a");
        });
    });
}

#[test]
fn a_peer_that_is_disconnected_in_a_waker_is_accounted_for() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = Arc::new(ctx.socket::<Push>().send_buffer(10_000).build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        push.connect(at.as_str()).unwrap();
        let _stalled = raw::Peer::answer(&listener, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        // More than goes out, so that one is half written.
        (0..100).for_each(|_| push.send(vec![7; 200_000]).unwrap());

        let (pull, mut peer) = fed(&ctx);
        let done = Arc::new(AtomicBool::new(false));
        let (socket, told) = (push.clone(), done.clone());
        let _receiving = wait(
            &pull,
            &caller(move || {
                socket.disconnect(at.as_str()).unwrap();
                told.store(true, SeqCst);
            }),
        );
        peer.send(&[b"now"]);
        eventually("it is disconnected", || done.load(SeqCst) && push.stats().peers == 0);
        let stats = push.stats();
        let accounted = stats.written + stats.returned + stats.dropped.total() + stats.queued;
        assert_eq!((stats.accepted, accounted), (100, 100), "{stats:?}");
        let closed = push.close(Duration::ZERO);
        assert_eq!(closed.unsent.len() as u64, stats.queued);
    });
}

/// Running one reactor, a thread waits on a second one, where a waker wants something of the first.
#[test]
fn who_runs_two_reactors_one_within_the_other_waits_for_neither_in_vain() {
    within(PATIENCE, || {
        // Sockets are spread over the threads in turn.
        let ctx = Context::builder().io_threads(2).build().unwrap();
        let [a, b, of_a, of_b] = [(); 4].map(|()| ctx.socket::<Pull>().build().unwrap());
        let mut to_a = raw::Peer::dial(a.bind("tcp://127.0.0.1:0").unwrap(), "PUSH");
        let to_b = Mutex::new(raw::Peer::dial(b.bind("tcp://127.0.0.1:0").unwrap(), "PUSH"));
        let there = of_a.bind("tcp://127.0.0.1:0").unwrap();
        a.wait_connected(1, PATIENCE).unwrap();
        b.wait_connected(1, PATIENCE).unwrap();

        let inner_done = Arc::new(AtomicBool::new(false));
        let told = inner_done.clone();
        let inner = caller(move || {
            of_a.unbind(&there).unwrap();
            told.store(true, SeqCst);
        });
        let (tell, told) = mpsc::channel();
        let outer = caller(move || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    // As a rule the other reactor is run here by then.
                    thread::sleep(Duration::from_millis(50));
                    to_b.lock().unwrap().send(&[b"b"]);
                });
                assert_eq!(of_b.recv_timeout(Duration::from_millis(200)), Err(RecvError::TimedOut));
            });
            tell.send(()).unwrap();
        });
        let (_first, _second) = (wait(&a, &outer), wait(&b, &inner));
        to_a.send(&[b"a"]);
        told.recv().unwrap();
        eventually("the inner waker is through", || inner_done.load(SeqCst));
    });
}

#[test]
fn a_proxy_that_is_run_in_a_waker_ends_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (pull, mut peer) = fed(&ctx);
        let (front, back) = (ctx.socket::<Pull>().build().unwrap(), ctx.socket::<Push>().build().unwrap());
        let (tell, told) = mpsc::channel();
        let waker = caller(move || tell.send(Proxy::one_way(&front, &back).run().unwrap_err()).unwrap());
        let _receiving = wait(&pull, &waker);
        peer.send(&[b"now"]);
        assert_eq!(told.recv().unwrap(), ProxyError::Receive(RecvError::TimedOut));
    });
}
