//! A transformer's step on the card: plain, and with ordered checkpoints, as MLX is, and under a run's memory limit.

use crate::child;
use crate::failure::Failure;
use crate::network::{self, BLOCKS, WEIGHTS};
use crate::report::Report;
use crate::task::{MemoryLimit, Said, Task, Way};
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::transforms::eval;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};
use mlx_wired::train::{Limit, Run};
use std::time::Instant;

/// How much more than a step needs at least the run's budget has. The run keeps a twentieth of it free.
const ROOM: f64 = 1.25;

/// Peak in bytes, and the seconds of a step.
type Took = (u64, f64);

impl Way {
    fn take(self, quick: bool) -> Result<Took, Failure> {
        match child::answer(&Task::Checkpoint { way: self, quick })? {
            Said::Stepped { peak, seconds } => Ok((peak, seconds)),
            other => Err(format!("{self:?}: {other:?}").into()),
        }
    }
}

pub(crate) fn compare(report: &mut Report, quick: bool) -> Result<(), Failure> {
    if !report.wants("checkpoint/") {
        return Ok(());
    }
    let take = |recomputes, reverse, limit| {
        Way {
            recomputes,
            reverse,
            limit,
        }
        .take(quick)
    };
    let mut tell = |name: &str, (peak, seconds): Took| {
        report.info(
            format!("checkpoint/{name}/gib"),
            peak as f64 / f64::from(1 << 30),
            Some(1e9 * seconds),
        );
    };
    let plain = take(false, false, MemoryLimit::Own)?;
    tell("own-limit/plain", plain);
    tell("own-limit/ordered", take(true, false, MemoryLimit::Own)?);
    tell(
        "own-limit/ordered-reverse",
        take(true, true, MemoryLimit::Own)?,
    );
    let (least, seconds) = take(true, false, MemoryLimit::Least)?;
    tell("least-limit/ordered", (least, seconds));
    let limit = MemoryLimit::Budget((least as f64 * ROOM) as u64);
    let plain_in_run = take(false, false, limit)?;
    tell("run/plain", plain_in_run);
    let ordered = take(true, false, limit)?;
    tell("run/ordered", ordered);
    let reverse = take(true, true, limit)?;
    tell("run/ordered-reverse", reverse);

    let more = |one: u64, other: u64| one.max(other) as f64 / one.min(other) as f64;
    let (peak, seconds) = (ordered.0.max(reverse.0), ordered.1.max(reverse.1));
    let plain = (plain.0.min(plain_in_run.0), plain.1.min(plain_in_run.1));
    report.at_most(
        "checkpoint/run/peak-to-plain",
        peak as f64 / plain.0 as f64,
        0.4,
        None,
    );
    report.at_most(
        "checkpoint/run/time-to-plain",
        seconds / plain.1,
        1.45,
        None,
    );
    report.at_most(
        "checkpoint/run/order-to-order",
        more(ordered.0, reverse.0),
        1.03,
        None,
    );
    Ok(())
}

/// In a child: steps in one way.
pub(crate) fn step(way: Way, quick: bool) -> Result<(), Failure> {
    let limit = Run::builder().no_wire();
    let run = match way.limit {
        MemoryLimit::Own => limit.memory_limit(Limit::Keep),
        MemoryLimit::Least => limit.memory_limit(Limit::Fixed(1 << 20)),
        MemoryLimit::Budget(bytes) => limit.budget(bytes),
    };
    let run = run.start()?;
    let (weights, rows, mask) = (network::weights()?, network::rows()?, network::mask()?);
    eval(weights.iter().chain([&rows, &mask]))?;
    let numbers: Vec<i32> = (0..(BLOCKS * WEIGHTS) as i32).collect();
    let recompute = if way.recomputes {
        Recompute::All
    } else {
        Recompute::None
    };
    let checkpointing = Checkpointing::new(recompute);
    let loss = |weights: &[Array]| -> Result<Vec<Array>, Exception> {
        let mut x = rows.clone();
        for (number, weights) in weights.chunks_exact(WEIGHTS).enumerate() {
            let primals = [std::slice::from_ref(&x), weights].concat();
            let mask = std::slice::from_ref(&mask);
            x = checkpointing
                .block(number, network::block, &primals, mask)?
                .remove(0);
        }
        Ok(vec![x.square()?.mean(false)?])
    };
    let pass = || -> Result<(), Exception> {
        let (loss, gradients) = value_and_grad(&loss, &numbers[..])(&weights)?;
        if way.reverse {
            eval(gradients.iter().rev().chain(&loss))
        } else {
            eval(loss.iter().chain(&gradients))
        }
    };
    let (warm_up, steps) = if quick { (2, 3) } else { (4, 15) };
    let (mut peak, mut times) = (0, Vec::new());
    for number in 0..warm_up + steps {
        let began = Instant::now();
        let ((), report) = run.step(pass)?;
        if number >= warm_up {
            peak = peak.max(report.peak);
            times.push(began.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    run.finish()?;
    child::say(&Said::Stepped {
        peak,
        seconds: times[times.len() / 2],
    })
}
