//! What the program is called with.

use lexopt::Arg::{Long, Short, Value};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
Shows what a running program's MLX memory does. The program says `monitor.serve(path)`.

Usage: mlx-wired-watch [OPTIONS] SOCKET

  --once            print the line of JSON once, and end
  --every SECONDS   how often to look (default 1)
  --ascii           no lines and blocks but ASCII's
  --no-color        no colours (as NO_COLOR in the environment)
  --picture FILE    write a picture of 80 x 24 (SVG) after forty looks, and end
  -h, --help        this

Keys: q, Esc or Ctrl-C end it. It cannot change anything in the program.

Ends with 0; with 1 if the program could not be asked; with 2 if called wrongly.
";

#[derive(Debug, PartialEq)]
pub struct Options {
    pub socket: PathBuf,
    pub once: bool,
    pub every: Duration,
    pub look: Look,
    pub picture: Option<PathBuf>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub ascii: bool,
    pub color: bool,
}

#[derive(Debug, PartialEq)]
pub enum Called {
    Watch(Options),
    Help,
}

pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Called, lexopt::Error> {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut look = Look {
        ascii: !speaks_utf8(),
        color: !set("NO_COLOR"),
    };
    let (mut socket, mut once, mut picture) = (None, false, None);
    let mut every = Duration::from_secs(1);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("once") => once = true,
            Long("ascii") => look.ascii = true,
            Long("no-color") => look.color = false,
            Long("picture") => picture = Some(parser.value()?.into()),
            Long("every") => {
                let value = parser.value()?;
                let seconds = value.to_str().and_then(|it| it.parse().ok());
                let seconds: f64 = seconds.ok_or("--every takes seconds, as in `--every 0.5`")?;
                if !(0.1..=3600.0).contains(&seconds) {
                    return Err("--every takes 0.1 to 3600 seconds".into());
                }
                every = Duration::from_secs_f64(seconds);
            }
            Short('h') | Long("help") => return Ok(Called::Help),
            Value(value) if socket.is_none() => socket = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    let socket = socket.ok_or("name the socket that the program serves")?;
    Ok(Called::Watch(Options {
        socket,
        once,
        every,
        look,
        picture,
    }))
}

/// Of the locale's variables the first that says something decides.
fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    locale.is_none_or(|it| {
        let it = it.to_string_lossy().to_lowercase();
        it.contains("utf-8") || it.contains("utf8")
    })
}
