//! A child that was forked from the process which made a context: it is told that nothing of it works, and does its parent no
//! harm, whatever it tries and however it ends.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use common::{PATIENCE, alone, eventually, numbered, poll_once, raw, within};
use ferromq::{
    BindError, BuildError, ConnectError, Context, DetachError, Endpoint, Event, Interest, Message, Monitor,
    MonitorError, Poller, PollerError, Proxy, ProxyError, Pub, Pull, Push, Readiness, RecvError, Refusal,
    Req, RequestError, Router, Socket, Stats, Sub, SubscribeError, WaitError,
};
use fork::{Fork, fork, waitpid};
use futures_executor::block_on;

/// Forks, and has the child run the body with its copy of what is given; returns that of the parent once the child has
/// ended well. Other threads of the parent should be quiet meanwhile.
#[track_caller]
fn in_a_fork<W>(world: W, body: impl FnOnce(W)) -> W {
    let (mut ours, mut childs) = UnixStream::pair().unwrap();
    match fork().unwrap() {
        Fork::Child => {
            drop(ours);
            std::panic::set_hook(Box::new(|_| {}));
            let report = match catch_unwind(AssertUnwindSafe(|| body(world))) {
                Ok(()) => "well".to_owned(),
                Err(cause) => match cause.downcast::<String>() {
                    Ok(cause) => *cause,
                    Err(cause) => cause.downcast_ref::<&str>().unwrap_or(&"panicked").to_string(),
                },
            };
            let _parent_gone = childs.write_all(report.as_bytes());
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            drop(childs);
            ours.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut report = String::new();
            if ours.read_to_string(&mut report).is_err() {
                let _ended = std::process::Command::new("kill").args(["-9", &child.to_string()]).status();
                panic!("the child hangs");
            }
            waitpid(child).unwrap();
            assert_eq!(report, "well", "the child's end");
            world
        }
    }
}

/// Fails if a call that is in vain takes long.
#[track_caller]
fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = call();
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    value
}

type InFlight = Pin<Box<dyn Future<Output = Result<Message, RecvError>> + Send>>;

/// Everything a program may have of this library, alive and connected over a transport.
struct World {
    // In an order in which each may be borrowed by none before.
    waiting: InFlight,
    poller: Poller<'static>,
    readiness: Readiness,
    monitors: [Monitor; 2],
    push: Socket<Push>,
    pull: Socket<Pull>,
    publisher: Socket<Pub>,
    sub: Socket<Sub>,
    req: Socket<Req>,
    router: Socket<Router>,
    here: Endpoint,
    ours: Context,
    theirs: Context,
}

impl World {
    fn new(place: &str) -> Self {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let push = ours.socket::<Push>().build().unwrap();
        let pull = theirs.socket::<Pull>().build().unwrap();
        let monitors = [push.monitor(), pull.monitor()];
        let here = push.bind(place).unwrap();
        pull.connect(&here).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        pull.wait_connected(1, PATIENCE).unwrap();

        let publisher = ours.socket::<Pub>().build().unwrap();
        let sub = theirs.socket::<Sub>().subscribe("").build().unwrap();
        sub.connect(publisher.bind(if place.starts_with("ipc") { "ipc://*" } else { place }).unwrap())
            .unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        let req = ours.socket::<Req>().build().unwrap();
        let router = theirs.socket::<Router>().build().unwrap();
        req.connect(router.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        router.wait_connected(1, PATIENCE).unwrap();
        req.wait_connected(1, PATIENCE).unwrap();

        let idle = theirs.socket::<Pull>().build().unwrap();
        let mut waiting: InFlight = Box::pin(async move { idle.recv_async().await });
        assert!(poll_once(Pin::new(&mut waiting)).is_none());
        let mut poller = Poller::new();
        poller.add(&pull, 0, Interest::READABLE).unwrap();
        poller.wait(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        let readiness = pull.readiness(Interest::READABLE).unwrap();
        for monitor in &monitors {
            while !matches!(monitor.recv().unwrap(), Event::Ready { .. }) {}
        }
        let world = Self {
            waiting,
            poller,
            readiness,
            monitors,
            push,
            pull,
            publisher,
            sub,
            req,
            router,
            here,
            ours,
            theirs,
        };
        world.assert_lives();
        world
    }

    /// Messages pass as before, those of the parent and no others, on the connections that were there.
    #[track_caller]
    fn assert_lives(&self) {
        for number in 0..100 {
            self.push.send_timeout(numbered(0, number, 100), PATIENCE).unwrap();
            self.publisher.send(numbered(1, number, 100)).unwrap();
        }
        for number in 0..100 {
            assert_eq!(self.pull.recv_timeout(PATIENCE).unwrap(), numbered(0, number, 100));
            assert_eq!(self.sub.recv_timeout(PATIENCE).unwrap(), numbered(1, number, 100));
        }
        for monitor in &self.monitors {
            assert_eq!(monitor.try_recv().unwrap_err(), MonitorError::Empty, "something happened");
        }
        for stats in [self.push.stats(), self.pull.stats(), self.publisher.stats(), self.sub.stats()] {
            assert_eq!((stats.peers, stats.reconnects, stats.unconfirmed), (1, 0, 0));
        }
        eventually("all is counted", || self.push.stats().queued == 0);
    }

    /// What a child finds.
    fn assert_all_in_vain(&mut self) {
        self.assert_no_traffic();
        let Self { poller, push, pull, publisher, sub, req, here, monitors, ours, .. } = self;
        assert!(matches!(push.bind("tcp://127.0.0.1:0"), Err(BindError::Forked)));
        assert!(matches!(push.bind("inproc://name"), Err(BindError::Forked)));
        assert_eq!(pull.connect(&*here), Err(ConnectError::Forked));
        assert_eq!(push.unbind(&*here), Err(DetachError::Forked));
        assert_eq!(pull.disconnect(&*here), Err(DetachError::Forked));
        assert_eq!(sub.subscribe("A"), Err(SubscribeError::Forked));
        assert_eq!(sub.unsubscribe(""), Err(SubscribeError::Forked));
        assert_eq!(pull.wait_connected(9, PATIENCE), Err(WaitError::Forked));
        assert_eq!(block_on(pull.wait_connected_async(9)), Err(WaitError::Forked));
        assert_eq!(publisher.wait_subscribed(9, PATIENCE), Err(WaitError::Forked));
        let unsent = req.request("question", PATIENCE).unwrap_err();
        assert!(
            matches!(&unsent, RequestError::Unsent(error) if error.reason() == Refusal::Forked),
            "{unsent}"
        );
        assert!(matches!(block_on(req.request_async("question")), Err(RequestError::Unsent(_))));
        assert_eq!(monitors[0].recv().unwrap_err(), MonitorError::Forked);
        assert_eq!(monitors[0].try_recv().unwrap_err(), MonitorError::Forked);
        assert_eq!(block_on(monitors[1].recv_async()).unwrap_err(), MonitorError::Forked);
        let events = &mut Vec::new();
        assert!(matches!(poller.remove(0), Err(PollerError::Forked)));
        assert!(matches!(poller.modify(0, Interest::BOTH), Err(PollerError::Forked)));
        poller.wait(events, Some(PATIENCE)).unwrap_err();
        pull.readiness(Interest::READABLE).unwrap_err();
        assert!(matches!(ours.socket::<Push>().build(), Err(BuildError::Forked)));
        let run = Proxy::one_way(pull, push).run();
        assert_eq!(run.unwrap_err(), ProxyError::Receive(RecvError::Forked));
        let run = block_on(Proxy::one_way(pull, push).run_async());
        assert_eq!(run.unwrap_err(), ProxyError::Receive(RecvError::Forked));
    }

    fn assert_no_traffic(&self) {
        let Self { push, pull, publisher, .. } = self;
        for error in [
            push.try_send("lost").unwrap_err(),
            push.send("lost").unwrap_err(),
            push.send_timeout("lost", PATIENCE).unwrap_err(),
            block_on(push.send_async("lost")).unwrap_err(),
            publisher.send("lost").unwrap_err(),
        ] {
            assert_eq!(error.reason(), Refusal::Forked);
            assert_eq!(error.message(), "lost");
        }
        for result in [pull.try_recv(), pull.recv(), pull.recv_timeout(PATIENCE), block_on(pull.recv_async())]
        {
            assert_eq!(result, Err(RecvError::Forked));
        }
    }

    /// Ends everything in some order, after closing it.
    fn end(self, how: usize) {
        let Self { push, pull, ours, theirs, .. } = &self;
        match how % 4 {
            0 => {}
            1 => {
                assert!(push.close(PATIENCE).endpoints.is_empty());
                assert!(block_on(pull.close_async()).endpoints.is_empty());
            }
            2 => drop(push.close_async()),
            _ => {
                for context in [ours, theirs] {
                    assert!(context.close(PATIENCE).endpoints.is_empty());
                }
            }
        }
        let Self { waiting, poller, readiness, monitors, push, pull, publisher, sub, req, router, .. } = self;
        let mut parts: Vec<Box<dyn Send>> = vec![
            Box::new(waiting),
            Box::new(poller),
            Box::new(readiness),
            Box::new(monitors),
            Box::new(push),
            Box::new(pull),
            Box::new((publisher, sub, req, router)),
            Box::new((self.ours, self.theirs)),
        ];
        let len = parts.len();
        parts.rotate_left(how % len);
        parts.into_iter().for_each(drop);
    }
}

fn path_of(endpoint: &Endpoint) -> PathBuf {
    endpoint.to_string().strip_prefix("ipc://").map(PathBuf::from).unwrap()
}

#[test]
fn a_child_gets_errors_and_its_parent_goes_on() {
    let _alone = alone();
    within(2 * PATIENCE, || {
        for (how, place) in ["tcp://127.0.0.1:0", "ipc://*"].into_iter().cycle().take(16).enumerate() {
            let world = in_a_fork(World::new(place), |mut world| {
                at_once(|| {
                    if how % 3 != 1 {
                        world.assert_all_in_vain();
                    }
                    world.end(how / 2);
                });
            });
            world.assert_lives();
            if place.starts_with("ipc") {
                assert!(path_of(&world.here).exists(), "its file is still there");
            }
            let late = world.theirs.socket::<Pull>().build().unwrap();
            late.connect(&world.here).unwrap();
            world.push.wait_connected(2, PATIENCE).unwrap();
        }
    });
}

#[test]
fn a_child_may_make_a_context_of_its_own() {
    let _alone = alone();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let here = pull.bind("tcp://127.0.0.1:0").unwrap();
        let left_behind = ctx.socket::<Push>().build().unwrap();
        left_behind.connect(&here).unwrap();
        left_behind.wait_connected(1, PATIENCE).unwrap();
        let parts = in_a_fork((ctx, left_behind), |(ctx, left_behind)| {
            assert_eq!(left_behind.send("lost").unwrap_err().reason(), Refusal::Forked);
            let own = Context::new().unwrap();
            let (push, pull) = common::pair(&own);
            common::assert_joined(&push, &pull);
            push.connect(&here).unwrap();
            push.wait_connected(2, PATIENCE).unwrap();
            drop((ctx, left_behind));
            (0..10).for_each(|_| push.send("from the child").unwrap());
            assert!(push.close(PATIENCE).unsent.is_empty());
        });
        (0..5).for_each(|_| assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "from the child"));
        parts.1.send("from the parent").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "from the parent");
    });
}

/// Neither what waits for its connection nor what has come is the child's.
#[test]
fn a_child_neither_adds_to_a_queue_nor_takes_from_one() {
    let _alone = alone();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = common::pair(&ctx);
        let stalled = ctx.socket::<Push>().build().unwrap();
        let mut peer = raw::Peer::dial(stalled.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        stalled.wait_connected(1, PATIENCE).unwrap();
        while stalled.send_timeout(vec![0; 100_000], Duration::from_millis(20)).is_ok() {}
        (0..5).for_each(|_| push.send("job").unwrap());
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "job");
        eventually("all has come", || pull.stats().waiting == 4);
        let before = stalled.stats();
        let (stalled, pull) = in_a_fork((stalled, pull), |(stalled, pull)| {
            assert_eq!(stalled.try_send("lost").unwrap_err().reason(), Refusal::Forked);
            assert_eq!(pull.try_recv(), Err(RecvError::Forked));
            assert_eq!(stalled.stats(), Stats::default());
            assert!(pull.peer_stats().is_empty());
        });
        assert_eq!(stalled.stats().accepted, before.accepted);
        (0..before.accepted).for_each(|_| assert_eq!(peer.single().len(), 100_000));
        (0..4).for_each(|_| assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "job"));
    });
}
