//! A million messages through sockets whose senders and receivers drop their futures as they like: none is lost, none
//! comes twice.

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Rng, link, number_of, numbered, poll_once, within};
use ferromq::{
    Context, Dealer, Message, Overflow, Pub, Pull, Push, Receives, RecvError, Router, Sends, Socket, Sub,
};
use futures_executor::block_on;

const ALL: u32 = 1_000_000;
const SENDERS: u32 = 2;
const RECEIVERS: u32 = 2;

/// How the messages look to the sockets at either end, with the routing ids that one of them wants to see.
#[derive(Clone, Copy, Default)]
struct Way {
    to: Option<&'static str>,
    from: Option<&'static str>,
}

/// Sends its share. A future that was dropped before it was ready has sent nothing, so the same number is sent again;
/// were it sent nevertheless, it would come twice.
fn send<T: Sends>(socket: &Socket<T>, way: Way, sender: u32, count: u32) {
    let mut rng = Rng(sender.into());
    for number in 0..count {
        let mut message = numbered(sender, number, 0);
        if let Some(id) = way.to {
            message.push_front(id);
        }
        while !sends(socket, &message, &mut rng) {
            thread::yield_now();
        }
    }
}

/// Polls a sending future some times and drops it, unless it gets ready. Tells whether it has.
fn sends<T: Sends>(socket: &Socket<T>, message: &Message, rng: &mut Rng) -> bool {
    let mut sending = pin!(socket.send_async(message.clone()));
    for _ in 0..=rng.below(3) {
        if let Some(result) = poll_once(sending.as_mut()) {
            result.unwrap();
            return true;
        }
    }
    let stays = rng.one_in(2);
    if stays {
        block_on(sending).unwrap();
    }
    stays
}

/// Receives until all have come, and counts how often each of them came.
fn receive<T: Receives>(socket: &Socket<T>, way: Way, receiver: u32, left: &AtomicU32, each: u32) -> Vec<u8> {
    let mut rng = Rng(u64::from(receiver) << 32);
    let mut times = vec![0; (SENDERS * each) as usize];
    let mut last = [None; SENDERS as usize];
    loop {
        match receives(socket, &mut rng) {
            Ok(message) => {
                let body = match way.from {
                    Some(id) => {
                        let (front, body) = message.split_front();
                        assert_eq!(front, id);
                        body.unwrap()
                    }
                    None => message,
                };
                let (sender, number) = number_of(&body);
                let before = last[sender as usize].replace(number);
                assert!(before < Some(number), "sender {sender}: {number} came after {before:?}");
                times[(sender * each + number) as usize] += 1;
                if left.fetch_sub(1, SeqCst) == 1 {
                    drop(socket.close(Duration::ZERO)); // which ends the wait of the others
                }
            }
            Err(RecvError::Empty) => thread::yield_now(),
            Err(error) => {
                assert_eq!(error, RecvError::Closed);
                return times;
            }
        }
    }
}

/// Polls a receiving future some times and drops it, unless it gets ready.
fn receives<T: Receives>(socket: &Socket<T>, rng: &mut Rng) -> Result<Message, RecvError> {
    let mut receiving = pin!(socket.recv_async());
    for _ in 0..=rng.below(3) {
        if let Some(result) = poll_once(receiving.as_mut()) {
            return result;
        }
    }
    if rng.one_in(2) { block_on(receiving) } else { Err(RecvError::Empty) }
}

fn all_come_once<S: Sends, R: Receives>(from: &Socket<S>, to: &Socket<R>, way: Way, all: u32) {
    let each = all / SENDERS;
    let left = &AtomicU32::new(all);
    let mut times = vec![0; all as usize];
    thread::scope(|scope| {
        let receivers: Vec<_> =
            (0..RECEIVERS).map(|n| scope.spawn(move || receive(to, way, n, left, each))).collect();
        for sender in 0..SENDERS {
            scope.spawn(move || send(from, way, sender, each));
        }
        for receiver in receivers {
            let came = receiver.join().unwrap();
            times.iter_mut().zip(came).for_each(|(sum, more)| *sum += more);
        }
    });
    let wrong = times.iter().position(|times| *times != 1);
    assert_eq!(wrong, None, "one of them came twice or never");
    let (sent, received) = (from.stats(), to.stats());
    assert_eq!((sent.accepted, sent.dropped.total()), (all.into(), 0), "{sent:?}");
    assert_eq!((received.delivered, received.discarded), (all.into(), 0), "{received:?}");
}

#[test]
fn from_push_to_pull() {
    within(6 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (ctx.socket::<Push>().build().unwrap(), ctx.socket::<Pull>().build().unwrap());
        link(&pull, &push);
        all_come_once(&push, &pull, Way::default(), ALL);
    });
}

#[test]
fn from_dealer_to_router_and_back() {
    within(6 * PATIENCE, || {
        for back in [false, true] {
            let ctx = Context::new().unwrap();
            let dealer = ctx.socket::<Dealer>().routing_id("D").build().unwrap();
            let router = ctx.socket::<Router>().build().unwrap();
            link(&router, &dealer);
            if back {
                all_come_once(&router, &dealer, Way { to: Some("D"), from: None }, ALL / 2);
            } else {
                all_come_once(&dealer, &router, Way { to: None, from: Some("D") }, ALL / 2);
            }
        }
    });
}

#[test]
fn from_pub_to_sub() {
    within(6 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().overflow(Overflow::Block).build().unwrap();
        let sub = ctx.socket::<Sub>().subscribe("").build().unwrap();
        link(&publisher, &sub);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        all_come_once(&publisher, &sub, Way::default(), ALL);
    });
}
