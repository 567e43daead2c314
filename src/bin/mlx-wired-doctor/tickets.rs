//! The lines to write: tickets of these sizes. `tests/doctor/tickets.rs` has them, and so they compile.

use super::options::Options;
use mlx_wired::ffi;
use mlx_wired::print::Bytes;
use mlx_wired::train::estimate::Plan;

/// For a model that goes in. What its work takes is measured where it could not be counted.
pub(crate) fn known(plan: &Plan, options: &Options, wires: bool) -> Vec<String> {
    let is_trained = options.train.is_some();
    // A model that serves stays wired between requests; one that is trained, only while a step runs.
    let weights = match wires && !is_trained {
        true => Weights {
            bytes: plan.estimate.held(),
            kind: "resident",
            why: "stays wired between requests",
        },
        false => Weights {
            bytes: plan.estimate.held(),
            kind: "reservation",
            why: "counted",
        },
    };
    match (plan.estimate.step(), plan.estimate.batch) {
        (0, _) => with_work_to_measure(
            &weights,
            &[
                "// Load the model. Then, with the largest request:",
                "let measured = Measuring::new(\"request\").beside_holds().run(|| answer(longest))?;",
                "let request = measured.ticket(&policy);",
                "let _guard = request.acquire()?; // in each worker, around the work",
            ],
        ),
        (step, _) if is_trained => with_work(&weights, "step", step, "as measured"),
        (step, 1) => with_work(&weights, "request", step, "a sequence"),
        (step, n) => with_work(&weights, "request", step, &format!("{n} sequences at once")),
    }
}

/// For a training whose step is not known yet.
pub(crate) fn to_measure(plan: &Plan) -> Vec<String> {
    let weights = Weights {
        bytes: plan.estimate.held(),
        kind: "reservation",
        why: "weights and state",
    };
    with_work_to_measure(
        &weights,
        &[
            "// Load the model. Then, with the largest batch:",
            "let measured = Measuring::new(\"step\").beside_holds().run(|| step(&batch))?;",
            "println!(\"--step {}\", measured.ticket_bytes()); // with its margin: ask again with that",
        ],
    )
}

/// What stays.
struct Weights {
    bytes: u64,
    kind: &'static str,
    why: &'static str,
}

impl Weights {
    /// From the policy on, with room for so much work.
    fn lines(&self, room: &str) -> Vec<String> {
        let Self { bytes, kind, why } = self;
        let size = Bytes(*bytes);
        let mut lines = Vec::new();
        if ffi::LINKED {
            let first = "mlx_rs::memory::active_memory()?; // feature `mlx-rs`: its error handler is in place from here on";
            lines.push(first.to_owned());
        }
        lines.extend([
            "let policy = SumPolicy::new();".to_owned(),
            format!("let weights = policy.ticket({bytes}).{kind}(){room}.label(\"weights\");"),
            format!("let _weights = weights.acquire()?; // {size}: {why}"),
        ]);
        lines
    }
}

fn with_work(weights: &Weights, label: &str, bytes: u64, what: &str) -> Vec<String> {
    let size = Bytes(bytes);
    let mut lines = vec![
        "use mlx_wired::{Policy, SumPolicy};".to_owned(),
        String::new(),
    ];
    lines.extend(weights.lines(&format!(".room_for({bytes})")));
    lines.extend([
        format!("let {label} = policy.ticket({bytes}).label({label:?}); // {size}: {what}"),
        format!("let _guard = {label}.acquire()?; // in each worker, around the work"),
    ]);
    lines
}

fn with_work_to_measure(weights: &Weights, rest: &[&str]) -> Vec<String> {
    let uses = [
        "use mlx_wired::train::Measuring;",
        "use mlx_wired::{Policy, SumPolicy};",
        "",
    ];
    let mut lines: Vec<String> = uses.map(str::to_owned).into();
    lines.extend(weights.lines(""));
    lines.extend(rest.iter().map(|line| (*line).to_owned()));
    lines
}
