//! The shape of the crate, checked on its source text: who may know whom, what the pure modules never touch, how long
//! a file gets.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate. Each may name itself and those before it; `lib.rs` may name all.
const ORDER: &[&str] = &[
    "lock",
    "owner",
    "shield",
    "slots",
    "message",
    "endpoint",
    "zmtp",
    "error",
    "limit",
    "options",
    "monitor",
    "pipe",
    "pattern",
    "peer",
    "session",
    "clock",
    "random",
    "transport",
    "engine",
    "inproc",
    "context",
    "socket",
    "poller",
    "proxy",
    "sim",
    "fuzzing",
    "guide",
    "security",
];
/// The modules that decide and never act: bytes, messages and the time are their arguments.
const PURE: [&str; 7] = ["slots", "message", "zmtp", "pipe", "pattern", "peer", "session"];
/// What a pure module never names.
const IMPURE: [&str; 3] = ["mio", "socket2", "Instant::now"];
/// What a pure module never names of `std`.
const IMPURE_STD: [&str; 2] = ["net", "thread"];
/// What only one module names: others ask that, so that a simulation can answer.
const FROM_ONE_PLACE: [(&str, &str); 2] = [("Instant::now", "clock"), ("RandomState", "random")];
/// The most lines of a file, tests included.
const MAX_LINES: usize = 700;

#[test]
fn modules_name_only_those_before_them() {
    check(order_faults);
}

#[test]
fn pure_modules_touch_no_socket_thread_or_clock() {
    check(purity_faults);
}

#[test]
fn time_and_chance_come_from_one_place_each() {
    check(source_faults);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    check(file_faults);
}

fn order_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    if module == "lib" {
        return Vec::new();
    }
    let Some(own) = rank(module) else {
        return vec![source.fault(0, &format!("add the module {module} to ORDER in tests/architecture.rs"))];
    };
    let mut faults = Vec::new();
    for (at, head) in heads(&source.code, "crate") {
        let what = match rank(head) {
            None => format!("crate::{head} is no module of ORDER: name what is used by its module"),
            Some(other) if other > own => format!("{module} comes before {head} and may not name it"),
            Some(_) => continue,
        };
        faults.push(source.fault(at, &what));
    }
    for at in words(&source.code, "super") {
        let climbs = source.code[at..].split("::").take_while(|&step| step == "super").count();
        if climbs >= source.depth() {
            faults.push(source.fault(at, "super leads out of the module: begin with crate instead"));
        }
    }
    faults
}

/// Where in [`ORDER`] a module stands.
fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|&known| known == module)
}

fn purity_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    if !PURE.contains(&module) {
        return Vec::new();
    }
    let mut names = Vec::new();
    for name in IMPURE {
        names.extend(words(&source.code, name).map(|at| (at, name.to_owned())));
    }
    let of_std = heads(&source.code, "std").into_iter().filter(|(_, head)| IMPURE_STD.contains(head));
    names.extend(of_std.map(|(at, head)| (at, format!("std::{head}"))));
    let fault = |(at, name)| source.fault(at, &format!("{module} is pure and may not name {name}"));
    names.into_iter().map(fault).collect()
}

fn source_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    let mut faults = Vec::new();
    for (name, place) in FROM_ONE_PLACE.into_iter().filter(|(_, place)| *place != module) {
        let fault = |at| source.fault(at, &format!("{name} is for {place} alone: ask that"));
        faults.extend(words(&source.code, name).map(fault));
    }
    faults
}

fn file_faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        faults.push(source.fault(0, &format!("{lines} lines are too many: split the file at {MAX_LINES}")));
    }
    if !source.text.starts_with("//! ") {
        faults.push(source.fault(0, "a file begins with a //! line that says what it is"));
    }
    faults
}

/// Applies a rule to every file of `src/`, and fails with all faults at once.
fn check(rule: fn(&Source) -> Vec<String>) {
    let sources = Source::all();
    assert!(sources.len() > 1, "src/ was not found");
    let faults: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// A file below `src/`.
struct Source {
    /// Relative to `src/`.
    path: PathBuf,
    text: String,
    /// The text without comments, up to the tests.
    code: String,
    /// The files that only tests use, relative to `src/`.
    test_files: Vec<PathBuf>,
}

impl Source {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut dirs = vec![root.clone()];
        let mut sources = Vec::new();
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    sources.push(Self::new(path.strip_prefix(&root).unwrap(), text));
                }
            }
        }
        let test_files: Vec<PathBuf> = sources.iter().flat_map(|source| source.test_files.clone()).collect();
        for source in &mut sources {
            if test_files
                .iter()
                .any(|file| source.path == *file || source.path.starts_with(file.with_extension("")))
            {
                source.code.clear();
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    fn new(path: &Path, text: String) -> Self {
        let uncommented = |line| str::split(line, "//").next().unwrap();
        let mut code: String = text.lines().flat_map(|line| [uncommented(line), "\n"]).collect();
        let dir = if path.ends_with("mod.rs") { path.with_file_name("") } else { path.with_extension("") };
        let mut test_files = Vec::new();
        let mut tests = None;
        for (at, marker) in code.match_indices("#[cfg(test)]") {
            let item = code[at + marker.len()..].trim_start();
            let Some(declared) = item.strip_prefix("mod ") else { continue };
            let name = ident(declared);
            match declared[name.len()..].trim_start().chars().next() {
                Some(';') => test_files.push(dir.join(name).with_extension("rs")),
                _ => tests = tests.or(Some(at)),
            }
        }
        code.truncate(tests.unwrap_or(code.len()));
        Self { path: path.to_owned(), text, code, test_files }
    }

    /// The name of the top-level module that the file belongs to.
    fn module(&self) -> &str {
        let first = self.path.iter().next().unwrap().to_str().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules the file is below the crate root.
    fn depth(&self) -> usize {
        self.path.iter().filter(|&name| name != "mod.rs").count()
    }

    fn fault(&self, at: usize, what: &str) -> String {
        let line = 1 + self.code[..at].matches('\n').count();
        format!("src/{}:{line}: {what}", self.path.display())
    }
}

/// What directly follows `root::` wherever it stands, one name or each of a group in braces, and where.
fn heads<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    let mut heads = Vec::new();
    for start in words(code, root).map(|at| at + root.len()) {
        let Some(path) = code[start..].strip_prefix("::") else { continue };
        let (mut depth, mut fresh) = (0, true);
        for (at, c) in path.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' => fresh = depth == 1,
                _ if fresh && !c.is_whitespace() => {
                    heads.push((start + "::".len() + at, ident(&path[at..])));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 && !fresh {
                break;
            }
        }
    }
    heads
}

/// Where `word` stands for itself, and not as a part of a longer name.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !code[..at].ends_with(is_ident) && !code[at + word.len()..].starts_with(is_ident))
}

/// The identifier that `code` begins with.
fn ident(code: &str) -> &str {
    &code[..code.find(|c| !is_ident(c)).unwrap_or(code.len())]
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The rules themselves, on text that breaks them.
mod rules {
    use super::*;

    fn faults(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(Path::new(path), text.to_owned()))
    }

    #[test]
    fn a_module_may_name_itself_and_those_before_it() {
        let text = "use crate::{message::{Body, Message}, pipe::Outbox,};\n\
                    fn f() { crate::zmtp::g(super::h()) }\n";
        assert_eq!(faults(order_faults, "pipe/outbox.rs", text), [""; 0]);
        assert_eq!(faults(order_faults, "lib.rs", "pub use crate::socket::Socket;\n"), [""; 0]);
    }

    #[test]
    fn each_name_out_of_order_is_found_with_its_line() {
        let text = "//! Doc.\nuse crate::{\n    message::Message,\n    socket::{Socket, core},\n    engine,\n};\n\
                    pub(crate) use crate::peer::Host;\nfn f() { crate::proxy::run() }\n";
        let found = faults(order_faults, "pipe/mod.rs", text);
        let expected = [(4, "socket"), (5, "engine"), (7, "peer"), (8, "proxy")].map(|(line, other)| {
            format!("src/pipe/mod.rs:{line}: pipe comes before {other} and may not name it")
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn no_way_leads_around_the_order() {
        for text in ["use crate::Message;", "use crate::*;", "use super::socket;"] {
            assert_eq!(faults(order_faults, "session.rs", text).len(), 1, "{text}");
            assert_eq!(faults(order_faults, "pipe/mod.rs", text).len(), 1, "{text}");
        }
        assert_eq!(faults(order_faults, "pipe/outbox.rs", "use super::super::socket;").len(), 1);
        let [fault] = &faults(order_faults, "novelty.rs", "")[..] else { panic!("novelty is not in ORDER") };
        assert!(fault.contains("tests/architecture.rs"), "{fault}");
    }

    #[test]
    fn what_is_impure_is_found_in_pure_modules_only() {
        let text = "use std::{fmt, net::IpAddr, thread};\nuse std::time::Instant;\nuse mio::Token;\n\
                    fn f() -> Instant { Instant::now() }\nstruct Premio(socket2::Socket);\n";
        assert_eq!(faults(purity_faults, "engine/mod.rs", text), [""; 0]);
        let found = faults(purity_faults, "session.rs", text);
        let expected = [(3, "mio"), (5, "socket2"), (4, "Instant::now"), (1, "std::net"), (1, "std::thread")]
            .map(|(line, name)| format!("src/session.rs:{line}: session is pure and may not name {name}"));
        assert_eq!(found, expected);
    }

    #[test]
    fn who_asks_the_system_for_the_time_is_found() {
        let text = "//! Doc.\nuse std::hash::RandomState;\nfn f() -> Instant { Instant::now() }\n";
        let found = faults(source_faults, "engine/mod.rs", text);
        let expected =
            [(3, "Instant::now", "clock"), (2, "RandomState", "random")].map(|(line, name, place)| {
                format!("src/engine/mod.rs:{line}: {name} is for {place} alone: ask that")
            });
        assert_eq!(found, expected);
        assert_eq!(faults(source_faults, "clock.rs", "fn f() { Instant::now(); }"), [""; 0]);
    }

    #[test]
    fn comments_and_tests_may_name_anything() {
        let text = "//! Not mio.\nfn f() {} // nor mio\n#[cfg(test)]\nmod twin;\nuse mio;\n\
                    #[cfg(test)]\nmod tests {\n    use mio;\n}\n";
        let fault = "src/pipe/mod.rs:5: pipe is pure and may not name mio";
        assert_eq!(faults(purity_faults, "pipe/mod.rs", text), [fault]);
        let source = Source::new(Path::new("pipe/mod.rs"), text.to_owned());
        assert_eq!(source.test_files, [Path::new("pipe/twin.rs")]);
    }

    #[test]
    fn long_and_nameless_files_are_found() {
        let longest = format!("//! Doc.\n{}", "\n".repeat(MAX_LINES - 1));
        assert_eq!(faults(file_faults, "slots.rs", &longest), [""; 0]);
        assert_eq!(faults(file_faults, "slots.rs", &(longest + "\n")).len(), 1);
        assert_eq!(faults(file_faults, "slots.rs", "use std::fmt;\n").len(), 1);
    }
}
