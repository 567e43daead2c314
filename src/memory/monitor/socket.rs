//! A Unix socket that tells each connection one line, and closes it.
//!
//! Nothing is read from a connection, so nothing that a client sends can matter. One thread writes, to all connections at
//! once and without waiting for any: what a client does not take within a second is dropped, and of more than sixteen at a
//! time the oldest. Lines are made anew at most fifty times a second, however many connect.

use super::Monitor;
use super::shared::Shared;
use crate::memory::{Error, SocketProblem};
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many connections are served at a time.
const CONNECTIONS: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a line is told again before another one is made.
const FRESH: Duration = Duration::from_millis(20);

/// A socket that tells what a monitor knows. Dropping it ends the thread and removes the file. Made by [`Monitor::serve`].
#[derive(Debug)]
#[must_use = "dropping it ends it"]
pub struct Server {
    shared: Arc<Shared>,
    file: File,
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Tells [all that is known](Self::line) on each connection to a Unix socket at this path: one line of JSON, then it is
    /// closed. `mlx-wired-watch` shows it, and `nc -U` prints it.
    ///
    /// Only the program's own user can connect (the file's mode is 0600). A file that a program left behind which has ended is
    /// replaced. A client that does not read, or sends something, holds up nothing.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let monitor = mlx_wired::memory::monitor::Monitor::start()?;
    /// let _server = monitor.serve("/tmp/train.sock")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Socket`] if another program serves that path, if there is something else, or if the system refuses: the path
    /// may be too long, which is some 100 bytes, or its folder may not be written to. [`Error::Thread`] if it starts none.
    pub fn serve(&self, path: impl AsRef<Path>) -> Result<Server, Error> {
        self.shared.source.check()?;
        let path = path.as_ref();
        let failed = |problem| Error::Socket {
            path: path.to_owned(),
            problem,
        };
        let (listener, file) = bind(path).map_err(failed)?;
        let io = |error| failed(SocketProblem::Io(error));
        listener.set_nonblocking(true).map_err(io)?;
        let (stop, stopped) = UnixStream::pair().map_err(io)?;
        let shared = self.shared.clone();
        let serving = Serving {
            shared: shared.clone(),
            listener,
            stopped,
            connections: VecDeque::new(),
            line: None,
        };
        let thread = thread::Builder::new().name("mlx-wired socket".to_owned());
        let thread = thread.spawn(move || serving.run()).map_err(Error::Thread)?;
        Ok(Server {
            shared,
            file,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Server {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.shared.source.is_own() {
            // Thread and file are its parent's.
            mem::forget((self.stop.take(), self.thread.take()));
            self.file.number = None;
            return;
        }
        if let Some(stop) = self.stop.take() {
            // To close it is not enough: a child that was forked meanwhile, and lives, has it open, too.
            drop(stop.shutdown(Shutdown::Both));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A socket's file, which is removed with this, if it is still the same.
#[derive(Debug)]
struct File {
    path: PathBuf,
    number: Option<(u64, u64)>,
}

impl Drop for File {
    fn drop(&mut self) {
        if self.number.is_some() && number(&self.path).ok() == self.number {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn number(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Makes the socket in a folder that no other user can enter, and moves it to its place when no other user can connect.
fn bind(path: &Path) -> Result<(UnixListener, File), SocketProblem> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let _turn = turn(folder);
    make_way(path)?;
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let inner = folder.join(format!(".{}-{count}", std::process::id()));
    DirBuilder::new()
        .mode(0o700)
        .create(&inner)
        .map_err(SocketProblem::Io)?;
    let made = (|| {
        let socket = inner.join("s");
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        let number = number(&socket)?;
        fs::rename(&socket, path)?;
        let file = File {
            path: std::path::absolute(path)?,
            number: Some(number),
        };
        Ok((listener, file))
    })();
    drop(fs::remove_dir_all(&inner));
    made.map_err(SocketProblem::Io)
}

/// Programs that begin at once take turns, so that one of them finds what the other has made. Any user may have locked a
/// folder that any may read: then, as where folders cannot be locked, it goes on after a second.
fn turn(folder: &Path) -> Option<fs::File> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = fs::File::open(folder).ok()?;
    for _ in 0..100 {
        // SAFETY: the descriptor is open, and nothing else is given.
        if unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Some(folder);
        }
        if io::Error::last_os_error().kind() != ErrorKind::WouldBlock {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Fails unless there is nothing at the path, or a socket that nothing serves.
fn make_way(path: &Path) -> Result<(), SocketProblem> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketProblem::Io(error)),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err(SocketProblem::NotASocket);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SocketProblem::Io(error)),
        Ok(_) => Err(SocketProblem::InUse),
    }
}

struct Serving {
    shared: Arc<Shared>,
    listener: UnixListener,
    stopped: UnixStream,
    /// The oldest first.
    connections: VecDeque<Connection>,
    line: Option<(Instant, Arc<[u8]>)>,
}

struct Connection {
    stream: UnixStream,
    line: Arc<[u8]>,
    written: usize,
    until: Instant,
}

impl Serving {
    fn run(mut self) {
        loop {
            let ready = self.wait();
            if ready.stops {
                return;
            }
            if ready.connects {
                self.accept();
            }
            let now = Instant::now();
            self.connections
                .retain_mut(|it| it.until > now && !it.write());
        }
    }

    /// Sleeps until something is to be done.
    fn wait(&self) -> Ready {
        let entry = |fd: RawFd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut files = vec![
            entry(self.stopped.as_raw_fd(), libc::POLLIN),
            entry(self.listener.as_raw_fd(), libc::POLLIN),
        ];
        let streams = self.connections.iter().map(|it| it.stream.as_raw_fd());
        files.extend(streams.map(|fd| entry(fd, libc::POLLOUT)));
        let ends = self.connections.front().map(|it| it.until);
        let left = ends.map(|until| until.saturating_duration_since(Instant::now()));
        // Up, so that it does not spin through the last millisecond.
        let timeout = left.map_or(-1, |left| left.as_millis() as libc::c_int + 1);
        // SAFETY: `files` is a vector of as many entries as are named; the call writes to their `revents` alone. The
        // descriptors are those of streams that live.
        let found = unsafe { libc::poll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout) };
        if found < 0 {
            // A signal, or no memory: nothing was written. Without a pause the loop might spin.
            thread::sleep(Duration::from_millis(1));
        }
        Ready {
            stops: files[0].revents != 0,
            connects: files[1].revents != 0,
        }
    }

    fn accept(&mut self) {
        // A few at a time, so that the clients that have connected are served meanwhile.
        for _ in 0..CONNECTIONS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // No descriptor is left: the connection stays, and would be found at once again.
                    thread::sleep(Duration::from_millis(20));
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.connections.len() >= CONNECTIONS {
                self.connections.pop_front();
            }
            let line = self.line();
            self.connections.push_back(Connection {
                stream,
                line,
                written: 0,
                until: Instant::now() + PATIENCE,
            });
        }
    }

    fn line(&mut self) -> Arc<[u8]> {
        match &self.line {
            Some((made, line)) if made.elapsed() < FRESH => line.clone(),
            _ => {
                let mut line = self.shared.line();
                line.push('\n');
                let line = Arc::<[u8]>::from(line.into_bytes());
                self.line = Some((Instant::now(), line.clone()));
                line
            }
        }
    }
}

struct Ready {
    stops: bool,
    connects: bool,
}

impl Connection {
    /// Writes what the client takes; whether that was all, or it has gone.
    fn write(&mut self) -> bool {
        loop {
            match self.stream.write(&self.line[self.written..]) {
                Ok(0) => return true,
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
            if self.written == self.line.len() {
                self.drain();
                return true;
            }
        }
    }

    /// What a client has sent is thrown away: closed over it, the connection would be reset, and the line lost.
    fn drain(&mut self) {
        let mut sent = [0; 512];
        for _ in 0..8 {
            if !matches!(self.stream.read(&mut sent), Ok(1..)) {
                return;
            }
        }
    }
}
