//! The examples, as processes of their own.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::wait::{PATIENCE, eventually};

/// A process that runs an example. It does not outlive its value.
pub struct Example {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// What it has printed, as far as it was looked at.
    printed: Vec<String>,
    complaints: Option<JoinHandle<String>>,
}

/// How a process has ended.
#[derive(Debug)]
pub struct End {
    /// None if it was killed.
    pub code: Option<i32>,
    pub printed: Vec<String>,
    pub complaints: String,
}

impl Example {
    /// Starts it. It is told, should it care, that its input ends when it may go.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(args).env("BENCH_CTL", "1").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut errors = child.stderr.take().unwrap();
        let complaints = Some(thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            text
        }));
        Self { name: format!("{name} {}", args.join(" ")), child, lines, printed: Vec::new(), complaints }
    }

    /// Waits for a line that begins like this, and returns the rest of it.
    #[track_caller]
    pub fn says(&mut self, beginning: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{} never said {beginning:?}, but {:?}", self.name, self.printed);
            };
            self.printed.push(line);
            if let Some(rest) = self.printed[self.printed.len() - 1].strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Closes its input and waits for its end.
    #[track_caller]
    pub fn end(mut self) -> End {
        drop(self.child.stdin.take());
        eventually(&format!("the end of {}", self.name), || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        self.printed.extend(self.lines.iter());
        let complaints = self.complaints.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
        End { code, printed: std::mem::take(&mut self.printed), complaints }
    }

    /// Waits for its end, which is to be a good one, and returns what it has printed.
    #[track_caller]
    pub fn succeeds(self) -> Vec<String> {
        let name = self.name.clone();
        let end = self.end();
        assert!(end.code == Some(0) && end.complaints.is_empty(), "{name}: {end:?}");
        end.printed
    }

    /// Kills it, as by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of an example, with the profile of this test. It is built first, since a test that is run by itself, or
/// belongs to another package, does not have the examples built.
pub fn program(name: &str) -> PathBuf {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let test = env::current_exe().unwrap(); // <target>/<directory of the profile>/deps/<test>
    let directory = test.parent().and_then(Path::parent).unwrap();
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.iter().any(|known| known == name) {
        let profile = match directory.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "ferromq", "--example", name, "--profile", profile]);
        cargo.arg("--target-dir").arg(directory.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "the example {name} cannot be built");
        built.push(name.to_owned());
    }
    directory.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION)
}
