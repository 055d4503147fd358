//! Name look-ups, which may take a long time and so have threads of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, Weak};
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

struct Lookup {
    /// Gone when nobody waits for it any more.
    wanted: Weak<()>,
    run: Box<dyn FnOnce() + Send>,
}

impl Resolver {
    /// Has the look-up run soon, or tells why it cannot. If `wanted` is gone when its turn comes, it is left out: those
    /// who wait behind it have waited long enough.
    pub(crate) fn look_up(&self, wanted: Weak<()>, lookup: impl FnOnce() + Send + 'static) -> io::Result<()> {
        {
            let mut state = lock(&self.0);
            state.queue.push_back(Lookup { wanted, run: Box::new(lookup) });
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
            if lookup.wanted.strong_count() > 0 {
                (lookup.run)();
            }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn thousands_of_look_ups_all_have_their_turn_a_few_at_a_time() {
        let (resolver, wanted) = (Resolver::default(), Arc::new(()));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, all_done) = mpsc::channel();
        for number in 0..2000 {
            let (running, most, done) = (running.clone(), most.clone(), done.clone());
            let look_up = move || {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                thread::yield_now();
                running.fetch_sub(1, SeqCst);
                done.send(number).unwrap();
            };
            resolver.look_up(Arc::downgrade(&wanted), look_up).unwrap();
        }
        let mut seen: Vec<usize> = (0..2000).map(|_| all_done.recv_timeout(PATIENCE).unwrap()).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..2000));
        assert!(most.load(SeqCst) <= THREADS);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_looked_up() {
        let (resolver, kept, gone) = (Resolver::default(), Arc::new(()), Arc::new(()));
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (done, seen) = mpsc::channel();
        // While these wait, no thread is free.
        for _ in 0..THREADS {
            let gate = gate.clone();
            resolver.look_up(Arc::downgrade(&kept), move || _ = lock(&gate).recv()).unwrap();
        }
        for (wanted, name) in [(&gone, "gone"), (&kept, "kept")] {
            let done = done.clone();
            resolver.look_up(Arc::downgrade(wanted), move || done.send(name).unwrap()).unwrap();
        }
        drop((gone, done));
        drop(go);
        let mut looked_up = Vec::new();
        while let Ok(name) = seen.recv_timeout(PATIENCE) {
            looked_up.push(name);
        }
        assert_eq!(looked_up, ["kept"]);
    }
}
