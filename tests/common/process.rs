//! Parts of a test that run in a process of their own: one that can be measured by itself, or killed.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that runs one ignored test of this file. It does not outlive its value.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it. Its [`task`] is the text.
    pub fn start(test: &str, task: impl Display) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(TASK, task.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    /// Tells it something, which comes out of [`orders`] there.
    #[track_caller]
    pub fn tell(&mut self, order: impl Display) {
        writeln!(self.input, "{order}").expect("the process lives");
    }

    /// The next thing it [`say`]s.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let mut lines = self.output.by_ref().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix(MARK).map(str::to_owned)).expect("the process lives")
    }

    /// Kills it, as by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The task of this process, if a test has started it.
pub fn task() -> Option<String> {
    env::var(TASK).ok()
}

/// What this process is told, line by line, until who started it is gone.
pub fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}

/// Says something to who started this process.
pub fn say(what: impl Display) {
    // The name of the test stands before it, without an end of its line.
    println!("\n{MARK}{what}");
}

pub const TASK: &str = "FERROMQ_TEST_TASK";
const MARK: &str = "> ";
