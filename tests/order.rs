//! Nothing is lost, nothing comes twice, and each receiver sees the messages of each sender in order: eight threads
//! share one PUSH, four PULLs share the work, and they block, poll, time out and are cancelled as they like.

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Rng, Tally, eventually, eventually_within, numbered, poll_once, within};
use ferromq::{Context, Message, Pull, Push, RecvError, Refusal, Socket};
use futures_executor::block_on;

const SENDERS: u32 = 8;
const RECEIVERS: u32 = 4;
const EACH: u32 = 125_000;

#[test]
fn a_million_messages_of_eight_threads_reach_four_receivers_in_order_and_once() {
    within(Duration::from_secs(120), || share_the_work(1000, EACH));
}

/// Full queues all the time, so that every way of waiting at the mark is taken often.
#[test]
fn the_same_holds_when_every_queue_is_nearly_always_full() {
    within(Duration::from_secs(120), || share_the_work(2, EACH / 10));
}

fn share_the_work(mark: usize, each: u32) {
    let ctx = Context::new().unwrap();
    let push = &ctx.socket::<Push>().send_hwm(mark).build().unwrap();
    let at = push.bind("tcp://127.0.0.1:0").unwrap();
    let pulls: Vec<Socket<Pull>> = (0..RECEIVERS)
        .map(|_| {
            let pull = ctx.socket::<Pull>().recv_hwm(mark).build().unwrap();
            pull.connect(&at).unwrap();
            pull
        })
        .collect();
    push.wait_connected(RECEIVERS as usize, PATIENCE).unwrap();

    let total = u64::from(SENDERS * each);
    let received = &AtomicU64::new(0);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let receivers: Vec<_> =
            pulls.iter().zip(0..).map(|(pull, n)| scope.spawn(move || receive(pull, n, received))).collect();
        for sender in 0..SENDERS {
            scope.spawn(move || send(push, sender, each));
        }
        eventually_within(Duration::from_secs(100), "everything has come", || {
            received.load(Relaxed) >= total
        });
        eventually("nothing is under way", || {
            push.stats().queued == 0 && pulls.iter().all(|pull| pull.stats().waiting == 0)
        });
        for pull in &pulls {
            drop(pull.close(Duration::ZERO)); // ends the receivers
        }
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).collect()
    });

    tallies.iter().for_each(Tally::assert_in_order);
    Tally::assert_complete(&tallies, SENDERS, each);
    assert!(tallies.iter().all(|tally| !tally.0.is_empty()), "one of the receivers got nothing at all");
    let stats = push.stats();
    assert_eq!((stats.accepted, stats.written, stats.queued), (total, total, 0));
}

/// Sends its messages in order, each in the manner that the dice say.
fn send(push: &Socket<Push>, sender: u32, each: u32) {
    let mut rng = Rng(sender.into());
    for number in 0..each {
        let message = numbered(sender, number, 0);
        match rng.below(4) {
            0 => push.send(message).unwrap(),
            1 => send_with_patience(push, message, &mut rng),
            2 => send_or_turn_to_blocking(push, message),
            _ => send_with_cancellation(push, message, &mut rng),
        }
    }
}

fn send_with_patience(push: &Socket<Push>, mut message: Message, rng: &mut Rng) {
    while let Err(error) = push.send_timeout(message, Duration::from_micros(rng.below(3000))) {
        assert_eq!(error.reason(), Refusal::TimedOut);
        message = error.into_message();
    }
}

fn send_or_turn_to_blocking(push: &Socket<Push>, message: Message) {
    if let Err(error) = push.try_send(message) {
        assert_eq!(error.reason(), Refusal::Full);
        push.send(error.into_message()).unwrap();
    }
}

/// A future that was dropped before it was ready has sent nothing, so its message has to be sent again; were it sent
/// nevertheless, it would come twice.
fn send_with_cancellation(push: &Socket<Push>, message: Message, rng: &mut Rng) {
    loop {
        let mut sending = pin!(push.send_async(message.clone()));
        match poll_once(sending.as_mut()) {
            Some(result) => return result.unwrap(),
            None if rng.one_in(2) => return block_on(sending).unwrap(),
            None => {}
        }
    }
}

/// Receives until the socket is closed, each time in the manner that the dice say; receiver 0 only ever blocks.
fn receive(pull: &Socket<Pull>, receiver: u32, received: &AtomicU64) -> Tally {
    let mut rng = Rng(u64::from(receiver) << 32);
    let mut tally = Tally::default();
    loop {
        let result = match rng.below(4).min(receiver.into()) {
            0 => pull.recv(),
            1 => pull.recv_timeout(Duration::from_micros(rng.below(2000))),
            2 => pull.try_recv(),
            _ => receive_with_cancellation(pull, &mut rng),
        };
        match result {
            Ok(message) => {
                tally.note(&message);
                received.fetch_add(1, Relaxed);
            }
            Err(RecvError::Closed) => return tally,
            Err(_) => {}
        }
    }
}

fn receive_with_cancellation(pull: &Socket<Pull>, rng: &mut Rng) -> Result<Message, RecvError> {
    let mut receiving = pin!(pull.recv_async());
    match poll_once(receiving.as_mut()) {
        Some(result) => result,
        None if rng.one_in(2) => block_on(receiving),
        None => Err(RecvError::Empty), // dropped
    }
}
