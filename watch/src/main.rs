//! Shows in a terminal what a running program's MLX memory does.
//!
//! | file | what |
//! | --- | --- |
//! | `options.rs` | what it is called with |
//! | `client.rs`, `line.rs` | asking the program; what it tells |
//! | `watching.rs` | what was told so far |
//! | `view.rs`, `print.rs` | the screen; figures and names |
//! | `picture.rs` | a screen as a file |

mod client;
mod line;
mod options;
mod picture;
mod print;
#[cfg(test)]
mod tests;
mod view;
mod watching;

use options::{Called, Look, Options};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use watching::Watching;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Called::Help) => {
            // A closed pipe is the reader's business.
            let _closed = io::stdout().write_all(options::USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Called::Watch(options)) => options,
        Err(error) => {
            eprintln!("mlx-wired-watch: {error} (--help tells more)");
            return ExitCode::from(2);
        }
    };
    let done = if options.once {
        once(&options.socket)
    } else if let Some(file) = &options.picture {
        draw_picture(&options, file)
    } else {
        watch(&options)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let socket = print::plain(&options.socket.to_string_lossy());
            eprintln!("mlx-wired-watch: {socket}: {}", print::plain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The line as the program told it.
fn once(socket: &Path) -> Result<(), String> {
    let text = client::ask(socket)?;
    line::parse(&text)?;
    let _closed = writeln!(io::stdout(), "{text}");
    Ok(())
}

/// How often is looked for a picture: a history.
const LOOKS: u32 = 40;

/// The present screen, after looks enough for a history.
fn draw_picture(options: &Options, file: &Path) -> Result<(), String> {
    let mut watching = Watching::default();
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(options.every);
        }
        watching.look(&options.socket);
        if let Some(failure) = watching.failure {
            return Err(failure);
        }
    }
    let screen = screen(&watching, options.look, (80, 24));
    fs::write(file, picture::svg(&screen)).map_err(|error| error.to_string())
}

fn screen(watching: &Watching, look: Look, size: (u16, u16)) -> ratatui::buffer::Buffer {
    let backend = TestBackend::new(size.0, size.1);
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(_) = terminal.draw(|frame| view::draw(frame, watching, look));
    terminal.backend().buffer().clone()
}

fn watch(options: &Options) -> Result<(), String> {
    // Asked first: what is wrong then is told in the shell.
    let mut watching = Watching::default();
    watching.look(&options.socket);
    if watching.line.is_none() {
        return Err(watching.failure.unwrap_or_default());
    }
    let mut terminal = ratatui::try_init().map_err(|error| format!("no terminal: {error}"))?;
    let ended = (|| -> io::Result<()> {
        let mut next = Instant::now() + options.every;
        loop {
            terminal.draw(|frame| view::draw(frame, &watching, options.look))?;
            if wait(next)? {
                return Ok(());
            }
            if Instant::now() >= next {
                watching.look(&options.socket);
                next = Instant::now() + options.every;
            }
        }
    })();
    ratatui::restore();
    ended.map_err(|error| error.to_string())
}

/// Waits for the time, or something that changes the screen; whether it is to end.
fn wait(until: Instant) -> io::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    if !event::poll(left.max(Duration::from_millis(1)))? {
        return Ok(false);
    }
    let Event::Key(key) = event::read()? else {
        return Ok(false);
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => control,
            _ => false,
        })
}
