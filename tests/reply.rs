//! REP: what stands around a question goes around its answer, and nobody who asks can stop the service.

mod common;

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::{PATIENCE, eventually, link, raw, within};
use ferromq::{Context, Dealer, Endpoint, Message, RecvError, Refusal, Rep, Req, Router, Socket};

const SOON: Duration = Duration::from_millis(10);

fn bound_rep(ctx: &Context) -> (Socket<Rep>, Endpoint) {
    let rep = ctx.socket::<Rep>().linger(Duration::ZERO).build().unwrap();
    let at = rep.bind("tcp://127.0.0.1:0").unwrap();
    (rep, at)
}

#[track_caller]
fn next(rep: &Socket<Rep>) -> Message {
    rep.recv_timeout(PATIENCE).unwrap()
}

fn message(parts: &[&'static str]) -> Message {
    parts.iter().map(|part| bytes::Bytes::from(*part)).collect()
}

#[test]
fn envelopes_of_any_depth_are_kept_and_put_back() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        let mut peer = raw::Peer::dial(&at, "DEALER");
        for depth in [0, 1, 2, 5, 100, 10_000] {
            let envelope: Vec<Vec<u8>> = (0..depth)
                .map(|n: u32| [&b"id"[..], &n.to_be_bytes()].concat())
                .chain([Vec::new()])
                .collect();
            let around = |body: &[&str]| -> Vec<Vec<u8>> {
                envelope.iter().cloned().chain(body.iter().map(|part| part.as_bytes().to_vec())).collect()
            };
            for (question, answer) in
                [(&["?"][..], &["!", ""][..]), (&["", "a", ""], &[""]), (&[""], &["", ""])]
            {
                let sent = around(question);
                peer.send(&sent.iter().map(|part| &part[..]).collect::<Vec<_>>());
                assert_eq!(next(&rep), message(question));
                rep.send(message(answer)).unwrap();
                assert_eq!(peer.message().unwrap(), around(answer));
            }
        }
    });
}

#[test]
fn what_is_no_question_is_thrown_away_and_the_next_is_served() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        let mut peer = raw::Peer::dial(&at, "REQ");
        peer.send(&[b"hello"]);
        peer.send(&[b"A", b"B"]);
        peer.send(&[b""]);
        peer.send(&[b"A", b""]);
        peer.sync();
        assert_eq!(rep.try_recv(), Err(RecvError::Empty));
        assert_eq!(rep.try_send("!").unwrap_err().reason(), Refusal::OutOfTurn);
        peer.send(&[b"", b"good"]);
        assert_eq!(next(&rep), "good");
        rep.send("!").unwrap();
        assert_eq!(peer.message().unwrap(), [&b""[..], b"!"]);
        let stats = rep.stats();
        assert_eq!((stats.received, stats.delivered, stats.discarded), (5, 1, 4));
        // A question that is cut short.
        let mut other = raw::Peer::dial(&at, "REQ");
        other.write(b"\x01\x00\x01\x01A");
        other.finish();
        drop(other);
        eventually("it is gone", || rep.stats().peers == 1);
        assert_eq!(rep.try_recv(), Err(RecvError::Empty));
    });
}

#[test]
fn an_envelope_without_end_is_no_danger() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        let mut peer = raw::Peer::dial(&at, "DEALER");
        peer.write(&[raw::frame(raw::MORE, b"x").repeat(60_000), raw::message(&[b"", b"deep"])].concat());
        assert_eq!(next(&rep), "deep");
        rep.send("!").unwrap();
        assert_eq!(peer.message().unwrap().len(), 60_002);
        let _hung_up = std::io::Write::write_all(&mut peer.0, &raw::frame(raw::MORE, b"x").repeat(100_000));
        peer.expect_closed(PATIENCE);
        let mut peer = raw::Peer::dial(&at, "REQ");
        peer.send(&[b"", b"good"]);
        assert_eq!(next(&rep), "good");
    });
}

#[test]
fn questions_of_one_peer_are_answered_in_order_and_those_of_many_in_turn() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        let mut peers = [raw::Peer::dial(&at, "DEALER"), raw::Peer::dial(&at, "DEALER")];
        for (peer, name) in peers.iter_mut().zip(["a", "b"]) {
            for n in 0..3 {
                peer.send(&[b"", format!("{name}{n}").as_bytes()]);
            }
            peer.sync();
        }
        let mut served = Vec::new();
        for _ in 0..6 {
            let question = next(&rep);
            rep.send(question.clone()).unwrap();
            served.push(String::from_utf8(question.into_bytes().to_vec()).unwrap());
        }
        assert_eq!(served, ["a0", "b0", "a1", "b1", "a2", "b2"]);
        for (peer, name) in peers.iter_mut().zip(["a", "b"]) {
            for n in 0..3 {
                assert_eq!(peer.message().unwrap(), [&b""[..], format!("{name}{n}").as_bytes()]);
            }
        }
    });
}

#[test]
fn an_answer_to_a_peer_that_is_gone_is_dropped_and_counted() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        for lost in 1..=3 {
            let mut peer = raw::Peer::dial(&at, "REQ");
            peer.send(&[b"", b"?"]);
            assert_eq!(next(&rep), "?");
            peer.reset();
            eventually("it is gone", || rep.stats().peers == 0);
            rep.send("!").unwrap();
            let stats = rep.stats();
            assert_eq!((stats.dropped.disconnected, stats.queued), (lost, 0));
        }
        let mut peer = raw::Peer::dial(&at, "REQ");
        peer.send(&[b"", b"?"]);
        assert_eq!(next(&rep), "?");
        rep.send("!").unwrap();
        assert_eq!(peer.message().unwrap(), [&b""[..], b"!"]);
    });
}

#[test]
fn an_answer_to_a_peer_that_does_not_read_is_dropped_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let rep = ctx.socket::<Rep>().send_hwm(2).send_buffer(4096).linger(Duration::ZERO).build().unwrap();
        let at = rep.bind("tcp://127.0.0.1:0").unwrap();
        let mut greedy = raw::Peer::dial(&at, "DEALER");
        for _ in 0..300 {
            greedy.send(&[b"", b"more"]);
        }
        for _ in 0..300 {
            next(&rep);
            rep.send(vec![0; 50_000]).unwrap();
        }
        let stats = rep.stats();
        assert!(stats.dropped.overflowed > 100 && stats.queued <= 2, "{stats:?}");
        assert_eq!(stats.accepted, 300);
        let mut other = raw::Peer::dial(&at, "REQ");
        other.send(&[b"", b"?"]);
        assert_eq!(next(&rep), "?");
        rep.send("!").unwrap();
        assert_eq!(other.message().unwrap(), [&b""[..], b"!"], "the service goes on");
    });
}

/// The asker may have asked something else meanwhile, for which it would take the answer.
#[test]
fn an_answer_does_not_go_out_on_another_connection_than_its_question_came_on() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rep = ctx.socket::<Rep>().reconnect_interval(SOON).build().unwrap();
        rep.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let mut peer = raw::Peer::answer(&listener, "REQ");
        peer.send(&[b"", b"first"]);
        peer.send(&[b"", b"second"]);
        assert_eq!(next(&rep), "first");
        eventually("the second has come, too", || rep.stats().waiting == 1);
        peer.reset();
        let mut peer = raw::Peer::answer(&listener, "REQ");
        eventually("it is back", || rep.stats().reconnects == 1);
        peer.send(&[b"", b"third"]);
        peer.sync();
        rep.send("to the first").unwrap();
        assert_eq!(next(&rep), "second");
        rep.send("to the second").unwrap();
        assert_eq!(next(&rep), "third");
        rep.send("to the third").unwrap();
        assert_eq!(peer.message().unwrap(), [&b""[..], b"to the third"]);
        let stats = rep.stats();
        assert_eq!((stats.accepted, stats.dropped.disconnected), (3, 2));
    });
}

#[test]
fn askers_with_the_same_routing_id_are_both_served() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (rep, at) = &bound_rep(&ctx);
        let reqs: Vec<_> = (0..2)
            .map(|_| {
                let req = ctx.socket::<Req>().routing_id("same").build().unwrap();
                req.connect(at).unwrap();
                req
            })
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| rep.iter().for_each(|question| rep.send(question).unwrap()));
            for (req, name) in reqs.iter().zip(["one", "other"]) {
                assert_eq!(req.request(name, PATIENCE).unwrap(), name);
            }
            drop(rep.close(Duration::ZERO));
        });
    });
}

#[test]
fn a_dealer_asks_with_an_empty_part_of_its_own_making() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (rep, dealer) = (bound_rep(&ctx).0, ctx.socket::<Dealer>().build().unwrap());
        link(&rep, &dealer);
        for n in 0..3 {
            dealer.send(["id", "", &format!("{n}")]).unwrap();
        }
        for n in 0..3 {
            assert_eq!(next(&rep), format!("{n}").as_bytes());
            rep.send(["!", "?"]).unwrap();
            assert_eq!(dealer.recv_timeout(PATIENCE).unwrap(), Message::from(["id", "", "!", "?"]));
        }
    });
}

#[test]
fn a_device_of_router_and_dealer_stands_between_many_askers_and_many_services() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let front = &ctx.socket::<Router>().build().unwrap();
        let back = &ctx.socket::<Dealer>().build().unwrap();
        let (front_at, back_at) =
            (&front.bind("tcp://127.0.0.1:0").unwrap(), &back.bind("tcp://127.0.0.1:0").unwrap());
        let reps: Vec<_> = (0..3).map(|_| ctx.socket::<Rep>().build().unwrap()).collect();
        thread::scope(|scope| {
            scope.spawn(|| front.iter().for_each(|message| back.send(message).unwrap()));
            scope.spawn(|| back.iter().for_each(|message| front.send(message).unwrap()));
            for rep in &reps {
                rep.connect(back_at).unwrap();
                scope.spawn(|| rep.iter().for_each(|question| rep.send(question).unwrap()));
            }
            let askers: Vec<_> = (0..4)
                .map(|asker| {
                    let ctx = &ctx;
                    scope.spawn(move || {
                        let req = ctx.socket::<Req>().build().unwrap();
                        req.connect(front_at).unwrap();
                        for n in 0..100 {
                            let question = Message::from([&format!("{asker}")[..], "", &format!("{n}")]);
                            assert_eq!(req.request(question.clone(), PATIENCE).unwrap(), question);
                        }
                    })
                })
                .collect();
            askers.into_iter().for_each(|asker| asker.join().unwrap());
            reps.iter().for_each(|rep| drop(rep.close(Duration::ZERO)));
            drop(front.close(Duration::ZERO));
            drop(back.close(Duration::ZERO));
        });
        let served: Vec<_> = reps.iter().map(|rep| rep.stats().delivered).collect();
        assert!(served.iter().sum::<u64>() == 400 && served.iter().all(|count| *count > 0), "{served:?}");
    });
}

#[test]
fn subscriptions_are_none_of_its_business() {
    within(PATIENCE, || {
        let (rep, at) = bound_rep(&Context::new().unwrap());
        let mut peer = raw::Peer::dial(&at, "REQ");
        peer.write(&[raw::subscribe(b"A"), raw::cancel(b"A"), raw::command("JOIN", b"group")].concat());
        peer.send(&[b"", b"?"]);
        assert_eq!(next(&rep), "?");
        assert_eq!(rep.stats().received, 1);
    });
}
