//! An inference server's skeleton on plain threads: more clients than it can serve, three models of which two fit, caches
//! that grow by tokens, a bounded queue, and clients that give up.
//!
//! ```sh
//! cargo run --release --example server
//! cargo run --release --example server -- --seconds 30 --grow
//! ```
//!
//! It needs no MLX: a recording backend stands for a Mac, and sleeps for the models' work. The first three files are what a
//! server would copy; the rest drives and judges them. `--help` lists the options.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `server.rs` | one request from its model to its last token |
//! | `models.rs` | which models are loaded; loading one, and giving one back when memory is short |
//! | `connection.rs` | a client's patience; what it is told in place of an answer |
//! | `traffic.rs` | the clients |
//! | `account.rs` | what is held and what is there, counted apart from the manager |
//! | `report.rs` | the table, and the same for machines |
//! | `options.rs` | the command line |
//! | `../common/` | arguments and `--timeline`, as `train` has them |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod account;
#[path = "../common/arguments.rs"]
mod arguments;
mod connection;
mod models;
mod options;
mod report;
mod server;
#[path = "../common/timeline.rs"]
mod timeline;
mod traffic;

use mlx_wired::Manager;
use mlx_wired::ffi::RecordingBackend;
use options::{Options, Parsed, USAGE};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What every part of this program fails with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the device recommends, and its memory.
const CAP: u64 = 24 << 30;
const MEMORY: u64 = 32 << 30;

/// What a call of MLX's setter takes.
const SETTER: Duration = Duration::from_micros(300);

fn main() -> ExitCode {
    let options = match options::parse() {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("server: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let backend = RecordingBackend::metal()
        .recommended(CAP)
        .memory_size(MEMORY);
    let backend = backend.cost(SETTER).build();
    // A server on MLX calls `Manager::init_shared(server::config())?` first, and then uses `Manager::shared()`.
    let manager = Manager::builder()
        .backend(Arc::clone(&backend))
        .config(server::config())
        .build()?;
    let timeline = options.timeline.as_deref();
    let timeline = timeline.map(|folder| timeline::start(&manager, folder));
    let timeline = timeline.transpose()?;

    let server = Arc::new(server::Server::new(&manager, options.caches));
    let outcome = traffic::run(&server, options.time)?;
    if outcome.stuck > 0 {
        // The guards, with where they were taken, and the waiters, with what they wait for and since when.
        eprintln!("{}", manager.snapshot());
    }
    server.close();
    let written = timeline.map(timeline::Timeline::write).transpose()?;

    let report = report::Report::new(options, CAP, &server, &outcome, &manager.stats());
    print!("{report}");
    if let Some(written) = written {
        print!("{written}");
    }
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    report.check()?;
    if backend.current_limit() != 0 {
        return Err("MLX's limit is not what it was before".into());
    }
    backend.assert_rules();
    Ok(())
}
