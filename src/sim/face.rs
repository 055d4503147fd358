//! [`Face`]: a socket of any type, as its application sees it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::{BindError, Closed, ConnectError, DetachError, RecvError, SendError};
use crate::message::Message;
use crate::socket::{Dealer, Pair, PeerStats, Pub, Pull, Push, Rep, Req, Router, Socket, Stats, Sub};

/// A socket. What its type cannot do is never asked of it.
pub(super) trait Face {
    fn bind(&self, at: &Endpoint) -> Result<Endpoint, BindError>;
    fn unbind(&self, at: &Endpoint) -> Result<(), DetachError>;
    fn connect(&self, to: &Endpoint) -> Result<(), ConnectError>;
    fn disconnect(&self, from: &Endpoint) -> Result<(), DetachError>;
    fn stats(&self) -> Stats;
    fn peer_stats(&self) -> Vec<PeerStats>;
    fn close(&self, timeout: Duration) -> Closed;
    /// Closes it, and waits without blocking.
    fn closing(&self) -> Task<Closed>;

    fn try_send(&self, _: Message) -> Result<(), SendError> {
        unreachable!("it does not send")
    }

    fn sending(&self, _: Message) -> Task<Result<(), SendError>> {
        unreachable!("it does not send")
    }

    fn try_recv(&self) -> Result<Message, RecvError> {
        unreachable!("it does not receive")
    }

    fn receiving(&self) -> Task<Result<Message, RecvError>> {
        unreachable!("it does not receive")
    }

    fn subscribe(&self, _: &'static str) {
        unreachable!("it does not subscribe")
    }

    fn unsubscribe(&self, _: &'static str) {
        unreachable!("it does not subscribe")
    }
}

macro_rules! sends {
    () => {
        fn try_send(&self, message: Message) -> Result<(), SendError> {
            Socket::try_send(self, message)
        }

        fn sending(&self, message: Message) -> Task<Result<(), SendError>> {
            let socket = self.clone();
            Task::new(async move { socket.send_async(message).await })
        }
    };
}

macro_rules! receives {
    () => {
        fn try_recv(&self) -> Result<Message, RecvError> {
            Socket::try_recv(self)
        }

        fn receiving(&self) -> Task<Result<Message, RecvError>> {
            let socket = self.clone();
            Task::new(async move { socket.recv_async().await })
        }
    };
}

macro_rules! subscribes {
    () => {
        fn subscribe(&self, topic: &'static str) {
            Socket::subscribe(self, topic).expect("the topic is short, and the socket is open");
        }

        fn unsubscribe(&self, topic: &'static str) {
            Socket::unsubscribe(self, topic).expect("the topic is short, and the socket is open");
        }
    };
}

macro_rules! face {
    ($kind:ty: $($can:ident)*) => {
        impl Face for Arc<Socket<$kind>> {
            fn bind(&self, at: &Endpoint) -> Result<Endpoint, BindError> {
                Socket::bind(self, at)
            }

            fn unbind(&self, at: &Endpoint) -> Result<(), DetachError> {
                Socket::unbind(self, at)
            }

            fn connect(&self, to: &Endpoint) -> Result<(), ConnectError> {
                Socket::connect(self, to)
            }

            fn disconnect(&self, from: &Endpoint) -> Result<(), DetachError> {
                Socket::disconnect(self, from)
            }

            fn stats(&self) -> Stats {
                Socket::stats(self)
            }

            fn peer_stats(&self) -> Vec<PeerStats> {
                Socket::peer_stats(self)
            }

            fn close(&self, timeout: Duration) -> Closed {
                Socket::close(self, timeout)
            }

            fn closing(&self) -> Task<Closed> {
                let socket = self.clone();
                Task::new(async move { socket.close_async().await })
            }

            $($can!();)*
        }
    };
}

face!(Push: sends);
face!(Pull: receives);
face!(Pub: sends);
face!(Sub: receives subscribes);
face!(Req: sends receives);
face!(Rep: sends receives);
face!(Dealer: sends receives);
face!(Router: sends receives);
face!(Pair: sends receives);

/// A future under an executor that polls it when it was woken, and only then.
pub(super) struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<T> Task<T> {
    fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(future), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    /// Polls it if it was woken. `Some` ends it.
    pub(super) fn run(&mut self) -> Option<T> {
        if !self.woken.0.swap(false, Ordering::SeqCst) {
            return None;
        }
        match self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(self.woken.clone()))) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
