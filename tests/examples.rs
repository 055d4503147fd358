//! Every example by itself, and each role of it as a process of its own.

mod common;

use std::fs;

use common::{DeadPort, Example, PATIENCE, within};

/// All examples, with a command line that makes no sense to them.
const EXAMPLES: [(&str, &[&str]); 7] = [
    ("pair", &["keeper", "--games", "many"]),
    ("perf", &["local_thr", "tcp://127.0.0.1:0", "many"]),
    ("pipeline", &["sink", "--results"]),
    ("rpc", &["server", "--timeout", "5"]),
    ("telemetry", &["publisher", "--every", "often"]),
    ("weather", &["publisher", "--every", "0"]),
    ("workers", &["worker", "--at", "nowhere"]),
];

const ANY_PORT: &str = "tcp://127.0.0.1:0";

/// Runs an example to its end, which is to be a good one.
fn run(name: &str, args: &[&str]) -> Vec<String> {
    Example::start(name, args).succeeds()
}

#[track_caller]
fn assert_said(printed: &[String], piece: &str) {
    assert!(printed.iter().any(|line| line.contains(piece)), "no {piece:?} in {printed:#?}");
}

#[test]
fn every_example_is_tried_here() {
    let directory = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap();
    let mut names: Vec<_> = directory
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, EXAMPLES.map(|(name, _)| name));
}

#[test]
fn every_example_explains_itself() {
    for (name, _) in EXAMPLES {
        let printed = run(name, &["--help"]);
        assert_said(&printed, &format!("usage: {name} "));
    }
}

#[test]
fn a_mistake_on_the_command_line_is_refused_before_anything_is_done() {
    for (name, mistake) in EXAMPLES {
        for args in [mistake, &["--nonsense"]] {
            let end = Example::start(name, args).end();
            assert!(end.code.is_some_and(|code| code > 1), "{name} {args:?}: {end:?}");
            assert!(end.printed.is_empty() && !end.complaints.is_empty(), "{name} {args:?}: {end:?}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    within(PATIENCE, || {
        let port = DeadPort::new();
        let at = port.endpoint();
        let _listener = port.listen();
        for (name, args) in [
            ("perf", &["local_lat", &at, "1", "1"][..]),
            ("rpc", &["server", "--at", &at]),
            ("weather", &["publisher", "--at", &at]),
            ("workers", &["dispatcher", "--at", &at]),
        ] {
            let end = Example::start(name, args).end();
            assert_eq!(end.code, Some(1), "{name}: {end:?}");
            assert!(end.complaints.contains(&format!("cannot listen on {at}")), "{name}: {end:?}");
        }
    });
}

#[test]
fn the_pipeline_runs_alone_and_survives_a_killed_worker() {
    within(2 * PATIENCE, || {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        run("pipeline", &[source, "--repeat", "20", "--workers", "2", "--kill"]);
    });
}

#[test]
fn the_pipeline_runs_in_parts() {
    within(2 * PATIENCE, || {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut sink = Example::start("pipeline", &["sink", "--results", ANY_PORT, "--feedback", ANY_PORT]);
        let (results, feedback) = (sink.says("results "), sink.says("feedback "));
        let args = ["ventilator", source, "--repeat", "2", "--tasks", ANY_PORT];
        let joined = ["--results", &results, "--feedback", &feedback];
        let mut ventilator = Example::start("pipeline", &[&args[..], &joined].concat());
        let tasks = ventilator.says("tasks ");
        let worker = Example::start("pipeline", &["worker", "--tasks", &tasks, "--results", &results]);
        ventilator.succeeds();
        worker.succeeds();
        sink.succeeds();
    });
}

#[test]
fn pair_plays_alone_and_in_parts() {
    within(PATIENCE, || {
        assert_said(&run("pair", &[]), "found after");
        let mut keeper = Example::start("pair", &["keeper", "--at", ANY_PORT, "--games", "2"]);
        let at = keeper.says("come to ");
        for _ in 0..2 {
            assert_said(&run("pair", &["guesser", "--at", &at]), "found after");
        }
        keeper.succeeds();
    });
}

#[test]
fn telemetry_runs_alone_and_in_parts() {
    within(PATIENCE, || {
        assert_said(&run("telemetry", &["--count", "3"]), "messages passed the proxy");
        let args = ["proxy", "--publishers", ANY_PORT, "--subscribers", ANY_PORT];
        let mut proxy = Example::start("telemetry", &args);
        let (to, from) = (proxy.says("publishers "), proxy.says("subscribers"));
        let pump = ["publisher", "--to", to.trim(), "--name", "pump", "--every", "10"];
        let pump = Example::start("telemetry", &pump);
        let printed =
            run("telemetry", &["subscriber", "--from", from.trim(), "--count", "5", "telemetry.pump"]);
        assert!(printed.iter().all(|line| line.contains("telemetry.pump")), "{printed:#?}");
        pump.kill();
        proxy.kill();
    });
}

#[test]
fn weather_runs_alone() {
    within(PATIENCE, || {
        for args in [&[][..], &["all"]] {
            let printed = run("weather", args);
            assert_said(&printed, "europe/: 40 reports");
            assert_said(&printed, "asia/tokyo: 20 reports");
            assert_said(&printed, "40 wanted by nobody");
        }
    });
}

#[test]
fn weather_runs_in_parts() {
    within(PATIENCE, || {
        let args = ["publisher", "--at", ANY_PORT, "--subscribers", "2", "--rounds", "30", "--every", "2"];
        let mut publisher = Example::start("weather", &args);
        let at = publisher.says("publishing at ");
        let europe = Example::start("weather", &["subscriber", "--at", &at, "--count", "60", "europe/"]);
        let tokyo = Example::start("weather", &["subscriber", "--at", &at, "--count", "30", "asia/tokyo"]);
        let printed = europe.succeeds();
        assert_said(&printed, "europe/oslo");
        assert_said(&printed, "europe/rome");
        assert!(printed.iter().all(|line| !line.contains("asia")), "{printed:#?}");
        assert_said(&tokyo.succeeds(), "rounds 1 to 30, 0 missed");
        publisher.succeeds();
    });
}

#[test]
fn a_weather_subscriber_that_hears_nothing_gives_up() {
    within(PATIENCE, || {
        let nobody = DeadPort::new();
        let end = Example::start("weather", &["subscriber", "--at", &nobody.endpoint(), "--wait", "1"]).end();
        assert_eq!(end.code, Some(1), "{end:?}");
        assert!(end.complaints.contains("no report came"), "{end:?}");
    });
}

#[test]
fn rpc_runs_alone_over_a_crash_of_its_server() {
    within(PATIENCE, || {
        for args in [&[][..], &["all"]] {
            let printed = run("rpc", args);
            assert_said(&printed, "server: crashes");
            assert_said(&printed, "client: attempt 1 at add");
            assert_said(&printed, "server: hangs");
            assert_said(&printed, "10 right answers");
        }
    });
}

#[test]
fn rpc_runs_in_parts_and_survives_a_killed_server() {
    within(2 * PATIENCE, || {
        let mut server = Example::start("rpc", &["server", "--at", ANY_PORT, "--slow", "5"]);
        let at = server.says("serving at ");
        assert_eq!(run("rpc", &["client", "--at", &at, "upper", "hello", "there"]), ["HELLO THERE"]);
        assert_eq!(run("rpc", &["client", "--at", &at, "add", "1", "-5"]), ["-4"]);
        let refused = Example::start("rpc", &["client", "--at", &at, "divide", "1"]).end();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.complaints.contains("no procedure"), "{refused:?}");

        let args = ["client", "--at", &at, "--calls", "40", "--timeout", "500", "--tries", "50"];
        let mut client = Example::start("rpc", &args);
        client.says("client: add 10 ");
        server.kill();
        let mut server = Example::start("rpc", &["server", "--at", &at]);
        assert_eq!(server.says("serving at "), at);
        assert_said(&client.succeeds(), "client: add 40 400 4000 is 4440");
    });
}

#[test]
fn an_rpc_client_without_a_server_gives_up() {
    within(PATIENCE, || {
        let nobody = DeadPort::new();
        let args = ["client", "--at", &nobody.endpoint(), "--timeout", "50", "--tries", "3", "echo", "hello"];
        let end = Example::start("rpc", &args).end();
        assert_eq!((end.code, end.printed.len()), (Some(1), 3), "{end:?}");
        assert!(end.complaints.contains("no answer to echo hello after 3 attempts"), "{end:?}");
    });
}

#[test]
fn workers_run_alone_over_a_crash_of_one() {
    within(PATIENCE, || {
        for args in [&[][..], &["all"]] {
            let printed = run("workers", args);
            assert_said(&printed, "dora crashes over job");
            assert_said(&printed, "dora has not done job");
            assert_said(&printed, "17984 primes up to 199999");
        }
    });
}

#[test]
fn workers_run_in_parts_and_survive_a_killed_one() {
    within(2 * PATIENCE, || {
        let args = ["dispatcher", "--at", ANY_PORT, "--workers", "3", "--jobs", "60", "--limit", "300"];
        let mut dispatcher = Example::start("workers", &args);
        let at = dispatcher.says("dispatching at ");
        let worker = |name, how: &[&str]| {
            Example::start("workers", &[&["worker", "--at", &at, "--name", name], how].concat())
        };
        let survivor = worker("survivor", &["--slow", "10"]);
        let victim = worker("victim", &["--slow", "100000"]); // still at its first job when it is killed
        let crashing = worker("crashing", &["--slow", "10", "--crash", "3"]);
        dispatcher.says("victim has not done job ");
        victim.kill();
        let crashed = crashing.end();
        assert_eq!(crashed.code, Some(1), "{crashed:?}");
        assert!(crashed.complaints.contains("crashing crashes over job"), "{crashed:?}");
        let printed = dispatcher.succeeds();
        assert_said(&printed, "crashing has not done job");
        assert_said(&printed, "6057 primes up to 59999");
        survivor.succeeds();
    });
}

#[test]
fn perf_measures_throughput_in_two_processes() {
    within(2 * PATIENCE, || {
        let at = DeadPort::new().release();
        let local = Example::start("perf", &["local_thr", &at, "64", "5000"]);
        assert!(Example::start("perf", &["remote_thr", &at, "64", "5000"]).succeeds().is_empty());
        assert_throughput(&local.succeeds(), 64, 5000);
    });
}

#[test]
fn perf_measures_latency_in_two_processes() {
    within(2 * PATIENCE, || {
        let at = DeadPort::new().release();
        let local = Example::start("perf", &["local_lat", &at, "64", "500"]);
        assert_latency(&Example::start("perf", &["remote_lat", &at, "64", "500"]).succeeds(), 64, 500);
        assert!(local.succeeds().is_empty());
    });
}

#[test]
fn perf_publishes_to_all_subscribers() {
    within(2 * PATIENCE, || {
        let at = DeadPort::new().release();
        let publisher = Example::start("perf", &["pub", &at, "64", "5000", "2"]);
        let subscribers = [(); 2].map(|()| Example::start("perf", &["sub", &at, "64", "5000"]));
        for subscriber in subscribers {
            assert_throughput(&subscriber.succeeds(), 64, 5000);
        }
        assert!(publisher.succeeds().is_empty());
    });
}

#[test]
fn perf_spreads_over_several_processes() {
    within(2 * PATIENCE, || {
        let at = DeadPort::new().release();
        let push = Example::start("perf", &["fan_push", &at, "64", "5000", "2"]);
        let pulls = [(); 2].map(|()| Example::start("perf", &["fan_pull", &at, "64", "5000"]));
        let received = pulls.map(|pull| {
            let printed = pull.succeeds();
            printed.iter().find_map(|line| line.strip_prefix("received: ")?.parse::<u32>().ok()).unwrap()
        });
        assert_eq!(received.iter().sum::<u32>(), 5000, "{received:?}");
        assert!(push.succeeds().is_empty());
    });
}

#[test]
fn perf_idles_until_it_is_dismissed() {
    within(2 * PATIENCE, || {
        let at = DeadPort::new().release();
        let bound = Example::start("perf", &["idle_bind", &at]);
        let mut connected = Example::start("perf", &["idle_connect", &at, "3"]);
        connected.says("ready");
        connected.succeeds();
        bound.succeeds();
    });
}

#[test]
fn perf_measures_within_one_process() {
    within(2 * PATIENCE, || {
        assert_throughput(&run("perf", &["inproc_thr", "64", "5000"]), 64, 5000);
        assert_latency(&run("perf", &["inproc_lat", "64", "500"]), 64, 500);
    });
}

/// What everybody prints who was sent so many messages, and has got them all.
#[track_caller]
fn assert_throughput(printed: &[String], size: usize, count: u64) {
    assert_eq!(printed.len(), 4, "{printed:#?}");
    assert_eq!(printed[..2], [format!("message size: {size} [B]"), format!("message count: {count}")]);
    assert!(figure(&printed[2], "mean throughput: ", " [msg/s]") > 0.0, "{printed:#?}");
    assert!(figure(&printed[3], "mean throughput: ", " [Mb/s]") > 0.0, "{printed:#?}");
}

/// What everybody prints who has asked so often.
#[track_caller]
fn assert_latency(printed: &[String], size: usize, count: u64) {
    assert_eq!(printed.len(), 5, "{printed:#?}");
    assert_eq!(printed[..2], [format!("message size: {size} [B]"), format!("roundtrip count: {count}")]);
    let mean = figure(&printed[2], "average latency: ", " [us]");
    let [p50, p99] = [figure(&printed[3], "p50: ", " [us]"), figure(&printed[4], "p99: ", " [us]")];
    assert!(0.0 < p50 && p50 <= p99 && mean > 0.0, "{printed:#?}");
}

/// The number between these words.
#[track_caller]
fn figure(line: &str, before: &str, behind: &str) -> f64 {
    let number = line.strip_prefix(before).and_then(|line| line.strip_suffix(behind));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no figure in {line:?}"))
}
