//! Files that are written whole or not at all, and hold for one key.

use super::{Error, FileProblem, Key};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn failed(path: &Path, problem: FileProblem) -> Error {
    Error::File {
        path: path.to_owned(),
        problem,
    }
}

/// What is in a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, FileProblem::Io(error))),
    }
}

/// What a file's text says.
pub(super) fn parse<C: DeserializeOwned>(text: &[u8]) -> Result<C, FileProblem> {
    serde_json::from_slice(text).map_err(|error| FileProblem::Malformed(error.to_string()))
}

/// Whether a file is written as it is now, and holds for this key.
pub(super) fn check(
    format: u32,
    present: u32,
    found: &Key,
    wanted: &Key,
) -> Result<(), FileProblem> {
    if format != present {
        let text = format!("format {format}, not {present}");
        return Err(FileProblem::Malformed(text));
    }
    if found != wanted {
        return Err(FileProblem::OtherKey {
            found: Box::new(found.clone()),
            wanted: Box::new(wanted.clone()),
        });
    }
    Ok(())
}

/// Writes `content` as JSON. What was there stays whole until all is written.
pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    let written = serde_json::to_vec_pretty(content)
        .map_err(io::Error::from)
        .and_then(|text| replace(path, &text));
    written.map_err(|error| failed(path, FileProblem::Io(error)))
}

/// Puts a file in the place of another in one step.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let name = path
        .file_name()
        .ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut part = name.to_owned();
    // Only uniqueness matters: other threads, and other processes, may write the same file.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    part.push(format!(".{}.{number}.part", std::process::id()));
    let part = path.with_file_name(part);
    let written = write_new(&part, text).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // It may not be there; what went wrong first is what is told.
        let _removed = fs::remove_file(&part);
    }
    written
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    // Before the rename, or a crash of the machine may leave an empty file in its place.
    file.sync_all()
}
