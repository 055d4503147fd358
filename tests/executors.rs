//! Futures need no particular executor, and dropping one loses nothing: shown with tokio, with the executors of
//! `futures-executor`, and with no executor at all.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, Rng, eventually, number_of, numbered, pair, poll_once, raw, within};
use ferromq::{Context, Pull, Push, RecvError, Refusal, Socket};
use futures_executor::{LocalPool, block_on};

const MESSAGES: u32 = 5000;

/// A pair in which both sides wait often.
fn narrow_pair(ctx: &Context) -> (Socket<Push>, Socket<Pull>) {
    let push = ctx.socket::<Push>().send_hwm(2).build().unwrap();
    let pull = ctx.socket::<Pull>().recv_hwm(2).build().unwrap();
    pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    (push, pull)
}

async fn send_all(push: &Socket<Push>) {
    for number in 0..MESSAGES {
        push.send_async(numbered(0, number, 1000)).await.unwrap();
    }
}

async fn receive_all(pull: &Socket<Pull>) {
    for number in 0..MESSAGES {
        assert_eq!(number_of(&pull.recv_async().await.unwrap()), (0, number));
    }
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn one_thread_of_tokio_sends_and_receives() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        tokio().block_on(async { tokio::join!(send_all(&push), receive_all(&pull)) });
    });
}

#[test]
fn futures_can_be_spawned() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        let (push, pull) = (Arc::new(push), Arc::new(pull));
        tokio().block_on(async {
            let sender = tokio::spawn(async move { send_all(&push).await });
            let receiver = tokio::spawn(async move { receive_all(&pull).await });
            sender.await.unwrap();
            receiver.await.unwrap();
        });
    });
}

#[test]
fn one_thread_of_futures_executor_sends_and_receives() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        LocalPool::new().run_until(both(send_all(&push), receive_all(&pull)));
    });
}

#[test]
fn two_different_executors_talk_to_each_other() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| tokio().block_on(send_all(&push)));
            block_on(receive_all(&pull));
            scope.spawn(|| block_on(send_all(&push)));
            tokio().block_on(receive_all(&pull));
        });
    });
}

#[test]
fn async_and_blocking_calls_mix_on_one_socket() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..MESSAGES {
                    match number % 2 {
                        0 => push.send(numbered(0, number, 1000)).unwrap(),
                        _ => block_on(push.send_async(numbered(0, number, 1000))).unwrap(),
                    }
                }
            });
            for number in 0..MESSAGES {
                let message = match number % 3 {
                    0 => pull.recv().unwrap(),
                    1 => pull.recv_timeout(PATIENCE).unwrap(),
                    _ => tokio().block_on(pull.recv_async()).unwrap(),
                };
                assert_eq!(number_of(&message), (0, number));
            }
        });
    });
}

#[test]
fn a_timeout_of_the_executor_drops_the_future_and_loses_nothing() {
    within(PATIENCE, || {
        let (push, pull) = narrow_pair(&Context::new().unwrap());
        let receive = async {
            let mut rng = Rng(1);
            for number in 0..MESSAGES {
                let message = loop {
                    let patience = Duration::from_micros(rng.below(1500));
                    if let Ok(result) = tokio::time::timeout(patience, pull.recv_async()).await {
                        break result.unwrap();
                    }
                };
                assert_eq!(number_of(&message), (0, number));
            }
        };
        let send = async {
            let mut rng = Rng(2);
            for number in 0..MESSAGES {
                loop {
                    let patience = Duration::from_micros(rng.below(1500));
                    let sending = push.send_async(numbered(0, number, 1000));
                    if let Ok(result) = tokio::time::timeout(patience, sending).await {
                        break result.unwrap();
                    }
                }
            }
        };
        tokio().block_on(async { tokio::join!(send, receive) });
        assert_eq!(push.stats().accepted, u64::from(MESSAGES));
    });
}

#[test]
fn a_future_does_nothing_before_it_is_polled() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        drop(push.send_async("never polled"));
        push.send("polled").unwrap();
        drop(pull.recv_async());
        assert_eq!(block_on(pull.recv_async()).unwrap(), "polled");
        assert_eq!(push.stats().accepted, 1);
    });
}

/// A waker that only remembers that it was called.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, SeqCst);
    }
}

/// Polls a future that is not ready, and returns what will ring when it is to be polled again.
#[track_caller]
fn leave_waiting<F: Future>(future: Pin<&mut F>) -> Arc<Bell> {
    let bell = Arc::new(Bell::default());
    let poll = future.poll(&mut Task::from_waker(&Waker::from(bell.clone())));
    assert!(poll.is_pending(), "there was nothing to wait for");
    bell
}

#[test]
fn a_wake_up_handed_to_a_receiving_future_that_is_dropped_is_passed_on() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        for round in 0..100 {
            let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pull.recv_async())).collect();
            let mut bells: Vec<_> = waiting.iter_mut().map(|future| leave_waiting(future.as_mut())).collect();
            push.send(format!("{round}")).unwrap();
            while waiting.len() > 1 {
                let mut rung = None;
                eventually("one of the futures is woken", || {
                    rung = bells.iter().position(|bell| bell.rung.load(SeqCst));
                    rung.is_some()
                });
                // Woken, and dropped instead of polled.
                drop(waiting.remove(rung.unwrap()));
                bells.remove(rung.unwrap());
            }
            eventually("the last future is woken", || bells[0].rung.load(SeqCst));
            let message = poll_once(waiting[0].as_mut()).expect("woken, so the message is there").unwrap();
            assert_eq!(message, format!("{round}").as_str());
        }
    });
}

#[test]
fn a_wake_up_handed_to_a_sending_future_that_is_dropped_is_passed_on() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for _ in 0..20 {
            let port = DeadPort::new();
            let push = ctx.socket::<Push>().send_hwm(1).linger(Duration::ZERO).build().unwrap();
            push.connect(port.endpoint()).unwrap();
            push.try_send("first").unwrap();
            let mut waiting: Vec<_> = (0..3).map(|n| Box::pin(push.send_async(format!("{n}")))).collect();
            let mut bells: Vec<_> = waiting.iter_mut().map(|future| leave_waiting(future.as_mut())).collect();
            let listener = port.listen();
            let mut peer = raw::Peer::answer(&listener, "PULL");
            assert_eq!(peer.single(), b"first");
            while waiting.len() > 1 {
                let mut rung = None;
                eventually("one of the futures is woken", || {
                    rung = bells.iter().position(|bell| bell.rung.load(SeqCst));
                    rung.is_some()
                });
                drop(waiting.remove(rung.unwrap()));
                bells.remove(rung.unwrap());
            }
            eventually("the last future is woken", || bells[0].rung.load(SeqCst));
            poll_once(waiting[0].as_mut()).expect("woken, so there is room").unwrap();
            peer.single();
            assert_eq!(push.stats().accepted, 2, "what was dropped has not been sent");
        }
    });
}

#[test]
fn a_wake_up_handed_to_a_future_that_is_dropped_reaches_a_blocked_thread() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        for _ in 0..100 {
            thread::scope(|scope| {
                let mut future = Box::pin(pull.recv_async());
                let bell = leave_waiting(future.as_mut());
                let thread = common::blocked(scope, || pull.recv_timeout(PATIENCE));
                push.send("for whoever is there").unwrap();
                eventually("somebody is woken", || bell.rung.load(SeqCst) || thread.is_finished());
                drop(future);
                assert_eq!(thread.join().unwrap().unwrap(), "for whoever is there");
            });
        }
    });
}

#[test]
fn the_last_waker_counts() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let mut future = pin!(pull.recv_async());
        let first = leave_waiting(future.as_mut());
        let second = leave_waiting(future.as_mut()); // the task has moved
        push.send("hello").unwrap();
        eventually("the future is woken where it is now", || second.rung.load(SeqCst));
        assert!(!first.rung.load(SeqCst), "and only there");
        assert_eq!(poll_once(future).unwrap().unwrap(), "hello");
    });
}

#[test]
fn closing_ends_pending_futures_of_every_executor() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let pending = AtomicUsize::new(0);
        let note = async |future: Pin<&mut dyn Future<Output = bool>>| {
            pending.fetch_add(1, SeqCst);
            assert!(future.await, "ended for another reason");
        };
        let receive = || async { matches!(pull.recv_async().await, Err(RecvError::Closed)) };
        let send = || async {
            let error = push.send_async("keep me").await.unwrap_err();
            error.reason() == Refusal::Closed && error.into_message() == "keep me"
        };
        thread::scope(|scope| {
            scope.spawn(|| tokio().block_on(both(note(pin!(receive())), note(pin!(send())))));
            scope.spawn(|| block_on(both(note(pin!(receive())), note(pin!(send())))));
            eventually("all four wait", || pending.load(SeqCst) == 4);
            drop(pull.close(Duration::ZERO));
            drop(push.close(Duration::ZERO));
        });
    });
}

/// Runs two futures side by side, without the help of any executor.
async fn both(left: impl Future<Output = ()>, right: impl Future<Output = ()>) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_done, mut right_done) = (false, false);
    std::future::poll_fn(|task| {
        left_done = left_done || left.as_mut().poll(task).is_ready();
        right_done = right_done || right.as_mut().poll(task).is_ready();
        if left_done && right_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
