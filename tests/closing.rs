//! Whoever is blocked in a call when its socket is closed by another thread, in whatever way, wakes and is told so.

mod common;

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, blocked, within};
use ferromq::{
    Context, Dealer, Event, Interest, Kind, MonitorError, Overflow, PollEvent, Poller, Proxy, ProxyError,
    Pub, Pull, Push, RecvError, Refusal, Rep, Req, RequestError, Socket, Sub, WaitError, XPub,
};
use futures_executor::block_on;

/// The ways to close a socket that another thread waits on.
const WAYS: [&str; 3] = ["close", "close_async", "the context"];

fn close<T: Kind>(way: &str, ctx: &Context, socket: &Socket<T>) {
    match way {
        "close" => drop(socket.close(Duration::ZERO)),
        "close_async" => drop(socket.close_async()),
        _ => drop(ctx.close(Duration::ZERO)),
    }
}

/// Blocks in each call on a socket of its own, closes that from outside, in every way, and sees what the call says.
#[track_caller]
fn ends<T: Kind, R: PartialEq + Debug + Send>(
    make: impl Fn(&Context) -> Socket<T>,
    calls: &[fn(&Socket<T>) -> R],
    expected: &R,
) {
    for way in WAYS {
        for (number, call) in calls.iter().enumerate() {
            let ctx = Context::new().unwrap();
            let socket = &make(&ctx);
            thread::scope(|scope| {
                let waiting = blocked(scope, || call(socket));
                assert!(!waiting.is_finished(), "call {number} has not waited");
                let start = Instant::now();
                close(way, &ctx, socket);
                assert_eq!(waiting.join().unwrap(), *expected, "call {number}, by {way}");
                assert!(start.elapsed() < SOON, "call {number}, by {way}: {:?}", start.elapsed());
            });
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// What it may take on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn plain<T: Kind>(ctx: &Context) -> Socket<T> {
    ctx.socket::<T>().linger(Duration::ZERO).build().unwrap()
}

#[test]
fn send() {
    within(PATIENCE, || {
        ends::<Push, _>(
            plain,
            &[
                |push| push.send("stays").map_err(|error| (error.reason(), error.into_message())),
                |push| {
                    push.send_timeout("stays", HOUR).map_err(|error| (error.reason(), error.into_message()))
                },
                |push| {
                    block_on(push.send_async("stays")).map_err(|error| (error.reason(), error.into_message()))
                },
            ],
            &Err((Refusal::Closed, "stays".into())),
        );
    });
}

/// With a subscriber that has no room.
#[test]
fn send_of_a_publisher_that_blocks() {
    within(PATIENCE, || {
        let stuck = |ctx: &Context| {
            let publisher = ctx
                .socket::<Pub>()
                .linger(Duration::ZERO)
                .send_hwm(1)
                .overflow(Overflow::Block)
                .build()
                .unwrap();
            let sub = ctx.socket::<Sub>().recv_hwm(1).subscribe("").build().unwrap();
            sub.connect(publisher.bind("inproc://stuck").unwrap()).unwrap();
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            while publisher.try_send("x").is_ok() {}
            std::mem::forget(sub); // it stays, as that of another part of the program would
            publisher
        };
        ends(
            stuck,
            &[
                |publisher| publisher.send("x").map_err(|error| error.reason()),
                |publisher| block_on(publisher.send_async("x")).map_err(|error| error.reason()),
            ],
            &Err(Refusal::Closed),
        );
    });
}

#[test]
fn recv() {
    within(PATIENCE, || {
        ends::<Pull, _>(
            plain,
            &[
                |pull| pull.recv(),
                |pull| pull.recv_timeout(HOUR),
                |pull| block_on(pull.recv_async()),
                |pull| pull.iter().next().ok_or(RecvError::Closed),
            ],
            &Err(RecvError::Closed),
        );
        ends::<XPub, _>(plain, &[|xpub| xpub.recv()], &Err(RecvError::Closed));
        ends::<Rep, _>(plain, &[|rep| rep.recv()], &Err(RecvError::Closed));
    });
}

#[test]
fn request() {
    within(PATIENCE, || {
        // Nobody to ask.
        ends::<Req, _>(
            plain,
            &[
                |req| req.request("who?", HOUR).map_err(reason),
                |req| block_on(req.request_async("who?")).map_err(reason),
            ],
            &Err(Err(Refusal::Closed)),
        );
        // Nobody who answers.
        let unanswered = |ctx: &Context| {
            let req = plain::<Req>(ctx);
            let port = DeadPort::new();
            req.connect(port.endpoint()).unwrap();
            std::mem::forget(port);
            req
        };
        ends(
            unanswered,
            &[
                |req| req.request("who?", HOUR).map_err(reason),
                |req| block_on(req.request_async("who?")).map_err(reason),
            ],
            &Err(Ok(RecvError::Closed)),
        );
    });
}

fn reason(error: RequestError) -> Result<RecvError, Refusal> {
    match error {
        RequestError::Unsent(error) => Err(error.reason()),
        RequestError::Unanswered(error) => Ok(error),
        other => panic!("{other}"),
    }
}

#[test]
fn wait_connected_and_wait_subscribed() {
    within(PATIENCE, || {
        ends::<Pub, _>(
            plain,
            &[
                |publisher| publisher.wait_connected(1, HOUR),
                |publisher| block_on(publisher.wait_connected_async(1)),
                |publisher| publisher.wait_subscribed(1, HOUR),
                |publisher| block_on(publisher.wait_subscribed_async(1)),
            ],
            &Err(WaitError::Closed),
        );
    });
}

#[test]
fn the_wait_of_a_poller() {
    fn poll(pull: &Socket<Pull>, wait: fn(&mut Poller<'_>, &mut Vec<PollEvent>)) -> Vec<(usize, bool)> {
        let (mut poller, mut events) = (Poller::new(), Vec::new());
        poller.add(pull, 7, Interest::READABLE).unwrap();
        wait(&mut poller, &mut events);
        events.iter().map(|event| (event.key, event.closed)).collect()
    }
    within(PATIENCE, || {
        ends(
            plain,
            &[
                |pull| poll(pull, |poller, events| _ = poller.wait(events, None).unwrap()),
                |pull| poll(pull, |poller, events| _ = poller.wait(events, Some(HOUR)).unwrap()),
                |pull| poll(pull, |poller, events| _ = block_on(poller.wait_async(events)).unwrap()),
                // In a poll of its own, because of the descriptor.
                |pull| {
                    let (quiet, _other) = std::os::unix::net::UnixStream::pair().unwrap();
                    let (mut poller, mut events) = (Poller::new(), Vec::new());
                    poller.add(pull, 7, Interest::READABLE).unwrap();
                    poller.add_fd(&quiet, 8, Interest::READABLE).unwrap();
                    poller.wait(&mut events, None).unwrap();
                    events.iter().map(|event| (event.key, event.closed)).collect()
                },
            ],
            &vec![(7, true)],
        );
    });
}

#[test]
fn the_recv_of_a_monitor() {
    fn last(event: Result<Event, MonitorError>) -> MonitorError {
        event.unwrap_err()
    }
    within(PATIENCE, || {
        ends::<Pull, _>(
            plain,
            &[
                |pull| last(pull.monitor().recv()),
                |pull| last(pull.monitor().recv_timeout(HOUR)),
                |pull| last(block_on(pull.monitor().recv_async())),
                |pull| pull.monitor().next().map_or(MonitorError::Closed, |event| panic!("{event:?}")),
            ],
            &MonitorError::Closed,
        );
    });
}

#[test]
fn the_run_of_a_proxy() {
    within(PATIENCE, || {
        ends::<Dealer, _>(
            plain,
            &[
                |dealer| Proxy::new(dealer, dealer).run().unwrap_err(),
                |dealer| block_on(Proxy::new(dealer, dealer).run_async()).unwrap_err(),
                |dealer| {
                    let elsewhere = Context::new().unwrap().socket::<Dealer>().build().unwrap();
                    Proxy::new(&elsewhere, dealer).run().unwrap_err()
                },
            ],
            &ProxyError::Closed,
        );
    });
}

#[test]
fn many_calls_of_one_socket_all_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let dealer = &ctx.socket::<Dealer>().build().unwrap();
        thread::scope(|scope| {
            let senders: Vec<_> = (0..4).map(|_| blocked(scope, || dealer.send("x").is_err())).collect();
            let receivers: Vec<_> = (0..4).map(|_| blocked(scope, || dealer.recv().is_err())).collect();
            let waiters: Vec<_> =
                (0..4).map(|_| blocked(scope, || dealer.wait_connected(1, HOUR).is_err())).collect();
            drop(dealer.close(Duration::ZERO));
            let all = senders.into_iter().chain(receivers).chain(waiters);
            let mut all = all;
            assert!(all.all(|call| call.join().unwrap()));
        });
    });
}
