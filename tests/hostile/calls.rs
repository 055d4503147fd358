//! What only the one who programs can do wrong: it is an error or it works, and never a panic.

use ferromq::{Context, Dealer, Message, Pull, Push, Refusal, Router};

use crate::common::raw::Peer;
use crate::common::{PATIENCE, alone, within};

/// Case 115. What is for nobody comes back, or is dropped if the socket was told to.
#[test]
fn a_router_sends_nothing_to_odd_routing_ids() {
    let _turn = alone();
    within(PATIENCE, || {
        let context = Context::new().unwrap();
        let ids = [vec![], vec![0], vec![b'i'; 256], vec![b'i'; 1 << 20]];
        let messages = || {
            let with_body = ids.iter().map(|id| Message::from(vec![id.clone(), b"body".to_vec()]));
            with_body.chain(ids.iter().map(|id| Message::from(id.clone())))
        };
        let strict = context.socket::<Router>().build().unwrap();
        for message in messages() {
            let error = strict.send(message.clone()).unwrap_err();
            assert_eq!((error.reason(), error.message()), (Refusal::Unroutable, &message));
        }
        let lenient = context.socket::<Router>().mandatory(false).build().unwrap();
        messages().for_each(|message| lenient.send(message).unwrap());
        assert_eq!(lenient.stats().dropped.unroutable, 8);
    });
}

/// Case 116.
#[test]
fn a_message_of_no_part_has_one_and_is_empty() {
    let _turn = alone();
    let none: [&str; 0] = [];
    for message in
        [Message::from(Vec::<Vec<u8>>::new()), Message::from(none), Message::from(Vec::<u8>::new())]
    {
        assert_eq!((message.len(), message.byte_len()), (1, 0));
    }
}

/// Case 116.
#[test]
fn a_message_of_a_million_parts_is_delivered_whole() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        const PARTS: usize = 1 << 20;
        let context = Context::new().unwrap();
        let (push, pull) =
            (context.socket::<Push>().build().unwrap(), context.socket::<Pull>().build().unwrap());
        push.bind("inproc://many").unwrap();
        pull.connect("inproc://many").unwrap();
        let message = Message::from(vec![Vec::<u8>::new(); PARTS]);
        push.send(message.clone()).unwrap();
        assert!(pull.recv_timeout(PATIENCE).unwrap() == message);
        // Over TCP it is up to the other side; ours takes no more than 65,536.
        let push = context.socket::<Push>().build().unwrap();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.send(message).unwrap();
        let mut frames = vec![0; 2 * PARTS];
        std::io::Read::read_exact(&mut peer.0, &mut frames).unwrap();
        let (others, last) = frames.split_last_chunk::<2>().unwrap();
        assert!(others.chunks(2).all(|frame| frame == [1, 0]) && *last == [0, 0]);
    });
}

/// Case 116: a large part passes a mark of one message.
fn send_a_large_part(octets: usize) {
    let _turn = alone();
    within(4 * PATIENCE, move || {
        let context = Context::new().unwrap();
        let push = context.socket::<Push>().send_hwm(1).build().unwrap();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.send(vec![7; octets]).unwrap();
        assert_eq!(push.try_send("more").unwrap_err().reason(), Refusal::Full);
        assert!(peer.single() == vec![7; octets]);
        push.send_timeout("more", PATIENCE).unwrap();
        assert_eq!(peer.single(), b"more");
    });
}

#[test]
fn a_part_of_64_mebibytes_is_delivered() {
    send_a_large_part(64 << 20);
}

#[test]
#[ignore = "the full count, for releases"]
fn a_part_of_a_gibibyte_is_delivered() {
    send_a_large_part(1 << 30);
}

/// Case 117. No routing id at all leaves it to the peers.
#[test]
fn routing_ids_that_nobody_may_have_are_refused() {
    let _turn = alone();
    let context = Context::new().unwrap();
    let router = context.socket::<Router>().build().unwrap();
    for id in [vec![b'i'; 256], vec![0], vec![0, 1, 2, 3, 4]] {
        assert!(context.socket::<Dealer>().routing_id(id.clone()).build().is_err());
        assert!(router.connect_as("tcp://127.0.0.1:1", id).is_err());
    }
    assert!(router.connect_as("tcp://127.0.0.1:1", "").is_err());
    assert!(context.socket::<Dealer>().routing_id("").build().is_ok());
}
