//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const HELP: &str = "\
Counts the words of the text files in a directory, in several processes joined by PUSH and PULL sockets.

usage: pipeline [PATH] [--workers N] [--repeat N] [--slow [MS]] [--kill]
       pipeline sink       --results ENDPOINT --feedback ENDPOINT
       pipeline ventilator --tasks ENDPOINT --results ENDPOINT --feedback ENDPOINT [PATH]
       pipeline worker     --tasks ENDPOINT --results ENDPOINT

Without a role everything runs on this machine: a sink, a ventilator and four workers, each a process of its own.

  PATH           directory or file to read (default: the repository of this example)
  --workers N    how many workers to start; the ventilator waits until so many are there (default: 4; alone: 1)
  --repeat N     go over the files N times (default: as often as makes 256 MiB, at most 1000 times)
  --slow [MS]    one worker (alone: this one) sleeps so long before each parcel (default: 10 ms)
  --kill         one worker is killed half way; what it had is sent again

With a role one part runs alone. The sink binds --results and --feedback, the ventilator binds --tasks, and
everybody connects to what the others have bound. The order in which they start does not matter.

  --tasks E      where the ventilator gives out parcels
  --results E    where the sink takes what the workers have counted
  --feedback E   where the sink tells the ventilator what has arrived
  --name NAME    what a worker is called in the report (default: worker and its process id)
  --wait SECS    how long a part waits for the others before it gives up (default: 60)
  --tied         end at once when standard input does, so as not to outlive whoever has started this part

Over three machines, of which ALPHA runs ventilator and sink:

  alpha$ pipeline sink --results tcp://0.0.0.0:5558 --feedback tcp://0.0.0.0:5559
  alpha$ pipeline ventilator /usr/share/doc --workers 2 --tasks tcp://0.0.0.0:5557 \\
             --results tcp://127.0.0.1:5558 --feedback tcp://127.0.0.1:5559
  beta$  pipeline worker --name beta  --tasks tcp://ALPHA:5557 --results tcp://ALPHA:5558
  gamma$ pipeline worker --name gamma --tasks tcp://ALPHA:5557 --results tcp://ALPHA:5558

The exit code is 0 if the total equals the direct count, 1 if it does not or if something failed, and 2 for a
mistake on the command line.";

/// Which part this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Help,
    Local,
    Ventilator,
    Worker,
    Sink,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) workers: usize,
    pub(crate) repeat: Option<u64>,
    pub(crate) slow: Option<Duration>,
    pub(crate) kill: bool,
    pub(crate) tied: bool,
    pub(crate) wait: Duration,
    tasks: Option<String>,
    results: Option<String>,
    feedback: Option<String>,
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = args.peekable();
        let role = args.peek().and_then(|first| role(first));
        if role.is_some() {
            args.next();
        }
        let mut options = Self::new(role.unwrap_or(Role::Local));
        let mut path = None;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => options.role = Role::Help,
                "--tasks" => options.tasks = Some(value()?),
                "--results" => options.results = Some(value()?),
                "--feedback" => options.feedback = Some(value()?),
                "--name" => options.name = value()?,
                "--workers" => options.workers = number(&arg, &value()?)? as usize,
                "--repeat" => options.repeat = Some(number(&arg, &value()?)?),
                "--wait" => options.wait = Duration::from_secs(number(&arg, &value()?)?),
                "--slow" => {
                    let millis = args.peek().and_then(|next| next.parse().ok());
                    if millis.is_some() {
                        args.next();
                    }
                    options.slow = Some(millis.map_or(DAWDLE, Duration::from_millis));
                }
                "--kill" => options.kill = true,
                "--tied" => options.tied = true,
                _ if arg.starts_with('-') => return Err(format!("there is no option {arg}")),
                _ if path.is_none() => path = Some(PathBuf::from(arg)),
                _ => return Err(format!("{arg} is one path too many")),
            }
        }
        if let Some(path) = path {
            options.path = path;
        }
        options.check()
    }

    pub(crate) fn tasks(&self) -> Result<&str, String> {
        self.tasks.as_deref().ok_or_else(|| "--tasks ENDPOINT is missing".into())
    }

    pub(crate) fn results(&self) -> Result<&str, String> {
        self.results.as_deref().ok_or_else(|| "--results ENDPOINT is missing".into())
    }

    pub(crate) fn feedback(&self) -> Result<&str, String> {
        self.feedback.as_deref().ok_or_else(|| "--feedback ENDPOINT is missing".into())
    }

    fn new(role: Role) -> Self {
        let (name, workers) = match role {
            Role::Help | Role::Local => ("pipeline".into(), 4),
            Role::Ventilator => ("ventilator".into(), 1),
            Role::Worker => (format!("worker-{}", std::process::id()), 1),
            Role::Sink => ("sink".into(), 1),
        };
        Self {
            role,
            name,
            path: default_path(),
            workers,
            repeat: None,
            slow: None,
            kill: false,
            tied: false,
            wait: Duration::from_secs(60),
            tasks: None,
            results: None,
            feedback: None,
        }
    }

    /// Finds what is missing before anything is started.
    fn check(self) -> Result<Self, String> {
        match self.role {
            Role::Help => {}
            Role::Local if self.kill && self.workers < 2 => {
                return Err("--kill needs a worker that survives; give --workers 2 or more".into());
            }
            Role::Local => {}
            Role::Ventilator => {
                self.tasks().and_then(|_| self.results()).and_then(|_| self.feedback())?;
            }
            Role::Worker => {
                self.tasks().and_then(|_| self.results())?;
            }
            Role::Sink => {
                self.results().and_then(|_| self.feedback())?;
            }
        }
        Ok(self)
    }
}

fn role(word: &str) -> Option<Role> {
    match word {
        "ventilator" => Some(Role::Ventilator),
        "worker" => Some(Role::Worker),
        "sink" => Some(Role::Sink),
        "help" => Some(Role::Help),
        _ => None,
    }
}

/// The repository of this example, or where we are if the program has moved away from it.
fn default_path() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    if repository.is_dir() { repository.into() } else { ".".into() }
}

/// A number that is at least one: zero workers, repeats or seconds make no sense.
fn number(option: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{option} needs a number above zero, not {value}")),
        Ok(number) => Ok(number),
    }
}

/// How long a slow worker sleeps before each parcel if nothing else is said.
const DAWDLE: Duration = Duration::from_millis(10);
