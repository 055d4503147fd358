//! The roles of the `perf` example, each as a process with a libzmq socket at the other end, over tcp and ipc.

mod common;

use std::net::TcpListener;
use std::process;

use common::{Example, PATIENCE, within, zmq_socket};

const SIZE: usize = 64;
const COUNT: usize = 5000;

/// Where to meet, new each time: a port that is free, and a path.
fn places(role: &str) -> Vec<String> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = format!("tcp://127.0.0.1:{port}");
    let path = std::env::temp_dir().join(format!("fmq-zmq-perf-{}-{role}", process::id()));
    if cfg!(unix) { vec![tcp, format!("ipc://{}", path.display())] } else { vec![tcp] }
}

/// Runs a test at each place, and removes the file that libzmq leaves there.
fn at_each_place(role: &'static str, test: fn(&str, &zmq::Context)) {
    within(2 * PATIENCE, move || {
        for place in places(role) {
            test(&place, &zmq::Context::new());
            let _gone = std::fs::remove_file(place.trim_start_matches("ipc://"));
        }
    });
}

fn perf(role: &str, at: &str, more: &[&str]) -> Example {
    Example::start("perf", &[&[role, at, &SIZE.to_string(), &COUNT.to_string()], more].concat())
}

/// Numbered, so that none can be taken for another.
fn body(number: usize) -> Vec<u8> {
    let mut body = vec![7; SIZE];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

#[test]
fn local_lat_answers_a_req_of_theirs() {
    at_each_place("local_lat", |at, zmq| {
        let ours = perf("local_lat", at, &[]);
        let req = zmq_socket(zmq, zmq::REQ);
        req.connect(at).unwrap();
        for number in 0..COUNT {
            req.send(body(number), 0).unwrap();
            assert_eq!(req.recv_multipart(0).unwrap(), [body(number)], "{at}");
        }
        assert!(ours.succeeds().is_empty(), "it ends after the last answer");
    });
}

#[test]
fn remote_lat_asks_a_rep_of_theirs() {
    at_each_place("remote_lat", |at, zmq| {
        let rep = zmq_socket(zmq, zmq::REP);
        rep.bind(at).unwrap();
        let ours = perf("remote_lat", at, &[]);
        for _ in 0..COUNT {
            let request = rep.recv_multipart(0).unwrap();
            assert_eq!(request, [[b'x'; SIZE]], "{at}");
            rep.send_multipart(request, 0).unwrap();
        }
        let printed = ours.succeeds();
        assert_eq!(printed[1], format!("roundtrip count: {COUNT}"), "{printed:#?}");
        let beginnings = ["average latency: ", "p50: ", "p99: "];
        assert!(printed[2..].iter().zip(beginnings).all(|(line, how)| line.starts_with(how)), "{printed:#?}");
    });
}

#[test]
fn pub_loses_nothing_for_a_sub_of_theirs() {
    at_each_place("pub", |at, zmq| {
        let ours = perf("pub", at, &["1"]);
        let sub = zmq_socket(zmq, zmq::SUB);
        sub.set_rcvhwm(0).unwrap();
        sub.set_subscribe(b"").unwrap();
        sub.connect(at).unwrap();
        for number in 0..COUNT {
            assert_eq!(sub.recv_multipart(0).unwrap(), [[b'x'; SIZE]], "message {number} at {at}");
        }
        assert_eq!(sub.recv_multipart(0).unwrap(), [b"END"], "{at}");
        assert!(ours.succeeds().is_empty(), "it ends when it is dismissed");
    });
}

#[test]
fn sub_gets_all_that_a_pub_of_theirs_sends() {
    at_each_place("sub", |at, zmq| {
        let publisher = zmq_socket(zmq, zmq::XPUB);
        publisher.set_sndhwm(0).unwrap();
        publisher.bind(at).unwrap();
        let ours = perf("sub", at, &[]);
        assert_eq!(publisher.recv_bytes(0).unwrap(), [1], "the subscription to everything");
        (0..COUNT).for_each(|number| publisher.send(body(number), 0).unwrap());
        let printed = ours.succeeds();
        // With one lost it would have waited for more, and with the marker it would say how many it got.
        assert_eq!(printed[1], format!("message count: {COUNT}"), "{printed:#?}");
        assert_eq!(printed.len(), 4, "{printed:#?}");
        assert!(printed[2].starts_with("mean throughput: "), "{printed:#?}");
    });
}

#[test]
fn sub_says_what_it_has_not_got() {
    at_each_place("sub-less", |at, zmq| {
        let publisher = zmq_socket(zmq, zmq::XPUB);
        publisher.bind(at).unwrap();
        let ours = perf("sub", at, &[]);
        assert_eq!(publisher.recv_bytes(0).unwrap(), [1]);
        (0..3).for_each(|number| publisher.send(body(number), 0).unwrap());
        publisher.send("END", 0).unwrap();
        assert_eq!(ours.succeeds()[2], "received: 3");
    });
}
