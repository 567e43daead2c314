//! What this machine gives MLX, whether a model goes into it, and what to write in code.
//!
//! ```sh
//! cargo install mlx-wired --features doctor && mlx-wired-doctor path/to/model --context 8192 --batch 4
//! cargo run --example doctor -- path/to/model          # the same sources, from a checkout
//! scripts/with-mlx cargo run --example doctor          # on Linux, with MLX; without a folder: the machine alone
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options.rs` | the arguments |
//! | `machine.rs`, `wired_limit.rs`, `environment.rs` | the device and its memory; a Mac's own limit; what is set |
//! | `reading.rs` | a model's folder, read in sight of a clock |
//! | `answer.rs`, `reasons.rs` | the verdict on a folder; why it is none that lets a program begin |
//! | `tickets.rs` | the lines to write |
//! | `report.rs` | everything that is said |
//! | `finding.rs` | what is wrong or worth knowing, and checks that may fail themselves |
//! | `devices.rs` | tests: what is said on Macs and cards |
//! | `text.rs`, `facts.rs`, `json.rs` | what is said, for people and for programs |
//! | `output.rs` | where it goes |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod answer;
#[cfg(test)]
mod devices;
mod environment;
mod facts;
mod finding;
mod json;
mod machine;
mod options;
mod output;
mod reading;
mod reasons;
mod report;
mod text;
mod tickets;
mod wired_limit;

use finding::check;
use machine::Machine;
use options::{Asked, Options};
use report::Report;
use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    // What panics is told as a finding: see `check`.
    std::panic::set_hook(Box::new(|_| {}));
    match options::parse(std::env::args_os()) {
        Ok(Asked::Text(text)) => output::write(&text, 0),
        Ok(Asked::Report(options)) => write_report(&options),
        Err(wrong) => {
            output::complain(&format!("{}; {}", wrong.finding.text, wrong.finding.cure));
            let object = wrong.is_json.then(|| json::failure(wrong.finding));
            output::write(&object.unwrap_or_default(), 2)
        }
    }
}

fn write_report(options: &Options) -> ExitCode {
    let told = check("doctor-failed", "the doctor", || {
        let report = Report::of(options, Machine::inspect);
        let said = match options.json {
            true => json::report(&report),
            false => text::report(&report, options.verbose, output::marks()),
        };
        (said, report.code())
    });
    let (said, code) = told.unwrap_or_else(|finding| {
        let said = match options.json {
            true => json::failure(finding),
            false => text::failure(&finding),
        };
        (said, 1)
    });
    output::write(&said, code)
}
