//! Every order in which the parts of a program can end, with messages on their way.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{self, Waker};

use super::*;
use crate::endpoint::Endpoint;
use crate::poller::Poller;
use crate::socket::{Dealer, Interest, Socket};

/// What ends, in some order.
const PARTS: [&str; 7] = ["context", "socket a", "socket b", "send", "receive", "poller", "monitor"];

/// A program in the middle of its work.
struct World {
    parts: Vec<Option<Box<dyn Send>>>,
    left: Vec<Weak<dyn Send + Sync>>,
    members: Vec<Weak<dyn Member>>,
    context: Context,
    name: Endpoint,
}

type InFlight = Pin<Box<dyn Future<Output = bool> + Send>>;

/// A future that waits. It has a handle of its own to its socket.
fn started<F>(socket: &Arc<Socket<Dealer>>, call: impl FnOnce(Arc<Socket<Dealer>>) -> F) -> Box<InFlight>
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut future: InFlight = Box::pin(call(socket.clone()));
    assert!(future.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    Box::new(future)
}

impl World {
    /// Two sockets, the queues between which are full if there are `messages`.
    fn new(messages: bool) -> Self {
        let context = Context::new().unwrap();
        let build = || Arc::new(context.socket::<Dealer>().send_hwm(1).recv_hwm(1).build().unwrap());
        let (a, b) = (build(), build());
        let monitor = a.monitor();
        let name = a.bind("inproc://name").unwrap();
        b.connect(&name).unwrap();
        // One that has been woken and not been polled again, if there are messages.
        let receive = started(&b, |b| async move { b.recv_async().await.is_ok() });
        if messages {
            (0..).take_while(|_| a.try_send("on its way").is_ok()).count();
            assert!(a.stats().queued == 1 && b.stats().waiting == 1);
        }
        let send = started(&a, move |a| async move {
            if messages {
                a.send_async("not accepted yet").await.is_ok()
            } else {
                a.recv_async().await.is_ok()
            }
        });
        let mut poller = Poller::new();
        poller.add(&a, 0, Interest::BOTH).unwrap();
        poller.add(&b, 1, Interest::READABLE).unwrap();
        poller.wait(&mut Vec::new(), Some(Duration::ZERO)).unwrap();

        let members = lock(&context.0.members).clone().unwrap();
        assert_eq!(members.len(), 2);
        let left: Vec<Weak<dyn Send + Sync>> = vec![
            Arc::downgrade(&context.0) as _,
            Arc::downgrade(&context.0.hub) as _,
            context.0.reactors[0].handle().remains(),
        ];
        let parts: [Box<dyn Send>; PARTS.len()] = [
            Box::new(context.clone()),
            Box::new(a),
            Box::new(b),
            send,
            receive,
            Box::new(poller),
            Box::new(monitor),
        ];
        Self { parts: parts.into_iter().map(Some).collect(), left, members, context, name }
    }

    /// Ends all in this order, and sees whether anything is left.
    fn end(self, order: &[usize]) {
        let Self { mut parts, left, members, context, .. } = self;
        drop(context);
        order.iter().for_each(|part| drop(parts[*part].take()));
        assert!(members.iter().all(|member| member.strong_count() == 0), "a socket is left");
        let names = ["the context", "its names", "its reactor"];
        left.iter().zip(names).for_each(|(left, name)| assert_eq!(left.strong_count(), 0, "{name}"));
    }
}

/// The orders of `PARTS`, each once.
fn orders() -> impl Iterator<Item = Vec<usize>> {
    let count: usize = (1..=PARTS.len()).product();
    (0..count).map(|mut number| {
        let mut left: Vec<usize> = (0..PARTS.len()).collect();
        let mut next = |of: usize| {
            let choice = number % of;
            number /= of;
            left.remove(choice)
        };
        (1..=PARTS.len()).rev().map(&mut next).collect()
    })
}

/// Tries every order, on two threads, none of which may hang or panic.
fn in_every_order(try_one: impl Fn(&[usize]) + Copy + Send + 'static) {
    let (done, finished) = mpsc::channel();
    for half in 0..2 {
        let done = done.clone();
        thread::spawn(move || {
            for order in orders().skip(half).step_by(2) {
                let names: Vec<&str> = order.iter().map(|part| PARTS[*part]).collect();
                done.send(names).unwrap();
                try_one(&order);
            }
        });
    }
    drop(done);
    let mut tried = 0;
    let mut last = Vec::new();
    loop {
        match finished.recv_timeout(PATIENCE) {
            Ok(names) => (tried, last) = (tried + 1, names),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("hangs in this order, or the one before: {last:?}")
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    assert_eq!(tried, orders().count(), "panics in this order, or the one before: {last:?}");
}

#[test]
fn everything_can_end_in_every_order_with_messages_on_their_way() {
    in_every_order(|order| World::new(true).end(order));
}

#[test]
fn a_name_is_free_once_all_that_holds_its_socket_is_gone() {
    in_every_order(|order| {
        let mut world = World::new(false);
        let holds = ["socket a", "send"];
        let mut held = holds.len();
        for part in order {
            drop(world.parts[*part].take());
            held -= usize::from(holds.contains(&PARTS[*part]));
            let heir = world.context.socket::<Dealer>().build().unwrap();
            assert_eq!(heir.bind(&world.name).is_ok(), held == 0, "{} was dropped", PARTS[*part]);
        }
    });
}

/// No order takes this long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
