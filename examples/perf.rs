//! The benchmark peer: one role of a throughput or memory measurement per process.
//!
//! ```text
//! perf local_thr    <bind>    <size> <count>        PULL; the clock starts at the first message
//! perf remote_thr   <connect> <size> <count>        PUSH; ends once everything is flushed
//! perf fan_push     <bind>    <size> <count> <n>    PUSH; waits for n peers, then sends to them in turn
//! perf fan_pull     <connect> <size> <count>        PULL; ends at the END marker
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
//! system's. The environment may change three things: `HWM=n` sets the high-water marks, `BENCH_ALLOC=1` allocates
//! and fills every message anew, and `BENCH_CTL=1` says that a driver holds our stdin and closes it when we may go
//! (without it the roles that wait for that go after two seconds).

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use ferromq::{Context, Message, Pull, Push, Socket};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["local_thr", endpoint, size, count] => local_thr(endpoint, number(size), number(count)),
        ["remote_thr", endpoint, size, count] => remote_thr(endpoint, number(size), number(count)),
        ["fan_push", endpoint, size, count, n] => fan_push(endpoint, number(size), number(count), number(n)),
        ["fan_pull", endpoint, size, count] => fan_pull(endpoint, number(size), number(count)),
        ["idle_bind", endpoint] => idle_bind(endpoint),
        ["idle_connect", endpoint, n] => idle_connect(endpoint, number(n)),
        ["local_thr" | "remote_thr" | "fan_push" | "fan_pull" | "idle_bind" | "idle_connect", ..] | [] => {
            usage()
        }
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
    let pull = pull(&context)?;
    pull.bind(endpoint)?;
    receive(&pull, size, count)
}

fn remote_thr(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let push = push(&context)?;
    push.connect(endpoint)?;
    send(&push, size, count)?;
    match push.close(PATIENCE).unsent.len() {
        0 => Ok(()),
        unsent => Err(format!("{unsent} messages could not be flushed").into()),
    }
}

fn fan_push(endpoint: &str, size: usize, count: u64, peers: usize) -> Outcome {
    let context = Context::new()?;
    let push = push(&context)?;
    push.bind(endpoint)?;
    push.wait_connected(peers, PATIENCE)?;
    send(&push, size, count)?;

    // Nobody knows which peer gets which marker, so they are sent until the driver has seen all peers end.
    let dismissed = watch_for_dismissal();
    while !dismissed.load(Ordering::Acquire) {
        // A refusal only means that the markers before this one are not read yet.
        let _ = push.try_send(END);
        thread::sleep(END_INTERVAL);
    }
    push.close(Duration::ZERO);
    Ok(())
}

fn fan_pull(endpoint: &str, size: usize, count: u64) -> Outcome {
    let context = Context::new()?;
    let pull = pull(&context)?;
    pull.connect(endpoint)?;
    receive(&pull, size, count)
}

fn idle_bind(endpoint: &str) -> Outcome {
    let context = Context::new()?;
    let pull = pull(&context)?;
    pull.bind(endpoint)?;
    wait_for_dismissal();
    Ok(())
}

fn idle_connect(endpoint: &str, n: usize) -> Outcome {
    let context = Context::new()?;
    let mut sockets = Vec::with_capacity(n);
    for _ in 0..n {
        let push = push(&context)?;
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
fn send(push: &Socket<Push>, size: usize, count: u64) -> Outcome {
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

/// Receives until `count` messages of `size` bytes or the END marker came, and prints the rate.
fn receive(pull: &Socket<Pull>, size: usize, count: u64) -> Outcome {
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

/// The output of all peers of the benchmark.
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

fn push(context: &Context) -> Result<Socket<Push>, Box<dyn Error>> {
    let mut builder = context.socket::<Push>();
    if let Some(mark) = high_water_mark() {
        builder = builder.send_hwm(mark);
    }
    Ok(builder.build()?)
}

fn pull(context: &Context) -> Result<Socket<Pull>, Box<dyn Error>> {
    let mut builder = context.socket::<Pull>();
    if let Some(mark) = high_water_mark() {
        builder = builder.recv_hwm(mark);
    }
    Ok(builder.build()?)
}

fn high_water_mark() -> Option<usize> {
    env::var("HWM").ok()?.parse().ok()
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
    eprintln!(
        "usage: perf local_thr|remote_thr|fan_pull <endpoint> <size> <count>
       perf fan_push <bind> <size> <count> <n>
       perf idle_bind <bind>
       perf idle_connect <connect> <n>"
    );
    std::process::exit(2)
}

/// How long to wait for peers, and for the last messages to leave.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `fan_push` sends after its last message, and how often.
const END: &[u8] = b"END";
const END_INTERVAL: Duration = Duration::from_millis(5);
