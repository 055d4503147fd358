//! A proxy passes on what it should, steered from outside, and loses nothing.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, blocked, eventually, number_of, numbered, poll_once, raw, within};
use ferromq::{
    Context, Control, Dealer, Endpoint, Kind, Message, Pair, Proxy, ProxyError, ProxyStats, Pub, Pull, Push,
    Receives, Rep, Req, Router, Sends, Socket, Sub, XPub, XSub,
};
use futures_executor::block_on;

const ANY_PORT: &str = "tcp://127.0.0.1:0";
/// How long to look for what must not come.
const GLANCE: Duration = Duration::from_millis(50);

fn socket<T: Kind>(ctx: &Context) -> Socket<T> {
    ctx.socket::<T>().linger(Duration::ZERO).build().unwrap()
}

fn bound<T: Kind>(ctx: &Context) -> (Socket<T>, Endpoint) {
    let socket = socket(ctx);
    let at = socket.bind(ANY_PORT).unwrap();
    (socket, at)
}

fn connected<T: Kind>(ctx: &Context, at: &Endpoint) -> Socket<T> {
    let socket = socket::<T>(ctx);
    socket.connect(at.clone()).unwrap();
    socket.wait_connected(1, PATIENCE).unwrap();
    socket
}

/// Stops the proxy also when the test fails, which would hang otherwise.
struct Stop(Control);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs the proxy while `body` does, and tells what it has done in the end.
fn during(proxy: &mut Proxy, body: impl FnOnce()) -> ProxyStats {
    let control = proxy.control();
    thread::scope(|scope| {
        let running = scope.spawn(|| proxy.run());
        let stop = Stop(control);
        body();
        drop(stop);
        running.join().unwrap().unwrap()
    })
}

fn recv<T: Receives>(socket: &Socket<T>) -> Message {
    socket.recv_timeout(PATIENCE).unwrap()
}

fn send<T: Sends>(socket: &Socket<T>, message: impl Into<Message>) {
    socket.send_timeout(message, PATIENCE).unwrap();
}

/// Answers requests with their own words and a name in front, until it is told to end.
fn serve(service: &Socket<Rep>, name: &str, done: &AtomicBool) {
    while !done.load(SeqCst) {
        if let Ok(mut request) = service.recv_timeout(GLANCE) {
            request.push_front(name.to_owned());
            send(service, request);
        }
    }
}

fn many_ask_many(ctx: &Context, other: &Context) {
    const REQUESTS: u64 = 100;
    let (front, front_at) = bound::<Router>(ctx);
    let (back, back_at) = bound::<Dealer>(other);
    let clients: Vec<Socket<Req>> = (0..4).map(|_| connected(ctx, &front_at)).collect();
    let services: Vec<Socket<Rep>> = (0..3).map(|_| connected(other, &back_at)).collect();
    back.wait_connected(3, PATIENCE).unwrap();
    let done = &AtomicBool::new(false);
    let stats = during(&mut Proxy::new(&front, &back), || {
        thread::scope(|scope| {
            for (number, service) in services.iter().enumerate() {
                scope.spawn(move || serve(service, &format!("service {number}"), done));
            }
            let asking = |number: usize, client: &Socket<Req>| {
                let mut names = Vec::new();
                for request in 0..REQUESTS {
                    let request = Message::from([&format!("{number}.{request}")[..], "", "end"]);
                    send(client, request.clone());
                    let (name, answer) = recv(client).split_front();
                    assert_eq!(answer, Some(request));
                    names.push(name);
                }
                names
            };
            let asked: Vec<_> = clients
                .iter()
                .enumerate()
                .map(|(number, client)| scope.spawn(move || asking(number, client)))
                .collect();
            let mut names: Vec<_> = asked.into_iter().flat_map(|asked| asked.join().unwrap()).collect();
            done.store(true, SeqCst);
            names.sort();
            names.dedup();
            assert_eq!(names, ["service 0", "service 1", "service 2"]);
        });
    });
    assert_eq!((stats.to_back.messages, stats.to_front.messages), (4 * REQUESTS, 4 * REQUESTS));
    assert_eq!((stats.to_back.dropped, stats.to_front.dropped), (0, 0));
    assert!(stats.to_back.bytes < stats.to_front.bytes);
}

#[test]
fn many_ask_many_through_router_and_dealer() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        many_ask_many(&ctx, &ctx);
    });
}

#[test]
fn front_and_back_may_live_on_different_reactors() {
    within(2 * PATIENCE, || {
        let ctx = Context::builder().io_threads(2).build().unwrap();
        many_ask_many(&ctx, &ctx);
        many_ask_many(&ctx, &Context::new().unwrap());
    });
}

#[test]
fn subscriptions_pass_through_xsub_and_xpub() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<XSub>(&ctx), bound::<XPub>(&ctx));
        let publisher = connected::<Pub>(&ctx, &front_at);
        during(&mut Proxy::new(&front, &back), || {
            let early = connected::<Sub>(&ctx, &back_at);
            early.subscribe("a").unwrap();
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            send(&publisher, ["a1", "body"]);
            send(&publisher, ["b1", "nobody wants it"]);
            send(&publisher, ["a2", "body"]);
            assert_eq!(recv(&early), Message::from(["a1", "body"]));
            assert_eq!(recv(&early), Message::from(["a2", "body"]));

            let late = connected::<Sub>(&ctx, &back_at);
            late.subscribe("b").unwrap();
            eventually("the late subscription reaches the publisher", || {
                send(&publisher, "b2");
                late.try_recv().is_ok()
            });
            let newcomer = connected::<Pub>(&ctx, &front_at);
            newcomer.wait_subscribed(1, PATIENCE).unwrap();
            send(&newcomer, "a3");
            assert_eq!(recv(&early), "a3");

            let unsubscribed = || publisher.stats().dropped.unsubscribed;
            early.unsubscribe("a").unwrap();
            let before = unsubscribed();
            eventually("the end of the subscription reaches the publisher", || {
                send(&publisher, "a4");
                unsubscribed() > before
            });
            drop(late);
            let before = unsubscribed();
            eventually("so does that of a subscriber that is gone", || {
                send(&publisher, "b3");
                unsubscribed() > before
            });
        });
    });
}

#[test]
fn work_passes_from_pull_to_push_in_order() {
    within(PATIENCE, || {
        const MESSAGES: u32 = 5000;
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Pull>(&ctx), bound::<Push>(&ctx));
        let (source, sink) = (connected::<Push>(&ctx, &front_at), connected::<Pull>(&ctx, &back_at));
        let stats = during(&mut Proxy::one_way(&front, &back), || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    (0..MESSAGES)
                        .for_each(|number| send(&source, numbered(1, number, number as usize % 300)));
                    send(&source, ["", "parts", "", "stay", ""]);
                });
                (0..MESSAGES).for_each(|number| assert_eq!(number_of(&recv(&sink)), (1, number)));
                assert_eq!(recv(&sink), Message::from(["", "parts", "", "stay", ""]));
            });
        });
        let bytes: u64 = (0..u64::from(MESSAGES)).map(|number| 8 + number % 300).sum::<u64>() + 9;
        assert_eq!((stats.to_back.messages, stats.to_back.bytes), (u64::from(MESSAGES) + 1, bytes));
        assert_eq!(stats.to_front, Default::default());
    });
}

#[test]
fn one_socket_can_be_both_ends() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (echo, at) = bound::<Rep>(&ctx);
        let client = connected::<Req>(&ctx, &at);
        let stats = during(&mut Proxy::new(&echo, &echo), || {
            for number in 0..100 {
                let request = Message::from([&number.to_string()[..], "", "end"]);
                send(&client, request.clone());
                assert_eq!(recv(&client), request);
            }
        });
        assert_eq!((stats.to_back.messages, stats.to_front.messages), (100, 0));
    });
}

#[test]
fn sockets_that_wait_for_their_turn_end_it_with_an_error() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (front, back) = (socket::<Rep>(&ctx), socket::<Req>(&ctx));
        let error = Proxy::new(&front, &back).run().unwrap_err();
        assert!(matches!(error, ProxyError::Receive(_)), "{error:?}");
    });
}

/// A back that does not read is felt by the front's peers, message for message, while its answers still come through.
#[test]
fn a_slow_back_pauses_the_front_and_answers_still_flow() {
    within(2 * PATIENCE, || {
        const BUFFER: usize = 64 << 10;
        let ctx = Context::new().unwrap();
        let front = ctx.socket::<Router>().recv_hwm(1).recv_buffer(BUFFER).build().unwrap();
        let back = ctx.socket::<Dealer>().send_hwm(1).send_buffer(BUFFER).linger(Duration::ZERO).build();
        let back = back.unwrap();
        let client = ctx.socket::<Dealer>().send_hwm(1).send_buffer(BUFFER).linger(Duration::ZERO);
        let client = client.build().unwrap();
        client.connect(front.bind(ANY_PORT).unwrap()).unwrap();
        let mut service = raw::Peer::dial(back.bind(ANY_PORT).unwrap(), "DEALER");
        let mut proxy = Proxy::new(&front, &back);
        let control = proxy.control();
        let stats = during(&mut proxy, || {
            send(&client, "hello");
            let id = service.message().unwrap().remove(0);
            let body = vec![7; 1 << 20];
            let mut accepted = 0;
            // Long enough without room, it will have none.
            while client.send_timeout(body.clone(), 10 * GLANCE).is_ok() {
                accepted += 1;
                assert!(accepted < 30, "nothing holds the client up");
            }
            assert!(control.stats().to_back.messages < accepted);
            for number in 0..100_u8 {
                service.send(&[&id, &[number]]);
                assert_eq!(recv(&client), &[number]);
            }
            for _ in 0..accepted {
                let parts = service.message().unwrap();
                assert_eq!((&parts[0], parts[1].len()), (&id, body.len()));
            }
            send(&client, "there is room again");
            assert_eq!(service.message().unwrap()[1], b"there is room again");
        });
        assert_eq!(stats.to_front.messages, 100);
    });
}

#[test]
fn the_capture_gets_a_copy_of_both_directions() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Router>(&ctx), bound::<Dealer>(&ctx));
        let (capture, capture_at) = bound::<Push>(&Context::new().unwrap());
        let (client, service) = (connected::<Req>(&ctx, &front_at), connected::<Rep>(&ctx, &back_at));
        let recorder = connected::<Pull>(&ctx, &capture_at);
        capture.wait_connected(1, PATIENCE).unwrap();
        let stats = during(&mut Proxy::new(&front, &back).capture(&capture), || {
            for _ in 0..10 {
                send(&client, ["question", "of two parts"]);
                assert_eq!(recv(&service).part(0), Some(&b"question"[..]));
                send(&service, "answer");
                assert_eq!(recv(&client), "answer");
                let (question, answer) = (recv(&recorder), recv(&recorder));
                assert_eq!(question.part(0), answer.part(0), "the routing id");
                assert_eq!(
                    question.parts().skip(1).collect::<Vec<_>>(),
                    [&b""[..], b"question", b"of two parts"]
                );
                assert_eq!(answer.parts().skip(1).collect::<Vec<_>>(), [&b""[..], b"answer"]);
            }
        });
        assert_eq!((stats.captured, stats.capture_missed), (20, 0));
    });
}

#[test]
fn a_capture_without_room_misses_copies_and_holds_nothing_up() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Pull>(&ctx), bound::<Push>(&ctx));
        let (source, sink) = (connected::<Push>(&ctx, &front_at), connected::<Pull>(&ctx, &back_at));
        let capture = ctx.socket::<Pair>().send_hwm(3).linger(Duration::ZERO).build().unwrap();
        capture.connect(common::DeadPort::new().endpoint()).unwrap();
        let mut proxy = Proxy::one_way(&front, &back).capture(&capture);
        let pass = || {
            for number in 0..10 {
                send(&source, numbered(1, number, 0));
                assert_eq!(number_of(&recv(&sink)), (1, number));
            }
        };
        let stats = during(&mut proxy, pass);
        assert_eq!((stats.to_back.messages, stats.captured, stats.capture_missed), (10, 3, 7));
        drop(capture.close(Duration::ZERO));
        let stats = during(&mut proxy, pass);
        assert_eq!((stats.to_back.messages, stats.captured, stats.capture_missed), (20, 3, 17));
    });
}

#[test]
fn an_answer_for_a_client_that_is_gone_is_dropped_and_counted() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, _), (back, back_at)) = (bound::<Router>(&ctx), bound::<Dealer>(&ctx));
        let service = connected::<Dealer>(&ctx, &back_at);
        let mut proxy = Proxy::new(&front, &back);
        let control = proxy.control();
        let stats = during(&mut proxy, || {
            send(&service, ["nobody", "", "answer"]);
            eventually("it is dropped", || control.stats().to_front.dropped == 1);
        });
        assert_eq!((stats.to_front.messages, stats.to_front.bytes), (0, 0));
    });
}

#[test]
fn a_paused_proxy_receives_nothing_until_it_is_resumed() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Pair>(&ctx), bound::<Pair>(&ctx));
        let (left, right) = (connected::<Pair>(&ctx, &front_at), connected::<Pair>(&ctx, &back_at));
        let mut proxy = Proxy::new(&front, &back);
        let control = proxy.control();
        control.pause();
        let stats = during(&mut proxy, || {
            for round in 1..=3 {
                send(&left, "to the right");
                send(&right, "to the left");
                eventually("both wait", || front.stats().waiting == 1 && back.stats().waiting == 1);
                left.recv_timeout(GLANCE).unwrap_err();
                right.try_recv().unwrap_err();
                control.resume();
                assert_eq!(recv(&left), "to the left");
                assert_eq!(recv(&right), "to the right");
                eventually("both are counted", || {
                    let ProxyStats { to_back, to_front, .. } = control.stats();
                    (to_back.messages, to_front.messages) == (round, round)
                });
                control.clone().pause();
            }
            // While it is paused it is not in the way of others.
            send(&left, "to whoever receives");
            assert_eq!(recv(&front), "to whoever receives");
        });
        assert_eq!((stats.to_back.bytes, stats.to_front.bytes), (3 * 12, 3 * 11));
    });
}

#[test]
fn a_stopped_proxy_gives_back_what_it_holds_or_goes_on_with_it() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Pull>(&ctx), bound::<Push>(&ctx));
        let source = connected::<Push>(&ctx, &front_at);
        let mut proxy = Proxy::one_way(&front, &back);
        let hold = |proxy: &mut Proxy, message: &str| {
            let delivered = front.stats().delivered;
            let stats = during(proxy, || {
                send(&source, message);
                eventually("it is held", || front.stats().delivered > delivered);
            });
            assert_eq!(stats.to_back.messages, 0);
        };
        hold(&mut proxy, "first");
        let held = proxy.held();
        assert_eq!((held.to_back, held.to_front), (Some("first".into()), None));
        assert_eq!(proxy.held().to_back, None, "it is taken out");

        hold(&mut proxy, "second");
        let sink = connected::<Pull>(&ctx, &back_at);
        let stats = during(&mut proxy, || {
            send(&source, "third");
            assert_eq!(recv(&sink), "second");
            assert_eq!(recv(&sink), "third");
        });
        assert_eq!(stats.to_back.messages, 2);
    });
}

#[test]
fn a_stop_sends_what_there_is_room_for_and_a_dropped_proxy_tries_once_more() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Pull>(&ctx), bound::<Push>(&ctx));
        let source = connected::<Push>(&ctx, &front_at);
        let mut proxy = Proxy::one_way(&front, &back);
        during(&mut proxy, || {
            send(&source, "held");
            eventually("it is held", || front.stats().delivered == 1);
        });
        let sink = connected::<Pull>(&ctx, &back_at);
        back.wait_connected(1, PATIENCE).unwrap();
        drop(proxy);
        assert_eq!(recv(&sink), "held");
    });
}

#[test]
fn a_stop_before_the_run_ends_it_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (front, back) = (socket::<Router>(&ctx), socket::<Dealer>(&ctx));
        let mut proxy = Proxy::new(&front, &back);
        proxy.control().pause();
        proxy.control().stop();
        assert_eq!(proxy.run(), Ok(ProxyStats::default()));
        proxy.control().stop();
        assert_eq!(block_on(proxy.run_async()), Ok(ProxyStats::default()));
    });
}

type End = fn(&Context, &Socket<Pull>, &Socket<Push>);

/// What ends a run, and what the proxy does meanwhile: it waits for messages, waits for room, or is paused.
#[test]
fn it_ends_when_a_socket_or_the_context_is_closed() {
    within(PATIENCE, || {
        let ends: [End; 3] = [
            |_, front, _| drop(front.close(Duration::ZERO)),
            |_, _, back| drop(back.close(Duration::ZERO)),
            |ctx, _, _| drop(ctx.close(Duration::ZERO)),
        ];
        for end in ends {
            for (paused, held) in [(false, false), (false, true), (true, false)] {
                let ctx = Context::new().unwrap();
                let ((front, front_at), (back, _)) = (bound::<Pull>(&ctx), bound::<Push>(&ctx));
                let source = connected::<Push>(&Context::new().unwrap(), &front_at);
                for asynchronous in [false, true] {
                    let mut proxy = Proxy::one_way(&front, &back);
                    if paused {
                        proxy.control().pause();
                    }
                    thread::scope(|scope| {
                        let running = blocked(scope, || match asynchronous {
                            false => proxy.run(),
                            true => block_on(proxy.run_async()),
                        });
                        if held && !asynchronous {
                            send(&source, "held");
                            eventually("it is held", || front.stats().delivered == 1);
                        }
                        // The second time it is closed already.
                        end(&ctx, &front, &back);
                        assert_eq!(running.join().unwrap(), Err(ProxyError::Closed));
                    });
                    assert_eq!(proxy.held().to_back.is_some(), held && !asynchronous);
                }
            }
        }
    });
}

/// A flood in one direction keeps neither the other one waiting nor what else lives on the reactor, wherever the back is.
#[test]
fn a_flood_starves_nobody() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        for other in [ctx.clone(), Context::new().unwrap()] {
            let ((front, front_at), (back, back_at)) = (bound::<Pair>(&ctx), bound::<Pair>(&other));
            let (left, right) = (connected::<Pair>(&other, &front_at), connected::<Pair>(&ctx, &back_at));
            let (echo, echo_at) = bound::<Rep>(&ctx);
            let client = connected::<Req>(&ctx, &echo_at);
            let done = &AtomicBool::new(false);
            during(&mut Proxy::new(&front, &back), || {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        while !done.load(SeqCst) {
                            let _no_room = left.send_timeout("flood", GLANCE);
                        }
                    });
                    scope.spawn(|| {
                        while !done.load(SeqCst) {
                            let _none = right.recv_timeout(GLANCE);
                        }
                    });
                    scope.spawn(|| serve(&echo, "echo", done));
                    for number in 0..200 {
                        send(&right, numbered(2, number, 0));
                        assert_eq!(number_of(&recv(&left)), (2, number));
                        send(&client, "still there?");
                        assert_eq!(recv(&client), Message::from(["echo", "still there?"]));
                    }
                    done.store(true, SeqCst);
                });
            });
        }
    });
}

#[test]
fn it_runs_under_any_executor_and_a_dropped_future_loses_nothing() {
    within(2 * PATIENCE, || {
        const MESSAGES: u32 = 300;
        let ctx = Context::builder().io_threads(2).build().unwrap();
        let front = ctx.socket::<Pull>().recv_hwm(2).build().unwrap();
        let back = ctx.socket::<Push>().send_hwm(2).build().unwrap();
        let source = connected::<Push>(&ctx, &front.bind(ANY_PORT).unwrap());
        let sink = connected::<Pull>(&ctx, &back.bind(ANY_PORT).unwrap());
        let mut proxy = Proxy::one_way(&front, &back);
        let control = proxy.control();
        assert!(poll_once(std::pin::pin!(proxy.run_async())).is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..MESSAGES).for_each(|number| send(&source, numbered(1, number, 5000))));
            let passed = scope.spawn(|| {
                (0..MESSAGES).for_each(|number| assert_eq!(number_of(&recv(&sink)), (1, number)));
                control.stop();
            });
            let stats = runtime.block_on(async {
                loop {
                    let nap = Duration::from_micros(500);
                    if let Ok(result) = tokio::time::timeout(nap, proxy.run_async()).await {
                        break result.unwrap();
                    }
                }
            });
            passed.join().unwrap();
            assert_eq!(stats.to_back.messages, u64::from(MESSAGES));
        });
    });
}

#[test]
fn a_proxy_can_be_spawned() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let ((front, front_at), (back, back_at)) = (bound::<Router>(&ctx), bound::<Dealer>(&ctx));
        let (client, service) = (connected::<Req>(&ctx, &front_at), connected::<Rep>(&ctx, &back_at));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (tell, control) = std::sync::mpsc::channel();
            let running = tokio::spawn(async move {
                let mut proxy = Proxy::new(&front, &back);
                tell.send(proxy.control()).unwrap();
                proxy.run_async().await
            });
            client.send_async("question").await.unwrap();
            assert_eq!(service.recv_async().await.unwrap(), "question");
            service.send_async("answer").await.unwrap();
            assert_eq!(client.recv_async().await.unwrap(), "answer");
            control.recv().unwrap().stop();
            assert_eq!(running.await.unwrap().unwrap().to_front.messages, 1);
        });
    });
}
