//! A service lives on, for as long as you like: it talks, its peers are killed and start again, strangers flood it, and at
//! times nothing happens. Whatever happens, its books add up, and it holds no more in the end than in the beginning.
//!
//! ```sh
//! FERROMQ_SOAK=3600 cargo test --release --test soak -- --nocapture    # for so many seconds
//! ```
#![cfg(target_os = "linux")] // which has an address for each stranger, and tells what a process uses

#[path = "../common/mod.rs"]
mod common;
#[path = "../corpus/mod.rs"]
mod corpus;
mod feed;
mod pipeline;
mod port;
mod service;
#[path = "../flood/strangers.rs"]
mod strangers;

use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Rng, eventually, open_descriptors, processor_time, resident, within};
use ferromq::{Context, Stats};

/// What one socket or a few of them do, over and over again.
trait Scene {
    /// Plays once. In the end everything is at rest, and was found in order.
    fn play(&mut self, rng: &mut Rng);

    /// The books of all its sockets.
    fn books(&self) -> Vec<(&'static str, Stats)>;
}

#[test]
fn a_service_outlives_whatever_befalls_it() {
    let seconds = std::env::var("FERROMQ_SOAK").map_or(3, |time| time.parse().expect("a number of seconds"));
    within(Duration::from_secs(seconds) + 4 * PATIENCE, move || soak(Duration::from_secs(seconds)));
}

fn soak(time: Duration) {
    let ctx = Context::new().unwrap();
    let mut scenes: [Box<dyn Scene>; 4] = [
        Box::new(pipeline::Pipeline::new(&ctx)),
        Box::new(service::Service::new(&ctx)),
        Box::new(feed::Feed::new(&ctx)),
        Box::new(port::Port::new(&ctx)),
    ];
    let mut rng = Rng(7);
    round(&mut scenes, &mut rng); // so that everything is warm
    let (memory, files) = (resident(), open_descriptors());
    let (start, mut rounds, mut idle) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < time {
        idle += round(&mut scenes, &mut rng);
        rounds += 1;
        eventually("all descriptors are given back", || open_descriptors() == files);
    }

    for (name, stats) in scenes.iter().flat_map(|scene| scene.books()) {
        println!("{name}: {stats:?}");
    }
    let now = resident();
    println!(
        "{rounds} rounds in {:?}; {} KiB of memory became {}; {files} descriptors; busy for {idle:?} of {:?} in which \
         nothing happened",
        start.elapsed(),
        memory / 1024,
        now / 1024,
        rounds * IDLE,
    );
    assert!(now.saturating_sub(memory) < 16 << 20, "{memory} octets of memory became {now}");
    assert!(idle < rounds * IDLE / 4, "busy doing nothing");
}

/// Plays every scene, and then does nothing for a while. Returns how long the processor was busy with that.
fn round(scenes: &mut [Box<dyn Scene>], rng: &mut Rng) -> Duration {
    for scene in scenes.iter_mut() {
        scene.play(rng);
    }
    let busy = processor_time();
    thread::sleep(IDLE);
    let busy = processor_time() - busy;
    for (name, stats) in scenes.iter().flat_map(|scene| scene.books()) {
        let out = stats.written + stats.returned + stats.dropped.total() + stats.queued;
        assert_eq!(stats.accepted + stats.copied, out, "{name}: {stats:?}");
        let taken = stats.delivered + stats.discarded + stats.waiting;
        assert_eq!(stats.received, taken, "{name}: {stats:?}");
    }
    busy
}

/// How long nothing happens in each round.
const IDLE: Duration = Duration::from_millis(300);
