//! libzmq, as its bindings build it.

use std::thread;
use std::time::Instant;

use zmq::{Context, DONTWAIT, Message, Socket, SocketType};

use crate::role::{Job, Meter, Role, report_trips, send_ends};

pub fn run(job: &Job) {
    let context = Context::new();
    let socket = |kind: SocketType| context.socket(kind).unwrap();
    let bound = |kind| {
        let socket = socket(kind);
        socket.bind(&job.endpoint).unwrap();
        socket
    };
    let connected = |kind| {
        let socket = socket(kind);
        socket.connect(&job.endpoint).unwrap();
        socket
    };
    match job.role {
        Role::Pull => receive(&bound(SocketType::PULL), job),
        Role::FanPull => receive(&connected(SocketType::PULL), job),
        Role::Sub => {
            let subscriber = socket(SocketType::SUB);
            subscriber.set_rcvhwm(0).unwrap();
            subscriber.set_subscribe(b"").unwrap();
            subscriber.connect(&job.endpoint).unwrap();
            receive(&subscriber, job);
        }
        Role::Push => send(&connected(SocketType::PUSH), job),
        Role::Pub => {
            // Without a mark, for at that it drops: the bindings have no option to wait. XPUB tells of its subscribers.
            let publisher = socket(SocketType::XPUB);
            publisher.set_sndhwm(0).unwrap();
            publisher.set_xpub_verbose(true).unwrap();
            publisher.bind(&job.endpoint).unwrap();
            (0..job.peers).for_each(|_| drop(publisher.recv_bytes(0).unwrap()));
            send_to_all(&publisher, job);
        }
        Role::FanPush => {
            let push = bound(SocketType::PUSH);
            // It cannot say who is connected.
            thread::sleep(std::time::Duration::from_millis(500));
            send_to_all(&push, job);
        }
        Role::Rep => {
            let rep = bound(SocketType::REP);
            for _ in 0..job.count {
                let request = rep.recv_msg(0).unwrap();
                rep.send(request, 0).unwrap();
            }
        }
        Role::Req => {
            let req = connected(SocketType::REQ);
            let (request, mut answer) = (vec![b'x'; job.size], Message::new());
            // The first one waits for the connection.
            req.send(&request, 0).unwrap();
            req.recv(&mut answer, 0).unwrap();
            let start = Instant::now();
            for _ in 1..job.count {
                req.send(&request, 0).unwrap();
                req.recv(&mut answer, 0).unwrap();
                assert_eq!(answer.len(), job.size);
            }
            report_trips(job.count - 1, start.elapsed());
        }
        Role::Inproc => {
            let (pull, push) = (socket(SocketType::PULL), socket(SocketType::PUSH));
            pull.bind("inproc://bench").unwrap();
            push.connect("inproc://bench").unwrap();
            thread::scope(|scope| {
                scope.spawn(move || send(&push, job));
                receive(&pull, job);
            });
        }
    }
}

fn send(socket: &Socket, job: &Job) {
    let payload = vec![b'x'; job.size];
    (0..job.count).for_each(|_| socket.send(&payload, 0).unwrap());
}

/// Sends to many, and has each of them know that it is over.
fn send_to_all(socket: &Socket, job: &Job) {
    send(socket, job);
    send_ends(|end| _ = socket.send(end, DONTWAIT));
    socket.set_linger(0).unwrap();
}

fn receive(socket: &Socket, job: &Job) {
    let (mut meter, mut message) = (Meter::new(job), Message::new());
    loop {
        socket.recv(&mut message, 0).unwrap();
        if meter.is_last(&message) {
            break;
        }
    }
    meter.report();
}
