//! Our proxies between sockets of libzmq.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use common::{PATIENCE, eventually, within, zmq_socket};
use ferromq::{Context, Control, Dealer, Kind, Proxy, ProxyStats, Router, Socket, XPub, XSub};

/// Stops the proxy also when the test fails, which would hang otherwise.
struct Stop(Control);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs the proxy while `body` does, and tells what it has done in the end.
fn during(mut proxy: Proxy, body: impl FnOnce()) -> ProxyStats {
    let control = proxy.control();
    thread::scope(|scope| {
        let running = scope.spawn(move || proxy.run());
        let stop = Stop(control);
        body();
        drop(stop);
        running.join().unwrap().unwrap()
    })
}

fn bound<T: Kind>(ctx: &Context) -> (Socket<T>, String) {
    let socket = ctx.socket::<T>().build().unwrap();
    let at = socket.bind("tcp://127.0.0.1:0").unwrap().to_string();
    (socket, at)
}

fn connected(zmq: &zmq::Context, kind: zmq::SocketType, at: &str) -> zmq::Socket {
    let socket = zmq_socket(zmq, kind);
    socket.connect(at).unwrap();
    socket
}

#[test]
fn req_and_rep_of_libzmq_talk_through_router_and_dealer() {
    within(2 * PATIENCE, || {
        const REQUESTS: u64 = 200;
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let ((front, front_at), (back, back_at)) = (bound::<Router>(&ctx), bound::<Dealer>(&ctx));
        let services: Vec<_> = (0..2).map(|_| connected(&zmq, zmq::REP, &back_at)).collect();
        let clients: Vec<_> = (0..3).map(|_| connected(&zmq, zmq::REQ, &front_at)).collect();
        back.wait_connected(2, PATIENCE).unwrap();
        let done = AtomicBool::new(false);
        let stats = during(Proxy::new(&front, &back), || {
            thread::scope(|scope| {
                for service in services {
                    let done = &done;
                    service.set_rcvtimeo(20).unwrap();
                    scope.spawn(move || {
                        while !done.load(SeqCst) {
                            if let Ok(mut parts) = service.recv_multipart(0) {
                                parts.reverse();
                                service.send_multipart(parts, 0).unwrap();
                            }
                        }
                    });
                }
                let ask = |client: zmq::Socket, name: usize| {
                    for number in 0..REQUESTS {
                        let request = format!("{name}.{number}");
                        client.send_multipart([&request, "", "end"], 0).unwrap();
                        let answer = client.recv_multipart(0).unwrap();
                        assert_eq!(answer, [b"end", &b""[..], request.as_bytes()]);
                    }
                };
                let asking: Vec<_> = clients
                    .into_iter()
                    .enumerate()
                    .map(|(name, client)| scope.spawn(move || ask(client, name)))
                    .collect();
                asking.into_iter().for_each(|asking| asking.join().unwrap());
                done.store(true, SeqCst);
            });
        });
        assert_eq!((stats.to_back.messages, stats.to_front.messages), (3 * REQUESTS, 3 * REQUESTS));
        assert_eq!(stats.to_back.bytes, stats.to_front.bytes);
    });
}

#[test]
fn pub_and_sub_of_libzmq_meet_through_xsub_and_xpub() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let ((front, front_at), (back, back_at)) = (bound::<XSub>(&ctx), bound::<XPub>(&ctx));
        // An XPUB says what it hears of subscriptions, which a PUB does not.
        let publisher = connected(&zmq, zmq::XPUB, &front_at);
        let stats = during(Proxy::new(&front, &back), || {
            let news = connected(&zmq, zmq::SUB, &back_at);
            news.set_subscribe(b"news").unwrap();
            assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01news");
            let late = connected(&zmq, zmq::SUB, &back_at);
            late.set_subscribe(b"news").unwrap();
            late.set_subscribe(b"sport").unwrap();
            assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01sport", "the second to news is no change");

            publisher.send_multipart(["sport", "", "one"], 0).unwrap();
            publisher.send_multipart(["weather", "nobody wants it"], 0).unwrap();
            publisher.send_multipart(["news", "two"], 0).unwrap();
            assert_eq!(late.recv_multipart(0).unwrap(), [b"sport", &b""[..], b"one"]);
            for subscriber in [&news, &late] {
                assert_eq!(subscriber.recv_multipart(0).unwrap(), [b"news", &b"two"[..]]);
            }

            late.set_unsubscribe(b"sport").unwrap();
            assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x00sport");
            drop(late);
            drop(news);
            assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x00news");

            let plain = connected(&zmq, zmq::PUB, &front_at);
            let again = connected(&zmq, zmq::SUB, &back_at);
            again.set_subscribe(b"").unwrap();
            again.set_rcvtimeo(1).unwrap();
            eventually("a PUB is heard, too", || {
                plain.send("hello", 0).unwrap();
                again.recv_bytes(0).is_ok_and(|body| body == b"hello")
            });
        });
        assert!(stats.to_back.messages >= 3, "{stats:?}");
    });
}
