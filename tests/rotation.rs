//! Who gets which message: a PUSH goes round its peers and skips those that are full, a PULL takes from each in turn.

mod common;

use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, Rng, eventually, number_of, numbered, raw, within};
use ferromq::{Context, Endpoint, Message, Pull, Push, RecvError, Socket};

fn push_and_pulls(ctx: &Context, pulls: usize) -> (Socket<Push>, Endpoint, Vec<Socket<Pull>>) {
    let push = ctx.socket::<Push>().build().unwrap();
    let at = push.bind("tcp://127.0.0.1:0").unwrap();
    let pulls: Vec<_> = (0..pulls).map(|_| ctx.socket::<Pull>().build().unwrap()).collect();
    pulls.iter().for_each(|pull| pull.connect(&at).unwrap());
    push.wait_connected(pulls.len(), PATIENCE).unwrap();
    (push, at, pulls)
}

/// The numbers of so many messages that a socket has received.
#[track_caller]
fn numbers(pull: &Socket<Pull>, count: usize) -> Vec<u32> {
    (0..count).map(|_| number_of(&pull.recv_timeout(PATIENCE).unwrap()).1).collect()
}

#[test]
fn two_messages_for_each_of_n_peers_are_dealt_in_strict_rotation() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for peers in 1..=8 {
            let (push, _, pulls) = push_and_pulls(&ctx, peers);
            for number in 0..2 * peers as u32 {
                push.send(numbered(0, number, 0)).unwrap();
            }
            let mut first: Vec<_> = pulls
                .iter()
                .map(|pull| {
                    let got = numbers(pull, 2);
                    assert_eq!(
                        got[1],
                        got[0] + peers as u32,
                        "each peer's second comes one round after its first"
                    );
                    got[0]
                })
                .collect();
            first.sort_unstable();
            assert_eq!(first, (0..peers as u32).collect::<Vec<_>>());
            assert!(pulls.iter().all(|pull| pull.try_recv() == Err(RecvError::Empty)));
        }
    });
}

#[test]
fn the_rotation_stays_strict_over_many_rounds() {
    within(PATIENCE, || {
        const ROUNDS: usize = 300;
        let ctx = Context::new().unwrap();
        let (push, _, pulls) = push_and_pulls(&ctx, 5);
        for number in 0..5 * ROUNDS as u32 {
            push.send(numbered(0, number, number as usize % 700)).unwrap();
        }
        for pull in &pulls {
            let got = numbers(pull, ROUNDS);
            assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 5), "{got:?}");
        }
    });
}

#[test]
fn many_threads_that_share_a_push_deal_evenly_too() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, _, pulls) = push_and_pulls(&ctx, 4);
        thread::scope(|scope| {
            for sender in 0..8 {
                let push = &push;
                scope.spawn(move || {
                    (0..250).for_each(|number| push.send(numbered(sender, number, 0)).unwrap())
                });
            }
        });
        for pull in &pulls {
            numbers(pull, 500);
        }
        assert!(pulls.iter().all(|pull| pull.try_recv() == Err(RecvError::Empty)));
    });
}

#[test]
fn a_pull_takes_one_from_each_ready_peer_before_the_second_of_any() {
    within(PATIENCE, || {
        const EACH: u32 = 10;
        let ctx = Context::new().unwrap();
        for peers in [1, 2, 5, 9_u32] {
            let pull = ctx.socket::<Pull>().build().unwrap();
            let at = pull.bind("tcp://127.0.0.1:0").unwrap();
            let mut pushes: Vec<_> = (0..peers).map(|_| raw::Peer::dial(&at, "PUSH")).collect();
            for (push, peer) in pushes.iter_mut().zip(0..) {
                for number in 0..EACH {
                    push.send(&[&numbered(peer, number, 0).into_bytes()]);
                }
            }
            eventually("all of them wait", || pull.stats().waiting == u64::from(peers * EACH));
            for number in 0..EACH {
                let mut round: Vec<_> = (0..peers).map(|_| number_of(&pull.recv().unwrap())).collect();
                round.sort_unstable();
                assert_eq!(round, (0..peers).map(|peer| (peer, number)).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn a_pull_is_fair_to_a_quiet_peer_beside_a_busy_one() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let (mut busy, mut quiet) = (raw::Peer::dial(&at, "PUSH"), raw::Peer::dial(&at, "PUSH"));
        busy.write(&raw::message(&[b"busy"]).repeat(900));
        eventually("the busy one's wait", || pull.stats().waiting == 900);
        pull.recv().unwrap();
        quiet.send(&[b"quiet"]);
        eventually("the quiet one's waits too", || pull.stats().waiting == 900);
        let two = [pull.recv().unwrap(), pull.recv().unwrap()];
        assert!(two.contains(&Message::from("quiet")), "{two:?}");
    });
}

#[test]
fn a_full_peer_is_skipped_while_others_have_room_and_gets_its_share_when_it_reads_on() {
    within(PATIENCE, || {
        const MESSAGES: u32 = 600;
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(2).build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let mut stalled = raw::Peer::dial(&at, "PULL");
        let pull = ctx.socket::<Pull>().build().unwrap();
        pull.connect(&at).unwrap();
        push.wait_connected(2, PATIENCE).unwrap();
        let mut by_pull = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut got = Vec::new();
                while let Ok(message) = pull.recv_timeout(Duration::from_millis(500)) {
                    got.push(number_of(&message).1);
                }
                got
            });
            for number in 0..MESSAGES {
                push.send_timeout(numbered(0, number, 64_000), PATIENCE).expect("one peer always reads");
            }
            reader.join().unwrap()
        });
        // The kernel and the mark let some 10 MB at most be left with the one that does not read.
        assert!(by_pull.len() > MESSAGES as usize / 2, "the peer that reads got only {}", by_pull.len());
        let left = MESSAGES as usize - by_pull.len();
        assert!(left >= 2, "the stalled peer was left out although it had room at first");
        let by_stalled = (0..left).map(|_| number_of(&Message::from(stalled.single())).1);
        by_pull.extend(by_stalled);
        by_pull.sort_unstable();
        assert_eq!(by_pull, (0..MESSAGES).collect::<Vec<_>>());
    });
}

#[test]
fn a_new_peer_joins_the_rotation() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, at, mut pulls) = push_and_pulls(&ctx, 1);
        for peers in 2..=5_usize {
            let pull = ctx.socket::<Pull>().build().unwrap();
            pull.connect(&at).unwrap();
            pulls.push(pull);
            push.wait_connected(peers, PATIENCE).unwrap();
            for number in 0..3 * peers as u32 {
                push.send(numbered(0, number, 0)).unwrap();
            }
            for pull in &pulls {
                let got = numbers(pull, 3);
                assert!(
                    got.windows(2).all(|pair| pair[1] == pair[0] + peers as u32),
                    "{peers} peers: {got:?}"
                );
            }
        }
    });
}

#[test]
fn a_peer_that_leaves_the_rotation_leaves_no_gap() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, _, mut pulls) = push_and_pulls(&ctx, 5);
        let mut rng = Rng(3);
        while pulls.len() > 1 {
            pulls.remove(rng.below(pulls.len() as u64) as usize);
            let peers = pulls.len();
            eventually("its end is noticed", || push.stats().peers == peers);
            for number in 0..3 * peers as u32 {
                push.send(numbered(0, number, 0)).unwrap();
            }
            for pull in &pulls {
                let got = numbers(pull, 3);
                assert!(
                    got.windows(2).all(|pair| pair[1] == pair[0] + peers as u32),
                    "{peers} peers: {got:?}"
                );
            }
        }
    });
}

#[test]
fn dialled_peers_take_their_turns_before_they_are_connected() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ports: Vec<_> = (0..3).map(|_| DeadPort::new()).collect();
        let push = ctx.socket::<Push>().reconnect_interval(Duration::from_millis(10)).build().unwrap();
        ports.iter().for_each(|port| push.connect(port.endpoint()).unwrap());
        for number in 0..30 {
            push.send(numbered(0, number, 0)).unwrap();
        }
        for (port, turn) in ports.into_iter().zip(0..) {
            // Ten wait for each; when its listener comes the first gets its own ten, in order.
            let mut peer = raw::Peer::answer(&port.listen(), "PULL");
            let got: Vec<_> = (0..10).map(|_| number_of(&Message::from(peer.single())).1).collect();
            assert_eq!(got, (0..10).map(|round| 3 * round + turn).collect::<Vec<_>>());
        }
    });
}

/// All parts of a message go to the same peer, whatever else is going on.
#[test]
fn a_message_of_many_parts_is_never_divided() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, _, pulls) = push_and_pulls(&ctx, 3);
        thread::scope(|scope| {
            for sender in 0..4_u32 {
                let push = &push;
                scope.spawn(move || {
                    for number in 0..300_u32 {
                        let parts = (0..1 + number % 5)
                            .map(|_| [sender.to_be_bytes(), number.to_be_bytes()].concat());
                        push.send(parts.collect::<Vec<_>>()).unwrap();
                    }
                });
            }
            for pull in &pulls {
                scope.spawn(|| {
                    for _ in 0..400 {
                        let message = pull.recv_timeout(PATIENCE).unwrap();
                        let first = message.part(0).unwrap();
                        assert!(message.parts().all(|part| part == first), "{message:?}");
                        let number = u32::from_be_bytes(first[4..].try_into().unwrap());
                        assert_eq!(message.len() as u32, 1 + number % 5, "{message:?}");
                    }
                });
            }
        });
    });
}
