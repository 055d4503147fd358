//! omq on tokio, in its fastest form: `async` on the caller's own thread.

use std::thread;
use std::time::{Duration, Instant};

use omq_tokio::{Endpoint, Error, Message, Options, Socket, SocketType, TrySendError};
use tokio::runtime::Builder;

use crate::role::{Job, Meter, PATIENCE, Role, report_trips, send_ends};

pub fn run(job: &Job) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(play(job));
}

async fn play(job: &Job) {
    let at: Endpoint = job.endpoint.parse().unwrap();
    let options = || Options::default().linger_forever();
    let socket = |kind| Socket::new(kind, options());
    match job.role {
        Role::Pull => {
            let pull = socket(SocketType::Pull);
            pull.bind(at).await.unwrap();
            receive(&pull, job).await;
        }
        Role::FanPull => {
            let pull = socket(SocketType::Pull);
            pull.connect(at).await.unwrap();
            receive(&pull, job).await;
        }
        Role::Sub => {
            let subscriber = socket(SocketType::Sub);
            subscriber.connect(at).await.unwrap();
            subscriber.subscribe("").await.unwrap();
            receive(&subscriber, job).await;
        }
        Role::Push => {
            let push = socket(SocketType::Push);
            push.connect(at).await.unwrap();
            send(&push, job).await;
            push.close().await.unwrap();
        }
        Role::Pub => {
            let mut options = options();
            options.xpub_nodrop = true;
            let publisher = Socket::new(SocketType::Pub, options);
            publisher.bind(at).await.unwrap();
            publisher.wait_subscribed(job.peers as u64, PATIENCE).await.unwrap();
            send(&publisher, job).await;
            ends(&publisher).await;
        }
        Role::FanPush => {
            let push = socket(SocketType::Push);
            push.bind(at).await.unwrap();
            push.wait_connected(job.peers, PATIENCE).await.unwrap();
            send(&push, job).await;
            ends(&push).await;
        }
        Role::Rep => {
            let rep = socket(SocketType::Rep);
            rep.bind(at).await.unwrap();
            for _ in 0..job.count {
                let message = rep.recv().await.unwrap();
                rep.send(message).await.unwrap();
            }
            rep.close().await.unwrap();
        }
        Role::Req => {
            let req = socket(SocketType::Req);
            req.connect(at).await.unwrap();
            req.wait_connected(1, PATIENCE).await.unwrap();
            let request = Message::from_slice(&vec![b'x'; job.size]);
            let start = Instant::now();
            for _ in 0..job.count {
                req.send(request.clone()).await.unwrap();
                assert_eq!(req.recv().await.unwrap().byte_len(), job.size);
            }
            report_trips(job.count, start.elapsed());
        }
        Role::Inproc => unreachable!("not compared"),
    }
}

async fn send(socket: &Socket, job: &Job) {
    let payload = vec![b'x'; job.size];
    let shared = Message::from_slice(&payload);
    let small = job.size <= omq_tokio::message::MAX_INLINE_MESSAGE;
    for _ in 0..job.count {
        let message = if small { Message::from_slice(&payload) } else { shared.clone() };
        match socket.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => socket.send(message).await.unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Takes what is there, and waits when nothing is, as its authors do.
async fn receive(socket: &Socket, job: &Job) {
    let mut meter = Meter::new(job);
    let batch = (64 * 1024 / job.size.max(1)).clamp(1, 128);
    loop {
        let mut message = match socket.try_recv() {
            Ok(message) => message,
            Err(Error::WouldBlock) => socket.recv().await.unwrap(),
            Err(error) => panic!("{error}"),
        };
        for taken in 1.. {
            if meter.is_last(message.part_slice(0).unwrap_or(&[])) {
                return meter.report();
            }
            if taken == batch {
                break;
            }
            match socket.try_recv() {
                Ok(next) => message = next,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn ends(socket: &Socket) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || send_ends(|end| _ = sender.send(Message::from_slice(end))));
    while let Some(end) = receiver.recv().await {
        let _ = socket.try_send(end);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
