//! What is measured runs in processes of their own: one that runs out of memory may abort, or hang.

use crate::failure::Failure;
use crate::task::{Said, Task};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const OPTION: &str = "in-a-child";
const AT_MOST: Duration = Duration::from_secs(45);

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
