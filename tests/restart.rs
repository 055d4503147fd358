//! The server of each pattern is stopped and started again in the midst of traffic; the user's code knows nothing of it.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, eventually, number_of, numbered, within};
use ferromq::{
    Builder, Context, Dealer, Endpoint, Kind, Message, Pair, Pub, Pull, Push, Rep, Req, RequestError, Router,
    Socket, Sub, XPub, XPubEvent,
};

const LIVES: usize = 5;
/// How many messages each life of the server has to see before it ends.
const EACH_LIFE: usize = 100;

fn client<T: Kind>(ctx: &Context) -> Builder<T> {
    let ms = Duration::from_millis;
    ctx.socket::<T>().reconnect_interval(ms(5)).reconnect_max(ms(50)).linger(Duration::ZERO)
}

/// Has a server live several times at the same place.
fn lives<T: Kind>(
    ctx: &Context,
    start: impl FnOnce(&Endpoint),
    mut live: impl FnMut(usize, &Socket<T>),
    stop: &AtomicBool,
) {
    let mut start = Some(start);
    let mut at: Option<Endpoint> = None;
    for life in 0..LIVES {
        let server = ctx.socket::<T>().linger(Duration::ZERO).build().unwrap();
        let bound = match &at {
            Some(at) => server.bind(at).unwrap(),
            None => server.bind("tcp://127.0.0.1:0").unwrap(),
        };
        if let Some(start) = start.take() {
            start(&bound);
        }
        at = Some(bound);
        live(life, &server);
        if life + 1 == LIVES {
            stop.store(true, SeqCst);
        }
        drop(server.close(Duration::ZERO));
    }
}

#[test]
fn push_and_pull() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (push, stop) = (&client::<Push>(&ours).build().unwrap(), &AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = 0..;
                while !stop.load(SeqCst) {
                    let _timeout =
                        push.send_timeout(numbered(0, numbers.next().unwrap(), 0), Duration::from_millis(10));
                }
            });
            let mut last = None;
            let live = |_, pull: &Socket<Pull>| {
                for _ in 0..EACH_LIFE {
                    let number = Some(number_of(&pull.recv_timeout(PATIENCE).unwrap()).1);
                    assert!(number > last, "in order, and none twice");
                    last = number;
                }
            };
            lives(&theirs, |at| push.connect(at).unwrap(), live, stop);
        });
        assert_eq!(push.stats().reconnects, LIVES as u64 - 1);
    });
}

#[test]
fn pub_and_sub() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (sub, stop) = (&client::<Sub>(&ours).subscribe("A").build().unwrap(), &AtomicBool::new(false));
        let live = |life: usize, publisher: &Socket<Pub>| {
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            for n in 0..EACH_LIFE {
                publisher.send(["B", "not wanted"]).unwrap();
                publisher.send(["A", &format!("{life} {n}")]).unwrap();
            }
            for n in 0..EACH_LIFE {
                assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), Message::from(["A", &format!("{life} {n}")]));
            }
        };
        lives(&theirs, |at| sub.connect(at).unwrap(), live, stop);
        assert_eq!(sub.stats().discarded, 0);
    });
}

#[test]
fn xpub_and_sub() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (sub, stop) = (&client::<Sub>(&ours).subscribe("A").build().unwrap(), &AtomicBool::new(false));
        let live = |_, xpub: &Socket<XPub>| {
            let event: XPubEvent = xpub.recv_timeout(PATIENCE).unwrap().into();
            assert_eq!(event, XPubEvent::Subscribe("A".into()), "before anything else");
            xpub.send("A").unwrap();
            assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), "A");
        };
        lives(&theirs, |at| sub.connect(at).unwrap(), live, stop);
    });
}

#[test]
fn req_and_rep() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (req, stop) = (&client::<Req>(&ours).build().unwrap(), &AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = 0..;
                while !stop.load(SeqCst) {
                    let question = numbered(0, numbers.next().unwrap(), 0);
                    match req.request(question.clone(), Duration::from_secs(1)) {
                        Ok(answer) => {
                            assert_eq!(answer, question, "none is taken for that of another question")
                        }
                        Err(RequestError::Unanswered(_) | RequestError::Unsent(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let live = |_, rep: &Socket<Rep>| {
                for _ in 0..EACH_LIFE {
                    let question = rep.recv_timeout(PATIENCE).unwrap();
                    rep.send(question).unwrap();
                }
                rep.recv_timeout(PATIENCE).unwrap(); // and dies over it
            };
            lives(&theirs, |at| req.connect(at).unwrap(), live, stop);
        });
    });
}

#[test]
fn dealer_and_router() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let dealer = &client::<Dealer>(&ours).routing_id("D").build().unwrap();
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = 0..;
                while !stop.load(SeqCst) {
                    let _timeout = dealer
                        .send_timeout(numbered(0, numbers.next().unwrap(), 0), Duration::from_millis(10));
                    while dealer.try_recv().is_ok() {}
                }
            });
            let mut last = None;
            let live = |_, router: &Socket<Router>| {
                let before = dealer.stats().delivered;
                for _ in 0..EACH_LIFE {
                    let message = router.recv_timeout(PATIENCE).unwrap();
                    assert_eq!(message.part(0), Some(&b"D"[..]));
                    router.send(message.clone()).unwrap();
                    let number = Some(number_of(&message.split_front().1.unwrap()).1);
                    assert!(number > last, "in order, and none twice");
                    last = number;
                }
                eventually("the way back works as well", || dealer.stats().delivered > before);
            };
            lives(&theirs, |at| dealer.connect(at).unwrap(), live, stop);
        });
    });
}

#[test]
fn pair_and_pair() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (pair, stop) = (&client::<Pair>(&ours).build().unwrap(), &AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = 0..;
                while !stop.load(SeqCst) {
                    let _timeout =
                        pair.send_timeout(numbered(0, numbers.next().unwrap(), 0), Duration::from_millis(10));
                    while pair.try_recv().is_ok() {}
                }
            });
            let mut last = None;
            let live = |_, server: &Socket<Pair>| {
                let before = pair.stats().delivered;
                for _ in 0..EACH_LIFE {
                    let message = server.recv_timeout(PATIENCE).unwrap();
                    server.send(message.clone()).unwrap();
                    let number = Some(number_of(&message).1);
                    assert!(number > last, "in order, and none twice");
                    last = number;
                }
                eventually("the way back works as well", || pair.stats().delivered > before);
            };
            lives(&theirs, |at| pair.connect(at).unwrap(), live, stop);
        });
    });
}
