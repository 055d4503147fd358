//! Name look-ups, which may take a long time and so have threads of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::lock::lock;

/// Runs look-ups, a few at a time, each on a thread that ends when there is nothing left to look up.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: usize,
    queue: VecDeque<Lookup>,
}

type Lookup = Box<dyn FnOnce() + Send>;

impl Resolver {
    /// Has the look-up run soon, or tells why it cannot.
    pub(crate) fn look_up(&self, lookup: impl FnOnce() + Send + 'static) -> io::Result<()> {
        {
            let mut state = lock(&self.0);
            state.queue.push_back(Box::new(lookup));
            if state.running == THREADS {
                return Ok(());
            }
            state.running += 1;
        }
        let resolver = self.clone();
        let spawned = thread::Builder::new().name("ferromq-resolver".into()).spawn(move || resolver.work());
        if let Err(error) = spawned {
            let mut state = lock(&self.0);
            state.running -= 1;
            if state.running == 0 {
                state.queue.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(lookup) = self.next() {
            lookup();
        }
    }

    fn next(&self) -> Option<Lookup> {
        let mut state = lock(&self.0);
        let lookup = state.queue.pop_front();
        state.running -= usize::from(lookup.is_none());
        lookup
    }
}

/// Look-ups at a time. One alone would let a slow name server hold up all the others.
const THREADS: usize = 4;
