//! Asking a program. Nothing is sent to it, so nothing can be changed in it.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A program that does not answer so long is told of.
const PATIENCE: Duration = Duration::from_secs(5);
/// A line is shorter.
const LONGEST: u64 = 1 << 20;

/// What the program tells, without the line's end.
pub fn ask(path: &Path) -> Result<String, String> {
    read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "there is no socket: is the program running, and does it `serve`?".to_owned()
        }
        ErrorKind::ConnectionRefused => "the program has ended".to_owned(),
        ErrorKind::PermissionDenied => "the socket is another user's".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "the program does not answer".to_owned(),
        _ => error.to_string(),
    })
}

fn read(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    stream.take(LONGEST).read_to_string(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::Error::other("what the program told was cut off"));
    }
    line.pop();
    Ok(line)
}
