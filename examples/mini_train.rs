//! A training in threads that last, to copy from: measure a step, write its ticket, hold the limits for the run, and see after
//! each step what memory does. The model is in `mini_train/model.rs`.
//!
//! ```sh
//! scripts/with-mlx cargo run --release --example mini_train
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[cfg(any(target_vendor = "apple", with_mlx))]
#[path = "mini_train/model.rs"]
mod model;

#[cfg(any(target_vendor = "apple", with_mlx))]
fn main() -> Result<(), mlx_wired::train::WorkError> {
    use mlx_wired::train::{Measure, Run, WorkError, Workers};
    use mlx_wired::{Policy, SumPolicy};
    use model::Model;

    mlx_rs::memory::active_memory()?; // The first call of mlx-rs installs an error handler that returns.

    // What a step takes, measured alone, and the ticket that follows. The device caps the policy.
    let policy = SumPolicy::new();
    let mut model = Model::new(0)?;
    let measured = policy.measure("step", || model.step())?;
    println!("{measured}");
    let ticket = measured.ticket(&policy);

    // The limits, until the run ends, however it does; and what the workers' models keep all the time.
    let models = policy.ticket(4 * model.bytes()).reservation();
    let models = models.room_for(ticket.bytes()).label("models");
    let run = Run::builder().ticket(models).start()?;
    drop(model);

    let style = indicatif::ProgressStyle::with_template("{bar:20} {msg}")?;
    let bar = indicatif::ProgressBar::new(8 * 50).with_style(style);
    let train = |seed| -> Result<f32, WorkError> {
        let mut model = Model::new(seed)?; // Arrays stay on the thread that made them.
        let mut loss = f32::NAN;
        for _ in 0..50 {
            let _guard = ticket.acquire()?; // Blocks until the step fits beside the others.
            let (now, report) = run.step(|| model.step())?;
            loss = now;
            bar.inc(1);
            bar.set_message(report.line().to_string());
            if let Some(growth) = report.growth {
                bar.println(growth.to_string());
            }
        }
        Ok(loss)
    };
    // Threads that last, and have ended before `main` returns, as MLX wants it.
    let losses = Workers::scope(4, |workers| workers.map(1..=8, train))?;
    let losses: Vec<f32> = losses.into_iter().collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    println!("{}, losses {losses:.4?}", run.finish()?);
    Ok(())
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn main() -> std::process::ExitCode {
    eprintln!("this example needs MLX: scripts/with-mlx cargo run --release --example mini_train");
    std::process::ExitCode::from(2)
}
