//! A socket under attack, of any type, and a good peer that goes on all the while.

use std::time::Duration;

use ferromq::{
    Builder, Context, Dealer, Endpoint, Kind, Message, Monitor, Pub, Pull, Push, Receives, Rep, Req, Router,
    Sends, Socket, Sub, XPub,
};

use crate::common::PATIENCE;

/// What a socket under attack is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Its type.
    pub(crate) socket: &'static str,
    pub(crate) max_message_size: Option<usize>,
    pub(crate) handshake_timeout: Duration,
}

/// A socket under attack.
pub(crate) trait Victim: Send + Sync {
    /// Where strangers can come.
    fn endpoint(&self) -> &Endpoint;
    /// Goes to a stranger.
    fn connect(&self, to: &str);
    /// Gives that up.
    fn disconnect(&self, from: &str);
    /// Peers with a complete handshake, the good one among them.
    fn peers(&self) -> usize;
    /// Serves the good peer once more, and returns what came from others meanwhile.
    fn serve(&self, round: u32) -> Vec<Message>;
}

/// The victim and the good peer; `serve` has them exchange a message.
struct Pair<V: Kind, G: Kind> {
    victim: Socket<V>,
    at: Endpoint,
    good: Socket<G>,
    serve: fn(&Socket<V>, &Socket<G>, Message, &mut Vec<Message>),
}

impl<V: Kind, G: Kind> Victim for Pair<V, G> {
    fn endpoint(&self) -> &Endpoint {
        &self.at
    }

    fn connect(&self, to: &str) {
        self.victim.connect(to).unwrap();
    }

    fn disconnect(&self, from: &str) {
        self.victim.disconnect(from).unwrap();
    }

    fn peers(&self) -> usize {
        self.victim.stats().peers
    }

    fn serve(&self, round: u32) -> Vec<Message> {
        let mut strange = Vec::new();
        (self.serve)(&self.victim, &self.good, format!("good {round}").into(), &mut strange);
        strange
    }
}

/// A victim of this kind with its good peer, and a monitor that has missed nothing.
pub(crate) fn victim(context: &Context, plan: Plan) -> (Box<dyn Victim>, Monitor) {
    match plan.socket {
        "PULL" => join(plan, context.socket::<Pull>(), good(context.socket::<Push>()), take),
        "DEALER" => join(plan, context.socket::<Dealer>(), good(context.socket::<Dealer>()), take),
        "ROUTER" => {
            let dealer = context.socket::<Dealer>().routing_id("good");
            join(plan, context.socket::<Router>(), good(dealer), route)
        }
        "REP" => join(plan, context.socket::<Rep>(), good(context.socket::<Req>()), answer),
        "XPUB" => {
            let sub = context.socket::<Sub>().subscribe("good");
            let (victim, monitor) = join(plan, context.socket::<XPub>(), good(sub), publish);
            assert_eq!(victim.serve(0), ["\u{1}good"], "the subscription of the good peer");
            (victim, monitor)
        }
        "SUB" => {
            let sub = context.socket::<Sub>().subscribe("good").subscribe("81: A");
            join(plan, sub, good(context.socket::<Pub>()), subscribe)
        }
        other => panic!("no victim of type {other}"),
    }
}

fn good<G: Kind>(builder: Builder<G>) -> Socket<G> {
    builder.build().unwrap()
}

fn join<V: Receives + 'static, G: Kind + 'static>(
    plan: Plan,
    builder: Builder<V>,
    good: Socket<G>,
    serve: fn(&Socket<V>, &Socket<G>, Message, &mut Vec<Message>),
) -> (Box<dyn Victim>, Monitor) {
    let builder = builder.handshake_timeout(plan.handshake_timeout).monitor_hwm(100_000);
    let builder = match plan.max_message_size {
        Some(octets) => builder.max_message_size(octets),
        None => builder,
    };
    let victim = builder.build().unwrap();
    let monitor = victim.monitor();
    let at = victim.bind("tcp://127.0.0.1:0").unwrap();
    good.connect(&at).unwrap();
    victim.wait_connected(1, PATIENCE).unwrap();
    good.wait_connected(1, PATIENCE).unwrap();
    (Box::new(Pair { victim, at, good, serve }), monitor)
}

fn take<V: Receives, G: Sends>(
    victim: &Socket<V>,
    good: &Socket<G>,
    message: Message,
    strange: &mut Vec<Message>,
) {
    good.send_timeout(message.clone(), PATIENCE).unwrap();
    until(victim, &message, strange);
}

/// Receives until this message has come, and whatever is left.
fn until<V: Receives>(victim: &Socket<V>, wanted: &Message, strange: &mut Vec<Message>) {
    loop {
        let message = victim.recv_timeout(PATIENCE).expect("the good peer is served");
        if message == *wanted {
            break;
        }
        strange.push(message);
    }
    strange.extend(std::iter::from_fn(|| victim.try_recv().ok()));
}

fn route(router: &Socket<Router>, dealer: &Socket<Dealer>, message: Message, strange: &mut Vec<Message>) {
    dealer.send_timeout(message.clone(), PATIENCE).unwrap();
    let wanted = Message::from([bytes::Bytes::from_static(b"good"), message.clone().into_bytes()]);
    let mut came = Vec::new();
    until(router, &wanted, &mut came);
    strange.extend(came.into_iter().filter_map(|message| message.split_front().1));
    router.send(wanted).unwrap();
    assert_eq!(dealer.recv_timeout(PATIENCE).unwrap(), message);
}

fn answer(rep: &Socket<Rep>, req: &Socket<Req>, message: Message, strange: &mut Vec<Message>) {
    req.send_timeout(message.clone(), PATIENCE).unwrap();
    let mut good = false;
    loop {
        let next = if good { rep.try_recv() } else { rep.recv_timeout(PATIENCE) };
        let Ok(question) = next else { break };
        rep.send(question.clone()).unwrap();
        if question == message {
            good = true;
        } else {
            strange.push(question);
        }
    }
    assert!(good, "the good peer is served");
    assert_eq!(req.recv_timeout(PATIENCE).unwrap(), message);
}

fn publish(xpub: &Socket<XPub>, sub: &Socket<Sub>, message: Message, strange: &mut Vec<Message>) {
    xpub.wait_subscribed(1, PATIENCE).unwrap();
    xpub.send(message.clone()).unwrap();
    assert_eq!(sub.recv_timeout(PATIENCE).unwrap(), message);
    strange.extend(std::iter::from_fn(|| xpub.try_recv().ok()));
}

fn subscribe(sub: &Socket<Sub>, publisher: &Socket<Pub>, message: Message, strange: &mut Vec<Message>) {
    publisher.wait_subscribed(1, PATIENCE).unwrap();
    publisher.send(message.clone()).unwrap();
    until(sub, &message, strange);
}
