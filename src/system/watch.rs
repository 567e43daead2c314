//! The file that a service manager names for memory pressure (systemd's `MEMORY_PRESSURE_WATCH`).

use super::machine::malformed;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What is watched, and where the environment says so.
const WATCH: &str = "MEMORY_PRESSURE_WATCH";
/// What is written to it first, in base64.
const WRITE: &str = "MEMORY_PRESSURE_WRITE";

/// Pressure as a service manager tells it: a file with triggers (the kernel's stall information), a pipe or a socket.
#[derive(Debug)]
pub struct PressureWatch {
    file: OwnedFd,
    events: libc::c_short,
}

/// What the environment says of watching.
#[derive(Debug)]
pub enum WatchSetting {
    /// Nothing.
    Unset,
    /// `/dev/null`: this process is to watch nothing.
    Off,
    /// A file to watch, and what is written to it first.
    File(OsString, Vec<u8>),
}

impl WatchSetting {
    /// Reads `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE`.
    ///
    /// # Errors
    ///
    /// If the second is no base64.
    pub fn from_env() -> io::Result<Self> {
        Self::of(env::var_os(WATCH).as_deref(), env::var_os(WRITE).as_deref())
    }

    fn of(watch: Option<&OsStr>, write: Option<&OsStr>) -> io::Result<Self> {
        let Some(path) = watch.filter(|path| !path.is_empty()) else {
            return Ok(Self::Unset);
        };
        if path == "/dev/null" {
            return Ok(Self::Off);
        }
        let text = write.unwrap_or_default().as_encoded_bytes();
        let written = decoded(text).ok_or_else(|| malformed(format!("{WRITE} is no base64")))?;
        Ok(Self::File(path.to_owned(), written))
    }
}

impl PressureWatch {
    /// Begins to watch: opens the file, or connects to it, and writes `first` to it.
    ///
    /// # Errors
    ///
    /// If that fails; also for a path that is not absolute.
    pub fn open(path: &Path, first: &[u8]) -> io::Result<Self> {
        if !path.is_absolute() {
            return Err(malformed(format!("{WATCH} is not absolute")));
        }
        let kind = path.metadata()?.file_type();
        let (file, events) = if kind.is_socket() {
            let mut stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            stream.write_all(first)?;
            (OwnedFd::from(stream), libc::POLLIN)
        } else {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true);
            let mut file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
            file.write_all(first)?;
            let is_pipe = kind.is_fifo();
            (
                file.into(),
                if is_pipe { libc::POLLIN } else { libc::POLLPRI },
            )
        };
        Ok(Self { file, events })
    }

    /// Whether pressure was told since the last call. Does not wait.
    ///
    /// # Errors
    ///
    /// If what is watched has gone.
    pub fn take(&mut self) -> io::Result<bool> {
        let mut polled = libc::pollfd {
            fd: self.file.as_fd().as_raw_fd(),
            events: self.events,
            revents: 0,
        };
        // SAFETY: one descriptor, which is open and ours; the call does not wait and keeps no pointer.
        let count = unsafe { libc::poll(&raw mut polled, 1, 0) };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let came = polled.revents & self.events != 0;
        if came && self.events == libc::POLLIN {
            self.discard()?;
        } else if polled.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(came)
    }

    /// Takes what was sent out of a pipe or a socket. What it says means nothing.
    fn discard(&self) -> io::Result<()> {
        let mut file = File::from(self.file.try_clone()?);
        let mut buffer = [0; 256];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What base64 stands for.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let end = text.iter().rposition(|c| *c != b'=').map_or(0, |at| at + 1);
    let mut bytes = Vec::with_capacity(end);
    let (mut bits, mut count) = (0_u32, 0);
    for c in &text[..end] {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        assert_eq!(
            decoded(b"c29tZSAyMDAwMDAgMjAwMDAwMAA=").as_deref(),
            Some(&b"some 200000 2000000\0"[..])
        );
        assert_eq!(decoded(b""), Some(Vec::new()));
        assert_eq!(decoded(b"c29t!"), None);
    }

    #[test]
    fn the_environment_says_what_to_watch() {
        let of =
            |watch: &str, write: &str| WatchSetting::of(Some(watch.as_ref()), Some(write.as_ref()));
        assert!(matches!(
            WatchSetting::of(None, None),
            Ok(WatchSetting::Unset)
        ));
        assert!(matches!(of("", ""), Ok(WatchSetting::Unset)));
        assert!(matches!(of("/dev/null", "?"), Ok(WatchSetting::Off)));
        assert!(of("/run/x", "?").is_err());
        let Ok(WatchSetting::File(path, first)) = of("/run/x", "c29tZQ==") else {
            panic!("it is to be watched");
        };
        assert_eq!((path.to_str(), &first[..]), (Some("/run/x"), &b"some"[..]));
    }

    #[test]
    fn a_pipe_tells_and_is_emptied() -> io::Result<()> {
        let (mut told, watched) = UnixStream::pair()?;
        watched.set_nonblocking(true)?;
        let mut watch = PressureWatch {
            file: watched.into(),
            events: libc::POLLIN,
        };
        assert!(!watch.take()?);
        told.write_all(&[1; 1000])?;
        assert!(watch.take()?);
        assert!(!watch.take()?);
        drop(told);
        assert!(watch.take().is_err(), "it has gone");
        Ok(())
    }
}
