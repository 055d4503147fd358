//! A ROUTER that waits for room at a peer does not wait for one that is gone.

mod common;

use std::thread;

use common::{PATIENCE, blocked, raw, within};
use ferromq::{Context, Refusal, Router};

/// Fills the queue of a peer that does not read, and has a thread wait for room there while the peer dies.
fn outlives(others: usize) {
    within(PATIENCE, move || {
        let ctx = Context::new().unwrap();
        let router = ctx.socket::<Router>().send_hwm(1).build().unwrap();
        let at = router.bind("tcp://127.0.0.1:0").unwrap();
        let mut peers: Vec<raw::Peer> = (0..=others).map(|_| raw::Peer::dial(&at, "DEALER")).collect();
        let ids: Vec<_> = peers
            .iter_mut()
            .map(|peer| {
                peer.send(&[b"hello"]);
                router.recv_timeout(PATIENCE).unwrap().split_front().0
            })
            .collect();
        let body = vec![0; 1 << 20];
        for id in &ids {
            while router.try_send([&id[..], &body]).is_ok() {}
        }
        thread::scope(|scope| {
            let waiting = blocked(scope, || router.send([&ids[0][..], b"late"]));
            peers.remove(0).reset();
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.reason(), Refusal::Unroutable);
            assert_eq!(error.message().part(1), Some(&b"late"[..]));
        });
    });
}

#[test]
fn the_only_peer_dies() {
    outlives(0);
}

#[test]
fn one_of_several_full_peers_dies() {
    outlives(1);
}
