//! REQ and REP: who asks whom, and what becomes of a question when things go wrong.

mod common;

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, blocked, caller, eventually, link, poll_once, raw, within};
use ferromq::{
    Builder, Context, Endpoint, Interest, Message, Poller, RecvError, Refusal, Rep, Req, RequestError,
    Router, Socket,
};
use futures_executor::block_on;

const SOON: Duration = Duration::from_millis(10);

fn req(ctx: &Context) -> Builder<Req> {
    ctx.socket::<Req>().reconnect_interval(SOON).reconnect_max(10 * SOON).linger(Duration::ZERO)
}

/// A REQ that is connected to a peer by hand, and where that listens.
fn asker_of(builder: Builder<Req>) -> (Socket<Req>, TcpListener, raw::Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let req = builder.build().unwrap();
    req.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    let peer = raw::Peer::answer(&listener, "REP");
    req.wait_connected(1, PATIENCE).unwrap();
    (req, listener, peer)
}

fn asker(ctx: &Context) -> (Socket<Req>, TcpListener, raw::Peer) {
    asker_of(req(ctx))
}

fn bound_rep(ctx: &Context) -> (Socket<Rep>, Endpoint) {
    let rep = ctx.socket::<Rep>().linger(Duration::ZERO).build().unwrap();
    let at = rep.bind("tcp://127.0.0.1:0").unwrap();
    (rep, at)
}

#[track_caller]
fn recv(socket: &Socket<Req>) -> Message {
    socket.recv_timeout(PATIENCE).unwrap()
}

/// Parts of a message that came to a peer by hand.
fn parts(parts: &[&str]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}

#[test]
fn questions_and_answers_have_any_number_of_parts() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, rep) = (req(&ctx).build().unwrap(), ctx.socket::<Rep>().build().unwrap());
        link(&rep, &req);
        for count in [1, 2, 3, 10, 1000] {
            let message: Message = (0..count).map(|n| bytes::Bytes::from(format!("{n}"))).collect();
            req.send(message.clone()).unwrap();
            assert_eq!(rep.recv_timeout(PATIENCE).unwrap(), message);
            rep.send(message.clone()).unwrap();
            assert_eq!(recv(&req), message);
        }
        for message in [Message::new(), Message::from(["", ""]), Message::from(["", "x", ""])] {
            req.send(message.clone()).unwrap();
            assert_eq!(rep.recv_timeout(PATIENCE).unwrap(), message, "empty parts are as good as others");
            rep.send(message.clone()).unwrap();
            assert_eq!(recv(&req), message);
        }
    });
}

#[test]
fn a_question_goes_out_behind_one_empty_part() {
    within(PATIENCE, || {
        let (req, _listener, mut peer) = asker(&Context::new().unwrap());
        req.send(["a", "b"]).unwrap();
        assert_eq!(peer.message().unwrap(), parts(&["", "a", "b"]));
        peer.send(&[b"", b"c", b"d"]);
        assert_eq!(recv(&req), Message::from(["c", "d"]));
    });
}

#[test]
fn peers_are_asked_in_turn() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = req(&ctx).build().unwrap();
        let reps: Vec<_> = (0..3).map(|_| bound_rep(&ctx)).collect();
        reps.iter().for_each(|(_, at)| req.connect(at).unwrap());
        req.wait_connected(3, PATIENCE).unwrap();
        let mut asked = Vec::new();
        for _ in 0..9 {
            req.send("?").unwrap();
            let mut found = None;
            eventually("one of them is asked", || {
                found = reps.iter().position(|(rep, _)| rep.try_recv().is_ok());
                found.is_some()
            });
            let place = found.unwrap();
            reps[place].0.send("!").unwrap();
            assert_eq!(recv(&req), "!");
            asked.push(place);
        }
        assert_eq!(asked[..3], asked[3..6]);
        assert_eq!(asked[..3], asked[6..9]);
        asked[..3].sort_unstable();
        assert_eq!(asked[..3], [0, 1, 2]);
    });
}

#[test]
fn without_peers_a_question_waits() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = req(&ctx).build().unwrap();
        req.bind("tcp://127.0.0.1:0").unwrap();
        assert_eq!(req.try_send("?").unwrap_err().reason(), Refusal::Full);
        assert_eq!(req.send_timeout("?", SOON).unwrap_err().reason(), Refusal::TimedOut);
        let error = req.request("?", SOON).unwrap_err();
        assert!(matches!(error, RequestError::Unsent(error) if error.reason() == Refusal::TimedOut));
        assert_eq!(req.try_recv(), Err(RecvError::OutOfTurn), "nothing was asked");
    });
}

#[test]
fn only_the_peer_that_was_asked_can_answer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = req(&ctx).build().unwrap();
        let at = req.bind("tcp://127.0.0.1:0").unwrap();
        let mut peers = [raw::Peer::dial(&at, "REP"), raw::Peer::dial(&at, "REP")];
        req.wait_connected(2, PATIENCE).unwrap();
        for peer in &mut peers {
            peer.send(&[b"", b"unasked"]);
            peer.sync();
        }
        assert_eq!(req.try_recv(), Err(RecvError::OutOfTurn));
        for _ in 0..2 {
            req.send("?").unwrap();
            // One of the two is asked; the other answers first.
            peers[1].0.set_read_timeout(Some(SOON)).unwrap();
            let asked = usize::from(peers[1].0.peek(&mut [0]).is_ok());
            peers[1].0.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(peers[asked].message().unwrap(), parts(&["", "?"]));
            peers[1 - asked].send(&[b"", b"not asked"]);
            peers[1 - asked].sync();
            assert_eq!(req.try_recv(), Err(RecvError::Empty));
            peers[asked].send(&[b"", b"right"]);
            peers[asked].send(&[b"", b"and a second answer"]);
            peers[asked].sync();
            assert_eq!(recv(&req), "right");
            assert_eq!(req.try_recv(), Err(RecvError::OutOfTurn));
        }
        let stats = req.stats();
        assert_eq!((stats.received, stats.delivered, stats.discarded), (8, 2, 6));
    });
}

#[test]
fn the_loss_of_the_peer_that_was_asked_ends_the_wait_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, listener, mut peer) = asker(&ctx);
        for manner in 0..4 {
            req.send("?").unwrap();
            assert_eq!(peer.message().unwrap(), parts(&["", "?"]));
            let result = thread::scope(|scope| {
                let waiting = blocked(scope, || match manner {
                    0 => req.recv(),
                    1 => req.recv_timeout(PATIENCE),
                    _ => block_on(req.recv_async()),
                });
                peer.reset();
                waiting.join().unwrap()
            });
            assert_eq!(result, Err(RecvError::PeerLost));
            assert_eq!(req.try_recv(), Err(RecvError::OutOfTurn), "it is told once");
            peer = raw::Peer::answer(&listener, "REP");
            req.send("again").unwrap();
            assert_eq!(peer.message().unwrap(), parts(&["", "again"]));
            peer.send(&[b"", b"!"]);
            assert_eq!(recv(&req), "!");
        }
    });
}

#[test]
fn the_loss_of_another_peer_changes_nothing() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, _listener, mut peer) = asker(&ctx);
        let at = req.bind("tcp://127.0.0.1:0").unwrap();
        let other = raw::Peer::dial(&at, "REP");
        req.wait_connected(2, PATIENCE).unwrap();
        req.send("?").unwrap();
        peer.message().unwrap();
        other.reset();
        eventually("the other is gone", || req.stats().peers == 1);
        assert_eq!(req.try_recv(), Err(RecvError::Empty));
        peer.send(&[b"", b"!"]);
        assert_eq!(recv(&req), "!");
    });
}

#[test]
fn an_answer_that_has_come_outlives_its_peer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, _listener, mut peer) = asker(&ctx);
        req.send("?").unwrap();
        peer.message().unwrap();
        peer.send(&[b"", b"last words"]);
        peer.finish();
        drop(peer);
        eventually("the peer is lost", || req.stats().unconfirmed == 1);
        assert_eq!(recv(&req), "last words");
    });
}

#[test]
fn an_answer_that_has_come_and_is_given_up_leaves_nothing_of_a_peer_that_has_gone() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for correlate in [false, true] {
            let req = req(&ctx).relaxed(true).correlate(correlate).build().unwrap();
            let at = req.bind("tcp://127.0.0.1:0").unwrap();
            let mut peer = raw::Peer::dial(&at, "REP");
            req.send("?").unwrap();
            let mut answer = peer.message().unwrap();
            *answer.last_mut().unwrap() = b"!".to_vec();
            peer.send(&answer.iter().map(|part| &part[..]).collect::<Vec<_>>());
            drop(peer);
            eventually("it has answered and gone", || {
                let stats = req.stats();
                (stats.waiting, stats.peers, stats.unconfirmed) == (1, 0, 1)
            });
            eventually("nobody is left who could be asked", || {
                req.try_send("into the void").is_err_and(|error| error.reason() == Refusal::Full)
            });
            assert_eq!(req.stats().queued, 0);
            let mut peer = raw::Peer::dial(&at, "REP");
            req.send_timeout("?", PATIENCE).unwrap();
            assert_eq!(peer.message().unwrap().last().unwrap(), b"?");
        }
    });
}

#[test]
fn a_question_that_is_not_written_when_the_connection_drops_goes_to_the_next() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let question: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (req, listener, mut peer) = asker(&ctx);
        req.send(question.clone()).unwrap();
        peer.read(100_000);
        peer.reset();
        let mut peer = raw::Peer::answer(&listener, "REP");
        assert!(peer.message().unwrap() == [&b""[..], &question]);
        peer.send(&[b"", b"!"]);
        assert_eq!(recv(&req), "!");
    });
}

#[test]
fn a_question_asked_before_there_is_a_connection_waits_for_it_and_may_go_elsewhere() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let req = req(&ctx).build().unwrap();
        req.connect(port.endpoint()).unwrap();
        req.send("?").unwrap();
        assert_eq!(req.try_recv(), Err(RecvError::Empty));
        assert_eq!(req.stats().queued, 1);
        let endpoint = port.endpoint();
        req.disconnect(&endpoint).unwrap();
        assert_eq!(req.stats().queued, 1);
        let (rep, at) = bound_rep(&ctx);
        req.connect(at).unwrap();
        assert_eq!(rep.recv_timeout(PATIENCE).unwrap(), "?");
        rep.send("!").unwrap();
        assert_eq!(recv(&req), "!");
    });
}

#[test]
fn a_peer_that_answers_nonsense_is_disconnected_and_nothing_of_it_delivered() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let nonsense: [&[&[u8]]; 4] =
            [&[b"no delimiter"], &[b"no", b"delimiter"], &[b""], &[b"x", b"", b"late"]];
        let (req, listener, mut peer) = asker(&ctx);
        for answer in nonsense {
            req.send("?").unwrap();
            peer.message().unwrap();
            peer.send(answer);
            assert_eq!(req.recv_timeout(PATIENCE), Err(RecvError::PeerLost));
            peer.expect_closed(PATIENCE);
            peer = raw::Peer::answer(&listener, "REP");
        }
        // An answer that is cut short.
        req.send("?").unwrap();
        peer.message().unwrap();
        peer.write(b"\x01\x00\x01\x01A");
        drop(peer);
        assert_eq!(req.recv_timeout(PATIENCE), Err(RecvError::PeerLost));
        let mut peer = raw::Peer::answer(&listener, "REP");
        req.send("?").unwrap();
        peer.message().unwrap();
        peer.send(&[b"", b"sense"]);
        assert_eq!(recv(&req), "sense");
        assert_eq!(req.stats().delivered, 1);
    });
}

#[test]
fn a_request_asks_and_brings_the_answer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (rep, at) = &bound_rep(&ctx);
        let req = req(&ctx).build().unwrap();
        req.connect(at).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| rep.iter().for_each(|message| rep.send(message).unwrap()));
            for n in 0..100 {
                let question = Message::from(format!("{n}"));
                assert_eq!(req.request(question.clone(), PATIENCE).unwrap(), question);
                assert_eq!(block_on(req.request_async(question.clone())).unwrap(), question);
            }
            drop(rep.close(Duration::ZERO));
        });
    });
}

#[test]
fn a_late_answer_is_not_taken_for_that_of_the_next_request() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for correlate in [false, true] {
            let (req, listener, mut peer) = asker_of(req(&ctx).correlate(correlate));
            let answer = |question: &[Vec<u8>], body: &[u8]| {
                let mut answer: Vec<_> = question.iter().map(|part| &part[..]).collect();
                *answer.last_mut().unwrap() = body;
                raw::message(&answer)
            };
            for round in 0..5 {
                let error = req.request("first", SOON).unwrap_err();
                assert_eq!(error, RequestError::Unanswered(RecvError::TimedOut));
                assert_eq!(req.try_recv(), Err(RecvError::OutOfTurn));
                // It may not have got the question at all, when its connection was ended first.
                let first = peer.message();
                if correlate {
                    let late = answer(&first.unwrap(), b"late");
                    peer.write(&late);
                } else {
                    if let Some(first) = first {
                        let _hung_up = std::io::Write::write_all(&mut peer.0, &answer(&first, b"late"));
                    }
                    peer.expect_closed(PATIENCE);
                    peer = raw::Peer::answer(&listener, "REP");
                }
                thread::scope(|scope| {
                    let asking = blocked(scope, || req.request("second", PATIENCE));
                    let second = peer.message().unwrap();
                    assert_eq!(second.last().unwrap(), b"second", "round {round}");
                    peer.write(&answer(&second, b"right"));
                    assert_eq!(asking.join().unwrap().unwrap(), "right");
                });
            }
        }
    });
}

#[test]
fn a_request_whose_future_is_dropped_is_given_up() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, listener, mut peer) = asker(&ctx);
        {
            let mut asking = pin!(req.request_async("first"));
            assert!(poll_once(asking.as_mut()).is_none());
            assert_eq!(peer.message().unwrap(), parts(&["", "first"]));
        }
        peer.expect_closed(PATIENCE);
        let mut peer = raw::Peer::answer(&listener, "REP");
        thread::scope(|scope| {
            let asking = blocked(scope, || block_on(req.request_async("second")));
            assert_eq!(peer.message().unwrap(), parts(&["", "second"]));
            peer.send(&[b"", b"!"]);
            assert_eq!(asking.join().unwrap().unwrap(), "!");
        });

        let port = DeadPort::new();
        let elsewhere = req_to(&ctx, &port.endpoint());
        {
            let mut asking = pin!(elsewhere.request_async("never sent"));
            assert!(poll_once(asking.as_mut()).is_none());
            assert_eq!(elsewhere.stats().queued, 1);
        }
        let stats = elsewhere.stats();
        assert_eq!((stats.queued, stats.dropped.abandoned), (0, 1));
        drop(elsewhere.request_async("never even polled"));
        assert_eq!(elsewhere.stats().accepted, 1);
    });
}

fn req_to(ctx: &Context, at: &str) -> Socket<Req> {
    let req = req(ctx).build().unwrap();
    req.connect(at).unwrap();
    req
}

#[test]
fn a_request_survives_the_restart_of_its_server_by_being_sent_again() {
    within(PATIENCE, || {
        let (ours, theirs) = (Context::new().unwrap(), Context::new().unwrap());
        let (mut rep, at) = bound_rep(&theirs);
        let req = req_to(&ours, &at.to_string());
        for life in 0..5 {
            thread::scope(|scope| {
                let asking = blocked(scope, || req.request("?", PATIENCE));
                rep.recv_timeout(PATIENCE).unwrap();
                drop(rep.close(Duration::ZERO)); // without an answer
                let error = asking.join().unwrap().unwrap_err();
                assert_eq!(error, RequestError::Unanswered(RecvError::PeerLost));
            });
            rep = theirs.socket::<Rep>().linger(Duration::ZERO).build().unwrap();
            rep.bind(&at).unwrap();
            thread::scope(|scope| {
                let asking = blocked(scope, || req.request(format!("{life}"), PATIENCE));
                let question = rep.recv_timeout(PATIENCE).unwrap();
                rep.send(question).unwrap();
                assert_eq!(asking.join().unwrap().unwrap(), format!("{life}").as_bytes());
            });
        }
    });
}

#[test]
fn a_correlated_question_has_a_number_that_its_answer_repeats() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, _listener, mut peer) = asker_of(req(&ctx).correlate(true));
        let mut last: Option<Vec<u8>> = None;
        for _ in 0..3 {
            req.send("?").unwrap();
            let question = peer.message().unwrap();
            assert_eq!((question.len(), question[0].len(), &question[1][..]), (3, 4, &b""[..]));
            assert_ne!(last.as_ref(), Some(&question[0]));
            if let Some(last) = &last {
                peer.send(&[last, b"", b"stale"]);
                peer.sync();
            }
            assert_eq!(req.try_recv(), Err(RecvError::Empty));
            peer.send(&[&question[0], b"", b"!"]);
            assert_eq!(recv(&req), "!");
            last = Some(question[0].clone());
        }
        for wrong in [&b"abc"[..], b"abcde"] {
            req.send("?").unwrap();
            let number = peer.message().unwrap().remove(0);
            peer.send(&[wrong, b"", b"wrong"]);
            peer.send(&[&number, b"", b"right"]);
            assert_eq!(recv(&req), "right");
        }
    });
}

#[test]
fn a_relaxed_one_may_ask_anew_and_gets_no_late_answer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (req, _listener, mut peer) = asker_of(req(&ctx).correlate(true).relaxed(true));
        req.send("first").unwrap();
        req.send("second").unwrap();
        let (first, second) = (peer.message().unwrap(), peer.message().unwrap());
        peer.send(&[&first[0], b"", b"late"]);
        peer.send(&[&second[0], b"", b"right"]);
        assert_eq!(recv(&req), "right");

        // Without numbers the connection is what tells them apart.
        let (req, listener, mut peer) = asker_of(self::req(&ctx).relaxed(true));
        req.send("first").unwrap();
        peer.message().unwrap();
        req.send("second").unwrap();
        peer.expect_closed(PATIENCE);
        let mut peer = raw::Peer::answer(&listener, "REP");
        assert_eq!(peer.message().unwrap(), parts(&["", "second"]));
        peer.send(&[b"", b"right"]);
        assert_eq!(recv(&req), "right");
    });
}

#[test]
fn what_a_relaxed_one_asks_before_its_peer_is_there_waits_for_it() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let port = DeadPort::new();
        let req = req(&ctx).correlate(true).relaxed(true).build().unwrap();
        req.connect(port.endpoint()).unwrap();
        for n in 0..5 {
            req.send(format!("{n}")).unwrap();
        }
        let stats = req.stats();
        assert_eq!((stats.queued, stats.dropped.abandoned), (1, 4), "only the last one is still asked");
        let listener = port.listen();
        let mut peer = raw::Peer::answer(&listener, "REP");
        let question = peer.message().unwrap();
        assert_eq!(question[2], b"4");
        peer.send(&[&question[0], b"", b"!"]);
        assert_eq!(recv(&req), "!");
    });
}

#[test]
fn a_router_answers_a_req_by_hand() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let router = ctx.socket::<Router>().build().unwrap();
        let req = req(&ctx).routing_id("asker").correlate(true).build().unwrap();
        link(&router, &req);
        req.send("?").unwrap();
        let question = router.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            (question.len(), question.part(0), question.part(2)),
            (4, Some(&b"asker"[..]), Some(&b""[..]))
        );
        router.send(question).unwrap();
        assert_eq!(recv(&req), "?");
    });
}

/// What it was to be given up for was not asked: who waits for the answer still has to know.
#[test]
fn who_waits_for_an_answer_that_is_given_up_in_vain_is_told() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let req = ctx.socket::<Req>().relaxed(true).linger(Duration::ZERO).build().unwrap();
        let _peer = raw::Peer::dial(req.bind("tcp://127.0.0.1:0").unwrap(), "REP");
        req.wait_connected(1, PATIENCE).unwrap();
        req.send("one").unwrap();
        thread::scope(|scope| {
            let waiting = blocked(scope, || req.recv());
            // The only one who could be asked is hung up on, for it might answer the first.
            let refused = req.try_send("two").unwrap_err();
            assert!(refused.reason().is_full(), "{refused}");
            assert_eq!(waiting.join().unwrap(), Err(RecvError::OutOfTurn));
        });
    });
}

/// One that has nobody to ask refuses, and nothing has changed by that: a task that sends and watches sleeps.
#[test]
fn a_refused_request_wakes_nobody() {
    let ctx = Context::new().unwrap();
    let req = ctx.socket::<Req>().build().unwrap();
    let mut poller = Poller::new();
    poller.add(&req, 0, Interest::READABLE).unwrap();
    let mut events = Vec::new();
    let (mut asking, mut watching) = (pin!(req.send_async("x")), pin!(poller.wait_async(&mut events)));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let waker = caller(move || _ = counted.fetch_add(1, SeqCst));
    let mut task = std::task::Context::from_waker(&waker);
    assert!(watching.as_mut().poll(&mut task).is_pending());
    assert!(asking.as_mut().poll(&mut task).is_pending());
    assert_eq!(calls.load(SeqCst), 0);
}
