//! The benchmark peer: one role of a throughput, latency or memory measurement per process.
//!
//! ```text
//! perf local_thr    <bind>    <size> <count>        PULL; the clock starts at the first message
//! perf remote_thr   <connect> <size> <count>        PUSH; ends once everything is flushed
//! perf local_lat    <bind>    <size> <count>        REP; sends back what it gets
//! perf remote_lat   <connect> <size> <count>        REQ; prints half round trips
//! perf pub          <bind>    <size> <count> <n>    PUB; waits for n subscribers, then publishes
//! perf sub          <connect> <size> <count>        SUB; ends at the last message or at the END marker
//! perf fan_push     <bind>    <size> <count> <n>    PUSH; waits for n peers, then sends to them in turn
//! perf fan_pull     <connect> <size> <count>        PULL; ends at the END marker
//! perf inproc_thr   <size> <count>                  PUSH and PULL on two threads of one process
//! perf inproc_lat   <size> <count>                  REQ and REP on two threads of one process
//! perf idle_bind    <bind>                          PULL; idles until stdin closes
//! perf idle_connect <connect> <n>                   n PUSH sockets; prints "ready"; idles until stdin closes
//! ```
//!
//! By hand, in two terminals:
//!
//! ```text
//! cargo run --release --example perf -- local_thr  tcp://127.0.0.1:5555 64 5000000
//! cargo run --release --example perf -- remote_thr tcp://127.0.0.1:5555 64 5000000
//! ```
//!
//! Options are the library's own defaults, one call sends or receives one message, and the allocator is the
//! system's. Only `pub` and `sub` have no high-water marks, as with libzmq's peer, because a publisher at its mark drops
//! messages: what a subscriber is behind stays in the memory of the publisher.
//!
//! The environment may change six things: `HWM=n` sets the high-water marks, `THREADS=n` has so many threads share the
//! socket of `remote_thr`, `CONNECTIONS=n` has that connect so many times, `PUB_NODROP=1` has `pub` wait for its
//! subscribers, with the default marks on both sides, `BENCH_ALLOC=1` allocates and fills every message anew, and
//! `BENCH_CTL=1` says that a driver holds our stdin and closes it when we may go (without it the roles that wait for that
//! go after two seconds).

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use ferromq::{Builder, Context, Message, Overflow, Pub, Pull, Push, Receives, Rep, Req, Sends, Socket, Sub};

/// Failures cross threads.
type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["local_thr", endpoint, size, count] => local_thr(endpoint, number(size), number(count)),
        ["remote_thr", endpoint, size, count] => remote_thr(endpoint, number(size), number(count)),
        ["local_lat", endpoint, size, count] => local_lat(endpoint, number(size), number(count)),
        ["remote_lat", endpoint, size, count] => remote_lat(endpoint, number(size), number(count)),
        ["pub", endpoint, size, count, n] => publish(endpoint, number(size), number(count), number(n)),
        ["sub", endpoint, size, count] => subscribe(endpoint, number(size), number(count)),
        ["fan_push", endpoint, size, count, n] => fan_push(endpoint, number(size), number(count), number(n)),
        ["fan_pull", endpoint, size, count] => fan_pull(endpoint, number(size), number(count)),
        ["inproc_thr", size, count] => inproc_thr(number(size), number(count)),
        ["inproc_lat", size, count] => inproc_lat(number(size), number(count)),
        ["idle_bind", endpoint] => idle_bind(endpoint),
        ["idle_connect", endpoint, n] => idle_connect(endpoint, number(n)),
        ["--help" | "-h" | "help", ..] => {
            println!("{USAGE}");
            Ok(())
        }
        [] => usage(),
        [role, ..] if ROLES.contains(&role) => usage(),
        [role, ..] => {
            eprintln!("unsupported: {role}");
            return ExitCode::from(3);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perf: {error}");
            ExitCode::FAILURE
        }
    }
}

fn local_thr(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let pull = receiver::<Pull>(&context).build()?;
    pull.bind(endpoint)?;
    receive(&pull, size, count)
}

fn remote_thr(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let push = sender::<Push>(&context).build()?;
    (0..setting("CONNECTIONS").unwrap_or(1)).try_for_each(|_| push.connect(endpoint))?;
    let push = &push;
    let threads = setting("THREADS").unwrap_or(1).max(1) as u64;
    thread::scope(|scope| {
        let shares = (0..threads).map(|n| count / threads + u64::from(n < count % threads));
        let sending: Vec<_> = shares.map(|share| scope.spawn(move || send(push, size, share))).collect();
        sending.into_iter().try_for_each(|sending| joined(sending.join()))
    })?;
    match push.close(PATIENCE).unsent.len() {
        0 => Ok(()),
        unsent => Err(format!("{unsent} messages could not be flushed").into()),
    }
}

fn local_lat(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let rep = context.socket::<Rep>().build()?;
    rep.bind(endpoint)?;
    answer(&rep, size, count)
}

fn remote_lat(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let req = context.socket::<Req>().build()?;
    req.connect(endpoint)?;
    req.wait_connected(1, PATIENCE)?;
    ask(&req, size, count)
}

fn publish(endpoint: &str, size: usize, count: u64, subscribers: usize) -> Outcome {
    let context = Context::new()?;
    let mut builder = sender::<Pub>(&context);
    if flag("PUB_NODROP") {
        builder = builder.overflow(Overflow::Block);
    } else if high_water_mark().is_none() {
        builder = builder.send_hwm(0);
    }
    let publisher = builder.build()?;
    publisher.bind(endpoint)?;
    publisher.wait_subscribed(subscribers, PATIENCE)?;
    send(&publisher, size, count)?;

    // A subscriber that has missed something, for a mark was set, waits for the marker.
    send_ends(&publisher);
    drop(publisher.close(PATIENCE));
    Ok(())
}

fn subscribe(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let mut builder = receiver::<Sub>(&context).subscribe("");
    if high_water_mark().is_none() && !flag("PUB_NODROP") {
        builder = builder.recv_hwm(0);
    }
    let subscriber = builder.build()?;
    subscriber.connect(endpoint)?;
    receive(&subscriber, size, count)
}

fn fan_push(endpoint: &str, size: usize, count: u64, peers: usize) -> Outcome {
    let context = Context::new()?;
    let push = sender::<Push>(&context).build()?;
    push.bind(endpoint)?;
    push.wait_connected(peers, PATIENCE)?;
    send(&push, size, count)?;

    // Nobody knows which peer gets which marker, so they are sent until the driver has seen all peers end.
    send_ends(&push);
    drop(push.close(Duration::ZERO));
    Ok(())
}

fn fan_pull(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let pull = receiver::<Pull>(&context).build()?;
    pull.connect(endpoint)?;
    receive(&pull, size, count)
}

fn inproc_thr(size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let pull = receiver::<Pull>(&context).build()?;
    pull.bind(INPROC)?;
    let push = sender::<Push>(&context).build()?;
    push.connect(INPROC)?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&push, size, count));
        receive(&pull, size, count)?;
        joined(sending.join())
    })
}

fn inproc_lat(size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let rep = context.socket::<Rep>().build()?;
    rep.bind(INPROC)?;
    let req = context.socket::<Req>().build()?;
    req.connect(INPROC)?;
    thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&rep, size, count));
        ask(&req, size, count)?;
        joined(answering.join())
    })
}

fn idle_bind(endpoint: &str) -> Outcome {
    let context = Context::new()?;
    let pull = receiver::<Pull>(&context).build()?;
    pull.bind(endpoint)?;
    wait_for_dismissal();
    Ok(())
}

fn idle_connect(endpoint: &str, n: usize) -> Outcome {
    let context = Context::new()?;
    let mut sockets = Vec::with_capacity(n);
    for _ in 0..n {
        let push = sender::<Push>(&context).build()?;
        push.connect(endpoint)?;
        sockets.push(push);
    }
    for push in &sockets {
        push.wait_connected(1, PATIENCE)?;
    }
    thread::sleep(Duration::from_secs(1)); // whatever is still settling is not part of the idle state
    println!("ready");
    wait_for_dismissal();
    Ok(())
}

/// Sends `count` messages of `size` bytes, each made the cheapest way there is unless `BENCH_ALLOC` is set.
fn send<T: Sends>(push: &Socket<T>, size: usize, count: u64) -> Outcome {
    let payload = vec![b'x'; size];
    if flag("BENCH_ALLOC") {
        for _ in 0..count {
            push.send(vec![b'x'; size])?;
        }
    } else if size <= Message::INLINE {
        for _ in 0..count {
            push.send(&payload[..])?;
        }
    } else {
        let shared = Message::from(payload);
        for _ in 0..count {
            push.send(shared.clone())?;
        }
    }
    Ok(())
}

/// Sends END markers until we are dismissed.
fn send_ends<T: Sends>(socket: &Socket<T>) {
    let dismissed = watch_for_dismissal();
    while !dismissed.load(Ordering::Acquire) {
        // A refusal only means that the markers before this one are not read yet.
        let _ = socket.try_send(END);
        thread::sleep(END_INTERVAL);
    }
}

/// Receives until `count` messages of `size` bytes or the END marker came, and prints the rate.
fn receive<T: Receives>(pull: &Socket<T>, size: usize, count: u64) -> Outcome {
    let mut start = Instant::now();
    let mut received = 0;
    while received < count {
        let message = pull.recv()?;
        let body = message.part(0).unwrap_or_default();
        if body.len() != size {
            if body == END {
                break;
            }
            return Err(format!("a message of {} bytes came instead of {size}", body.len()).into());
        }
        if received == 0 {
            start = Instant::now();
        }
        received += 1;
    }
    print_rate(size, count, received, start.elapsed());
    Ok(())
}

/// Sends `count` requests of `size` bytes back to where they came from.
fn answer(rep: &Socket<Rep>, size: usize, count: u64) -> Outcome {
    for _ in 0..count {
        let request = rep.recv()?;
        if request.byte_len() != size {
            return Err(format!("a request of {} bytes came instead of {size}", request.byte_len()).into());
        }
        rep.send(request)?;
    }
    match rep.close(PATIENCE).unsent.len() {
        0 => Ok(()),
        _ => Err("the last answer could not be flushed".into()),
    }
}

/// Asks `count` times, each time once the last answer is there, and prints how long that takes.
fn ask(req: &Socket<Req>, size: usize, count: u64) -> Outcome {
    let request = Message::from(vec![b'x'; size]);
    let mut trips = Vec::with_capacity(count as usize);
    let start = Instant::now();
    for _ in 0..count {
        let sent = Instant::now();
        req.send(request.clone())?;
        let answer = req.recv()?;
        trips.push(sent.elapsed());
        if answer.byte_len() != size {
            return Err(format!("an answer of {} bytes came instead of {size}", answer.byte_len()).into());
        }
    }
    print_latency(size, start.elapsed(), trips);
    Ok(())
}

/// The output of all peers of the benchmark that measure time: everything as half round trips.
fn print_latency(size: usize, elapsed: Duration, mut trips: Vec<Duration>) {
    trips.sort_unstable();
    let micros = |trip: Duration| trip.as_secs_f64() * 1e6 / 2.0;
    let mean = micros(elapsed) / trips.len().max(1) as f64;
    let percentile = |share: f64| {
        let rank = (trips.len().saturating_sub(1) as f64 * share).round() as usize;
        trips.get(rank).map_or(0.0, |trip| micros(*trip))
    };
    println!("message size: {size} [B]");
    println!("roundtrip count: {}", trips.len());
    println!("average latency: {mean:.3} [us]");
    println!("p50: {:.3} [us]", percentile(0.50));
    println!("p99: {:.3} [us]", percentile(0.99));
}

/// The output of all peers of the benchmark that count messages.
fn print_rate(size: usize, count: u64, received: u64, elapsed: Duration) {
    let rate = if elapsed.is_zero() { 0.0 } else { received as f64 / elapsed.as_secs_f64() };
    println!("message size: {size} [B]");
    println!("message count: {count}");
    if received != count {
        println!("received: {received}");
    }
    println!("mean throughput: {rate:.0} [msg/s]");
    println!("mean throughput: {:.3} [Mb/s]", rate * size as f64 * 8.0 / 1e6);
}

/// A socket to be that sends, with the mark that the environment asks for.
fn sender<T: Sends>(context: &Context) -> Builder<T> {
    let builder = context.socket();
    match high_water_mark() {
        Some(mark) => builder.send_hwm(mark),
        None => builder,
    }
}

/// A socket to be that receives, with the mark that the environment asks for.
fn receiver<T: Receives>(context: &Context) -> Builder<T> {
    let builder = context.socket();
    match high_water_mark() {
        Some(mark) => builder.recv_hwm(mark),
        None => builder,
    }
}

/// What a thread has to say; it fails as we would.
fn joined(outcome: thread::Result<Outcome>) -> Outcome {
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn high_water_mark() -> Option<usize> {
    setting("HWM")
}

fn setting(name: &str) -> Option<usize> {
    env::var(name).ok()?.parse().ok()
}

fn flag(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// Returns when the driver closes our stdin, or after two seconds where there is no driver.
fn wait_for_dismissal() {
    if flag("BENCH_CTL") {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
    } else {
        thread::sleep(Duration::from_secs(2));
    }
}

/// [`wait_for_dismissal`] on a thread of its own, which sets the flag.
fn watch_for_dismissal() -> Arc<AtomicBool> {
    let dismissed = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&dismissed);
    thread::spawn(move || {
        wait_for_dismissal();
        set.store(true, Ordering::Release);
    });
    dismissed
}

fn number<N: std::str::FromStr>(arg: &str) -> N {
    arg.parse().unwrap_or_else(|_| usage())
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}

const ROLES: [&str; 12] = [
    "local_thr",
    "remote_thr",
    "local_lat",
    "remote_lat",
    "pub",
    "sub",
    "fan_push",
    "fan_pull",
    "inproc_thr",
    "inproc_lat",
    "idle_bind",
    "idle_connect",
];

const USAGE: &str = "\
usage: perf local_thr|remote_thr|local_lat|remote_lat <endpoint> <size> <count>
       perf pub|fan_push <bind> <size> <count> <n>
       perf sub|fan_pull <connect> <size> <count>
       perf inproc_thr|inproc_lat <size> <count>
       perf idle_bind <bind>
       perf idle_connect <connect> <n>

local_thr, local_lat, pub, fan_push and idle_bind bind the endpoint, the others connect to it. Sizes are in bytes.
pub and fan_push wait for <n> peers before they begin. The environment may set HWM=<n>, THREADS=<n>,
CONNECTIONS=<n>, PUB_NODROP=1, BENCH_ALLOC=1 and BENCH_CTL=1: see the source.";

/// How long to wait for peers, and for the last messages to leave.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the two threads of a process meet.
const INPROC: &str = "inproc://perf";

/// What `fan_push` and `pub` send after their last message, and how often.
const END: &[u8] = b"END";
const END_INTERVAL: Duration = Duration::from_millis(5);
