//! Sockets of libzmq that are no legal peers: nothing of theirs is delivered, and a legal peer on the same socket goes on.

mod common;

use common::{Binds, PATIENCE, Watched, bind_theirs, ours_pull, ours_push, within, zmq_socket};
use ferromq::{Context, RecvError};
use zmq::SocketEvent::{
    CLOSED, CONNECT_RETRIED, DISCONNECTED, HANDSHAKE_FAILED_AUTH, HANDSHAKE_FAILED_NO_DETAIL,
    HANDSHAKE_FAILED_PROTOCOL, HANDSHAKE_SUCCEEDED,
};

const ENDS: [zmq::SocketEvent; 6] = [
    DISCONNECTED,
    CLOSED,
    CONNECT_RETRIED,
    HANDSHAKE_FAILED_AUTH,
    HANDSHAKE_FAILED_NO_DETAIL,
    HANDSHAKE_FAILED_PROTOCOL,
];

const TO_OUR_PULL: [zmq::SocketType; 9] =
    [zmq::PUB, zmq::XPUB, zmq::SUB, zmq::REQ, zmq::REP, zmq::DEALER, zmq::ROUTER, zmq::PAIR, zmq::PULL];
const TO_OUR_PUSH: [zmq::SocketType; 9] =
    [zmq::PUB, zmq::XSUB, zmq::SUB, zmq::REQ, zmq::REP, zmq::DEALER, zmq::ROUTER, zmq::PAIR, zmq::PUSH];

/// Has the stranger say as much as it can before the handshake fails.
fn chatter(stranger: &zmq::Socket) {
    for _ in 0..3 {
        let _said = stranger.send("never", zmq::DONTWAIT);
        let _said = stranger.send_multipart(["never", "ever"], zmq::DONTWAIT);
    }
}

#[test]
fn nothing_from_an_illegal_peer_reaches_our_pull() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let pull = ours_pull(&ctx);
        let at = pull.bind("tcp://127.0.0.1:0").unwrap().to_string();
        let good = zmq_socket(&zmq, zmq::PUSH);
        good.connect(&at).unwrap();
        for kind in TO_OUR_PULL {
            for binds in [Binds::Ours, Binds::Theirs] {
                let stranger = Watched::new(&zmq, kind);
                match binds {
                    Binds::Ours => stranger.connect(&at).unwrap(),
                    Binds::Theirs => pull.connect(bind_theirs(&stranger)).unwrap(),
                }
                chatter(&stranger);
                let end = stranger.expect(&ENDS);
                println!("{kind:?}, {binds:?} bind: {end:?}");
                chatter(&stranger);
                good.send("good", 0).unwrap();
                assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "good", "beside {kind:?}, {binds:?} bind");
                if binds == Binds::Theirs {
                    pull.disconnect(stranger.get_last_endpoint().unwrap().unwrap()).unwrap();
                }
            }
        }
        assert_eq!(pull.try_recv(), Err(RecvError::Empty));
        assert_eq!((pull.stats().peers, pull.stats().received), (1, 18));
    });
}

#[test]
fn nothing_of_our_push_goes_to_an_illegal_peer() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let at = push.bind("tcp://127.0.0.1:0").unwrap().to_string();
        let good = zmq_socket(&zmq, zmq::PULL);
        good.connect(&at).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        for (kind, number) in TO_OUR_PUSH.into_iter().zip(0_u32..) {
            let stranger = Watched::new(&zmq, kind);
            stranger.connect(&at).unwrap();
            chatter(&stranger);
            stranger.expect(&ENDS);
            for turn in 0..10_u32 {
                push.send(&(10 * number + turn).to_be_bytes()).unwrap();
            }
            for turn in 0..10_u32 {
                assert_eq!(
                    good.recv_bytes(0).unwrap(),
                    (10 * number + turn).to_be_bytes(),
                    "beside {kind:?}"
                );
            }
        }
        common::eventually("all is counted", || push.stats().written == 90);
        let stats = push.stats();
        assert_eq!((stats.peers, stats.written, stats.unconfirmed), (1, 90, 0));
    });
}

/// A dialled stranger takes no messages into its queue for ever: what was queued for it goes to the legal peer once the
/// stranger's endpoint is disconnected.
#[test]
fn what_was_queued_for_an_illegal_peer_goes_to_a_legal_one() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let stranger = Watched::new(&zmq, zmq::SUB);
        let at = bind_theirs(&stranger);
        push.connect(&at).unwrap();
        push.send("for a worker").unwrap();
        stranger.expect(&ENDS[..1]);
        push.disconnect(at).unwrap();
        let good = zmq_socket(&zmq, zmq::PULL);
        push.connect(bind_theirs(&good)).unwrap();
        assert_eq!(good.recv_bytes(0).unwrap(), b"for a worker");
    });
}

/// Another mechanism is refused by both sides.
#[test]
fn a_libzmq_that_wants_a_password_is_refused() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let pull = ours_pull(&ctx);
        let at = pull.bind("tcp://127.0.0.1:0").unwrap().to_string();
        for server in [false, true] {
            let stranger = Watched::new(&zmq, zmq::PUSH);
            if server {
                stranger.set_plain_server(true).unwrap();
            } else {
                stranger.set_plain_username(Some("user")).unwrap();
                stranger.set_plain_password(Some("secret")).unwrap();
            }
            stranger.connect(&at).unwrap();
            chatter(&stranger);
            stranger.expect(&ENDS);
        }
        let good = Watched::new(&zmq, zmq::PUSH);
        good.connect(&at).unwrap();
        good.expect(&[HANDSHAKE_SUCCEEDED]);
        good.send("good", 0).unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "good");
        assert_eq!(pull.stats().received, 1);
    });
}

#[test]
fn our_dialling_socket_refuses_a_libzmq_that_wants_a_password() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let stranger = Watched::new(&zmq, zmq::PULL);
        stranger.set_plain_server(true).unwrap();
        push.connect(bind_theirs(&stranger)).unwrap();
        push.send("secret").unwrap();
        stranger.expect(&ENDS);
        assert_eq!((push.stats().peers, push.stats().queued), (0, 1));
        stranger.set_rcvtimeo(50).unwrap();
        stranger.recv_bytes(0).expect_err("nothing may have been sent");
        assert_eq!(push.close(std::time::Duration::ZERO).unsent, [ferromq::Message::from("secret")]);
    });
}
