//! What a thread has left behind: sockets it has sent on, whose last messages may still lie in a batch.
//!
//! A thread that goes to sleep has them written first. It knows them itself, whatever reactor they live on; and it
//! leaves alone what other threads are still adding to.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use crate::peer::Host;

thread_local! {
    /// The socket that was noted last, by its address: as a rule it is the one that is noted next.
    static LAST: Cell<usize> = const { Cell::new(0) };
    static BEHIND: RefCell<Vec<Weak<dyn Host>>> = const { RefCell::new(Vec::new()) };
}

/// Notes that the calling thread has left a message in a batch of this socket.
#[inline]
pub(crate) fn note<H: Host + 'static>(socket: &Weak<H>) {
    let address = socket.as_ptr().addr();
    if LAST.get() != address {
        LAST.set(address);
        add(socket.clone());
    }
}

/// Has everything written that the calling thread has left behind.
pub(crate) fn flush() {
    if LAST.replace(0) == 0 {
        return;
    }
    // While a thread's locals are torn down there is nothing to be had, and the engine's next look has to do.
    let behind = BEHIND.try_with(RefCell::take).unwrap_or_default();
    behind.iter().filter_map(Weak::upgrade).for_each(|host| host.flush());
}

fn add(socket: Weak<dyn Host>) {
    let full = BEHIND.try_with(|behind| {
        let mut behind = behind.borrow_mut();
        if !behind.iter().any(|other| other.ptr_eq(&socket)) {
            behind.push(socket);
        }
        behind.len() >= MANY
    });
    if full == Ok(true) {
        flush();
    }
}

/// Sockets to keep in mind before it is better to have them all written.
const MANY: usize = 64;
