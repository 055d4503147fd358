//! How many connections a bound endpoint takes, in all, from one address and in their handshake; and that strangers who
//! hold all places keep nobody out who speaks.

mod common;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::raw::{self, Peer, command, property};
use common::{PATIENCE, eventually, reached, trouble, within};
use ferromq::{Context, End, Endpoint, Event, Limit, Pull, Push, Rejection, Socket};

/// How long a handshake may take while others wait for its place.
const FAIR: Duration = Duration::from_secs(1);

#[track_caller]
fn hits(pull: &Socket<Pull>, limit: Limit) -> u64 {
    pull.stats().limits.of(limit)
}

fn local(peer: &TcpStream) -> String {
    format!("tcp://{}", peer.local_addr().unwrap())
}

/// Whether the socket behind an endpoint has a place for us, and not an end at once.
fn is_let_in(stream: TcpStream) -> bool {
    let mut octet = [0];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.peek(&mut octet).is_ok_and(|octets| octets == 1)
}

/// A message gets through from a newcomer.
#[track_caller]
fn assert_served(pull: &Socket<Pull>, at: &Endpoint) {
    let mut peer = Peer::dial(at, "PUSH");
    peer.send(&[b"hello"]);
    assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "hello");
    peer.sync();
}

#[test]
fn one_connection_too_many_is_closed_without_a_word_counted_and_told() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_connections(2).build().unwrap();
        let monitor = pull.monitor();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let elsewhere = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut first = Peer::dial(&at, "PUSH");
        let second = Peer::dial(&at, "PUSH");
        pull.wait_connected(2, PATIENCE).unwrap();

        let third = Peer::connect(&at);
        let address = local(&third.0);
        assert!(!is_let_in(third.0), "nothing is said to it");
        assert_eq!(reached(&monitor, Limit::Connections).address.unwrap().to_string(), address);
        assert_eq!((hits(&pull, Limit::Connections), pull.stats().limits.total()), (1, 1));
        first.send(&[b"still here"]);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "still here");
        assert_served(&pull, &elsewhere); // each endpoint counts its own

        drop(second);
        eventually("its end is noticed", || pull.stats().peers == 1);
        assert_served(&pull, &at);
        assert_eq!(hits(&pull, Limit::Connections), 1);
    });
}

#[test]
fn connections_over_ipc_are_counted_too() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull =
            context.socket::<Pull>().max_connections(1).max_connections_per_address(1).build().unwrap();
        let at = pull.bind("ipc://*").unwrap();
        let dial = || {
            let push = context.socket::<Push>().linger(Duration::ZERO).build().unwrap();
            push.connect(&at).unwrap();
            push
        };
        let first = dial();
        pull.wait_connected(1, PATIENCE).unwrap();
        let second = dial();
        eventually("the second is turned away", || hits(&pull, Limit::Connections) >= 1);
        drop(first);
        second.wait_connected(1, PATIENCE).unwrap();
        second.send("hello").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "hello");
        assert_eq!(hits(&pull, Limit::ConnectionsPerAddress), 0);
    });
}

#[test]
fn one_address_does_not_take_the_places_of_others() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_connections_per_address(2).build().unwrap();
        let monitor = pull.monitor();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let _two = [Peer::dial(&at, "PUSH"), Peer::dial(&at, "PUSH")];
        let third = Peer::connect(&at);
        let address = local(&third.0);
        assert!(!is_let_in(third.0));
        let culprit = reached(&monitor, Limit::ConnectionsPerAddress);
        assert_eq!(culprit.address.unwrap().to_string(), address);
        assert_eq!(hits(&pull, Limit::ConnectionsPerAddress), 1);

        let push = context.socket::<Push>().build().unwrap();
        push.connect(at.to_string().replace("tcp://", "tcp://127.0.0.2:0;")).unwrap();
        push.send("from elsewhere").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "from elsewhere");
    });
}

#[test]
fn strangers_who_hold_all_places_give_way_to_who_speaks() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_handshakes(3).build().unwrap();
        let monitor = pull.monitor();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let silent: Vec<Peer> = (0..3).map(|_| Peer::connect(&at)).collect();
        let began = Instant::now();
        assert_served(&pull, &at);
        assert!(began.elapsed() < FAIR + PATIENCE / 2, "long before the time of a handshake is over");

        let oldest = reached(&monitor, Limit::Handshakes).address;
        assert_eq!(oldest.map(|address| address.to_string()), Some(local(&silent[0].0)));
        let Event::HandshakeFailed { why, .. } = trouble(&monitor) else { panic!() };
        assert!(matches!(why, End::Refused(Rejection::Displaced)), "{why}");
        assert_eq!(hits(&pull, Limit::Handshakes), 1);
        assert!(silent.into_iter().skip(1).all(|peer| is_let_in(peer.0)), "no more of them than it takes");
    });
}

#[test]
fn strangers_in_their_handshake_do_not_count_for_more_than_who_speaks() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_connections(2).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let _silent = [Peer::connect(&at), Peer::connect(&at)];
        let push = context.socket::<Push>().build().unwrap();
        push.connect(&at).unwrap(); // again and again
        push.send("hello").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE / 2).unwrap(), "hello");
        assert_eq!(hits(&pull, Limit::Handshakes), 1);
    });
}

/// A stranger elsewhere who says nothing does not win an address more places than it has.
#[test]
fn who_gives_way_does_not_give_it_to_an_address_that_has_its_share() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_connections_per_address(1).max_handshakes(1);
        let pull = pull.build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let from_elsewhere = at.to_string().replace("tcp://", "tcp://127.0.0.2:0;");
        let soon = Duration::from_millis(20);
        let pushes = [(); 2].map(|()| {
            let push = context.socket::<Push>().reconnect_interval(soon).reconnect_max(soon);
            push.build().unwrap()
        });
        pushes[0].connect(from_elsewhere.as_str()).unwrap();
        pull.wait_connected(1, PATIENCE).unwrap();
        let silent = Peer::connect(&at);
        let began = Instant::now();
        pushes[1].connect(from_elsewhere.as_str()).unwrap();
        eventually("its time is over", || began.elapsed() > FAIR + FAIR / 2);
        let before = hits(&pull, Limit::ConnectionsPerAddress);
        eventually("they come again", || hits(&pull, Limit::ConnectionsPerAddress) > before + 3);
        assert_eq!((pull.stats().peers, hits(&pull, Limit::Handshakes)), (1, 0));
        assert!(is_let_in(silent.0), "nobody had a right to its place");
    });
}

/// As many as come: each silent stranger that is thrown out is followed by another.
#[test]
fn strangers_who_keep_coming_keep_nobody_out() {
    within(2 * PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_handshakes(4).backlog(16).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        let mut silent = Peer::connect(&at);
                        silent.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                        eventually("it is over", || stop.load(SeqCst) || is_over(&mut silent));
                    }
                });
            }
            eventually("all places are held", || hits(&pull, Limit::Handshakes) > 0);
            for _ in 0..3 {
                assert_served(&pull, &at);
            }
            stop.store(true, SeqCst);
        });
    });
}

fn is_over(peer: &mut Peer) -> bool {
    use std::io::{ErrorKind, Read};
    let read = peer.0.read(&mut [0; 64]);
    !matches!(read, Ok(1..)) && !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_place_in_the_handshake_is_free_as_soon_as_one_is_over() {
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let pull = context.socket::<Pull>().max_handshakes(1).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        // The machine may be slow: of some tries one is quick.
        let quick = (0..10).any(|round| {
            let slow = Peer::connect(&at);
            eventually("it is accepted", || slow.0.peek(&mut [0]).is_ok());
            let began = Instant::now();
            let waiting = Peer::connect(&at);
            waiting.0.set_read_timeout(Some(FAIR / 10)).unwrap();
            assert!(waiting.0.peek(&mut [0]).is_err() || began.elapsed() >= FAIR / 2, "there is one place");
            waiting.0.set_read_timeout(Some(PATIENCE)).unwrap();
            let _slow = if round % 2 == 0 { Some(slow.shake_hands("PUSH")) } else { None };
            let _waiting = waiting.shake_hands("PUSH");
            began.elapsed() < FAIR / 2
        });
        assert!(quick, "who waits has to wait until the oldest handshake has had its time");
    });
}

#[test]
fn a_handshake_may_be_as_large_as_it_is_told() {
    let context = Context::new().unwrap();
    let ready = |extra: usize| {
        let metadata = [
            property("Socket-Type", b"PUSH"),
            property("Identity", &[b'i'; 255]),
            property("X-Large", &vec![0; extra]),
        ];
        command("READY", &metadata.concat())
    };
    let rest = 512 - (ready(300).len() - 9 - 300);
    let pull = context.socket::<Pull>().max_handshake_size(512).build().unwrap();
    let monitor = pull.monitor();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    let mut large = Peer::connect(&at);
    large.write(&[raw::greeting(3, 1, "NULL"), ready(rest)].concat());
    large.read_handshake();
    pull.wait_connected(1, PATIENCE).unwrap();
    Peer::connect(&at).write(&[raw::greeting(3, 1, "NULL"), ready(rest + 1)].concat());
    reached(&monitor, Limit::HandshakeSize);
    let Event::HandshakeFailed { .. } = trouble(&monitor) else { panic!() };
}
