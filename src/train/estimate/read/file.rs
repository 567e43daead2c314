//! Opening and reading files of unknown origin: regular ones alone, and never more than was asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read.
pub(super) enum Unread {
    /// No file at all.
    Gone,
    /// A link to a file that is not there.
    Dangling,
    /// A download that has not ended.
    Unfinished,
    /// A folder.
    Folder,
    /// A named pipe, a device, a socket: opening one may wait for ever, or do something.
    Special,
    /// Longer than it may be.
    Long(u64),
    Other(io::Error),
}

impl Unread {
    pub(super) fn why(&self) -> String {
        match self {
            Self::Gone => "is not there".to_owned(),
            Self::Dangling => "is a link to a file that is not there".to_owned(),
            Self::Unfinished => "is a download that has not ended".to_owned(),
            Self::Folder => "is a folder".to_owned(),
            Self::Special => "is a pipe, a device or a socket".to_owned(),
            Self::Long(bytes) => format!("has {bytes} bytes, which is too long for such a file"),
            Self::Other(error) => format!("cannot be read ({})", error.kind()),
        }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Other(error),
        }
    }
}

/// Opens a regular file, or what a link to one leads to. Never waits for a pipe's other end.
pub(super) fn open(path: &Path) -> Result<(File, u64), Unread> {
    check(&metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // Another file may have taken its place since.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok((file, metadata.len()))
}

/// What is at the path, or what a link there leads to.
pub(super) fn metadata(path: &Path) -> Result<fs::Metadata, Unread> {
    fs::metadata(path).map_err(|error| match Unread::from(error) {
        Unread::Gone if fs::symlink_metadata(path).is_ok() => Unread::Dangling,
        unread => unread,
    })
}

fn check(metadata: &fs::Metadata) -> Result<(), Unread> {
    if metadata.is_dir() {
        Err(Unread::Folder)
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(Unread::Special)
    }
}

/// The whole of a small file.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unread> {
    let (mut file, length) = open(path)?;
    if length > most {
        return Err(Unread::Long(length));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.by_ref().take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What Git leaves of a large file that was not fetched: the size of the file it stands for.
pub(super) fn lfs_pointer(bytes: &[u8]) -> Option<Option<u64>> {
    let rest = bytes.strip_prefix(b"version https://git-lfs.github.com/spec/")?;
    let text = String::from_utf8_lossy(rest.get(..1024).unwrap_or(rest));
    let mut lines = text.lines();
    Some(lines.find_map(|line| line.strip_prefix("size ")?.trim().parse().ok()))
}

/// The whole of a small file beside the weights, or why it was not read. `None` if it is not there.
pub(in crate::train::estimate) fn small(path: &Path) -> Option<Result<Vec<u8>, String>> {
    match read(path, 16 << 20) {
        Ok(bytes) if lfs_pointer(&bytes).is_some() => Some(Err(
            "is a pointer of Git LFS in place of the file".to_owned(),
        )),
        Ok(bytes) => Some(Ok(bytes)),
        Err(Unread::Gone) => None,
        Err(unread) => Some(Err(unread.why())),
    }
}
