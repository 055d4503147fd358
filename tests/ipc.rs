//! Sockets on paths and abstract names, and the files that belong to them.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::raw::{self, greeting, ready};
use common::{PATIENCE, assert_joined, blocked, eventually, usage, within};
use ferromq::{
    BindError, ConnectError, Context, Endpoint, EndpointError, Message, Pair, Pull, Push, SendError, Socket,
};
use socket2::{Domain, SockAddr, Type};

/// A directory of the test's own, which is removed with all that is in it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("fmq-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A path in it that has this many octets.
    fn path_of_length(&self, octets: usize) -> PathBuf {
        let path = self.path(&"x".repeat(octets - self.path("").as_os_str().len()));
        assert_eq!(path.as_os_str().len(), octets);
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn at(path: &Path) -> String {
    format!("ipc://{}", path.display())
}

fn path_of(endpoint: &Endpoint) -> PathBuf {
    endpoint.to_string().strip_prefix("ipc://").unwrap().into()
}

fn push(ctx: &Context) -> Socket<Push> {
    ctx.socket::<Push>()
        .linger(Duration::ZERO)
        .reconnect_interval(Duration::from_millis(10))
        .reconnect_max(Duration::from_millis(50))
        .build()
        .unwrap()
}

fn pull(ctx: &Context) -> Socket<Pull> {
    ctx.socket::<Pull>().build().unwrap()
}

#[track_caller]
fn assert_refused(result: Result<Endpoint, BindError>, kind: ErrorKind) {
    match result {
        Err(BindError::Listen { source, .. }) => assert_eq!(source.kind(), kind),
        other => panic!("not refused as {kind:?}: {other:?}"),
    }
}

/// The file of a listener that is no more.
fn leave_behind(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    UnixStream::connect(path).unwrap_err();
}

#[test]
fn messages_travel_over_a_path() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, pull, path) = (push(&ctx), pull(&ctx), dir.path("jobs"));
        assert_eq!(pull.bind(at(&path)).unwrap().to_string(), at(&path));
        push.connect(at(&path)).unwrap();
        push.wait_connected(1, PATIENCE).unwrap();
        for number in 0..1000 {
            let parts = ["part".to_owned(), number.to_string()];
            push.send(parts.into_iter().collect::<Message>()).unwrap();
            let message = pull.recv_timeout(PATIENCE).unwrap();
            assert_eq!((message.len(), message.part(1).unwrap()), (2, number.to_string().as_bytes()));
        }
        assert_eq!(dir.names(), ["jobs"]);
    });
}

#[test]
fn the_side_that_binds_may_send_too() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, pulls) = (push(&ctx), [pull(&ctx), pull(&ctx)]);
        let bound = push.bind(at(&dir.path("jobs"))).unwrap();
        pulls.iter().for_each(|pull| pull.connect(&bound).unwrap());
        push.wait_connected(2, PATIENCE).unwrap();
        for _ in 0..2 {
            push.send("one for each").unwrap();
        }
        for pull in &pulls {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "one for each");
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn messages_travel_over_an_abstract_name() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let name = format!("ipc://@ferromq test/{}", std::process::id());
        push.connect(&name).unwrap();
        for _ in 0..3 {
            let bound = pull.bind(&name).unwrap();
            assert_eq!(bound.to_string(), name);
            assert_refused(pull.bind(&name), ErrorKind::AddrInUse);
            assert_joined(&push, &pull);
            pull.unbind(bound).unwrap();
            eventually("the connection is gone", || push.stats().peers == 0);
        }
    });
}

#[test]
fn a_star_is_a_new_place_that_is_gone_in_the_end() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (push, pull) = (push(&ctx), pull(&ctx));
        let bound = [pull.bind("ipc://*").unwrap(), pull.bind("ipc://*").unwrap()];
        assert_ne!(bound[0], bound[1]);
        let [dir, other] = bound.each_ref().map(|endpoint| path_of(endpoint).parent().unwrap().to_owned());
        assert!(fs::metadata(path_of(&bound[0])).unwrap().file_type().is_socket());
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        push.connect(&bound[0]).unwrap();
        assert_joined(&push, &pull);
        pull.unbind(&bound[0]).unwrap();
        assert!(!dir.exists() && other.exists());
        drop(pull.close(Duration::ZERO));
        assert!(!other.exists());
        let refused = ConnectError::Endpoint(EndpointError::ConnectToAnyPath);
        assert_eq!(push.connect("ipc://*").unwrap_err(), refused);
    });
}

#[test]
fn connect_may_come_before_bind() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, pull, path) = (push(&ctx), pull(&ctx), dir.path("late"));
        push.connect(at(&path)).unwrap();
        for number in 0..100 {
            push.send(number.to_string()).unwrap();
        }
        assert_eq!(push.stats().peers, 0);
        pull.bind(at(&path)).unwrap();
        for number in 0..100 {
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), number.to_string().as_str());
        }
    });
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    within(PATIENCE, || {
        let (ours, theirs, dir) = (Context::new().unwrap(), Context::new().unwrap(), Dir::new());
        let (push, path) = (push(&ours), dir.path("jobs"));
        push.connect(at(&path)).unwrap();
        for _ in 0..10 {
            let pull = pull(&theirs);
            pull.bind(at(&path)).unwrap();
            assert_joined(&push, &pull);
            drop(pull.close(Duration::ZERO));
            eventually("the connection is gone", || push.stats().peers == 0);
        }
    });
}

#[test]
fn a_listener_with_a_full_backlog_is_tried_again() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let path = dir.path("busy");
        let address = SockAddr::unix(&path).unwrap();
        let busy = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&address).unwrap();
        busy.listen(1).unwrap();
        let dial = || {
            let stream = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream.connect(&address).map(|()| stream)
        };
        let waiting: Vec<_> = std::iter::repeat_with(dial).map_while(Result::ok).take(100).collect();
        assert!(waiting.len() < 100, "the backlog has no end");

        let (push, pull) = (push(&ctx), pull(&ctx));
        push.connect(at(&path)).unwrap();
        assert!(push.wait_connected(1, Duration::from_millis(100)).is_err());
        if cfg!(target_os = "linux") {
            assert_refused(pull.bind(at(&path)), ErrorKind::AddrInUse);
        }
        for _ in waiting {
            busy.accept().unwrap();
        }
        let mut greeting = [0];
        busy.accept().unwrap().0.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, [0xff], "the greeting of a peer");
    });
}

#[test]
fn the_file_is_gone_when_unbind_or_close_returns() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (mut old, path) = (pull(&ctx), dir.path("jobs"));
        for turn in 0..20 {
            let push = push(&ctx);
            old.bind(at(&path)).unwrap();
            push.connect(at(&path)).unwrap();
            assert_joined(&push, &old);
            match turn % 2 {
                0 => old.unbind(at(&path)).unwrap(),
                _ => {
                    drop(old.close(Duration::ZERO));
                    old = pull(&ctx);
                }
            }
            assert_eq!(dir.names(), [""; 0], "turn {turn}");
        }
    });
}

#[test]
fn the_file_is_gone_soon_after_a_socket_is_dropped() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let pull = pull(&ctx);
        pull.bind(at(&dir.path("jobs"))).unwrap();
        drop(pull);
        eventually("the file is gone", || dir.names().is_empty());
    });
}

#[test]
fn a_context_that_ends_leaves_no_file_behind() {
    within(PATIENCE, || {
        let dir = Dir::new();
        for turn in 0..100 {
            let ctx = Context::new().unwrap();
            let pull = pull(&ctx);
            pull.bind(at(&dir.path("jobs"))).unwrap();
            if turn % 2 == 0 {
                drop(pull);
            } else {
                drop(ctx.close(Duration::ZERO));
            }
            drop(ctx);
            assert_eq!(dir.names(), [""; 0], "turn {turn}");
        }
    });
}

#[test]
fn a_listener_is_not_robbed_of_its_path() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, first, second) = (push(&ctx), pull(&ctx), pull(&ctx));
        let [ours, foreign] = ["ours", "foreign"].map(|name| dir.path(name));
        first.bind(at(&ours)).unwrap();
        let listener = UnixListener::bind(&foreign).unwrap();
        for path in [&ours, &foreign] {
            for socket in [&first, &second] {
                assert_refused(socket.bind(at(path)), ErrorKind::AddrInUse);
            }
        }
        assert_eq!(dir.names(), ["foreign", "ours"]);
        UnixStream::connect(&foreign).unwrap();
        drop(listener);
        push.connect(at(&ours)).unwrap();
        assert_joined(&push, &first);
    });
}

#[test]
fn what_a_killed_listener_left_behind_is_taken_over() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, pull, path) = (push(&ctx), pull(&ctx), dir.path("jobs"));
        leave_behind(&path);
        push.connect(at(&path)).unwrap();
        pull.bind(at(&path)).unwrap();
        assert_joined(&push, &pull);
        assert_eq!(dir.names(), ["jobs"]);
        pull.unbind(at(&path)).unwrap();
        assert_eq!(dir.names(), [""; 0]);
    });
}

#[test]
fn of_many_that_would_take_over_one_does() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let path = dir.path("jobs");
        for turn in 0..10 {
            leave_behind(&path);
            let pulls: Vec<_> = (0..8).map(|_| pull(&ctx)).collect();
            let bound: Vec<_> = thread::scope(|scope| {
                let binding: Vec<_> = pulls.iter().map(|pull| scope.spawn(|| pull.bind(at(&path)))).collect();
                binding.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let winners: Vec<_> = bound.iter().zip(&pulls).filter(|(bound, _)| bound.is_ok()).collect();
            assert_eq!(winners.len(), 1, "turn {turn}: {bound:?}");
            let push = push(&ctx);
            push.connect(at(&path)).unwrap();
            assert_joined(&push, winners[0].1);
            winners[0].1.unbind(at(&path)).unwrap();
            assert_eq!(dir.names(), [""; 0], "turn {turn}");
        }
    });
}

#[test]
fn what_is_no_socket_is_not_touched() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let pull = pull(&ctx);
        let [file, link, left] = ["file", "link", "left"].map(|name| dir.path(name));
        fs::write(&file, "of value").unwrap();
        leave_behind(&left);
        symlink(&left, &link).unwrap();
        for path in [&file, &link, &dir.0] {
            assert_refused(pull.bind(at(path)), ErrorKind::AddrInUse);
        }
        assert_eq!(fs::read(&file).unwrap(), b"of value");
        assert_eq!(dir.names(), ["file", "left", "link"]);
        assert_refused(pull.bind(at(&dir.path("nowhere/jobs"))), ErrorKind::NotFound);
    });
}

#[test]
fn the_file_of_another_is_left_alone() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (pull, path) = (pull(&ctx), dir.path("jobs"));
        pull.bind(at(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        pull.unbind(at(&path)).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(listener);
    });
}

#[test]
fn a_mebibyte_at_a_time_comes_whole() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (large, small) = (push(&ctx), ctx.socket::<Push>().send_buffer(4096).build().unwrap());
        let (pull, path) = (pull(&ctx), dir.path("jobs"));
        pull.bind(at(&path)).unwrap();
        let body: Vec<u8> = (0..1 << 20).map(|octet: u32| (octet % 251) as u8).collect();
        for push in [&large, &small] {
            push.connect(at(&path)).unwrap();
            thread::scope(|scope| {
                let sending = blocked(scope, || {
                    (0..20).try_for_each(|_| push.send(body.clone())).map_err(SendError::into_message)
                });
                for _ in 0..20 {
                    assert!(pull.recv_timeout(PATIENCE).unwrap() == body[..]);
                }
                sending.join().unwrap().unwrap();
            });
        }
    });
}

/// The stream has room again whenever the peer reads, and that is of no interest to who waits for an answer.
#[test]
#[cfg(target_os = "linux")]
fn who_waits_for_an_answer_is_not_woken_by_the_peers_reading() {
    within(PATIENCE, || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (pair, path) = (ctx.socket::<Pair>().build().unwrap(), dir.path("calls"));
        pair.bind(at(&path)).unwrap();
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.write_all(&[greeting(3, 1, "NULL"), ready("PAIR")].concat()).unwrap();
        pair.wait_connected(1, PATIENCE).unwrap();
        thread::spawn(move || {
            let mut octets = [0; 1024];
            // In both pauses whoever waits has the time to fall asleep.
            let pause = || thread::sleep(Duration::from_millis(1));
            pause();
            while peer.read(&mut octets).is_ok_and(|octets| octets > 0) {
                pause();
                if peer.write_all(&raw::message(&[b"done"])).is_err() {
                    return;
                }
                pause();
            }
        });
        let before = usage::naps();
        for _ in 0..200 {
            pair.send("do").unwrap();
            assert_eq!(pair.recv().unwrap(), "done");
        }
        let naps = usage::naps() - before;
        assert!(naps < 300, "200 answers, for which the thread slept {naps} times");
    });
}

#[test]
fn a_path_has_as_many_octets_as_an_address_has_room_for() {
    let most = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };
    within(PATIENCE, move || {
        let (ctx, dir) = (Context::new().unwrap(), Dir::new());
        let (push, pull, path) = (push(&ctx), pull(&ctx), dir.path_of_length(most));
        leave_behind(&path);
        pull.bind(at(&path)).unwrap();
        push.connect(at(&path)).unwrap();
        assert_joined(&push, &pull);
        let longer = at(&dir.path_of_length(most + 1));
        assert!(matches!(pull.bind(&longer), Err(BindError::Endpoint(EndpointError::PathTooLong))));
        assert_eq!(push.connect(&longer), Err(ConnectError::Endpoint(EndpointError::PathTooLong)));
    });
}

/// The claim that keeps two of ours apart is a name that any user of the machine can take.
#[cfg(target_os = "linux")]
#[test]
fn nobody_else_can_keep_us_from_binding() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::MetadataExt;
    let dir = Dir::new();
    let found = fs::metadata(dir.path("")).unwrap();
    let name = format!("ferromq-{:x}-{:x}", found.dev(), found.ino());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let _taken = UnixListener::bind_addr(&address).unwrap();
    let ctx = Context::new().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    pull.bind(format!("ipc://{}", dir.path("late").display())).unwrap();
}

/// Where only a relative path is short enough. Run alone, for the current directory is that of the whole process.
#[test]
fn what_was_left_behind_in_a_deep_directory_gives_way() {
    let dir = Dir::new();
    if std::env::var_os(DEEP).is_none() {
        let deep = dir.path(&"d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "what_was_left_behind_in_a_deep_directory_gives_way";
        let outcome = alone.args(["--exact", name]).current_dir(deep).env(DEEP, "").output().unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stdout));
        return;
    }
    drop(UnixListener::bind("stale").unwrap());
    let ctx = Context::new().unwrap();
    let pull = ctx.socket::<Pull>().build().unwrap();
    pull.bind("ipc://stale").unwrap();
}

/// Says that the test runs by itself.
const DEEP: &str = "FERROMQ_TEST_DEEP";
