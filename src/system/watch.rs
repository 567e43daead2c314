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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchSetting {
    /// Nothing.
    Unset,
    /// `/dev/null`: this process is to watch nothing.
    Off,
    /// A file to watch, and what is written to it first: nothing where that is no base64, and then the kernel's files tell
    /// nothing.
    File(OsString, Vec<u8>),
}

impl WatchSetting {
    /// Reads `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::of(env::var_os(WATCH).as_deref(), env::var_os(WRITE).as_deref())
    }

    fn of(watch: Option<&OsStr>, write: Option<&OsStr>) -> Self {
        let Some(path) = watch.filter(|path| !path.is_empty()) else {
            return Self::Unset;
        };
        if path == "/dev/null" {
            return Self::Off;
        }
        let text = write.unwrap_or_default().as_encoded_bytes();
        Self::File(path.to_owned(), decoded(text).unwrap_or_default())
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
        // First: without a trigger the kernel's file says both, at each call.
        if polled.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let came = polled.revents & self.events != 0;
        if came && self.events == libc::POLLIN {
            self.discard()?;
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
    use std::net::Shutdown;

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
        assert_eq!(WatchSetting::of(None, None), WatchSetting::Unset);
        assert_eq!(of("", ""), WatchSetting::Unset);
        assert_eq!(of("/dev/null", "?"), WatchSetting::Off);
        let file = |first: &[u8]| WatchSetting::File("/run/x".into(), first.to_vec());
        assert_eq!(of("/run/x", "?"), file(b""));
        assert_eq!(of("/run/x", "c29tZQ=="), file(b"some"));
    }

    #[test]
    fn what_cannot_be_watched_is_an_error() {
        assert!(PressureWatch::open(Path::new("run/x"), b"").is_err());
        assert!(PressureWatch::open(Path::new("/no/such/file"), b"").is_err());
    }

    /// Where the kernel has stall information, and lets this process ask for it.
    #[test]
    fn the_kernels_file_tells_by_a_trigger_alone() {
        let file = Path::new("/proc/pressure/memory");
        if let Ok(mut watch) = PressureWatch::open(file, b"some 1900000 2000000\0") {
            assert!(watch.take().is_ok());
            let mut without = PressureWatch::open(file, b"").expect("it was opened before");
            assert!(without.take().is_err());
        }
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
        // To drop it is not enough: a child that another test forks may have it open, too.
        told.shutdown(Shutdown::Both)?;
        assert!(watch.take().is_err(), "it has gone");
        Ok(())
    }
}
