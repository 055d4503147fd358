//! Pairs that must not talk: each refuses the other, and goes on with those that are legal.

use ferromq::SocketType::{self, Dealer, Pair, Push, Req, Router, XPub};

use super::scripts::{NOISE, Talk, subscriptions_end};
use super::{End, LEGAL, Library, Meeting, Names, Row, Shape, Side};

/// Types that accept no message while they have no peer for it.
const NEED_A_PEER: [SocketType; 5] = [Pair, Push, Dealer, Req, Router];

impl Meeting {
    /// Checks that nothing passes between an illegal pair, and that both are alive: `control` makes legal peers for them.
    pub fn refuse(&self, left: &dyn Library, right: &dyn Library, control: &dyn Library) {
        println!("{self}");
        let sockets = [left.socket(self.left, ""), right.socket(self.right, "")];
        let places = [self.transport.place(), self.transport.place()];
        let at = self.join(&sockets, &places[0], Names::Made);
        let [left, right] = &sockets;
        let (binder, other) = if self.binder == Side::Left { (left, right) } else { (right, left) };

        let asked = other.try_send(&noise(&**other)) && other.kind() == Req;
        right.expect_refusal();
        left.expect_refusal();
        let taken = binder.try_send(&noise(&**binder));
        assert!(!taken || !NEED_A_PEER.contains(&binder.kind()), "the binder believes in its peer");
        let nothing_came = || {
            assert_eq!(binder.try_recv(), None, "at the binder");
            assert_eq!(other.try_recv(), None, "at the connecting one");
        };
        nothing_came();
        serves(&**binder, &at, control);
        nothing_came();
        assert_eq!(other.peers(), 0, "the connecting one believes in its peer");

        other.disconnect(&at);
        // A REQ that has asked a stranger waits for the answer.
        if !asked {
            serves(&**other, &other.bind(&places[1]), control);
        }
        places.iter().for_each(|place| self.transport.clear(place));
    }
}

/// A legal peer connects and is talked to.
fn serves(end: &dyn End, at: &str, control: &dyn Library) {
    let is_of = |row: &&Row| row.first == end.kind() || row.second == end.kind();
    let row = LEGAL.iter().find(is_of).expect("every type has a peer");
    let is_first = row.first == end.kind();
    let peer = control.socket(if is_first { row.second } else { row.first }, "");
    peer.connect(at);
    let (first, second) = if is_first { (end, &*peer) } else { (&*peer, end) };
    (row.script)(&Talk { first, second, first_as: "", second_as: "", shape: Shape::Single });
    assert_eq!(end.peers(), 1, "one peer is legal");
    if end.kind() == XPub {
        drop(peer);
        subscriptions_end(end);
    }
}

/// A message that nobody is to get.
fn noise(end: &dyn End) -> Vec<Vec<u8>> {
    if end.kind() == Router { vec![b"you".to_vec(), NOISE.to_vec()] } else { vec![NOISE.to_vec()] }
}
