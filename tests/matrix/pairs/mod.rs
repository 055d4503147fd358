//! Every pair of socket types, legal or not, in every setting: what the matrix of ferromq with itself and the one with
//! libzmq share. The left socket of a pair is always ours.
#![allow(dead_code, unreachable_pub)] // the two use different parts of it

pub mod ours;
pub mod scripts;
pub mod strangers;

use std::fmt;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ferromq::SocketType::{self, Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};

use self::scripts::Talk;

pub type Parts = Vec<Vec<u8>>;

/// One of the two sockets of a pair, of whatever library. Calls wait for a generous time, and fail the test after that.
pub trait End {
    fn kind(&self) -> SocketType;

    /// Returns the endpoint to connect to.
    fn bind(&self, place: &str) -> String;
    fn connect(&self, at: &str);
    /// A ROUTER gives the peer a routing id.
    fn connect_as(&self, at: &str, name: &str);
    fn disconnect(&self, at: &str);

    fn send(&self, parts: &[Vec<u8>]);
    /// Whether the message was accepted.
    fn try_send(&self, parts: &[Vec<u8>]) -> bool;
    fn recv(&self) -> Parts;
    fn try_recv(&self) -> Option<Parts>;

    /// For a SUB; an XSUB sends its subscriptions.
    fn subscribe(&self, topic: &[u8]);
    fn unsubscribe(&self, topic: &[u8]);

    /// Waits until a peer was refused, if the library tells, and checks that none was let in.
    fn expect_refusal(&self);
    /// How many peers there are by now, or have been: none was let in twice.
    fn peers(&self) -> usize;
}

/// What makes sockets.
pub trait Library {
    /// A socket that calls itself by this routing id, if it is of a type that has one, and if it is not empty.
    fn socket(&self, kind: SocketType, name: &str) -> Box<dyn End>;
}

/// Two types that may talk to each other, and what they say.
pub struct Row {
    pub first: SocketType,
    pub second: SocketType,
    pub script: fn(&Talk<'_>),
}

const fn row(first: SocketType, second: SocketType, script: fn(&Talk<'_>)) -> Row {
    Row { first, second, script }
}

/// All legal pairs, each once.
pub const LEGAL: [Row; 12] = [
    row(Pair, Pair, scripts::both_ways),
    row(Push, Pull, scripts::one_way),
    row(Pub, Sub, scripts::published),
    row(Pub, XSub, scripts::published),
    row(XPub, Sub, scripts::published),
    row(XPub, XSub, scripts::published),
    row(Req, Rep, scripts::asked),
    row(Req, Router, scripts::asked_through_a_router),
    row(Dealer, Rep, scripts::asked_by_a_dealer),
    row(Dealer, Dealer, scripts::both_ways),
    row(Dealer, Router, scripts::dealt_and_routed),
    row(Router, Router, scripts::routed_both_ways),
];

/// Every type of socket.
pub const TYPES: [SocketType; 11] = [Pair, Pub, Sub, Req, Rep, Dealer, Router, Pull, Push, XPub, XSub];

/// The tests of a matrix: all pairs in groups that run side by side, those that talk and those that refuse each other.
macro_rules! groups {
    ($talk:ident, $refuse:ident) => {
        use ferromq::SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};

        #[test]
        fn pair_and_pipeline() {
            $talk(&[Pair, Push, Pull]);
        }

        #[test]
        fn request_and_reply() {
            $talk(&[Req, Rep]);
        }

        #[test]
        fn dealer_and_router() {
            $talk(&[Dealer, Router]);
        }

        #[test]
        fn publish_and_subscribe() {
            $talk(&[Pub, XPub]);
        }

        #[test]
        fn subscribe_and_publish() {
            $talk(&[Sub, XSub]);
        }

        #[test]
        fn strangers_of_pair_and_pipeline() {
            $refuse(&[Pair, Push, Pull]);
        }

        #[test]
        fn strangers_of_request_and_reply() {
            $refuse(&[Req, Rep, Dealer, Router]);
        }

        #[test]
        fn strangers_of_publish_and_subscribe() {
            $refuse(&[Pub, Sub, XPub, XSub]);
        }
    };
}
pub(crate) use groups;

/// The row of a pair, and whether it names the left one second.
pub fn legal(left: SocketType, right: SocketType) -> Option<(&'static Row, bool)> {
    LEGAL.iter().find_map(|row| match (row.first, row.second) {
        pair if pair == (left, right) => Some((row, false)),
        pair if pair == (right, left) => Some((row, true)),
        _ => None,
    })
}

/// All pairs with a left socket of one of these types, in every setting.
pub fn pairs(lefts: &[SocketType], transports: &[Transport]) -> Vec<Meeting> {
    let mut all = Vec::new();
    for (&left, right) in lefts.iter().flat_map(|left| TYPES.map(|right| (left, right))) {
        for binder in [Side::Left, Side::Right] {
            for &transport in transports {
                all.push(Meeting { left, right, binder, transport });
            }
        }
    }
    all
}

/// Two sockets, and how they come together.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    pub left: SocketType,
    pub right: SocketType,
    pub binder: Side,
    pub transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Ipc,
    Inproc,
}

/// The transports that lead to another process.
pub const BETWEEN_PROCESSES: &[Transport] = &[
    Transport::Tcp,
    #[cfg(unix)]
    Transport::Ipc,
];

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Single,
    EmptyParts,
    Mebibyte,
}

pub const SHAPES: [Shape; 3] = [Shape::Single, Shape::EmptyParts, Shape::Mebibyte];

/// How a ROUTER knows its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By an id that it makes, if at all.
    Made,
    /// By the id that the peer has chosen.
    Own,
    /// By the id that it has connected with.
    Given,
}

impl Meeting {
    /// All ways in which routing ids come about. Only ours can give one: the binding of libzmq has no call for it.
    fn names(&self) -> Vec<Names> {
        if ![self.left, self.right].contains(&Router) {
            return vec![Names::Made];
        }
        let mut names = vec![Names::Own];
        if self.left != self.right {
            names.push(Names::Made);
        }
        if self.left == Router && self.binder == Side::Right {
            names.push(Names::Given);
        }
        names
    }

    /// Lets a legal pair say all it has to say, in all shapes, each over a new connection.
    pub fn talk(&self, left: &dyn Library, right: &dyn Library) {
        let (row, swapped) = legal(self.left, self.right).expect("a legal pair");
        for names in self.names() {
            for shape in SHAPES {
                println!("{self}, {names:?}, {shape:?}");
                let [own_left, own_right] = if names == Names::Made { ["", ""] } else { ["left", "right"] };
                let mut sockets = [left.socket(self.left, own_left), right.socket(self.right, own_right)];
                let mut known_as = [own_left, own_right];
                let place = self.transport.place();
                self.join(&sockets, &place, names);
                if names == Names::Given {
                    known_as[1] = GIVEN;
                }
                if swapped {
                    sockets.reverse();
                    known_as.reverse();
                }
                let [first, second] = sockets;
                let [first_as, second_as] = known_as;
                let talk = Talk { first: &*first, second: &*second, first_as, second_as, shape };
                (row.script)(&talk);
                // libzmq keeps what it was told by those that it has connected to, for their return.
                if row.first == XPub && (!swapped || self.binder == Side::Right) {
                    drop(second);
                    scripts::subscriptions_end(&*first);
                }
                self.transport.clear(&place);
            }
        }
    }

    /// Connects the two. Returns where the one is bound.
    fn join(&self, [left, right]: &[Box<dyn End>; 2], place: &str, names: Names) -> String {
        let (binder, other) = if self.binder == Side::Left { (left, right) } else { (right, left) };
        let at = binder.bind(place);
        if names == Names::Given {
            other.connect_as(&at, GIVEN);
        } else {
            other.connect(&at);
        }
        at
    }
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, right, binder, transport } = self;
        write!(f, "{left} and {right}, {binder:?} binds, {transport:?}")
    }
}

impl Transport {
    /// A place to bind to that is nobody else's.
    fn place(self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("fmq-matrix-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        match self {
            Self::Tcp => "tcp://127.0.0.1:*".into(),
            Self::Ipc => format!("ipc://{}", std::env::temp_dir().join(name).display()),
            Self::Inproc => format!("inproc://{name}"),
        }
    }

    /// Removes the file of a place, which libzmq leaves there.
    fn clear(self, place: &str) {
        if self == Self::Ipc {
            let _gone = std::fs::remove_file(place.trim_start_matches("ipc://"));
        }
    }
}

impl Shape {
    /// The message. None of its parts could be taken for a subscription.
    pub fn parts(self) -> Parts {
        match self {
            Self::Single => vec![b"hello".to_vec()],
            Self::EmptyParts => [&b""[..], b"head", b"", b"", b"tail", b""].map(<[u8]>::to_vec).to_vec(),
            Self::Mebibyte => vec![(0..1 << 20).map(|at: u32| 2 + (at % 251) as u8).collect()],
        }
    }
}

/// The routing id of a peer that is given one.
const GIVEN: &str = "given";
