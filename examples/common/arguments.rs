//! Arguments that several programs take. What would only fail after the work is refused before it.

use lexopt::ValueExt as _;
use std::path::{Path, PathBuf};

pub(crate) fn number(
    parser: &mut lexopt::Parser,
    name: &str,
    least: usize,
    most: usize,
) -> Result<usize, lexopt::Error> {
    let value = parser.value()?;
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} takes a number from {least} to {most}, not {value:?}").into()),
    }
}

/// The folder that `--timeline` names. Makes it.
pub(crate) fn timeline(folder: PathBuf) -> Result<PathBuf, lexopt::Error> {
    if !cfg!(feature = "timeline") {
        let problem = concat!(
            "--timeline needs the feature: cargo run --release --features timeline --example ",
            env!("CARGO_BIN_NAME"),
        );
        return Err(problem.into());
    }
    self::folder("--timeline", folder)
}

/// A folder for what is written. Makes it.
pub(crate) fn folder(name: &str, folder: PathBuf) -> Result<PathBuf, lexopt::Error> {
    let problem = |error| format!("{name} {}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(problem)?;
    Ok(folder)
}

/// The file that `--json` names.
pub(crate) fn json(file: PathBuf) -> Result<PathBuf, lexopt::Error> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() || file.is_dir() {
        let problem = format!(
            "--json {}: give a file in an existing folder",
            file.display()
        );
        return Err(problem.into());
    }
    Ok(file)
}
