//! What is measured runs in processes of their own: one that runs out of memory may abort, or hang.

use crate::failure::Failure;
use crate::task::{Card, Said, Task};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const OPTION: &str = "in-a-child";

/// What a child said, and how it ended.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) said: Vec<Said>,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Well,
    /// By a signal, or with another code than 0.
    Badly(ExitStatus),
    /// It was ended, since it said nothing for so long.
    Silent(Duration),
    /// It was ended, since it was still there so long after it had closed its output.
    Hung(Duration),
}

/// The CUDA card, if there is one.
pub(crate) fn card() -> Result<Option<Card>, Failure> {
    match answer(&Task::Card)? {
        Said::Card(card) => Ok(card),
        other => Err(format!("the child that looks for the card said {other:?}").into()),
    }
}

/// What a child that is to end well says last.
pub(crate) fn answer(task: &Task) -> Result<Said, Failure> {
    let mut heard = ask(task)?;
    match (heard.said.pop(), heard.end) {
        (Some(said), End::Well) => Ok(said),
        (said, end) => Err(format!("{task:?}: {end}; its last word: {said:?}").into()),
    }
}

/// What comes of a child. That it ends badly is no error: what it did not say did not happen.
pub(crate) fn ask(task: &Task) -> Result<Heard, Failure> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args([format!("--{OPTION}"), serde_json::to_string(task)?]);
    hear(&mut child, task.patience())
}

/// Runs a child until it ends, or says nothing for so long, or is still there so long after it has closed its output.
pub(crate) fn hear(child: &mut Command, patience: Duration) -> Result<Heard, Failure> {
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = child.stdout.take().ok_or("the child has no output")?;
    let (line, heard) = mpsc::channel();
    let reader = thread::spawn(move || {
        let lines = BufReader::new(lines).lines();
        lines
            .map_while(Result::ok)
            .all(|text| line.send(text).is_ok())
    });
    let mut said = Vec::new();
    let is_silent = loop {
        match heard.recv_timeout(patience) {
            // What else a library may print is not for this program.
            Ok(text) => said.extend(serde_json::from_str::<Said>(&text)),
            Err(error) => break error == RecvTimeoutError::Timeout,
        }
    };
    let end = if is_silent {
        child.kill()?;
        child.wait()?;
        End::Silent(patience)
    } else {
        match end(&mut child, patience)? {
            Some(status) if status.success() => End::Well,
            Some(status) => End::Badly(status),
            None => End::Hung(patience),
        }
    };
    // It ends with the child's output.
    let _all_was_heard = reader.join();
    Ok(Heard { said, end })
}

/// How a child ends that has closed its output. One that hangs is ended.
fn end(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("it ended well"),
            Self::Badly(status) if status.code().is_some() => f.write_str("it failed"),
            Self::Badly(_) => f.write_str("it aborted"),
            Self::Silent(time) => write!(f, "silent for over {} s", time.as_secs()),
            Self::Hung(time) => write!(f, "it hung at its end for {} s", time.as_secs()),
        }
    }
}

pub(crate) fn say(said: &Said) -> Result<(), Failure> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    Ok(io::stdout().lock().write_all(line.as_bytes())?)
}
