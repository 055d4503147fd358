//! Hostile input over TCP: each row of the corpus against a bound and a dialling socket, in one write and octet by octet.
//! Many strangers are at one socket at a time, and a good peer is served all the while.

mod calls;
#[path = "../common/mod.rs"]
mod common;
#[path = "../corpus/mod.rs"]
mod corpus;
mod counts;
mod stranger;
mod victim;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, alone, eventually, open_descriptors, resident, within};
use corpus::{Reaction, Row};
use ferromq::{Context, End, Event, Message, Monitor};
use stranger::{Manner, Way};
use victim::{Plan, Victim, victim};

#[test]
fn every_case_comes_to_what_the_table_says() {
    let _turn = alone();
    within(4 * PATIENCE, || {
        let rows = corpus::rows();
        let (memory, descriptors) = (resident(), open_descriptors());
        let mut played = 0;
        let mut faults = Vec::new();
        for plan in plans(&rows) {
            let rows: Vec<&Row> = rows.iter().filter(|row| plan_of(row) == plan).collect();
            for way in [Way::Bound, Way::Dialling] {
                for manner in [Manner::InOneWrite, Manner::OctetByOctet] {
                    let attack = Attack { plan, way, manner };
                    faults.append(&mut attack.run(&rows));
                    played += rows.len();
                }
            }
        }
        println!("{}/{played} played as expected", played - faults.len());
        assert!(faults.is_empty(), "{} of {played}:\n{}", faults.len(), faults.join("\n"));
        eventually("all descriptors are closed", || open_descriptors() <= descriptors);
        let grown = resident().saturating_sub(memory);
        assert!(grown < 64 << 20, "{grown} octets of memory are not given back");
    });
}

/// Each case of the catalogue is a row of the table, or a test that there is, or both.
#[test]
fn no_case_is_left_out() {
    let rows = corpus::rows();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (number, file, tests) in corpus::ELSEWHERE {
        let text = fs::read_to_string(root.join(file)).unwrap();
        for test in *tests {
            assert!(
                text.contains(&format!("#[test]\nfn {test}()"))
                    || text.contains(&format!("\"]\nfn {test}()")),
                "{number}: {test} is not in {file}"
            );
        }
    }
    let mut missing: Vec<u8> = corpus::numbers().collect();
    missing.retain(|number| {
        let is_row = rows.iter().any(|row| row.number == *number);
        !is_row && !corpus::ELSEWHERE.iter().any(|(elsewhere, ..)| elsewhere == number)
    });
    assert!(missing.is_empty(), "{missing:?} are tried nowhere");
}

/// The documentation says where we differ from libzmq, and the table says the same.
#[test]
fn the_documentation_lists_where_libzmq_differs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/security.rs");
    let text = fs::read_to_string(path).unwrap();
    let behind = text.split(" | here | libzmq |\n//! |---|---|---|\n").nth(1).expect("the list has its head");
    let listed: Vec<&str> = behind.lines().take_while(|line| line.starts_with("//! |")).collect();
    let rows = corpus::rows();
    let differing = rows.iter().filter_map(|row| row.libzmq.map(|libzmq| listing(row, libzmq)));
    let expected: Vec<String> = differing.collect();
    assert!(listed == expected, "the list in src/security.rs is to be:\n{}\n", expected.join("\n"));
}

fn listing(row: &Row, libzmq: &str) -> String {
    let to = if row.socket == "PULL" { String::new() } else { format!(", to {}", row.socket) };
    let here = match row.reaction {
        Reaction::Close(_) => "ends the connection",
        Reaction::Ignore => "ignores it",
        Reaction::Accept => "takes it",
        Reaction::Wait => "waits for more",
        Reaction::Timeout => "ends the connection when the time for the handshake is over",
        Reaction::Lapse(_) => "waits for as long as it says",
        Reaction::Gone => "does nothing",
    };
    format!("//! | {}{to} | {here} | {libzmq} |", row.name)
}

/// What the victim of a row is like. Where its time for the handshake matters it is short; else so long that nothing
/// happens because of it.
fn plan_of(row: &Row) -> Plan {
    let seconds = if row.reaction == Reaction::Timeout { 0.2 } else { 60.0 };
    Plan {
        socket: row.socket,
        max_message_size: row.max_message_size,
        handshake_timeout: Duration::from_secs_f64(seconds),
    }
}

/// The plan of each victim that is needed.
fn plans(rows: &[Row]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for plan in rows.iter().map(plan_of) {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    plans
}

/// Strangers at one victim.
#[derive(Clone, Copy, Debug)]
struct Attack {
    plan: Plan,
    way: Way,
    manner: Manner,
}

impl Attack {
    /// Plays all the rows, and returns what went wrong.
    fn run(self, rows: &[&Row]) -> Vec<String> {
        let context = Context::new().unwrap();
        let (victim, monitor) = victim(&context, self.plan);
        let over = AtomicBool::new(false);
        let (outcomes, mut strange) = thread::scope(|scope| {
            let good = scope.spawn(|| serve(&*victim, &over));
            let outcomes = self.play(&*victim, rows);
            over.store(true, Ordering::SeqCst);
            (outcomes, good.join().unwrap())
        });
        eventually("only the good peer is left", || victim.peers() == 1);
        strange.append(&mut victim.serve(u32::MAX));

        let ends = ends(&monitor);
        let mut faults = Vec::new();
        for (row, outcome) in rows.iter().zip(outcomes) {
            let fault =
                outcome.and_then(|name| check_end(row, ends.get(&name).map_or(&[], |ends| &ends[..])));
            faults.extend(fault.err().map(|fault| format!("{}: {fault}", row.title())));
        }
        let mut expected: Vec<Message> =
            rows.iter().flat_map(|row| row.delivered.iter().cloned().map(Message::from)).collect();
        for message in strange {
            match expected.iter().position(|expected| *expected == message) {
                Some(at) => _ = expected.swap_remove(at),
                None => faults.push(format!("{message:?} was delivered")),
            }
        }
        faults.extend(expected.iter().map(|message| format!("{message:?} was not delivered")));
        faults.iter().map(|fault| format!("{:?}, {:?}: {fault:.300}", self.way, self.manner)).collect()
    }

    /// Plays all the rows, many at a time.
    fn play(self, victim: &dyn Victim, rows: &[&Row]) -> Vec<Result<String, String>> {
        let next = AtomicUsize::new(0);
        let mut outcomes = Vec::new();
        thread::scope(|scope| {
            let crowd: Vec<_> = (0..CROWD)
                .map(|_| {
                    scope.spawn(|| {
                        let mut outcomes = Vec::new();
                        while let Some((at, row)) = some(rows, next.fetch_add(1, Ordering::SeqCst)) {
                            let outcome = stranger::play(victim, self.plan, row, (self.way, self.manner));
                            outcomes.push((at, outcome));
                        }
                        outcomes
                    })
                })
                .collect();
            crowd.into_iter().for_each(|stranger| outcomes.append(&mut stranger.join().unwrap()));
        });
        outcomes.sort_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

fn some<'a>(rows: &[&'a Row], at: usize) -> Option<(usize, &'a Row)> {
    rows.get(at).map(|row| (at, *row))
}

/// Serves the good peer until all is over, and returns what came from others.
fn serve(victim: &dyn Victim, over: &AtomicBool) -> Vec<Message> {
    let mut strange = Vec::new();
    for round in 1.. {
        strange.append(&mut victim.serve(round));
        if over.load(Ordering::SeqCst) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    strange
}

/// How connections have ended, by the address that the stranger came from or was dialled at.
fn ends(monitor: &Monitor) -> HashMap<String, Vec<End>> {
    let mut ends = HashMap::<String, Vec<End>>::new();
    while let Ok(event) = monitor.try_recv() {
        if let Event::HandshakeFailed { peer, why } | Event::Disconnected { peer, why } = event {
            let name = peer.endpoint.or(peer.address).map(|endpoint| endpoint.to_string());
            ends.entry(name.unwrap_or_default()).or_default().push(why);
        }
    }
    ends
}

/// The monitor has told why a connection was ended.
fn check_end(row: &Row, ends: &[End]) -> Result<(), String> {
    let why = match row.reaction {
        Reaction::Close(why) => why,
        Reaction::Timeout => "HandshakeTimeout",
        Reaction::Lapse(silence) if silence < PATIENCE => "Silent",
        _ => return Ok(()),
    };
    let is_it = |end: &End| match end {
        End::Violation(violation) => format!("{violation:?}").split(' ').next() == Some(why),
        _ => false,
    };
    if ends.iter().any(is_it) { Ok(()) } else { Err(format!("ended for {ends:?} instead of {why}")) }
}

/// Strangers at a time.
const CROWD: usize = 24;
