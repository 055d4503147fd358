//! A socket in somebody else's event loop: a plain poll, which knows nothing of the library, and a descriptor that says
//! the truth.
#![cfg(unix)]

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, Rng, blocked, eventually, number_of, numbered, pair, within};
use ferromq::{
    Context, Dealer, Interest, Kind, Pair, Pub, Pull, Push, Readiness, Receives, RecvError, Refusal, Rep,
    Req, Sends, Socket, Sub,
};
use mio::unix::SourceFd;
use mio::{Events, Poll, Token};

/// The event loop of somebody else. Like most it knows descriptors by number, and looks at them as they are.
struct Loop {
    poll: Poll,
    events: Events,
}

impl Loop {
    fn new() -> Self {
        Self { poll: Poll::new().unwrap(), events: Events::with_capacity(16) }
    }

    /// Which of the descriptors can be read.
    fn readable(&mut self, watched: &[&Readiness], timeout: Option<Duration>) -> Vec<usize> {
        let fds: Vec<_> = watched.iter().map(|readiness| readiness.as_raw_fd()).collect();
        let registry = self.poll.registry().try_clone().unwrap();
        for (place, fd) in fds.iter().enumerate() {
            registry.register(&mut SourceFd(fd), Token(place), mio::Interest::READABLE).unwrap();
        }
        self.poll.poll(&mut self.events, timeout).unwrap();
        fds.iter().for_each(|fd| registry.deregister(&mut SourceFd(fd)).unwrap());
        let mut places: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        places.sort_unstable();
        places
    }

    fn is_readable(&mut self, readiness: &Readiness) -> bool {
        !self.readable(&[readiness], Some(Duration::ZERO)).is_empty()
    }
}

/// The one descriptor of a socket.
fn watch<T: Kind>(socket: &Socket<T>, interest: Interest) -> Readiness {
    socket.readiness(interest).unwrap()
}

#[test]
fn a_level_triggered_loop_moves_everything_one_at_a_time() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(3).build().unwrap();
        let pull = ctx.socket::<Pull>().recv_hwm(3).build().unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let (room, mail) = (watch(&push, Interest::WRITABLE), watch(&pull, Interest::READABLE));
        let mut other = Loop::new();
        let (mut sent, mut received) = (0, 0);
        while received < 3000 {
            let watched: &[&Readiness] = if sent < 3000 { &[&mail, &room] } else { &[&mail] };
            for place in other.readable(watched, Some(PATIENCE)) {
                if place == 1 {
                    push.try_send(numbered(0, sent, 5000)).expect("what is readable has room");
                    sent += 1;
                } else {
                    let message = pull.try_recv().expect("what is readable has a message");
                    assert_eq!(number_of(&message), (0, received));
                    received += 1;
                }
            }
        }
        assert!(!other.is_readable(&mail));
    });
}

#[test]
fn an_edge_triggered_loop_that_goes_on_to_the_end_moves_everything() {
    within(2 * PATIENCE, || {
        const MESSAGES: u32 = 20_000;
        let (push, pull) = pair(&Context::new().unwrap());
        let mail = watch(&pull, Interest::READABLE);
        let mut poll = Poll::new().unwrap();
        poll.registry()
            .register(&mut SourceFd(&mail.as_raw_fd()), Token(0), mio::Interest::READABLE)
            .unwrap();
        let mut events = Events::with_capacity(4);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = Rng(1);
                for number in 0..MESSAGES {
                    push.send(numbered(0, number, 0)).unwrap();
                    if rng.one_in(500) {
                        thread::sleep(Duration::from_micros(rng.below(500)));
                    }
                }
            });
            let mut received = 0;
            while received < MESSAGES {
                poll.poll(&mut events, None).unwrap();
                while let Ok(message) = pull.try_recv() {
                    assert_eq!(number_of(&message), (0, received));
                    received += 1;
                }
            }
        });
    });
}

/// Sends and receives at random. Nobody else sends or receives, so that the descriptors can be held to their word: what is
/// readable does not fail, and what is not cannot work, unless it has become readable meanwhile.
fn walk<T: Sends + Receives>(a: &Socket<T>, b: &Socket<T>, seed: u64) {
    let (mut other, mut rng) = (Loop::new(), Rng(seed));
    let ends = [(a, watch(a, Interest::WRITABLE), watch(a, Interest::READABLE))]
        .into_iter()
        .chain([(b, watch(b, Interest::WRITABLE), watch(b, Interest::READABLE))])
        .collect::<Vec<_>>();
    for _ in 0..3000 {
        let (socket, room, mail) = &ends[rng.below(2) as usize];
        match rng.below(3) {
            0 => {
                let ready = other.is_readable(room);
                match socket.try_send("hello") {
                    Ok(()) => {}
                    Err(error) => {
                        assert!(!ready, "{:?}", error.reason());
                        assert!(matches!(error.reason(), Refusal::Full | Refusal::OutOfTurn));
                    }
                }
            }
            1 => {
                let ready = other.is_readable(mail);
                match socket.try_recv() {
                    Ok(_) | Err(RecvError::PeerLost) => {}
                    Err(error) => assert!(!ready, "{error:?}"),
                }
            }
            _ => {
                let before = socket.stats();
                let ready = other.is_readable(mail);
                let after = socket.stats();
                if (before.received, before.delivered) == (after.received, after.delivered) {
                    assert!(!ready || after.waiting > 0, "nothing is there to be received");
                }
            }
        }
    }
}

#[test]
fn at_every_step_the_descriptors_keep_their_word() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let dealer = || ctx.socket::<Dealer>().send_hwm(4).recv_hwm(4).build().unwrap();
        let (a, b) = (dealer(), dealer());
        b.connect(a.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        walk(&a, &b, 1);
        let (a, b) = (ctx.socket::<Pair>().build().unwrap(), ctx.socket::<Pair>().build().unwrap());
        b.connect(a.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        walk(&a, &b, 2);
    });
}

#[test]
fn follows_the_turns_of_req_and_rep() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, rep) = (ctx.socket::<Req>().build().unwrap(), ctx.socket::<Rep>().build().unwrap());
        req.connect(rep.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        let watched = [
            watch(&req, Interest::WRITABLE),
            watch(&req, Interest::READABLE),
            watch(&rep, Interest::WRITABLE),
            watch(&rep, Interest::READABLE),
        ];
        let watched: Vec<&Readiness> = watched.iter().collect();
        let mut other = Loop::new();
        for _ in 0..100 {
            assert_eq!(other.readable(&watched, None), [0]);
            req.try_send("question").unwrap();
            assert_eq!(other.readable(&watched, None), [3]);
            rep.try_recv().unwrap();
            assert_eq!(other.readable(&watched, None), [2]);
            rep.try_send("answer").unwrap();
            assert_eq!(other.readable(&watched, None), [1]);
            req.try_recv().unwrap();
        }
    });
}

#[test]
fn what_a_type_never_does_it_is_never_ready_for() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        sub.connect(publisher.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        let mut other = Loop::new();
        assert!(other.is_readable(&watch(&publisher, Interest::WRITABLE)));
        assert!(!other.is_readable(&watch(&publisher, Interest::READABLE)));
        publisher.send("news").unwrap();
        other.readable(&[&watch(&sub, Interest::READABLE)], None);
        assert!(!other.is_readable(&watch(&sub, Interest::WRITABLE)));
        assert!(other.is_readable(&watch(&sub, Interest::BOTH)));
    });
}

#[test]
fn a_connection_is_made_and_lost_while_nobody_calls() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().immediate(true).build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let room = watch(&push, Interest::WRITABLE);
        let mut other = Loop::new();
        for _ in 0..10 {
            assert!(!other.is_readable(&room));
            let elsewhere = Context::new().unwrap();
            let pull = elsewhere.socket::<Pull>().build().unwrap();
            pull.connect(at.clone()).unwrap();
            assert_eq!(other.readable(&[&room], Some(PATIENCE)), [0]);
            drop((pull, elsewhere));
            eventually("the peer is gone", || !other.is_readable(&room));
        }
    });
}

#[test]
fn a_closed_socket_is_readable_for_good() {
    let ways: [fn(&Context, Socket<Pull>); 3] = [
        |_, pull| drop(pull.close(Duration::ZERO)),
        |_, pull| drop(pull),
        |ctx, _| drop(ctx.close(Duration::ZERO)),
    ];
    for way in ways {
        within(PATIENCE, move || {
            let ctx = Context::new().unwrap();
            let (push, pull) = pair(&ctx);
            let watched = [watch(&pull, Interest::READABLE), watch(&pull, Interest::WRITABLE)];
            let watched: Vec<&Readiness> = watched.iter().collect();
            let mut other = Loop::new();
            assert!(other.readable(&watched, Some(Duration::ZERO)).is_empty());
            thread::scope(|scope| {
                let waiting = blocked(scope, || Loop::new().readable(&watched, Some(PATIENCE)));
                way(&ctx, pull);
                assert!(!waiting.join().unwrap().is_empty());
            });
            drop((push, ctx));
            assert_eq!(other.readable(&watched, Some(Duration::ZERO)), [0, 1]);
        });
    }
}

#[test]
fn many_may_watch_and_stop_watching() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let mut other = Loop::new();
        let mut watched: Vec<Readiness> = (0..10).map(|_| watch(&pull, Interest::READABLE)).collect();
        while !watched.is_empty() {
            push.send("hello").unwrap();
            for readiness in &watched {
                assert_eq!(other.readable(&[readiness], Some(PATIENCE)), [0]);
            }
            pull.try_recv().unwrap();
            assert!(watched.iter().all(|readiness| !other.is_readable(readiness)));
            watched.pop();
        }
        push.send("nobody watches").unwrap();
        assert_eq!(pull.recv().unwrap(), "nobody watches");
    });
}

#[test]
fn does_not_keep_its_socket_open_and_can_be_lent() {
    within(PATIENCE, || {
        fn is_lent<T: AsFd + Send + Sync + 'static>(_: &T) {}
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().linger(Duration::ZERO).build().unwrap();
        push.connect(DeadPort::new().endpoint()).unwrap();
        let readiness = watch(&push, Interest::WRITABLE);
        is_lent(&readiness);
        push.send("never sent").unwrap();
        drop(push);
        drop(ctx); // waits for every socket that is left
        assert!(Loop::new().is_readable(&readiness));
    });
}
