//! A reactor with no thread of its own, in a network in memory: whoever simulates runs its turns.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::duty::Ask;
use super::parker::Parker;
use super::{Handle, Reactor, Shared};
use crate::clock;
use crate::lock::lock;
use crate::transport::Network;
use crate::transport::memory::Node;

impl Reactor {
    /// A reactor for a node. It moves only by [`Handle::turn`], and when a blocking call drives it.
    pub(crate) fn simulate(node: Node) -> io::Result<Self> {
        let shared = Shared::new(Network::Memory(node))?;
        Ok(Self { handle: Handle(shared), thread: None })
    }
}

impl Handle {
    /// Runs one turn, which does not wait.
    pub(crate) fn turn(&self) {
        let shared = &self.0;
        let parker = Parker::take(&shared.poll);
        let answer = lock(&shared.roster).ask(&parker);
        parker.give_back();
        let Ask::Granted(turn) = answer else { unreachable!("one thread alone finds the turn free") };
        shared.run_once(turn, clock::now());
    }

    /// When the next turn has something to do: now, at the earliest deadline, or not by itself.
    pub(crate) fn next(&self) -> Option<Instant> {
        let shared = &self.0;
        let Network::Memory(node) = &shared.network else { return None };
        let roster = lock(&shared.roster);
        let turn = roster.free()?;
        let starts_watch = turn.watch.next().is_none() && shared.is_watched();
        let at_once = shared.commanded.load(Ordering::SeqCst) || !turn.ready.is_empty() || starts_watch;
        if at_once || node.has_news() {
            return Some(clock::now());
        }
        [turn.timers.next(), turn.watch.next()].into_iter().flatten().min()
    }

    /// How many things the reactor looks after.
    pub(crate) fn load(&self) -> usize {
        lock(&self.0.roster).free().map_or(0, |turn| turn.entries.iter().count())
    }
}
