//! What `unbind` and `disconnect` leave: no connection, no address, and every message where its type has it.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{PATIENCE, eventually, number_of, numbered, raw, within};
use ferromq::{Context, Dealer, Endpoint, Kind, Message, Pub, Pull, Push, Router, Sends, Socket, Stats};

/// A socket and a peer that reads nothing, so that messages are left in the queue.
struct Stalled<T: Kind> {
    socket: Socket<T>,
    at: Endpoint,
    bound: bool,
    peer: raw::Peer,
}

impl<T: Sends> Stalled<T> {
    fn new(socket: Socket<T>, bound: bool, peer: &str) -> Self {
        let (at, peer) = if bound {
            let at = socket.bind("tcp://127.0.0.1:0").unwrap();
            let peer = raw::Peer::dial(&at, peer);
            (at, peer)
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = format!("tcp://{}", listener.local_addr().unwrap());
            socket.connect(&at).unwrap();
            (at.parse().unwrap(), raw::Peer::answer(&listener, peer))
        };
        socket.wait_connected(1, PATIENCE).unwrap();
        Self { socket, at, bound, peer }
    }

    /// Sends so much that some of it is left, and undoes the bind or connect. Returns the counts before.
    fn detach(&mut self, message: impl Fn(u32) -> Message) -> Stats {
        (0..SENT).for_each(|number| self.socket.send_timeout(message(number), PATIENCE).unwrap());
        let mut before = self.socket.stats();
        eventually("no more can be written", || {
            std::thread::sleep(Duration::from_millis(20));
            std::mem::replace(&mut before, self.socket.stats()) == before
        });
        assert!(before.queued > 10, "{before:?}");
        if self.bound { self.socket.unbind(&self.at) } else { self.socket.disconnect(&self.at) }.unwrap();
        let after = self.socket.stats();
        assert_eq!((after.peers, after.returned), (0, 0), "only a close hands back: {after:?}");
        assert_eq!((after.written, after.unconfirmed), (before.written, before.written));
        self.peer.expect_closed(PATIENCE);
        before
    }
}

const SENT: u32 = 60;

fn large(number: u32) -> Message {
    numbered(0, number, 200_000)
}

/// It is kept, goes to the next peer in order, and is handed back by a close if there is none.
fn is_kept<T: Sends>(make: impl Fn() -> Socket<T>, next: &str) {
    for bound in [true, false] {
        for closes in [true, false] {
            let mut stalled = Stalled::new(make(), bound, next);
            let before = stalled.detach(large);
            let socket = &stalled.socket;
            let after = socket.stats();
            assert_eq!(
                (after.queued, after.requeued, after.dropped.total()),
                (before.queued, before.queued, 0)
            );
            let expected: Vec<u32> = (before.written as u32..SENT).collect();
            let got: Vec<u32> = if closes {
                socket.close(Duration::ZERO).unsent.iter().map(|message| number_of(message).1).collect()
            } else {
                let mut heir = raw::Peer::dial(socket.bind("tcp://127.0.0.1:0").unwrap(), next);
                expected.iter().map(|_| number_of(&Message::from(heir.single())).1).collect()
            };
            assert_eq!(got, expected);
            let stats = socket.stats();
            assert_eq!((stats.queued, stats.dropped.total()), (0, 0), "{stats:?}");
            assert_eq!(stats.accepted, stats.written + stats.returned, "{stats:?}");
        }
    }
}

#[test]
fn what_a_push_has_left_goes_to_the_next_peer() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        is_kept(|| ctx.socket::<Push>().send_hwm(0).build().unwrap(), "PULL");
    });
}

#[test]
fn what_a_dealer_has_left_goes_to_the_next_peer() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        is_kept(|| ctx.socket::<Dealer>().send_hwm(0).build().unwrap(), "DEALER");
    });
}

#[track_caller]
fn is_dropped<T: Sends>(mut stalled: Stalled<T>, message: impl Fn(u32) -> Message) {
    let before = stalled.detach(message);
    let after = stalled.socket.stats();
    assert_eq!((after.queued, after.dropped.disconnected), (0, before.queued), "{after:?}");
    assert_eq!(after.accepted, after.written + after.dropped.total());
}

#[test]
fn what_a_publisher_has_left_is_dropped_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for bound in [true, false] {
            let publisher = ctx.socket::<Pub>().send_hwm(0).build().unwrap();
            let mut stalled = Stalled::new(publisher, bound, "SUB");
            stalled.peer.write(&raw::subscribe(b""));
            stalled.socket.wait_subscribed(1, PATIENCE).unwrap();
            is_dropped(stalled, large);
        }
    });
}

#[test]
fn what_a_router_has_left_is_dropped_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for bound in [true, false] {
            let router = ctx.socket::<Router>().send_hwm(0).build().unwrap();
            let mut stalled = Stalled::new(router, bound, "DEALER");
            stalled.peer.send(&[b"who am I?"]);
            let id = stalled.socket.recv_timeout(PATIENCE).unwrap().part(0).unwrap().to_vec();
            is_dropped(stalled, |number| Message::from([&id[..], &large(number).into_bytes()]));
        }
    });
}

/// While peers are connected, send and come back all the time.
#[test]
fn an_address_is_free_when_unbind_returns_a_hundred_times() {
    within(2 * PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let dir = std::env::temp_dir().join(format!("ferromq-detach-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("socket");
        for place in ["tcp://127.0.0.1:0".to_owned(), format!("ipc://{}", path.display())] {
            let pull = ours.socket::<Pull>().build().unwrap();
            let at = pull.bind(place.as_str()).unwrap();
            let pushes: Vec<_> = (0..3)
                .map(|_| {
                    let push = theirs.socket::<Push>().linger(Duration::ZERO);
                    let ms = Duration::from_millis;
                    let push = push.reconnect_interval(ms(1)).reconnect_max(ms(2)).build().unwrap();
                    push.connect(&at).unwrap();
                    push
                })
                .collect();
            for turn in 0..100 {
                pull.wait_connected(3, PATIENCE).unwrap();
                pushes.iter().for_each(|push| push.send_timeout("hello", PATIENCE).unwrap());
                pull.recv_timeout(PATIENCE).unwrap();
                pull.unbind(&at).unwrap();
                assert_eq!(pull.stats().peers, 0, "the connections are gone");
                assert!(!path.exists(), "and so is the file");
                // By the same socket, and by another one.
                if turn % 2 == 0 {
                    assert_eq!(pull.bind(&at).unwrap(), at);
                } else {
                    let other = ours.socket::<Pull>().build().unwrap();
                    assert_eq!(other.bind(&at).unwrap(), at);
                    drop(other.close(Duration::ZERO));
                    pull.bind(&at).unwrap();
                }
            }
        }
        std::fs::remove_dir_all(&dir).unwrap();
    });
}
