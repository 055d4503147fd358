//! The whole pipeline on this machine: starts every part as a process of its own, and looks after them.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::options::Options;
use crate::{Failure, progress, say};

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut sink = Part::start("sink", &["sink", "--results", ANY_PORT, "--feedback", ANY_PORT])?;
    let results = sink.announced("results ")?;
    let feedback = sink.announced("feedback ")?;
    let mut ventilator = start_ventilator(options, &results, &feedback)?;
    let tasks = ventilator.announced("tasks ")?;
    let mut workers = start_workers(options, &tasks, &results)?;

    let victim = if options.kill { workers.pop() } else { None };
    follow(&mut sink, &mut ventilator, victim)?;

    for part in [&mut sink, &mut ventilator] {
        if !part.has_ended(WAIT)? {
            return Err(format!("the {} does not end", part.name).into());
        }
    }
    // A slow worker may still have copies of what others have done: no need to wait for these.
    for worker in &mut workers {
        worker.has_ended(GRACE)?;
    }
    Ok(())
}

/// Passes on what the sink says until it has said all, and kills the victim half way.
fn follow(sink: &mut Part, ventilator: &mut Part, mut victim: Option<Part>) -> Result<(), Failure> {
    let live = std::io::stderr().is_terminal();
    while let Some(line) = sink.next_line(ventilator)? {
        let percent = progress::percent(&line);
        if percent.is_none() || !live {
            say(&line);
        }
        if percent >= Some(50) {
            if let Some(mut victim) = victim.take() {
                if live {
                    eprintln!(); // leaves the live line as it is
                }
                victim.kill()?;
            }
        }
    }
    Ok(())
}

fn start_ventilator(options: &Options, results: &str, feedback: &str) -> Result<Part, Failure> {
    let path = options.path.to_str().ok_or("the path has to be valid Unicode")?;
    let workers = options.workers.to_string();
    let repeat = options.repeat.map(|times| times.to_string());
    let mut args =
        vec!["ventilator", path, "--tasks", ANY_PORT, "--results", results, "--feedback", feedback];
    args.extend(["--workers", &workers]);
    if let Some(times) = &repeat {
        args.extend(["--repeat", times]);
    }
    Part::start("ventilator", &args)
}

/// Starts the workers; the first one is the slow one.
fn start_workers(options: &Options, tasks: &str, results: &str) -> Result<Vec<Part>, Failure> {
    let mut workers = Vec::new();
    for number in 1..=options.workers {
        let slow = options.slow.filter(|_| number == 1).map(|pause| pause.as_millis().to_string());
        let name = format!("worker-{number}{}", if slow.is_some() { " (slow)" } else { "" });
        let mut args = vec!["worker", "--name", &name, "--tasks", tasks, "--results", results];
        if let Some(millis) = &slow {
            args.extend(["--slow", millis]);
        }
        workers.push(Part::start(&name, &args)?);
    }
    Ok(workers)
}

/// A process that does one part. It does not outlive its value; and if we are killed ourselves, its input ends, to
/// which it is tied.
struct Part {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Part {
    fn start(name: &str, args: &[&str]) -> Result<Self, Failure> {
        let program = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let wait = WAIT.as_secs().to_string();
        let mut child = Command::new(program)
            .args(args)
            .args(["--wait", &wait, "--tied"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the {name}: {error}"))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            // A thread, because a pipe cannot be read with a deadline. It ends with the process at the other end.
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Self { name: name.into(), child, lines })
    }

    /// The endpoint that the process has bound: the rest of the line that begins like this.
    fn announced(&mut self, beginning: &str) -> Result<String, Failure> {
        let line = self.lines.recv_timeout(WAIT).map_err(|_| format!("the {} did not start", self.name))?;
        say(format_args!("{:<16} process {:>7}   {line}", self.name, self.child.id()));
        let endpoint = line.strip_prefix(beginning);
        Ok(endpoint.ok_or_else(|| format!("the {} said {line:?}", self.name))?.to_owned())
    }

    /// The next line of the process, or nothing once it has closed its output. Gives up if `other` fails meanwhile.
    fn next_line(&mut self, other: &mut Self) -> Result<Option<String>, Failure> {
        let start = Instant::now();
        while start.elapsed() < 2 * WAIT {
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(status) = other.child.try_wait()? {
                other.judge(status)?;
            }
        }
        Err(format!("the {} says nothing any more", self.name).into())
    }

    fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().map_err(|error| format!("cannot kill {}: {error}", self.name))?;
        say(format_args!("killed {}, process {}", self.name, self.child.id()));
        Ok(())
    }

    /// Waits so long for the process to end by itself, and well.
    fn has_ended(&mut self, limit: Duration) -> Result<bool, Failure> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return self.judge(status).map(|()| true);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    fn judge(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() { Ok(()) } else { Err(format!("the {} failed ({status})", self.name).into()) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ANY_PORT: &str = "tcp://127.0.0.1:0";
/// How long a part waits for the others, and we for it.
const WAIT: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(100);
