//! Binding, connecting and their opposites.

mod common;

use std::net::{Ipv6Addr, TcpListener};
use std::thread;
use std::time::Duration;

use common::{DeadPort, PATIENCE, assert_joined, eventually, pair, raw, within};
use ferromq::{BindError, Context, DetachError, Endpoint, Message, Pull, Push, RecvError, Refusal, Socket};

fn push(ctx: &Context) -> Socket<Push> {
    ctx.socket::<Push>().linger(Duration::ZERO).reconnect_interval(Duration::from_millis(10)).build().unwrap()
}

fn pull(ctx: &Context) -> Socket<Pull> {
    ctx.socket::<Pull>().reconnect_interval(Duration::from_millis(10)).build().unwrap()
}

fn port_of(endpoint: &Endpoint) -> u16 {
    endpoint.to_string().rsplit(':').next().unwrap().parse().unwrap()
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        println!("this machine has no IPv6");
    }
    has
}

#[test]
fn binding_to_any_port_tells_which_one() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for any_port in ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*"] {
            let (push, pull) = (push(&ctx), pull(&ctx));
            let at = pull.bind(any_port).unwrap();
            assert_ne!(port_of(&at), 0);
            assert_eq!(at.to_string(), format!("tcp://127.0.0.1:{}", port_of(&at)));
            push.connect(&at).unwrap();
            assert_joined(&push, &pull);
        }
    });
}

#[test]
fn binding_to_all_interfaces_includes_the_loopback() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for all in ["tcp://*:0", "tcp://*:*", "tcp://0.0.0.0:0"] {
            let (push, pull) = (push(&ctx), pull(&ctx));
            let at = pull.bind(all).unwrap();
            push.connect(format!("tcp://127.0.0.1:{}", port_of(&at))).unwrap();
            assert_joined(&push, &pull);
        }
    });
}

#[test]
fn endpoints_come_as_text_or_as_endpoints() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
        let first = pull.bind(&any).unwrap();
        let second = pull.bind(any).unwrap();
        let third = pull.bind(String::from("tcp://127.0.0.1:0")).unwrap();
        push.connect(&first).unwrap();
        push.connect(second.to_string()).unwrap();
        push.connect(third.to_string().as_str()).unwrap();
        pull.wait_connected(3, PATIENCE).unwrap();
        push.disconnect(first.to_string()).unwrap();
        push.disconnect(&second).unwrap();
        push.disconnect(third).unwrap();
    });
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    if !has_ipv6() {
        return;
    }
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let at = pull.bind("tcp://[::1]:0").unwrap();
        assert_eq!(at.to_string(), format!("tcp://[::1]:{}", port_of(&at)));
        push.connect(&at).unwrap();
        assert_joined(&push, &pull);
        pull.unbind(&at).unwrap();
    });
}

#[test]
fn with_the_ipv6_option_all_interfaces_are_those_of_both_families() {
    if !has_ipv6() {
        return;
    }
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().ipv6(true).build().unwrap();
        let port = port_of(&pull.bind("tcp://*:0").unwrap());
        for host in ["127.0.0.1", "[::1]"] {
            let push = ctx.socket::<Push>().ipv6(true).build().unwrap();
            push.connect(format!("tcp://{host}:{port}")).unwrap();
            assert_joined(&push, &pull);
        }
    });
}

#[test]
fn host_names_are_resolved() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(format!("tcp://localhost:{}", port_of(&at))).unwrap();
        assert_joined(&push, &pull);
    });
}

#[test]
fn a_name_that_nobody_has_is_no_error_of_connect_and_does_no_harm() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        push.connect("tcp://no-such-host.invalid:5555").unwrap();
        push.try_send("queued for whoever comes").unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        push.disconnect("tcp://no-such-host.invalid:5555").unwrap();
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "queued for whoever comes");
        assert_joined(&push, &pull);
    });
}

#[test]
fn a_source_address_can_be_chosen() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let push = push(&ctx);
        push.connect(format!("tcp://127.0.0.2:0;127.0.0.1:{port}")).unwrap();
        let peer = raw::Peer::accept(&listener);
        assert_eq!(peer.0.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
    });
}

#[test]
fn connect_may_come_before_bind() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let port = DeadPort::new();
        push.connect(port.endpoint()).unwrap();
        for number in 0..100 {
            push.send(number.to_string()).unwrap();
        }
        pull.bind(port.release()).unwrap();
        for number in 0..100 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_string().as_str());
        }
    });
}

#[test]
fn one_socket_can_bind_and_connect_many_times() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let centre = pull(&ctx);
        let dialling: Vec<_> = (0..3).map(|_| push(&ctx)).collect();
        let listening: Vec<_> = (0..3).map(|_| push(&ctx)).collect();
        for push in &dialling {
            push.connect(centre.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        }
        for push in &listening {
            centre.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        }
        centre.wait_connected(6, PATIENCE).unwrap();
        for (push, name) in dialling.iter().chain(&listening).zip(["a", "b", "c", "d", "e", "f"]) {
            push.send(name).unwrap();
        }
        let mut heard: Vec<_> = (0..6).map(|_| centre.recv_timeout(PATIENCE).unwrap().into_bytes()).collect();
        heard.sort();
        assert_eq!(heard, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(centre.stats().peers, 6);
    });
}

#[test]
fn connecting_twice_to_the_same_place_makes_two_connections() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();
        push.connect(&at).unwrap();
        pull.wait_connected(2, PATIENCE).unwrap();
        assert_joined(&push, &pull);
    });
}

#[test]
fn a_taken_port_is_an_error_and_the_socket_stays_usable() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, first, second) = (push(&ctx), pull(&ctx), pull(&ctx));
        let at = first.bind("tcp://127.0.0.1:0").unwrap();
        for socket in [&first, &second] {
            match socket.bind(&at).unwrap_err() {
                BindError::Listen { endpoint, source } => {
                    assert_eq!((endpoint, source.kind()), (at.clone(), std::io::ErrorKind::AddrInUse));
                }
                other => panic!("another error: {other}"),
            }
        }
        push.connect(second.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        assert_joined(&push, &second);
        push.disconnect("tcp://127.0.0.1:1").unwrap_err();
        push.connect(&at).unwrap();
        first.wait_connected(1, PATIENCE).unwrap();
    });
}

#[test]
fn what_is_only_for_bind_or_only_for_connect_is_refused_elsewhere() {
    let ctx = Context::new().unwrap();
    let push = push(&ctx);
    for endpoint in ["tcp://*:5555", "tcp://127.0.0.1:0", "tcp://127.0.0.1:*"] {
        push.connect(endpoint).unwrap_err();
    }
    push.bind("tcp://127.0.0.1:0;127.0.0.1:5555").unwrap_err();
    push.bind("tcp://192.0.2.1:0").unwrap_err(); // belongs to nobody
}

#[test]
fn malformed_endpoints_are_errors() {
    let ctx = Context::new().unwrap();
    let push = push(&ctx);
    let long = format!("tcp://{}:1", "a".repeat(1 << 20));
    let long_path = format!("ipc:///{}", "p".repeat(107));
    let long_name = format!("inproc://{}", "n".repeat(1 << 20));
    let malformed = [
        "",
        "tcp",
        "tcp:",
        "tcp:/",
        "tcp://",
        "tcp://:",
        "tcp://host",
        "tcp://host:",
        "tcp://:80",
        "tcp://h:99999",
        "tcp://h:65536",
        "tcp://h:-1",
        "tcp://h:+1",
        "tcp://h:80x",
        "tcp://h: 80",
        "tcp://h:http",
        "tcp://[::1",
        "tcp://[::1]",
        "tcp://::1:80",
        "tcp://[::g]:80",
        "tcp://a;b:1",
        "tcp://127.0.0.1:5555;",
        "tcp://a b:80",
        " tcp://127.0.0.1:80",
        "tcp://127.0.0.1:80 ",
        "tcp://127.0.0.1:80\n",
        "tcp://127.0.0.1:80\0",
        "://127.0.0.1:80",
        "udp://127.0.0.1:80",
        "TCP://127.0.0.1:80",
        "http://127.0.0.1:80",
        "ipc://",
        "ipc://@",
        "ipc:///tmp/\0",
        &long_path,
        "inproc://",
        &long_name,
        &long,
    ];
    for endpoint in malformed {
        let shown = &endpoint[..endpoint.len().min(40)];
        assert!(push.bind(endpoint).is_err(), "bind to {shown:?}");
        assert!(push.connect(endpoint).is_err(), "connect to {shown:?}");
        assert!(push.unbind(endpoint).is_err(), "unbind from {shown:?}");
        assert!(push.disconnect(endpoint).is_err(), "disconnect from {shown:?}");
        assert!(!push.connect(endpoint).unwrap_err().to_string().is_empty());
    }
}

#[test]
fn unbind_drops_the_connections_accepted_there_and_no_others() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = pull(&ctx);
        let (here, there) =
            (pull.bind("tcp://127.0.0.1:0").unwrap(), pull.bind("tcp://127.0.0.1:0").unwrap());
        let mut accepted_here: Vec<_> = (0..3).map(|_| raw::Peer::dial(&here, "PUSH")).collect();
        let mut accepted_there = raw::Peer::dial(&there, "PUSH");
        let mut in_handshake = raw::Peer::connect(&here);
        in_handshake.read(10);
        pull.wait_connected(4, PATIENCE).unwrap();

        pull.unbind(&here).unwrap();
        accepted_here.iter_mut().for_each(|peer| peer.expect_closed(PATIENCE));
        in_handshake.expect_closed(PATIENCE);
        eventually("only one peer is left", || pull.stats().peers == 1);
        std::net::TcpStream::connect(raw::address(&here)).expect_err("nobody listens there any more");

        accepted_there.send(&[b"still here"]);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "still here");
    });
}

#[test]
fn unbind_frees_the_address_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let sockets = [pull(&ctx), pull(&ctx)];
        let mut at = sockets[1].bind("tcp://127.0.0.1:0").unwrap();
        for turn in 0..20 {
            let push = push(&ctx);
            push.connect(&at).unwrap();
            assert_joined(&push, &sockets[(turn + 1) % 2]);
            sockets[(turn + 1) % 2].unbind(&at).unwrap();
            at = sockets[turn % 2].bind(&at).unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        }
    });
}

#[test]
fn close_frees_the_address_at_once() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let mut old = pull(&ctx);
        let at = old.bind("tcp://127.0.0.1:0").unwrap();
        for turn in 0..20 {
            let push = push(&ctx);
            push.connect(&at).unwrap();
            assert_joined(&push, &old);
            drop(old.close(Duration::ZERO));
            old = pull(&ctx);
            old.bind(&at).unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        }
    });
}

#[test]
fn a_dropped_socket_frees_its_address_soon() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let old = pull(&ctx);
        let at = old.bind("tcp://127.0.0.1:0").unwrap();
        drop(old);
        let new = pull(&ctx);
        eventually("the address is free", || new.bind(&at).is_ok());
    });
}

#[test]
fn unknown_endpoints_cannot_be_unbound_or_disconnected() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = pair(&ctx);
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();
        for unknown in ["tcp://127.0.0.1:0", "tcp://*:5555", "tcp://127.0.0.1:1"] {
            assert!(matches!(pull.unbind(unknown), Err(DetachError::Unknown(_))), "{unknown}");
            assert!(matches!(push.disconnect(unknown), Err(DetachError::Unknown(_))), "{unknown}");
        }
        assert!(matches!(pull.disconnect(&at), Err(DetachError::Unknown(_))), "bound, not connected");
        assert!(matches!(push.unbind(&at), Err(DetachError::Unknown(_))), "connected, not bound");
        pull.unbind(&at).unwrap();
        push.disconnect(&at).unwrap();
        assert!(matches!(pull.unbind(&at), Err(DetachError::Unknown(_))), "no longer bound");
        assert!(matches!(push.disconnect(&at), Err(DetachError::Unknown(_))), "no longer connected");
        assert_joined(&push, &pull); // by the first connection
    });
}

#[test]
fn after_disconnect_a_send_waits_for_another_peer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        push.connect(&at).unwrap();
        assert_joined(&push, &pull);
        push.disconnect(&at).unwrap();
        assert_eq!(push.try_send("to nobody").unwrap_err().reason(), Refusal::Full);
        assert_eq!(
            push.send_timeout("x", Duration::from_millis(20)).unwrap_err().reason(),
            Refusal::TimedOut
        );
        eventually("the connection is gone on both sides", || push.stats().peers + pull.stats().peers == 0);
        thread::scope(|scope| {
            let waiting = common::blocked(scope, || push.send("to whoever comes"));
            push.connect(&at).unwrap();
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "to whoever comes");
    });
}

#[test]
fn what_a_disconnected_peer_was_to_get_goes_to_the_next() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let port = DeadPort::new();
        push.connect(port.endpoint()).unwrap();
        for number in 0..10 {
            push.try_send(number.to_string()).unwrap();
        }
        push.disconnect(port.endpoint()).unwrap();
        let stats = push.stats();
        assert_eq!((stats.accepted, stats.queued, stats.dropped.total()), (10, 10, 0));
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.send("10").unwrap();
        for number in 0..=10 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_string().as_str());
        }
    });
}

#[test]
fn what_had_been_received_before_a_disconnect_can_still_be_read() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        pull.connect(&at).unwrap();
        for number in 0..10 {
            push.send(number.to_string()).unwrap();
        }
        eventually("all have come", || pull.stats().waiting == 10);
        pull.disconnect(&at).unwrap();
        eventually("the connection is gone", || push.stats().peers == 0);
        for number in 0..10 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_string().as_str());
        }
        assert_eq!(pull.try_recv().unwrap_err(), RecvError::Empty);
    });
}

#[test]
fn what_a_peer_sent_before_it_left_can_still_be_read() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = pull(&ctx);
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = raw::Peer::dial(&at, "PUSH");
        for number in 0..100_u8 {
            peer.send(&[&[number]]);
        }
        peer.write(&raw::frame(raw::MORE, b"the first part of a message that never ends"));
        drop(peer);
        eventually("the peer is gone", || pull.stats().received == 100 && pull.stats().peers == 0);
        for number in 0..100_u8 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), Message::from(&[number]));
        }
        assert_eq!(pull.try_recv().unwrap_err(), RecvError::Empty, "half a message is none");
    });
}

#[test]
fn a_socket_that_dials_itself_comes_to_no_harm() {
    within(PATIENCE, || {
        // PUSH to PUSH is no legal pair, so it must neither connect nor harm the socket.
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        push.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        assert!(push.wait_connected(1, Duration::from_millis(50)).is_err());
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        assert_eq!(push.stats().peers, 1);
    });
}

#[test]
fn a_context_that_ends_at_once_leaves_no_port_behind() {
    within(2 * PATIENCE, || {
        for turn in 0..300 {
            let ctx = Context::new().unwrap();
            let pull = ctx.socket::<Pull>().build().unwrap();
            let at = pull.bind("tcp://127.0.0.1:0").unwrap();
            drop(pull);
            drop(ctx);
            let address = at.to_string().replace("tcp://", "");
            TcpListener::bind(address).unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        }
    });
}
