//! The pool of host buffers beside what else gives a program memory, in one run.
//!
//! ```sh
//! cargo bench --bench pool                       # MLX's rows say skip
//! scripts/with-mlx cargo bench --bench pool
//! cargo bench --bench pool -- --json FILE mixed/   # the rows whose names contain this
//! ```
//!
//! `benches/README.md` says what the rows are. Rows and verdicts are those of `bars`, whose files this program uses.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `givers.rs` | what gives memory |
//! | `touched.rs` | the time of a buffer, with and without touching its pages |
//! | `mixed.rs` | what is resident, and what is waste, with mixed sizes |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[path = "../bars/failure.rs"]
mod failure;
mod givers;
#[path = "../bars/machine.rs"]
mod machine;
#[allow(dead_code, reason = "bars uses the rest")]
#[path = "../bars/method.rs"]
mod method;
mod mixed;
#[allow(dead_code, reason = "bars uses the rest")]
#[path = "../bars/report.rs"]
mod report;
mod touched;

use failure::Failure;
use lexopt::prelude::*;
use report::Report;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    measure().unwrap_or_else(|error| {
        eprintln!("pool: {error}");
        ExitCode::from(2)
    })
}

fn measure() -> Result<ExitCode, Failure> {
    let (mut filters, mut json, mut is_measured) = (Vec::new(), None, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bench") => is_measured = true,
            // What `cargo test --benches` says.
            Long("test") => is_measured = false,
            Long("json") => json = Some(PathBuf::from(parser.value()?)),
            Value(filter) => filters.push(filter.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    // Now, not after the measurements.
    let json = json.map(File::create).transpose()?;
    let mut report = Report::new(filters, !is_measured);
    touched::run(&mut report);
    mixed::run(&mut report);
    report.finish(json)
}
