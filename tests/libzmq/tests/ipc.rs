//! Unix domain sockets between libzmq and ferromq: both roles, both directions, paths and abstract names.
#![cfg(unix)]

mod common;

use std::process;

use common::{BOTH_ROLES, Binds, PATIENCE, ours_pull, ours_push, within, zmq_socket};
use ferromq::{Context, Endpoint, Message};

/// The places to meet at, new ones each time.
fn places(direction: &str, binds: Binds) -> Vec<String> {
    let name = format!("fmq-zmq-{}-{direction}-{binds:?}", process::id());
    let path = format!("ipc://{}", std::env::temp_dir().join(&name).display());
    if cfg!(target_os = "linux") { vec![path, format!("ipc://@{name}")] } else { vec![path] }
}

/// Removes the file of a place, which libzmq leaves there.
fn clear(place: &str) {
    let _gone = std::fs::remove_file(place.trim_start_matches("ipc://"));
}

fn bodies() -> Vec<Vec<u8>> {
    [0, 1, 300, 1 << 20].map(|octets| vec![7; octets]).to_vec()
}

#[test]
fn a_push_of_ours_and_a_pull_of_theirs_meet() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            for place in places("to-theirs", binds) {
                let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
                let (ours, theirs) = (ours_push(&ctx), zmq_socket(&zmq, zmq::PULL));
                match binds {
                    Binds::Ours => theirs.connect(&ours.bind(&place).unwrap().to_string()).unwrap(),
                    Binds::Theirs => {
                        theirs.bind(&place).unwrap();
                        ours.connect(theirs.get_last_endpoint().unwrap().unwrap()).unwrap();
                    }
                }
                bodies()
                    .into_iter()
                    .for_each(|body| ours.send(Message::from(vec![body.clone(), body])).unwrap());
                for body in bodies() {
                    assert!(theirs.recv_multipart(0).unwrap() == [body.clone(), body], "{place}, {binds:?}");
                }
                clear(&place);
            }
        }
    });
}

#[test]
fn a_push_of_theirs_and_a_pull_of_ours_meet() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            for place in places("to-ours", binds) {
                let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
                let (ours, theirs) = (ours_pull(&ctx), zmq_socket(&zmq, zmq::PUSH));
                match binds {
                    Binds::Ours => theirs.connect(&ours.bind(&place).unwrap().to_string()).unwrap(),
                    Binds::Theirs => {
                        theirs.bind(&place).unwrap();
                        ours.connect(&place).unwrap();
                    }
                }
                bodies().into_iter().for_each(|body| theirs.send(body, 0).unwrap());
                for body in bodies() {
                    assert!(ours.recv_timeout(PATIENCE).unwrap() == body[..], "{place}, {binds:?}");
                }
                clear(&place);
            }
        }
    });
}

#[test]
fn where_they_bind_by_themselves_we_can_connect() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let (ours, theirs) = (ours_push(&ctx), zmq_socket(&zmq, zmq::PULL));
        theirs.bind("ipc://*").unwrap();
        let place: Endpoint = theirs.get_last_endpoint().unwrap().unwrap().parse().unwrap();
        ours.connect(place).unwrap();
        ours.send("found").unwrap();
        assert_eq!(theirs.recv_bytes(0).unwrap(), b"found");
    });
}
