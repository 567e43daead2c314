//! What this machine gives MLX, what a model needs, and what to write in code.
//!
//! ```sh
//! cargo run --example doctor                                    # without MLX: what the system tells
//! scripts/with-mlx cargo run --example doctor -- path/to/model  # with MLX, and a folder of *.safetensors
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `machine.rs` | the device, its limits, and whose they are |
//! | `advice.rs` | whether it fits, and the code |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod advice;
mod machine;

use lexopt::prelude::*;
use mlx_wired::train::estimate::Model;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
What this machine gives MLX, what a model needs, and what to write in code.

usage: cargo run --example doctor -- [MODEL...]

  MODEL    a folder of *.safetensors (shards too), or one such file
  --help   this text

exit status: 0; 1 if a model cannot be read or does not fit; 2 for a bad argument
";

fn main() -> ExitCode {
    let models = match parse() {
        Ok(Some(models)) => models,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("doctor: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    let machine = machine::Machine::look();
    print!("{machine}");
    let mut all_fit = true;
    for path in models {
        println!(
            "\nmodel                 {}",
            path.display().to_string().escape_debug()
        );
        match Model::read(&path) {
            Ok(model) => {
                let advice = advice::Advice::new(&machine, &model);
                print!("{advice}");
                all_fit &= advice.fits();
            }
            Err(error) => {
                eprintln!("doctor: {error}");
                all_fit = false;
            }
        }
    }
    if all_fit {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse() -> Result<Option<Vec<PathBuf>>, lexopt::Error> {
    let mut models = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(model) => models.push(model.into()),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(models))
}
