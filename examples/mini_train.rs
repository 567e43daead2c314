//! A training in rayon workers, to copy from: measure a step, write its ticket, hold the limits for the run, and see after
//! each step what memory does.
//!
//! ```sh
//! scripts/with-mlx cargo run --release --example mini_train
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn main() -> std::process::ExitCode {
    eprintln!("this example needs MLX: scripts/with-mlx cargo run --release --example mini_train");
    std::process::ExitCode::from(2)
}

#[cfg(any(target_vendor = "apple", with_mlx))]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use mlx_wired::SumPolicy;
    use mlx_wired::train::{Measure, Run};
    use rayon::prelude::*;

    // The first call of mlx-rs installs an error handler that returns; MLX's own ends the process.
    mlx_rs::memory::active_memory()?;

    // What one step takes, measured alone, and the ticket that follows. The policy is capped by the device.
    let policy = SumPolicy::new();
    let mut model = Model::new(0)?;
    let measured = policy.measure("step", || model.step())?;
    println!("{measured}");
    let ticket = measured.ticket(&policy);

    // Limits are set here, and come back however the run ends.
    let run = Run::start()?;
    let bar = indicatif::ProgressBar::new(8 * 50);
    let bar = bar.with_style(indicatif::ProgressStyle::with_template("{bar:20} {msg}")?);
    let train = |seed: u64| -> Result<f32, mlx_wired::train::WorkError> {
        // Arrays stay on the thread that made them.
        let mut model = Model::new(seed)?;
        let mut loss = 0.0;
        for _ in 0..50 {
            let _guard = ticket.acquire()?; // blocks until it fits beside the others
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
    // A scoped pool: its threads have ended before `main` returns, as MLX wants it.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4);
    let losses: Vec<f32> = threads.build_scoped(
        |thread| thread.run(),
        |pool| pool.install(|| (1..=8).into_par_iter().map(train).collect::<Result<_, _>>()),
    )??;
    bar.finish_and_clear();
    let summary = run.finish()?;
    println!(
        "{} steps, peak {} MiB, losses {losses:.4?}",
        summary.steps,
        summary.peak >> 20
    );
    Ok(())
}

/// A layer that learns what another one does: a stand-in for yours.
#[cfg(any(target_vendor = "apple", with_mlx))]
struct Model {
    weight: mlx_rs::Array,
    inputs: mlx_rs::Array,
    outputs: mlx_rs::Array,
}

#[cfg(any(target_vendor = "apple", with_mlx))]
impl Model {
    fn new(seed: u64) -> Result<Self, mlx_rs::error::Exception> {
        use mlx_rs::random::{key, normal};
        let array = |shape: &[i32], n| normal::<f32>(shape, None, None, &key(3 * seed + n)?);
        let inputs = array(&[512, 256], 0)?;
        let outputs = inputs.matmul(array(&[256, 256], 1)?)?;
        let weight = array(&[256, 256], 2)?;
        mlx_rs::transforms::eval([&weight, &inputs, &outputs])?;
        Ok(Self {
            weight,
            inputs,
            outputs,
        })
    }

    /// Forward, backward, update: all evaluated when it returns.
    fn step(&mut self) -> Result<f32, mlx_wired::train::WorkError> {
        use mlx_rs::{Array, array, error::Exception, transforms};
        let loss = |it: &[Array]| -> Result<Vec<Array>, Exception> {
            let error = it[1].matmul(&it[0])?.subtract(&it[2])?;
            Ok(vec![error.square()?.mean(false)?])
        };
        let it = [
            self.weight.clone(),
            self.inputs.clone(),
            self.outputs.clone(),
        ];
        let (loss, gradient) = transforms::value_and_grad(loss)(&it)?;
        self.weight = self
            .weight
            .subtract(gradient[0].multiply(array!(50.0_f32))?)?;
        transforms::eval([&self.weight, &loss[0]])?;
        Ok(loss[0].try_item_cast()?)
    }
}
