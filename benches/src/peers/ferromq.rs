//! ferromq, as it is.

use std::thread;
use std::time::{Duration, Instant};

use ferromq::{Builder, Context, Message, Overflow, Pub, Pull, Push, Receives, Rep, Req, Sends, Socket, Sub};

use crate::role::{Job, Meter, PATIENCE, Role, report_trips, send_ends};

pub fn run(job: &Job) {
    let context = Context::new().unwrap();
    let at = &*job.endpoint;
    match job.role {
        Role::Pull => receive(&bound(context.socket::<Pull>(), at), job),
        Role::Sub => receive(&connected(context.socket::<Sub>().subscribe(""), at), job),
        Role::FanPull => receive(&connected(context.socket::<Pull>(), at), job),
        Role::Push => {
            let push = connected(context.socket::<Push>(), at);
            send(&push, job);
            assert!(push.close(PATIENCE).unsent.is_empty());
        }
        Role::Pub => {
            // Waits for its subscribers, so that they all get everything.
            let publisher = bound(context.socket::<Pub>().overflow(Overflow::Block), at);
            publisher.wait_subscribed(job.peers, PATIENCE).unwrap();
            send_to_all(&publisher, job);
        }
        Role::FanPush => {
            let push = bound(context.socket::<Push>(), at);
            push.wait_connected(job.peers, PATIENCE).unwrap();
            send_to_all(&push, job);
        }
        Role::Rep => {
            let rep = bound(context.socket::<Rep>(), at);
            (0..job.count).for_each(|_| rep.send(rep.recv().unwrap()).unwrap());
            drop(rep.close(PATIENCE));
        }
        Role::Req => {
            let req = connected(context.socket::<Req>(), at);
            req.wait_connected(1, PATIENCE).unwrap();
            let request = Message::from(vec![b'x'; job.size]);
            let start = Instant::now();
            for _ in 0..job.count {
                req.send(&request).unwrap();
                assert_eq!(req.recv().unwrap().byte_len(), job.size);
            }
            report_trips(job.count, start.elapsed());
        }
        Role::Inproc => {
            let pull = bound(context.socket::<Pull>(), "inproc://bench");
            let push = connected(context.socket::<Push>(), "inproc://bench");
            thread::scope(|scope| {
                scope.spawn(|| send(&push, job));
                receive(&pull, job);
            });
        }
    }
}

fn bound<T: ferromq::Kind>(builder: Builder<T>, at: &str) -> Socket<T> {
    let socket = builder.build().unwrap();
    socket.bind(at).unwrap();
    socket
}

fn connected<T: ferromq::Kind>(builder: Builder<T>, at: &str) -> Socket<T> {
    let socket = builder.build().unwrap();
    socket.connect(at).unwrap();
    socket
}

/// A small message is made anew from its bytes, a large one shares them.
fn send<T: Sends>(socket: &Socket<T>, job: &Job) {
    let payload = vec![b'x'; job.size];
    if job.size <= Message::INLINE {
        (0..job.count).for_each(|_| socket.send(&payload[..]).unwrap());
    } else {
        let shared = Message::from(payload);
        (0..job.count).for_each(|_| socket.send(&shared).unwrap());
    }
}

/// Sends to many, and has each of them know that it is over.
fn send_to_all<T: Sends>(socket: &Socket<T>, job: &Job) {
    send(socket, job);
    send_ends(|end| _ = socket.try_send(end));
    drop(socket.close(Duration::ZERO));
}

fn receive<T: Receives>(socket: &Socket<T>, job: &Job) {
    let mut meter = Meter::new(job);
    loop {
        let message = socket.recv().unwrap();
        if meter.is_last(message.part(0).unwrap_or_default()) {
            break;
        }
    }
    meter.report();
}
