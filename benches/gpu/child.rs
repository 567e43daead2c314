//! What is measured runs in processes of their own: one that runs out of memory may abort, or hang.

use crate::Failure;
use crate::checkpoint::{self, Way};
use crate::job::Shape;
use crate::sets::{self, Turn};
use mlx_wired::ffi::{self, DeviceKind};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const OPTION: &str = "in-a-child";
const AT_MOST: Duration = Duration::from_secs(45);

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// How large the card is.
    Card,
    /// What jobs need, each alone.
    Measure(Vec<sets::Wanted>),
    /// All jobs of a set, in one way.
    Turn(Turn),
    /// Steps of the transformer, in one way.
    Checkpoint { way: Way, quick: bool },
}

/// What a child says, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Card(Option<u64>),
    Measured(Vec<Sized>),
    /// A job of a turn has ended well.
    Ended,
    /// All jobs of a turn are over.
    Turned {
        seconds: f64,
        peak: u64,
        retired: usize,
    },
    Stepped {
        peak: u64,
        seconds: f64,
    },
}

/// A job whose need is known.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sized {
    pub(crate) shape: Shape,
    /// What its ticket asks for, in bytes.
    pub(crate) ticket: u64,
}

/// The memory of the CUDA card, if there is one.
pub(crate) fn card() -> Result<Option<u64>, Failure> {
    match ask(&Task::Card)?.pop() {
        Some(Said::Card(card)) => Ok(card),
        other => Err(format!("the child that looks for the card said {other:?}").into()),
    }
}

/// What a child says until it ends. That it ends badly is no error: what it did not say did not happen.
pub(crate) fn ask(task: &Task) -> Result<Vec<Said>, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([format!("--{OPTION}"), serde_json::to_string(task)?])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = child.stdout.take().ok_or("the child has no output")?;
    let (line, said) = mpsc::channel();
    let reader = thread::spawn(move || {
        let lines = BufReader::new(lines).lines();
        lines
            .map_while(Result::ok)
            .all(|text| line.send(text).is_ok())
    });
    let said = listen(&said);
    end(&mut child)?;
    // It ends with the child's output.
    let _all_was_heard = reader.join();
    Ok(said)
}

fn listen(lines: &mpsc::Receiver<String>) -> Vec<Said> {
    let began = Instant::now();
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(AT_MOST.saturating_sub(began.elapsed())) {
            // What else a library may print is not for this program.
            Ok(text) => said.extend(serde_json::from_str::<Said>(&text)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return said,
        }
    }
}

/// A child that still runs hangs, or is about to end.
fn end(child: &mut Child) -> io::Result<()> {
    for _ in 0..50 {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait().map(drop)
}

pub(crate) fn say(said: &Said) -> Result<(), Failure> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    Ok(io::stdout().lock().write_all(line.as_bytes())?)
}

/// What a child does.
pub(crate) fn work(task: &str) -> Result<(), Failure> {
    // The first call of mlx-rs installs an error handler that returns, in place of MLX's, which exits.
    mlx_rs::memory::active_memory()?;
    match serde_json::from_str(task)? {
        Task::Card => {
            let device = ffi::device();
            let card = device
                .memory_size
                .filter(|_| device.kind == DeviceKind::Cuda);
            say(&Said::Card(card))
        }
        Task::Measure(wanted) => say(&Said::Measured(sets::measure(&wanted)?)),
        Task::Turn(turn) => turn.take(),
        Task::Checkpoint { way, quick } => checkpoint::step(way, quick),
    }
}
