//! The lines to write compile: they are here, as they are told.

use crate::checkpoints::{half, matrix};
use crate::kit::{Folder, MIB};
use crate::program::asked;
use mlx_wired::train::WorkError;

/// Not run: that they compile is what is tested.
#[allow(dead_code, reason = "as they are told")]
#[rustfmt::skip]
fn with_a_measured_step() -> Result<(), WorkError> {
    use mlx_wired::{Policy, SumPolicy};
    let policy = SumPolicy::new();
    let weights = policy.ticket(1536).reservation().room_for(1048576).label("weights");
    let _weights = weights.acquire()?; // 1.50 KiB: counted
    let step = policy.ticket(1048576).label("step"); // 1 MiB: as measured
    let _guard = step.acquire()?; // in each worker, around the work
    Ok(())
}

#[allow(dead_code, clippy::print_stdout, reason = "as they are told")]
#[rustfmt::skip]
fn with_a_step_to_measure(step: impl Fn(&u32) -> Result<(), WorkError>, batch: u32) -> Result<(), WorkError> {
    use mlx_wired::train::Measuring;
    use mlx_wired::{Policy, SumPolicy};
    let policy = SumPolicy::new();
    let weights = policy.ticket(1536).reservation().label("weights");
    let _weights = weights.acquire()?; // 1.50 KiB: weights and state
    // Load the model. Then, with the largest batch:
    let measured = Measuring::new("step").beside_holds().run(|| step(&batch))?;
    println!("--step {}", measured.ticket_bytes()); // with its margin: ask again with that
    Ok(())
}

#[allow(dead_code, reason = "as they are told")]
#[rustfmt::skip]
fn with_weights_alone(answer: impl Fn(&str) -> Result<(), WorkError>, longest: &str) -> Result<(), WorkError> {
    use mlx_wired::train::Measuring;
    use mlx_wired::{Policy, SumPolicy};
    let policy = SumPolicy::new();
    let weights = policy.ticket(3145728).reservation().label("weights");
    let _weights = weights.acquire()?; // 3 MiB: counted
    // Load the model. Then, with the largest request:
    let measured = Measuring::new("request").beside_holds().run(|| answer(longest))?;
    let request = measured.ticket(&policy);
    let _guard = request.acquire()?; // in each worker, around the work
    Ok(())
}

/// Each line that is told is a line here; where memory is wired another kind is told, and with MLX one line more.
#[track_caller]
fn are_here(lines: &serde_json::Value, function: &str) {
    let source = include_str!("tickets.rs");
    let (_, after) = source
        .split_once(&format!("fn {function}("))
        .expect("it is here");
    let (body, _) = after.split_once("\n}\n").expect("it ends");
    let here: Vec<&str> = body.lines().map(str::trim).collect();
    let lines = lines.as_array().expect("a list").iter();
    let lines: Vec<&str> = lines.map(|line| line.as_str().expect("text")).collect();
    let is_told = |line: &&&str| !line.is_empty() && !line.contains("mlx_rs");
    let told: Vec<String> = lines
        .iter()
        .filter(is_told)
        .map(|line| line.replace("resident", "reservation"))
        .collect();
    assert!(told.len() > 4, "{lines:?}");
    for line in told {
        let line = line.replace(": stays wired between requests", ": counted");
        assert!(here.contains(&line.as_str()), "not in {function}: {line}");
    }
}

#[test]
fn the_lines_that_are_told_compile() {
    let folder = Folder::with("model.safetensors", &[matrix("layers.0.up.weight", 16, 8)]);
    let path = folder.path().as_os_str();
    let options = |options: &[&'static str]| {
        let options = options.iter().map(|option| std::ffi::OsStr::new(*option));
        std::iter::once(path).chain(options).collect::<Vec<_>>()
    };
    // 128 numbers of 32 bits, and twice as many of AdamW's.
    let (_, value) = asked(options(&["--train", "adamw", "--step", "1MiB"]));
    are_here(&value["tickets"], "with_a_measured_step");
    let (_, value) = asked(options(&["--train", "adamw"]));
    are_here(&value["tickets"], "with_a_step_to_measure");
    let folder = Folder::with("model.safetensors", &[half("up", 3)]);
    let (_, value) = asked([folder.path()]);
    assert_eq!(value["bytes"], 3 * MIB);
    are_here(&value["tickets"], "with_weights_alone");
}
