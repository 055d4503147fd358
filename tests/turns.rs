//! REQ and REP take turns, whoever uses them: out of turn nothing happens, and nobody waits for ever.

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, blocked, eventually, link, poll_once, within};
use ferromq::{
    Context, Kind, Message, Receives, RecvError, Refusal, Rep, Req, RequestError, Router, SendError, Sends,
    Socket,
};
use futures_executor::block_on;

const SOON: Duration = Duration::from_millis(10);

fn asking_and_answering() -> (Socket<Req>, Socket<Rep>) {
    let ctx = Context::new().unwrap();
    let (req, rep) = (ctx.socket::<Req>().build().unwrap(), ctx.socket::<Rep>().build().unwrap());
    link(&rep, &req);
    (req, rep)
}

#[track_caller]
fn cannot_send<T: Kind + Sends>(socket: &Socket<T>) {
    let results: [Result<(), SendError>; 4] = [
        socket.send("!"),
        socket.try_send("!"),
        socket.send_timeout("!", PATIENCE),
        block_on(socket.send_async("!")),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!((error.reason(), error.message()), (Refusal::OutOfTurn, &Message::from("!")));
    }
}

#[track_caller]
fn cannot_receive<T: Kind + Receives>(socket: &Socket<T>) {
    for result in
        [socket.recv(), socket.try_recv(), socket.recv_timeout(PATIENCE), block_on(socket.recv_async())]
    {
        assert_eq!(result, Err(RecvError::OutOfTurn));
    }
}

#[test]
fn out_of_turn_nothing_happens_in_any_order() {
    within(PATIENCE, || {
        let (req, rep) = asking_and_answering();
        for round in 0..3 {
            cannot_receive(&req);
            cannot_send(&rep);
            assert_eq!(rep.try_recv(), Err(RecvError::Empty));
            req.send("question").unwrap();
            cannot_send(&req);
            let error = req.request("!", PATIENCE).unwrap_err();
            assert!(matches!(error, RequestError::Unsent(error) if error.reason() == Refusal::OutOfTurn));
            if round == 1 {
                assert_eq!(req.try_recv(), Err(RecvError::Empty));
                assert_eq!(req.recv_timeout(SOON), Err(RecvError::TimedOut), "a timeout changes no turn");
                cannot_send(&req);
            }
            cannot_send(&rep);
            assert_eq!(rep.recv_timeout(PATIENCE).unwrap(), "question");
            cannot_receive(&rep);
            rep.send("answer").unwrap();
            cannot_send(&rep);
            eventually("the answer is there", || req.stats().waiting == 1);
            cannot_send(&req);
            assert_eq!(req.recv_timeout(PATIENCE).unwrap(), "answer");
        }
        let stats = req.stats();
        assert_eq!((stats.accepted, stats.delivered), (3, 3));
    });
}

/// Any of the threads may find that it is not its turn; none may wait for ever, and each answer belongs to its question.
#[test]
fn threads_that_share_a_req_or_a_rep_never_hang() {
    within(2 * PATIENCE, || {
        let (req, rep) = &asking_and_answering();
        let answered = &AtomicU32::new(0);
        let serve = || {
            loop {
                match rep.recv() {
                    Ok(question) => rep.send(question).unwrap(),
                    Err(RecvError::OutOfTurn) => thread::yield_now(),
                    Err(error) => return assert_eq!(error, RecvError::Closed),
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(serve);
            }
            let askers: Vec<_> = (0..2)
                .map(|asker| {
                    scope.spawn(move || {
                        let start = Instant::now();
                        for n in 0.. {
                            let question = Message::from(format!("{asker} {n}"));
                            match req.request(question.clone(), PATIENCE) {
                                Ok(answer) => {
                                    assert_eq!(answer, question);
                                    answered.fetch_add(1, SeqCst);
                                }
                                Err(RequestError::Unsent(error)) => {
                                    assert_eq!(error.reason(), Refusal::OutOfTurn);
                                    thread::yield_now();
                                }
                                Err(error) => panic!("{error}"),
                            }
                            if answered.load(SeqCst) > 500 || start.elapsed() > PATIENCE {
                                break;
                            }
                        }
                    })
                })
                .collect();
            askers.into_iter().for_each(|asker| asker.join().unwrap());
            assert!(answered.load(SeqCst) > 500);
            drop(rep.close(Duration::ZERO));
        });
    });
}

#[test]
fn a_wait_ends_when_another_thread_takes_the_turn_or_the_answer() {
    within(PATIENCE, || {
        let (req, rep) = asking_and_answering();
        thread::scope(|scope| {
            let waiting = [blocked(scope, || rep.recv()), blocked(scope, || rep.recv())];
            req.send("?").unwrap();
            let mut results = waiting.map(|thread| thread.join().unwrap());
            results.sort_by_key(Result::is_err);
            assert_eq!(results, [Ok("?".into()), Err(RecvError::OutOfTurn)]);
            let waiting = [blocked(scope, || req.recv()), blocked(scope, || req.recv())];
            rep.send("!").unwrap();
            let mut results = waiting.map(|thread| thread.join().unwrap());
            results.sort_by_key(Result::is_err);
            assert_eq!(results, [Ok("!".into()), Err(RecvError::OutOfTurn)]);
        });
    });
}
#[test]
fn a_cancelled_receive_changes_neither_turn_nor_message() {
    within(PATIENCE, || {
        let (req, rep) = asking_and_answering();
        for _ in 0..50 {
            assert!(poll_once(pin!(rep.recv_async())).is_none());
            req.send("?").unwrap();
            assert!(poll_once(pin!(req.recv_async())).is_none());
            assert_eq!(rep.recv_timeout(PATIENCE).unwrap(), "?");
            rep.send("!").unwrap();
            let mut answer = None;
            eventually("the answer is there", || {
                answer = poll_once(pin!(req.recv_async()));
                answer.is_some()
            });
            assert_eq!(answer, Some(Ok("!".into())));
        }
    });
}

/// A relaxed REQ that is asked twice, and a ROUTER that answers what it likes: a question sent back will do.
fn relaxed() -> (Context, Socket<Router>, Socket<Req>) {
    let ctx = Context::new().unwrap();
    let router = ctx.socket::<Router>().build().unwrap();
    let req = ctx.socket::<Req>().relaxed(true).correlate(true).build().unwrap();
    req.connect(router.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    (ctx, router, req)
}

/// Asking anew gives up what was asked, whoever has asked it; and whoever did learns of that, and of no other answer.
#[test]
fn a_relaxed_question_in_place_of_another_has_its_own_answer() {
    within(PATIENCE, || {
        let (_ctx, router, req) = relaxed();
        thread::scope(|scope| {
            let first = blocked(scope, || req.request("A", PATIENCE));
            router.recv().unwrap();
            let second = scope.spawn(|| req.request("B", PATIENCE));
            router.send(router.recv().unwrap()).unwrap();
            assert_eq!(first.join().unwrap(), Err(RecvError::OutOfTurn.into()));
            assert_eq!(second.join().unwrap().unwrap(), "B");
        });
    });
}

#[test]
fn giving_a_relaxed_question_up_does_not_give_up_the_one_that_has_its_place() {
    let (_ctx, router, req) = relaxed();
    let mut first = Box::pin(req.request_async("A"));
    assert!(poll_once(first.as_mut()).is_none());
    router.recv_timeout(PATIENCE).unwrap();
    let mut second = Box::pin(req.request_async("B"));
    assert!(poll_once(second.as_mut()).is_none());
    drop(first);
    router.send(router.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(block_on(second).unwrap(), "B");
}
