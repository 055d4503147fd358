//! [`Bells`]: how a poller hears which of its sockets may have become ready.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::lock::lock;
use crate::slots::Id;

/// Gathers what has rung, so that a wait looks at those sockets and no others.
#[derive(Default)]
pub(super) struct Bells(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    /// A socket forgets its bell when it rings it, so each stands here once.
    ids: Vec<Id>,
    /// Who waits, until the next ring.
    waker: Option<Waker>,
}

impl Bells {
    /// Takes what has rung. From this moment on the next ring calls the waker.
    pub(super) fn listen(&self, waker: &Waker) -> Vec<Id> {
        let waker = waker.clone();
        let mut rung = lock(&self.0);
        let before = rung.waker.replace(waker);
        let ids = std::mem::take(&mut rung.ids);
        drop(rung);
        drop(before);
        ids
    }

    /// Nobody waits any more.
    pub(super) fn ignore(&self) {
        let waker = lock(&self.0).waker.take();
        drop(waker);
    }
}

/// The waker of one socket.
pub(super) struct Bell {
    bells: Arc<Bells>,
    id: Id,
}

impl Bell {
    pub(super) fn new(bells: Arc<Bells>, id: Id) -> Self {
        Self { bells, id }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let waker = {
            let mut rung = lock(&self.bells.0);
            rung.ids.push(self.id);
            rung.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
