//! Sockets of ferromq as ends of a pair.

use std::sync::Arc;
use std::time::Duration;

use ferromq::{
    Builder, Context, Dealer, Endpoint, Identifies, Kind, Message, Pair, Pub, Pull, Push, Receives,
    RecvError, Rep, Req, Router, SendError, Sends, Socket, SocketType, Stats, Sub, XPub, XSub,
};

use super::{End, Library, Parts};
use crate::common::PATIENCE;

/// Makes sockets of a context of ours.
pub struct Ours(pub Context);

impl Library for Ours {
    fn socket(&self, kind: SocketType, name: &str) -> Box<dyn End> {
        let name = name.to_owned();
        Box::new(match kind {
            SocketType::Pair => Untyped::both(self.builder::<Pair>()),
            SocketType::Pub => Untyped::sender(self.builder::<Pub>()),
            SocketType::Sub => Untyped::sub(self.builder()),
            SocketType::Req => Untyped::both(self.named::<Req>(name)),
            SocketType::Rep => Untyped::both(self.builder::<Rep>()),
            SocketType::Dealer => Untyped::both(self.named::<Dealer>(name)),
            SocketType::Router => Untyped::router(self.named(name)),
            SocketType::Pull => Untyped::receiver(self.builder::<Pull>()),
            SocketType::Push => Untyped::sender(self.builder::<Push>()),
            SocketType::XPub => Untyped::both(self.builder::<XPub>()),
            SocketType::XSub => Untyped::both(self.builder::<XSub>()),
            other => panic!("{other} is new to the matrix"),
        })
    }
}

impl Ours {
    fn builder<T: Kind>(&self) -> Builder<T> {
        let soon = Duration::from_millis(10);
        self.0.socket::<T>().linger(Duration::ZERO).reconnect_interval(soon).reconnect_max(2 * soon)
    }

    fn named<T: Identifies>(&self, name: String) -> Builder<T> {
        self.builder().routing_id(name)
    }
}

/// A socket, and what it can do.
struct Untyped {
    socket: Arc<dyn Any>,
    sends: Option<Arc<dyn Sending>>,
    receives: Option<Arc<dyn Receiving>>,
    sub: Option<Arc<Socket<Sub>>>,
    router: Option<Arc<Socket<Router>>>,
}

/// Any [`Socket`].
trait Any {
    fn kind(&self) -> SocketType;
    fn bind(&self, place: &str) -> Endpoint;
    fn connect(&self, at: &str);
    fn disconnect(&self, at: &str);
    fn stats(&self) -> Stats;
}

trait Sending {
    fn send(&self, message: Message) -> Result<(), SendError>;
    fn try_send(&self, message: Message) -> Result<(), SendError>;
}

trait Receiving {
    fn recv(&self) -> Result<Message, RecvError>;
    fn try_recv(&self) -> Result<Message, RecvError>;
}

impl<T: Kind> Any for Socket<T> {
    fn kind(&self) -> SocketType {
        self.socket_type()
    }

    fn bind(&self, place: &str) -> Endpoint {
        self.bind(place).unwrap()
    }

    fn connect(&self, at: &str) {
        self.connect(at).unwrap();
    }

    fn disconnect(&self, at: &str) {
        self.disconnect(at).unwrap();
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

impl<T: Sends> Sending for Socket<T> {
    fn send(&self, message: Message) -> Result<(), SendError> {
        self.send_timeout(message, PATIENCE)
    }

    fn try_send(&self, message: Message) -> Result<(), SendError> {
        self.try_send(message)
    }
}

impl<T: Receives> Receiving for Socket<T> {
    fn recv(&self) -> Result<Message, RecvError> {
        self.recv_timeout(PATIENCE)
    }

    fn try_recv(&self) -> Result<Message, RecvError> {
        self.try_recv()
    }
}

impl Untyped {
    fn new<T: Kind + 'static>(builder: Builder<T>) -> (Self, Arc<Socket<T>>) {
        let socket = Arc::new(builder.build().unwrap());
        let this = Self { socket: socket.clone(), sends: None, receives: None, sub: None, router: None };
        (this, socket)
    }

    fn sender<T: Sends + 'static>(builder: Builder<T>) -> Self {
        let (this, socket) = Self::new(builder);
        Self { sends: Some(socket), ..this }
    }

    fn receiver<T: Receives + 'static>(builder: Builder<T>) -> Self {
        let (this, socket) = Self::new(builder);
        Self { receives: Some(socket), ..this }
    }

    fn both<T: Sends + Receives + 'static>(builder: Builder<T>) -> Self {
        let (this, socket) = Self::new(builder);
        Self { sends: Some(socket.clone()), receives: Some(socket), ..this }
    }

    fn sub(builder: Builder<Sub>) -> Self {
        let (this, socket) = Self::new(builder);
        Self { receives: Some(socket.clone()), sub: Some(socket), ..this }
    }

    fn router(builder: Builder<Router>) -> Self {
        let (this, socket) = Self::new(builder);
        Self { sends: Some(socket.clone()), receives: Some(socket.clone()), router: Some(socket), ..this }
    }
}

impl End for Untyped {
    fn kind(&self) -> SocketType {
        self.socket.kind()
    }

    fn bind(&self, place: &str) -> String {
        self.socket.bind(place).to_string()
    }

    fn connect(&self, at: &str) {
        self.socket.connect(at);
    }

    fn connect_as(&self, at: &str, name: &str) {
        let router = self.router.as_ref().expect("a ROUTER");
        router.connect_as(at, name).unwrap();
    }

    fn disconnect(&self, at: &str) {
        self.socket.disconnect(at);
    }

    fn send(&self, parts: &[Vec<u8>]) {
        self.sends.as_ref().expect("a sender").send(parts.to_vec().into()).unwrap();
    }

    fn try_send(&self, parts: &[Vec<u8>]) -> bool {
        self.sends.as_ref().is_some_and(|socket| socket.try_send(parts.to_vec().into()).is_ok())
    }

    fn recv(&self) -> Parts {
        into_parts(self.receives.as_ref().expect("a receiver").recv().unwrap())
    }

    fn try_recv(&self) -> Option<Parts> {
        self.receives.as_ref()?.try_recv().ok().map(into_parts)
    }

    fn subscribe(&self, topic: &[u8]) {
        self.sub.as_ref().expect("a SUB").subscribe(topic).unwrap();
    }

    fn unsubscribe(&self, topic: &[u8]) {
        self.sub.as_ref().expect("a SUB").unsubscribe(topic).unwrap();
    }

    fn expect_refusal(&self) {
        let stats = self.socket.stats();
        assert_eq!(
            (stats.peers, stats.written, stats.received),
            (0, 0, 0),
            "{} let a stranger in",
            self.kind()
        );
    }

    fn peers(&self) -> usize {
        self.socket.stats().peers
    }
}

fn into_parts(message: Message) -> Parts {
    message.parts().map(<[u8]>::to_vec).collect()
}
