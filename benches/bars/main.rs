//! The rows of the bars: ratios within one run.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]
mod method;
mod pairs;
mod peers;
mod report;
fn main() {
    let mut report = report::Report::default();
    pairs::run(&mut report);
}
