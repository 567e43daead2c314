//! The lines to write: tickets of these sizes.

use super::options::Options;
use mlx_wired::ffi;
use mlx_wired::print::Bytes;
use mlx_wired::train::estimate::Plan;

/// With all sizes known.
pub(crate) fn known(plan: &Plan, options: &Options, wires: bool) -> Vec<String> {
    let (held, step) = (plan.estimate.held(), plan.estimate.step());
    let of_training = options.train.is_some();
    // A model that serves stays wired between requests; one that is trained only while a step runs.
    let (kind, why) = match (wires, of_training) {
        (true, false) => ("resident", "stays wired between requests"),
        _ => ("reservation", "counted"),
    };
    let label = if of_training { "step" } else { "request" };
    if step == 0 {
        return lines(&[
            "use mlx_wired::train::Measuring;",
            "use mlx_wired::{Policy, SumPolicy};",
            "",
            FIRST,
            "let policy = SumPolicy::new();",
            &weights(held, kind, ""),
            &format!(
                "let _weights = weights.acquire()?; // {}: {why}",
                Bytes(held)
            ),
            "// Load the model. Then measure the largest piece of work:",
            &format!("let measured = Measuring::new({label:?}).beside_holds().run(|| work())?;"),
            &format!("let {label} = measured.ticket(&policy);"),
            &format!("let _guard = {label}.acquire()?; // in each worker, around the work"),
        ]);
    }
    let batch = plan.estimate.batch;
    let what = match (of_training, batch) {
        (true, _) => "as measured".to_owned(),
        (false, 1) => "a sequence".to_owned(),
        (false, n) => format!("{n} sequences at once"),
    };
    lines(&[
        "use mlx_wired::{Policy, SumPolicy};",
        "",
        FIRST,
        "let policy = SumPolicy::new();",
        &weights(held, kind, &format!(".room_for({step})")),
        &format!(
            "let _weights = weights.acquire()?; // {}: {why}",
            Bytes(held)
        ),
        &format!(
            "let {label} = policy.ticket({step}).label({label:?}); // {}: {what}",
            Bytes(step)
        ),
        &format!("let _guard = {label}.acquire()?; // in each worker, around the work"),
    ])
}

/// For a training whose step is not known yet.
pub(crate) fn to_measure(plan: &Plan) -> Vec<String> {
    let held = plan.estimate.held();
    lines(&[
        "use mlx_wired::train::Measuring;",
        "use mlx_wired::{Policy, SumPolicy};",
        "",
        FIRST,
        "let policy = SumPolicy::new();",
        &weights(held, "reservation", ""),
        &format!(
            "let _weights = weights.acquire()?; // {}: weights and state",
            Bytes(held)
        ),
        "// Load the model. Then, with the largest batch:",
        "let measured = Measuring::new(\"step\").beside_holds().run(|| step(&batch))?;",
        "println!(\"--step {}\", measured.ticket_bytes()); // with its margin: ask again with that",
    ])
}

/// From here on mlx-rs's error handler is in place, which a program needs first.
const FIRST: &str = if ffi::LINKED {
    "mlx_rs::memory::active_memory()?; // feature `mlx-rs`: its error handler is in place from here on"
} else {
    ""
};

fn weights(held: u64, kind: &str, room: &str) -> String {
    format!("let weights = policy.ticket({held}).{kind}(){room}.label(\"weights\");")
}

/// Without a second empty line where nothing comes first.
fn lines(lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.dedup_by(|second, first| second.is_empty() && first.is_empty());
    lines
}
