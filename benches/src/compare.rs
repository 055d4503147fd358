//! Has the peers take turns, and prints what came of it.

use std::collections::HashMap;
use std::env;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers;
use crate::role::{Job, Role};

/// What is measured.
struct Case {
    name: &'static str,
    transport: &'static str,
    /// Who is measured, and who is at the other end.
    roles: [Role; 2],
    size: usize,
    /// How many processes connect.
    connectors: usize,
    pin: Pin,
}

/// Which processors the two ends have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pin {
    /// One each.
    Split,
    /// The same one: the shortest way from one to the other.
    Same,
    /// Whichever they like.
    None,
}

const fn throughput(name: &'static str, size: usize) -> Case {
    Case { name, transport: "tcp", roles: [Role::Pull, Role::Push], size, connectors: 1, pin: Pin::Split }
}

const fn latency(name: &'static str, transport: &'static str, pin: Pin) -> Case {
    Case { name, transport, roles: [Role::Req, Role::Rep], size: 64, connectors: 1, pin }
}

const fn fan(name: &'static str, roles: [Role; 2], size: usize) -> Case {
    Case { name, transport: "tcp", roles, size, connectors: 8, pin: Pin::None }
}

const CASES: [Case; 15] = [
    throughput("PUSH, PULL, tcp, 16 B", 16),
    throughput("PUSH, PULL, tcp, 64 B", 64),
    throughput("PUSH, PULL, tcp, 1 KiB", 1024),
    throughput("PUSH, PULL, tcp, 8 KiB", 8 * 1024),
    throughput("PUSH, PULL, tcp, 64 KiB", 64 * 1024),
    throughput("PUSH, PULL, tcp, 1 MiB", 1024 * 1024),
    Case {
        name: "PUSH, PULL, inproc, 64 B",
        transport: "inproc",
        roles: [Role::Inproc, Role::Inproc],
        size: 64,
        connectors: 0,
        pin: Pin::None,
    },
    fan("one PUSH, 8 PULL, tcp, 64 B", [Role::FanPull, Role::FanPush], 64),
    fan("8 PUSH, one PULL, tcp, 64 B", [Role::Pull, Role::Push], 64),
    fan("one PUB, 8 SUB, tcp, 64 B", [Role::Sub, Role::Pub], 64),
    fan("one PUB, 8 SUB, tcp, 1 KiB", [Role::Sub, Role::Pub], 1024),
    latency("REQ, REP, tcp, 64 B, one processor", "tcp", Pin::Same),
    latency("REQ, REP, tcp, 64 B, two processors", "tcp", Pin::Split),
    latency("REQ, REP, ipc, 64 B, one processor", "ipc", Pin::Same),
    latency("REQ, REP, ipc, 64 B, two processors", "ipc", Pin::Split),
];

/// What one run came to.
#[derive(Clone, Copy)]
struct Outcome {
    /// Messages a second, of all receivers together; or microseconds for half a round trip.
    value: f64,
    /// Nanoseconds of processor time for each message or round trip, of all processes together.
    processor: f64,
}

/// Measures what has `filter` in its name.
pub fn run(filter: &str, rounds: usize) {
    println!(
        "Rates are messages a second of all receivers together, latencies half round trips in microseconds, both"
    );
    println!(
        "medians of {rounds} rounds. Behind each stands the processor time of all processes for a message or round"
    );
    println!("trip, in nanoseconds, and how many times as fast ferromq was in the same round.\n");
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        compare(case, rounds);
    }
}

fn compare(case: &Case, rounds: usize) {
    let names = peers::for_role(case.roles[0], case.connectors);
    let counts: Vec<u64> = names.iter().map(|name| calibrate(case, name)).collect();
    let mut runs: HashMap<&str, Vec<Option<Outcome>>> = HashMap::new();
    for round in 0..rounds {
        for turn in 0..names.len() {
            let which = (round + turn) % names.len();
            runs.entry(names[which]).or_default().push(measure(case, names[which], counts[which]));
        }
    }
    println!("{}", case.name);
    for name in names {
        let rows = || runs[name].iter().flatten();
        let (value, processor) = (rows().map(|row| row.value), rows().map(|row| row.processor));
        let ratios = runs["ferromq"].iter().zip(&runs[name]).filter_map(|(ours, theirs)| {
            let (ours, theirs) = (ours.as_ref()?.value, theirs.as_ref()?.value);
            Some(if case.is_latency() { theirs / ours } else { ours / theirs })
        });
        let (value, processor, ratio) = (median(value), median(processor), median(ratios));
        let failed = runs[name].iter().filter(|run| run.is_none()).count();
        let failed = if failed > 0 { format!("  {failed} runs failed") } else { String::new() };
        println!("    {name:14}{value:>14.1}{processor:>12.0} ns{ratio:>8.2} x{failed}");
    }
    println!();
}

impl Case {
    fn is_latency(&self) -> bool {
        self.roles[0] == Role::Req
    }
}

/// How many messages take about a second.
fn calibrate(case: &Case, peer: &str) -> u64 {
    let mut count =
        if case.is_latency() { 2000 } else { (50_000_000 / (case.size as u64 + 200)).clamp(400, 100_000) };
    for _ in 0..3 {
        let Some(Outcome { value, .. }) = measure(case, peer, count) else { break };
        let per_second = if case.is_latency() { 1e6 / value / 2.0 } else { value / receivers(case) as f64 };
        count = (per_second.clamp(count as f64 / 2.0, count as f64 * 20.0) as u64).max(200);
    }
    count
}

/// How many of the receivers each message goes to.
fn receivers(case: &Case) -> usize {
    if case.roles[1] == Role::Pub { case.connectors } else { 1 }
}

/// One run of all processes of a case.
fn measure(case: &Case, peer: &str, count: u64) -> Option<Outcome> {
    let endpoint = free_endpoint(case.transport);
    let job = |role, count| Job {
        role,
        endpoint: endpoint.clone(),
        size: case.size,
        count,
        peers: case.connectors,
    };
    let [measured, other] = case.roles;
    // The end of a pipeline and the server of requests bind; workers and subscribers come to whom they take from.
    let measured_binds = measured == Role::Pull;
    let copies = |binds: bool| if binds || case.connectors == 0 { 1 } else { case.connectors };
    let others_count = if measured_binds { count / case.connectors as u64 } else { count };
    let count = if measured_binds { others_count * case.connectors as u64 } else { count };

    let mut others = Vec::new();
    if measured != Role::Inproc {
        let job = job(other, others_count);
        others.extend((0..copies(!measured_binds)).map(|_| start(peer, &job, case.pin, measured_binds)));
    }
    let job = job(measured, count);
    let measured: Vec<Child> =
        (0..copies(measured_binds)).map(|_| start(peer, &job, case.pin, !measured_binds)).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Each is waited for, so that none is left behind, whatever has become of the others.
    let said: Vec<Option<String>> = measured.into_iter().map(|child| finish(child, deadline)).collect();
    // Senders that wait to be dismissed are, now that all is there.
    others.iter_mut().for_each(|child| drop(child.stdin.take()));
    let others: Vec<Option<String>> = others.into_iter().map(|child| finish(child, deadline)).collect();
    let (said, others) =
        (said.into_iter().collect::<Option<Vec<_>>>()?, others.into_iter().collect::<Option<Vec<_>>>()?);

    let number = |text: &String, name: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let ticks: f64 = said.iter().chain(&others).filter_map(|text| number(text, "ticks ")).sum();
    let processor = ticks * 1e7 / count as f64;
    if case.is_latency() {
        return Some(Outcome { value: number(&said[0], "latency ")?, processor });
    }
    let value = said.iter().filter_map(|text| number(text, "rate ")).sum();
    Some(Outcome { value, processor })
}

/// A port or a path that is free now.
fn free_endpoint(transport: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_or(5555, |at| at.port());
    match transport {
        "ipc" => format!("ipc://{}", env::temp_dir().join(format!("ferromq-bench-{port}")).display()),
        _ => format!("tcp://127.0.0.1:{port}"),
    }
}

fn start(peer: &str, job: &Job, pin: Pin, connects: bool) -> Child {
    let this = env::current_exe().expect("this program is somewhere");
    let processor = if pin == Pin::Split && connects { "1" } else { "0" };
    let mut command = if pin == Pin::None { Command::new(&this) } else { Command::new("taskset") };
    if pin != Pin::None {
        command.args(["-c", processor]).arg(&this);
    }
    command.arg(peer).args(job.args()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// What the process has to say, if it ends well and in time.
fn finish(mut child: Child, deadline: Instant) -> Option<String> {
    loop {
        match child.try_wait().ok()? {
            Some(status) => {
                let mut said = String::new();
                child.stdout.take()?.read_to_string(&mut said).ok()?;
                return status.success().then_some(said);
            }
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
